"""Divergence and the history of losses."""

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from augury.generators.history import DivergenceError, History, check_finite


def test_a_row_holds_the_averages_since_the_row_before() -> None:
    history = History()
    for step, loss in enumerate((1.0, 2.0, 6.0)):
        history.add(step, kl=loss, reconstruction=-loss)
    history.close_row(0.0124, validation_loss=7.5)
    history.add(3, kl=10.0, reconstruction=20.0)
    history.close_row(2.5, validation_loss=8.0)
    assert history.rows == [
        {"kimg": 0.012, "kl": 3.0, "reconstruction": -3.0, "validation_loss": 7.5},
        {"kimg": 2.5, "kl": 10.0, "reconstruction": 20.0, "validation_loss": 8.0},
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_training_with_its_step(value: float) -> None:
    history = History()
    history.add(41, loss_generator=1.0, loss_discriminator=1.0)
    with pytest.raises(DivergenceError) as caught:
        history.add(42, loss_generator=1.0, loss_discriminator=value)
    assert str(caught.value) == f"loss_discriminator is {value} at step 42"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["weight", "running"])
def test_weights_and_buffers_that_are_not_finite_are_named_with_the_step(key: str, value: float) -> None:
    network = nn.Linear(1, 3)
    network.register_buffer("running", torch.ones(2))
    network.register_buffer("steps", torch.tensor(3))  # integers are finite
    check_finite(network, 7)
    network.state_dict()[key][1] = value
    with pytest.raises(DivergenceError) as caught:
        check_finite(network, 7)
    assert str(caught.value) == f"{key} is not finite after step 7"


@pytest.mark.parametrize("kept_after", range(5))
def test_a_history_goes_on_from_its_state_as_if_nothing_had_happened(kept_after: int) -> None:
    """Wherever it is cut, also between two rows; the state goes through a checkpoint as `TrainingRun` writes it."""
    history = whole = History()
    for step in range(5):
        for each in {id(history): history, id(whole): whole}.values():
            each.add(step, loss=1 / (step + 1), kl=float(step))
            if step in (1, 4):
                each.close_row(step / 10, distance=float(step))
        if step == kept_after:
            file = io.BytesIO()
            torch.save(history.state_dict(), file)
            file.seek(0)
            history = History()
            state: dict[str, Any] = torch.load(file, weights_only=True)
            history.load_state_dict(state)
    assert history.rows == whole.rows
    assert [row["kimg"] for row in history.rows] == [0.1, 0.4]


def test_the_history_is_a_csv_table(tmp_path: Path) -> None:
    history = History()
    for step in range(2):
        history.add(step, reconstruction=1.5, kl=0.1 + 0.2)
        history.close_row((step + 1) * 25.0, validation_loss=float(step))
    for _ in range(2):  # written again, not added to
        history.write(tmp_path / "curves" / "vae.csv")
    assert (tmp_path / "curves" / "vae.csv").read_bytes() == (
        b"kimg,reconstruction,kl,validation_loss\n25.0,1.5,0.30000000000000004,0.0\n50.0,1.5,0.30000000000000004,1.0\n"
    )
