"""The batches of a training, in tensors that stay where they are, so that a step finds them without waiting."""

import numpy as np
import torch
from accelerate import Accelerator

from augury.images.image_set import ImageSet
from augury.images.pixels import scaled
from augury.pipeline.seeding import batch_rows

STEPS_AHEAD = 32  # whose rows are sent to the device at once
LARGEST_SHARE = 0.25  # of a GPU's free memory; a set of more pixels is sent batch by batch


class Batches:
    """Deals out a set's images over the steps of a training and its processes, each image equally often.

    `load` a step, then read from within it: `rows`, (B,) int64 on the device, `images()` and `labels()`.
    """

    def __init__(self, images: ImageSet, batch_size: int, seed: int, accelerator: Accelerator) -> None:
        self.count, self.batch_size, self.seed, self.accelerator = len(images), batch_size, seed, accelerator
        device, share = accelerator.device, batch_size // accelerator.num_processes
        self.rows = torch.zeros(share, dtype=torch.int64, device=device)
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
        rows = batch_rows(self.count, self.batch_size, step, self.seed)
        return rows[self.accelerator.process_index :: self.accelerator.num_processes]

    def images(self) -> torch.Tensor:
        """(B, C, H, W) float32 in [-1, 1], channels last."""
        pixels = self._pixels.index_select(0, self.rows) if self._fits else self._pixels
        return scaled(pixels).contiguous(memory_format=torch.channels_last)

    def labels(self) -> torch.Tensor:
        """(B,) int64."""
        return self._all_labels.index_select(0, self.rows)
