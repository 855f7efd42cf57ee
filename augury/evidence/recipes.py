"""What arms are there for, and which one would use: held-out labelled images choose, seed by seed, never test images.

`best_real` is the best arm of real images alone: what synthetic images have to be better than. `recipe` is that one as
well, unless it is better with synthetic images by more than a standard error. Nothing is trained again for them, and
their predictions on the test images are those of the arm that was chosen, so that they open the test split no further
time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from augury.evidence.runs import HeldOut, Runs
from augury.evidence.verdicts import number_of
from augury.pipeline.one_standard_error import mean_and_error, sure_of, weights_of
from augury.pipeline.sections import BEST_REAL, RECIPE, Arm


def kind_of(recipe: Arm, other: Arm) -> str:
    """What an arm is there for beside another one, fixed by their recipes before any result is seen.

    A kind is for one difference: where something else is different too, a gain may be owed to that.
    """

    def same_but_for(*keys: str) -> bool:
        return recipe.without("draw", *keys) == other.without("draw", *keys)

    if same_but_for() or (recipe.repeat and same_but_for("repeat")):
        return "control"
    if recipe.synthetic and recipe.synthetic != other.synthetic and same_but_for("synthetic"):
        return "synthetic"
    return "yardstick" if recipe.more_real and same_but_for("more_real") else "other"


def balances(reference: str, recipes: Mapping[str, Arm]) -> bool:
    """Whether the reference, or an arm that `best_real` could be, makes up for a long tail among the labels."""
    real_only = [arm for arm in recipes.values() if arm.is_candidate and not arm.synthetic]
    return any(arm.balance or arm.fill for arm in (real_only if reference == BEST_REAL else [recipes[reference]]))


@dataclass(frozen=True)
class Chosen:
    """replicate -> the arm that each of its seeds chose, and their runs."""

    arms: Mapping[int, Sequence[str]]
    runs: Mapping[int, Runs]

    def by(self, seeds: Mapping[int, int]) -> list[str]:
        """What seeds chose. seeds: replicate -> how many of them count, the first ones."""
        return [arm for number, count in seeds.items() for arm in self.arms[number][:count]]


def candidates(of_arms: Mapping[str, Runs], recipes: Mapping[str, Arm]) -> tuple[list[str], list[str]]:
    """Arms of real images alone, and arms that are the same as one of these but for synthetic images.

    Only of such is it known what synthetic images did. Arms whose held-out images were not kept are no candidates.
    """
    arms = [arm for arm, runs in of_arms.items() if recipes[arm].is_candidate and runs.held_out is not None]
    real_only = [arm for arm in arms if not recipes[arm].synthetic]
    return real_only, [arm for arm in arms if any(with_synthetic(bare, [arm], recipes) for bare in real_only)]


def chosen_arms(
    runs: Mapping[int, Mapping[str, Runs]], recipes: Mapping[str, Arm], balanced: bool
) -> dict[str, Chosen]:
    """`best_real` where an arm could be it, and `recipe` where arms with synthetic images could be it, too.

    balanced: whether every class counts the same. A seed that gave synthetic images no weight does not choose them.
    """
    real_only, synthetic = candidates(runs[0], recipes)
    if not real_only:
        return {}
    best, used = dict[int, list[str]](), dict[int, list[str]]()
    for number, of_arms in runs.items():
        held_out = {arm: part for arm in (*real_only, *synthetic) if (part := of_arms[arm].held_out)}
        for position in range(len(of_arms[real_only[0]].seeds)):
            best.setdefault(number, []).append(best_real(held_out, real_only, position, balanced))
            tried = with_synthetic(best[number][-1], synthetic, recipes)
            weighed = [arm for arm in tried if of_arms[arm].results[position]["synthetic_weight"] != 0]
            sure = sure_of(max(1, len(tried)))
            used.setdefault(number, []).append(recipe(held_out, best[number][-1], weighed, position, balanced, sure))
    choices = {BEST_REAL: best} | ({RECIPE: used} if synthetic else {})
    return {
        name: Chosen(arms, {number: Runs.seed_by_seed([runs[number][arm] for arm in arms[number]]) for number in runs})
        for name, arms in choices.items()
    }


def to_use(choices: Sequence[str], recipes: Mapping[str, Arm]) -> str:
    """The arm that most seeds chose: with synthetic images only where more than half of them chose such."""
    synthetic = [arm for arm in choices if recipes[arm].synthetic]
    asked = synthetic if 2 * len(synthetic) > len(choices) else [arm for arm in choices if not recipes[arm].synthetic]
    return max(recipes, key=asked.count)


def with_synthetic(arm: str, arms: Iterable[str], recipes: Mapping[str, Arm]) -> list[str]:
    """Those of `arms` that are the same as an arm of real images alone but for synthetic images."""
    return [each for each in arms if recipes[each].synthetic and recipes[each].bare == recipes[arm]]


def unlike(arm: str, best: Sequence[str], recipes: Mapping[str, Arm]) -> list[str]:
    """What seeds chose as the best of real images alone, where it is not the same arm without synthetic images."""
    return [each for each in best if recipes[each] != recipes[arm].without("synthetic", "draw")]


def in_words(name: str, use: str, choices: Sequence[str], best: Sequence[str], recipes: Mapping[str, Arm]) -> str:
    """What to use, and how the seeds came to it. name: of the chosen arm. choices: of seeds. best: best_real's."""
    if name == BEST_REAL:
        return f"{use}, the best arm of real images alone, as held-out labelled images tell"
    which = f"{use}, with synthetic images" if recipes[use].synthetic else f"{use}, real images alone"
    tried = sum(bool(with_synthetic(arm, recipes, recipes)) for arm in best)
    if not tried:
        return f"{which}. It was not tried with synthetic images: no arm is the same but for these"
    better = sum(bool(recipes[arm].synthetic) for arm in choices)
    left = number_of(len(best) - tried, "other")
    others = f"; on {left} it was not tried with any" if tried < len(best) else ""
    return (
        f"{which}. With synthetic images added, the best arm of real images alone told held-out labelled images "
        f"better, by more than a standard error, on {better or 'none'} of {tried} seeds{others}"
    )


