"""Images of more than eight bits: as stored until the whole set is read, then scaled by one range for all of it."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageOps

GRAY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601-2, as Pillow has it
DARK = 8  # of so few shades in 255 as one in eight an image is nearly black
OVERSHOOT = 0.05  # beyond 0 and 1, that resampling has left in floats
# What Pillow decodes to the upper bytes alone -> how it decodes the lower ones; gray with alpha is taken byte by byte.
OTHER_BYTES = {
    "RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B", "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B", "RGBX;16B": "RGBX;16L", "RGBX;16L": "RGBX;16B", "RGBX;16N": "RGBX;16B", "LA;16B": "RGBA",
}  # fmt: skip
Range = tuple[float, float]  # the values that become black and white


@dataclass(frozen=True)
class DeepImage:
    """values: (H, W) or (H, W, 3), as stored. kind: integers | floats. low, high: the values' own extent."""

    values: np.ndarray
    kind: str
    low: float
    high: float

    @property
    def usual(self) -> float:
        """What 99 of 100 values do not exceed: without dead pixels and writing in the picture."""
        return float(np.percentile(self.values, 99))

    def square(self, size: int, *, gray: bool) -> "DeepImage":
        """The centre square, resized with antialiasing."""
        if self.values.ndim == 2:
            values = _fitted(self.values, size)
        else:
            values = np.stack([_fitted(channel, size) for channel in np.moveaxis(self.values, 2, 0)], axis=2)
            values = values @ GRAY if gray else values
        return dataclasses.replace(self, values=values)

    def scaled(self, low: float, high: float) -> np.ndarray:
        """uint8: low becomes 0, high 255, and what lies outside the nearer of them."""
        shades = (self.values.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        return np.rint(shades.clip(0, 255)).astype(np.uint8)


def _fitted(channel: np.ndarray, size: int) -> np.ndarray:
    """(H, W) of any kind -> (size, size) float32."""
    values = Image.fromarray(channel.astype(np.float32))
    return np.asarray(ImageOps.fit(values, (size, size), Image.Resampling.LANCZOS))


@dataclass
class Depth:
    """What a set's deep images hold, and the range by which all of them are scaled.

    fixed: the range that is asked for; None: it follows from the images. noted: kind -> least, largest and usual value
    of each image so far.
    """

    fixed: Range | None = None
    noted: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)

    def note(self, image: DeepImage) -> None:
        self.noted.setdefault(image.kind, []).append((image.low, image.high, image.usual))

    def extent(self, kind: str) -> Range:
        lows, highs, _ = zip(*self.noted[kind], strict=True)
        return min(lows), max(highs)

    def range_of(self, kind: str) -> Range:
        return self.fixed or likely_range(*self.extent(kind), floats=kind == "floats")

    def scaled(self, image: np.ndarray | DeepImage) -> np.ndarray:
        """(H, W) or (H, W, 3) uint8, which eight bits are already."""
        return image.scaled(*self.range_of(image.kind)) if isinstance(image, DeepImage) else image

    def summary(self) -> dict[str, dict[str, Any]]:
        """For each kind that there is: how many images, their extent, and the range that becomes 0 to 255.

        usual: what 99 of 100 values do not exceed in half of the images.
        """
        return {
            kind: {
                "images": len(noted),
                "values": [*self.extent(kind)],
                "range": [*self.range_of(kind)],
                "usual": float(np.median([usual for *_, usual in noted])),
            }
            for kind, noted in sorted(self.noted.items())
        }


def likely_range(low: float, high: float, *, floats: bool) -> Range:
    """The range that a set was recorded in, by the least and the largest of its values.

    Integers from 0 on have a number of bits: as few as hold them all, and at least 8. So have floats, but for those
    from 0 to 1, or -1 to 1. Where other values are negative, their own extent is all that is known.
    """
    if floats and high <= 1 + OVERSHOOT and low >= -1 - OVERSHOOT:
        return (0.0, 1.0) if low >= -OVERSHOOT else (-1.0, 1.0)
    if low >= 0:
        return 0.0, 2.0 ** max(8, int(np.ceil(high)).bit_length()) - 1
    return (low, high) if low < high else (low, low + 1)


