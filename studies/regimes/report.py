"""Judge every recipe in every regime, and write the page: `python -m studies.regimes.report`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.ledger import stages_behind
from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import BEST_REAL, RECIPE
from studies.gains import Gain, about_test_images, how_judged, in_cells, judged
from studies.hits import Hits, mean_of, stacked
from studies.page import COSTS, Page, Table, listed
from studies.regimes.costs import costs_page, seconds_of
from studies.regimes.drawings import regimes_plot
from studies.regimes.settings import Regime, Regimes
from studies.workspace import ROOT, load_params, run

Points = Mapping[Regime, Sequence[Mapping[str, Any]]]  # regime -> a point per replicate
Gains = Mapping[tuple[Regime, str], Gain]  # over the best of real images alone


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Regimes, here, root)
    points = {
        regime: [read_json(here / "points" / f"{regime.name}-{number}.json") for number in study.budget.replicates]
        for regime in study.regimes()
    }
    recipes = {(regime, RECIPE): over_best(of_regime, RECIPE) for regime, of_regime in points.items()}
    chosen = judged(recipes, top.compare, chosen=True)
    each = judged({(regime, name): over_best(points[regime], name) for regime, name in tried(study)}, top.compare)
    gains = {**chosen, **each}
    content = {
        "replicates": study.budget.replicates,
        "share": study.budget.share,
        "confidence": top.compare.confidence,
        "regimes": {
            regime.name: {
                "labelled": of_regime[0]["labelled"],
                "fewest": of_regime[0]["fewest"],
                "best_real": {"accuracy": accuracy(of_regime, BEST_REAL), "chosen": choices(of_regime, BEST_REAL)},
                "recipe": {"chosen": choices(of_regime, RECIPE), **gains[regime, RECIPE].as_row()},
                "recipes": {name: each[of, name].as_row() for of, name in each if of == regime},
            }
            for regime, of_regime in points.items()
        },
    }
    write_json(here / "regimes.json", content)
    rows = [
        (*regime, point["replicate"], name, seed, float(value))
        for regime, of_regime in points.items()
        for point in of_regime
        for name in point["recipes"]
        for seed, value in zip(study.seeds, hits_of(point, name).accuracy, strict=True)
    ]
    write_csv(here / "regimes.csv", (*Regime._fields, "replicate", "recipe", "seed", "accuracy"), rows)
    page(study, top, points, gains, root).write(here / "page")
    costs = {regime: seconds_of(here / "runs", regime, study.budget.replicates) for regime in points}
    costs_page(costs).write_beside(here / "page" / COSTS)


def tried(study: Regimes) -> list[tuple[Regime, str]]:
    """Every recipe with synthetic images in every regime that it can be tried in."""
    return [
        (regime, name)
        for regime in study.regimes()
        for name, recipe in study.recipes_in(regime.mode).items()
        if recipe.synthetic
    ]


def hits_of(point: Mapping[str, Any], name: str) -> Hits:
    """What a recipe's seeds got right; of one that is chosen, what those of the recipes did that each seed chose."""
    if name not in point["chosen"]:
        return Hits.unpacked(point["recipes"][name]["hits"])
    each = [hits_of(point, recipe) for recipe in point["chosen"][name]]
    return Hits(np.stack([hits.right[place] for place, hits in enumerate(each)]), each[0].groups)


def of_replicates(of_regime: Sequence[Mapping[str, Any]], name: str) -> Hits:
    """A row per replicate: the mean over its seeds."""
    rows = []
    for point in of_regime:
        hits = hits_of(point, name)
        rows.append(mean_of([Hits(row[None], hits.groups) for row in hits.right]))
    return stacked(rows, max(point["in_common"] for point in of_regime))


def over_best(of_regime: Sequence[Mapping[str, Any]], name: str) -> tuple[Hits, Hits]:
    return of_replicates(of_regime, name), of_replicates(of_regime, BEST_REAL)


def accuracy(of_regime: Sequence[Mapping[str, Any]], name: str) -> float:
    return float(of_replicates(of_regime, name).right.mean())


