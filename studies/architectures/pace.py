"""Measure how long an optimiser step of each network takes here: `python -m studies.architectures.pace`.

It writes pace.yaml, from which the steps at equal time follow. That file is an input like params.yaml, not an output:
times differ from run to run, and what is made of them must not.
"""

import time
from pathlib import Path

import numpy as np

from augury.arms.finetuning import train_network
from augury.arms.training_set import TrainingSet
from augury.arms.uses import Tuning
from augury.images.backbones import check_resolution, read_backbone
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.outputs import whole_file
from augury.pipeline.sections import FineTune
from augury.pipeline.threads import single_threaded
from studies.architectures.settings import PACE_FILE, Architectures
from studies.workspace import ROOT, load_params, run

SHORT, LONG = 2, 8  # steps of two trainings, whose difference leaves out what a training costs but for its steps
REPEATS = 3  # the fastest counts: whatever else goes on can only slow a training down
HEADER = """\
# Seconds of one optimiser step of each network, on one core, or on the GPU. `python -m studies.architectures.pace`
# writes this file; the steps at equal time follow from it, so that they are the same in every run.
"""


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Architectures, here, root)
    device = choose_device(top.device)
    lines = [f"resolution: {study.resolution}", f"batch_size: {study.batch_size}", f"device: {device.type}"]
    lines.append("seconds_per_step:")
    for name in study.all_networks:
        check_resolution(name, study.resolution, key="resolution")
        lines.append(f"  {name}: {seconds_per_step(name, study, top.classify.finetune, top.device):.4g}")
        print(lines[-1].strip(), flush=True)
    with whole_file(here / PACE_FILE) as partial:
        partial.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def seconds_per_step(name: str, study: Architectures, finetune: FineTune, device: str) -> float:
    """Of a training from a random start, by the same code as the real one, on noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (study.batch_size, 32, 32, 3), np.uint8)
    labels = np.arange(len(pixels)) % 2
    images = ImageSet(pixels, labels, ("one", "other"))
    train = TrainingSet.of_real(images)
    backbone, chosen = read_backbone(name, None), choose_device(device)
    # A core's own seconds: other programs beside this one lengthen those on the clock.
    clock = time.process_time if chosen.type == "cpu" else time.perf_counter

    def seconds(steps: int) -> float:
        tiny = finetune.model_copy(update={"steps": steps, "batch_size": study.batch_size})
        started = clock()
        train_network(backbone, train, Tuning("scratch", tiny, study.resolution, 0, chosen), weight_decay=0.05)
        return clock() - started

    with single_threaded():
        seconds(SHORT)
        short, long = (min(seconds(steps) for _ in range(REPEATS)) for steps in (SHORT, LONG))
    return max(long - short, 1e-6) / (LONG - SHORT)


if __name__ == "__main__":
    run("architectures", main)
