"""report: every result as one page that can be read offline; its first sentence answers the question."""

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from augury.errors import UserError
from augury.findings import (
    absent_extractors,
    by_gain,
    harmed_classes,
    headline,
    predictor_answer,
    predictor_rows,
    reference_of,
    scores_by_extractor,
    worst_classes,
)
from augury.outputs import read_json, whole_directory
from augury.params import Params
from augury.plots import PairedGain, data_uri, decimals, dot_plot, forest_plot, loss_curves, number, signed
from augury.stage import run

DATA = Path("data")
TEMPLATE = Path(__file__).parents[1] / "augury" / "report.html.jinja"
PACKAGES = ("torch", "torchvision", "albumentations", "timm", "numpy", "scipy")
WIDEST_GRID, WIDEST_PROGRESS = 1200, 480  # pixels; keeps the page a few megabytes with large images too


def main(params: Params) -> None:
    comparison = read_json(_found(DATA / "comparison.json"))
    runs = {
        arm: [read_json(_found(DATA / "results" / arm / f"{seed}.json")) for seed in comparison["seeds"]]
        for arm in comparison["arms"]
    }
    synthetic = [arm for arm, results in runs.items() if any(result["n_synthetic"] for result in results)]
    percent = {arm: [100 * value for value in entry["accuracies"]] for arm, entry in comparison["arms"].items()}
    generators = list(params.sample.generators)
    scores = [read_json(_found(DATA / "scores" / f"{generator}.json")) for generator in generators]
    ranked = predictor_rows(comparison["predictors"], scores)
    page = _environment().get_template(TEMPLATE.name).render(
        params=params,
        params_text=params.model_dump_json(indent=2),
        splits=read_json(_found(DATA / "splits" / "summary.json")),
        comparison=comparison,
        runs=runs,
        headline=headline(comparison, synthetic),
        reference=reference_of(comparison),
        synthetic=synthetic,
        harmed={
            arm: {reference: harmed_classes(results, runs[reference]) for reference in comparison["references"]}
            for arm, results in runs.items()
        },
        confusions={arm: np.sum([result["confusion"] for result in results], axis=0) for arm, results in runs.items()},
        forest=Markup(forest_plot(_paired_gains(comparison), "forest")),
        dots=Markup(dot_plot(percent, "dots")),
        grids={
            name: data_uri(_found(DATA / "previews" / f"{name}.png"), WIDEST_GRID)
            for name in ["real", "classic", *generators, *(["reconstructions"] if "vae" in generators else [])]
        },
        scores=scores,
        sampled=lambda count: min(count, params.score.most_images),
        by_extractor=scores_by_extractor(scores),
        absent_extractors=absent_extractors(scores),
        nearest={
            generator: data_uri(_found(DATA / "previews" / f"{generator}_neighbours.png"), WIDEST_GRID)
            for generator in generators
        },
        predictors=ranked,
        by_gain=by_gain(comparison["predictors"]),
        predictor_answer=predictor_answer(ranked, 1 - comparison["confidence"]),
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
    with whole_directory(DATA / "report") as partial:
        (partial / "index.html").write_text(page, encoding="utf-8", newline="\n")


def _paired_gains(comparison: dict[str, Any]) -> dict[str, list[PairedGain]]:
    """Reference -> what the arms gained over it, in percentage points."""
    panels: dict[str, list[PairedGain]] = {reference: [] for reference in comparison["references"]}
    for arm, entry in comparison["arms"].items():
        for reference, row in entry["over"].items():
            low, high = (100 * limit for limit in row["gain_ci"])
            effect = row["minimum_detectable_effect"]
            undetectable = None if effect is None else 100 * effect
            panels[reference].append(PairedGain(arm, 100 * row["gain"], low, high, undetectable, row["verdict"]))
    return panels


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


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["signed"] = lambda fraction, digits=2: signed(100 * fraction, digits)
    environment.filters["percent"] = lambda fraction, digits=2: f"{100 * fraction:.{digits}f}"
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.filters |= {"number": number, "decimals": decimals, "worst": worst_classes}
    environment.filters["p"] = lambda p: "<0.001" if p < 0.001 else f"{p:.3f}"
    return environment


def _found(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: not found; run `dvc repro` to make it")
    return path


if __name__ == "__main__":
    run("report", main)
