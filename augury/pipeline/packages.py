"""The packages that are imported here: which are pinned, and which are not installed."""

import importlib.metadata
import sys
from pathlib import Path

from augury.pipeline.checkout import CHECKOUT
from augury.pipeline.errors import UserError

PRETRAINED = "requirements-pretrained.txt"  # what models that others have trained need; the rest does without


def read_pins(requirements: Path) -> dict[str, str]:
    """Package -> version, of the lines name==version or name[extra]==version."""
    lines = (
        line.partition("#")[0].strip()
        for line in requirements.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    pins = (line.split("==", 1) for line in lines if "==" in line)
    return {name.partition("[")[0].strip(): version.strip() for name, version in pins}


def installed_version(name: str) -> str | None:
    """None where it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def require_packages(requirements: Path = CHECKOUT / "requirements.txt") -> None:
    """End the process with one line where a package is missing, as in one started outside the environment."""
    if missing := [name for name in read_pins(requirements) if installed_version(name) is None]:
        sys.exit(
            f"not installed for {sys.executable}: {', '.join(missing)}; "
            "activate the environment with `source .venv/bin/activate`, or make it with `make repro`"
        )


def require_pretrained(key: str) -> None:
    """Raises UserError where a package of PRETRAINED is missing. key: of params.yaml, that asks for such a model."""
    if missing := [name for name in read_pins(CHECKOUT / PRETRAINED) if installed_version(name) is None]:
        raise UserError(f"{key}: not installed: {', '.join(missing)}; pip install -r {PRETRAINED} -c constraints.txt")
