"""Images to vectors, how far apart those are, a linear head on them."""
