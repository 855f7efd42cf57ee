"""How often test images have been looked at: an untracked ledger, since every look makes them a little less fresh."""

import hashlib
from pathlib import Path

LEDGER = Path(".cache/openings")


def note_opening(test: str, predictions: bytes) -> None:
    """Note that classifiers were tried on the test images. To try the same ones again is no further look.

    test: digest of the images. predictions: what the classifiers made of them.
    """
    place = LEDGER / test / hashlib.sha256(predictions).hexdigest()
    place.parent.mkdir(parents=True, exist_ok=True)
    place.touch()


def openings(test: str) -> int:
    """How many different looks at the test images of that digest were noted here."""
    folder = LEDGER / test
    return len(list(folder.iterdir())) if folder.is_dir() else 0
