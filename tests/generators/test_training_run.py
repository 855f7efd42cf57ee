"""A training run on a network of one weight: its steps, the snapshot that it keeps, what stops it, and going on."""

import dataclasses
import io
import json
import logging
import math
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator, PartialState
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]
from torch import nn

from augury.generators import checkpoints, pace, snapshots, training_run
from augury.generators.checkpoints import STORE, Checkpoint
from augury.generators.history import DivergenceError
from augury.generators.snapshots import CRITERION, Judge
from augury.generators.tracking import LOGS
from augury.generators.training_run import TrainingRun, UnfitError, schedule
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.trainings import Training
from models.dcgan import DCGANConfig
from models.draws import Seeds, randn_per_image
from tests import CHECKOUT
from tests.sharing import code_of_once

NAME = "train_gan.demo"
GENERATOR, CURVE = Path("data/generators/0/demo"), Path("data/curves/0/demo.csv")
STEPS = 12  # a snapshot after every second one
BUDGET = {
    "network": {},
    "total_kimg": 0.12,
    "batch_size": 10,
    "learning_rate": 0.1,
    "ema_halflife_kimg": 1.0,
    "snapshot_every_kimg": 0.02,
    "patience": None,
}


def noise(count: int, seed: int) -> ImageSet:
    random = np.random.default_rng(seed)
    return ImageSet(random.integers(0, 256, (count, 8, 8, 1), np.uint8), np.arange(count) % 2, ("cat", "dog"))


class Counter(nn.Module):
    """A generator whose only weight counts the steps; its images vary by `variety`."""

    def __init__(self, variety: float = 1.0) -> None:
        super().__init__()
        self.config = DCGANConfig()
        self.weight = nn.Parameter(torch.zeros(()), requires_grad=False)
        self.variety = variety

    def sample(self, labels: torch.Tensor, *, generator: Seeds) -> torch.Tensor:
        return self.variety * (randn_per_image((len(labels), 1, 8, 8), generator) + self.weight / 100)


Figures = dict[int, tuple[float, float]]  # steps done -> distance, variance


class Script:
    """Stands in for the judge: says of a Counter what it was told to, and 1 of both where it was told nothing."""

    criterion = CRITERION

    def __init__(self, figures: Figures) -> None:
        self.figures = figures

    def __call__(self, network: Counter) -> tuple[float, float]:
        return self.figures.get(int(network.weight), (1.0, 1.0))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainingRun]:
    """Starts a run whose snapshots are judged by a script."""

    def start(
        figures: Figures | None = None,
        *,
        name: str = NAME,
        chance: float | None = None,
        images: ImageSet | None = None,
        validation: ImageSet | None = None,
        seed: int = 0,
        accelerator: Any = None,
        model: Counter | None = None,
        **budget: Any,
    ) -> TrainingRun:
        monkeypatch.setattr(training_run, "Judge", lambda *_: Script(figures or {}))
        monkeypatch.setattr(checkpoints, "code_of", code_of_once)
        monkeypatch.setattr(pace, "busy_elsewhere", lambda: 0.0)
        network = model or Counter()
        return TrainingRun(
            name, "demo", Training.model_validate(BUDGET | budget), images or noise(7, seed=1),
            validation or noise(4, seed=2), seed, accelerator or Accelerator(cpu=True),
            snapshot=network, state={"network": network}, chance=chance,
        )  # fmt: skip

    return start


def follow(run: TrainingRun, losses: dict[int, float] | None = None, stop_in: int | None = None) -> list[int]:
    """Train, and return the steps that were handed out. Given `stop_in`, walk away in the middle of that step."""
    steps = []
    for step in run.steps():
        steps.append(step)
        network: Any = run.snapshot
        network.weight.fill_(step + 1)
        if step == stop_in:
            break
        run.record(loss_discriminator=torch.tensor((losses or {}).get(step, 1.0), requires_grad=True))
    return steps


def finish(run: TrainingRun, losses: dict[int, float] | None = None) -> dict[str, bytes]:
    """Train to the end, publish, and return every file that is left of it."""
    follow(run, losses)
    run.keep_best()
    run.publish(GENERATOR, CURVE)
    return {
        str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file() and "features" not in str(path)
    }


