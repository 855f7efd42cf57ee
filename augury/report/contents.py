"""What the report's templates can name, put together from what the stages left behind."""

import importlib.metadata
import io
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from ruamel.yaml import YAML

from augury.evidence.ledger import another_replicate, arm_costs, cheapest, stage_costs
from augury.evidence.results import Results
from augury.pipeline.params import Params
from augury.report import answer, findings
from augury.report.pages import render
from augury.report.plots import data_uri, loss_curves
from augury.report.scale import Scale

PACKAGES = ("torch", "torchvision", "albumentations", "timm", "numpy", "scipy")
WIDEST_GRID, WIDEST_PROGRESS = 1200, 480  # pixels; keeps the page a few megabytes with large images too


class Contents:
    """What the pages show of a run.

    All accuracies and gains are fractions; pictures are data URIs, curves <svg> elements. runs: arm -> content of its
    result on every seed. Raises UserError, as each page does, where a stage has not written what belongs here.
    """

    def __init__(self, params: Params, results: Results) -> None:
        self.params, self.results = params, results
        self.comparison, self.splits = results.comparison(), results.splits()
        self.runs = {arm: results.of_arm(arm, self.comparison["seeds"]) for arm in self.comparison["arms"]}

    @property
    def more_real(self) -> dict[str, int]:
        """Arm -> real images in its training set that the others lack."""
        return {arm: max(result["n_more_real"] for result in of_arm) for arm, of_arm in self.runs.items()}

    def page(self) -> str:
        """The report.

        By generator are scores, selections, trainings, curves and progress, which is (training images seen, picture).
        masks: of each policy that sets objects on other grounds, with the picture `<policy>_masks`. grounds: arm ->
        what it owes to the ground, where there is such a policy. closest: of near-duplicates, if any.
        """
        params, results, comparison = self.params, self.results, self.comparison
        generators, swapping, closest = list(params.sample.generators), params.augment.swapping, results.closest()
        scores = [results.scores(generator) for generator in generators]
        bases = {name: base for name in generators if (base := results.base(name)) is not None}
        ranked = findings.predictor_rows(comparison["predictors"])
        return render(
            "index.html.jinja",
            params=params,
            comparison=comparison,
            splits=self.splits,
            straddling=results.straddling(),
            runs=self.runs,
            scores=scores,
            selections=[results.selection(generator) for generator in generators],
            trainings={generator: results.training(generator) for generator in generators},
            bases=bases,
            pictures={
                **{name: data_uri(results.preview(name), WIDEST_GRID) for name in _previews(params)},
                **{f"{name}_masks": data_uri(results.masks_sheet(name), WIDEST_GRID) for name in swapping},
            },
            masks={name: results.masks(name) for name in swapping},
            grounds={arm: of_arm for arm in comparison["arms"] if (of_arm := results.grounds(arm)) is not None},
            closest=None if closest is None else data_uri(closest, WIDEST_GRID),
            curves={name: Markup(loss_curves(results.curves(name), f"curve-{name}")) for name in generators},
            progress={name: _spaced(results.progress(name), params.report.progress_grids) for name in generators},
            confidence=f"{100 * comparison['confidence']:g}%",
            headline=answer.headline(comparison),
            advice=answer.advice(comparison),
            entries=answer.entries(comparison),
            holds=answer.HOLDS[comparison["scope"]],
            estimator=answer.estimator(comparison),
            controls=answer.controls(comparison, params.classify.arms, self.more_real),
            outside=answer.outside_data(comparison, params.classify.arms, bases),
            effort=answer.where_effort_pays(comparison),
            decides=answer.what_would_decide(comparison),
            another=answer.another_replicate(comparison, round(1 / params.prepare.test_fraction)),
            gains={
                arm: row for arm in answer.entries(comparison) if (row := answer.row_of(comparison, arm)) is not None
            },
            scale=Scale.spanning(_on_the_axis(comparison)),
            confusions={arm: np.sum([run["confusion"] for run in of_arm], axis=0) for arm, of_arm in self.runs.items()},
            classifier=findings.classifier(params.classify),
            by_extractor=findings.scores_by_extractor(scores),
            absent_extractors=findings.absent_extractors(scores),
            predictors=ranked,
            predictor_answer=findings.predictor_answer(ranked, 1 - comparison["confidence"]),
            parameters=_as_yaml(params),
            versions={"Python": platform.python_version()}
            | {package: importlib.metadata.version(package) for package in PACKAGES},
        )

    def ledger(self, costs: Mapping[str, Mapping[str, Any]], looks: int) -> str:
        """The page of what the run cost, as far as it was run here.

        costs: stage -> what it took. looks: at the test images, so far.
        """
        arms = arm_costs(costs, self.params, self.comparison, self.more_real)
        return render(
            "ledger.html.jinja",
            reference=self.comparison["reference"],
            measure=self.comparison["measure"]["title"],
            stages=stage_costs(costs, self.params),
            arms=arms,
            cheapest=cheapest(arms),
            another=another_replicate(costs, self.params),
            prices=self.params.report,
            label_count=sum(self.splits["train"]) + sum(self.splits["validation"]),
            generators=list(self.params.sample.generators),
            looks=looks,
        )


def _on_the_axis(comparison: Mapping[str, Any]) -> Iterator[float]:
    """What the axis of the gains must hold: all of the family and its controls; another arm may lie beyond."""
    arms = answer.entries(comparison)
    asked = [arm for arm, entry in arms.items() if entry["kind"] in ("synthetic", "control")]
    yield from (-comparison["matters"], comparison["matters"])
    for arm in asked or arms:
        if (row := answer.row_of(comparison, arm)) is not None:
            yield from (*row["interval"], *(row["simultaneous"] or ()), *row["by_replicate"])


def _as_yaml(params: Params) -> str:
    """What params.yaml says, without its comments."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # annotated as None
    yaml.width = 110
    yaml.dump(params.model_dump(mode="json", exclude_unset=True), text)
    return text.getvalue()


def _previews(params: Params) -> list[str]:
    """The pictures of data/previews: one class a row, and the closest pairs of each generator."""
    generators = params.sample.generators
    of_each = [f"{generator}{kind}" for generator in generators for kind in ("", "_nearest", "_neighbours")]
    reconstructions = ["reconstructions"] if "vae" in generators else []
    return ["real", *params.augment.policies, *of_each, *reconstructions]


def _spaced(grids: Mapping[int, Path], most: int) -> list[tuple[int, str]]:
    """Up to `most` evenly spaced sample grids: (training images seen, data URI)."""
    seen = list(grids)
    chosen = np.linspace(0, len(seen) - 1, min(len(seen), most)).round().astype(int)
    return [(seen[index], data_uri(grids[seen[index]], WIDEST_PROGRESS)) for index in chosen]
