"""A trained generator: kept, drawn from, filtered."""
