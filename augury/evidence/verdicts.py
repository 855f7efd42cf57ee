"""Verdicts on gains, in a word and in a sentence that says for whom they hold."""

from collections.abc import Mapping, Sequence

from augury.evidence.crossed import Crossed
from augury.evidence.measures import FEW
from augury.pipeline.conclusions import Compare

ALIKE = 0.01  # share of the test images that may look like those learned from
SET, BUDGET = "this set", "this budget"
ROWS = {SET: "seeds", BUDGET: "replicates"}  # scope -> what is crossed with the test images
NO_WEIGHT = "no weight on these seeds"  # in place of an interval, of an arm that is what it is compared with
HOLM = "Holm's correction, surer than this interval for all arms at once"  # where a verdict's interval holds 0


def is_same(analysis: Crossed, ignored: int, seeds: int) -> bool:
    """Whether an arm that ignored the images that it adds, on so many of all seeds, is what it is compared with."""
    return 0 < seeds == ignored and analysis.gain == 0 == analysis.standard_error


def verdict(gain: float, p_value: float, interval: tuple[float, float], alpha: float, matters: float) -> str:
    """helps | hurts | no difference that matters | can't tell. matters: as a fraction, as are the others."""
    if p_value <= alpha:
        return "helps" if gain > 0 else "hurts"
    low, high = interval
    return "no difference that matters" if -matters < low and high < matters else "can't tell"


def sentence(
    analysis: Crossed,
    compare: Compare,
    word: str | None,
    decides: Mapping[str, int | None] | None,
    scope: str,
    *,
    level: float,
    synthetic: bool,
    outside: bool,
    caution: str | None,
    unlike: Sequence[str] = (),
    ignored: int = 0,
    seeds: int = 0,
) -> str:
    """The verdict with gain, interval and scope. word: None for an arm without a verdict. decides: what would, if any.

    level: of the interval, less than alpha where it is for several arms at once. synthetic: whether the arm has
    synthetic images. outside: whether these know more than the labels taught. caution: why the verdict is not to be
    taken without a but. Of all `seeds`, unlike: other arms that the reference is on some, from which the arm differs in
    more than synthetic images; ignored: on how many it gave the images that it adds no weight. Where that is all of
    them, and the gain is none, there is no interval: so few seeds cannot tell how rarely others would use the images.
    """
    but = "" if caution is None else f" (with caution: {caution})"
    if word is not None and is_same(analysis, ignored, seeds):
        return (
            f"{word}: for these {seeds} seeds alone, on all of which it gave the images that it adds no weight and is "
            f"the same classifier as without them; how others would use the images is not known{but}"
        )
    low, high = analysis.interval(level)
    gain = f"{points(analysis.gain)} points ({points(low)} to {points(high)})"
    text = f"{gain} on new images like the test ones, for {_holds_for(scope, synthetic)}"
    if outside:
        text += ", with outside data"
    if word is None:
        return text
    if word in ("helps", "hurts") and low < 0 < high:
        text += f", by {HOLM}"
    if word in ("helps", "hurts") and abs(analysis.gain) < compare.matters / 100:
        text += f", less than the {compare.matters:g} that matter"
    if ignored:
        text += f"; on {ignored} of {seeds} seeds it gave the images that it adds no weight"
    if unlike:
        others = " or ".join(dict.fromkeys(unlike))
        text += (
            f"; on {len(unlike)} of {seeds} seeds {compare.reference} was the arm {others}, from which this one "
            "differs in more than synthetic images"
        )
    if decides is not None:
        ways = [f"{number:,} {what.replace('_', ' ')}" for what, number in decides.items() if number is not None]
        few = f"only more {ROWS[scope]} and more test images together would decide"
        text += f"; about {' or '.join(ways)} would decide, were the gain what it seems" if ways else f"; {few}"
    return f"{word}: {text}{but}"


def cautions_of(alike: float, groups: int | None, worth: int | None) -> list[str]:
    """Why no verdict on these test images stands without a but.

    alike: share of them that look like images that arms learn from. groups: how many they come from, and worth: as how
    many equal ones these count; None where each image is one of its own.
    """
    reasons = []
    if alike > ALIKE:
        reasons.append(f"up to {alike:.1%} of the test images look like images that arms learn from")
    if groups is not None and worth is not None and worth < FEW:
        alone = " alone" if worth == groups else f", so unequal that they count as {worth}"
        reasons.append(f"the test images come from {number_of(groups, 'group')}{alone}")
    return reasons


def share_alike(between: Mapping[str, Mapping[str, int]], tested: int) -> float:
    """The share of `tested` images that look like images that arms learn from; 0 where such were not looked for.

    between: as data/near_duplicates has it. An image that looks like one of train and one of validation counts twice.
    """
    return sum(between[f"{split}/test"]["images"] for split in ("train", "validation") if between) / tested


def _holds_for(scope: str, synthetic: bool) -> str:
    if scope == SET:
        return "these labels" + " and this set of synthetic images" * synthetic
    return "another draw of as many labels" + " and another training of the generators" * synthetic


def number_of(number: int, what: str) -> str:
    """1, "group" -> "1 group"; 2, "group" -> "2 groups"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def points(fraction: float) -> str:
    """In percentage points, with a sign."""
    text = f"{100 * fraction:+.2f}".replace("-", "−")
    return text if text.strip("+−") != "0.00" else "0.00"
