"""The one place that knows pixel ranges: uint8 in [0, 255] at rest, float32 in [-1, 1] inside networks."""

import numpy as np
import torch
from torch.nn import functional as F


def to_network(pixels: np.ndarray) -> torch.Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [-1, 1]."""
    return scaled(torch.from_numpy(np.ascontiguousarray(pixels)))


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    """`to_network` of a tensor, on its device."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_backbone(pixels: np.ndarray, resolution: int | None, device: torch.device) -> torch.Tensor:
    """What a classifier's backbone takes: (N, H, W, C) uint8 -> (N, 3, R, R) float32 in [-1, 1], channels last.

    Resized bilinearly with antialiasing (resolution None: left as they are); gray is repeated over three channels.
    """
    batch = scaled(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))  # a quarter of the bytes to move
    if resolution is not None:
        batch = F.interpolate(batch, size=(resolution, resolution), mode="bilinear", antialias=True)
    return batch.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def to_device(pixels: np.ndarray, labels: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """What a generator's training takes: images as `to_network` has them, channels last, and labels (B,) int64."""
    images = to_network(pixels).to(device, memory_format=torch.channels_last)
    return images, torch.from_numpy(labels).to(device)


def from_network(images: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) float in [-1, 1] -> (N, H, W, C) uint8; values outside are clamped."""
    scaled = (images.detach().float() * 127.5 + 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
