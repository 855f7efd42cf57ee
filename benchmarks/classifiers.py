"""What training classifiers costs: `python -m benchmarks.classifiers SCENARIO`, on a checkout after `dvc repro`.

recipe: throughput of full fine-tuning against torchvision's reference recipe for classification, on the same images,
network and batch size (3 minutes). The recipe is that of torchvision's references/classification at its defaults:
image files through PIL, random resized crop and flip, a DataLoader, float32 in the default memory format, SGD with
momentum. It is timed without and with loader processes, and the faster counts.
arms: all arms of params.yaml on 8 seeds, features included, one after the other and two at once (3 minutes).
baseline: the real images alone at several resolutions; the best is that of the best validation likelihood (3 minutes).
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models as torchvision_models
from torchvision import transforms
from torchvision.datasets import ImageFolder

from augury.arms.finetuning import train_network
from augury.arms.training_set import Labelled, TrainingSet, training_set
from augury.arms.uses import Tuning
from augury.images.backbones import load_backbone
from augury.pipeline import params
from augury.pipeline.devices import choose_device
from augury.pipeline.process import one_line_errors
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import FineTune
from benchmarks.arms import linked_checkout
from benchmarks.training import forever, write_files
from tests.smoke import CHECKOUT, change_params, dvc

REPETITIONS, STEPS, WARMUP = 5, 30, 5
NETWORK, RESOLUTION, BATCH_SIZE = "resnet18", 96, 64
BASELINES = {
    "head, 96 px": {"resolution": 96},
    "head, 128 px": {"resolution": 128},
    "head, 160 px": {"resolution": 160},
}


def reference_recipe(folder: Path, classes: int, workers: int) -> float:
    """Images per second."""
    preset = transforms.Compose(
        [
            transforms.RandomResizedCrop(RESOLUTION, antialias=True),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    loader = DataLoader(
        ImageFolder(str(folder), preset), BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    network = getattr(torchvision_models, NETWORK)(num_classes=classes).train()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    criterion, started = nn.CrossEntropyLoss(), 0.0
    for step, (images, labels) in enumerate(forever(loader)):
        if step == WARMUP:
            started = time.perf_counter()
        if step == WARMUP + STEPS:
            break
        loss = criterion(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return STEPS * BATCH_SIZE / (time.perf_counter() - started)


def pipeline(train: TrainingSet, settings: FineTune) -> float:
    """Images per second of the pipeline's own full fine-tuning, all stages learning from the first step."""
    seconds = []
    for steps in (WARMUP, WARMUP + STEPS):
        budget = {"steps": steps, "batch_size": BATCH_SIZE, "unfreezing": 0.0}
        started = time.perf_counter()
        tuning = Tuning("full", settings.model_copy(update=budget), RESOLUTION, 0, choose_device("cpu"))
        train_network(load_backbone(NETWORK, pretrained=False), train, tuning, weight_decay=0.05)
        seconds.append(time.perf_counter() - started)
    return STEPS * BATCH_SIZE / (seconds[1] - seconds[0])


def recipe() -> None:
    settings = params.load()
    train = training_set(settings, "none", Labelled.read(Replicate()), 0)
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_files(train.images, Path(folder))
        for _ in range(REPETITIONS):  # by turns, so that a busy moment hits all alike
            for workers in (0, 2):
                speed = reference_recipe(Path(folder), train.targets.shape[1], workers)
                measured.setdefault(f"reference recipe, {workers} loader processes", []).append(speed)
            measured.setdefault("pipeline", []).append(pipeline(train, settings.classify.finetune))
    for name, speeds in measured.items():
        print(f"{name}: median {statistics.median(speeds):,.0f} img/s ({min(speeds):,.0f} to {max(speeds):,.0f})")
    best = max(statistics.median(speeds) for name, speeds in measured.items() if name != "pipeline")
    print(f"ratio of medians, against the faster recipe: {statistics.median(measured['pipeline']) / best:.2f}")


def checkout_before_classify(folder: Path) -> None:
    """A linked checkout, without kept features, in which everything before `classify` is there."""
    linked_checkout(folder, "fashion_mnist")
    dvc(folder, "repro", "augment", "sample")


def results_of(checkout: Path) -> dict[str, bytes]:
    files = sorted((checkout / "data/results/0").rglob("*.*"))
    return {str(path.relative_to(checkout)): path.read_bytes() for path in files}


def arms() -> None:
    with tempfile.TemporaryDirectory(prefix="augury-arms-") as folder:
        checkout = Path(folder)
        checkout_before_classify(checkout)
        change_params(checkout, {"classify": {"seeds": list(range(8))}})
        count = len(params.load(checkout / "params.yaml").classify.arms)
        found = {}
        for name, command in {
            "dvc repro classify": ["dvc", "repro", "classify"],
            "augury repro --jobs 2": ["augury", "repro", "--jobs", "2"],
        }.items():
            shutil.rmtree(checkout / ".cache/features", ignore_errors=True)
            shutil.rmtree(checkout / "data/results/0", ignore_errors=True)
            shutil.copy(CHECKOUT / "dvc.lock", checkout / "dvc.lock")
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", *command], cwd=checkout, check=True, capture_output=True)
            print(f"{name}: {count} arms x 8 seeds in {time.perf_counter() - started:.0f} s")
            found[name] = results_of(checkout)
        first, second = found.values()
        print("results", "byte for byte the same" if first == second else "DIFFER")


def baseline() -> None:
    with tempfile.TemporaryDirectory(prefix="augury-baseline-") as folder:
        checkout = Path(folder)
        checkout_before_classify(checkout)
        for name, settings in BASELINES.items():
            change_params(checkout, {"classify": {"seeds": [0, 1, 2, 3], **settings}})
            started = time.perf_counter()
            dvc(checkout, "repro", "--single-item", "classify@0-none")
            seconds = time.perf_counter() - started
            results = [
                json.loads(path.read_text()) for path in sorted((checkout / "data/results/0/none").glob("*.json"))
            ]
            nll = statistics.mean(result["validation_nll"] for result in results)
            accuracies = [100 * result["accuracy"] for result in results]
            print(
                f"{name}: validation likelihood loss {nll:.3f}, test accuracy {statistics.mean(accuracies):.2f}% "
                f"(sd {statistics.stdev(accuracies):.2f}, {len(accuracies)} seeds), {seconds:.0f} s"
            )


if __name__ == "__main__":
    with one_line_errors("classifiers"):
        SCENARIOS = {"recipe": recipe, "arms": arms, "baseline": baseline}
        if sys.argv[1:] not in [[name] for name in SCENARIOS]:
            sys.exit(f"usage: python -m benchmarks.classifiers SCENARIO; choose from {', '.join(SCENARIOS)}")
        SCENARIOS[sys.argv[1]]()
