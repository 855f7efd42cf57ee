"""The study of architectures: its counts against closed forms and against the papers."""

from functools import cache

import pytest
import torch
from torch import nn

from models import CLASSIFIERS
from studies.architectures.published import PUBLISHED, TOLERANCE
from studies.architectures.table import counts_of, row_of
from studies.counts import Counts, count

LAYERS = {  # of the whole network: convolutions, dense layers
    "lenet5": (3, 2), "alexnet_2012": (5, 3), "vgg16": (13, 3), "vgg19": (16, 3), "plain34": (33, 1),
    "resnet18": (17, 1), "resnet34": (33, 1), "resnet50": (49, 1), "resnet101": (100, 1), "resnet152": (151, 1),
}  # fmt: skip


counted = cache(counts_of)


def test_a_convolution_counts_as_the_textbook_says() -> None:
    counts = count(lambda: nn.Conv2d(3, 8, 5, stride=2, padding=2, groups=1), 32)
    assert counts == Counts(8 * 3 * 25 + 8, 1, 0, 16 * 16 * 8 * 3 * 25, 8 * 16 * 16)
    grouped = count(lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), 10, channels=8)
    assert grouped == Counts(8 * 9, 1, 0, 100 * 8 * 9, 800)
    dense = count(lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 7)), 4)
    assert dense == Counts(48 * 7 + 7, 0, 1, 48 * 7, 7)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_those_that_the_name_promises(name: str) -> None:
    counts = counted(name)
    assert (counts.convolutions, counts.dense) == LAYERS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_within_two_percent_of_the_paper_or_the_reason_is_stated(name: str) -> None:
    row = row_of(name)
    differences = [0.0]
    for key, unit in (("parameters", 1e6), ("multiply_adds", 1e9)):
        ours, published = row[key], row[f"published_{key}"]
        if published is None:
            assert row[f"{key}_difference"] is None
            continue
        differences.append(abs(ours - unit * published) / (unit * published))
        assert abs(row[f"{key}_difference"]) == pytest.approx(differences[-1])
    assert (max(differences) > TOLERANCE) == (row["reason"] is not None), differences


def test_alexnet_in_one_tower_layer_by_layer() -> None:
    layers = [(96, 3, 11), (256, 96, 5), (384, 256, 3), (384, 384, 3), (256, 384, 3)]
    convolutions = sum(out * (into * kernel**2 + 1) for out, into, kernel in layers)
    dense = sum(out * (into + 1) for into, out in [(9216, 4096), (4096, 4096), (4096, 1000)])
    assert counted("alexnet_2012").parameters == convolutions + dense == 62_378_344
    assert round(100 * dense / (convolutions + dense)) == 94
    with torch.device("meta"):
        network = CLASSIFIERS["alexnet_2012"].network()
        assert network.features(torch.empty(1, 3, 227, 227)).shape == (1, 256, 6, 6)


def test_lenet5_of_1998_layer_by_layer() -> None:
    """The paper's 60,000: S2 and S4 train a factor and an offset a map, C3 sees 60 of the 96 pairs of maps."""
    paper = 6 * 26 + 6 * 2 + (60 * 25 + 16) + 16 * 2 + 120 * (16 * 25 + 1) + 84 * 121
    assert paper == 60_000
    # Ours: C1 of three channels, C3 of all pairs, no trained pooling, and ten outputs that are learned.
    ours = 6 * (3 * 25 + 1) + 16 * (6 * 25 + 1) + 120 * (16 * 25 + 1) + 84 * 121 + 10 * 85
    assert counted("lenet5").parameters == ours == 62_006


def test_the_connections_of_lenet5_of_1998_are_the_multiply_adds_that_its_row_names() -> None:
    pooled = 6 * 14 * 14 * 5 + 16 * 5 * 5 * 5
    paper = 28 * 28 * 6 * 26 + 10 * 10 * (60 * 25 + 16) + 120 * 401 + 84 * 121 + 10 * 84 + pooled
    published = PUBLISHED["lenet5"].multiply_adds
    assert published is not None
    assert paper == 340_908
    assert 1e9 * published == pytest.approx(paper, rel=1e-3)
    ours = 28 * 28 * 6 * 75 + 10 * 10 * 16 * 150 + 120 * 400 + 84 * 120 + 10 * 84
    assert counted("lenet5").multiply_adds == ours == 651_720


def test_plain_and_residual_networks_differ_by_the_projections_alone() -> None:
    projections = sum(into * out + 2 * out for into, out in [(64, 128), (128, 256), (256, 512)])
    assert counted("resnet34").parameters - counted("plain34").parameters == projections
