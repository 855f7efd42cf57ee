"""Train one variant, score its images, try them on the classifier: `python -m studies.generators.ablation ada`.

Images are used as they are drawn, without the filter of the stage `sample`: it would hide what sets variants apart.
"""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from augury.features.extractor import Extractor
from augury.features.frechet import frechet_distance
from augury.generators.sampling import balanced_labels, sample_images
from augury.generators.weights import load_generator
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet, concatenate
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm, FeatureExtractor
from augury.pipeline.seeding import derive_seed
from augury.scores.extractors import build_extractor
from augury.scores.fidelity import halve, significant
from augury.scores.kernel_distance import kernel_distance
from augury.scores.neighbours import manifold_scores
from models import GENERATORS
from studies.generators.settings import Generators
from studies.generators.variants import VARIANTS, Variant, overrides
from studies.workspace import ROOT, load_params, make_workspace, read_results, reference_arm, run, run_stage

EXTRACTOR = "efficientnet_lite0"  # its weights are always there
UNFIT = "no snapshot is fit for use"  # how `train_gan` says that a training led to nothing
SHOWN = 8  # images of a variant in the picture


def main(name: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Generators, here, root)
    if name not in study.variants:
        raise UserError(f"variants: {name!r} is not among {', '.join(study.variants)}")
    variant, recipe = VARIANTS[name], reference_arm(top, study.reference)
    if missing := [each for each in ("dcgan", "stylegan") if each not in top.train_gan]:
        raise UserError(f"train_gan: the ablation starts from dcgan and stylegan; found no {missing[0]!r}")
    device = choose_device(top.device)
    real = concatenate([ImageSet.read(root / "data/splits" / split) for split in ("train", "validation")])
    classes = len(real.class_names)
    train = sum(read_json(root / "data/splits/summary.json")["train"])
    per_class = max(study.scores.per_class, math.ceil(round(study.ratio * train) / classes))
    labels = balanced_labels(classes, per_class)
    extractor = build_extractor(EXTRACTOR, top.score.extractors.get(EXTRACTOR, FeatureExtractor()))

    trainings: list[dict[str, Any] | None] = []
    with whole_directory(here / "points/ablation" / name) as out:
        for number in range(study.training.trainings):
            folder = here.absolute() / "runs" / name / str(number)
            if not trained(folder / "training", name, study, top, recipe, number, root):
                trainings.append(None)
                continue
            generator = folder / "training/data/generators" / variant.architecture
            images, size = drawn(generator, variant, labels, top, device)
            if not (out / "images.png").exists():
                write_png(out / "images.png", strip(images))
            kept = read_json(generator / "training.json")
            trainings.append(
                {
                    "kept_kimg": kept["kept_kimg"],
                    "stopped": kept["stopped"],
                    **size,
                    "extractor": extractor.name,
                    "resolution": extractor.resolution,
                    **scores_of(real, images, extractor, study, top, device),
                    **tested(folder / "test", variant, images, study, top, recipe, root),
                }
            )
        reference = read_results(root / "data", study.reference, top.classify.seeds)
        content = {
            "variant": name,
            "reference": study.reference,
            "reference_accuracy": [result["accuracy"] for result in reference],
            "trainings": trainings,
        }
        write_json(out / "ablation.json", significant(content))


def trained(
    folder: Path, name: str, study: Generators, top: Params, recipe: Arm, number: int, root: Path
) -> bool:  # fmt: skip
    """Train the variant in a workspace of its own, from seed + number; False where no snapshot was fit for use.

    Raises UserError where the stage fails for another reason.
    """
    variant = VARIANTS[name]
    budget = study.training.model_dump(exclude={"trainings", "width"})
    section = budget | overrides(variant, study.training.width)
    make_workspace(
        folder, {study.reference: recipe},
        {"seed": top.seed + number, "train_gan": {variant.architecture: section}},
        links=("data/splits",), root=root,
    )  # fmt: skip
    # Unfinished trainings of other variants, and of the main pipeline, are not for this one to find or to delete.
    (folder / ".cache").unlink()
    (folder / ".cache").mkdir()
    (root / ".cache/features").mkdir(exist_ok=True)
    (folder / ".cache/features").symlink_to((root / ".cache/features").absolute())
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "studies.generators.train", name],
        cwd=folder, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    sys.stderr.write(done.stderr)
    if done.returncode != 0 and UNFIT not in done.stderr:
        raise UserError(f"{name}: training {number} failed, see above")
    return done.returncode == 0


