"""The params of the study of compound scaling, and what its dvc.yaml asks for."""

from pathlib import Path
from typing import Any

import pytest

from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.params import PARAMS_FILE
from studies.scaling.scale import BASE, COMPOUND, WAYS
from studies.scaling.settings import Scaling
from studies.workspace import settings
from tests import CHECKOUT
from tests.smoke import copy_checkout, dvc
from tests.studies.test_scaling_study import STUDY
from tests.studies.test_studies import read_yaml


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        ("base", {"widths": [4]}, r"base.*widths: 1 stages, depths: 2"),
        ("base", {"resolution": 1}, r"base.*resolution: 1 pixels, 2 stages need 2"),
        ("base", {"width": [4]}, r"base\.width: unknown key; choose from depths"),
        ("search", {"alphas": [0.9, 1.0]}, r"search\.alphas\.0: 0\.9"),
        ("search", {"alphas": [1.9], "betas": [1.0, 1.2]}, r"search.*fewer than two pairs"),
        ("search", {"seeds": [1, 1]}, r"search\.seeds: \[1, 1\]: holds a value twice"),
        ("scale", {"times": [4, 2]}, r"scale.*times \[4.0, 2.0\]: expected ascending"),
        ("scale", {"times": [1]}, r"scale\.times\.0: 1"),
        ("training", {"steps": 0}, r"training\.steps: 0"),
    ],
)
def test_a_faulty_key_is_one_clear_line(section: str, changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | {section: STUDY[section] | changed})
    with pytest.raises(UserError, match=message) as raised:
        settings(Scaling, tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_the_params_that_come_with_it_are_valid() -> None:
    assert len(settings(Scaling, CHECKOUT / "studies/scaling").search.constants) == 12


def test_every_way_is_scaled_and_opens_the_test_split() -> None:
    stages = read_yaml(CHECKOUT / "studies/scaling/dvc.yaml")["stages"]
    assert set(stages["scale"]["matrix"]["way"]) | {COMPOUND} == {BASE, *WAYS}
    assert [name for name, stage in stages.items() if "../../data/splits/0/test" in stage["deps"]] == [
        "scale", "compound",
    ]  # fmt: skip


def test_dvc_understands_the_study_and_begins_with_the_splits(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits"}})
    done = dvc(tmp_path / "studies/scaling", "repro", "--dry", check=False)
    assert "Running stage '../../dvc.yaml:manifest'" in done.stdout
    assert "train_gan" not in done.stdout
