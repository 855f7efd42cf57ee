"""Trials: the real trainings, begun in small, leave nothing behind, and say what was wrong."""

from pathlib import Path
from typing import Any

import pytest

from augury.generators.processes import start_processes
from augury.pipeline import params
from augury.pipeline.profiles import lay_over
from augury.preflight import trial
from augury.preflight.forecast import trainings
from augury.preflight.trial import MeasuredError, Stopwatch, lay_out, try_trainings
from augury.running.warm import warm_python
from tests import CHECKOUT


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """The project's params with small images and networks, in a folder of their own; trials start at once."""
    monkeypatch.setenv("AUGURY_WARM_PYTHON", warm_python())
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    networks: dict[str, Any] = {
        "prepare": {"image_size": 8},
        "train_gan": {name: {"network": {"width": 8}, "batch_size": 8} for name in ("dcgan", "stylegan")},
        "train_vae": {"network": {"latent_size": 8, "width": 8}, "batch_size": 8},
        "train_diffusion": {"network": {"width": 16, "depth": 1, "sampling_steps": 2}, "batch_size": 8},
    }
    lay_over(Path("params.yaml"), networks)
    return params.load()


def test_every_training_can_be_tried_and_leaves_nothing_behind(small: params.Params) -> None:
    paces = try_trainings([*trainings(small)], small, 3, 1, patience=1000, seconds=0.1)
    assert [*paces] == ["train_gan@0-dcgan", "train_gan@0-stylegan", "train_vae@0", "train_diffusion@0"]
    for pace in paces.values():
        assert isinstance(pace, float)
        assert pace > 0
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_trainings_that_fail_or_come_too_late_say_so(small: params.Params, tmp_path: Path) -> None:
    assert try_trainings(["train_vae@0"], small, 2, 3, patience=0.2) == {}
    lay_over(Path("params.yaml"), {"train_gan": {"dcgan": {"path_length_weight": 1.0}}})
    paces = try_trainings(["train_gan@0-dcgan", "train_vae@0"], params.load(), 2, 3, patience=1000, seconds=0.1)
    assert (
        paces["train_gan@0-dcgan"]
        == "train_gan.dcgan.path_length_weight: only a generator with a mapping network has paths"
    )
    assert isinstance(paces["train_vae@0"], float)  # the others are tried all the same


def test_the_first_step_does_not_count_and_the_last_is_the_one_that_goes_past_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 50.0, 50.0, 51.5, 53.0, 55.5])  # beginning and end of three steps
    monkeypatch.setattr("augury.generators.pace.time.monotonic", lambda: next(clock))
    pace = Stopwatch("train_vae@0", 10, start_processes("cpu", 10, "train_vae@0"))
    for _ in range(2):
        with pace.step():
            pass
    with pytest.raises(MeasuredError) as end, pace.step():
        pass
    assert end.value.args == (20 / 4,)
    assert next(clock, None) is None


def test_neither_snapshots_nor_trackers_nor_the_params_of_the_user_are_touched(
    small: params.Params, tmp_path: Path
) -> None:
    lay_over(Path("params.yaml"), {"log": "tensorboard"})
    before = Path("params.yaml").read_bytes()
    (tmp_path / "trial").mkdir()
    lay_out(tmp_path / "trial", small, 5, 3)
    changed = params.load(tmp_path / "trial/params.yaml")
    assert changed.log == "none"
    assert {budget.snapshot_every_kimg for budget in trainings(changed).values()} == {trial.ENDLESS}
    assert Path("params.yaml").read_bytes() == before
