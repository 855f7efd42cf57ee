"""What the latent spaces of the trained generators know: walks, analogies, styles, truncation, attributes and edits."""
