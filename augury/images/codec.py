"""Images as the bytes of a file: PNG by OpenCV, and whatever else Pillow reads.

OpenCV writes and reads small PNG files two to three times as fast as Pillow, and refuses every damaged one.
"""

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from PIL import Image

from augury.pipeline.cores import cores
from augury.pipeline.errors import one_line

# Photographs of 32 x 32 pixels: as small as with zlib's own strategy at level 1, and 1.5 times as fast to write and
# 1.2 times to read; of 128 x 128: 10% smaller, three times as fast. Level 6 takes three times as long to save 4%.
PNG_SETTINGS = [
    cv2.IMWRITE_PNG_COMPRESSION, 1,
    cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FAST_FILTERS,
]  # fmt: skip
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bit depth and colour type in a PNG file's header -> how OpenCV is to read it. All others are left to Pillow.
PNG_FLAGS = {
    (8, 0): cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION,
    (8, 2): cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION,
}
ROWS_PER_TASK = 256  # images that a thread decodes at a time


class UndecodableError(Exception):
    """Why bytes are not an image that this project works with, in one line."""


def encode_png(image: np.ndarray) -> bytes:
    """(H, W, 1 or 3) uint8 -> PNG bytes, always the same ones."""
    pixels = image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".png", pixels, PNG_SETTINGS)
    return data.tobytes()


def decode_image(data: Any) -> np.ndarray:
    """Encoded bytes of an 8-bit gray or RGB image -> (H, W, 1 or 3) uint8.

    data: bytes, or what has a buffer of them. Raises UndecodableError on what is damaged, no image, larger than Pillow
    takes for safe, or of another kind: with a palette, transparency, CMYK or 16 bits.
    """
    if data is None:
        raise UndecodableError("an image without bytes")
    header = bytes(data[:26])
    flags = PNG_FLAGS.get((header[24], header[25])) if header.startswith(PNG_SIGNATURE) and len(header) == 26 else None
    if flags is None:
        return _decode_with_pillow(data)
    width, height = int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    if width * height > (Image.MAX_IMAGE_PIXELS or np.inf):
        raise UndecodableError(f"an image of {width} x {height} pixels, at most {Image.MAX_IMAGE_PIXELS:,} are allowed")
    pixels: np.ndarray | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise UndecodableError("a damaged PNG file")
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _decode_with_pillow(data: Any) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode not in ("L", "RGB"):
                raise UndecodableError(f"an image in mode {image.mode}; expected L (8-bit gray) or RGB")
            pixels = np.asarray(image)
    except UndecodableError:
        raise
    # Damaged bytes make Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise UndecodableError(one_line(error)) from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def decode_images(encoded: Sequence[Any]) -> np.ndarray:
    """N images of one size, as `decode_image` takes them -> (N, H, W, 1 or 3) uint8, in a thread per core.

    Raises UndecodableError also where they differ in size or in the number of channels.
    """
    if not len(encoded):
        return np.zeros((0, 1, 1, 1), np.uint8)
    shape = decode_image(encoded[0]).shape
    pixels = np.empty((len(encoded), *shape), np.uint8)

    def fill(start: int) -> None:
        for row in range(start, min(start + ROWS_PER_TASK, len(encoded))):
            image = decode_image(encoded[row])
            if image.shape != shape:
                raise UndecodableError(f"images of {_size(shape)} and of {_size(image.shape)} pixels in one set")
            pixels[row] = image

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(fill, range(0, len(encoded), ROWS_PER_TASK)))
    return pixels


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
