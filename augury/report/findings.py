"""What comparison and scores say: the answer and its yardstick, rules, classes harmed or far off, scores that told."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from augury.evidence.families import Gain
from augury.evidence.predictors import DIRECTIONS
from augury.pipeline.sections import Arm, Classify, distance_title
from augury.report.numbers import points_between, points_of

OPENINGS = {
    "helps": "Synthetic images helped",
    "hurts": "Synthetic images hurt",
    "can't tell": "These runs can't tell whether synthetic images help",
}
# Key of data/scores/<generator>.json -> what the page calls the score, and 1 where higher is better, -1 where lower is.
SCORES = {
    key: (name, DIRECTIONS[key])
    for key, name in {
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
    }.items()
}
FAMILIES = {"synthetic": "Arms with synthetic images", "control": "Controls, without synthetic images"}
MODES = {
    "head": "a linear head on its frozen features",
    "partial": "its last stages trained too",
    "full": "all of it trained",
    "scratch": "all of it trained from random weights",
}
WORST = 2  # classes named for each generator


def reference_of(comparison: dict[str, Any]) -> str:
    """The arm that synthetic images have to beat: classic augmentation, which costs nothing, where it was run."""
    return "classic" if "classic" in comparison["references"] else comparison["baseline"]


def references_of(comparison: dict[str, Any]) -> list[str]:
    """All references, the one that synthetic images have to beat first."""
    return sorted(comparison["references"], key=lambda name: name != reference_of(comparison))


def headline(comparison: dict[str, Any], synthetic: Collection[str]) -> str:
    """The answer in one sentence.

    synthetic: the arms with synthetic images. The sentence is about the best of those with the most favourable
    verdict: they helped if any arm was helped, and hurt only if all arms were hurt.
    """
    reference = reference_of(comparison)
    over = {arm: comparison["arms"][arm]["over"][reference] for arm in synthetic if arm != reference}
    if not over:
        return "No arm was trained with synthetic images, so these runs can't tell whether they help"
    verdict = next(
        word for word in ("helps", "can't tell", "hurts") if word in {row["verdict"] for row in over.values()}
    )
    arm = max((arm for arm in over if over[arm]["verdict"] == verdict), key=lambda arm: over[arm]["gain"])
    if len(over) == 1:
        which = "the only arm with them"
    elif over[arm]["gain"] == max(row["gain"] for row in over.values()):
        which = "even the best arm with them" if verdict == "hurts" else "the best arm with them"
    else:
        which = "one arm with them"
    interval = _interval(over[arm], comparison)
    return f"{OPENINGS[verdict]}: {which}, {arm}, scored {_distance(over[arm])} {reference} ({interval})"


def _distance(row: dict[str, Any]) -> str:
    gain = points_of(row["gain"])
    return f"{gain[1:]} points {'above' if gain[0] == '+' else 'below'}" if gain[0] in "+−" else "level with"


def _interval(row: dict[str, Any], comparison: dict[str, Any]) -> str:
    return f"{100 * comparison['confidence']:g}% interval {points_between(*row['gain_ci'])}"


def yardsticks(
    comparison: dict[str, Any], arms: Mapping[str, Arm], more_real: Mapping[str, int], train: Sequence[int]
) -> list[str]:
    """What more labels would have gained, a sentence for each arm that has them and no synthetic images.

    Arms that were to have more labels and got none, since the label budget took every image, measure nothing: they are
    named instead. more_real: arm -> real images that were held back from the others. train: real training images of the
    others, per class.
    """
    reference = reference_of(comparison)
    synthetic = [arm for arm, recipe in arms.items() if recipe.synthetic]
    sentences = []
    for arm, more in more_real.items():
        row = comparison["arms"][arm]["over"].get(reference)
        if row is None or not more or arm in synthetic:
            continue
        asked = sum(round(arms[arm].more_real * count) for count in train)
        short = f" ({asked:,} asked for, no more were left to hold back)" if more < asked else ""
        start = f"The yardstick: with {more:,} more real labels{short} beside the {sum(train):,}, {arm} scored"
        sentence = f"{start} {_distance(row)} {reference} ({_interval(row, comparison)}; {row['verdict']})"
        over = {name: comparison["arms"][name]["over"][reference] for name in synthetic if name != reference}
        sure = {name: other["gain"] for name, other in over.items() if other["verdict"] == "helps"}
        if sure and row["verdict"] == "helps":
            best = max(sure, key=lambda name: sure[name])
            sentence += f"; {best} reached {100 * sure[best] / row['gain']:.0f}% of that gain without a new label"
        sentences.append(f"{sentence}.")
    without = [arm for arm, more in more_real.items() if arms[arm].more_real and not more]
    if without:
        sentences.append(
            f"What more real labels would have gained is not known: no image was left to hold back for "
            f"{' and '.join(without)}, whose rows below say nothing about more labels. A lower "
            "prepare.labels_per_class leaves some."
        )
    return sentences


def families(comparison: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Reference -> family -> the arms of that family that were compared with it; families without any are left out."""
    members: dict[str, dict[str, list[str]]] = {}
    for reference in references_of(comparison):
        over = gains_over(comparison, reference)
        of_family = {family: [arm for arm, row in over.items() if row["family"] == family] for family in FAMILIES}
        members[reference] = {family: arms for family, arms in of_family.items() if arms}
    return members


