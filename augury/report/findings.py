"""What scores say, network by network and class by class, and which told the gains; what classified the images."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from augury.evidence.predictors import DIRECTIONS
from augury.pipeline.sections import Classify, distance_title

# Key of data/scores/<generator>.json -> what the page calls the score.
SCORES = {
    "fd_over_floor": "FD ÷ floor",
    "fd_infinity": "FD at infinity",
    "kid": "KID",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "memorised_fraction": "Memorised",
    "cas": "CAS",
    "fid": "FID",
}
MODES = {
    "head": "a linear head on its frozen features",
    "partial": "its last stages trained too",
    "full": "all of it trained",
    "scratch": "all of it trained from random weights",
}
WORST = 2  # classes named for each generator


def classifier(classify: Classify) -> str:
    """What classified the images, in a line."""
    start = "pretrained" if classify.pretrained and classify.mode != "scratch" else "random weights"
    size = f"{classify.resolution} × {classify.resolution} pixels"
    return f"{classify.backbone} ({start}) at {size}, mode {classify.mode}: {MODES[classify.mode]}"


def scores_by_extractor(scores: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Title of the distance -> the generators' scores in that extractor's features, the first extractor's first.

    scores: the content of data/scores/<generator>.json for every generator. Each class gets its fd_over_floor too.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for score in scores:
        for extractor, values in [(score["extractor"], score), *score["other_extractors"].items()]:
            per_class = [{**entry, "fd_over_floor": _ratio(entry)} for entry in values["per_class"]]
            row = {**values, "generator": score["generator"], "per_class": per_class}
            rows.setdefault(distance_title(extractor), []).append(row)
    return rows


def _ratio(entry: dict[str, Any]) -> float | None:
    return entry["fd"] / entry["fd_floor"] if entry["fd"] is not None and entry["fd_floor"] else None


def absent_extractors(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Why extractors have no scores, a line each; FID is always accounted for."""
    lines = []
    for score in scores:
        missing = dict(score["extractors_missing"])
        if score["fid"] is None:
            missing["inception"] = score["fid_status"]
        lines += [f"{distance_title(name)}: {reason}" for name, reason in missing.items()]
    return list(dict.fromkeys(lines))


def worst_classes(per_class: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The classes with the largest values of a score of which less is better; fewer where it is unknown."""
    known = [entry for entry in per_class if entry[key] is not None]
    return sorted(known, key=lambda entry: -entry[key])[:WORST]


def predictor_rows(predictors: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The scores, those first that ranked the trials most as their gains did.

    Each has its name, whether higher or lower is better, its entry, and points: of the trials that have the score,
    (how good it is, how large the gain), each in percent from the lowest to the highest.
    """
    rows = []
    for key, entry in predictors["scores"].items():
        direction = DIRECTIONS[key]
        scores = {trial: of_trial[key] for trial, of_trial in predictors["trials"].items() if of_trial[key] is not None}
        better = _in_percent([direction * score for score in scores.values()])
        gains = _in_percent([predictors["gains"][trial] for trial in scores])
        points = list(zip(better, gains, strict=True))
        rows.append({"name": SCORES[key], "better": "higher" if direction > 0 else "lower", "points": points, **entry})
    return sorted(rows, key=lambda row: math.inf if row["agreement"] is None else -row["agreement"])


def _in_percent(values: Sequence[float]) -> list[float]:
    """From 0 for the lowest to 100 for the highest; 50 if they are all the same."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [round(100 * (value - low) / (high - low), 1) if high > low else 50.0 for value in values]


def predictor_answer(rows: Sequence[dict[str, Any]], alpha: float) -> str:
    """Which scores told the gain beyond chance, in a sentence."""
    sure = [row for row in rows if row["p_holm"] is not None and row["p_holm"] <= alpha]
    told = " and ".join(row["name"] for row in sure if row["agreement"] > 0)
    against = " and ".join(row["name"] for row in sure if row["agreement"] < 0)
    parts = [f"{told} told the gain"] * bool(told) + [f"{against} told it the wrong way round"] * bool(against)
    return f"{', '.join(parts)} (corrected p up to {alpha:.3g})" if parts else "No score told the gain beyond chance"
