"""Fit the learning curve and place the main pipeline's arms on it: `python -m studies.exchange_rate.fit`."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.results import Results
from augury.evidence.verdicts import NO_WEIGHT, SET
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from augury.report.numbers import number, points_between, points_of
from studies.exchange_rate import learning_curve
from studies.exchange_rate.drawings import exchange_plot, worth_of
from studies.exchange_rate.learning_curve import LearningCurve
from studies.exchange_rate.measure import ExchangeRate
from studies.gains import holds_for
from studies.page import Page, Table, listed
from studies.workspace import ROOT, load_params, reference_arm, run

LAW = "accuracy(n) = a − b n^−c"


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(ExchangeRate, here, root)
    reference_arm(top, study.reference)
    budget = top.prepare.labels_per_class
    if budget is None:
        raise UserError("prepare.labels_per_class: null; an exchange rate needs a budget of labels, such as 100")
    points = [
        [read_json(here / "points" / f"{labels}-{draw}.json") for draw in study.draws]
        for labels in study.labels_per_class
    ]
    labels = np.array(study.labels_per_class, float)
    accuracies = np.array([[np.mean(point["values"]) for point in row] for row in points])
    spread = learning_curve.smoothed_spread(labels, accuracies)
    curve = learning_curve.fit_curve(labels, accuracies.mean(axis=1), spread)
    rng = np.random.default_rng(derive_seed(top.seed, "exchange_rate"))
    others = learning_curve.resampled_curves(labels, accuracies, study.resamples, rng)

    results = Results(root / "data")
    comparison, splits = results.comparison(), results.splits()
    if comparison["reference"] != study.reference:
        raise UserError(f"reference: {study.reference!r} is not compare.reference, {comparison['reference']!r}")
    # One draw of labels says nothing of others: its gains may vary as those from more labels do.
    of_draws = [learning_curve.gain_spread(labels, accuracies, budget)] if comparison["scope"] == SET else []
    # With a long tail the first class has `budget` labels and the others fewer.
    total = sum(splits["train"]) + sum(splits["validation"])
    arms = {
        arm: placed(arm, study, top, comparison, results, curve, others, of_draws, total / budget)
        for arm, recipe in top.classify.arms.items()
        if arm != study.reference and (recipe.synthetic or recipe.more_real)
    }
    tail = (1 - top.compare.confidence) / 2
    content = {
        "reference": study.reference,
        "measure": comparison["measure"]["title"],
        "scope": comparison["scope"],
        "caution": comparison["caution"],
        "labels_per_class": budget,
        "labels": total,
        "confidence": top.compare.confidence,
        "curve": {
            "asymptote": curve.asymptote,
            "scale": float(curve.scale * curve.unit**curve.exponent),
            "exponent": curve.exponent,
            **{
                f"{name}_{end}": float(np.quantile([getattr(other, name) for other in others], quantile))
                for name in ("asymptote", "exponent")
                for end, quantile in (("low", tail), ("high", 1 - tail))
            },
            "largest_residual": float(np.abs(accuracies.mean(axis=1) - curve(labels)).max()),
        },
        "arms": arms,
    }
    write_json(here / "exchange.json", content)
    rows = [
        (point["labels_per_class"], point["draw"], seed, value, float(curve(point["labels_per_class"])))
        for row in points
        for point in row
        for seed, value in zip(point["seeds"], point["values"], strict=True)
    ]
    write_csv(here / "curve.csv", ("labels_per_class", "draw", "seed", "value", "fitted"), rows)
    drawing = exchange_plot(
        labels, 100 * accuracies, lambda at: 100 * curve(at),
        lambda at: tuple(100 * np.quantile([other(at) for other in others], [tail, 1 - tail], axis=0)),
        budget, arms, "exchange",
    )  # fmt: skip
    page(content, points, accuracies, curve, study, drawing).write(here / "page")


def placed(
    arm: str, study: ExchangeRate, top: Params, comparison: dict[str, Any], results: Results, curve: LearningCurve,
    others: list[LearningCurve], of_draws: list[tuple[float, int]], classes: float,
) -> dict[str, Any]:  # fmt: skip
    """What an arm's gain over the reference is worth, in labels of all classes together; None is beyond the curve.

    An arm whose images got no weight on any seed is the reference: worth nothing there, and of others nothing is known.
    of_draws: the errors that the gain has beside those of the comparison. classes: labels of all classes per label of
    the largest one.
    """
    if arm not in comparison["arms"]:
        raise UserError(f"data/comparison.json: no arm {arm}; run `dvc repro` at the top")
    budget, confidence = top.prepare.labels_per_class, top.compare.confidence
    assert budget is not None
    row = comparison["arms"][arm]["gain"][comparison["scope"]]
    if row["same"]:
        rate = learning_curve.Worth(0.0, math.inf, math.inf)
    else:
        errors = [(learning_curve.standard_error(row["interval"], row["df"], confidence), row["df"]), *of_draws]
        rng = np.random.default_rng(derive_seed(top.seed, "exchange_rate", arm))
        rate = learning_curve.worth(curve, others, row["gain"], errors, budget, confidence, rng)
    images = results.of_arm(arm, comparison["seeds"][:1])[0]
    return {
        "n_real": images["n_real"],
        "n_synthetic": images["n_synthetic"],
        "n_more_real": images["n_more_real"],
        "same": row["same"],
        "gain": row["gain"],
        "gain_low": None if row["same"] else row["interval"][0],
        "gain_high": None if row["same"] else row["interval"][1],
        "worth": in_all(rate.labels, classes),
        "worth_low": in_all(rate.low, classes),
        "worth_high": in_all(rate.high, classes),
        "extrapolated": bool(not min(study.labels_per_class) <= budget + rate.labels <= max(study.labels_per_class)),
    }


def in_all(labels: float, classes: float) -> float | None:
    return float(labels * classes) if math.isfinite(labels) else None


def labels_in_words(labels: float | None) -> str:
    return "beyond the curve" if labels is None else number(labels, 0)


def range_in_words(row: dict[str, Any]) -> str:
    if row["same"]:
        return NO_WEIGHT
    return f"{labels_in_words(row['worth_low'])} to {labels_in_words(row['worth_high'])}"


def images_in_words(row: dict[str, Any]) -> str:
    kinds = {"n_synthetic": "synthetic", "n_more_real": "held-back real"}
    return " and ".join(f"{row[key]:,} {kind}" for key, kind in kinds.items() if row[key])


def sentence(arm: str, row: dict[str, Any]) -> str:
    """The exchange rate of an arm: "The 800 synthetic images of x were worth 120 more labelled images (80 to 150)"."""
    worth, interval = row["worth"], range_in_words(row)
    start = f"The {images_in_words(row)} images of {arm}"
    if worth is None:
        return f"{start} were worth more labelled images than the curve can tell ({interval})"
    if round(worth) < 0:
        return f"{start} cost as much accuracy as {-worth:,.0f} labelled images fewer would ({interval})"
    return f"{start} were worth {worth:,.0f} more labelled images ({interval})"


def page(
    content: dict[str, Any], points: list[list[dict[str, Any]]], accuracies: np.ndarray, curve: LearningCurve,
    study: ExchangeRate, drawing: str,
) -> Page:  # fmt: skip
    confidence = f"{100 * content['confidence']:g}% interval"
    arms = content["arms"]
    synthetic = {arm: row for arm, row in arms.items() if row["n_synthetic"]}
    yardsticks = {arm: row for arm, row in arms.items() if not row["n_synthetic"]}
    if synthetic:
        best = max(synthetic, key=lambda arm: synthetic[arm]["gain"])
        answer = sentence(best, synthetic[best])
        _, low, high = worth_of(synthetic[best])
        if low <= 0 <= high and not synthetic[best]["same"]:
            answer += ", which can't be told from none"
        if len(synthetic) > 1 and synthetic[best]["gain"] < 0:
            answer = f"Even in the best arm, {answer[0].lower()}{answer[1:]}"
        elif len(synthetic) > 1:
            answer += ", the best of the arms with synthetic ones"
    else:
        answer = "No arm of the main pipeline has synthetic images, so there is nothing to exchange"
    sentences = [
        f"Calibration check: {sentence(arm, row)[0].lower()}{sentence(arm, row)[1:]}, and {row['n_more_real']:,} they "
        "were."
        for arm, row in yardsticks.items()
    ]
    cautions = [
        f"The check fails: for {arm} the interval lies {'above' if low > row['n_more_real'] else 'below'} the "
        f"{row['n_more_real']:,} labels that were really added. The rates of the other arms may be as far off."
        for arm, row in yardsticks.items()
        for _, low, high in [worth_of(row)]
        if not low <= row["n_more_real"] <= high
    ]
    extrapolated = [arm for arm, row in arms.items() if row["extrapolated"]]
    if extrapolated:
        cautions.append(
            f"Beyond {min(study.labels_per_class)} to {max(study.labels_per_class)} labels per class the curve is "
            f"extrapolated: {listed(extrapolated)}."
        )
    law = content["curve"]
    one_set = content["scope"] == SET
    scope = holds_for(generators=True) if one_set else "for another draw of as many labels and another training"
    one_draw = (
        " That holds for one draw of labels; how much gains differ between draws is taken from those of more labels, "
        "between the curve's points. Other trainings of the generators would add to it."
        if one_set
        else ""
    )
    return Page(
        question="what are synthetic images worth in labelled ones?",
        answer=answer,
        sentences=sentences,
        cautions=[*filter(None, [content["caution"]]), *cautions],
        drawing=drawing,
        alternative=f"Learning curve of {content['reference']}, from {100 * accuracies[0].mean():.1f}% at "
        f"{study.labels_per_class[0]} labels per class to {100 * accuracies[-1].mean():.1f}% at "
        f"{study.labels_per_class[-1]}, and the worth of each arm's gain in labels; the numbers are in the tables.",
        caption=f"Above: a dot per draw of labels, the fitted curve and its {confidence}; the dashed line marks the "
        f"main pipeline's {content['labels_per_class']:,} labels per class. The flatter the curve there, the more "
        "labels a small gain is worth, and the less sure is how many. Below: mark and bar are worth and interval, an "
        "arrow goes beyond the curve, an upright stroke is what more_real really added: the bar should be near it.",
        tables=[
            Table(
                "Exchange rates",
                ["Arm", "Images added", "Gain", confidence, "Worth in labels", confidence],
                [
                    [arm, images_in_words(row), points_of(row["gain"]),
                     NO_WEIGHT if row["same"] else points_between(row["gain_low"], row["gain_high"]),
                     labels_in_words(row["worth"]), range_in_words(row)]
                    for arm, row in arms.items()
                ],
                f"Gain: percentage points of {content['measure']} over {content['reference']}, {scope}. Worth: "
                f"labels of all classes together on top of {content['labels']:,}; negative where the arm hurt.",
            ),
            Table(
                "Learning curve",
                ["Labels per class", "Labels", "n draws × seeds", "Mean", "Range over draws", "Curve"],
                [
                    [f"{row[0]['labels_per_class']:,}", f"{row[0]['labels']:,}",
                     f"{len(row)} × {len(row[0]['seeds'])}", f"{100 * of_draws.mean():.2f}%",
                     f"{100 * of_draws.min():.2f} to {100 * of_draws.max():.2f}",
                     f"{100 * float(curve(row[0]['labels_per_class'])):.2f}%"]
                    for row, of_draws in zip(points, accuracies, strict=True)
                ],
                f"Test {content['measure']} of {content['reference']} on {points[0][0]['n_test']:,} test images.",
            ),
        ],
        protocol={
            "Curve": f"{LAW} with n labels per class, validation included: a = {law['asymptote']:.4f} "
            f"({law['asymptote_low']:.4f} to {law['asymptote_high']:.4f}), b = {law['scale']:.3f}, "
            f"c = {law['exponent']:.3f} ({law['exponent_low']:.3f} to {law['exponent_high']:.3f}); it misses no mean "
            f"by more than {100 * law['largest_residual']:.2f} points. An inverse power law (Cortes et al. 1993, "
            "Hestness et al. 2017), by least squares, each n weighted by its spread over draws.",
            "Labels": f"{len(study.draws)} draws at each n, all tried on the same test images; a larger draw holds the "
            "smaller one of its number. All arms get the same optimiser steps.",
            "Exchange": f"The gain of an arm, as the main pipeline's comparison has it {scope}, is added to the "
            "curve's value at the main budget; the labels at which the curve is that high are what it is worth. The "
            "reference is worth exactly 0.",
            "Interval": f"{confidence}: a bootstrap of {study.resamples:,} curves over whole draws, each with a gain "
            f"drawn from Student's distribution about that of the comparison, with its standard error.{one_draw}",
            "Calibration": "Images of more_real have augmented copies like all labelled ones: its worth should come "
            "out as the number that was added.",
        },
    )  # fmt: skip


if __name__ == "__main__":
    run("exchange_rate", main)
