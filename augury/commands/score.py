"""`python -m augury score REAL GENERATED`: any two sets of images, by the rules of the pipeline's `score`.

Under torchrun the processes extract features side by side, and the first one scores them.
"""

import argparse
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from augury.images.streams import ImageStream, stream_of
from augury.pipeline.destinations import check_json_file
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.preparing import check_intensity
from augury.pipeline.process import check_numbers
from augury.pipeline.sections import FeatureExtractor, distance_title
from augury.pipeline.seeding import derive_seed
from augury.scores.extractors import build_extractor
from augury.scores.fidelity import Protocol
from augury.scores.gathering import Gathered, gather
from augury.scores.protocol import distance_of_all, scores_and_floors

CONFIDENCE = 0.95


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Score a set of images against real ones. A set is a folder of image files or of Parquet shards."
    )
    parser.add_argument("real", help="folder of real images")
    parser.add_argument("generated", help="folder of generated images")
    parser.add_argument(
        "--extractor", default="inception", metavar="NAME[=WEIGHTS]",
        help="network in whose features they are compared: inception (FID; the default), efficientnet_lite0, "
        "dinov2_small, dinov2_large, random_cnn; WEIGHTS: a file, instead of a cache or a download",
    )  # fmt: skip
    parser.add_argument(
        "--intensity", type=float, nargs=2, metavar=("BLACK", "WHITE"),
        help="values of files of more than 8 bits, as prepare.intensity; else each folder's own range",
    )  # fmt: skip
    parser.add_argument("--whole", action="store_true", help="only the Frechet distance of the whole sets")
    parser.add_argument("--json", metavar="FILE", help="write the scores to this file too")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--halvings", type=int, default=5, help="random halvings of the real images (default: 5)")
    parser.add_argument("--resamples", type=int, default=100, help="of the bootstrap intervals (default: 100)")
    parser.add_argument("--neighbours", type=int, default=5, help="k of precision and recall (default: 5)")
    parser.add_argument("--most-images", type=int, default=10_000, help="a side, for all but the whole sets' distance")
    parser.add_argument("--seed", type=int, default=0)


def main(asked: argparse.Namespace) -> None:
    check_numbers(asked, halvings=1, resamples=20, neighbours=1, most_images=4, seed=0)
    if asked.json:
        check_json_file(Path(asked.json), "--json")
    try:
        check_intensity("--intensity", asked.intensity)
    except ValueError as error:
        raise UserError(str(error)) from error
    intensity = None if asked.intensity is None else (asked.intensity[0], asked.intensity[1])
    streams = [stream_of(Path(path), intensity=intensity) for path in (asked.real, asked.generated)]
    name, _, weights = asked.extractor.partition("=")
    accelerator = Accelerator(cpu=choose_device(asked.device).type == "cpu")
    # One process downloads weights; then one on each machine, which may have a cache of its own; the others find them.
    with accelerator.main_process_first(), accelerator.local_main_process_first():
        extractor = build_extractor(name, FeatureExtractor(weights=weights or "auto"), key="--extractor")

    def collect(stream: ImageStream) -> Gathered:
        most, seed = 0 if asked.whole else asked.most_images, derive_seed(asked.seed, stream.name)
        return gather(stream, [extractor], accelerator.device, most=most, seed=seed, accelerator=accelerator)

    real, generated = (collect(stream) for stream in streams)
    accelerator.end_training()
    if not accelerator.is_main_process:
        return
    for gathered in (real, generated):
        if gathered.count < 2:
            raise UserError(
                f"found {real.count} real and {generated.count} generated images, expected at least 2 of each"
            )
    if asked.whole:
        scores: dict[str, Any] = {"fd_all": distance_of_all(name, [real], generated)}
    else:
        protocol = Protocol(asked.halvings, asked.neighbours, asked.resamples, CONFIDENCE, asked.seed)
        scores = scores_and_floors(name, [real], generated, protocol, instead=", or choose --whole")
    scores = {
        "extractor": name,
        "dimensions": len(real.moments[name].mean),
        "n_real": real.count,
        "n_generated": generated.count,
        "fd_all": scores["fd_all"],
        **scores,
    }
    print("\n".join(table(asked, distance_title(name), scores)))
    if asked.json:
        write_json(Path(asked.json), scores)


def table(asked: argparse.Namespace, name: str, scores: dict[str, Any]) -> list[str]:
    """The scores as lines of text."""
    n_real, n_generated, dimensions = scores["n_real"], scores["n_generated"], scores["dimensions"]
    lines = [
        f"real       {asked.real}: {n_real:,} images",
        f"generated  {asked.generated}: {n_generated:,} images",
        "",
        f"{name} of the whole sets: {scores['fd_all']:.6g}",
    ]
    if min(n_real, n_generated) < 2 * dimensions:
        lines.append(f"  biased upwards below {2 * dimensions:,} images a side; look at KID, which is not")
    if "fd" not in scores:
        return lines

    width = len(name) + len(" / that of real")

    def row(label: str, value: float | None, floor: float | None, note: str = "") -> str:
        numbers = ["-" if number is None else f"{number:.4g}" for number in (value, floor)]
        return f"{label:<{width}}{numbers[0]:>12}{numbers[1]:>12}  {note}".rstrip()

    def between(key: str) -> str:
        interval = scores[key]
        return "" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"

    return [
        *lines,
        "",
        f"{scores['n_per_side']:,} against {scores['n_per_side']:,} images, mean of {asked.halvings} halvings",
        f"{'':<{width}}{'generated':>12}{'real':>12}  {CONFIDENCE:.0%} interval",
        row(name, scores["fd"], scores["fd_floor"], between("fd_ci")),
        row(f"{name} / that of real", scores["fd_over_floor"], 1.0, between("fd_over_floor_ci")),
        row(f"{name} at infinity", scores["fd_infinity"], scores["fd_infinity_floor"]),
        row("KID", scores["kid"], scores["kid_floor"], "" if scores["kid"] is None else f"+- {scores['kid_se']:.2g}"),
        *(row(key, scores[key], scores[f"{key}_floor"]) for key in ("precision", "recall", "density", "coverage")),
    ]
