"""What synthetic images are worth to a network that is trained, by use: `python -m benchmarks.trained MODE DRAWS`.

MODE is scratch or full. Exploratory: few draws of labels (20 per class of Fashion-MNIST), each with a short training of
a VAE and one seed of every arm. Both modes share the draws. It goes on where it was stopped, in .cache/redrawn/trained,
and prints what the arms come to over classic, with t intervals over the draws and no correction for their number.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from augury.arms.finetuning import Tuning, fine_tune, predict
from augury.arms.training_set import Labelled, seed_of, training_set
from augury.images.backbones import load_backbone
from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.devices import choose_device
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import Params
from augury.pipeline.process import one_line_errors
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import Arm
from benchmarks.redrawn import LABELS, POOLS, SETTINGS
from stages import augment, prepare, sample, train_vae
from studies.workspace import make_workspace

CLASSIC, RATIO = Arm(augment=["classic"]), 4.0
ADDED = {"vae": CLASSIC.model_copy(update={"synthetic": {"vae": RATIO}}),
         "placebo": CLASSIC.model_copy(update={"repeat": RATIO})}  # fmt: skip
ARMS = {"classic": CLASSIC} | {
    f"{name}_{use}": arm.model_copy(update={"use": use})
    for use in ("labelled", "first", "consistency")
    for name, arm in ADDED.items()
}
# Backbone, pixels, and budget: some seconds of a core for a fit.
NETWORKS = {
    "scratch": ("small_cnn", 28, {"steps": 80, "batch_size": 32}),
    "full": ("efficientnet_lite0", 32, {"steps": 60, "batch_size": 32}),
}
WEIGHTS = [0.0, 0.1, 1.0]


def main(mode: str, draws: int) -> None:
    backbone, resolution, budget = NETWORKS[mode]
    pool = POOLS / "trained"
    if not pool.exists():
        drawn = {
            "sample": {"per_class": int(2 * RATIO * LABELS)},
            "train_vae": {**SETTINGS["train_vae"], "total_kimg": 4},
        }
        classify = {"mode": "full", "seeds": [0, 1], "synthetic_weight": WEIGHTS}
        make_workspace(pool, ARMS, SETTINGS | drawn | {"classify": classify})
    os.chdir(pool)
    top = params.load()
    finetune = top.classify.finetune.model_copy(update=budget)
    own = {"mode": mode, "backbone": backbone, "resolution": resolution, "finetune": finetune}
    results = []
    for number in range(draws):
        settings, path = top.of_replicate(number), Path(f"{mode}-{number}.json")
        if not path.exists():
            make_draw(settings, Replicate(number))
            settings = settings.model_copy(update={"classify": settings.classify.model_copy(update=own)})
            write_json(path, {arm: result_of(settings, arm, Replicate(number)) for arm in ARMS})
        results.append(read_json(path))
        tried = {arm: (f"{100 * right:.1f}", weight) for arm, (right, weight, _) in results[-1].items()}
        print(number, tried, flush=True)
    for arm in list(ARMS)[1:] if draws > 1 else []:
        gains = 100 * np.array([result[arm][0] - result["classic"][0] for result in results])
        half = stats.t.ppf(0.975, draws - 1) * gains.std(ddof=1) / draws**0.5
        seconds = np.mean([result[arm][2] for result in results])
        print(f"{mode}, {arm}: {gains.mean():+.2f} ({gains.mean() - half:+.2f} to {gains.mean() + half:+.2f}), "
              f"{(gains > 0).sum()} of {draws} up, {seconds:.0f} s of a core")  # fmt: skip


def make_draw(settings: Params, replicate: Replicate) -> None:
    """Labels, copies, and a VAE's images, unless the other mode has made them."""
    if replicate.folder("synthetic").exists():
        return
    prepare.main(settings, replicate)
    augment.main(settings, "classic", replicate)
    train_vae.main(settings, replicate)
    sample.main(settings, "vae", replicate)


def result_of(settings: Params, arm: str, replicate: Replicate) -> tuple[float, float | None, float]:
    """Test accuracy of the first seed's network, the weight of synthetic images it chose, and seconds of a core."""
    classify, started = settings.classify, time.process_time()
    labelled, test = Labelled.read(replicate), ImageSet.read(replicate.folder("splits") / "test")
    seed, device = seed_of(settings, arm, 0, replicate), choose_device("cpu")
    tuning = Tuning(classify.mode, classify.finetune, classify.resolution, seed, device)
    backbone = load_backbone(classify.backbone, classify.mode != "scratch", seed)
    train = training_set(settings, arm, labelled, 0, replicate)
    network, choice = fine_tune(backbone, train, labelled, classify.synthetic_weight, tuning, balanced=False)
    taken = time.process_time() - started
    answers = predict(network, test, classify.resolution, device).argmax(axis=1)
    return float((answers == test.labels).mean()), choice.synthetic_weight, taken


if __name__ == "__main__":
    with one_line_errors("trained"):
        if len(sys.argv) != 3 or sys.argv[1] not in NETWORKS or not sys.argv[2].isdecimal():
            sys.exit("usage: python -m benchmarks.trained scratch|full DRAWS")
        torch.set_num_threads(1)
        main(sys.argv[1], int(sys.argv[2]))