def kept() -> float:
    """How many steps the published network has seen."""
    return load_file(GENERATOR / "model.safetensors")["weight"].item()


def described() -> dict[str, Any]:
    return json.loads((GENERATOR / "training.json").read_text())


# Steps, batches, history.


@pytest.mark.parametrize(
    ("total", "every", "batch", "steps", "snapshots"),
    [
        (60, 10, 64, 938, [155, 312, 468, 624, 781, 937]),
        (1, 1, 100, 10, [9]),
        (0.5, 100, 100, 5, [4]),
        (0.3, 0.01, 100, 3, [0, 1, 2]),
    ],
)
def test_snapshots_are_evenly_spaced_and_end_with_the_last_step(
    total: float, every: float, batch: int, steps: int, snapshots: list[int]
) -> None:
    counted, due = schedule(total, every, batch)
    assert counted == steps
    assert sorted(due) == pytest.approx(snapshots, abs=1)
    assert max(due) == steps - 1


def test_every_step_of_the_budget_is_handed_out_once_and_snapshots_when_they_are_due(
    start: Callable[..., TrainingRun],
) -> None:
    run = start({2: (8.0, 0.5), 4: (7.0, 0.6)}, total_kimg=0.07)
    assert follow(run, {0: 1.0, 1: 3.0, 2: 4.0, 3: 6.0}) == [0, 1, 2, 3, 4, 5, 6]
    first = {"kimg": 0.02, "loss_discriminator": 2.0, "distance": 8.0, "variance": 0.5}
    assert run.history.rows[0] == first
    assert run.history.rows[1]["loss_discriminator"] == 5.0
    assert [row["kimg"] for row in run.history.rows] == [0.02, 0.04, 0.05, 0.07]
    assert [each.kimg for each in run.snapshots] == [0.02, 0.04, 0.05, 0.07]


def test_what_is_measured_at_a_snapshot_enters_the_history_before_it_is_judged(
    start: Callable[..., TrainingRun],
) -> None:
    run = start({3: (0.25, 1.0)}, snapshot_every_kimg=0.12)

    def refine() -> dict[str, float]:
        network: Any = run.snapshot
        network.weight.fill_(3)
        return {"validation_loss": 5.0}

    run.at_snapshot = refine
    follow(run)
    assert [list(row) for row in run.history.rows] == [
        ["kimg", "loss_discriminator", "validation_loss", "distance", "variance"]
    ]
    assert run.history.rows[0]["distance"] == 0.25
    assert run.history.rows[0]["validation_loss"] == 5.0


def test_a_loss_that_carries_a_gradient_gives_no_warning(start: Callable[..., TrainingRun]) -> None:
    run = start()
    torch.set_warn_always(True)  # else torch warns once a process, and perhaps not in this test
    try:
        for _ in run.steps():
            run.record(loss=torch.tensor(2.0, requires_grad=True) * 2, kl=torch.tensor(3.0, dtype=torch.bfloat16))
    finally:
        torch.set_warn_always(False)
    assert {(row["loss"], row["kl"]) for row in run.history.rows} == {(4.0, 3.0)}


