"""A generator: trained so that it survives, kept, drawn from."""
