"""Train one variant, score its images, try them on the classifier: `python -m studies.generators.ablation ada`.

Images are used as they are drawn, without the filter of the stage `sample`: it would hide what sets variants apart.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from augury.generators.sampling import balanced_labels, sample_images
from augury.generators.weights import load_generator
from augury.images.extractor import Extractor
from augury.images.frechet import frechet_distance
from augury.images.grids import grid_of, write_png
from augury.images.image_set import ImageSet, concatenate
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.outputs import read_json, whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm, FeatureExtractor
from augury.pipeline.seeding import derive_seed
from augury.scores.extractors import build_extractor
from augury.scores.fidelity import beside_floor, halve, kernel_distances, manifolds, significant
from studies.generators.settings import SCORE_KEYS, Generators
from studies.generators.train import UNFIT
from studies.generators.variants import VARIANTS, Variant, overrides
from studies.hits import Hits, kept_of_arm
from studies.workspace import ROOT, load_params, make_workspace, reference_arm, run, run_module, run_stage

EXTRACTOR = "efficientnet_lite0"  # its weights are always there
SHOWN = 8  # images of a variant in the picture


def main(name: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Generators, here, root)
    check_known("variants", name, study.variants)
    ablation = Ablation(name, study, top, reference_arm(top, study.reference), root)
    if missing := [each for each in ("dcgan", "stylegan") if each not in top.train_gan]:
        raise UserError(f"train_gan: the ablation starts from dcgan and stylegan; found no {missing[0]!r}")
    real = concatenate([ImageSet.read(root / "data/splits/0" / split) for split in ("train", "validation")])
    classes = len(real.class_names)
    # What `classify` takes of each class, of its own for every seed.
    of_seed = math.ceil(round(study.ratio * len(real)) / classes)
    per_class = max(study.scores.per_class, len(top.classify.seeds) * of_seed)
    labels = balanced_labels(classes, per_class)
    extractor = build_extractor(EXTRACTOR, top.score.extractors.get(EXTRACTOR, FeatureExtractor()))

    trainings: list[dict[str, Any] | None] = []
    with whole_directory(here / "points/ablation" / name) as out:
        for number in range(study.training.trainings):
            folder = here.absolute() / "runs" / name / str(number)
            if not ablation.train(folder / "training", number):
                trainings.append(None)
                continue
            generator = folder / "training/data/generators/0" / ablation.variant.architecture
            images, size = ablation.draw(generator, labels)
            if not (out / "images.png").exists():
                write_png(out / "images.png", strip(images))
            training = read_json(generator / "training.json")
            trainings.append(
                {
                    "kept_kimg": training["kept_kimg"],
                    "stopped": training["stopped"],
                    **size,
                    "extractor": extractor.name,
                    "resolution": extractor.resolution,
                    **ablation.score(real, images, extractor),
                    **ablation.test(folder / "test", images),
                }
            )
        content = {
            "variant": name,
            "reference": study.reference,
            "reference_hits": Hits.of_arm(root / "data", study.reference, top.classify.seeds).packed(),
            "trainings": trainings,
        }
        write_json(out / "ablation.json", significant(content))


@dataclass(frozen=True)
class Ablation:
    """What is done with a variant. recipe: of the reference arm. root: the main pipeline's folder."""

    name: str
    study: Generators
    top: Params
    recipe: Arm
    root: Path

    @property
    def variant(self) -> Variant:
        return VARIANTS[self.name]

    @property
    def device(self) -> torch.device:
        return choose_device(self.top.device)

    def train(self, folder: Path, number: int) -> bool:
        """Train it in a workspace of its own, from seed + number; False where no snapshot was fit for use.

        Raises UserError where the training fails for another reason; the process has said why.
        """
        budget = self.study.training.model_dump(exclude={"trainings", "width"})
        section = budget | overrides(self.variant, self.study.training.width)
        changed = {"seed": self.top.seed + number, "train_gan": {self.variant.architecture: section}}
        make_workspace(folder, {self.study.reference: self.recipe}, changed, links=("data/splits/0",), root=self.root)
        # Unfinished trainings of other variants, and of the main pipeline, are not for this one to find or to delete.
        (folder / ".cache").unlink()
        (folder / ".cache").mkdir()
        (self.root / ".cache/features").mkdir(exist_ok=True)
        (folder / ".cache/features").symlink_to((self.root / ".cache/features").absolute())
        status = run_module(folder, "studies.generators.train", self.name)
        if status not in (0, UNFIT):
            raise UserError(f"{self.name}: training {number} failed, see above")
        return status == 0

    def draw(self, folder: Path, labels: np.ndarray) -> tuple[ImageSet, dict[str, int]]:
        """Images of the generator in `folder`, the same latents for all trainings, and how large it is."""
        network, class_names = load_generator(folder, self.device, self.variant.network_class)
        images = sample_images(
            network, labels, class_names, origin=self.variant.architecture,
            seed=derive_seed(self.top.seed, "generators"), device=self.device,
        )  # fmt: skip
        return images, size_of(network, self.device)

    def score(self, real: ImageSet, images: ImageSet, extractor: Extractor) -> dict[str, Any]:
        """Means over halvings of the real images, half against half for the floor; n is the same on every side."""
        features, generated = (extractor.compute(each, self.device) for each in (real, images))
        seed, neighbours = derive_seed(self.top.seed, "generators"), self.top.score.neighbours
        halvings = halve(real.labels, images.labels, self.study.scores.halvings, seed)
        sides = [(features[each.one], features[each.other], generated[each.generated]) for each in halvings]
        n = len(sides[0][0])
        if n <= max(3, neighbours):
            raise UserError(f"prepare.labels_per_class: {n} real images a side; scores need at least {neighbours + 1}")
        distance, floor = (float(np.mean(values)) for values in beside_floor(frechet_distance, sides))
        scores = {"fd": distance, "fd_floor": floor, **kernel_distances(sides, n), **manifolds(sides, n, neighbours)}
        return {"n_per_side": n, "fd_biased": n < 2 * features.shape[1], **{key: scores[key] for key in SCORE_KEYS}}

    def test(self, folder: Path, images: ImageSet) -> dict[str, Any]:
        """Accuracies of the reference arm with the images, one per seed of `classify`."""
        architecture = self.variant.architecture
        arm = f"{self.study.reference}+{architecture}"
        with_images = self.recipe.model_copy(update={"synthetic": {architecture: self.study.ratio}})
        drawn = {"per_class": max(self.top.sample.per_class, *images.counts()), "generators": {architecture: {}}}
        links = ("data/splits/0", "data/augmented/0")
        make_workspace(folder, {arm: with_images}, {"sample": drawn}, links=links, root=self.root)
        images.write(folder / "data/synthetic/0" / architecture)
        run_stage(folder, "classify", arm)
        once, seeds = ("n_synthetic", "n_test"), self.top.classify.seeds
        return kept_of_arm(folder / "data", arm, seeds, once=once, per_seed=["accuracy"])


@torch.no_grad()
def size_of(network: Any, device: torch.device) -> dict[str, int]:
    """Weights of a generator, and multiply-adds of one image, as torch's counter has them (two operations each)."""
    labels, generator = torch.zeros(1, dtype=torch.int64, device=device), torch.Generator().manual_seed(0)
    with FlopCounterMode(display=False) as counter:
        network.sample(labels, generator=generator)
    return {
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
    }


def strip(images: ImageSet) -> np.ndarray:
    """One image of each of the first classes side by side, going round where there are fewer: (H, W, C) uint8."""
    return grid_of(images.pixels[:SHOWN], SHOWN)


if __name__ == "__main__":
    run("generators", main)