# Which snapshot is kept.


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ({2: (5.0, 1.0), 4: (3.0, 1.0), 6: (4.0, 1.0), 8: (3.5, 1.0), 10: (9.0, 1.0), 12: (8.0, 1.0)}, 4),
        ({2: (0.5, 1.0)}, 2),
        ({12: (0.5, 1.0)}, 12),
        ({}, 2),  # all alike: the first
        ({4: (0.2, 0.0), 6: (0.5, 1.0)}, 6),  # collapsed, and yet the nearest
        ({2: (0.1, 0.0), 4: (0.2, 0.0), 6: (0.3, 0.0), 8: (3.0, 1.0), 10: (2.0, 1.0), 12: (4.0, 1.0)}, 10),
    ],
)
def test_the_nearest_of_the_good_snapshots_is_kept(
    figures: Figures, best: int, start: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        finish(start(figures))
    assert kept() == best
    content = described()
    assert content["kept_kimg"] == best / 100
    assert content["stopped"] is None
    assert f"{NAME}: keeping the snapshot at {best / 100:g} kimg" in caplog.messages


def test_images_all_alike_are_never_kept_though_they_were_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real judge on validation images that hardly differ: one gray for all is nearer than noise."""
    monkeypatch.setattr(snapshots, "DRAWN", 20)
    faint = noise(10, seed=2)
    faint.pixels[:] = 126 + faint.pixels // 60
    network = Counter(variety=0.02)
    run = TrainingRun(
        NAME, "demo", Training.model_validate(BUDGET), noise(7, seed=1), faint, 0, Accelerator(cpu=True),
        snapshot=network, state={"network": network},
    )  # fmt: skip
    assert isinstance(run.judge, Judge)
    for step in run.steps():
        network.weight.fill_(step + 1)
        network.variety = 0.0 if step == 5 else 0.5
        run.record(loss=torch.tensor(1.0))
    collapsed, *others = sorted(run.snapshots, key=lambda each: each.distance)
    assert collapsed.kimg == 0.06
    assert [problem.partition(":")[0] for problem in collapsed.problems] == ["collapsed"]
    run.keep_best()
    assert run.kept is others[0]
    assert int(network.weight) == round(others[0].kimg * 100)


def test_what_is_published_can_be_told_from_its_description(start: Callable[..., TrainingRun]) -> None:
    files = finish(start({2: (5.0, 1.0), 4: (4.5, 0.05), 6: (3.0, 0.8), 8: (6.0, 0.9)}, total_kimg=0.08))
    assert described() == {
        "criterion": CRITERION,
        "kept_kimg": 0.06,
        "total_kimg": 0.08,
        "stopped": None,
        "snapshots": [
            {"kimg": 0.02, "distance": 5.0, "variance": 1.0, "problems": []},
            {
                "kimg": 0.04, "distance": 4.5, "variance": 0.05,
                "problems": ["collapsed: images vary 0.05 times as much as real ones"],
            },
            {"kimg": 0.06, "distance": 3.0, "variance": 0.8, "problems": []},
            {"kimg": 0.08, "distance": 6.0, "variance": 0.9, "problems": []},
        ],
    }  # fmt: skip
    folder = str(GENERATOR)
    grids = [f"{folder}/progress/kimg_{kimg}.png" for kimg in ("00000.020", "00000.040", "00000.060", "00000.080")]
    assert sorted(files) == sorted(
        [str(CURVE), f"{folder}/config.json", f"{folder}/model.safetensors", f"{folder}/training.json", *grids]
    )
    config = json.loads(files[f"{folder}/config.json"])
    assert (config["generator"], config["class_names"], config["image_size"]) == ("demo", ["cat", "dog"], 8)
    lines = files[str(CURVE)].decode().splitlines()
    assert lines[0] == "kimg,loss_discriminator,distance,variance"
    assert lines[3] == "0.06,1.0,3.0,0.8"
    assert len(lines) == 5


# What stops a run.


def stops_after(steps: int, run: TrainingRun, caplog: pytest.LogCaptureFixture, words: str) -> None:
    """The run hands out so many steps, says why in one warning, and leaves the reason in training.json."""
    assert len(follow(run)) == steps
    run.keep_best()
    run.publish(GENERATOR, CURVE)
    assert words in described()["stopped"]
    [warning] = [message for message in caplog.messages if message.endswith("; training stopped")]
    assert warning == f"{NAME}: {described()['stopped']}; training stopped"


def test_two_collapsed_snapshots_in_a_row_after_a_good_one_stop_training(
    start: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    run = start({4: (0.5, 1.0), 6: (0.1, 0.03), 8: (0.1, 0.02), 10: (0.1, 1.0)})
    stops_after(8, run, caplog, "collapsed: images vary 0.02 times as much as real ones at 0.08 kimg")
    assert kept() == 4
    assert len(described()["snapshots"]) == 4
    assert any(
        message == f"{NAME}: 0.06 kimg: collapsed: images vary 0.03 times as much as real ones"
        for message in caplog.messages
    )


def test_collapsed_snapshots_with_a_good_one_in_between_do_not(start: Callable[..., TrainingRun]) -> None:
    run = start({4: (0.1, 0.0), 8: (0.1, 0.0), 12: (0.1, 0.0)})
    assert len(follow(run)) == STEPS
    assert run.stopped is None


@pytest.mark.parametrize(("patience", "steps"), [(None, STEPS), (1, 6), (2, 10), (3, STEPS)])
def test_training_ends_where_no_snapshot_was_nearer_for_as_long_as_its_patience(
    patience: int | None, steps: int, start: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    """At the last snapshot it ends anyway, which is no reason to give."""
    figures: Figures = {2: (5.0, 1.0), 4: (3.0, 1.0), 6: (3.0, 1.0), 8: (0.1, 0.0), 10: (4.0, 1.0), 12: (9.0, 1.0)}
    figures |= {6: (2.0, 1.0)} if patience != 1 else {}
    run = start(figures, patience=patience)
    assert len(follow(run)) == steps
    run.keep_best()
    at = 0.04 if patience == 1 else 0.06
    assert run.kept.kimg == at
    ended = f"none of {patience} snapshots was nearer than that at {at:g} kimg"
    assert run.stopped == (ended if steps < STEPS else None)
    assert (f"{NAME}: {ended}; training stopped" in caplog.messages) == (steps < STEPS)


def test_nor_do_those_before_the_first_good_one(start: Callable[..., TrainingRun]) -> None:
    """Early on, images are still forming."""
    run = start({2: (9.0, 0.0), 4: (9.0, 0.0), 6: (9.0, 0.0), 8: (9.0, 0.0), 10: (9.0, 1.0), 12: (9.5, 0.0)})
    finish(run)
    assert run.stopped is None
    assert kept() == 10


def refusal(run: TrainingRun, kind: type[UserError]) -> str:
    """The one line by which no snapshot is kept; nothing is written."""
    with pytest.raises(kind) as caught:
        run.keep_best()
    assert not Path("data").exists()
    [line] = str(caught.value).splitlines()
    return line


def test_where_every_snapshot_has_collapsed_none_is_kept(start: Callable[..., TrainingRun]) -> None:
    run = start({2 * snapshot: (9.0, snapshot / 1000) for snapshot in range(1, 7)})
    assert len(follow(run)) == STEPS
    assert refusal(run, UnfitError) == (
        f"{NAME}: collapsed: images vary 0.006 times as much as real ones; no snapshot is fit for use. "
        f"Lower {NAME}.learning_rate or raise {NAME}.total_kimg"
    )


def test_a_saturated_discriminator_stops_training(
    start: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    """Its loss is averaged since the snapshot before, and compared with that of guessing."""
    losses = dict.fromkeys(range(STEPS), 0.03)
    losses |= {4: 0.0, 5: 0.042}  # 0.021 on average: just above a hundredth
    losses |= {6: 0.038, 7: 0.0, 8: 0.0, 9: 0.019}  # 0.019 and 0.0095: below
    run = start({8: (0.1, 1.0)}, chance=2.0)
    assert len(follow(run, losses)) == 10
    assert [bool(each.problems) for each in run.snapshots] == [False, False, False, True, True]
    assert run.stopped is not None
    assert run.stopped.startswith("discriminator saturated: its loss is 0.0047 times that of guessing at 0.1 kimg")
    run.keep_best()
    assert run.kept.kimg == 0.02
    assert any("0.08 kimg: discriminator saturated" in message for message in caplog.messages)


def test_without_a_discriminator_a_small_loss_is_no_problem(start: Callable[..., TrainingRun]) -> None:
    run = start(chance=None)
    assert len(follow(run, dict.fromkeys(range(STEPS), 0.0))) == STEPS
    assert run.stopped is None


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("step", [4, 5, 6, 11])
def test_a_loss_that_is_not_finite_falls_back_to_the_best_snapshot(
    step: int, loss: float, start: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    """Also in the step after which a snapshot is due, and in the last one; it is looked for before each snapshot."""
    run = start({2: (0.5, 1.0), 4: (0.7, 1.0)})
    assert follow(run, {step: loss}) == list(range(step // 2 * 2 + 2))
    assert run.images_seen == 10 * step
    reason = f"loss_discriminator is {loss} at step {step}"
    assert [message for message in caplog.messages if "stopped" in message] == [f"{NAME}: {reason}; training stopped"]
    run.keep_best()
    run.publish(GENERATOR, CURVE)
    assert kept() == 2
    assert described()["stopped"] == reason
    assert len(CURVE.read_text().splitlines()) == 1 + step // 2
    assert not list(STORE.iterdir())


def test_weights_that_are_not_finite_fall_back_to_the_best_snapshot(
    start: Callable[..., TrainingRun], caplog: pytest.LogCaptureFixture
) -> None:
    """Which shows only in the snapshot."""
    run = start()
    network: Any = run.snapshot
    for step in run.steps():
        network.weight.fill_(step + 1 if step < 5 else math.nan)
        run.record(loss=torch.tensor(1.0))
    assert step == 5
    assert run.stopped == "weight is not finite after step 5"
    assert f"{NAME}: {run.stopped}; training stopped" in caplog.messages
    run.keep_best()
    assert int(network.weight) == 2


@pytest.mark.parametrize("by_itself", [True, False])
def test_so_does_what_is_not_finite_in_what_is_fitted_at_a_snapshot(
    by_itself: bool, start: Callable[..., TrainingRun]
) -> None:
    """Whether `at_snapshot` says so itself, or leaves it in the weights."""
    run = start()
    network: Any = run.snapshot

    def fit() -> dict[str, float]:
        if run.step < 5:
            return {}
        if by_itself:
            raise DivergenceError("the prior is not finite")
        network.weight.fill_(math.inf)
        return {}

    run.at_snapshot = fit
    assert follow(run) == list(range(6))
    assert run.stopped == ("the prior is not finite" if by_itself else "weight is not finite after step 5")
    run.keep_best()
    assert int(network.weight) == 2


@pytest.mark.parametrize("figures", [{}, {2: (1.0, 0.0)}])
def test_what_diverges_before_any_good_snapshot_is_one_line_with_the_key(
    figures: Figures, start: Callable[..., TrainingRun]
) -> None:
    run = start(figures)
    step = 3 if figures else 1
    follow(run, {step: math.nan})
    assert refusal(run, UserError) == (
        f"{NAME}: loss_discriminator is nan at step {step}; no snapshot is fit for use. "
        f"Lower {NAME}.learning_rate or raise {NAME}.total_kimg"
    )


# Going on after a kill.


@pytest.mark.parametrize("seconds", [0.0, math.inf])
@pytest.mark.parametrize("killed_in", range(STEPS))
def test_a_run_cut_off_in_any_step_ends_with_the_same_bytes(
    killed_in: int, seconds: float, start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """With a checkpoint after every step, or only at snapshots, from which the steps since are done again."""
    figures: Figures = {2: (5.0, 0.0), 4: (3.0, 1.0), 6: (2.0, 1.0), 8: (0.1, 0.0), 10: (4.0, 1.0), 12: (3.0, 1.0)}
    losses = {step: 1 / (1 + step) for step in range(STEPS)}
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_CHECKPOINTS", seconds)
    expected = finish(start(figures), losses)
    monkeypatch.setattr(training_run, "STEPS_BETWEEN_LOOKS", 1)  # what has not been looked at is not saved
    shutil.rmtree("data")

    follow(start(figures), losses, stop_in=killed_in)
    run = start(figures)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        steps = follow(run, losses)
    first = killed_in if seconds == 0 else killed_in // 2 * 2
    assert steps == list(range(first, STEPS))
    line = f"{NAME}: going on after step {first} of {STEPS}"
    assert (line in caplog.messages) == (first > 0)
    run.keep_best()
    run.publish(GENERATOR, CURVE)
    assert {str(path): path.read_bytes() for path in Path("data").rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("cause", ["collapsed", "not finite", "weights not finite", "finished"])
def test_a_run_that_has_ended_hands_out_no_more_steps(cause: str, start: Callable[..., TrainingRun]) -> None:
    """Killed between its end and the publication: the end is in the checkpoint, or comes again at the same step."""
    figures: Figures = {4: (0.1, 0.0), 6: (0.1, 0.0)} if cause == "collapsed" else {}
    losses = {5: math.nan} if cause == "not finite" else {}

    def train() -> tuple[TrainingRun, list[int]]:
        run = start(figures)
        if cause != "weights not finite":
            return run, follow(run, losses)
        network: Any = run.snapshot
        steps = []
        for step in run.steps():
            steps.append(step)
            network.weight.fill_(math.nan if step == 5 else step + 1)
            run.record(loss_discriminator=torch.tensor(1.0))
        return run, steps

    first, _ = train()
    second, steps = train()
    assert steps == ([4, 5] if cause == "not finite" else [])
    assert second.stopped == first.stopped
    assert second.snapshots == first.snapshots
    assert second.history.rows == first.history.rows
    for run in (first, second):
        run.keep_best()
    assert dataclasses.asdict(second.kept) == dataclasses.asdict(first.kept)
    assert second.snapshot.state_dict() == first.snapshot.state_dict()


def test_a_publication_cut_off_at_any_of_its_writes_is_made_again(
    start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a file or folder is renamed or deleted, the process dies before or after it."""
    expected = finish(start())
    rename, remove = Path.replace, shutil.rmtree

    class KilledError(BaseException):
        pass

    def dies(at: int, after: bool, count: list[int], action: Callable[..., Any]) -> Callable[..., Any]:
        def act(path: Any, *arguments: Any, **keywords: Any) -> Any:
            count[0] += 1
            if count[0] == at and not after:
                raise KilledError
            result = action(path, *arguments, **keywords)
            if count[0] == at:
                raise KilledError
            return result

        return act

    moments = 0
    for after in (False, True):
        for at in range(1, 100):
            shutil.rmtree("data")
            run = start()
            follow(run)
            run.keep_best()
            count = [0]
            with monkeypatch.context() as patch:
                patch.setattr(Path, "replace", dies(at, after, count, rename))
                patch.setattr(shutil, "rmtree", dies(at, after, count, remove))
                try:
                    run.publish(GENERATOR, CURVE)
                except KilledError:
                    moments += 1
                else:
                    break
            assert finish(start()) == expected
    assert moments >= 10


def test_a_deletion_of_the_checkpoint_cut_off_halfway_leaves_none_to_go_on_from(
    start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next run would find its last step done, but not the progress grids that went first."""
    expected = finish(start())
    run = start()
    follow(run)
    run.keep_best()
    remove = shutil.rmtree

    def halfway(path: Path, **keywords: Any) -> None:
        if STORE in Path(path).parents:
            remove(path / "progress")
            raise KeyboardInterrupt
        remove(path, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", halfway)
        with pytest.raises(KeyboardInterrupt):
            run.publish(GENERATOR, CURVE)
    assert finish(start()) == expected


# What is logged to TensorBoard.


def logging_accelerator() -> Accelerator:
    return Accelerator(cpu=True, log_with="tensorboard", project_dir=LOGS)


def logged(origin: str = "demo-0") -> tuple[dict[str, list[tuple[int, float]]], list[tuple[int, bytes]]]:
    """Scalars by name and images, each with the number of images seen."""
    events = EventAccumulator(str(LOGS / origin), size_guidance={"images": 0, "scalars": 0}).Reload()
    tags = events.Tags()
    assert tags["images"] == ["samples"]
    images = [(event.step, event.encoded_image_string) for event in events.Images("samples")]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags["scalars"]}, images


def test_rows_and_sample_grids_are_logged_by_the_number_of_images_seen(start: Callable[..., TrainingRun]) -> None:
    run = start({2: (8.0, 0.5), 4: (7.0, 0.6)}, total_kimg=0.07, accelerator=logging_accelerator())
    finish(run, {0: 1.0, 1: 3.0})
    scalars, images = logged()
    assert scalars == {
        "loss_discriminator": [(20, 2.0), (40, 1.0), (50, 1.0), (70, 1.0)],
        "distance": [(20, 8.0), (40, 7.0), (50, 1.0), (70, 1.0)],
        "variance": [(20, 0.5), (40, pytest.approx(0.6)), (50, 1.0), (70, 1.0)],
    }
    assert [step for step, _ in images] == [20, 40, 50, 70]
    for step, encoded in images:
        with Image.open(GENERATOR / "progress" / f"kimg_00000.{step:03d}.png") as file:
            grid = np.asarray(file.convert("RGB"))
        with Image.open(io.BytesIO(encoded)) as file:
            np.testing.assert_array_equal(np.asarray(file.convert("RGB")), grid)


def test_what_is_published_does_not_depend_on_the_log(start: Callable[..., TrainingRun]) -> None:
    losses = {step: 1 / (1 + step) for step in range(STEPS)}
    without = start()
    expected = finish(without, losses)
    assert not LOGS.exists()
    shutil.rmtree("data")
    run = start(accelerator=logging_accelerator())
    assert run.checkpoint.folder == without.checkpoint.folder
    published = finish(run, losses)
    assert {path: content for path, content in published.items() if str(LOGS) not in path} == expected
    assert any(str(LOGS) in path for path in published)


@pytest.mark.parametrize("killed_in", [1, 2, 5, 11])
@pytest.mark.parametrize("moment", ["in a step", "before the checkpoint"])
def test_a_run_cut_off_and_gone_on_with_is_logged_as_one_that_was_not(
    killed_in: int, moment: str, start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where more was logged than the checkpoint holds."""
    figures: Figures = {2 * snapshot: (float(snapshot), 1.0) for snapshot in range(1, 7)}
    finish(start(figures, accelerator=logging_accelerator()))
    expected = logged()
    assert len(expected[1]) == 6
    shutil.rmtree(LOGS)

    class KilledError(BaseException):
        pass

    def die(self: Checkpoint) -> None:
        if run.step >= killed_in:
            raise KilledError
        save(self)

    save = Checkpoint.save
    run = start(figures, accelerator=logging_accelerator())
    if moment == "in a step":
        follow(run, stop_in=killed_in)
    else:
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", die)
            with pytest.raises(KilledError):
                follow(run)
    [tracker] = run.accelerator.trackers
    tracker.finish()
    finish(start(figures, accelerator=logging_accelerator()))
    assert logged() == expected


def test_a_new_run_takes_the_place_of_the_one_before_in_the_log(start: Callable[..., TrainingRun]) -> None:
    LOGS.joinpath("other").mkdir(parents=True)
    finish(start({2: (9.0, 1.0)}, accelerator=logging_accelerator()))
    finish(start({2: (8.0, 1.0)}, learning_rate=0.2, total_kimg=0.04, accelerator=logging_accelerator()))
    assert logged()[0]["distance"] == [(20, 8.0), (40, 1.0)]
    finish(start({2: (7.0, 1.0)}))  # logged to nothing, and nothing to what is there
    assert logged()[0]["distance"] == [(20, 8.0), (40, 1.0)]
    assert {path.name for path in LOGS.iterdir()} == {"demo-0", "other"}


def test_only_the_main_process_logs(start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch) -> None:
    LOGS.joinpath("demo-0").mkdir(parents=True)
    monkeypatch.setattr(PartialState, "is_main_process", property(lambda self: False))
    follow(start(accelerator=logging_accelerator()))
    assert list(LOGS.rglob("*")) == [LOGS / "demo-0"]


# Whose checkpoint is picked up.


def test_publishing_deletes_the_checkpoints_of_this_section_and_seed_alone(start: Callable[..., TrainingRun]) -> None:
    follow(start(learning_rate=0.2), stop_in=5)  # of other params, never finished
    follow(start(name="train_gan.demo2"), stop_in=5)
    follow(start(name="train_vae"), stop_in=5)
    follow(start(seed=10), stop_in=5)  # of a replicate that is trained at the same time
    assert len(list(STORE.iterdir())) == 4
    finish(start())
    left = ["train_gan.demo-10", "train_gan.demo2-0", "train_vae-0"]
    assert sorted(path.name.rpartition("-")[0] for path in STORE.iterdir()) == left


def test_a_checkpoint_is_kept_where_no_snapshot_was_fit_for_use(start: Callable[..., TrainingRun]) -> None:
    """Running it again says the same at once."""
    figures: Figures = {steps: (1.0, 0.0) for steps in range(STEPS + 1)}
    follow(start(figures))
    run = start(figures)
    assert follow(run) == []
    with pytest.raises(UnfitError, match="no snapshot is fit for use"):
        run.keep_best()


def processes(count: int, device: str = "cpu") -> Any:
    return SimpleNamespace(device=torch.device(device), num_processes=count, main_process_first=nullcontext)


def other_pixel() -> ImageSet:
    images = noise(7, seed=1)
    images.pixels[3, 2, 1, 0] ^= 1
    return images


def other_label(count: int, seed: int) -> ImageSet:
    images = noise(count, seed)
    images.labels[1] = 0
    return images


def started_weight() -> Counter:
    network = Counter()
    network.weight.fill_(0.5)
    return network


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"learning_rate": 0.2},
        {"network": {"width": 3}},
        {"batch_size": 5},
        {"snapshot_every_kimg": 0.03},
        {"images": other_pixel()},
        {"images": other_label(7, seed=1)},
        {"validation": other_label(4, seed=2)},
        {"validation": noise(4, seed=3)},
        {"accelerator": processes(2)},
        {"accelerator": processes(1, device="cuda")},
        {"model": started_weight()},  # say, with the latents of another autoencoder
    ],
    ids=str,
)
def test_another_run_starts_afresh(change: dict[str, Any], start: Callable[..., TrainingRun]) -> None:
    same = start()
    assert start().checkpoint.folder == same.checkpoint.folder
    assert start(**change).checkpoint.folder != same.checkpoint.folder
    follow(same, stop_in=5)
    assert next(start().steps()) == 4  # the same goes on
    if "accelerator" not in change:
        assert next(start(**change).steps()) == 0


