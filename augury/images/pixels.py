"""The one place that knows pixel ranges: uint8 arrays on one side, what networks take and give on the other."""

import numpy as np
import torch
from torch.nn import functional as F


def to_network(pixels: np.ndarray) -> torch.Tensor:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def to_backbone(pixels: np.ndarray, resolution: int | None, device: torch.device) -> torch.Tensor:
    """What a classifier's backbone takes: (N, H, W, C) uint8 -> (N, 3, R, R) float32 in [-1, 1], channels last.

    Resized bilinearly with antialiasing (resolution None: left as they are); gray is repeated over three channels.
    """
    batch = to_network(pixels).to(device)
    if resolution is not None:
        batch = F.interpolate(batch, size=(resolution, resolution), mode="bilinear", antialias=True)
    return batch.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def from_network(images: torch.Tensor) -> np.ndarray:
    """(N, C, H, W) float in [-1, 1] -> (N, H, W, C) uint8; values outside are clamped."""
    scaled = (images.detach().float() * 127.5 + 127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
