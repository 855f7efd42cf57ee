"""The commands of `python -m augury`, one file each."""
