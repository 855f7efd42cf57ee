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


def halves_by_class(labels: np.ndarray, random: np.random.Generator) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Class -> the rows of two random halves of it; an odd class gives its extra image to either half."""
    halves = {}
    for label in np.unique(labels):
        rows = random.permutation(np.flatnonzero(labels == label))
        middle = (len(rows) + random.integers(2)) // 2
        halves[int(label)] = rows[:middle], rows[middle:]
    return halves


def distance_and_floor(
    real: np.ndarray,
    real_labels: np.ndarray,
    generated: np.ndarray,
    generated_labels: np.ndarray,
    halvings: int,
    seed: int,
) -> tuple[float, float, int]:
    """Frechet distance of generated from real images, and of real from real, averaged over random halvings.

    real (N, D), generated (M, D): features. Each halving compares one half of the real images with the other half
    (the floor) and with as many generated images of the same classes (the distance). A class of which fewer were
    generated counts with so many on every side. The third value is the mean number of images on a side.
    Raises UserError where fewer than 2 are left.
    """
    distances, floors, counts = [], [], []
    for halving in range(halvings):
        random = np.random.default_rng(derive_seed(seed, "halving", halving))
        first, second, drawn = [], [], []
        for label, (one, other) in halves_by_class(real_labels, random).items():
            candidates = np.flatnonzero(generated_labels == label)
            count = min(len(candidates), len(other))
            first.append(one[:count])
            second.append(other[:count])
            drawn.append(random.choice(candidates, count, replace=False))
        one, other, fake = (np.concatenate(rows) for rows in (first, second, drawn))
        if min(len(one), len(fake)) < 2:
            raise UserError(
                f"score: found {len(fake)} generated and {len(one)} real images, expected at least 2 of each"
            )
        floors.append(frechet_distance(real[other], real[one]))
        distances.append(frechet_distance(generated[fake], real[one]))
        counts.append(len(fake))
    return float(np.mean(distances)), float(np.mean(floors)), round(np.mean(counts))


def main(params: Params, generator: str) -> None:
    real = concatenate([ImageSet.read(Path("data/splits") / split) for split in ("train", "validation")])
    generated = ImageSet.read(Path("data/synthetic") / generator)
    device = choose_device(params.device)
    missing = [
        name
        for name, real_count, count in zip(real.class_names, real.counts(), generated.counts(), strict=True)
        if real_count and not count
    ]
    if missing:
        logging.warning("score@%s: no image of %s; the distances are over the other classes", generator, missing)

    def measure(extractor: Extractor) -> tuple[float, float, int]:
        features = extractor(real, device), extractor(generated, device)
        return distance_and_floor(
            features[0], real.labels, features[1], generated.labels, params.score.halvings, params.seed
        )

    fd, fd_floor, n_per_side = measure(efficientnet_lite0(params.score.resolution))
    fid, fid_floor, fid_status = None, None, "computed"
    if params.score.inception_weights == "off":
        fid_status = "not computed: score.inception_weights is off"
    else:
        try:
            fid, fid_floor, _ = measure(inception(find_inception_weights(params.score.inception_weights)))
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
            "n_per_side": n_per_side,
            "classes_missing": missing,
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
