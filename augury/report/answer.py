"""What the comparison says, in sentences: the answer, for whom it holds, its controls, and what would make it surer."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from augury.evidence.verdicts import HOLM, NO_WEIGHT, ROWS
from augury.pipeline.sections import BEST_REAL, RECIPE, Arm
from augury.report.numbers import points_between, points_of

Comparison = Mapping[str, Any]  # the content of data/comparison.json

# Verdict -> how the headline begins, the most favourable first: the answer is the best that any arm allows.
OPENINGS = {
    "helps": "Synthetic images help",
    "can't tell": "These runs can't tell whether synthetic images help",
    "no difference that matters": "Synthetic images make no difference that matters",
    "hurts": "Synthetic images hurt",
}
SCOPES = {"this set": "on this training set", "this budget": "with this budget of labels"}
HOLDS = {
    "this set": "This is about new images like the test ones, with these labels and these synthetic images. Another "
    "draw of the labels or another training of the generators was not tried, and may turn it round.",
    "this budget": "This is about new images like the test ones, another draw of as many labels and another training "
    "of the generators. It says nothing about other data.",
}
# Where gain and interval come from, for learners: with one replicate, with several draws of labels, with folds.
PAIRED = (
    "Each {row} of an arm is compared with the same {row} of the reference on the same test images, and the gain is "
    "the mean over both. The interval asks what other {row}s and other images would have given: the more the gains "
    "differ from {row} to {row}, or from image to image, the wider it is"
)
OF_FOLDS = (
    "Each fold compares arm and reference on test images of its own, and the gain is the mean over the folds. The more "
    "the folds differ, the wider the interval, and wider still since their training images overlap"
)
QUIET = ("can't tell", "no difference that matters")  # what an arm without any gain should get


def entries(comparison: Comparison) -> dict[str, Mapping[str, Any]]:
    """All arms: those that are chosen, then those that were trained."""
    return {**comparison["chosen"], **comparison["arms"]}


def advice(comparison: Comparison) -> str | None:
    """What to use, as held-out labelled images chose; None where no arm could be it."""
    chosen = comparison["chosen"]
    return next((chosen[name]["sentence"] for name in (RECIPE, BEST_REAL) if name in chosen), None)


def row_of(comparison: Comparison, arm: str) -> Mapping[str, Any] | None:
    """An arm's gain over the reference at the widest scope there is; None for the reference itself."""
    gain = entries(comparison)[arm]["gain"]
    return None if gain is None else gain[comparison["scope"]]


def leader(comparison: Comparison) -> str | None:
    """The arm that the headline is about: the one with the largest gain of those with the most favourable verdict.

    Where a chosen reference differs from an arm in more than synthetic images, only that it helps is owed to these;
    other arms come before it.
    """
    family = {arm: row_of(comparison, arm) or {} for arm in comparison["family"]}
    rows = {arm: row for arm, row in family.items() if not row["unlike"] or row["verdict"] == "helps"} or family
    for verdict in OPENINGS:
        arms = [arm for arm, row in rows.items() if row["verdict"] == verdict]
        if arms:
            return max(arms, key=lambda arm: rows[arm]["gain"])
    return None


def headline(comparison: Comparison) -> str:
    """The answer in one sentence: verdict, scope, arm, measure, gain, interval."""
    arm = leader(comparison)
    if arm is None:
        return "No arm was trained with synthetic images, so these runs can't tell whether they help"
    rows = {name: row_of(comparison, name) or {} for name in comparison["family"]}
    row = rows[arm]
    if len(rows) == 1:
        which = "the only arm with them"
    elif row["gain"] == max(other["gain"] for other in rows.values()):
        which = "even the best arm with them" if row["verdict"] == "hurts" else "the best arm with them"
    else:
        which = "one arm with them"
    opening, verdict = OPENINGS[row["verdict"]], row["verdict"]
    if row["unlike"] and verdict == "hurts":
        opening = "No arm with synthetic images does as well as the best of real images alone"
    others = Counter(other["verdict"] for other in rows.values() if verdict == "helps" != other["verdict"])
    but = "".join(f"; of {count} the verdict is {word}" for word, count in others.items())
    if others:
        opening = f"Some {opening[0].lower()}{opening[1:]}"
    if comparison["caution"] and verdict != "can't tell":
        opening = f"With caution: {opening[0].lower()}{opening[1:]}"
    outside = " with outside data" if arm in comparison.get("with_outside_data", ()) else ""
    alone = len(rows) == 1
    low, high = row["interval"] if alone else row["simultaneous"]
    by_holm = f", by {HOLM}" if verdict in ("helps", "hurts") and low < 0 < high else ""
    little = verdict in ("helps", "hurts") and abs(row["gain"]) < comparison["matters"]
    if row["same"]:
        return f"{opening} {SCOPES[comparison['scope']]}: {which}, {arm}{outside}, gave them {NO_WEIGHT}{but}"
    return (
        f"{opening} {SCOPES[comparison['scope']]}: {which}, {arm}{outside}, {_change(row, comparison)} over "
        f"{comparison['reference']} ({100 * comparison['confidence']:g}% interval"
        f"{'' if alone else f' for all {len(rows)} at once'} {points_between(low, high)}){by_holm}"
        f"{', less than what matters' if little else ''}"
        f"{', from which it differs in more than these' if row['unlike'] else ''}"
        f"{but}"
    )


