"""What is measured of an image, as one number: brightness, area, symmetry, slant, and what a classifier makes of it.

Each is a function of the pixels (and, for the classifier, of the class asked for), so that what an edit in the latent
has changed is read off the images, generated or real, by the same rule.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from augury.heads.linear import Examples, Standardiser, fit_head
from augury.heads.selection import HEAD
from augury.images.extractor import backbone_levels
from augury.images.image_set import ImageSet
from augury.images.pixels import to_network
from augury.pipeline.errors import check_known
from augury.pipeline.seeding import seeded

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in a gray value (ITU-R BT.601)


def gray(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8 -> (N, H, W) float64, from 0 (black) to 1 (white)."""
    channels = to_network(pixels).double().numpy() / 2 + 0.5  # (N, C, H, W)
    return channels[:, 0] if channels.shape[1] == 1 else np.einsum("nchw,c->nhw", channels, LUMA)


@dataclass(frozen=True)
class Foreground:
    """Which pixels belong to what an image shows: those on the other side of `threshold` than the background.

    threshold: gray value, 0 to 1. lighter: whether the foreground is the lighter side.
    """

    threshold: float
    lighter: bool

    @classmethod
    def of(cls, images: ImageSet) -> "Foreground":
        """One rule for a whole set, from real images: light on dark, or dark on light.

        The threshold is Otsu's (1979), over the pixels of all images. The background is the side of it on which most
        pixels of the images' borders lie; where they are shared out equally, the darker one. It is meant for things
        before a plain background: in a photograph the threshold may run through the background itself.
        """
        levels = np.concatenate([np.rint(gray(images.pixels[rows]) * 255).astype(np.uint8) for rows in images.slices()])
        threshold, _ = cv2.threshold(levels.reshape(len(levels), -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        border = np.concatenate([levels[:, 0], levels[:, -1], levels[:, 1:-1, 0], levels[:, 1:-1, -1]], axis=1)
        middle = (threshold + 0.5) / 255  # between the last level of the darker side and the first of the lighter one
        return cls(middle, lighter=float((border > threshold).mean()) <= 0.5)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 -> (N, H, W) bool."""
        lighter = gray(pixels) > self.threshold
        return lighter if self.lighter else ~lighter


def brightness(pixels: np.ndarray, foreground: Foreground) -> np.ndarray:
    """Mean gray value of the whole image, (N,) in [0, 1]."""
    return gray(pixels).mean(axis=(1, 2))


def area(pixels: np.ndarray, foreground: Foreground) -> np.ndarray:
    """Share of the pixels that are foreground, (N,) in [0, 1]."""
    return foreground(pixels).mean(axis=(1, 2))


def symmetry(pixels: np.ndarray, foreground: Foreground) -> np.ndarray:
    """Pearson correlation of an image's gray values with those of its mirror image, (N,) in [-1, 1].

    1 where left and right are the same, an image of one gray value among them.
    """
    values = gray(pixels).reshape(len(pixels), -1)
    mirrored = gray(pixels[:, :, ::-1]).reshape(len(pixels), -1)
    mean = values.mean(axis=1, keepdims=True)
    variance = np.square(values - mean).mean(axis=1)
    covariance = ((values - mean) * (mirrored - mean)).mean(axis=1)
    flat = variance < 1e-12
    return np.where(flat, 1.0, covariance / np.where(flat, 1.0, variance)).clip(-1, 1)


def slant(pixels: np.ndarray, foreground: Foreground) -> np.ndarray:
    """By how many degrees the foreground leans to the right, (N,) in (-90, 90): the angle of its shear.

    From the second-order central moments, as used to set digits upright: shearing a shape whose left and right half
    are alike by x + y tan(a), y upwards, gives it the slant a = atan(m11 / m02). 0 where there is no foreground, or
    none above another.
    """
    weights = foreground(pixels).astype(np.float64)
    height, width = weights.shape[1:]
    total = weights.sum(axis=(1, 2))
    x, y = np.arange(width)[None, None, :], np.arange(height)[None, ::-1, None]

    def mean_of(values: np.ndarray) -> np.ndarray:
        return (weights * values).sum(axis=(1, 2)) / np.maximum(total, 1)

    centre_x, centre_y = (mean_of(values)[:, None, None] for values in (x, y))
    sheared, tall = mean_of((x - centre_x) * (y - centre_y)), mean_of(np.square(y - centre_y))
    return np.where(tall > 1e-9, np.degrees(np.arctan2(sheared, np.where(tall > 1e-9, tall, 1.0))), 0.0)


class Classifier:
    """A linear head on EfficientNet-Lite0's features of the real training images: to measure by, no arm learns from it.

    Its L2 penalty is chosen by validation likelihood; the test split has no part in it.
    """

    def __init__(self, train: ImageSet, validation: ImageSet, seed: int, device: torch.device) -> None:
        self.device = device
        self.extractor = backbone_levels("efficientnet_lite0", 96)
        features = self.extractor.compute(train, device)
        self.standardise = Standardiser(features, device)
        held_out = self.extractor.compute(validation, device)
        examples, held_out_examples = (
            Examples(self.standardise(values), torch.from_numpy(images.labels).to(device))
            for values, images in ((features, train), (held_out, validation))
        )
        self.head = fit_head(examples, held_out_examples, len(train.class_names), HEAD, seeded(seed, "attributes"))

    def __call__(self, images: ImageSet) -> np.ndarray:
        """Probability of every class, (N, K) float64."""
        features = self.standardise(self.extractor.compute(images, self.device))
        return self.head(features).double().softmax(dim=1).cpu().numpy()


@dataclass(frozen=True)
class Attribute:
    """measure: (pixels (N, H, W, C) uint8, foreground) -> (N,); None: by the classifier."""

    unit: str
    meaning: str
    measure: Callable[[np.ndarray, Foreground], np.ndarray] | None


CONFIDENCE = "confidence"
ATTRIBUTES: dict[str, Attribute] = {
    "brightness": Attribute("gray value", "mean gray value of the image, black to white", brightness),
    "area": Attribute("share of pixels", "share of the pixels that are foreground", area),
    "symmetry": Attribute("correlation", "correlation of the image with its mirror image", symmetry),
    "slant": Attribute("degrees", "by how much the foreground leans to the right", slant),
    CONFIDENCE: Attribute(
        "probability", "probability of the image's class to a classifier of the real training images", None
    ),
}


@dataclass(frozen=True)
class Measured:
    """values: (N, A) float64, a column per attribute asked for. predicted: (N,) int64, the classifier's class."""

    values: np.ndarray
    predicted: np.ndarray


class Measurements:
    """The chosen attributes of images, by one foreground rule and one classifier for all image sets.

    Raises UserError on an attribute that is not in ATTRIBUTES.
    """

    def __init__(self, names: Sequence[str], foreground: Foreground, classify: Callable[[ImageSet], np.ndarray]):
        for name in names:
            check_known("attributes", name, ATTRIBUTES)
        self.names, self.foreground, self.classify = tuple(names), foreground, classify

    @classmethod
    def by_real_images(cls, names: Sequence[str], root: Path, seed: int, device: torch.device) -> "Measurements":
        """root: the main pipeline's folder."""
        train, validation = (ImageSet.read(root / "data/splits/0" / split) for split in ("train", "validation"))
        return cls(names, Foreground.of(train), Classifier(train, validation, seed, device))

    def __call__(self, images: ImageSet) -> Measured:
        """Measure each image; confidence is that of its own label."""
        probabilities = self.classify(images)
        columns = {CONFIDENCE: probabilities[np.arange(len(images)), images.labels]}
        for name in self.names:
            measure = ATTRIBUTES[name].measure
            if measure is not None:
                parts = [measure(images.pixels[rows], self.foreground) for rows in images.slices(1000)]
                columns[name] = np.concatenate([np.zeros(0), *parts])
        return Measured(np.stack([columns[name] for name in self.names], axis=1), probabilities.argmax(axis=1))
