"""A stage without a network starts in a fraction of a second: it imports nothing that takes longer by itself."""

import subprocess
import sys

import pytest

from tests import CHECKOUT

SLOW = ("torch", "torchvision", "scipy", "sklearn", "statsmodels", "pandas", "datasets", "matplotlib")


@pytest.mark.parametrize("stage", ["prepare", "augment", "compare", "cards", "report"])
def test_it_imports_nothing_slow(stage: str) -> None:
    code = f"import sys, stages.{stage}; print(*[name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
