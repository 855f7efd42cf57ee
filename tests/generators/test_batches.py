"""The batches of a training, step by step."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from augury.generators.batches import STEPS_AHEAD, Batches, class_members, rows_by_class
from augury.images.image_set import ImageSet
from augury.pipeline.seeding import batch_rows

CPU = torch.device("cpu")


def noise(count: int) -> ImageSet:
    random = np.random.default_rng(1)
    return ImageSet(random.integers(0, 256, (count, 8, 8, 1), np.uint8), np.arange(count) % 2, ("cat", "dog"))


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize("processes", [1, 2, 5])
def test_the_processes_share_the_images_of_a_step_among_them(processes: int, fits: bool) -> None:
    """Whether all pixels are on the device or those of the step alone; at any step, as a run may go on from there."""
    images = noise(7)
    every_process = []
    for rank in range(processes):
        accelerator: Any = SimpleNamespace(process_index=rank, num_processes=processes, device=CPU)
        batches = Batches(images, 10, 0, accelerator)
        if not fits:
            batches._fits, batches._pixels = False, torch.empty((10 // processes, 8, 8, 1), dtype=torch.uint8)
        every_process.append(batches)
    for step in (0, 1, STEPS_AHEAD - 1, STEPS_AHEAD, 3, 100):
        parts = []
        for batches in every_process:
            batches.load(step)
            parts.append((batches.images(), batches.labels()))
        assert {len(labels) for _, labels in parts} == {10 // processes}
        expected, expected_labels = images.batch(batch_rows(7, 10, step, 0), CPU)
        interleaved = torch.stack([part for part, _ in parts], dim=1).flatten(0, 1)
        assert torch.equal(interleaved, expected)
        assert torch.equal(torch.stack([labels for _, labels in parts], dim=1).flatten(), expected_labels)


def test_a_step_finds_its_images_where_those_of_the_one_before_were() -> None:
    """Which a recorded step counts on."""
    accelerator: Any = SimpleNamespace(process_index=0, num_processes=1, device=CPU)
    batches = Batches(noise(9), 4, 0, accelerator)
    batches.load(0)
    place = batches.rows.data_ptr()
    for step in (1, STEPS_AHEAD, 5):
        batches.load(step)
        assert batches.rows.data_ptr() == place
        assert batches.rows.tolist() == batch_rows(9, 4, step, 0).tolist()


def test_by_class_rare_images_are_shown_as_often_as_their_class() -> None:
    """Every class equally often to within two images, and of a class any image, by chance."""
    labels = np.array([3] * 90 + [0] * 9 + [1])  # of class 2 there are none
    members = class_members(labels)
    steps = [rows_by_class(members, 32, step, 0) for step in range(300)]
    rows = np.concatenate(steps)
    of_classes = np.bincount(labels[rows], minlength=4)
    assert of_classes[2] == 0
    assert of_classes[[0, 1, 3]].max() - of_classes[[0, 1, 3]].min() <= 2
    shown = np.bincount(rows, minlength=100)
    for of_class, expected in ((shown[:90], 3200 / 90), (shown[90:99], 3200 / 9)):
        assert np.abs(of_class - expected).max() < 5 * np.sqrt(expected)
    # A pure function of seed and step.
    assert np.array_equal(steps[7], rows_by_class(members, 32, 7, 0))
    assert not np.array_equal(steps[7], rows_by_class(members, 32, 7, 1))


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_share_the_images_of_a_step_by_class_too(processes: int) -> None:
    images = noise(7)
    parts = []
    for rank in range(processes):
        accelerator: Any = SimpleNamespace(process_index=rank, num_processes=processes, device=CPU)
        batches = Batches(images, 10, 0, accelerator, "classes")
        batches.load(STEPS_AHEAD + 1)
        parts.append(batches.rows)
    expected = rows_by_class(class_members(images.labels), 10, STEPS_AHEAD + 1, 0)
    assert torch.stack(parts, dim=1).flatten().tolist() == expected.tolist()
