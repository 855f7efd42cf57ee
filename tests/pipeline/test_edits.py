"""Edits: values made flat and back, and what is another one than before."""

from pathlib import Path

import pytest

from augury.pipeline import edits
from augury.pipeline.errors import UserError

TREE = {"seed": 0, "classify": {"arms": {"none": {}, "a": {"mix": None}}, "seeds": [1, 2]}}
FLAT = {"seed": 0, "classify.arms.none": {}, "classify.arms.a.mix": None, "classify.seeds": [1, 2]}


def test_flat_and_back() -> None:
    assert edits.flat(TREE) == FLAT
    assert edits.nested(FLAT) == TREE
    assert edits.flat({}) == edits.flat(None) == {}


def test_an_edit_is_another_value_of_a_key_that_both_have() -> None:
    assert edits.edits({"a": 1, "b": None, "c": 3}, {"a": 1, "b": 2, "d": 4}) == {"b": None}
    assert edits.in_words({"prepare.folder": None, "seed": 3}) == "prepare.folder: null, seed: 3"


def test_each_command_has_a_note_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert edits.last_written("init") == edits.committed_values() == {}
    edits.note_written("init", {"seed": 1})
    edits.note_written("params.gpu.yaml", {"seed": 2})
    edits.note_written("init", {"seed": 3})
    assert [edits.last_written(name) for name in ("init", "params.gpu.yaml")] == [{"seed": 3}, {"seed": 2}]
    edits.WRITTEN.write_text("{")
    with pytest.raises(UserError, match=r"written_params.json: not JSON"):
        edits.last_written("init")
