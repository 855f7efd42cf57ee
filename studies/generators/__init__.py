"""How generators learn, and which part of a StyleGAN does what: an ablation against a DCGAN."""
