"""Differentiable augmentation: what each operation does, and that gradients pass through it."""

from collections.abc import Callable

import pytest
import torch

from models.diffaugment import (
    OPERATIONS,
    brightness,
    contrast,
    cutout,
    diffaugment,
    saturation,
    translation,
)
from models.draws import Draws

every_operation = pytest.mark.parametrize("name", OPERATIONS)


def seeded(seed: int = 0) -> Draws:
    return Draws(torch.device("cpu"), seed)


def images(count: int = 16, channels: int = 3, size: int = 16) -> torch.Tensor:
    return seeded(99).uniform(count, channels, size, size) * 1.8 - 0.9


@every_operation
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (5, 3, 28, 28), (2, 1, 64, 64)])
def test_shape_and_type_stay(name: str, shape: tuple[int, int, int, int]) -> None:
    x = torch.zeros(shape)
    result = OPERATIONS[name](x, seeded())
    assert result.shape == x.shape
    assert result.dtype == x.dtype
    assert result.isfinite().all()


@every_operation
def test_the_seed_decides_and_every_image_has_its_own_draw(name: str) -> None:
    x = images(1).repeat(8, 1, 1, 1)
    first, again, other = (OPERATIONS[name](x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) > 3
    assert not torch.equal(first, x)


@every_operation
def test_gradients_are_those_of_small_differences(name: str) -> None:
    operation: Callable[[torch.Tensor, Draws], torch.Tensor] = OPERATIONS[name]
    x = images(2, 2, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operation(x, seeded(3)), (x,), fast_mode=True)
    operation(x, seeded(3)).sum().backward()
    assert x.grad is not None
    assert x.grad.any()


@every_operation
def test_the_input_is_left_alone(name: str) -> None:
    x = images()
    before = x.clone()
    OPERATIONS[name](x, seeded())
    assert torch.equal(x, before)


def test_brightness_adds_up_to_a_quarter_of_the_range() -> None:
    x = images(200)
    offsets = (brightness(x, seeded()) - x).flatten(1)
    torch.testing.assert_close(offsets, offsets[:, :1].expand_as(offsets), rtol=0, atol=1e-6)
    assert -0.5 <= offsets.min() < -0.4
    assert 0.4 < offsets.max() <= 0.5


def factors(result: torch.Tensor, x: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """By how much each image's distance from `centre` was scaled (N,), found the same in all of its pixels."""
    before, after = (x - centre).flatten(1), (result - centre).flatten(1)
    scale = (before * after).sum(dim=1) / before.square().sum(dim=1)
    torch.testing.assert_close(after, before * scale[:, None], rtol=0, atol=1e-5)
    return scale


def test_contrast_scales_the_distance_from_the_mean_by_half_to_one_and_a_half() -> None:
    x = images(200)
    scale = factors(contrast(x, seeded()), x, x.mean(dim=(1, 2, 3), keepdim=True))
    assert 0.5 <= scale.min() < 0.6
    assert 1.4 < scale.max() <= 1.5


def test_saturation_scales_the_distance_from_gray_by_nothing_to_two() -> None:
    x = images(200)
    scale = factors(saturation(x, seeded()), x, x.mean(dim=1, keepdim=True))
    assert -1e-6 <= scale.min() < 0.1
    assert 1.9 < scale.max() <= 2 + 1e-5


@pytest.mark.parametrize("channels", [1, 3])
def test_saturation_leaves_gray_images_alone(channels: int) -> None:
    x = images(8, 1).repeat(1, channels, 1, 1)
    torch.testing.assert_close(saturation(x, seeded()), x, rtol=0, atol=1e-6)


def shifted(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """(C, H, W) moved by whole pixels, -1 where nothing moved in."""
    size = image.shape[1]
    result = torch.full_like(image, -1.0)
    rows, columns = (slice(max(0, by), size + min(0, by)) for by in (down, right))
    from_rows, from_columns = (slice(max(0, -by), size + min(0, -by)) for by in (down, right))
    result[:, rows, columns] = image[:, from_rows, from_columns]
    return result


@pytest.mark.parametrize("size", [8, 16, 28])
def test_translation_moves_by_up_to_an_eighth_and_fills_with_black(size: int) -> None:
    image = images(1, 3, size)[0]
    results = translation(image.repeat(1000, 1, 1, 1), seeded())
    reach = size // 8
    steps = range(-reach, reach + 1)
    possible = {shifted(image, down, right).numpy().tobytes(): (down, right) for down in steps for right in steps}
    found = {possible.get(result.numpy().tobytes()) for result in results}
    assert found == set(possible.values())  # each of these shifts, and nothing else


@pytest.mark.parametrize("size", [8, 16, 28])
def test_cutout_blanks_a_square_of_half_the_side_or_what_of_it_is_inside(size: int) -> None:
    blank = cutout(torch.ones(300, 2, size, size), seeded()) == 0
    assert torch.equal(blank[:, 0], blank[:, 1])
    heights, widths = blank[:, 0].any(dim=2).sum(dim=1), blank[:, 0].any(dim=1).sum(dim=1)
    assert torch.equal(blank[:, 0].sum(dim=(1, 2)), heights * widths)  # a full rectangle
    assert heights.max() == widths.max() == size // 2
    assert blank.any(dim=0).all()  # anywhere


def test_cutout_leaves_the_rest_alone() -> None:
    x = images()
    result = cutout(x, seeded())
    assert torch.equal(result[result != 0], x[result != 0])


def test_operations_are_applied_in_order_from_one_stream() -> None:
    x, stream = images(), seeded(7)
    expected = cutout(translation(brightness(x, stream), stream), stream)
    assert torch.equal(diffaugment(x, ["brightness", "translation", "cutout"], seeded(7)), expected)
    assert torch.equal(diffaugment(x, [], seeded()), x)
