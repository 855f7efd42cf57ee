"""Differences in what is not the measure: the bootstrap's mean squares, and what it needs of memory."""

import numpy as np
import pytest

from augury.evidence import others as module
from augury.evidence.crossed import Crossed
from augury.evidence.gains import Gains
from augury.evidence.measures import OTHERS, Measure
from augury.evidence.others import Others
from tests.evidence.drawn import draw_runs

REPLICATES = {0: [0, 1, 2], 1: [0, 1], 2: [0, 1]}


@pytest.fixture(scope="module")
def gains() -> Gains:
    runs = draw_runs(np.random.default_rng(0), {"classic": 0.0, "vae": 5.0}, REPLICATES, images=800)
    return Gains(runs, "classic", Measure.of("accuracy", []))


def test_a_mean_has_the_interval_of_the_crossed_analysis(gains: Gains) -> None:
    """The likelihood is a mean over images, so that nothing has to be resampled to know its interval."""
    found = Others(gains, resamples=2000, seed=0)
    rows = []
    for of_arms in gains.runs.values():
        arm, reference = (-np.log(of_arms[name].truth[:2].astype(float)) for name in ("vae", "classic"))
        rows.append((arm - reference).mean(axis=0))
    expected = Crossed.of(np.stack(rows))
    gain, low, high = found.differences("vae", "this budget", 0.05)["nll"]
    assert gain == pytest.approx(expected.gain)
    assert (low, high) == pytest.approx(expected.interval(0.05), abs=0.1 * expected.half_width(0.05))


def test_a_better_arm_is_better_in_everything(gains: Gains) -> None:
    found = Others(gains, resamples=200, seed=0)
    for scope in gains.scopes:
        differences = found.differences("vae", scope, 0.05)
        assert list(differences) == list(OTHERS)
        assert differences["macro_f1"][1] > 0
        assert differences["nll"][2] < 0
        assert all(low <= gain <= high for gain, low, high in differences.values())


def test_many_images_are_weighted_in_parts(gains: Gains, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = Others(gains, resamples=50, seed=0).resampled
    monkeypatch.setattr(module, "WEIGHTS_AT_ONCE", 800 * 20)
    in_parts = Others(gains, resamples=50, seed=0).resampled
    for key, values in at_once.items():
        assert in_parts[key].shape == values.shape == (len(REPLICATES[key[0]]), 51, len(OTHERS))
        assert in_parts[key][:, 0] == pytest.approx(values[:, 0])
        assert in_parts[key].std(axis=1) == pytest.approx(values.std(axis=1), rel=0.5)
