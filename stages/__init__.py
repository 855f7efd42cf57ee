"""The stages of dvc.yaml, one thin file each: typed params in, files in, nouns called, files out."""
