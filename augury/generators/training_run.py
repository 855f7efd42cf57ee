"""One training run: its steps and its snapshots, to the same bytes whether it was killed on the way or not."""

import dataclasses
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list
from torch import nn
from tqdm import tqdm

from augury.generators.batches import Batches
from augury.generators.checkpoints import Checkpoint, Stateful, digest_of
from augury.generators.history import DivergenceError, History, check_finite
from augury.generators.pace import Pace
from augury.generators.processes import recordable
from augury.generators.sampling import write_progress
from augury.generators.snapshots import Judge, Snapshot, problems_of
from augury.generators.stepper import Step, Stepper
from augury.generators.tracking import Tracking
from augury.generators.weights import save_generator
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.seeding import derive_seed
from augury.pipeline.trainings import Budget

STEPS_BETWEEN_LOOKS = 32  # at the losses: the host waits for the device then, and at snapshots
BAD_SNAPSHOTS_TO_STOP = 2  # in a row: a collapsed generator hardly ever comes back


def schedule(total_kimg: float, every_kimg: float, batch_size: int) -> tuple[int, frozenset[int]]:
    """A budget in thousands of images as (number of steps, steps after which a snapshot is due).

    Snapshots are evenly spaced, at most `every_kimg` apart (to the nearest step), and the last step has one.
    """
    steps = max(int(total_kimg > 0), round(total_kimg * 1000 / batch_size))
    count = min(steps, math.ceil(total_kimg / every_kimg - 1e-9))
    return steps, frozenset(round(steps * (snapshot + 1) / count) - 1 for snapshot in range(count))


class UnfitError(UserError):
    """Training came to its end, and no snapshot of it is fit for use."""


