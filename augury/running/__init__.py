"""Stages side by side: in which order, on what of this machine, from a Python that starts at once."""