def drawn(
    folder: Path, variant: Variant, labels: np.ndarray, top: Params, device: torch.device
) -> tuple[ImageSet, dict[str, int]]:  # fmt: skip
    """Images of the trained variant, the same latents for all of them, and how large its generator is."""
    own = GENERATORS[variant.architecture]
    GENERATORS[variant.architecture] = variant.network_class  # by which the folder's weights are opened
    try:
        network, class_names = load_generator(folder, device)
    finally:
        GENERATORS[variant.architecture] = own
    seed = derive_seed(top.seed, "generators")
    images = sample_images(network, labels, class_names, origin=variant.architecture, seed=seed, device=device)
    return images, size_of(network, device)


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


def scores_of(
    real: ImageSet, images: ImageSet, extractor: Extractor, study: Generators, top: Params, device: torch.device
) -> dict[str, Any]:
    """Means over halvings of the real images, half against half for the floor; n is the same on every side."""
    features = [extractor.compute(each, device) for each in (real, images)]
    seed = derive_seed(top.seed, "generators")
    rows = []
    for halving in halve(real.labels, images.labels, study.scores.halvings, seed):
        one, other = features[0][halving.one], features[0][halving.other]
        fake = features[1][halving.generated]
        n, neighbours = len(one), top.score.neighbours
        if n <= max(3, neighbours):
            raise UserError(f"prepare.labels_per_class: {n} real images a side; scores need at least {neighbours + 1}")
        ours, floor = manifold_scores(one, fake, neighbours), manifold_scores(one, other, neighbours)
        rows.append(
            {
                "fd": frechet_distance(fake, one),
                "fd_floor": frechet_distance(other, one),
                "kid": kernel_distance(fake, one)[0],
                "kid_floor": kernel_distance(other, one)[0],
                "precision": ours.precision,
                "precision_floor": floor.precision,
                "recall": ours.recall,
                "recall_floor": floor.recall,
            }
        )
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return {"n_per_side": n, "fd_biased": n < 2 * features[0].shape[1], **means}


def tested(
    folder: Path, variant: Variant, images: ImageSet, study: Generators, top: Params, recipe: Arm, root: Path
) -> dict[str, Any]:
    """Accuracies of the reference arm with the images, one per seed of `classify`."""
    arm = f"{study.reference}+{variant.architecture}"
    with_images = recipe.model_copy(update={"synthetic": {variant.architecture: study.ratio}})
    there = max(top.sample.per_class, *images.counts())
    make_workspace(
        folder, {arm: with_images},
        {"sample": {"per_class": there, "generators": {variant.architecture: {}}}},
        links=("data/splits", "data/augmented"), root=root,
    )  # fmt: skip
    images.write(folder / "data/synthetic" / variant.architecture)
    run_stage(folder, "classify", arm)
    results = read_results(folder / "data", arm, top.classify.seeds)
    return {
        "n_synthetic": results[0]["n_synthetic"],
        "n_test": results[0]["n_test"],
        "accuracy": [result["accuracy"] for result in results],
    }


def strip(images: ImageSet) -> np.ndarray:
    """One image of each of the first classes side by side, going round where there are fewer: (H, W, C) uint8."""
    row = ImageSet(images.pixels[:SHOWN], np.zeros(SHOWN, np.int64), ("row",))
    return class_grid(row, per_class=SHOWN)


if __name__ == "__main__":
    run("generators", main)
