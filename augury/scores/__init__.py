"""Every score beside its floor."""
