"""Fit the learning curve and place the main pipeline's arms on it: `python -m studies.exchange_rate.fit`."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.results import Results
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from augury.report.numbers import number, points_of
from studies.exchange_rate.drawings import exchange_plot, worth_of
from studies.exchange_rate.learning_curve import LearningCurve, fit_curve, resampled_curves, smoothed_spread, worth
from studies.exchange_rate.measure import ExchangeRate
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
    accuracies = np.array([[np.mean(point["accuracies"]) for point in row] for row in points])
    curve = fit_curve(labels, accuracies.mean(axis=1), smoothed_spread(labels, accuracies))
    rng = np.random.default_rng(derive_seed(top.seed, "exchange_rate"))
    others = resampled_curves(labels, accuracies, study.resamples, rng)

    results = Results(root / "data")
    comparison, splits = results.comparison(), results.splits()
    # With a long tail the first class has `budget` labels and the others fewer.
    total = sum(splits["train"]) + sum(splits["validation"])
    arms = {
        arm: placed(arm, study, top, comparison, results, curve, others, total / budget)
        for arm, recipe in top.classify.arms.items()
        if arm != study.reference and (recipe.synthetic or recipe.more_real)
    }
    tail = (1 - top.compare.confidence) / 2
    content = {
        "reference": study.reference,
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
        (point["labels_per_class"], point["draw"], seed, accuracy, float(curve(point["labels_per_class"])))
        for row in points
        for point in row
        for seed, accuracy in zip(point["seeds"], point["accuracies"], strict=True)
    ]
    write_csv(here / "curve.csv", ("labels_per_class", "draw", "seed", "accuracy", "fitted"), rows)
    drawing = exchange_plot(
        labels, 100 * accuracies, lambda at: 100 * curve(at),
        lambda at: tuple(100 * np.quantile([other(at) for other in others], [tail, 1 - tail], axis=0)),
        budget, arms, "exchange",
    )  # fmt: skip
    page(content, points, accuracies, curve, study, drawing).write(here / "page")


def placed(
    arm: str, study: ExchangeRate, top: Params, comparison: dict[str, Any], results: Results, curve: LearningCurve,
    others: list[LearningCurve], classes: float,
) -> dict[str, Any]:  # fmt: skip
    """What an arm's gain over the reference is worth, in labels of all classes together; None is beyond the curve.

    classes: labels of all classes per label of the largest one.
    """
    if arm not in comparison["arms"] or study.reference not in comparison["arms"]:
        raise UserError(f"data/comparison.json: no arm {arm} or {study.reference}; run `dvc repro` at the top")
    budget = top.prepare.labels_per_class
    assert budget is not None
    gains = np.subtract(*(comparison["arms"][name]["accuracies"] for name in (arm, study.reference)))
    rng = np.random.default_rng(derive_seed(top.seed, "exchange_rate", arm))
    rate = worth(curve, others, gains, budget, top.compare.confidence, rng)
    images = results.of_arm(arm, comparison["seeds"][:1])[0]
    added = images["n_more_real"] / (1 - top.prepare.validation_fraction) if images["n_more_real"] else None
    return {
        "n_real": images["n_real"],
        "n_synthetic": images["n_synthetic"],
        "n_more_real": images["n_more_real"],
        "seeds": len(gains),
        "gain": float(gains.mean()),
        "worth": in_all(rate.labels, classes),
        "worth_low": in_all(rate.low, classes),
        "worth_high": in_all(rate.high, classes),
        # As many labels as hold that many training images, their validation share included.
        "labels_added": None if added is None else round(added),
        "extrapolated": bool(not min(study.labels_per_class) <= budget + rate.labels <= max(study.labels_per_class)),
    }


def in_all(labels: float, classes: float) -> float | None:
    return float(labels * classes) if math.isfinite(labels) else None


def labels_in_words(labels: float | None) -> str:
    return "beyond the curve" if labels is None else number(labels, 0)


def range_in_words(row: dict[str, Any]) -> str:
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
        if low <= 0 <= high:
            answer += ", which can't be told from none"
        if len(synthetic) > 1 and synthetic[best]["gain"] < 0:
            answer = f"Even in the best arm, {answer[0].lower()}{answer[1:]}"
        elif len(synthetic) > 1:
            answer += ", the best of the arms with synthetic ones"
    else:
        answer = "No arm of the main pipeline has synthetic images, so there is nothing to exchange"
    sentences = [
        f"Calibration check: {sentence(arm, row)[0].lower()}{sentence(arm, row)[1:]}; with its validation share, "
        f"{row['labels_added']:,} labels hold that many training images."
        for arm, row in yardsticks.items()
    ]
    cautions = [
        f"The check fails: for {arm} the interval lies {'above' if low > row['labels_added'] else 'below'} the "
        f"{row['n_more_real']:,} to {row['labels_added']:,} labels that were really added. The rates of the other arms "
        "may be as far off. An arm takes held-back images as they are, like synthetic ones, while the curve's labels "
        "come with their augmented copies."
        for arm, row in yardsticks.items()
        for _, low, high in [worth_of(row)]
        if high < row["n_more_real"] or low > row["labels_added"]
    ]
    extrapolated = [arm for arm, row in arms.items() if row["extrapolated"]]
    if extrapolated:
        cautions.append(
            f"Beyond {min(study.labels_per_class)} to {max(study.labels_per_class)} labels per class the curve is "
            f"extrapolated: {listed(extrapolated)}."
        )
    law = content["curve"]
    return Page(
        question="what are synthetic images worth in labelled ones?",
        answer=answer,
        sentences=sentences,
        cautions=cautions,
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
                ["Arm", "Images added", "n seeds", "Gain", "Worth in labels", confidence],
                [
                    [arm, images_in_words(row), str(row["seeds"]), points_of(row["gain"]),
                     labels_in_words(row["worth"]), range_in_words(row)]
                    for arm, row in arms.items()
                ],
                f"Gain: percentage points of test accuracy over {content['reference']}. Worth: labels of all classes "
                f"together, validation included, on top of {content['labels']:,}; negative where the arm hurt.",
            ),
            Table(
                "Learning curve",
                ["Labels per class", "Training images", "n draws × seeds", "Accuracy", "Range over draws", "Curve"],
                [
                    [f"{row[0]['labels_per_class']:,}", f"{row[0]['n_train']:,}",
                     f"{len(row)} × {len(row[0]['seeds'])}", f"{100 * of_draws.mean():.2f}%",
                     f"{100 * of_draws.min():.2f} to {100 * of_draws.max():.2f}",
                     f"{100 * float(curve(row[0]['labels_per_class'])):.2f}%"]
                    for row, of_draws in zip(points, accuracies, strict=True)
                ],
                f"Test accuracy of {content['reference']} on {points[0][0]['n_test']:,} test images.",
            ),
        ],
        protocol={
            "Curve": f"{LAW} with n labels per class, validation included: a = {law['asymptote']:.4f} "
            f"({law['asymptote_low']:.4f} to {law['asymptote_high']:.4f}), b = {law['scale']:.3f}, "
            f"c = {law['exponent']:.3f} ({law['exponent_low']:.3f} to {law['exponent_high']:.3f}); it misses no mean "
            f"by more than {100 * law['largest_residual']:.2f} points. An inverse power law (Cortes et al. 1993, "
            "Hestness et al. 2017), by least squares, each n weighted by its spread over draws.",
            "Labels": f"{len(study.draws)} draws at each n; a larger draw holds the smaller one of its seed. All arms "
            "get the same optimiser steps.",
            "Exchange": "The gain of an arm, averaged over the main pipeline's seeds, is added to the curve's value at "
            "the main budget; the labels at which the curve is that high are what it is worth. The reference is "
            "worth exactly 0.",
            "Interval": f"{confidence}: a bootstrap of {study.resamples:,} curves over whole draws, each with gains "
            "drawn again over seeds. The main pipeline has one draw of labels and one training of each generator; "
            "others would add to it.",
            "Calibration": "Images of more_real, like synthetic ones, get no augmented copies and add nothing to "
            "validation; labels on the curve do both. So more_real may come out below what was added.",
        },
    )  # fmt: skip


if __name__ == "__main__":
    run("exchange_rate", main)
