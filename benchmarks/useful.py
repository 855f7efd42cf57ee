"""What the ways of `sample.filter.keep` are worth: `python -m benchmarks.useful NAME DRAWS LABELS [GENERATOR]`.

Each draw of labels is a replicate, as in `benchmarks.redrawn`: labels, one training of the generator (vae unless told
otherwise), one pool of candidates, of which every way keeps its own. Heads learn from the training images and as many
kept ones, at a fixed penalty and weight 1, and are tried on validation and test images: a sharper comparison
of the ways than arms, whose folds may leave all of them out. Exploratory: nothing may be chosen by it. It goes on where
it was stopped; at the end it prints what all draws say.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.generators.sampling import sample_images
from augury.generators.starts import Sources
from augury.generators.weights import load_generator
from augury.heads import selection
from augury.heads.linear import Examples, Fit, Standardiser, fit_linear_heads
from augury.heads.selection import HEAD, Selector, fill_quota
from augury.images.extractor import Extractor, classifier_levels
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet
from augury.images.soft_labels import targets_of
from augury.pipeline import params
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import Params
from augury.pipeline.process import one_line_errors
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import Arm
from augury.pipeline.seeding import seeded
from benchmarks.redrawn import POOLS, SETTINGS
from stages import prepare, train_diffusion, train_gan, train_vae
from studies.workspace import make_workspace

CPU = torch.device("cpu")
# way -> what it changes in the filter; `allowed` keeps the first ones that the ensemble allows: no preference.
WAYS: dict[str, dict[str, Any]] = {
    "confident": {},
    "allowed": {"keep": "allowed"},
    "disputed": {"keep": "disputed"},
    "hard": {"keep": "hard"},
}
SEEDS, PENALTY, STEPS = 2, 0.1, 500


def main(name: str, draws: int, labels: int, generator: str = "vae") -> None:
    pool = POOLS / name
    if not pool.exists():
        budget = {"prepare": SETTINGS["prepare"] | {"labels_per_class": labels}}
        short = {
            "train_gan": {"dcgan": {"total_kimg": 24, "snapshot_every_kimg": 8}},
            "train_vae": SETTINGS["train_vae"] | {"total_kimg": 4},
        }
        make_workspace(pool, {"classic": Arm()}, budget | short)
    os.chdir(pool)
    selection.USEFULNESS = {**selection.USEFULNESS, "allowed": lambda _, features, __: torch.zeros(len(features))}
    for number in range(draws):
        if not (path := pool / f"{generator}-{number}.json").exists():
            write_json(path, one_draw(params.load().of_replicate(number), Replicate(number), generator))
            print(number, flush=True)
    judge([read_json(pool / f"{generator}-{number}.json") for number in range(draws)])


def one_draw(settings: Params, replicate: Replicate, generator: str) -> dict[str, Any]:
    """Way and kind of labels -> accuracy in validation and on test, of each seed; what became of the draws."""
    if not replicate.folder("splits").exists():
        prepare.main(settings, replicate)
    if not (replicate.folder("generators") / generator).exists():
        trainings: dict[str, Any] = {"vae": train_vae.main, "diffusion": train_diffusion.main}
        if generator in trainings:
            trainings[generator](settings, replicate)
        else:
            train_gan.main(settings, generator, replicate)
    network, names = load_generator(replicate.folder("generators") / generator, CPU)
    train, *tried = (ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation", "test"))
    extractor = classifier_levels(settings.classify)
    standardise = Standardiser(of_train := extractor(train, CPU), CPU)
    real, unseen = standardise(of_train), [standardise(extractor(images, CPU)) for images in tried]
    remember = Remembering(extractor)
    labels = torch.from_numpy(targets_of(train))
    outcomes: dict[str, Any] = {}

    def draw(labels: np.ndarray, drawn: np.ndarray) -> ImageSet:
        drawing = settings.sample.generators[generator]
        return sample_images(
            network, labels, names, origin=generator, seed=settings.seed, device=CPU, drawn=drawn,
            drawing=drawing, sources=Sources.of(network, train, drawing, CPU),
        )  # fmt: skip

    def learn(name: str, features: torch.Tensor, targets: torch.Tensor) -> None:
        examples = Examples(torch.cat([real, features]), torch.cat([labels, targets]))
        fits = [Fit(examples, seeded(seed), [PENALTY]) for seed in range(SEEDS)]
        weights, biases = fit_linear_heads(fits, len(names), HEAD.model_copy(update={"steps": STEPS}))
        outcomes[name] = [
            [
                float(((values @ weights[seed, 0] + biases[seed, 0]).argmax(dim=1).numpy() == images.labels).mean())
                for seed in range(SEEDS)
            ]
            for values, images in zip(unseen, tried, strict=True)
        ]

    learn("real alone", real[:0], labels[:0])
    learn("placebo", real, labels)  # again, in place of synthetic images
    for way, changes in WAYS.items():
        rules = settings.sample.filter.model_copy(update=changes | {"soft_labels": True})
        if way not in ("disputed", "hard"):  # which go by the ensemble of `allowed`
            select = Selector(train, tried[0], rules, settings.classify, settings.seed, CPU)
            select.extractor = remember  # type: ignore[assignment]
        select.rules = rules
        images, counts = fill_quota(draw, select, np.array(train.counts()), rules, names)
        outcomes[f"draws of {way}"] = {key: sum(each[key] for each in counts.values()) for key in counts[names[0]]}
        write_png(Path(f"{generator}-{replicate.number}-{way}.png"), class_grid(images, 12))
        features = standardise(remember.compute(images, CPU))
        soft = torch.from_numpy(targets_of(images))
        outcomes[f"agreement of {way}"] = float((soft.argmax(dim=1).numpy() == images.labels).mean())
        learn(way, features, torch.eye(len(names))[torch.from_numpy(images.labels)])
        learn(f"{way}, soft", features, soft)
    return outcomes


class Remembering:
    """An extractor for ways that judge the same candidates."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor, self.known = extractor, dict[bytes, np.ndarray]()

    def compute(self, images: ImageSet, device: torch.device, progress: bool = True) -> np.ndarray:
        keys = images.content_hashes()
        if new := [row for row, key in enumerate(keys) if key not in self.known]:
            features = self.extractor.compute(images.select(np.array(new)), device, progress)
            self.known.update({keys[row]: values for row, values in zip(new, features, strict=True)})
        return np.stack([self.known[key] for key in keys])


def judge(outcomes: list[dict[str, Any]]) -> None:
    """Gains in points over the real images alone, on average over draws, with the standard error of that mean."""
    for name in [name for name, value in outcomes[0].items() if isinstance(value, list)]:
        gains = 100 * np.array([np.subtract(each[name], each["real alone"]).mean(axis=1) for each in outcomes])
        error = gains.std(axis=0, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else [np.nan] * 2
        means = [f"{part} {mean:+.2f} ({of_mean:.2f})" for part, mean, of_mean in zip(
            ("validation", "test"), gains.mean(axis=0), error, strict=True
        )]  # fmt: skip
        print(f"{name:16} {', '.join(means)}")
    for key in [name for name, value in outcomes[0].items() if not isinstance(value, list)]:
        print(key, [each[key] for each in outcomes])
    print(f"real alone, test: {100 * np.mean([each['real alone'][1] for each in outcomes]):.2f}")


if __name__ == "__main__":
    with one_line_errors("useful"):
        if len(sys.argv) not in (4, 5) or not all(word.isdecimal() for word in sys.argv[2:4]):
            sys.exit("usage: python -m benchmarks.useful NAME DRAWS LABELS [GENERATOR]")
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
