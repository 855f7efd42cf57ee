"""Compare the arithmetic and the gradients of convolutions with PyTorch's: `python -m studies.convolution.checks`."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.images.image_set import ImageSet
from augury.pipeline.outputs import write_json
from augury.pipeline.seeding import derive_seed
from augury.pipeline.threads import single_threaded
from studies.convolution.arithmetic import Window, compare_with_torch, covered
from studies.convolution.backpropagation import CHECKED, check, weight_gradients
from studies.convolution.settings import Convolution
from studies.workspace import ROOT, load_params, run

DILATIONS = (1, 2, 3)  # of the 3x3 kernels that are shown
STACK = (1, 2, 4)  # dilations of convolutions one after the other


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Convolution, here, root)
    grid = study.arithmetic
    image_size = ImageSet.read(root / "data/splits/0/train").size
    sizes = sorted({image_size, *grid.sizes})
    windows = [Window(*each) for each in product(grid.kernels, grid.strides, grid.paddings, grid.dilations)]
    with single_threaded():  # the last digit of a sum depends on its order
        gradients = [
            each
            for place, (operation, window) in enumerate(CHECKED)
            for each in check(operation, window, np.random.default_rng(derive_seed(top.seed, "gradients", place)))
        ]
        content = {
            "image_size": image_size,
            "sizes": sizes,
            "agreements": compare_with_torch(sizes, windows),
            "covered": {str(dilation): covered([Window(3, dilation=dilation)]).tolist() for dilation in DILATIONS},
            "stacked": covered([Window(3, dilation=dilation) for dilation in STACK]).tolist(),
            "gradients": gradients,
            "shared_weight": shared_weight(),
        }
    write_json(here / "points/checks.json", content)


def shared_weight() -> dict[str, Any]:
    """A convolution small enough to be done on paper: 3x3 inputs, 2x2 weights, 2x2 outputs.

    contributions: (4 weights, 4 positions), what each position adds; autograd: (4,), the gradient of each weight.
    """
    maps = np.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    upstream = np.array([1.0, -1.0, 2.0, 0.5]).reshape(1, 1, 2, 2)
    contributions = weight_gradients(maps, upstream, Window(2)).reshape(4, 4).T
    weights = torch.ones(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    outputs = torch.nn.functional.conv2d(torch.from_numpy(maps), weights)
    (gradient,) = torch.autograd.grad((outputs * torch.from_numpy(upstream)).sum(), weights)
    return {
        "inputs": maps[0, 0].tolist(),
        "upstream": upstream[0, 0].tolist(),
        "contributions": contributions.tolist(),
        "autograd": gradient.flatten().tolist(),
    }


if __name__ == "__main__":
    run("convolution", main)
