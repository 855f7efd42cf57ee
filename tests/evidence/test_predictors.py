"""Which score would have told the gain: signs, exact p-values, what is missing, and when nothing can be said."""

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from augury.evidence.predictors import DIRECTIONS, Trial, predictors


def trials(gains: list[float], **scores: list[float | None]) -> list[Trial]:
    """Scores that are not given were not computed."""
    return [
        Trial(
            f"generator{number}",
            f"arm{number}",
            gain,
            dict.fromkeys(DIRECTIONS) | {name: of[number] for name, of in scores.items()},
        )
        for number, gain in enumerate(gains)
    ]


def found(of: list[Trial], confidence: float = 0.95) -> dict[str, Any]:
    result = predictors(of, confidence)
    json.dumps(result, allow_nan=False)
    assert list(result["scores"]) == list(DIRECTIONS)
    return result


RISING: list[float] = [0.01, 0.02, 0.03, 0.04]


def test_gains_and_arms_stand_beside_the_scores() -> None:
    result = found(trials([0.02, -0.01]))
    assert result["gains"] == {"generator0": 0.02, "generator1": -0.01}
    assert result["arms"] == {"generator0": "arm0", "generator1": "arm1"}


@pytest.mark.parametrize("better", [True, False])
def test_the_sign_says_whether_better_scores_went_with_larger_gains(better: bool) -> None:
    rising, falling = [1.0, 5.0, 6.0, 100.0], [100.0, 6.0, 5.0, 1.0]
    scores: dict[str, list[float | None]] = {
        name: [*(rising if (direction > 0) == better else falling)] for name, direction in DIRECTIONS.items()
    }
    assert {name for name, direction in DIRECTIONS.items() if direction < 0} == {
        "fd_over_floor", "fd_infinity", "kid", "memorised_fraction", "fid"
    }  # fmt: skip
    for entry in found(trials(RISING, **scores))["scores"].values():
        assert entry["agreement"] == pytest.approx(1 if better else -1)
        assert entry["trials"] == 4
        assert entry["p_value"] == pytest.approx(2 / math.factorial(4))


@pytest.mark.parametrize("count", [3, 5, 7])
def test_perfect_order_has_the_exact_p_value(count: int) -> None:
    gains = [number / 100 for number in range(count)]
    entry = found(trials(gains, cas=[number**2 / 100 for number in range(count)]))["scores"]["cas"]
    assert entry["agreement"] == pytest.approx(1)
    assert entry["p_value"] == pytest.approx(2 / math.factorial(count))


def test_agreement_is_spearmans_correlation() -> None:
    random = np.random.default_rng(0)
    gains, scores = random.normal(size=6).round(1).tolist(), random.integers(0, 4, 6).astype(float).tolist()
    entry = found(trials(gains, recall=scores))["scores"]["recall"]
    assert entry["agreement"] == pytest.approx(stats.spearmanr(scores, gains).statistic)
    assert 0 < entry["p_value"] <= 1


def test_no_order_at_all_has_a_p_value_of_one() -> None:
    entry = found(trials(RISING, cas=[2.0, 1.0, 1.0, 2.0]))["scores"]["cas"]
    assert entry["agreement"] == pytest.approx(0)
    assert entry["p_value"] == 1


def test_scores_or_gains_that_are_all_the_same_rank_nothing() -> None:
    nothing = {"trials": 4, "agreement": None, "p_value": None, "p_holm": None}
    assert found(trials(RISING, cas=[0.5] * 4))["scores"]["cas"] == nothing
    assert found(trials([0.01] * 4, cas=[1.0, 2.0, 3.0, 4.0]))["scores"]["cas"] == nothing


def test_trials_without_a_score_are_left_out_of_it_and_counted() -> None:
    result = found(trials(RISING, kid=[4.0, None, 2.0, 1.0], fid=[None, None, 1.0, 2.0]))["scores"]
    assert result["kid"]["trials"] == 3
    assert result["kid"]["agreement"] == pytest.approx(1)
    assert result["kid"]["p_value"] == pytest.approx(2 / 6)
    assert result["fid"] == {"trials": 2, "agreement": None, "p_value": None, "p_holm": None}
    assert result["cas"]["trials"] == 0


