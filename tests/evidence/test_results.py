"""Files of data/ are read by one reader, which names what is not there."""

from pathlib import Path

import numpy as np
import pytest

from augury.evidence.results import MissingError, Results, if_there
from augury.pipeline.outputs import write_json


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "data")


def test_what_is_missing_is_named(results: Results) -> None:
    with pytest.raises(MissingError, match=r"data/scores/0/vae\.json: not found; run `dvc repro` to make it$"):
        results.scores("vae")
    write_json(results.data / "results/0/none/0.json", {"seed": 0})
    with pytest.raises(MissingError, match=r"data/results/0/none/1\.json: not found"):
        results.of_arm("none", [0, 1])
    assert if_there(results.scores, "vae") is None
    assert results.closest() is None
    assert results.costs() == {}
    assert results.progress("vae") == {}


def test_what_is_there_is_read(results: Results) -> None:
    write_json(results.data / "scores/0/vae.json", {"fd": 2.5})
    write_json(results.data / "costs/sample@0-vae.json", {"stage": "sample@0-vae", "seconds": 3.0})
    assert if_there(results.scores, "vae") == results.scores("vae") == {"fd": 2.5}
    assert results.costs() == {"sample@0-vae": {"stage": "sample@0-vae", "seconds": 3.0}}


def test_grids_come_in_the_order_of_training(results: Results) -> None:
    folder = results.generator("vae") / "progress"
    folder.mkdir(parents=True)
    for kimg in ("kimg_20", "kimg_0.5", "kimg_100"):
        (folder / f"{kimg}.png").touch()
    assert list(results.progress("vae")) == [500, 20_000, 100_000]


def test_curves_have_a_column_each_even_of_one_row(results: Results) -> None:
    path = results.data / "curves/0/vae.csv"
    path.parent.mkdir(parents=True)
    path.write_text("kimg,loss,distance\n1.5,0.25,\n")
    curves = results.curves("vae")
    assert list(curves) == ["kimg", "loss", "distance"]
    np.testing.assert_array_equal(np.stack(list(curves.values())), [[1.5], [0.25], [np.nan]])