def choices(of_regime: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    """Recipe -> how many seeds of all replicates chose it, the most frequent first."""
    counts = Counter(recipe for point in of_regime for recipe in point["chosen"][name])
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def real_throughout(of_regime: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no seed chose synthetic images."""
    return all(point["chosen"][RECIPE] == point["chosen"][BEST_REAL] for point in of_regime)


def same(of_regime: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a recipe is the best of real images alone: no seed gave its synthetic images any weight."""
    if name == RECIPE:
        return real_throughout(of_regime)
    ignored = all(weight == 0 for point in of_regime for weight in point["recipes"][name]["synthetic_weight"])
    one, other = over_best(of_regime, name)
    return ignored and np.array_equal(one.right, other.right)


def answer_of(points: Points, gains: Gains) -> str:
    """In which regimes the recipe that held-out images choose helped, in a sentence."""
    by_verdict: dict[str, list[str]] = {}
    for regime, of_regime in points.items():
        word = "not chosen" if real_throughout(of_regime) else gains[regime, RECIPE].verdict
        by_verdict.setdefault(word, []).append(regime.in_words)
    helped, count = by_verdict.get("helps", []), len(points)
    if not helped:
        opening = f"In none of {count} regimes did synthetic images surely help, chosen by held-out images"
    else:
        opening = (
            f"Synthetic images, chosen by held-out images, helped in {len(helped)} of {count} regimes: {listed(helped)}"
        )
    others = {"hurts": "they hurt in", "no difference that matters": "they made no difference that matters in",
              "can't tell": "the data can't tell in", "not chosen": "they were not chosen in"}  # fmt: skip
    rest = [f"{words} {len(by_verdict[word])}" for word, words in others.items() if word in by_verdict]
    return "; ".join([opening, *rest])


def trained_on(name: str, study: Regimes, top: Params) -> float:
    """Images, in thousands, that the trainings behind a recipe's synthetic images are shown, at most."""
    arms = top.classify.model_copy(update={"arms": study.recipes})
    entries = stages_behind(name, top.model_copy(update={"classify": arms}))
    budgets = {f"train_gan@0-{gan}": budget.total_kimg for gan, budget in top.train_gan.items()}
    budgets |= {"train_vae@0": top.train_vae.total_kimg, "train_diffusion@0": top.train_diffusion.total_kimg}
    return study.budget.share * sum(budgets.get(entry, 0.0) for entry in entries)


def named(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def page(study: Regimes, top: Params, points: Points, gains: Gains, root: Path) -> Page:
    confidence = f"{100 * top.compare.confidence:g}% interval"
    costs = {name: f"{trained_on(name, study, top):.3g}k images" for name in study.synthetic}
    shown = {(regime, name): None if same(points[regime], name) else gain for (regime, name), gain in gains.items()}
    count, first = len(study.budget.replicates), next(iter(points.values()))[0]
    common, alike = (
        max(point[key] for of_regime in points.values() for point in of_regime) for key in ("in_common", "alike")
    )
    cautions = about_test_images(root, alike)
    if count < 3:
        cautions.append(
            "There are two replicates alone, for intervals so wide that next to no gain could be told; five tell more."
        )
    if study.budget.share < 1:
        cautions.append(f"Generators had {study.budget.share:.0%} of the main pipeline's budget of images.")
    return Page(
        question="where do synthetic images help, and where do they not?",
        answer=answer_of(points, gains),
        cautions=cautions,
        drawing=regimes_plot(shown, list(points), {RECIPE: "chosen", **costs}, "regimes"),
        alternative="A table of marks, a panel per mode: recipes against labels per class and tails, with the gain "
        "over the best of real images alone and its verdict; the numbers are in the tables.",
        caption="Gain in percentage points of test accuracy over the best of real images alone, as held-out images "
        "choose it. Circle, bold: helps. Square, bold: hurts. Bar: no difference that matters. Diamond: can't tell. A "
        f"dash: no seed gave synthetic images any weight. First row ({RECIPE}): what each seed chose among all. Below "
        f"a name: what its generators were trained on, at most; seconds are in {COSTS}.",
        tables=[
            Table(
                "What held-out images choose",
                ["Regime", "Labels", "Best of real images", "Accuracy", "Chosen of all", "Gain", confidence, "p (Holm)",
                 "Verdict"],
                [
                    [regime.in_words, f"{of_regime[0]['labelled']:,}", named(choices(of_regime, BEST_REAL)),
                     f"{100 * accuracy(of_regime, BEST_REAL):.2f}%", named(choices(of_regime, RECIPE)),
                     *in_cells(shown[regime, RECIPE])]
                    for regime, of_regime in points.items()
                ],
                f"Each of {count * len(study.seeds)} seeds chooses for itself. A family of {len(points)} comparisons.",
            ),
            Table(
                "Every recipe",
                ["Regime", "Recipe", "Gain", confidence, "p (Holm)", "Verdict"],
                [[regime.in_words, name, *in_cells(shown[regime, name])] for regime, name in tried(study)],
                f"Over the best of real images alone. A family of {len(tried(study))} comparisons.",
            ),
        ],
        protocol={
            "Regimes": "Labels per class, validation included: those of the largest class, and in a long tail so many "
            "times fewer of the smallest, by powers in between, but two at least (Cui et al. 2019). A tail is named by "
            "the labels that there are of its largest and smallest class. Modes: "
            f"{'; '.join(f'{name}: {named(keys)}' for name, keys in study.modes.items())}.",
            "Replicates": f"{count}, each with labels, trainings of the generators and {len(study.seeds)} seeds of its "
            f"own, on the same test images. Two have up to {common:.0%} of their labels in common, and intervals allow "
            "for it (Nadeau & Bengio 2003).",
            "Choice": "The best recipe of real images alone by the likelihood of all that these hold out; then the "
            "same with synthetic images, if these have any weight and it tells the validation images better by more "
            "than a standard error, or more where several are tried (Bonferroni). In a long tail all classes count "
            "alike. No generator has learned from validation images, and no test image has a part in it.",
            "Test": f"{how_judged(top.compare, f'{count} replicates', generators=False, redrawn=True)} "
            f"{len(hits_of(first, BEST_REAL).right[0]):,} test images, each counting the same.",
        },
    )  # fmt: skip


if __name__ == "__main__":
    run("regimes", main)
