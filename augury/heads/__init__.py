"""Linear heads on features, and which synthetic images they let through."""
