"""Data sets and generators out, with their cards."""