def outside_data(comparison: Comparison, arms: Mapping[str, Arm], bases: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence for each generator that others have trained: whose it is, and what it means for the arms that use it.

    bases: generator -> what it began with.
    """
    sentences = []
    for generator, base in bases.items():
        users = [
            arm for arm in comparison.get("with_outside_data", []) if arm in arms and generator in arms[arm].synthetic
        ]
        revision = base["revision"] or "not known"
        sentences.append(
            f"{' and '.join(users) or 'No arm'} learned from images of {generator}, which knows more than the labels "
            f"taught: it began with {base['name']} (revision {revision}, SHA-256 {base['digest'][:16]}, licence "
            f"{base['licence']}), which others have trained on images that are not of this set. A gain is what that is "
            "worth too; and images of a public test set may have been among them."
        )
    return sentences


def estimator(comparison: Comparison) -> str:
    """Where gain and interval come from, in two sentences."""
    if comparison["scope"] == "this set":
        return PAIRED.format(row="seed")
    return PAIRED.format(row="replicate") if comparison["redraw"] == "labels" else OF_FOLDS


def controls(comparison: Comparison, arms: Mapping[str, Arm], more_real: Mapping[str, int]) -> dict[str, str]:
    """Arm -> a sentence: what it is a control for, what it got, and what follows.

    more_real: arm -> real training images that the reference lacks.
    """
    sentences = {}
    for arm, entry in comparison["arms"].items():
        recipe, row = arms[arm], row_of(comparison, arm)
        if row is None:
            continue
        between = NO_WEIGHT if row["same"] else points_between(*row["interval"])
        got = f"{points_of(row['gain'])} points ({between})"
        if entry["kind"] == "control" and recipe.repeat:
            sentences[arm] = f"as many real images again, weighed as synthetic ones are: {got}, {row['verdict']}. " + (
                "A gain no larger than this may come from weighing alone."
                if row["gain"] > 0
                else "Weighing alone showed no gain."
            )
        elif entry["kind"] == "control":
            right = "as it should" if row["verdict"] in QUIET else "a false alarm, of which chance allows few"
            sentences[arm] = (
                f"{row['over']} drawn again, so that there is nothing to gain: {got}. This method says: "
                f"{row['verdict']}, {right}."
            )
        elif entry["kind"] == "yardstick" and more_real[arm]:
            sentences[arm] = f"{more_real[arm]:,} more real labels: {got}."
        elif entry["kind"] == "yardstick":
            sentences[arm] = (
                "no image was left to hold back, so it learned from no more labels than the others; a lower "
                "prepare.labels_per_class leaves some."
            )
    return sentences


def where_effort_pays(comparison: Comparison) -> str | None:
    """What more of each would do for the headline's interval, in a sentence; None where no arm has synthetic images."""
    arm = leader(comparison)
    if arm is None or (row := row_of(comparison, arm)) is None:
        return None
    if row["same"]:
        return f"Only more {ROWS[comparison['scope']]} would tell how rarely {arm} uses its images."
    ways = {what: share for what, share in row["narrowed_by"].items() if share is not None}
    shares = " and ".join(f"twice as many {what} by about {100 * share:.0f}%" for what, share in ways.items())
    return f"The interval of {arm} would become narrower with {shares}."


def what_would_decide(comparison: Comparison) -> str | None:
    """How much more of what would settle the headline's arm, were its gain what it seems; None where it is settled."""
    arm = leader(comparison)
    if arm is None or (row := row_of(comparison, arm)) is None or row["decides"] is None:
        return None
    ways = [f"{count:,} {key.replace('_', ' ')}" for key, count in row["decides"].items() if count is not None]
    if not ways:
        rows = ROWS[comparison["scope"]]
        return f"Only more {rows} and more test images together would decide about {arm}, were its gain what it seems."
    return f"About {' or '.join(ways)} would decide about {arm}, were its gain what it seems."


def another_replicate(comparison: Comparison, folds: int) -> list[int] | None:
    """`replicates` of params.yaml with one more; None where every fold has been the test split already."""
    replicates = list(comparison["replicates"])
    if comparison["redraw"] == "folds" and len(replicates) >= folds:
        return None
    return [*replicates, max(replicates) + 1]


def _change(row: Mapping[str, Any], comparison: Comparison) -> str:
    """In words: "gained 0.42 points of accuracy"."""
    points = points_of(row["gain"])
    if points[0] not in "+−":
        return f"gained 0.00 points of {comparison['measure']['title']}"
    return f"{'gained' if points[0] == '+' else 'lost'} {points[1:]} points of {comparison['measure']['title']}"