def best_real(held_out: Mapping[str, HeldOut], arms: Sequence[str], position: int, balanced: bool) -> str:
    """The arm with the best likelihood of all images that every one of them holds out; of equal ones the first.

    With no allowance for the simpler ones: a reference that is held down would make others look good.
    """
    if not (asked := in_common(held_out, arms, position)).any():
        return arms[0]
    weights = weights_of(held_out[arms[0]].labels[asked], balanced)
    return max(arms, key=lambda arm: float(np.average(held_out[arm].likelihoods[position][asked], weights=weights)))


def recipe(
    held_out: Mapping[str, HeldOut], reference: str, arms: Sequence[str], position: int, balanced: bool, sure: float
) -> str:
    """The reference, unless one of these arms, the same with synthetic images, is better by more than `sure` standard
    errors: then the best such.

    Asked are the images that both hold out, which for arms with synthetic images are those of the validation split
    alone, as no generator has learned from these. They are few, and the weight was chosen by them, too: of several arms
    one is often better by chance. Synthetic images cost more than real ones that are there, so that they have to be
    better for it, by the more the more arms were tried, those included to which a seed gave no weight.
    """
    best, most = reference, 0.0
    for arm in arms:
        asked = in_common(held_out, (arm, reference), position)
        if not asked.any():
            continue
        gains = held_out[arm].likelihoods[position][asked] - held_out[reference].likelihoods[position][asked]
        labels, groups = held_out[arm].labels[asked], held_out[arm].groups
        mean, error = mean_and_error(gains, weights_of(labels, balanced), None if groups is None else groups[asked])
        if mean > sure * error and mean > most:
            best, most = arm, mean
    return best


def in_common(held_out: Mapping[str, HeldOut], arms: Sequence[str], position: int) -> np.ndarray:
    """(R,) bool: the images that all of these arms hold out."""
    return ~np.any([np.isnan(held_out[arm].likelihoods[position]) for arm in arms], axis=0)
