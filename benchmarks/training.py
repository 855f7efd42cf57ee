"""Training throughput of the DCGAN against the plain recipe: `python -m benchmarks.training`, about 5 minutes.

Both train the same networks on the same images at the same batch size with the same losses. The plain recipe is what
tutorials show: float32, the default memory format, a DataLoader over image files with PIL and torchvision transforms,
real and generated images judged in two passes. It is timed without and with loader processes, and the faster counts.
It has no DiffAugment and no moving average, which the pipeline's loop does not get to leave out. Each is timed in a
process of its own, as the memory that the pipeline keeps between steps would serve the recipe too.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from augury.generators.processes import start_processes
from augury.generators.training_run import TrainingRun
from augury.images.image_set import ImageSet
from augury.pipeline import params, trainings
from augury.pipeline.process import one_line_errors
from models.dcgan import DCGAN
from models.draws import Draws
from models.losses import hinge_discriminator_loss, hinge_generator_loss
from stages import train_gan

REPETITIONS, STEPS, WARMUP = 5, 60, 10


def write_files(images: ImageSet, folder: Path) -> None:
    for row, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
        path = folder / f"{label:03d}" / f"{row:05d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)


def forever(loader: DataLoader) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from loader


def plain(folder: Path, images: ImageSet, budget: trainings.GanTraining, workers: int) -> float:
    """Images per second of the plain recipe."""
    channels = images.channels
    steps = [transforms.Grayscale()] if channels == 1 else []
    normalise = transforms.Normalize([0.5] * channels, [0.5] * channels)
    dataset = ImageFolder(str(folder), transforms.Compose([*steps, transforms.ToTensor(), normalise]))
    loader = DataLoader(
        dataset, budget.batch_size, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    shape = (DCGAN.Config(**budget.network), images.size, channels, len(images.class_names))
    generator, discriminator = DCGAN(*shape), DCGAN.Discriminator(*shape)
    beta_1, beta_2 = budget.adam_betas
    generator_optimiser = torch.optim.Adam(generator.parameters(), budget.learning_rate, (beta_1, beta_2))
    discriminator_optimiser = torch.optim.Adam(discriminator.parameters(), budget.learning_rate, (beta_1, beta_2))
    draws, started = Draws(torch.device("cpu")), 0.0
    for step, (real, labels) in enumerate(forever(loader)):
        if step == WARMUP:
            started = time.perf_counter()
        if step == WARMUP + STEPS:
            break
        fake = generator.sample(labels, generator=draws)
        loss = hinge_discriminator_loss(discriminator(real, labels), discriminator(fake.detach(), labels))
        discriminator_optimiser.zero_grad()
        loss.backward()
        discriminator_optimiser.step()
        loss = hinge_generator_loss(discriminator(fake, labels))
        generator_optimiser.zero_grad()
        loss.backward()
        generator_optimiser.step()
    return STEPS * budget.batch_size / (time.perf_counter() - started)


def pipeline(images: ImageSet, validation: ImageSet, budget: trainings.GanTraining) -> float:
    """Images per second of the stage's own loop, between two of its steps; snapshots are not in it."""
    times: list[float] = []
    record = TrainingRun.record

    def timed(self: TrainingRun, **losses: torch.Tensor) -> None:
        record(self, **losses)
        times.append(time.perf_counter())
        if len(times) == WARMUP + STEPS:
            raise StopIteration

    TrainingRun.record = timed  # type: ignore[method-assign]
    try:
        accelerator = start_processes("cpu", budget.batch_size, "dcgan")
        train_gan.train("dcgan", DCGAN, images, validation, budget, 0, accelerator)
    except StopIteration:
        pass
    finally:
        TrainingRun.record = record  # type: ignore[method-assign]
    return STEPS * budget.batch_size / (times[-1] - times[WARMUP - 1])


def alone(measure: Callable[..., float], *arguments: Any) -> float:
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(measure, *arguments).result()


def main() -> None:
    images, validation = (ImageSet.read(Path("data/splits/0") / split) for split in ("train", "validation"))
    budget = params.load().train_gan["dcgan"]
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_files(images, Path(folder))
        for _ in range(REPETITIONS):  # by turns, so that a busy moment hits all alike
            for workers in (0, 2):
                speed = alone(plain, Path(folder), images, budget, workers)
                measured.setdefault(f"plain recipe, {workers} loader processes", []).append(speed)
            measured.setdefault("pipeline", []).append(alone(pipeline, images, validation, budget))
    for name, speeds in measured.items():
        print(f"{name}: median {statistics.median(speeds):,.0f} img/s ({min(speeds):,.0f} to {max(speeds):,.0f})")
    best = max(statistics.median(speeds) for name, speeds in measured.items() if name != "pipeline")
    print(f"ratio of medians, against the faster plain recipe: {statistics.median(measured['pipeline']) / best:.2f}")


if __name__ == "__main__":
    with one_line_errors("training"):
        main()