def describe(depth: Mapping[str, Mapping[str, Any]]) -> str:
    """The summary in words; "" where no image has more than eight bits."""
    parts = []
    for kind, found in depth.items():
        (low, high), (black, white) = found["values"], found["range"]
        held = f"{found['images']:,} of {kind} from {low:g} to {high:g}"
        parts.append(f"{held}: {black:g} becomes black and {white:g} white")
        narrower = likely_range(max(black, 0), found["usual"], floats=kind == "floats")[1]
        if black == 0 and 0 < narrower <= white / DARK:
            of_most = f"but 99 of 100 values of half the images do not exceed {found['usual']:g}"
            parts.append(f"{of_most}; prepare.intensity: [0, {narrower:g}] makes those lighter")
    return "; ".join(parts)


def describe_dark(pixels: np.ndarray) -> str:
    """What to say of a set of eight bits where all of it is nearly black; "" elsewhere. pixels: uint8."""
    lightest = int(pixels.max())
    return f"no pixel is lighter than {lightest} of 255, thus all is nearly black" if lightest < 256 // DARK else ""


def is_deep(image: Image.Image) -> bool:
    """Whether an image of Pillow's has more than eight bits a channel."""
    return image.mode == "F" or image.mode.startswith("I")


def other_bytes(image: Image.Image, reopen: Callable[[], Image.Image]) -> Image.Image | None:
    """The lower bytes of colours of 16 bits, which Pillow drops; None where the image has no more than 8, or is gray.

    image: opened, and not loaded.
    """
    _read_ppm_as_it_is(image)
    tiles = getattr(image, "tile", [])
    raw_modes = [tile.args[0] if isinstance(tile.args, tuple) else tile.args for tile in tiles]
    if not tiles or any(raw_mode not in OTHER_BYTES for raw_mode in raw_modes):
        return None
    again = reopen()
    _read_ppm_as_it_is(again)
    again.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(OTHER_BYTES[raw], *tile.args[1:]) if isinstance(tile.args, tuple) else OTHER_BYTES[raw])
        for tile, raw in zip(again.tile, raw_modes, strict=True)  # type: ignore[attr-defined]
    ]
    again.info["bytewise"] = raw_modes[0] == "LA;16B"
    again.load()
    return again


def _read_ppm_as_it_is(image: Image.Image) -> None:
    """Of a PPM of two bytes a colour the upper ones, where Pillow would make eight bits of both. image: not loaded."""
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(codec_name="raw", args="RGB;16B")
        if tile.codec_name == "ppm" and tile.args[0] == "RGB" and tile.args[1] > 255
        else tile
        for tile in getattr(image, "tile", [])
    ]


def from_bytes(upper: Image.Image, lower: Image.Image) -> DeepImage:
    """Colours of 16 bits, from their upper and lower bytes; transparency is laid over white.

    lower: of gray with alpha, whose mode is RGBA, upper and lower byte of the shade, then those of alpha.
    """
    high, low = np.asarray(upper), np.asarray(lower)
    if lower.info["bytewise"]:
        values, alpha = low[..., 0].astype(np.uint16) << 8 | low[..., 1], low[..., 2]
    else:
        values, alpha = high[..., :3].astype(np.uint16) << 8 | low[..., :3], high[..., 3:]
    if upper.mode == "RGB" or (alpha == 255).all():
        return DeepImage(values, "integers", float(values.min()), float(values.max()))
    visible = values[alpha.reshape(values.shape[:2]) == 255]
    least, largest = (float(visible.min()), float(visible.max())) if visible.size else (0.0, 0.0)
    opacity = alpha.astype(np.float32) / 255
    return DeepImage(values * opacity + 65535 * (1 - opacity), "integers", least, largest)


def from_values(image: Image.Image) -> DeepImage:
    """Gray integers or floats. Raises ValueError where one is not finite."""
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError("holds values that are not finite")
    return DeepImage(values, "floats" if image.mode == "F" else "integers", float(values.min()), float(values.max()))
