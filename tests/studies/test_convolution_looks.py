"""What drives channels high, and the pictures of filters, maps, fields and channels."""

import numpy as np
import pytest
import torch
from torch import nn

from augury.images.backbones import load_backbone
from augury.images.grids import GAP
from augury.images.image_set import ImageSet
from augury.images.pixels import to_backbone
from models.backbone import Backbone
from studies.convolution.ascent import (
    SLOPE,
    image_for,
    lively_channels,
    mean_activations,
    sloping,
    strongest_images,
)
from studies.convolution.fields import Field, Seen, activations
from studies.convolution.look import levels_of
from studies.convolution.pictures import (
    MEASURED,
    SMALL,
    THEORETICAL,
    channel_rows,
    feature_maps,
    filters,
    gradient_fields,
)
from studies.convolution.settings import Look
from studies.pictures import TILE, as_seen

CPU = torch.device("cpu")
SIZE = 16
LOOK = Look(image=0, levels=2, maps=1, channels=1, strongest=1, steps=64, step_size=0.05, images=1)


def maps_after(network: Backbone, stages: int, images: torch.Tensor) -> torch.Tensor:
    return list(activations(network, images))[stages - 1]


def made_for(
    network: Backbone, stages: int, chosen: np.ndarray, *, gray: bool = True, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    return image_for(network, stages, chosen, LOOK, gray=gray, resolution=SIZE, seed=seed)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Dark ones, light ones and striped ones, none of them extreme."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(3), 40)
    pixels = random.integers(70, 110, (len(labels), SIZE, SIZE, 1)).astype(np.uint8)
    pixels[labels == 1] += 70
    pixels[labels == 2, ::4] += 70
    return ImageSet(pixels, labels, ("dark", "light", "striped"))


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("small_cnn", pretrained=False).eval().requires_grad_(False)


# What drives a channel high.


def test_mean_activations_are_the_means_of_activations(backbone: Backbone, images: ImageSet) -> None:
    """Over more images than a batch holds, at another size than theirs, of stages that do not follow one another."""
    stages = [nn.Sequential(stage) for stage in backbone.stages]
    network = Backbone(stages, width=256, smallest=8, mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.6, 0.7)).eval()
    found = mean_activations(network, [1, 3], images, 24)
    shown = to_backbone(images.pixels, 24, CPU)
    for stage, values in zip((1, 3), found, strict=True):
        maps = maps_after(network, stage, shown)
        assert maps.shape == (120, {1: 32, 3: 128}[stage], 24 // 2 ** (stage - 1), 24 // 2 ** (stage - 1))
        np.testing.assert_allclose(values, maps.mean((2, 3)).numpy(), rtol=1e-4, atol=1e-6)


def test_activations_are_of_standardised_images() -> None:
    network = Backbone([nn.Sequential(nn.Identity())], width=3, smallest=1, mean=(0.5, 0, 0), deviation=(1, 2, 4))
    found = maps_after(network, 1, torch.full((1, 3, 2, 2), 0.5))
    assert found[0, :, 0, 0].tolist() == [0, 0.25, 0.125]


def test_the_liveliest_channels_vary_most_and_the_strongest_images_are_highest() -> None:
    values = np.array([[0.0, 5, 1, 2], [0, 5, 3, -2], [0, 6, 2, 0]])
    assert lively_channels(values, 3).tolist() == [3, 2, 1]
    assert lively_channels(values, 9).tolist() == [3, 2, 1, 0]
    assert strongest_images(values, 2, 2).tolist() == [1, 2]
    assert strongest_images(values, 1, 3).tolist() == [2, 0, 1]  # of equal ones the first


@pytest.mark.parametrize("stage", [1, 2, 4])
def test_made_images_drive_their_channels_higher_than_any_training_image(
    backbone: Backbone, images: ImageSet, stage: int
) -> None:  # fmt: skip
    (values,) = mean_activations(backbone, [stage], images, SIZE)
    chosen = lively_channels(values, 4)
    made, heights = made_for(backbone, stage, chosen)
    assert (made.shape, made.dtype, heights.shape) == ((4, SIZE, SIZE, 3), np.uint8, (4,))
    assert (heights > values[:, chosen].max(axis=0)).all()
    again = maps_after(backbone, stage, to_backbone(made, None, CPU)).mean((2, 3)).numpy()
    np.testing.assert_allclose(heights, again[np.arange(4), chosen], rtol=1e-4)


def test_gray_stays_gray_and_colour_does_not(backbone: Backbone) -> None:
    chosen = np.array([0, 1])
    gray, _ = made_for(backbone, 2, chosen)
    colour, _ = made_for(backbone, 2, chosen, gray=False)
    assert (gray == gray[..., :1]).all()
    assert np.ptp(gray) > 50
    assert np.ptp(colour.astype(int), axis=3).max() > 50


def test_the_same_seed_makes_the_same_images(backbone: Backbone) -> None:
    chosen = np.array([3, 1])
    first, again, other = (made_for(backbone, 2, chosen, seed=seed)[0] for seed in (0, 0, 1))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_each_image_is_made_for_its_own_channel(backbone: Backbone) -> None:
    """One that stands first is the same whatever is made beside it, but for the order of sums."""
    alone, height = made_for(backbone, 2, np.array([5]))
    beside, heights = made_for(backbone, 2, np.array([5, 9]))
    assert np.abs(alone[0].astype(int) - beside[0]).mean() < 2
    assert heights[0] == pytest.approx(height[0], rel=0.05)
    assert np.abs(beside[0].astype(int) - beside[1]).mean() > 10


def test_gradients_go_through_silent_and_saturated_units_within_the_block_alone() -> None:
    network = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU6()))
    before = list(network.modules())

    def gradient() -> list[float]:
        x = torch.tensor([-2.0, 3.0, 8.0], requires_grad=True)
        outputs = network(x)
        assert outputs.tolist() == [0, 3, 6]
        (found,) = torch.autograd.grad(outputs.sum(), x)
        return [round(value, 6) for value in found.tolist()]

    assert gradient() == [0, 1, 0]
    with sloping(network):
        assert gradient() == [round(SLOPE**2, 6), 1, SLOPE]  # silent in both, saturated in the second
    assert gradient() == [0, 1, 0]
    assert list(network.modules()) == before
    with pytest.raises(RuntimeError, match="on the way"), sloping(network):
        raise RuntimeError("on the way")
    assert list(network.modules()) == before


