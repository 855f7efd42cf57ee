"""What counts as the same picture, and what only looks alike."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from augury.splits import near_duplicates
from augury.splits.near_duplicates import (
    CORRELATION,
    CORRELATION_SMALL_GRAY,
    HASH_DISTANCE,
    Pairs,
    describe_rule,
    find_between,
    find_near_duplicates,
    fingerprints,
    remembered_near_duplicates,
)


def scenes(count: int, size: int = 64, channels: int = 3, seed: int = 0) -> np.ndarray:
    """(count, size, size, channels) uint8: random pictures with less contrast in the detail than at large."""
    random = np.random.default_rng(seed)
    whole = np.zeros((count, size, size, channels))
    for cells, contrast in ((3, 0.6), (6, 0.3), (12, 0.1)):
        coarse = random.integers(0, 256, (count, cells, cells, channels), np.uint8)
        for image, layer in zip(coarse, whole, strict=True):
            picture = Image.fromarray(image[..., 0] if channels == 1 else image).resize((size, size))
            layer += contrast * np.asarray(picture).reshape(layer.shape)
    return whole.astype(np.uint8)


def altered(pixels: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in pixels])


def encoded_again(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=30)
    with Image.open(buffer) as decoded:
        return decoded.convert("RGB")


def shrunk_and_back(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2)).resize(image.size)


def cropped(image: Image.Image) -> Image.Image:
    edge = 0.01 * image.width
    return image.resize(image.size, box=(edge, edge, image.width - edge, image.height - edge))


def darker(image: Image.Image) -> Image.Image:
    return Image.fromarray((0.6 * np.asarray(image)).astype(np.uint8))


def lighter(image: Image.Image) -> Image.Image:
    return Image.fromarray((0.7 * np.asarray(image) + 60).astype(np.uint8))


def noisy(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 6, np.asarray(image).shape)
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("change", [encoded_again, shrunk_and_back, cropped, darker, lighter, noisy])
def test_the_same_picture_is_found_whatever_was_done_to_it(change: Callable[[Image.Image], Image.Image]) -> None:
    originals = scenes(30)
    order = np.random.default_rng(2).permutation(30)
    pairs = find_between(fingerprints(originals), fingerprints(altered(originals, change)[order]))
    assert sorted(zip(pairs.first.tolist(), order[pairs.second].tolist(), strict=True)) == [(n, n) for n in range(30)]
    assert (pairs.distance <= HASH_DISTANCE).all()
    assert (pairs.correlation >= CORRELATION).all()
    assert (np.diff(pairs.correlation) <= 0).all()


def test_different_pictures_are_not_pairs() -> None:
    assert len(find_near_duplicates(scenes(300))) == 0


def test_a_change_of_colour_alone_makes_another_picture() -> None:
    # Left to right from black to one colour: the same in gray but for brightness.
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    red, green = (np.zeros((64, 64, 3), np.uint8) for _ in range(2))
    red[..., 0], green[..., 1] = ramp, ramp
    assert len(find_near_duplicates(np.stack([red, green]))) == 0
    assert len(find_near_duplicates(np.stack([ramp, ramp // 2])[..., None])) == 1


def test_digits_look_alike_without_being_the_same() -> None:
    pixels = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[..., None]
    assert len(find_near_duplicates(pixels)) == 0
    again = find_between(fingerprints(pixels[:50]), fingerprints((0.8 * pixels[:50]).astype(np.uint8)))
    assert sorted(zip(again.first, again.second, strict=True)) == [(n, n) for n in range(50)]


def test_pairs_within_a_set_count_once_and_copies_lead_to_the_first() -> None:
    originals = scenes(5)
    near = altered(originals[1:2], encoded_again)
    pixels = np.concatenate([originals, near, originals[[1, 1, 4]]])  # 5 is near 1; 6 and 7 copies of 1, 8 of 4
    pairs = find_near_duplicates(pixels)
    assert [(first, second) for first, second, _, _ in pairs] == [(1, 6), (1, 7), (4, 8), (1, 5)]
    assert [(distance, correlation) for _, _, distance, correlation in pairs][:3] == [(0, 1.0)] * 3
    assert CORRELATION <= pairs.correlation[3] < 1


def test_several_sets_count_as_one() -> None:
    pixels = np.concatenate([scenes(20), altered(scenes(20)[3:5], darker), scenes(20)[7:8]])
    whole, parts = find_near_duplicates(pixels), find_near_duplicates(pixels[:9], pixels[9:22], pixels[22:])
    assert list(whole) == list(parts)
    assert {(first, second) for first, second, _, _ in whole} == {(3, 20), (4, 21), (7, 22)}


def test_images_of_one_shade_pair_only_with_exact_copies() -> None:
    flat = np.stack([np.full((32, 32, 1), shade, np.uint8) for shade in (0, 0, 7, 255)])
    assert list(find_near_duplicates(flat)) == [(0, 1, 0, 1.0)]


@pytest.mark.parametrize("count", [0, 1])
def test_there_is_no_pair_in_less_than_two_images(count: int) -> None:
    pixels = scenes(2)[:count]
    assert list(find_near_duplicates(pixels)) == []
    assert list(find_between(fingerprints(pixels), fingerprints(scenes(2, seed=1)))) == []


def test_what_is_held_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    originals = scenes(60)
    pixels = np.concatenate([originals, altered(originals, encoded_again), originals[:5]])
    expected = list(find_near_duplicates(pixels))
    assert len(expected) == 65
    for name, value in (("IMAGES", 7), ("DISTANCES", 300), ("CANDIDATES", 2)):
        monkeypatch.setattr(near_duplicates, name, value)
    found = find_near_duplicates(pixels)
    assert [pair[:3] for pair in found] == [pair[:3] for pair in expected]
    np.testing.assert_allclose(found.correlation, [pair[3] for pair in expected], rtol=1e-6)


def test_two_may_remember_the_same_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "STORE", tmp_path)
    pixels, save, others = scenes(4), np.savez, list[Pairs]()

    def saved_meanwhile(path: Path, **columns: Any) -> None:
        save(path, **columns)
        if not others:
            with monkeypatch.context() as another:
                another.setattr(os, "getpid", lambda: 0)
                others.append(find_near_duplicates(pixels))
                remembered_near_duplicates(pixels)

    monkeypatch.setattr(np, "savez", saved_meanwhile)
    pairs = remembered_near_duplicates(pixels)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]
    np.testing.assert_equal(vars(pairs), vars(others[0]))
    np.testing.assert_equal(vars(remembered_near_duplicates(pixels)), vars(pairs))
    [stored] = tmp_path.iterdir()
    stored.write_bytes(stored.read_bytes()[:-30])  # which is searched for anew
    np.testing.assert_equal(vars(remembered_near_duplicates(pixels)), vars(pairs))


def test_the_rule_in_words() -> None:
    assert describe_rule(scenes(1)).endswith(f"at least {CORRELATION} at 32 × 32")
    assert describe_rule(scenes(1, 28, 1)).endswith(f"at least {CORRELATION_SMALL_GRAY} at 28 × 28")
    assert describe_rule(scenes(1, 28, 3)).endswith(f"at least {CORRELATION} at 28 × 28")
