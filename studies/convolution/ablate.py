"""Train a variant of the small CNN on every seed, and test it: `python -m studies.convolution.ablate dilated`.

The test split is opened here alone, once per variant and seed, after all is chosen on validation.
"""

from functools import partial
from pathlib import Path
from typing import Any

from augury.images.pixels import to_backbone
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import check_known
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.threads import in_processes
from studies.convolution.fields import look_through, stage_fields
from studies.convolution.settings import Convolution
from studies.convolution.variants import VARIANTS, variant
from studies.counts import complete, count
from studies.training import SPLITS, per_seed, read_split, right_on_test, split_sizes, train
from studies.workspace import ROOT, load_params, run


def main(name: str, here: Path = Path(), root: Path = ROOT) -> None:
    check_known("variant", name, VARIANTS)
    study, top = load_params(Convolution, here, root)
    resolution, seeds = study.ablation.resolution, study.ablation.seeds
    splits = root / SPLITS
    work = partial(train_one, name, study, top, splits)
    trials = list(in_processes(work, seeds, choose_device(top.device)))
    classes = len(read_split(splits / "train").class_names)
    counts = count(lambda: complete(variant(name, 0), classes), resolution)
    fields = stage_fields(variant(name, 0).eval(), resolution)
    write_json(
        here / "points/ablate" / f"{name}.json",
        {
            "variant": name,
            "resolution": resolution,
            "seeds": seeds,
            **split_sizes(splits),
            "parameters": counts.parameters,
            "multiply_adds": counts.multiply_adds,
            "sizes": [field.size for field in fields],
            "fields": [field.width for field in fields],
            **per_seed(trials, splits),
        },
    )


def train_one(name: str, study: Convolution, top: Params, splits: Path, seed: int) -> dict[str, Any]:
    """right: (N,) bool, of the test images. measured: side of the square about the middle with most of the gradient, in
    pixels.
    """
    device, resolution = choose_device(top.device), study.ablation.resolution
    trained = train(variant(name, seed), splits, study.training, resolution=resolution, seed=seed, device=device)
    shown = to_backbone(read_split(splits / "validation").pixels[: study.look.images], resolution, device)
    return {
        "right": right_on_test(trained, splits, resolution, device),
        "validation_accuracy": trained.validation_accuracy,
        "validation_nll": trained.validation_nll,
        "measured": look_through(trained.network.backbone, shown, top.seed)[-1].side,
    }


if __name__ == "__main__":
    run("convolution", main)