def test_the_ascent_leaves_noise_where_a_channel_is_silent() -> None:
    """Its gradient is 0 everywhere at first."""
    network = Backbone([nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU())], width=1, smallest=1)
    layer = network.stages[0][0]  # type: ignore[index]
    nn.init.ones_(layer.weight)
    nn.init.constant_(layer.bias, -1.5)
    _, heights = made_for(network, 1, np.array([0]))
    assert heights[0] > 0.5


@pytest.mark.parametrize(
    ("stages", "count", "expected"),
    [(4, 5, [1, 2, 3, 4]), (9, 5, [1, 3, 5, 7, 9]), (9, 2, [1, 9]), (2, 2, [1, 2]), (6, 4, [1, 3, 4, 6])],
)
def test_levels_are_evenly_apart_with_both_ends(stages: int, count: int, expected: list[int]) -> None:
    assert levels_of(stages, count) == expected


# Pictures.


def test_a_weight_of_zero_is_mid_gray_and_the_largest_is_black_or_white() -> None:
    weights = torch.zeros(3, 3, 2, 2)
    weights[0, 0, 0, 0], weights[0, 1, 1, 1] = 0.2, -0.1
    weights[1, 2, 0, 1] = -7.0
    side = -(-SMALL // 2) * 2
    picture = filters(weights, gray=False)
    first, second, third = (picture[:side, start : start + side] for start in (0, side + GAP, 2 * (side + GAP)))
    half = side // 2
    assert (first[0, 0].tolist(), first[half, half].tolist(), first[0, half].tolist()) == (
        [255, 128, 128], [128, 64, 128], [128, 128, 128],
    )  # fmt: skip
    assert second[0, half].tolist() == [128, 128, 0]
    assert (third == 128).all()  # all zero: no division by it


def test_to_gray_images_a_filter_is_the_sum_of_its_channels() -> None:
    weights = torch.zeros(1, 3, 2, 2)
    weights[0, :, 0, 0] = torch.tensor([1.0, 1.0, -1.0])
    weights[0, :, 0, 1] = torch.tensor([1.0, -2.0, 1.0])
    weights[0, :, 1, 1] = -0.5
    picture = filters(weights, gray=True)
    side = -(-SMALL // 2) * 2
    assert picture.shape == (side, 2 * side + GAP, 1)
    assert picture[:: side // 2, : side : side // 2, 0].tolist() == [[212, 128], [128, 0]]


def test_every_map_goes_from_its_least_to_its_greatest_and_the_liveliest_come_first() -> None:
    image = np.full((TILE, TILE, 3), 77, np.uint8)
    constant, weak, strong = (
        torch.full((2, 2), 5.0),
        torch.tensor([[1.0, 2], [1, 1]]),
        torch.tensor([[-9.0, 9], [0, 0]]),
    )
    picture = feature_maps(image, [torch.stack([constant, weak, strong]), torch.stack([weak])], count=4)
    assert picture.shape == (2 * TILE + GAP, 5 * TILE + 4 * GAP, 3)
    step = TILE + GAP
    cells = [
        [picture[row * step : row * step + TILE, column * step : column * step + TILE] for column in range(5)]
        for row in range(2)
    ]
    assert all((cells[row][0] == 77).all() for row in range(2))
    values = [cell[:: TILE // 2, :: TILE // 2, 0].tolist() for cell in cells[0][1:]]
    # Strong, weak, the constant one, which is black, and none.
    assert values == [[[0, 255], [128, 128]], [[0, 255], [0, 0]], [[0, 0], [0, 0]], [[255, 255], [255, 255]]]
    assert cells[1][1][0, -1, 0] == 255
    assert all((cell == 255).all() for cell in cells[1][2:])


def test_a_row_has_the_made_image_and_then_the_strongest() -> None:
    made = np.full((2, 8, 8, 3), [[[[10]]], [[[20]]]], np.uint8)
    strongest = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 8, 8, 3), np.uint8)
    picture = channel_rows(made, strongest)
    assert picture.shape == (2 * TILE + GAP, 4 * TILE + 3 * GAP, 3)
    assert picture[:: TILE + GAP, :: TILE + GAP, 0].tolist() == [[10, 0, 1, 2], [20, 3, 4, 5]]


def test_images_are_shown_as_a_network_sees_them() -> None:
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[:, :, 4:] = 200
    seen = as_seen(pixels, 4)
    assert seen.shape == (1, 4, 4, 3)
    assert (seen[0, :, 0].max(), seen[0, :, -1].min()) == (0, 200)
    assert (as_seen(pixels, 8)[..., :1] == pixels).all()


def test_fields_are_outlined_and_the_faint_is_seen() -> None:
    energy = np.zeros((16, 16))
    energy[8, 8], energy[8, 9] = 0.96, 0.04
    zoom = 2 * TILE // 16
    field = Field(size=16, low=-3, high=4)  # an even number of pixels: 5 to 12 about 9
    levels = [Seen(field, energy, center=9, reach=1), Seen(field, energy, center=9, reach=4)]
    picture = gradient_fields(levels)
    assert picture.shape == (2 * TILE, 4 * TILE + GAP, 3)

    def outline(tile: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
        rows, columns = np.nonzero((tile == colour).all(axis=2))
        return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1

    first, second = picture[:, : 2 * TILE], picture[:, 2 * TILE + GAP :]
    assert outline(first, THEORETICAL) == (5 * zoom, 13 * zoom, 5 * zoom, 13 * zoom)
    assert outline(first, MEASURED) == (8 * zoom, 11 * zoom, 8 * zoom, 11 * zoom)
    assert outline(second, MEASURED) == (5 * zoom, 13 * zoom, 5 * zoom, 13 * zoom)  # no further than the possible one
    middle = first[8 * zoom + zoom // 2]
    assert middle[8 * zoom + zoom // 2].tolist() == [255] * 3
    assert middle[9 * zoom + zoom // 2].tolist() == [52] * 3  # sqrt(0.04 / 0.96) of 255
    assert first[0, 0].tolist() == [0] * 3
