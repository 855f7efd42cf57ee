"""What all tests share."""

import os

# Before torch and NumPy are loaded, and for every process that a test starts: tiny tensors gain nothing from threads,
# and lose much to them beside another test.
os.environ["OMP_NUM_THREADS"] = "1"
# Hundreds of them import the same checkout, which each would have to compile anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is not a bug
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest, so that no process is left with it alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")
