"""One training run: its steps, its snapshots, and the state that lets it go on after a kill.

Randomness in a step is a function of the step (seeding.py), so the state is the weights, the optimisers, the moving
average and the history, and a run that was killed ends with the same bytes as one that was not.
"""

import dataclasses
import hashlib
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, broadcast_object_list, gather_object
from PIL import Image
from torch import nn
from tqdm import tqdm

from augury.generators.sampling import progress_file, write_progress
from augury.generators.weights import save_generator
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_directory, whole_file, write_json
from augury.pipeline.sections import Training
from augury.pipeline.seeding import batch_rows
from augury.training.history import LOGS, DivergenceError, History, check_finite, schedule
from augury.training.snapshots import CRITERION, Judge, Snapshot, problems_of

STORE = Path(".cache/checkpoints")  # untracked: what is in it is lost at no cost but time
SECONDS_BETWEEN_CHECKPOINTS = 30.0
BAD_SNAPSHOTS_TO_STOP = 2  # in a row: a collapsed generator hardly ever comes back


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class UnfitError(UserError):
    """Training came to its end, and no snapshot of it is fit for use."""


class TrainingRun:
    """Hands out the steps of a budget, resumes, takes snapshots, and knows which one to keep.

    name: section of params.yaml, "train_gan.dcgan". origin: name of the generator.
    snapshot: the network that snapshots are taken of (the moving average), updated in place by the caller.
    state: all that training changes, `snapshot` included.
    at_snapshot: called before a snapshot is judged; what it returns goes into the history. May raise DivergenceError.
    chance: the discriminator's loss where it cannot tell real from generated images, None without a discriminator.
    Where the accelerator has a tracker (`start_processes`), it gets every row of the history and every sample grid.
    """

    def __init__(
        self,
        name: str,
        origin: str,
        budget: Training,
        images: ImageSet,
        validation: ImageSet,
        seed: int,
        accelerator: Accelerator,
        *,
        snapshot: nn.Module,
        state: dict[str, Stateful],
        at_snapshot: Callable[[], dict[str, float]] = dict,
        chance: float | None = None,
    ) -> None:
        self.name, self.origin, self.budget, self.seed = name, origin, budget, seed
        self.images, self.accelerator, self.chance = images, accelerator, chance
        self.snapshot, self.at_snapshot = snapshot, at_snapshot
        self.history = History()
        self.state = {**state, "history": self.history}
        with accelerator.main_process_first():  # the others find the features in the store
            self.judge = Judge(validation, origin, seed, accelerator.device)
        self.steps_total, self.due = schedule(budget.total_kimg, budget.snapshot_every_kimg, budget.batch_size)
        self.step = -1  # the last one done
        self.snapshots: list[Snapshot] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.stopped: str | None = None
        digest = self._digest(validation)
        if len(set(gather_object([digest.digest()]))) > 1:
            raise UserError(f"{name}: machines differ in params.yaml, images, code or torch; give all of them the same")
        for tensor in snapshot.state_dict().values():  # untrained, or built on another generator's weights
            digest.update(tensor.cpu().numpy().tobytes())
        self.folder = STORE / f"{name}-{digest.hexdigest()}"

    def steps(self) -> Iterator[int]:
        """The steps that are left to do. Ends early where training has diverged or collapsed."""
        self._resume()
        self._start_log()
        bar = tqdm(
            total=self.steps_total * self.budget.batch_size, initial=(self.step + 1) * self.budget.batch_size,
            unit="img", unit_scale=True, desc=self.origin, disable=None if self.accelerator.is_main_process else True,
        )  # fmt: skip
        first, spent, saved = self.step + 1, 0.0, time.monotonic()
        while self.step + 1 < self.steps_total and self.stopped is None:
            started = time.monotonic()
            yield self.step + 1
            spent += time.monotonic() - started  # without snapshots and checkpoints
            if self.stopped is not None:  # noticed by `record`
                break
            self.step += 1
            bar.update(self.budget.batch_size)
            if self.step in self.due:
                self._take_snapshot((self.step + 1 - first) / spent)
            if self.step in self.due or time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
                self._save()
                saved = time.monotonic()
        bar.close()
        for tracker in self.accelerator.trackers:
            tracker.finish()

    @property
    def images_seen(self) -> int:
        """Training images that have been shown, those before a kill included."""
        return (self.step + 1) * self.budget.batch_size

    def rows(self, step: int) -> np.ndarray:
        """This process's share of the training images of a step, (B,) int64."""
        rows = batch_rows(len(self.images), self.budget.batch_size, step, self.seed)
        return rows[self.accelerator.process_index :: self.accelerator.num_processes]

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The images at `rows(step)` and their labels (see ImageSet.batch)."""
        return self.images.batch(self.rows(step), self.accelerator.device)

    def record(self, **losses: torch.Tensor) -> None:
        """Take in the losses of the step under way, averaged over the processes; one not finite ends the run."""
        stacked: Any = torch.stack([loss.detach().float() for loss in losses.values()])
        values = self.accelerator.reduce(stacked, "mean").tolist()
        try:
            self.history.add(self.step + 1, **dict(zip(losses, values, strict=True)))
        except DivergenceError as error:
            self._stop(str(error))

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

    def publish(self, generator: Path, curve: Path) -> None:
        """Write the kept snapshot, its progress grids and training.json into a folder, and the history as CSV.

        Then the state of this run, and of unfinished ones with other params before it, is deleted.
        """
        if self.accelerator.is_main_process:
            with whole_directory(generator) as folder:
                images = self.images
                save_generator(folder, self.origin, self.snapshot, images.channels, images.class_names, images.size)
                shutil.copytree(self.folder / "progress", folder / "progress")
                write_json(
                    folder / "training.json",
                    {
                        "criterion": CRITERION,
                        "kept_kimg": self.kept.kimg,
                        "total_kimg": self.budget.total_kimg,
                        "stopped": self.stopped,
                        "snapshots": [dataclasses.asdict(each) for each in self.snapshots],
                    },
                )
            self.history.write(curve)
            for folder in STORE.glob(f"{self.name}-*"):
                (folder / "state.pt").unlink(missing_ok=True)  # first: a state without its progress grids is of no use
                shutil.rmtree(folder, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _take_snapshot(self, steps_per_second: float) -> None:
        kimg = (self.step + 1) * self.budget.batch_size / 1000
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
        self._report(row, problems, steps_per_second)
        taken = Snapshot(row["kimg"], distance, variance, problems)
        self.snapshots.append(taken)
        if not problems and self.kept is taken:
            self.best = {key: tensor.clone() for key, tensor in self.snapshot.state_dict().items()}
        # Early on, when no snapshot has been good yet, images are still forming.
        if self.best is not None and all(each.problems for each in self.snapshots[-BAD_SNAPSHOTS_TO_STOP:]):
            self._stop(f"{problems[0]} at {kimg:g} kimg, and the snapshot before was no better")
        if self.accelerator.is_main_process:
            names, device = self.images.class_names, self.accelerator.device
            write_progress(self.folder, kimg, self.snapshot, names, self.origin, self.seed, device)
        self._log(row)

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        if self.accelerator.is_main_process:
            logging.warning("%s: %s; training stopped", self.name, reason)

    def _report(self, row: dict[str, float], problems: list[str], steps_per_second: float) -> None:
        if not self.accelerator.is_main_process:
            return
        left = (self.steps_total - self.step - 1) / steps_per_second
        figures = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        speed = f"{steps_per_second * self.budget.batch_size:,.0f} img/s, {left / 60:.1f} min left"
        logging.info("%s: %s  (%s)", self.name, figures, speed)
        for problem in problems:
            logging.warning("%s: %g kimg: %s", self.name, row["kimg"], problem)

    def _start_log(self) -> None:
        """Log the history from its beginning, in place of what a run before, or this one before a kill, has logged.

        What came after the last checkpoint comes again, and would stand there twice.
        """
        if not (self.accelerator.log_with and self.accelerator.is_main_process):
            return  # without a tracker, which `_log` goes by
        shutil.rmtree(LOGS / self.origin, ignore_errors=True)
        self.accelerator.init_trackers(self.origin)
        for row in self.history.rows:
            self._log(row)

    def _log(self, row: dict[str, float]) -> None:
        """Log a row of the history and its sample grid, by the number of images seen."""
        images_seen = round(row["kimg"] * 1000)
        for tracker in self.accelerator.trackers:
            with Image.open(progress_file(self.folder, row["kimg"])) as file:
                grid = np.asarray(file).reshape(1, file.height, file.width, -1)
            tracker.log_images({"samples": grid}, step=images_seen, dataformats="NHWC")
            tracker.log({key: value for key, value in row.items() if key != "kimg"}, step=images_seen)

    def _digest(self, validation: ImageSet) -> "hashlib.blake2b":
        """Of all that the result depends on but the first weights, so that state never crosses over to another run."""
        settings = {
            "budget": self.budget.model_dump(),
            "seed": self.seed,
            "device": self.accelerator.device.type,
            "processes": self.accelerator.num_processes,
            "torch": torch.__version__,
        }
        digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=8)
        for images in (self.images, validation):
            digest.update(images.pixels.tobytes() + images.labels.tobytes())
        checkout = Path(__file__).parents[1]
        for path in sorted(
            path for folder in ("augury", "models", "stages") for path in checkout.glob(f"{folder}/*.py")
        ):
            digest.update(path.read_bytes())
        return digest

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        with whole_file(self.folder / "state.pt") as partial:
            torch.save(
                {
                    "state": {key: part.state_dict() for key, part in self.state.items()},
                    "step": self.step,
                    "snapshots": [dataclasses.asdict(snapshot) for snapshot in self.snapshots],
                    "best": self.best,
                    "stopped": self.stopped,
                },
                partial,
            )

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one; processes on other machines may not see the first one's disk."""
        path, saved = self.folder / "state.pt", None
        if self.accelerator.is_main_process and path.exists():
            saved = torch.load(path, map_location="cpu", weights_only=True)  # each part copies it to where it is
        [saved] = broadcast_object_list([saved])
        if saved is None:
            return
        for key, part in self.state.items():
            part.load_state_dict(saved["state"][key])
        self.step, self.best, self.stopped = saved["step"], saved["best"], saved["stopped"]
        self.snapshots = [Snapshot(**snapshot) for snapshot in saved["snapshots"]]
        if self.accelerator.is_main_process:
            logging.info("%s: going on after step %d of %d", self.name, self.step + 1, self.steps_total)
