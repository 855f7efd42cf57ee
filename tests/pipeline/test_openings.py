"""The ledger of looks at the test images."""

from pathlib import Path

import pytest

from augury.pipeline.openings import note_opening, openings


def test_different_looks_at_the_same_images_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert openings("one") == 0
    note_opening("one", b"an arm")
    note_opening("one", b"another")
    note_opening("one", b"an arm")  # run again
    note_opening("two", b"an arm")
    assert (openings("one"), openings("two")) == (2, 1)
