"""Warped slices: the identity, framing, repeatability, and a stream that goes on exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glasslung.data.augment import NativeSlices, WarpedBatches, draw_warps, warp_slices
from glasslung.data.slices import SliceSet, square_slice
from glasslung.errors import ShapeError, UsageError


def chest(seed: int, height: int = 150, width: int = 201) -> np.ndarray:
    """Two grey ellipses, cropped tightly, as a picture of odd size."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    picture = np.zeros((height, width), np.uint8)
    for centre in (0.25 * width, 0.75 * width):
        inside = ((rows - height / 2) / (height / 2.05)) ** 2 + ((columns - centre) / (width / 4.2)) ** 2 < 1
        picture[inside] = rng.integers(40, 160, inside.sum())
    return picture


PICTURES = [chest(0), chest(1, 180, 160), chest(2), chest(3, 120, 240)]
NATIVE = NativeSlices.of(PICTURES)
ROWS = np.arange(len(PICTURES))


def test_without_strength_it_is_the_papers_resize():
    got = warp_slices(NATIVE, ROWS, draw_warps(4, np.random.default_rng(0), 0.0))
    expected = np.stack([square_slice(picture) for picture in PICTURES])
    apart = np.abs(got - expected) * 255
    assert apart.max() <= 1.01  # a tie between two whole grey values may fall either way
    assert (apart > 0.5).mean() < 0.001


def test_warped_pictures_are_whole_grey_values_with_black_as_before():
    got = warp_slices(NATIVE, ROWS, draw_warps(4, np.random.default_rng(1)))
    assert got.shape == (4, 64, 64)
    assert got.dtype == np.float32
    assert np.abs(got * 255 - np.rint(got * 255)).max() < 1e-4
    plain = np.stack([square_slice(picture) for picture in PICTURES])
    assert np.abs((got == 0).mean((1, 2)) - (plain == 0).mean((1, 2))).max() < 0.08


def test_the_frame_follows_the_warped_lungs():
    """However strong the warp, lungs reach (almost) to the edges along their longer side, and not beyond."""
    warps = draw_warps(40, np.random.default_rng(2), 1.5)
    got = warp_slices(NATIVE, np.zeros(40, int), warps) > 0
    first, last = got.any(1).argmax(1), 63 - got.any(1)[:, ::-1].argmax(1)
    assert first.max() <= 6
    assert last.min() >= 57


def test_a_mirror_changes_the_sides():
    lopsided = chest(5)
    lopsided[:, :100] = lopsided[:, :100] // 2
    native = NativeSlices.of([lopsided])
    warps = draw_warps(200, np.random.default_rng(0), 1e-6)
    got = warp_slices(native, np.zeros(200, int), warps)
    left_darker = got[:, :, :32].mean((1, 2)) < got[:, :, 32:].mean((1, 2))
    assert np.array_equal(left_darker, ~warps.mirrored)
    assert 60 < warps.mirrored.sum() < 140


def test_one_seed_one_warp():
    one, again = (warp_slices(NATIVE, ROWS, draw_warps(4, np.random.default_rng(3))) for _ in range(2))
    other = warp_slices(NATIVE, ROWS, draw_warps(4, np.random.default_rng(4)))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_picture_without_lungs_is_framed_as_a_whole():
    native = NativeSlices.of([np.zeros((90, 100), np.uint8)])
    assert warp_slices(native, np.array([0]), draw_warps(1, np.random.default_rng(0))).max() == 0


def test_wrong_input_is_refused():
    with pytest.raises(ShapeError, match="uint8"):
        NativeSlices.of([np.zeros((4, 4))])
    with pytest.raises(ShapeError, match="one at least"):
        NativeSlices.of([])
    with pytest.raises(UsageError, match="negative"):
        draw_warps(1, np.random.default_rng(0), -1)
    with pytest.raises(ShapeError, match="as many pictures"):
        WarpedBatches(slices(), NativeSlices.of(PICTURES[:2]), 1, np.random.default_rng(0))


def slices() -> SliceSet:
    names = tuple("abcd")
    images = np.stack([square_slice(picture) for picture in PICTURES])
    return SliceSet(images, np.arange(4), np.zeros(4, np.float32), np.arange(4), names, names)


def test_a_stream_goes_on_exactly_also_in_its_strength():
    def fresh() -> WarpedBatches:
        strength = {0: 1.0, 1: 1.0}
        return WarpedBatches(
            slices(), NATIVE, 1, np.random.default_rng(5), lambda number: strength.get(number, 0.0)
        )

    stream, other = fresh(), fresh()
    next(stream)
    state = json.loads(json.dumps(stream.state()))
    expected = [next(stream) for _ in range(2)]
    other.restore(state)
    for batch in expected:
        got = next(other)
        assert np.array_equal(got.image.numpy(), batch.image.numpy())
        assert got.group.tolist() == batch.group.tolist() == [0, 1, 2, 3]
    unwarped = np.stack([square_slice(picture) for picture in PICTURES])
    assert np.abs(expected[1].image.numpy()[:, 0] - unwarped).max() <= 1.01 / 255
