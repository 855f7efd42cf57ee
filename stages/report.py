"""report: every result as one page that can be read offline; its first sentence answers the question.

Beside it, and shown in it, stands the cost ledger: a page of its own, because times differ from run to run.
"""

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from augury.evidence.ledger import arm_costs, cheapest, stage_costs
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, whole_directory
from augury.pipeline.params import Params
from augury.pipeline.stage import COSTS, run
from augury.report import findings
from augury.report.pages import SECTIONS, STUDIES, render
from augury.report.plots import data_uri, dot_plot, forest_plot, loss_curves

DATA = Path("data")
PACKAGES = ("torch", "torchvision", "albumentations", "timm", "numpy", "scipy")
WIDEST_GRID, WIDEST_PROGRESS = 1200, 480  # pixels; keeps the page a few megabytes with large images too


def main(params: Params) -> None:
    comparison = read_json(_found(DATA / "comparison.json"))
    runs = {
        arm: [read_json(_found(DATA / "results" / arm / f"{seed}.json")) for seed in comparison["seeds"]]
        for arm in comparison["arms"]
    }
    more_real = {arm: max(result["n_more_real"] for result in results) for arm, results in runs.items()}
    synthetic = [arm for arm in runs if params.classify.arms[arm].synthetic]
    splits = read_json(_found(DATA / "splits" / "summary.json"))
    percent = {arm: [100 * value for value in entry["accuracies"]] for arm, entry in comparison["arms"].items()}
    generators = list(params.sample.generators)
    scores = [read_json(_found(DATA / "scores" / f"{generator}.json")) for generator in generators]
    ranked = findings.predictor_rows(comparison["predictors"], scores)
    closest = DATA / "near_duplicates" / "closest.png"  # only where there are any
    page = render(
        "index.html.jinja",
        sections=SECTIONS,
        studies=STUDIES,
        params=params,
        params_text=params.model_dump_json(indent=2),
        splits=splits,
        class_names=splits["class_names"],
        comparison=comparison,
        arms=comparison["arms"],
        references=findings.references_of(comparison),
        reference=findings.reference_of(comparison),
        grouping=params.prepare.group_column or params.prepare.group_pattern,
        straddling=read_json(_found(DATA / "near_duplicates" / "pairs.json")),
        closest=data_uri(closest, WIDEST_GRID) if closest.exists() else None,
        confidence=f"{100 * comparison['confidence']:g}%",
        runs=runs,
        synthetic=synthetic,
        headline=findings.headline(comparison, synthetic),
        yardsticks=findings.yardsticks(comparison, params.classify.arms, more_real, splits["train"]),
        families=findings.families(comparison),
        family_titles=findings.FAMILIES,
        family_rules=findings.family_rules(comparison),
        classifier=findings.classifier(params.classify),
        fine_tuned=params.classify.mode != "head",
        harmed={
            arm: {name: findings.harmed_classes(results, runs[name]) for name in comparison["references"]}
            for arm, results in runs.items()
        },
        confusions={arm: np.sum([result["confusion"] for result in results], axis=0) for arm, results in runs.items()},
        forest=Markup(forest_plot(findings.gains(comparison), "forest")),
        dots=Markup(dot_plot(percent, "dots")),
        grids={name: data_uri(_found(DATA / "previews" / f"{name}.png"), WIDEST_GRID) for name in _previews(params)},
        scores=scores,
        sampled=lambda count: min(count, params.score.most_images),
        by_extractor=findings.scores_by_extractor(scores),
        absent_extractors=findings.absent_extractors(scores),
        nearest={
            generator: data_uri(_found(DATA / "previews" / f"{generator}_neighbours.png"), WIDEST_GRID)
            for generator in generators
        },
        predictors=ranked,
        by_gain=findings.by_gain(comparison["predictors"]),
        predictor_answer=findings.predictor_answer(ranked, 1 - comparison["confidence"]),
        selections=[read_json(_found(DATA / "selection" / f"{generator}.json")) for generator in generators],
        trainings={name: read_json(_found(DATA / "generators" / name / "training.json")) for name in generators},
        curves={
            generator: Markup(loss_curves(_columns(DATA / "curves" / f"{generator}.csv"), f"curve-{generator}"))
            for generator in generators
        },
        progress={
            generator: _progress(DATA / "generators" / generator / "progress", params.report.progress_grids)
            for generator in generators
        },
        versions={"Python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
    )  # fmt: skip
    ledger = _ledger(params, comparison, more_real, splits)
    with whole_directory(DATA / "report") as partial:
        (partial / "index.html").write_text(page, encoding="utf-8", newline="\n")
        (partial / "costs.html").write_text(ledger, encoding="utf-8", newline="\n")  # .dvcignore names it


def _ledger(params: Params, comparison: dict[str, Any], more_real: dict[str, int], splits: dict[str, Any]) -> str:
    """The page of what the run cost, as far as it was run here."""
    costs = {cost["stage"]: cost for cost in map(read_json, sorted(COSTS.glob("*.json")))}
    rows = arm_costs(costs, params, comparison, more_real)
    return render(
        "ledger.html.jinja",
        stages=stage_costs(costs, params),
        arms=rows,
        cheapest=cheapest(rows),
        prices=params.report,
        label_count=sum(splits["train"]) + sum(splits["validation"]),
        generators=list(params.sample.generators),
    )


def _previews(params: Params) -> list[str]:
    """The pictures of data/previews that show one class a row."""
    generators = params.sample.generators
    nearest = [f"{generator}_nearest" for generator in generators]
    reconstructions = ["reconstructions"] if "vae" in generators else []
    return ["real", *params.augment.policies, *generators, *nearest, *reconstructions]


def _progress(directory: Path, most: int) -> list[tuple[int, str]]:
    """Up to `most` evenly spaced sample grids: (training images seen, data URI)."""
    paths = {int(1000 * float(re.sub(r"^kimg_", "", path.stem))): path for path in directory.glob("kimg_*.png")}
    seen = sorted(paths)
    chosen = np.linspace(0, len(seen) - 1, min(len(seen), most)).round().astype(int)
    return [(seen[index], data_uri(paths[seen[index]], WIDEST_PROGRESS)) for index in chosen]


def _columns(path: Path) -> dict[str, np.ndarray]:
    """A CSV file of numbers as column -> (rows,) float64; an empty cell is NaN."""
    table = np.genfromtxt(_found(path), delimiter=",", names=True)
    return {name: np.atleast_1d(table[name]) for name in table.dtype.names or ()}


def _found(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: not found; run `dvc repro` to make it")
    return path


if __name__ == "__main__":
    run("report", main)
