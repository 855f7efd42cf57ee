"""The stages of dvc.yaml, one thin file each: typed params in, files in, nouns called, files out."""

from augury.pipeline.packages import require_packages

# Here because every stage's own imports come after it: one started outside the environment says so in one line.
require_packages()
