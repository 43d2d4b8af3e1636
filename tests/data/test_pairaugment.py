"""One draw for picture and masks: they move together, can be moved back, and cost little."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_slices import chest

from glasslung.data.labelbatches import square_labels, square_picture
from glasslung.data.pairaugment import (
    POLICIES,
    Pairs,
    Policy,
    apply_views,
    augmenter,
    draw_views,
    policy_named,
    undo_moves,
)
from glasslung.errors import ShapeError, UsageError

MOVES = Policy(mirror=0.5, upend=0.5, quarter=0.5)
WARPS = Policy(mirror=0.5, quarter=0.5, turn_deg=20, scale=0.2, shear=0.1, shift=0.05, bend=0.015)
GREYS = Policy(gamma=0.3, contrast=0.3, brightness=0.1, rewindow=0.5, blur=0.5, noise=0.05)


def chests(count: int = 3, size: int = 64) -> Pairs:
    drawn = [chest((70, 80), seed) for seed in range(count)]
    return Pairs(
        np.stack([square_picture(p, size) for p, _, _ in drawn]).astype(np.float32) / 255,
        np.stack([square_labels(lesion, size) for _, lesion, _ in drawn]),
        np.stack([square_labels(lung, size) for _, _, lung in drawn]),
    )


def smooth(count: int = 3, size: int = 64) -> np.ndarray:
    rows, columns = np.indices((size, size)) / size
    waves = [np.sin(3 * rows + n) * np.cos(4 * columns - n) for n in range(count)]
    return (0.5 + 0.4 * np.stack(waves)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_mirrors_and_turns_are_undone_exactly(seed):
    pairs = chests()
    views = draw_views(MOVES, len(pairs), np.random.default_rng(seed))
    moved = apply_views(views, pairs)
    for was, now in ((pairs.pictures, moved.pictures), (pairs.lesions, moved.lesions)):
        assert np.array_equal(undo_moves(views, now[:, None])[:, 0], was)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_warps_are_undone_where_the_view_showed_the_slice(seed):
    pictures = smooth()
    views = draw_views(WARPS, len(pictures), np.random.default_rng(seed))
    blank = np.zeros(pictures.shape, np.int8)
    moved = apply_views(views, Pairs(pictures, blank, blank)).pictures
    back = undo_moves(views, moved[:, None])[:, 0]
    seen = undo_moves(
        views, apply_views(views, Pairs(np.ones_like(pictures), blank, blank)).pictures[:, None]
    )
    inside = seen[:, 0] > 0.999
    assert inside.mean() > 0.4
    off = np.abs(back - pictures)[inside]
    assert np.quantile(off, 0.99) < 0.002  # of greys from 0 to 1: what interpolating twice loses
    assert off.max() < 0.05  # a pixel at the rim of a bend


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_masks_move_with_their_picture(seed):
    """A picture that shows its own mask still shows it after any move."""
    pairs = chests(size=96)
    shown = replace(pairs, pictures=(pairs.lungs > 0).astype(np.float32))
    moved = apply_views(draw_views(WARPS, len(pairs), np.random.default_rng(seed)), shown)
    agree = (moved.pictures > 0.5) == (moved.lungs > 0)
    assert agree.mean() > 0.985  # the outline alone may differ: bilinear and nearest


def test_one_draw_serves_both_as_a_slow_twin_says():
    """Against the definition, pixel by pixel: the target looks at matrix x target in the source."""
    pairs = chests(2, 33)
    views = draw_views(Policy(turn_deg=30, scale=0.3, shift=0.1), 2, np.random.default_rng(5))
    moved = apply_views(views, pairs)
    size = 33
    for n, (row, column) in ((n, at) for n in range(2) for at in ((3, 4), (16, 16), (20, 9), (30, 25))):
        target = (np.array([column, row]) + 0.5) / size * 2 - 1
        source = views.matrix[n] @ [*target, 1]
        x, y = (source + 1) / 2 * size - 0.5
        if 0.01 < x % 1 < 0.99 and abs(x % 1 - 0.5) > 0.01 and abs(y % 1 - 0.5) > 0.01:
            inside = 0 <= round(y) < size and 0 <= round(x) < size
            assert moved.lesions[n, row, column] == (pairs.lesions[n, round(y), round(x)] if inside else 0)


def test_labels_stay_labels_and_the_unknown_stays_unknown():
    pairs = chests()
    pairs = replace(
        pairs, lesions=np.where(np.arange(3)[:, None, None] == 1, -1, pairs.lesions).astype(np.int8)
    )
    for seed in range(5):
        moved = augmenter("strong")(pairs, np.random.default_rng(seed))
        assert (moved.lesions[1] == -1).all()
        assert set(np.unique(moved.lesions[[0, 2]])) <= {0, 1, 2}
        assert moved.lesions.dtype == np.int8 and moved.pictures.dtype == np.float32
        assert moved.pictures.min() >= 0 and moved.pictures.max() <= 1


def test_greys_leave_masks_alone():
    pairs = chests()
    moved = augmenter(GREYS)(pairs, np.random.default_rng(1))
    assert np.array_equal(moved.lesions, pairs.lesions) and np.array_equal(moved.lungs, pairs.lungs)
    assert not np.array_equal(moved.pictures, pairs.pictures)


def test_none_changes_nothing_and_nobody_changes_what_was_given():
    pairs = chests()
    kept = {field.name: getattr(pairs, field.name).copy() for field in fields(pairs)}
    same = augmenter("none")(pairs, np.random.default_rng(0))
    for name, values in kept.items():
        assert np.array_equal(getattr(same, name), values)
    for policy in POLICIES:
        augmenter(policy)(pairs, np.random.default_rng(0))
    for name, values in kept.items():
        assert np.array_equal(getattr(pairs, name), values)


def test_a_seed_gives_the_same_views():
    pairs = chests()
    one, two, other = (augmenter("strong")(pairs, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one.pictures, two.pictures) and np.array_equal(one.lesions, two.lesions)
    assert not np.array_equal(one.pictures, other.pictures)


def test_cutout_is_as_often_and_as_large_as_the_paper_says():
    views = draw_views(POLICIES["paper"], 4000, np.random.default_rng(0))
    sides = views.holes[:, 2]
    assert (sides > 0).mean() == pytest.approx(0.25, abs=0.03)
    assert set(sides[sides > 0] * 512) == {64.0, 128.0, 256.0}
    assert (views.holes[:, :2] + views.holes[:, 2:] <= 1).all() and (views.holes >= 0).all()


def test_a_hole_is_black_and_masks_know_nothing_of_it():
    pairs = replace(chests(), pictures=np.ones((3, 64, 64), np.float32))
    moved = augmenter(Policy(cutout=1.0, cutout_sides=(0.25,)))(pairs, np.random.default_rng(0))
    assert ((moved.pictures == 0).sum(axis=(1, 2)) == 16 * 16).all()
    assert np.array_equal(moved.lesions, pairs.lesions)


def test_the_released_crop_keeps_four_fifths_in_half_the_slices():
    views = draw_views(POLICIES["released"], 2000, np.random.default_rng(0))
    kept = views.matrix[:, 0, 0]
    assert set(np.round(kept, 6)) == {0.8, 1.0}
    assert (kept < 0.9).mean() == pytest.approx(0.5, abs=0.04)
    assert np.abs(views.matrix[:, :, 2]).max() <= 0.2 + 1e-9  # the crop lies inside the slice


def test_tiles_are_cut_out_of_views_picture_and_masks_alike():
    rows = np.arange(64 * 64).reshape(1, 64, 64)
    pairs = Pairs((rows / 4096).astype(np.float32), (rows % 3).astype(np.int8), (rows % 2).astype(np.int8))
    tile = augmenter("none", tile=16)(pairs, np.random.default_rng(2))
    told = np.rint(tile.pictures * 4096).astype(int)
    assert tile.pictures.shape == (1, 16, 16)
    assert np.array_equal(tile.lesions, told % 3) and np.array_equal(tile.lungs, told % 2)


def test_wrong_input_is_refused():
    with pytest.raises(UsageError, match="no augmentation is called 'more'; there are none, weak, paper"):
        policy_named("more")
    with pytest.raises(ShapeError, match="as many draws"):
        apply_views(draw_views(Policy(), 2, np.random.default_rng(0)), chests(3))
    with pytest.raises(ShapeError, match="must all be"):
        Pairs(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 5), np.int8), np.zeros((1, 4, 4), np.int8))
    with pytest.raises(ShapeError, match="maps of 2 views"):
        undo_moves(draw_views(Policy(), 2, np.random.default_rng(0)), np.zeros((2, 4, 4)))
    with pytest.raises(UsageError, match="does not fit"):
        augmenter("none", tile=65)(chests(), np.random.default_rng(0))


def test_eight_slices_of_256_cost_less_than_60_ms_of_one_core():
    import torch

    pairs, augment, rng = chests(8, 256), augmenter("strong"), np.random.default_rng(0)
    augment(pairs, rng)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        costs = []
        for _ in range(7):
            start = time.process_time()
            augment(pairs, rng)
            costs.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(costs) < 0.06
