"""What the dvc.yaml of the study of convolutions asks for, and the params that come with it."""

from pathlib import Path

from studies.convolution.settings import Convolution
from studies.convolution.variants import MEANINGS, VARIANTS
from studies.workspace import settings
from tests import CHECKOUT
from tests.smoke import copy_checkout, dvc
from tests.studies.test_studies import read_yaml

HERE = CHECKOUT / "studies/convolution"
STEPS = ("checks", "fit", "look", "ablate", "report")


def test_the_params_that_come_with_it_are_valid() -> None:
    study = settings(Convolution, HERE)
    assert study.training.fine_tune.weight_decays == [study.training.weight_decay]
    assert set(MEANINGS) == set(VARIANTS)


def test_each_step_runs_its_module_and_ablate_alone_opens_the_test_split() -> None:
    stages = read_yaml(HERE / "dvc.yaml")["stages"]
    assert [(name, stage["cmd"].split()[2]) for name, stage in stages.items()] == [
        (step, f"studies.convolution.{step}") for step in STEPS
    ]
    assert stages["ablate"]["matrix"]["variant"] == list(VARIANTS)
    assert [name for name, stage in stages.items() if "../../data/splits/0/test" in stage["deps"]] == ["ablate"]
    assert not any("../../data/splits/0" in stage["deps"] for stage in stages.values())


def test_dvc_understands_the_study_and_begins_with_the_splits(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits"}})
    done = dvc(tmp_path / "studies/convolution", "repro", "--dry", check=False)
    assert "Running stage '../../dvc.yaml:manifest'" in done.stdout
    assert "train_gan" not in done.stdout
    names = dvc(tmp_path / "studies/convolution", "stage", "list", "--name-only").stdout.split()
    classifiers = settings(Convolution, HERE).classifiers
    assert names == [
        "checks", *(f"{step}@{name}" for step in ("fit", "look") for name in classifiers),
        *(f"ablate@{name}" for name in VARIANTS), "report",
    ]  # fmt: skip
