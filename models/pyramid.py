"""How deep a convolutional generator or encoder is, from the image size alone."""


def pyramid(image_size: int, width: int) -> tuple[int, list[int]]:
    """Halve the resolution until 4 to 7 pixels are left, doubling the channels each time.

    Returns the last resolution and the channels from full resolution down: pyramid(28, 32) = (7, [32, 64, 128]).
    Channels stop growing at 512. Raises ValueError for a size that halving does not bring to 4, 5, 6 or 7.
    """
    resolution, widths = image_size, [width]
    while resolution > 7 and resolution % 2 == 0:
        resolution //= 2
        widths.append(min(2 * widths[-1], max(width, 512)))
    if not 4 <= resolution <= 7:
        raise ValueError(f"image size {image_size} is not 4, 5, 6 or 7 times a power of two")
    return resolution, widths
