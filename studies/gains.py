"""What a study gains in accuracy, on new images like the test ones, for the labels and the trainings that it had.

Rows are what a study made anew (seeds, trainings of a generator), cases the test images or groups of them; all gains
that answer one question are a family.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from augury.evidence.crossed import Crossed, by_case, overlap_of
from augury.evidence.results import Results
from augury.evidence.statistics import holm, spread_alike
from augury.evidence.verdicts import cautions_of, share_alike, verdict
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from augury.report.numbers import points_between, points_of
from studies.hits import Hits
from studies.page import listed

Key = TypeVar("Key", bound=Hashable)
VERBS = {  # verdict on a gain -> what the one does to the other
    "helps": "beats",
    "hurts": "loses to",
    "no difference that matters": "is no different, as far as it matters, from",
    "can't tell": "cannot be told from",
}


@dataclass(frozen=True)
class Gain:
    """A gain as one of a family. mean, low, high: as fractions; the intervals of the whole family hold together.

    interval: that of this gain alone. p_holm: corrected for the number of comparisons. verdict: helps | hurts | no
    difference that matters | can't tell. would_show: the true gain that would be found to help 4 times out of 5.
    """

    mean: float
    low: float
    high: float
    interval: tuple[float, float]
    p_value: float
    p_holm: float
    verdict: str
    would_show: float

    @property
    def sure(self) -> bool:
        """Whether it helps or hurts."""
        return self.verdict in ("helps", "hurts")

    @property
    def in_points(self) -> str:
        """ "+0.42 points (+0.10 to +0.74)"."""
        return f"{points_of(self.mean)} points ({points_between(self.low, self.high)})"

    def as_row(self) -> dict[str, Any]:
        """As the studies' summaries have it."""
        return {
            "gain": self.mean,
            "interval": list(self.interval),
            "simultaneous": [self.low, self.high],
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
            "would_show": self.would_show,
        }


def crossed(one: Hits, other: Hits) -> Crossed:
    """The gain of one over the other, row by row. Raises UserError where these are not the same test images."""
    if one.right.shape != other.right.shape or not one.same_images(other):
        raise UserError(
            f"points: {one.right.shape} classifiers and test images on one side, {other.right.shape} on the other; run "
            "`dvc repro` to make them anew"
        )
    values = one.right.astype(float) - other.right
    gains = values.mean(axis=1)
    of_rows = Crossed.of(by_case(gains, values - gains[:, None], one.groups), one.groups)
    idle = int((one.right == other.right).all(axis=1).sum())
    return replace(of_rows, overlap=overlap_of(one.in_common), idle=idle)


def judged(pairs: Mapping[Key, tuple[Hits, Hits]], compare: Compare, *, chosen: bool = False) -> dict[Key, Gain]:
    """The gains of one family, of the first of each pair over the second: which these are is fixed before any result.

    Holm's correction is for the number of them, and so is that of the intervals (Bonferroni). chosen: whether they are
    of what seeds choose, which tells of no other gain how large it may be.
    """
    analyses = {key: crossed(*pair) for key, pair in pairs.items()}
    analyses = analyses if chosen else spread_alike(analyses)
    corrected = holm({key: analysis.p_value for key, analysis in analyses.items()})
    alpha = 1 - compare.confidence
    level = alpha / max(1, len(pairs))
    return {
        key: Gain(
            analysis.gain, *analysis.interval(level), analysis.interval(alpha), analysis.p_value, corrected[key],
            verdict(analysis.gain, corrected[key], analysis.interval(level), alpha, compare.matters / 100),
            analysis.would_show(level),
        )
        for key, analysis in analyses.items()
    }  # fmt: skip


def about_test_images(root: Path, alike: float | None = None) -> list[str]:
    """What limits all verdicts on the test images of the pipeline at `root`, for a page's cautions.

    alike: share of them that look like images learned from, where these are others than the pipeline's.
    """
    splits = Results(root / "data").splits()
    if alike is None:
        alike = share_alike(splits["near_duplicates"]["between"], sum(splits["test"]))
    groups = splits["groups"] and splits["groups"]["test"]
    return [f"{reason[0].upper()}{reason[1:]}." for reason in cautions_of(alike, groups, groups)]


def in_cells(gain: Gain | None) -> list[str]:
    """Of a table: the gain in points, its interval, p (Holm) and the verdict; dashes where there is none."""
    if gain is None:
        return ["—"] * 4
    return [points_of(gain.mean), points_between(gain.low, gain.high), f"{gain.p_holm:.3f}", gain.verdict]


def by_verdict(gains: Mapping[Key, Gain]) -> dict[str, list[Key]]:
    """Verdict, in the order of VERBS -> which gains got it; none that no gain got."""
    each = {word: [key for key, gain in gains.items() if gain.verdict == word] for word in VERBS}
    return {word: keys for word, keys in each.items() if keys}


def verdicts_over(gains: Mapping[Key, Gain], names: Mapping[Key, str]) -> str:
    """What was found of one thing over others: "beats the pooled one, and cannot be told from the strided one"."""
    parts = [f"{VERBS[word]} {listed([names[key] for key in keys])}" for word, keys in by_verdict(gains).items()]
    return ", and ".join(filter(None, ["; ".join(parts[:-1]), parts[-1]]))


def holds_for(generators: bool) -> str:
    """For whom a study's gains hold, at the end of a sentence."""
    trainings = " and these trainings of the generators" if generators else ""
    return f"on new images like the test ones, for these labels{trainings}"


def how_judged(compare: Compare, rows: str, *, generators: bool, redrawn: bool = False) -> str:
    """The rule behind the verdicts, in words. rows: what is crossed with the test images, as "the 4 seeds".

    redrawn: whether each row has labels and trainings of its own.
    """
    scope = (
        "on new images like the test ones, with another draw of as many labels and other trainings; it says nothing "
        "about other data"
        if redrawn
        else f"{holds_for(generators)}; others would add to the interval"
    )
    confidence = f"{100 * compare.confidence:g}%"
    return (
        f"A gain rests on {rows}, crossed with the test images, both taken as drawn from many (Obuchowski & Rockette "
        "1995; intervals by Banerjee 1961); where both sides give the same answers on some of these, its variance is "
        f"at least what the sizes of such gains on the others would make it. It holds {scope}. A "
        f"gain helps or hurts when its p-value, corrected by Holm's method, is at most {1 - compare.confidence:.3g}; "
        f"it makes no difference that matters when its {confidence} interval lies within {compare.matters:g} "
        f"points of 0; otherwise the data can't tell. The {confidence} intervals hold for all gains of a family "
        "together."
    )
