"""The networks in whose features image sets are compared.

A new one is a function and its name in EXTRACTORS, here and in augury/pipeline/sections.py.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from augury.images.extractor import Extractor, Forward, LoadBackbone, efficientnet_lite0
from augury.pipeline.downloads import PATIENCE, cached_download, socket_timeout
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.sections import FeatureExtractor

log = logging.getLogger(__name__)

DINOV2 = {  # name -> what timm calls it
    "dinov2_small": "vit_small_patch14_dinov2.lvd142m",
    "dinov2_large": "vit_large_patch14_dinov2.lvd142m",
}


class WeightsUnavailableError(UserError):
    """Weights that were to be found automatically are neither in a cache nor to be downloaded."""


def build_extractor(name: str, settings: FeatureExtractor, key: str = "score.extractors") -> Extractor:
    """The extractor of that name. key: of params.yaml, or of the command line, that errors name.

    Raises WeightsUnavailableError where weights were left to be found and are not to be had, and UserError on an
    unknown name, a file that is not there, or a resolution that the network does not take.
    """
    check_known(key, name, EXTRACTORS)
    if settings.weights != "auto" and not Path(settings.weights).is_file():
        raise UserError(f"{key}.{name}.weights: {settings.weights}: no such file")
    try:
        return EXTRACTORS[name](settings)
    except ValueError as error:
        raise UserError(f"{key}.{name}.{error}") from error


def available_extractors(settings: Mapping[str, FeatureExtractor]) -> tuple[list[Extractor], dict[str, str]]:
    """The extractors whose weights are there, and for each of the others why it is not. Raises UserError if none is."""
    extractors, missing = [], {}
    for name, extractor in settings.items():
        if extractor.weights == "off":
            missing[name] = f"not computed: score.extractors.{name}.weights is off"
            continue
        try:
            extractors.append(build_extractor(name, extractor))
        except WeightsUnavailableError as error:
            missing[name] = f"not computed: {error}"
            log.warning("score.extractors.%s: %s", name, missing[name])
    if not extractors:
        raise UserError("score.extractors: the weights of none are there; add efficientnet_lite0, whose always are")
    return extractors, missing


def _efficientnet_lite0(settings: FeatureExtractor) -> Extractor:
    if settings.weights != "auto":
        raise ValueError("weights: come with a package; leave them out")
    resolution = settings.resolution or 64
    if resolution < 32:
        raise ValueError(f"resolution: {resolution} is below 32, where its last layer would see nothing")
    return efficientnet_lite0(resolution)


def _random_cnn(settings: FeatureExtractor) -> Extractor:
    """The last features of the small CNN with random weights, (N, 256): nothing has been trained on them.

    Naeem et al. (2020) advise random features where images are unlike ImageNet's.
    """
    if settings.weights != "auto":
        raise ValueError("weights: are random; leave them out")
    return Extractor("random_cnn", settings.resolution or 32, None, LoadBackbone("small_cnn", levels=False), False)


def _inception(settings: FeatureExtractor) -> Extractor:
    """pytorch-fid's Inception features, (N, 2048): its network, its resizing to 299 pixels, its weights."""
    if settings.resolution is not None:
        raise ValueError("resolution: FID is defined at Inception's own; leave it out")
    weights = find_inception_weights() if settings.weights == "auto" else Path(settings.weights)
    return Extractor("inception", None, weights, _load_inception, False, batch_size=5)


def find_inception_weights() -> Path:
    """pytorch-fid's weights file, from torch's cache or downloaded into it. Raises WeightsUnavailableError."""
    import pytorch_fid.inception

    try:
        return cached_download(pytorch_fid.inception.FID_WEIGHTS_URL)
    except OSError as error:
        raise WeightsUnavailableError(str(error)) from error


def _load_inception(weights: Path, device: torch.device) -> Forward:
    import pytorch_fid.inception
    from torchvision.models.inception import BasicConv2d

    state = torch.load(weights, weights_only=True, map_location="cpu")
    # pytorch-fid builds its network only together with a download: hand it the file's content instead.
    original = pytorch_fid.inception.load_state_dict_from_url
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        network = pytorch_fid.inception.InceptionV3().eval()
    finally:
        pytorch_fid.inception.load_state_dict_from_url = original
    for module in network.modules():
        if isinstance(module, BasicConv2d):  # one operation instead of two, equal to some 1e-6
            module.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = torch.nn.Identity()
    network = network.to(device, memory_format=torch.channels_last)
    return lambda images: network(images / 2 + 0.5)[0].flatten(1)  # it takes images in [0, 1]


def _dinov2(architecture: str, name: str, settings: FeatureExtractor) -> Extractor:
    """Class-token features of DINOv2 (Oquab et al. 2023), which Stein et al. (2023) recommend for Frechet distances."""
    resolution = settings.resolution or 224
    if resolution % 14:
        raise ValueError(f"resolution: {resolution} is no multiple of 14, the size of DINOv2's patches")
    weights = _find_timm_weights(architecture) if settings.weights == "auto" else Path(settings.weights)
    return Extractor(name, resolution, weights, partial(_load_dinov2, architecture, resolution), False, batch_size=8)


def _find_timm_weights(architecture: str) -> Path:
    """The weights of a network of timm's, from Hugging Face's cache or downloaded into it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        with socket_timeout(PATIENCE):
            return Path(hf_hub_download(f"timm/{architecture}", "model.safetensors", etag_timeout=PATIENCE))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsUnavailableError(
            f"weights not in Hugging Face's cache, and their download failed ({reason})"
        ) from error


def _load_dinov2(architecture: str, resolution: int, weights: Path, device: torch.device) -> Forward:
    import timm

    network: Any = timm.create_model(architecture, pretrained=False, img_size=resolution, num_classes=0)
    state = load_file(weights)
    state["pos_embed"] = timm.layers.resample_abs_pos_embed(
        state["pos_embed"], network.patch_embed.grid_size, num_prefix_tokens=1
    )
    network.load_state_dict(state)
    network = network.to(device).eval().requires_grad_(False)
    mean, deviation = (
        torch.tensor(network.pretrained_cfg[key], device=device)[:, None, None] for key in ("mean", "std")
    )
    return lambda images: network((images / 2 + 0.5 - mean) / deviation)


EXTRACTORS: dict[str, Callable[[FeatureExtractor], Extractor]] = {
    "efficientnet_lite0": _efficientnet_lite0,
    "inception": _inception,
    **{name: partial(_dinov2, architecture, name) for name, architecture in DINOV2.items()},
    "random_cnn": _random_cnn,
}