def test_machines_that_were_not_given_the_same_are_told(
    start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "gather_object", lambda own: [*own, b"another machine's"])
    with pytest.raises(UserError, match=f"^{NAME}: machines differ in params.yaml, images, code or torch; "):
        start()


def test_another_number_of_threads_starts_afresh(two_threads: None, start: Callable[..., TrainingRun]) -> None:
    """What was cut off with two threads and went on with one would have bytes that neither number gives."""
    follow(start(), stop_in=5)
    torch.set_num_threads(1)
    assert next(start().steps()) == 0
    torch.set_num_threads(2)
    assert next(start().steps()) == 4


def test_another_torch_starts_afresh(start: Callable[..., TrainingRun], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = start().checkpoint.folder
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert start().checkpoint.folder != folder


@pytest.mark.parametrize(
    ("path", "starts_afresh"),
    [
        ("stages/train_gan.py", True),
        ("augury/generators/training_run.py", True),
        ("augury/images/codec.py", True),
        ("models/dcgan.py", True),
        ("models/latent_vae.py", True),  # imported within a function
        ("stages/train_vae.py", False),
        ("augury/report/pages.py", False),
    ],
)
def test_another_line_in_what_the_stage_imports_starts_afresh(
    path: str, starts_afresh: bool, start: Callable[..., TrainingRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("augury", "models", "stages"):
        shutil.copytree(CHECKOUT / folder, tmp_path / "checkout" / folder)
    monkeypatch.setattr(checkpoints, "CHECKOUT", tmp_path / "checkout")
    before = start().checkpoint.folder
    assert start().checkpoint.folder == before
    with (tmp_path / "checkout" / path).open("a") as file:
        file.write("#\n")
    assert (start().checkpoint.folder != before) == starts_afresh