def family_rules(comparison: dict[str, Any]) -> list[str]:
    """For every reference and family, what its number of comparisons and the seeds allow, in a sentence."""
    alpha, seeds = 1 - comparison["confidence"], len(comparison["seeds"])
    sentences = []
    for reference, of_reference in families(comparison).items():
        for family in of_reference:
            entry = comparison["families"][reference][family]
            count, smallest = entry["comparisons"], entry["smallest_p"]
            allowed = f"the smallest corrected p that {seeds} seeds allow is {smallest:.2g}"
            if smallest > alpha:
                allowed += f", over {alpha:.3g}: no gain, however large, could be significant here"
            comparisons = "1 comparison" if count == 1 else f"{count} comparisons"
            sentences.append(f"{FAMILIES[family]}, over {reference}: {comparisons}; {allowed}.")
    return sentences


def classifier(classify: Classify) -> str:
    """What classified the images, in a line."""
    start = "pretrained" if classify.pretrained and classify.mode != "scratch" else "random weights"
    size = f"{classify.resolution} × {classify.resolution} pixels"
    return f"{classify.backbone} ({start}) at {size}, mode {classify.mode}: {MODES[classify.mode]}"


def gains_over(comparison: dict[str, Any], reference: str) -> dict[str, dict[str, Any]]:
    """Arm -> its row over `reference`, of the arms that were compared with that."""
    return {arm: entry["over"][reference] for arm, entry in comparison["arms"].items() if reference in entry["over"]}


def gains(comparison: dict[str, Any]) -> dict[str, dict[str, Gain]]:
    """Reference -> arm -> what it gained over that."""
    return {
        reference: {arm: Gain.of_row(row) for arm, row in gains_over(comparison, reference).items()}
        for reference in references_of(comparison)
    }


def harmed_classes(results: list[dict[str, Any]], references: list[dict[str, Any]]) -> list[bool]:
    """Per class, whether its accuracy fell by more than two standard errors of the paired differences.

    results, references: the runs of two arms on the same seeds, in the same order.
    """
    pairs = zip(results, references, strict=True)
    gains = np.array(
        [np.subtract(*np.array([a["per_class_accuracy"], b["per_class_accuracy"]], float)) for a, b in pairs]
    )  # (seeds, classes); NaN for a class without test images
    standard_errors = gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
    return (gains.mean(axis=0) < np.minimum(-2 * standard_errors, -1e-9)).tolist()


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


def predictor_rows(predictors: dict[str, Any], scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores, those first that ranked the generators most as their gains did.

    Each has its name, whether higher or lower is better, agreement and p-values, and the ranks (1 is best, None where
    unknown) that it gives the generators, those in the order of predictors["gains"] from the largest gain down.
    """
    of_generator = {score["generator"]: score for score in scores}
    gains = by_gain(predictors)
    rows = []
    for key, entry in predictors["scores"].items():
        name, direction = SCORES[key]
        ranks = _ranks([of_generator[generator][key] for generator in gains], direction)
        rows.append({"name": name, "better": "higher" if direction > 0 else "lower", "ranks": ranks, **entry})
    return sorted(rows, key=lambda row: np.inf if row["agreement"] is None else -row["agreement"])


def by_gain(predictors: dict[str, Any]) -> Mapping[str, float]:
    """Generator -> its gain, from the largest down."""
    return dict(sorted(predictors["gains"].items(), key=lambda item: -item[1]))


def _ranks(values: Sequence[float | None], direction: int) -> list[int | None]:
    known = [direction * value for value in values if value is not None]
    return [None if value is None else 1 + sum(other > direction * value for other in known) for value in values]


def predictor_answer(rows: Sequence[dict[str, Any]], alpha: float) -> str:
    """Which scores told the gain beyond chance, in a sentence."""
    sure = [row for row in rows if row["p_holm"] is not None and row["p_holm"] <= alpha]
    told = " and ".join(row["name"] for row in sure if row["agreement"] > 0)
    against = " and ".join(row["name"] for row in sure if row["agreement"] < 0)
    parts = [f"{told} told the gain"] * bool(told) + [f"{against} told it the wrong way round"] * bool(against)
    return f"{', '.join(parts)} (corrected p up to {alpha:.3g})" if parts else "No score told the gain beyond chance"
