"""Who learns, who chooses, who tests."""