class TrainingRun:
    """Hands out the steps of a budget, resumes, takes snapshots, and knows which one to keep.

    name: section of params.yaml, "train_gan.dcgan". origin: name of the generator.
    snapshot: the network that snapshots are taken of (the moving average), updated in place by the caller.
    state: all that training changes, `snapshot` included.
    at_snapshot: called before a snapshot is judged; what it returns goes into the history. May raise DivergenceError.
    chance: the discriminator's loss where it cannot tell real from generated images, None without a discriminator.
    pretrained: whether the judge of snapshots is.
    Where the accelerator has a tracker (`start_processes`), it gets every row of the history and every sample grid.
    """

    def __init__(
        self,
        name: str,
        origin: str,
        budget: Budget,
        images: ImageSet,
        validation: ImageSet,
        seed: int,
        accelerator: Accelerator,
        *,
        snapshot: nn.Module,
        state: dict[str, Stateful],
        at_snapshot: Callable[[], dict[str, float]] = dict,
        chance: float | None = None,
        pretrained: bool = True,
    ) -> None:
        self.name, self.origin, self.budget, self.seed = name, origin, budget, seed
        self.images, self.accelerator, self.chance = images, accelerator, chance
        self.snapshot, self.state, self.at_snapshot = snapshot, state, at_snapshot
        self.stepper: Stepper | None = None
        self.history = History()
        with accelerator.main_process_first():  # the others find the features in the store
            self.judge = Judge(validation, origin, seed, accelerator.device, pretrained)
        self.steps_total, self.due = schedule(budget.total_kimg, budget.snapshot_every_kimg, budget.batch_size)
        self.step = -1  # the last one done
        self._losses: list[torch.Tensor] = []  # of the steps that nobody has looked at, (n,) each
        self._names: tuple[str, ...] = ()
        self.snapshots: list[Snapshot] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.stopped: str | None = None
        digest = digest_of(name, budget, (images, validation), seed, snapshot, accelerator, pretrained)
        # By the seed, as replicates may be trained at the same time.
        self.checkpoint = Checkpoint(
            f"{name}-{seed}", digest, {**state, "history": self.history, "run": self}, accelerator
        )
        self.tracking = Tracking(accelerator, f"{origin}-{seed}", self.checkpoint.folder)

    def steps(self) -> Iterator[int]:
        """The steps that are left to do. Ends early where training has diverged or collapsed."""
        if self.checkpoint.resume() and self.accelerator.is_main_process:
            logging.info("%s: going on after step %d of %d", self.name, self.step + 1, self.steps_total)
        self.tracking.start(self.history.rows)
        pace = Pace(self.name, self.budget.batch_size, self.accelerator)
        pace.warn_of_neighbours()
        if not self.steps_total and not self.snapshots:  # what is used as it came
            self._take_snapshot(math.inf)
        bar = tqdm(
            total=self.steps_total * self.budget.batch_size, initial=self.images_seen,
            unit="img", unit_scale=True, desc=self.origin, disable=None if self.accelerator.is_main_process else True,
        )  # fmt: skip
        while self.step + 1 < self.steps_total and self.stopped is None:
            with pace.step():
                yield self.step + 1
                self.step += 1
                if self.step in self.due or len(self._losses) == STEPS_BETWEEN_LOOKS:
                    self._look()
            bar.update(self.budget.batch_size)
            if self.stopped is None and self.step in self.due:
                self._take_snapshot(pace.close_interval())
                self.checkpoint.save()
            elif self.stopped is None and not self._losses:  # what nobody has looked at is never saved
                self.checkpoint.save_now_and_then()
        bar.close()
        self.tracking.finish()

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "snapshots": [dataclasses.asdict(snapshot) for snapshot in self.snapshots],
            "best": self.best,
            "stopped": self.stopped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.best, self.stopped = state["step"], state["best"], state["stopped"]
        self.snapshots = [Snapshot(**snapshot) for snapshot in state["snapshots"]]

    @property
    def images_seen(self) -> int:
        """Training images that have been shown, those before a kill included."""
        return (self.step + 1) * self.budget.batch_size

    @cached_property
    def batches(self) -> Batches:
        """What steps learn from."""
        return Batches(self.images, self.budget.batch_size, self.seed, self.accelerator, self.budget.sampling)

    def take(self, step: Step, **told: bool | float) -> None:
        """Make the step under way, on `batches`; see `Stepper` for what it may do, and be told."""
        if self.stepper is None:
            self.stepper = Stepper(
                step, self.state.values(), self.accelerator.device, recorded=recordable(self.accelerator)
            )
        number = self.step + 1
        self.batches.load(number)
        seed = derive_seed(self.seed, self.origin, number, self.accelerator.process_index)
        self.record(**self.stepper(seed, **told))

    def record(self, **losses: torch.Tensor) -> None:
        """Take in the losses of the step under way, scalars; they are looked at later."""
        self._losses.append(torch.stack([loss.detach().float() for loss in losses.values()]))
        self._names = tuple(losses)

    def _look(self) -> None:
        """Add what was recorded to the history, averaged over the processes; a loss that is not finite ends the run.

        As if it had been noticed at once: the steps from there on count as not done.
        """
        unseen, self._losses = self._losses, []
        mean: Any = self.accelerator.reduce(torch.stack(unseen), "mean")
        for number, losses in enumerate(mean.tolist(), start=self.step + 1 - len(unseen)):
            try:
                self.history.add(number, **dict(zip(self._names, losses, strict=True)))
            except DivergenceError as error:
                self.step = number - 1
                self._stop(str(error))
                return

    @property
    def kept(self) -> Snapshot:
        """Of the snapshots without problems so far (there must be one) the nearest, and of equals the first."""
        return min((each for each in self.snapshots if not each.problems), key=lambda each: each.distance)

    def keep_best(self) -> None:
        """Load the best snapshot into `snapshot`. Raises UnfitError where there is none."""
        if self.best is None:
            problem = self.stopped or "; ".join(self.snapshots[-1].problems)
            raise UnfitError(
                f"{self.name}: {problem}; no snapshot is fit for use. Lower {self.name}.learning_rate or raise "
                f"{self.name}.total_kimg"
            )
        self.snapshot.load_state_dict(self.best)
        if self.accelerator.is_main_process:
            logging.info("%s: keeping the snapshot at %g kimg", self.name, self.kept.kimg)

    def publish(self, generator: Path, curve: Path, **notes: Any) -> None:
        """Write the kept snapshot, its progress grids and training.json into a folder, and the history as CSV.

        notes: name -> content of further JSON files in the folder.
        Then the state of this run, and of unfinished ones of its seed with other params before it, is deleted.
        """
        if self.accelerator.is_main_process:
            with whole_directory(generator) as folder:
                images = self.images
                for name, content in notes.items():
                    write_json(folder / f"{name}.json", content)
                save_generator(folder, self.origin, self.snapshot, images.channels, images.class_names, images.size)
                shutil.copytree(self.checkpoint.folder / "progress", folder / "progress")
                write_json(
                    folder / "training.json",
                    {
                        "criterion": self.judge.criterion,
                        "kept_kimg": self.kept.kimg,
                        "total_kimg": self.budget.total_kimg,
                        "stopped": self.stopped,
                        "snapshots": [dataclasses.asdict(each) for each in self.snapshots],
                    },
                )
            self.history.write(curve)
            self.checkpoint.delete()
        self.accelerator.wait_for_everyone()

    def _take_snapshot(self, images_per_second: float) -> None:
        kimg = self.images_seen / 1000
        for buffer in self.snapshot.buffers():  # batch statistics differ between processes; weights do not
            broadcast(buffer)
        try:
            check_finite(self.snapshot, self.step)
            more = self.at_snapshot()
            check_finite(self.snapshot, self.step)
        except DivergenceError as error:
            self._stop(str(error))
            return
        # The first process's figures, so that all keep the same snapshot: other hardware may round otherwise.
        distance, variance = broadcast_object_list([*self.judge(self.snapshot)])
        row = self.history.close_row(kimg, **more, distance=distance, variance=variance)
        problems = problems_of(variance, row["loss_discriminator"] / self.chance if self.chance else None)
        self._report(row, problems, images_per_second)
        taken = Snapshot(row["kimg"], distance, variance, problems)
        self.snapshots.append(taken)
        if not problems and self.kept is taken:
            self.best = {key: tensor.clone() for key, tensor in self.snapshot.state_dict().items()}
        if self.best is not None:  # early on, when no snapshot has been good yet, images are still forming
            since = len(self.snapshots) - 1 - self.snapshots.index(self.kept)
            if all(each.problems for each in self.snapshots[-BAD_SNAPSHOTS_TO_STOP:]):
                self._stop(f"{problems[0]} at {kimg:g} kimg, and the snapshot before was no better")
            elif since == self.budget.patience and self.step + 1 < self.steps_total:
                self._stop(f"none of {since} snapshots was nearer than that at {self.kept.kimg:g} kimg")
        if self.accelerator.is_main_process:
            names, device = self.images.class_names, self.accelerator.device
            write_progress(self.checkpoint.folder, kimg, self.snapshot, names, self.origin, self.seed, device)
        self.tracking.add(row)

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        if self.accelerator.is_main_process:
            logging.warning("%s: %s; training stopped", self.name, reason)

    def _report(self, row: dict[str, float], problems: list[str], images_per_second: float) -> None:
        if not self.accelerator.is_main_process:
            return
        left = (self.steps_total - self.step - 1) * self.budget.batch_size / images_per_second
        figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        speed = f"  ({images_per_second:,.0f} img/s, {left / 60:.1f} min left)" if self.steps_total else ""
        logging.info("%s: %s%s", self.name, figures, speed)
        for problem in problems:
            logging.warning("%s: %g kimg: %s", self.name, row["kimg"], problem)