def test_a_score_of_zero_is_a_score() -> None:
    assert found(trials(RISING, memorised_fraction=[0.3, 0.2, 0.1, 0.0]))["scores"]["memorised_fraction"] == {
        "trials": 4, "agreement": pytest.approx(1), "p_value": pytest.approx(1 / 12), "p_holm": pytest.approx(1 / 12)
    }  # fmt: skip


def test_p_values_are_corrected_for_the_number_of_scores_that_have_one() -> None:
    perfect, reversed_, mixed = [1.0, 2, 3, 4], [4.0, 3, 2, 1], [2.0, 1, 4, 3]
    scores: dict[str, list[float | None]] = {"cas": [*perfect], "kid": [*reversed_], "recall": [*mixed]}
    result = found(trials(RISING, **scores))["scores"]
    assert result["recall"]["p_value"] > result["cas"]["p_value"]
    for name in ("cas", "kid"):
        assert result[name]["p_holm"] == pytest.approx(3 * 2 / 24)
    assert result["recall"]["p_holm"] == pytest.approx(max(3 * 2 / 24, result["recall"]["p_value"]))
    assert result["precision"]["p_holm"] is None


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_too_few_generators_are_said_to_be_too_few(count: int) -> None:
    gains = [number / 100 for number in range(count)]
    warning = found(trials(gains, cas=[*gains], kid=[*gains]))["warning"]
    assert warning.startswith(f"{count} generators are too few to say")
    assert "0.05" in warning
    if count == 4:
        assert "with 2 scores compared, the smallest corrected p-value that they can reach is 0.167" in warning


def test_enough_generators_give_no_warning() -> None:
    gains = [number / 100 for number in range(7)]
    scores: dict[str, list[float | None]] = {name: [*gains] for name in DIRECTIONS}
    result = found(trials(gains, **scores))
    assert result["warning"] is None
    assert max(entry["p_holm"] for entry in result["scores"].values()) == pytest.approx(10 * 2 / math.factorial(7))
    assert found(trials(gains, **scores), confidence=0.999)["warning"] is not None


def test_more_trials_than_can_be_permuted_in_full_give_the_same_p_value_every_time() -> None:
    random = np.random.default_rng(1)
    gains, scores = random.normal(size=9).tolist(), random.normal(size=9).tolist()
    first = found(trials(gains, cas=scores))
    assert first == found(trials(gains, cas=scores))
    assert first["scores"]["cas"]["p_value"] == pytest.approx(stats.spearmanr(scores, gains).pvalue, abs=0.05)


def grid(of_generators: list[float], noise: float) -> list[Trial]:
    """Four generators in five runs: a score and a gain that depend on the generator, and on chance."""
    random = np.random.default_rng(4)
    return [
        Trial(f"generator{number}", "arm", level + noise * random.normal(),
              dict.fromkeys(DIRECTIONS) | {"cas": level + noise * random.normal()}, f"replicate {run}")
        for run in range(5)
        for number, level in enumerate(of_generators)
    ]  # fmt: skip


def test_generators_trained_again_are_no_new_generators() -> None:
    """Four of them in one order say about as much as 2 / 4! however often they are trained, not 2 / 20!."""
    entry = found(grid([0.0, 1.0, 2.0, 3.0], noise=1e-3))["scores"]["cas"]
    assert entry["trials"] == 20
    assert entry["agreement"] > 0.9
    assert 0.01 < entry["p_value"] <= 2 / math.factorial(4)


def test_replicates_are_points_of_their_own_where_the_gain_goes_with_the_score_in_each() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=(4, 5))
    of = [
        Trial(f"generator{row}", "arm", float(values[row, run]),
              dict.fromkeys(DIRECTIONS) | {"cas": float(values[row, run])}, f"replicate {run}")
        for row in range(4)
        for run in range(5)
    ]  # fmt: skip
    entry = found(of)["scores"]["cas"]
    assert entry["agreement"] == pytest.approx(1)
    assert entry["p_value"] == pytest.approx(1 / (math.factorial(4) * math.factorial(5)))


def test_a_generator_counts_where_every_run_has_its_score() -> None:
    of = grid([0.0, 1.0, 2.0, 3.0], noise=0.1)
    without = [replace(trial, scores=dict.fromkeys(DIRECTIONS)) if trial.name == of[0].name else trial for trial in of]
    assert found(without)["scores"]["cas"]["trials"] == 15
