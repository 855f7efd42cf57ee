"""What the dvc.yaml of the study of convolutions asks for, and the params that come with it."""

import subprocess
import sys
from pathlib import Path

from augury import params
from augury.params import PARAMS_FILE
from augury.statistics import fewest_seeds, smallest_p_value
from studies.convolution.settings import Convolution
from studies.convolution.variants import MEANINGS, VARIANTS
from studies.workspace import settings
from tests.smoke import CHECKOUT, copy_checkout, dvc
from tests.test_studies import read_yaml

HERE = CHECKOUT / "studies/convolution"
STEPS = ("checks", "fit", "look", "ablate", "report")


def test_the_params_that_come_with_it_are_valid_and_can_be_significant() -> None:
    study, compare = settings(Convolution, HERE), params.load(CHECKOUT / PARAMS_FILE).compare
    seeds, comparisons = len(study.ablation.seeds), len(VARIANTS) - 1
    assert comparisons * 2 / 2**seeds <= 1 - compare.confidence
    assert smallest_p_value(seeds, comparisons, compare.resamples) <= 1 - compare.confidence
    assert fewest_seeds(comparisons, 1 - compare.confidence) <= seeds
    assert study.training.fine_tune.weight_decays == [study.training.weight_decay]
    assert set(MEANINGS) == set(VARIANTS)


def test_deps_hold_every_module_that_a_step_imports() -> None:
    stages = read_yaml(HERE / "dvc.yaml")["stages"]
    code = f"""
import importlib, sys
for step in {STEPS}:
    for name in [name for name in sys.modules if name.startswith("studies")]:
        del sys.modules[name]
    importlib.import_module(f"studies.convolution.{{step}}")
    print(*[m.__file__ for name, m in sys.modules.items() if name.startswith("studies.")])"""
    lines = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env={"PYTHONPATH": str(CHECKOUT), "PATH": "/usr/bin:/bin"},
        capture_output=True, check=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    needed = {
        step: {path for path in map(Path, line.split()) if path.name != "__init__.py"}
        for step, line in zip(STEPS, lines, strict=True)
    }
    assert list(stages) == list(STEPS)
    for step, stage in stages.items():
        assert stage["cmd"].split()[3] == f"studies.convolution.{step}"
        listed = {(HERE / dep).resolve() for dep in stage["deps"] if dep.endswith(".py")}
        assert listed == needed[step], step
        assert {"../../augury", "../../models"} <= set(stage["deps"])
    assert stages["ablate"]["matrix"]["variant"] == list(VARIANTS)
    assert [name for name, stage in stages.items() if "../../data/splits/test" in stage["deps"]] == ["ablate"]
    assert not any("../../data/splits" in stage["deps"] for stage in stages.values())


def test_dvc_understands_the_study_and_begins_with_the_splits(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits"}})
    done = dvc(tmp_path / "studies/convolution", "repro", "--dry", check=False)
    assert "Running stage '../../dvc.yaml:prepare'" in done.stdout
    assert "train_gan" not in done.stdout
    names = dvc(tmp_path / "studies/convolution", "stage", "list", "--name-only").stdout.split()
    classifiers = settings(Convolution, HERE).classifiers
    assert names == [
        "checks", *(f"{step}@{name}" for step in ("fit", "look") for name in classifiers),
        *(f"ablate@{name}" for name in VARIANTS), "report",
    ]  # fmt: skip
