"""The batches of a training, in tensors that stay where they are, so that a step finds them without waiting."""

import numpy as np
import torch
from accelerate import Accelerator

from augury.images.image_set import ImageSet
from augury.images.pixels import scaled
from augury.pipeline.seeding import batch_rows, derive_seed
from augury.pipeline.trainings import Sampling

STEPS_AHEAD = 32  # whose rows are sent to the device at once
LARGEST_SHARE = 0.25  # of a GPU's free memory; a set of more pixels is sent batch by batch


class Batches:
    """Deals out a set's images over the steps of a training and its processes, each image or class equally often.

    `load` a step, then read from within it: `rows`, (B,) int64 on the device, `images()` and `labels()`.
    """

    def __init__(
        self, images: ImageSet, batch_size: int, seed: int, accelerator: Accelerator, sampling: Sampling = "images"
    ) -> None:
        self.count, self.batch_size, self.seed, self.accelerator = len(images), batch_size, seed, accelerator
        device, share = accelerator.device, batch_size // accelerator.num_processes
        self.rows = torch.zeros(share, dtype=torch.int64, device=device)
        self._of_classes = class_members(images.labels) if sampling == "classes" else None
        self._all_labels = torch.from_numpy(images.labels).to(device)
        self._host_pixels = images.pixels
        self._fits = device.type != "cuda" or images.pixels.nbytes < LARGEST_SHARE * torch.cuda.mem_get_info(device)[0]
        # All pixels, or where they do not fit those of the step.
        self._pixels = torch.from_numpy(images.pixels).to(device) if self._fits else torch.empty(
            (share, *images.pixels.shape[1:]), dtype=torch.uint8, device=device
        )  # fmt: skip
        self._ahead, self._first = self.rows[None][:0], 0

    def load(self, step: int) -> None:
        """Have `rows`, `images` and `labels` be those of a step."""
        if not self._first <= step < self._first + len(self._ahead):
            steps = range(step, step - step % STEPS_AHEAD + STEPS_AHEAD)
            self._ahead = self._sent(np.stack([self.rows_of(each) for each in steps]))
            self._first = step
        self.rows.copy_(self._ahead[step - self._first])
        if not self._fits:
            self._pixels.copy_(self._sent(self._host_pixels[self.rows_of(step)]))

    def _sent(self, values: np.ndarray) -> torch.Tensor:
        """On the device, without waiting for it."""
        tensor, device = torch.from_numpy(values), self.rows.device
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    def rows_of(self, step: int) -> np.ndarray:
        """This process's share of the training images of a step, (B,) int64."""
        if self._of_classes is None:
            rows = batch_rows(self.count, self.batch_size, step, self.seed)
        else:
            rows = rows_by_class(self._of_classes, self.batch_size, step, self.seed)
        return rows[self.accelerator.process_index :: self.accelerator.num_processes]

    def images(self) -> torch.Tensor:
        """(B, C, H, W) float32 in [-1, 1], channels last."""
        pixels = self._pixels.index_select(0, self.rows) if self._fits else self._pixels
        return scaled(pixels).contiguous(memory_format=torch.channels_last)

    def labels(self) -> torch.Tensor:
        """(B,) int64."""
        return self._all_labels.index_select(0, self.rows)


def class_members(labels: np.ndarray) -> list[np.ndarray]:
    """The rows of each class that there are images of: labels (N,) -> (n,) int64 each."""
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def rows_by_class(members: list[np.ndarray], batch_size: int, step: int, seed: int) -> np.ndarray:
    """Rows of the batch at `step`, (B,) int64: classes take turns, and each is shown by any of its images.

    A pure function of its arguments. Any number of steps in a row show every class equally often to within two images.
    """
    classes = batch_rows(len(members), batch_size, step, derive_seed(seed, "classes"))
    sizes = np.array([len(rows) for rows in members])
    places = np.random.default_rng(derive_seed(seed, "of their class", step)).random(batch_size) * sizes[classes]
    first = np.cumsum(sizes) - sizes
    return np.concatenate(members)[first[classes] + places.astype(np.int64)]
