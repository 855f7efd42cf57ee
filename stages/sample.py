"""Draw a labelled synthetic set from one trained generator: `python -m stages.sample dcgan`."""

import sys
from functools import partial
from pathlib import Path

from augury.figures import class_grid, write_png
from augury.params import Params
from augury.sampling import balanced_labels, sample_images
from augury.stage import run
from augury.training import choose_device
from augury.weights import load_generator


def main(params: Params, generator: str) -> None:
    device = choose_device(params.device)
    network, class_names = load_generator(Path("data/generators") / generator, device)
    images = sample_images(
        network,
        balanced_labels(len(class_names), params.sample.per_class),
        class_names,
        origin=generator,
        seed=params.seed,
        device=device,
        batch_size=params.sample.batch_size,
    )
    images.write(Path("data/synthetic") / generator)
    write_png(Path("data/previews") / f"{generator}.png", class_grid(images))


if __name__ == "__main__":
    run(f"sample@{sys.argv[1]}", partial(main, generator=sys.argv[1]))
