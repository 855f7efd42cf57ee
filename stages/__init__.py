"""The stages of dvc.yaml, one thin file each: typed params in, files in, nouns called, files out."""

import importlib.metadata
import sys
from pathlib import Path


def missing_packages(requirements: Path) -> list[str]:
    """The packages that a requirements file names and that are not installed."""
    missing = []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        name = line.partition("==")[0].strip()
        if name and not name.startswith("#"):
            try:
                importlib.metadata.distribution(name)
            except importlib.metadata.PackageNotFoundError:
                missing.append(name)
    return missing


# Here because every stage's own imports come after it: a stage started outside the environment says so in one line.
if _missing := missing_packages(Path(__file__).parents[1] / "requirements.txt"):
    sys.exit(
        f"not installed for {sys.executable}: {', '.join(_missing)}; "
        "activate the environment with `source .venv/bin/activate`, or make it with `make repro`"
    )
