"""The rules behind the verdicts, in words."""

from augury.evidence.gains import Gains
from augury.evidence.verdicts import SET
from augury.pipeline.conclusions import Compare
from augury.pipeline.sections import BEST_REAL, RECIPE

OF_CHOICE = (
    f"Another question, with as few errors of its own, is what to use: {RECIPE}, over {BEST_REAL}. Each seed chooses "
    "both by the likelihood of labelled images that were held out, and no test image: among arms of real images alone "
    "the best one, by all images that these hold out; then the same with synthetic images, if the seed gave them any "
    "weight and it is better by more than a standard error on the validation images, which no generator has learned "
    "from; where there are several such arms, by as much more as makes up for their number (Bonferroni)."
)


def rule_of(gains: Gains, compare: Compare, scope: str, family: int, chosen: bool) -> str:
    """family: how many arms it has. chosen: whether there is a recipe that held-out images choose."""
    crossed = (
        f"crossed with the {'groups of ' if gains.grouped else ''}test images, both taken as drawn from many "
        "(Obuchowski & Rockette 1995; intervals by Banerjee 1961)"
    )
    if scope == SET:
        seeds = len(gains.reference_runs(0).seeds)
        rests = f"the {seeds} seeds, each with its own draw of copies and images, {crossed}"
    elif gains.folds:
        rests = (
            f"{len(gains.runs)} folds, each with labels, trainings and test images of its own; their training "
            "images overlap, which the variance makes up for (Nadeau & Bengio 2003)"
        )
    else:
        rests = f"{len(gains.runs)} replicates, each with its own labels and trainings and two seeds, {crossed}"
    many, at_once = f"the {family} arms", ", for all of these at once,"
    if family == 1:
        many, at_once = "the one arm", ""
    added_to, else_too = compare.reference, ""
    if compare.reference == BEST_REAL:
        added_to = f"an arm that {BEST_REAL} could be, over {BEST_REAL}"
        else_too = (
            f"Where seeds chose another arm as {BEST_REAL}, the difference is not of synthetic images alone, which is "
            "said beside it. "
        )
    rule = (
        f"The question: {many} that add synthetic images, and nothing else, to {added_to}, by "
        f"{gains.measure.title}. {else_too}Arms, reference and the number of replicates are to be fixed before the "
        "results are seen: who looks after every replicate and stops at will errs more often. A gain rests on "
        f"{rests}. On some of these an arm may give its images no weight, and is the very reference: its variance is "
        "then at least what the sizes of such arms' gains on the others would make it. An arm helps or hurts when the "
        "p-value, corrected by Holm's method for the number of these arms, is at most "
        f"{1 - compare.confidence:.3g}. It makes no difference that matters when its whole "
        f"{100 * compare.confidence:g}% interval{at_once} lies within {compare.matters:g} points of 0. "
        "Otherwise the data can't tell. Controls are each judged alone; other arms get no verdict."
    )
    return f"{rule} {OF_CHOICE}" if chosen else rule
