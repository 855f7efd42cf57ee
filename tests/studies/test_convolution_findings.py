"""The variants of the small CNN, and what the study says of made-up results."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.pipeline.conclusions import Compare
from studies.convolution.fields import stage_fields
from studies.convolution.findings import NEAR_CEILING, PLAINLY, Results, answer, cautions, gains_over_plain, sentences
from studies.convolution.variants import PLAIN, VARIANTS, convolutions, variant
from studies.counts import count
from tests.studies.made_up import point

COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=2000)
OTHERS = [name for name in VARIANTS if name != PLAIN]


# The variants.


@pytest.mark.parametrize("name", OTHERS)
def test_variants_start_from_the_same_weights_of_a_seed(name: str) -> None:
    plain, other, next_seed = variant(PLAIN, 5).state_dict(), variant(name, 5).state_dict(), variant(name, 6)
    assert list(plain) == list(other)
    assert all(torch.equal(plain[key], other[key]) for key in plain)
    assert not torch.equal(convolutions(next_seed)[0].weight, convolutions(variant(name, 5))[0].weight)


@pytest.mark.parametrize("name", OTHERS)
def test_variants_are_no_two_alike(name: str) -> None:
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    outputs = {each: variant(each, 0).eval()(images) for each in VARIANTS}
    assert outputs[name].shape == (2, 256)
    assert all(not torch.allclose(outputs[name], outputs[each]) for each in VARIANTS if each != name)


@pytest.mark.parametrize(
    ("name", "sizes", "fields", "cost"),
    [
        # Fields: 3x3 twice, then a pooling of 2 and 3x3 twice, on maps whose positions lie 2, 4 and 8 pixels apart.
        ("plain", [32, 16, 8, 4], [5, 14, 32, 68], 1),
        ("average", [32, 16, 8, 4], [5, 14, 32, 68], 1),
        # What the poolings added is missing: the first 3x3 of a stage steps over the finer map.
        ("strided", [32, 16, 8, 4], [5, 11, 23, 47], 1),
        # The second 3x3 covers 5.
        ("dilated", [32, 16, 8, 4], [7, 20, 46, 98], 1),
        # The pooling before the last stage added 4.
        ("dilated_for_pooling", [32, 16, 8, 8], [5, 14, 32, 64], 1.80),
    ],
)
def test_map_sizes_fields_and_costs_of_the_variants(
    name: str, sizes: list[int], fields: list[int], cost: float
) -> None:
    found = stage_fields(variant(name, 0).eval(), 32)
    assert [field.size for field in found] == sizes
    assert [field.width for field in found] == fields
    plain, counts = (count(partial(variant, each, 0), 32) for each in (PLAIN, name))
    assert counts.parameters == plain.parameters
    assert counts.multiply_adds / plain.multiply_adds == pytest.approx(cost, abs=0.01)


def test_the_cost_of_a_finer_last_stage_layer_by_layer() -> None:
    stages = [(3 * 32 + 32 * 32) * 32**2, (32 * 64 + 64 * 64) * 16**2, (64 * 128 + 128 * 128) * 8**2]
    last = 128 * 256 + 256 * 256
    costs = [count(partial(variant, name, 0), 32).multiply_adds for name in (PLAIN, "dilated_for_pooling")]
    assert costs == [9 * (sum(stages) + last * size**2) for size in (4, 8)]


def test_dilation_for_pooling_meets_the_same_pixels_with_its_weights() -> None:
    """Where nothing but pooling is left out, a position in every second row and column has the values of before."""
    finer, coarser = (nn.Conv2d(1, 1, 3, bias=False) for _ in range(2))
    finer.load_state_dict(coarser.state_dict())
    finer.dilation = (2, 2)
    maps = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(finer(maps)[..., ::2, ::2], coarser(maps[..., ::2, ::2]))
    last = convolutions(variant("dilated_for_pooling", 0).stages[-1])
    assert [(each.dilation, each.padding) for each in last] == [((2, 2), (2, 2))] * 2


def test_no_pooling_is_left_where_strides_take_its_place() -> None:
    kinds = {name: [type(each) for each in variant(name, 0).modules()] for name in VARIANTS}
    poolings = {name: (found.count(nn.MaxPool2d), found.count(nn.AvgPool2d)) for name, found in kinds.items()}
    assert poolings == {
        "plain": (3, 0), "average": (0, 3), "strided": (0, 0), "dilated": (3, 0), "dilated_for_pooling": (2, 0),
    }  # fmt: skip


# Findings.


def made_up(accuracy: Mapping[str, float], seeds: int = 8) -> dict[str, Any]:
    """Made-up accuracies of the variants, 0.9 where nothing else is said."""
    return {
        name: {"seeds": list(range(seeds)), **point([accuracy.get(name, 0.9)] * seeds, place)}
        for place, name in enumerate(VARIANTS)
    }


def look(**changed: Any) -> dict[str, Any]:
    """Of a made-up classifier with two stages."""
    last = {"field": 68, "everything": False, "measured": 29} | changed
    resolution = last.pop("resolution", 32)
    return {"resolution": resolution, "stages": [{"field": 5, "everything": False, "measured": 5}, last]}


def results(accuracy: Mapping[str, float], seeds: int = 8, **looks: dict[str, Any]) -> Results:
    checks = {
        "image_size": 28,
        "agreements": [{"compared": 1200, "different": 0}, {"compared": 34, "different": 0}],
        "gradients": [
            {"from_autograd": 3.2e-16, "from_finite_differences": 4e-11},
            {"from_autograd": 1e-17, "from_finite_differences": 2.4e-10},
        ],
    }
    return Results(checks, made_up(accuracy, seeds), looks)


def test_verdicts_are_on_new_images() -> None:
    ablation = made_up({"average": 0.95, "strided": 0.8})
    gains = gains_over_plain(ablation, COMPARE)
    assert list(gains) == OTHERS
    verdicts = {name: gain.verdict for name, gain in gains.items()}
    assert verdicts == {
        "average": "helps", "strided": "hurts", "dilated": "can't tell", "dilated_for_pooling": "can't tell",
    }  # fmt: skip
    found = np.mean(ablation["average"]["accuracy"]) - np.mean(ablation[PLAIN]["accuracy"])
    assert gains["average"].mean == pytest.approx(found)


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        (
            {"average": 0.95, "strided": 0.8},
            "On new images like the test ones, for these labels, average pooling helps the small CNN; strides for "
            "pooling hurts it; dilated second "
            "convolutions and dilation for the last pooling cannot be told from what it has",
        ),
        (
            {"average": 0.8, "strided": 0.8, "dilated": 0.95, "dilated_for_pooling": 0.96},
            "On new images like the test ones, for these labels, dilated second convolutions and dilation for the last "
            "pooling help the small CNN; "
            "average pooling and strides for pooling hurt it",
        ),
        (
            {},
            "Neither dilation nor another way of pooling can be told from maximum pooling on new images like the test "
            "ones, for these labels",
        ),
    ],
)
def test_the_answer_says_each_verdict(accuracy: dict[str, float], expected: str) -> None:
    assert set(PLAINLY) == set(OTHERS)
    assert answer(gains_over_plain(made_up(accuracy), COMPARE)) == expected


def test_sentences_say_how_far_classifiers_see() -> None:
    whole = {"everything": True, "measured": 96, "resolution": 96}
    within, small, all_of_it, squeezed, checks = sentences(
        results(
            {}, within=look(), small=look(field=20, measured=17), all_of_it=look(measured=32), squeezed=look(**whole)
        )
    )
    assert within == (
        "within: a position of the first stage sees 5 pixels a side, one of the last could see 68 pixels a side, more "
        "than the image's 32. 95% of what it responds to lies within 29."
    )
    assert "could see 20 pixels a side. 95% of what it responds to lies within 17." in small
    assert all_of_it.endswith("more than the image's 32. 95% of what it responds to takes the whole image.")
    assert squeezed.endswith("could see the whole image. 95% of what it responds to takes the whole image.")
    assert checks == (
        "The formulas give all 1,234 output sizes as PyTorch does. The gradients written out by hand differ from "
        "autograd's by at most 3e−16 of their largest number, and from finite differences by 2e−10."
    )


def test_a_formula_that_disagrees_is_said() -> None:
    found = results({})
    found.checks["agreements"][1]["different"] = 4
    assert "The formulas give 1,230 of 1,234 sizes as PyTorch does." in sentences(found)[-1]


def test_cautions_say_what_limits_the_study() -> None:
    assert cautions(results({}, one=look(resolution=28))) == []
    (enlarged,) = cautions(results({}, one=look(resolution=28), two=look(), three=look(resolution=96)))
    assert enlarged.startswith("The images have 28 pixels a side and are enlarged for two (32) and three (96)")
    (ceiling,) = cautions(results({PLAIN: 1.005 - NEAR_CEILING}))
    assert re.match(r"The small CNN errs on 2\.\d% of the test images", ceiling)
    assert cautions(results({PLAIN: 0.995 - NEAR_CEILING})) == []
