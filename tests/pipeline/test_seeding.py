"""Randomness is a function of what is being made."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augury.pipeline.seeding import batch_rows, derive_seed, seeded
from models.draws import randn_per_image

parts = st.lists(st.integers() | st.sampled_from(["dcgan", "vae", "augment"]), min_size=1, max_size=4)


def test_a_seed_is_the_same_in_every_process_and_release() -> None:
    assert derive_seed(0, "dcgan", 3) == 4431609886064037027


@given(first=parts, second=parts)
def test_seeds_differ_where_a_part_differs_and_suit_int64(first: list[int | str], second: list[int | str]) -> None:
    seed = derive_seed(*first)
    assert 0 <= seed < 2**63
    assert (seed == derive_seed(*second)) == (first == second)


def test_seeds_of_a_whole_run_are_all_different() -> None:
    everything = itertools.product(range(3), ("dcgan", "vae"), range(10), range(200))
    seeds = {derive_seed(*what) for what in everything}
    assert len(seeds) == 3 * 2 * 10 * 200


def test_seeded_generators_are_equal_where_their_parts_are() -> None:
    first, again, other = (torch.rand(4, generator=seeded(3, "vae", step)) for step in (7, 7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert seeded(3).device.type == "cpu"


@settings(deadline=None)
@given(count=st.integers(1, 40), batch_size=st.integers(1, 60), seed=st.integers(0, 2**63 - 1))
def test_every_epoch_shows_every_image_once(count: int, batch_size: int, seed: int) -> None:
    """Batches laid end to end are permutations, wherever the borders between batches and epochs fall."""
    batches = [batch_rows(count, batch_size, step, seed) for step in range(count)]
    assert {len(batch) for batch in batches} == {batch_size}
    epochs = np.concatenate(batches).reshape(-1, count)
    assert (np.sort(epochs, axis=1) == np.arange(count)).all()


def test_a_batch_may_span_several_epochs() -> None:
    rows = batch_rows(count=3, batch_size=8, step=1, seed=0)  # positions 8 to 15 of epochs of three
    assert np.sort(rows[1:4]).tolist() == np.sort(rows[4:7]).tolist() == [0, 1, 2]


def test_a_batch_does_not_depend_on_those_drawn_before_it() -> None:
    in_order = [batch_rows(50, 8, step, 5).tolist() for step in range(20)]
    backwards = [batch_rows(50, 8, step, 5).tolist() for step in reversed(range(20))]
    assert in_order == backwards[::-1]


def test_the_order_differs_by_seed_and_by_epoch() -> None:
    orders = [tuple(batch_rows(30, 30, epoch, seed)) for epoch in range(4) for seed in range(4)]
    assert len(set(orders)) == 16


def test_noise_of_an_image_depends_on_its_own_generator_alone() -> None:
    def noise(*seeds: int) -> torch.Tensor:
        return randn_per_image((len(seeds), 5, 6), [torch.Generator().manual_seed(seed) for seed in seeds])

    three = noise(1, 2, 3)
    assert (three.shape, three.dtype) == ((3, 5, 6), torch.float32)
    assert torch.equal(three[1], noise(2)[0])
    assert torch.equal(three[[2, 0]], noise(3, 1))
    assert not torch.equal(three[0], three[1])


def test_noise_from_one_generator_is_a_single_stream() -> None:
    first = randn_per_image((3, 4), torch.Generator().manual_seed(1))
    assert torch.equal(first, torch.randn(3, 4, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("generators", [1, 2, 4])
def test_there_must_be_as_many_generators_as_images(generators: int) -> None:
    with pytest.raises(ValueError, match=f"{generators} generators for 3 images"):
        randn_per_image((3, 4), [torch.Generator() for _ in range(generators)])
