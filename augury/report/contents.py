"""What the report's templates can name, put together from what the stages left behind."""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from augury.evidence.ledger import arm_costs, cheapest, stage_costs
from augury.evidence.results import Results
from augury.pipeline.params import Params
from augury.report import findings
from augury.report.pages import render
from augury.report.plots import data_uri, dot_plot, forest_plot, loss_curves

PACKAGES = ("torch", "torchvision", "albumentations", "timm", "numpy", "scipy")
WIDEST_GRID, WIDEST_PROGRESS = 1200, 480  # pixels; keeps the page a few megabytes with large images too


@dataclass(frozen=True)
class Contents:
    """All accuracies and gains are fractions; pictures are data URIs, plots <svg> elements.

    runs: arm -> content of its result on every seed. more_real: arm -> real images that others lack. synthetic: arms
    with synthetic images. harmed: arm -> reference -> of each class, see `findings.harmed_classes`. confusions: arm ->
    (K, K) counts over all seeds. grids: preview -> picture with a class a row. nearest, trainings, curves, progress: by
    generator. progress: (training images seen, picture). What findings.py says goes by the names of its functions.
    """

    params: Params
    comparison: Mapping[str, Any]
    splits: Mapping[str, Any]
    straddling: Mapping[str, Any]
    closest: str | None
    runs: Mapping[str, Sequence[Mapping[str, Any]]]
    more_real: Mapping[str, int]
    synthetic: Sequence[str]
    confidence: str
    reference: str
    references: Sequence[str]
    headline: str
    yardsticks: Sequence[str]
    families: Mapping[str, Mapping[str, Sequence[str]]]
    family_rules: Sequence[str]
    classifier: str
    harmed: Mapping[str, Mapping[str, Sequence[bool]]]
    confusions: Mapping[str, np.ndarray]
    forest: Markup
    dots: Markup
    grids: Mapping[str, str]
    scores: Sequence[Mapping[str, Any]]
    by_extractor: Mapping[str, Sequence[Mapping[str, Any]]]
    absent_extractors: Sequence[str]
    nearest: Mapping[str, str]
    predictors: Sequence[Mapping[str, Any]]
    predictor_answer: str
    by_gain: Mapping[str, float]
    selections: Sequence[Mapping[str, Any]]
    trainings: Mapping[str, Mapping[str, Any]]
    curves: Mapping[str, Markup]
    progress: Mapping[str, Sequence[tuple[int, str]]]
    versions: Mapping[str, str]

    @classmethod
    def read(cls, params: Params, results: Results) -> "Contents":
        """Raises UserError where a stage has not written what belongs here."""
        comparison, splits, generators = results.comparison(), results.splits(), list(params.sample.generators)
        runs = {arm: results.of_arm(arm, comparison["seeds"]) for arm in comparison["arms"]}
        more_real = {arm: max(result["n_more_real"] for result in of_arm) for arm, of_arm in runs.items()}
        synthetic = [arm for arm in runs if params.classify.arms[arm].synthetic]
        percent = {arm: [100 * value for value in entry["accuracies"]] for arm, entry in comparison["arms"].items()}
        scores = [results.scores(generator) for generator in generators]
        ranked = findings.predictor_rows(comparison["predictors"], scores)
        closest = results.closest()
        return cls(
            params=params,
            comparison=comparison,
            splits=splits,
            straddling=results.straddling(),
            closest=None if closest is None else data_uri(closest, WIDEST_GRID),
            runs=runs,
            more_real=more_real,
            synthetic=synthetic,
            confidence=f"{100 * comparison['confidence']:g}%",
            reference=findings.reference_of(comparison),
            references=findings.references_of(comparison),
            headline=findings.headline(comparison, synthetic),
            yardsticks=findings.yardsticks(comparison, params.classify.arms, more_real, splits["train"]),
            families=findings.families(comparison),
            family_rules=findings.family_rules(comparison),
            classifier=findings.classifier(params.classify),
            harmed={
                arm: {name: findings.harmed_classes(of_arm, runs[name]) for name in comparison["references"]}
                for arm, of_arm in runs.items()
            },
            confusions={arm: np.sum([run["confusion"] for run in of_arm], axis=0) for arm, of_arm in runs.items()},
            forest=Markup(forest_plot(findings.gains(comparison), "forest")),
            dots=Markup(dot_plot(percent, "dots")),
            grids={name: data_uri(results.preview(name), WIDEST_GRID) for name in _previews(params)},
            scores=scores,
            by_extractor=findings.scores_by_extractor(scores),
            absent_extractors=findings.absent_extractors(scores),
            nearest={name: data_uri(results.preview(f"{name}_neighbours"), WIDEST_GRID) for name in generators},
            predictors=ranked,
            predictor_answer=findings.predictor_answer(ranked, 1 - comparison["confidence"]),
            by_gain=findings.by_gain(comparison["predictors"]),
            selections=[results.selection(generator) for generator in generators],
            trainings={generator: results.training(generator) for generator in generators},
            curves={name: Markup(loss_curves(results.curves(name), f"curve-{name}")) for name in generators},
            progress={name: _spaced(results.progress(name), params.report.progress_grids) for name in generators},
            versions={"Python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in PACKAGES},
        )

    def page(self) -> str:
        return render("index.html.jinja", **vars(self))

    def ledger(self, costs: Mapping[str, Mapping[str, Any]]) -> str:
        """The page of what the run cost, as far as it was run here. costs: stage -> what it took."""
        arms = arm_costs(costs, self.params, self.comparison, self.more_real)
        return render(
            "ledger.html.jinja",
            stages=stage_costs(costs, self.params),
            arms=arms,
            cheapest=cheapest(arms),
            prices=self.params.report,
            label_count=sum(self.splits["train"]) + sum(self.splits["validation"]),
            generators=list(self.params.sample.generators),
        )


def _previews(params: Params) -> list[str]:
    """The pictures of data/previews that show one class a row."""
    generators = params.sample.generators
    nearest = [f"{generator}_nearest" for generator in generators]
    reconstructions = ["reconstructions"] if "vae" in generators else []
    return ["real", *params.augment.policies, *generators, *nearest, *reconstructions]


def _spaced(grids: Mapping[int, Path], most: int) -> list[tuple[int, str]]:
    """Up to `most` evenly spaced sample grids: (training images seen, data URI)."""
    seen = list(grids)
    chosen = np.linspace(0, len(seen) - 1, min(len(seen), most)).round().astype(int)
    return [(seen[index], data_uri(grids[seen[index]], WIDEST_PROGRESS)) for index in chosen]
