"""Run lengths: those of COCO's format, back and forth."""

import json

import numpy as np
import pytest

from augury.export.run_lengths import decoded, encoded


def test_runs_go_down_the_columns_and_begin_with_the_ground() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)
    assert json.loads(encoded(mask) or "") == {"size": [2, 3], "counts": [2, 3, 1]}
    assert json.loads(encoded(~mask) or "") == {"size": [2, 3], "counts": [0, 2, 3, 1]}
    assert json.loads(encoded(np.ones((2, 2), bool)) or "") == {"size": [2, 2], "counts": [0, 4]}
    assert encoded(np.zeros((2, 3), bool)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (6, 9)])
def test_masks_come_back(shape: tuple[int, int]) -> None:
    for seed in range(20):
        mask = np.random.default_rng(seed).random(shape) < 0.5
        mask[0, 0] |= not mask.any()
        text = encoded(mask)
        assert text is not None
        np.testing.assert_array_equal(decoded(text), mask)
