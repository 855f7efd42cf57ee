"""Arms compared with the reference: verdicts and what is to be said of them, as data/comparison.json has them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from augury.evidence.crossed import Crossed, two_digits
from augury.evidence.gains import Gains, Replicates
from augury.evidence.measures import FEW, Measure, means_of_tail, rarest_third
from augury.evidence.others import Others
from augury.evidence.recipes import Chosen, balances, candidates, chosen_arms, in_words, kind_of, to_use, unlike
from augury.evidence.rules import rule_of
from augury.evidence.statistics import holm, mean_interval
from augury.evidence.verdicts import BUDGET, ROWS, SET, cautions_of, is_same, number_of, sentence, verdict
from augury.pipeline.conclusions import Compare
from augury.pipeline.sections import BEST_REAL, RECIPE, Arm

MEANS = ("accuracy", "macro_f1", "ece", "nll", "validation_accuracy", "validation_nll")


@dataclass(frozen=True)
class Judgement:
    """Of an arm's gain. p_holm: corrected for the comparisons in the family; None for an arm that is not of it.

    level: the p-value that the gain has to reach first in Holm's correction, as intervals do for all arms at once.
    verdict: None for an arm that gets none.
    """

    analysis: Crossed
    p_holm: float | None
    level: float
    verdict: str | None


@dataclass(frozen=True)
class Comparison:
    """runs, overlap, in_common: as in `Gains`. arms: their recipes in full. alike: the largest share, over replicates,
    of test images that look like some that arms learn from. outside: generators that know more than the labels taught.
    seed: of the bootstrap. labelled: (K,) images of each class that arms learn from, in the first replicate.
    alike_classes: whether choices count all classes alike, by any measure.
    """

    runs: Replicates
    arms: Mapping[str, Arm]
    compare: Compare
    class_names: Sequence[str]
    overlap: float | None = None
    in_common: float = 0.0
    alike: float = 0.0
    outside: Collection[str] = ()
    seed: int = 0
    labelled: Sequence[int] = ()
    alike_classes: bool = False

    @cached_property
    def rare(self) -> list[int]:
        """The rarest classes of a long tail."""
        return rarest_third(self.labelled)

    @cached_property
    def gains(self) -> Gains:
        measure, reference = Measure.of(self.compare.measure, self.class_names, self.rare), self.compare.reference
        fixed = next(iter(self.runs[0])) if reference == BEST_REAL else reference
        gains = Gains(self.runs, fixed, measure, self.overlap, self.in_common)  # once all are known to be of one test
        runs = {
            number: {**of_arms, **{name: chosen.runs[number] for name, chosen in self.chosen.items()}}
            for number, of_arms in self.runs.items()
        }
        repeated = {arm: twin for arm, (kind, twin) in self.twins.items() if kind == "control"}
        return replace(gains, runs=runs, reference=reference, instead={**repeated, RECIPE: BEST_REAL})

    @cached_property
    def chosen(self) -> dict[str, Chosen]:
        """`best_real` and `recipe`, as far as there are arms that could be them."""
        return chosen_arms(self.runs, self.arms, self.alike_classes or self.compare.measure != "accuracy")

    @cached_property
    def others(self) -> Others:
        return Others(self.gains, self.compare.resamples, self.seed, self.rare)

    @property
    def alpha(self) -> float:
        return 1 - self.compare.confidence

    @property
    def matters(self) -> float:
        return self.compare.matters / 100

    @property
    def scope(self) -> str:
        """The widest there is."""
        return self.gains.scopes[-1]

    @cached_property
    def twins(self) -> dict[str, tuple[str, str]]:
        """Arm -> its kind, and beside which arm: the reference; where that is chosen, one that it could be, if any."""
        reference, twins = self.compare.reference, {}
        others = candidates(self.runs[0], self.arms)[0] if reference == BEST_REAL else [reference]
        for arm in self.runs[0]:
            each = [(kind_of(self.arms[arm], self.arms[other]), other) for other in others if other != arm]
            neither = "reference" if arm == reference else "other", reference
            twins[arm] = next((pair for pair in each if pair[0] != "other"), neither)
        return twins

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Of the arms that were trained."""
        return {arm: kind for arm, (kind, _) in self.twins.items()}

    @property
    def family(self) -> list[str]:
        return [arm for arm, kind in self.kinds.items() if kind == "synthetic"]

    @cached_property
    def with_outside_data(self) -> list[str]:
        """The arms that learn from what such generators draw, and what chose one of them."""
        arms = [arm for arm in self.kinds if any(name in self.outside for name in self.arms[arm].synthetic)]
        seeds = {number: len(of_arms[next(iter(of_arms))].seeds) for number, of_arms in self.runs.items()}
        return [*arms, *(name for name, chosen in self.chosen.items() if not {*arms}.isdisjoint(chosen.by(seeds)))]

    @cached_property
    def caution(self) -> str | None:
        """Why no verdict stands without a but; None where nothing is known against them."""
        return self.caution_over(self.compare.reference)

    def caution_over(self, reference: str) -> str | None:
        """The same of gains over an arm."""
        reasons = []
        if self.rare and self.family and not balances(reference, self.arms):
            reasons.append(f"gains over {reference} include what balancing the long tail of the labels brings")
        groups = (self.gains.cases, self.gains.worth) if self.gains.grouped else (None, None)
        reasons += cautions_of(self.alike, *groups)
        fewest, label = self.gains.fewest
        if self.gains.measure.name != "accuracy" and fewest < FEW:
            reasons.append(f"class {self.class_names[label]} has {number_of(fewest, 'test image')} alone")
        if len(self.runs) == 2:
            reasons.append("there are two replicates alone, which may agree by chance")
        return " and ".join(reasons) or None

    def seeds_of(self, scope: str) -> dict[int, int]:
        """Replicate -> how many of its seeds count."""
        return {number: len(runs[self.compare.reference].seeds) for number, runs in self.gains.counted(scope).items()}

    def each_seed(self, arm: str, scope: str) -> list[str]:
        """What was trained for the seeds that count."""
        seeds = self.seeds_of(scope)
        return self.chosen[arm].by(seeds) if arm in self.chosen else [arm] * sum(seeds.values())

    def judge(self, scope: str) -> dict[str, Judgement]:
        """Every other arm's gain over the reference: the family together, controls each alone, as is the recipe, which
        is the answer to another question. An arm that is what it is compared with, on every seed, gains nothing.
        """
        analyses = {
            arm: self.gains.crossed(arm, scope)
            for arm in self.gains.arms
            if self.each_seed(arm, scope) != self.each_seed(self.gains.over(arm), scope)
        }
        corrected = holm({arm: analyses[arm].p_value for arm in self.family})
        judged = [RECIPE, *(arm for arm, kind in self.kinds.items() if kind in ("synthetic", "control"))]
        judgements = {}
        for arm, analysis in analyses.items():
            p_holm, word = corrected.get(arm), None
            level = self.alpha if p_holm is None else self.alpha / len(self.family)
            if arm in judged:
                p_value = analysis.p_value if p_holm is None else p_holm
                word = verdict(analysis.gain, p_value, analysis.interval(level), self.alpha, self.matters)
            judgements[arm] = Judgement(analysis, p_holm, level, word)
        return judgements

    def row(self, arm: str, scope: str, judgement: Judgement) -> dict[str, Any]:
        """What is said of a gain, for everyone who reads data/comparison.json."""
        analysis, level, word = judgement.analysis, judgement.level, judgement.verdict
        rows, cases, best = analysis.rows, analysis.cases, self.each_seed(self.gains.over(arm), scope)
        ignored, decides = self.gains.ignored(arm, scope), None
        same = is_same(analysis, ignored, len(best))
        if word == "can't tell" and not same:
            more = analysis.rows_to_decide(level, self.matters)
            if scope == BUDGET and self.gains.overlap and more and more > round(1 / self.gains.overlap) + 1:
                more = None  # there are no more folds
            images = None if self.gains.folds else analysis.cases_to_decide(level, self.matters)
            decides = {
                "replicates": more if scope == BUDGET else None,
                "seeds": more if scope == SET else None,
                # Groups are as large as those there are, and classes as frequent.
                "test_images": None if images is None else two_digits(images * self.gains.images / cases),
            }
        per_class = (self.per_class(name, scope) for name in (arm, self.gains.over(arm)))
        others = unlike(arm, best, self.arms) if arm in self.family and self.gains.over(arm) == BEST_REAL else []
        return {
            "over": self.gains.over(arm),
            "same": same,
            "gain": analysis.gain,
            "standard_error": analysis.standard_error,
            "df": analysis.df,
            "interval": list(analysis.interval(self.alpha)),
            "simultaneous": None if judgement.p_holm is None else list(analysis.interval(level)),
            "p_value": analysis.p_value,
            "p_holm": judgement.p_holm,
            "verdict": word,
            "sentence": sentence(
                analysis, self.compare, word, decides, scope, level=level,
                synthetic=arm == RECIPE or (arm in self.arms and bool(self.arms[arm].synthetic)),
                outside=arm in self.with_outside_data, caution=self.caution_over(self.gains.over(arm)),
                unlike=others, ignored=ignored, seeds=len(best),
            ),
            "unlike": [*dict.fromkeys(others)],
            "decides": decides,
            "narrowed_by": {
                ROWS[scope]: analysis.narrowed_by(2 * rows, cases, level),
                "test images": None if self.gains.folds else analysis.narrowed_by(rows, 2 * cases, level),
            },
            "would_show": analysis.would_show(level),
            "power": analysis.power(self.matters, level),
            "seeds_interval": list(mean_interval(self.gains.of_seeds(arm, 0)[0], self.compare.confidence)[1:]),
            "by_replicate": self.gains.of_replicates(arm, scope),
            "next_user": analysis.next_gains() if scope == BUDGET and not self.gains.folds and not same else None,
            "per_class_gain": [
                None if gained is None or before is None else gained - before
                for gained, before in zip(*per_class, strict=True)
            ],
            "others": self.others.differences(arm, scope, self.alpha),
        }  # fmt: skip

    def per_class(self, arm: str, scope: str) -> list[float | None]:
        """Accuracies, averaged over the runs that count; None for a class without test images."""
        columns = zip(*(runs[arm].per_class for runs in self.gains.counted(scope).values()), strict=True)
        return [None if None in column else float(np.mean(column)) for column in columns]

    def choice(self, name: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What there is of an arm that is chosen among those that were trained.

        use: with synthetic images, which cost more, only where they help. chosen: replicate -> those of its seeds.
        """
        chosen, seeds = self.chosen[name], self.seeds_of(self.scope)
        choices, best = chosen.by(seeds), self.chosen[BEST_REAL].by(seeds)
        row = rows[self.scope].get(name)
        use = to_use(choices, self.arms)
        if self.arms[use].synthetic and (row is None or row["verdict"] != "helps"):
            use = to_use(best, self.arms)
        text = in_words(name, use, choices, best, self.arms)
        if name == RECIPE and row is not None:
            text += f". What they chose, over the best arm of real images alone: {row['sentence']}"
        return {
            "use": use,
            "chosen": {str(number): list(chosen.arms[number][:count]) for number, count in seeds.items()},
            "sentence": f"{text}.",
            **self.entry(name, rows),
        }

    def entry(self, arm: str, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """What there is of an arm. rows: scope -> arm -> its gain."""
        counted = self.gains.counted(self.scope).values()
        gain = {scope: rows.get(scope, {}).get(arm) for scope in (SET, BUDGET)}
        return {
            "kind": self.kinds.get(arm, "chosen"),
            "value": self.gains.value(arm, self.scope),
            "values": {str(number): self.gains.measured[number, arm][0].tolist() for number in self.runs},
            **{f"{key}_mean": float(np.mean([runs[arm].mean(key) for runs in counted])) for key in MEANS},
            **(means_of_tail(self.per_class(arm, self.scope), self.rare) if self.rare else {}),
            "per_class_accuracy": self.per_class(arm, self.scope),
            "gain": gain if gain[self.scope] else None,
        }

    def summary(self) -> dict[str, Any]:
        """The content of data/comparison.json, without its predictors."""
        rows = {
            scope: {arm: self.row(arm, scope, judgement) for arm, judgement in self.judge(scope).items()}
            for scope in self.gains.scopes
        }
        measure = self.gains.measure
        return {
            "measure": {
                "name": measure.name,
                "title": measure.title,
                "class": None if measure.wanted is None else self.class_names[measure.wanted],
                "precision": measure.precision,
            },
            "reference": self.compare.reference,
            "confidence": self.compare.confidence,
            "matters": self.matters,
            "scope": self.scope,
            "redraw": "folds" if self.gains.folds else "labels",
            "replicates": list(self.runs),
            "seeds": self.gains.reference_runs(0).seeds,
            "n_test": self.gains.images,
            "n_groups": self.gains.cases if self.gains.grouped else None,
            "caution": None if self.caution is None else f"{self.caution[0].upper()}{self.caution[1:]}.",
            "rule": rule_of(self.gains, self.compare, self.scope, len(self.family), RECIPE in self.chosen),
            **({"rarest_third": [self.class_names[label] for label in self.rare]} if self.rare else {}),
            "family": self.family,
            **({"with_outside_data": self.with_outside_data} if self.with_outside_data else {}),
            "sources": {arm: self.gains.sources(arm, self.scope) for arm in self.family},
            "arms": {arm: self.entry(arm, rows) for arm in self.kinds},
            "chosen": {name: self.choice(name, rows) for name in self.chosen},
        }
