"""Dilated convolutions where they are popular: a small network learns to cut out objects."""
