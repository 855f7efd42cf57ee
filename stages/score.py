"""How far one generator's images are from real ones: `python -m stages.score dcgan`.

Real images here are the training and validation splits; the test split stays shut. The floor is the distance of real
from real: both halves of a random split of them, so that every number in the file compares the same n with n.
"""

import logging
import sys
from functools import partial
from pathlib import Path

import numpy as np

from augury.errors import UserError
from augury.features import Extractor, efficientnet_lite0, find_inception_weights, inception
from augury.fidelity import frechet_distance
from augury.images import ImageSet, concatenate
from augury.outputs import write_json
from augury.params import Params
from augury.seeding import derive_seed
from augury.stage import run
from augury.training import choose_device


def stratified_half(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A boolean mask (N,) of a random half of each class; odd classes give their extra image to either half."""
    first = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        first[rows[: (len(rows) + random.integers(2)) // 2]] = True
    return first


def distance_and_floor(
    real: np.ndarray,
    real_labels: np.ndarray,
    generated: np.ndarray,
    generated_labels: np.ndarray,
    halvings: int,
    seed: int,
) -> tuple[float, float]:
    """Frechet distance of generated from real images, and of real from real, averaged over random halvings.

    real (N, D), generated (M, D): features. Each halving compares one half of the real images with the other half
    (the floor) and with as many generated images of the same classes (the distance). Raises UserError where a class
    has fewer generated images than a half of the real ones.
    """
    distances, floors = [], []
    for halving in range(halvings):
        random = np.random.default_rng(derive_seed(seed, "halving", halving))
        first = stratified_half(real_labels, random)
        drawn = []
        for label, count in zip(*np.unique(real_labels[~first], return_counts=True), strict=True):
            candidates = np.flatnonzero(generated_labels == label)
            if len(candidates) < count:
                raise UserError(
                    f"sample.per_class: {len(candidates)} generated images of class {label}, "
                    f"expected at least {count} to compare with as many real ones"
                )
            drawn.append(random.choice(candidates, count, replace=False))
        floors.append(frechet_distance(real[~first], real[first]))
        distances.append(frechet_distance(generated[np.concatenate(drawn)], real[first]))
    return float(np.mean(distances)), float(np.mean(floors))


def main(params: Params, generator: str) -> None:
    real = concatenate([ImageSet.read(Path("data/splits") / split) for split in ("train", "validation")])
    generated = ImageSet.read(Path("data/synthetic") / generator)
    device = choose_device(params.device)

    def measure(extractor: Extractor) -> tuple[float, float]:
        features = extractor(real, device), extractor(generated, device)
        return distance_and_floor(
            features[0], real.labels, features[1], generated.labels, params.score.halvings, params.seed
        )

    fd, fd_floor = measure(efficientnet_lite0(params.score.resolution))
    fid, fid_floor, fid_status = None, None, "computed"
    if params.score.inception_weights == "off":
        fid_status = "not computed: score.inception_weights is off"
    else:
        try:
            fid, fid_floor = measure(inception(find_inception_weights(params.score.inception_weights)))
        except UserError as error:
            if params.score.inception_weights != "auto":
                raise
            fid_status = f"not computed: {error}"
            logging.warning("FID %s", fid_status)
    write_json(
        Path("data/scores") / f"{generator}.json",
        {
            "generator": generator,
            "resolution": params.score.resolution,
            "extractor": "efficientnet_lite0",
            "n_real": len(real),
            "n_generated": len(generated),
            "n_per_side": len(real) // 2,
            "fd": fd,
            "fd_floor": fd_floor,
            "fd_over_floor": fd / fd_floor,
            "fid": fid,
            "fid_floor": fid_floor,
            "fid_status": fid_status,
        },
    )


if __name__ == "__main__":
    run(f"score@{sys.argv[1]}", partial(main, generator=sys.argv[1]))
