"""Slices out of scans: what is drawn how often, frames, windows, exact stop and go, mixtures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from glasslung.data import scanslices as ss
from glasslung.data.pairaugment import Pairs
from glasslung.data.phantom import draw_patient, render
from glasslung.data.slicewindows import AIR_GREY, TISSUE_GREY
from glasslung.data.volumebatches import Settings as ScanSettings
from glasslung.data.volumebatches import on_grid
from glasslung.errors import DataError, UsageError
from glasslung.nn.batches import HAZE

SMALL = ss.Settings(size=96, spacing_mm=(6.0, 4.0, 4.0), slices=4)


@pytest.fixture(scope="module")
def stacks() -> list[ss.SliceStack]:
    spacing = ScanSettings(spacing_mm=SMALL.spacing_mm)
    chests = [
        render(draw_patient(seed, disease, "b", severity), day, shape=(40, 64, 64))
        for seed, disease, severity, day in ((1, "covid", 0.9, 12.0), (2, "healthy", None, 0.0))
    ]
    return [ss.stack_of_scan(on_grid(chest, spacing)) for chest in chests]


def stream(stacks, seed: int = 0, **settings) -> ss.ScanSliceBatches:
    return ss.ScanSliceBatches(stacks, replace(SMALL, **settings), np.random.default_rng(seed))


def only(kind: str) -> tuple[float, ...]:
    return tuple(float(kind == one) for one in ss.KINDS)


def test_a_batch_holds_grey_values_lungs_and_lesions_inside_them(stacks):
    batch = next(stream(stacks))
    assert batch.image.shape == (4, 1, 96, 96) and batch.lesion.shape == (4, 96, 96)
    assert batch.image.dtype == torch.float32 and batch.image.min() >= 0 and batch.image.max() <= 1
    assert (batch.lung[batch.lesion > 0] == 1).all() and set(batch.lung.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(("kind", "label"), [("ground glass", 1), ("consolidation", 2), ("crazy paving", 3)])
def test_a_kind_that_is_asked_for_is_shown(stacks, kind, label):
    for lesion in next(stream(stacks, often=only(kind), slices=8)).lesion:
        assert (lesion == label).sum() >= ss.LEAST_PX


def test_slices_without_lung_and_healthy_ones_are_shown(stacks):
    assert not next(stream(stacks, often=only("no lung"))).lung.any()
    healthy = next(stream(stacks, often=only("no lesion")))
    assert healthy.lung.any((1, 2)).all() and not healthy.lesion.any()


def test_kinds_that_no_scan_shows_are_passed_over(stacks):
    well = stream(stacks[1:], slices=30)
    assert well.share[2:].sum() == 0 and well.share.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="no scan holds"):
        stream(stacks[1:], often=only("consolidation"))
    with pytest.raises(DataError, match="give one"):
        stream([])


def test_the_stream_goes_on_where_it_was_stopped(stacks):
    first = stream(stacks)
    next(first)
    state = json.loads(json.dumps(first.state()))
    second = stream(stacks, seed=9)
    second.restore(state)
    one, other = next(first), next(second)
    assert torch.equal(one.image, other.image) and torch.equal(one.lesion, other.lesion)
    with pytest.raises(UsageError, match="give the same"):
        stream(stacks[:1]).restore(state)


def test_a_mixture_is_one_batch_and_goes_on_too(stacks):
    def mixed(seed):
        return ss.MixedBatches([stream(stacks, seed), stream(stacks[1:], seed + 1, slices=2)])

    first, second = mixed(0), mixed(5)
    assert len(next(first)) == 6
    second.restore(json.loads(json.dumps(first.state())))
    assert torch.equal(next(first).image, next(second).image)
    with pytest.raises(UsageError, match="another number"):
        ss.MixedBatches([stream(stacks)]).restore(first.state())
    with pytest.raises(UsageError, match="one stream"):
        ss.MixedBatches([])


def test_hounsfield_units_mean_the_same_on_every_slice_and_pictures_not(stacks):
    hu = np.full((8, 8), -300, np.int16)
    rng = np.random.default_rng(0)
    exact = replace(SMALL, shift_hu=0.0, scale=0.0)
    assert ss.grey_of(hu, exact, rng).mean() == pytest.approx(0.5)
    pictures = replace(exact, pictures=True)
    seen = np.array([ss.grey_of(hu, pictures, rng).mean() for _ in range(200)])
    low, high = ss.PICTURE_WINDOW
    assert seen.mean() == pytest.approx((-300 - low) / (high - low), abs=0.02) and seen.std() > 0.02
    assert np.allclose(seen * 255, np.rint(seen * 255), atol=1e-3)  # whole grey values


def test_the_window_of_pictures_is_that_of_slices_made_alike():
    low, high = ss.PICTURE_WINDOW
    for hu, grey in ((-1000.0, AIR_GREY), (40.0, TISSUE_GREY)):
        assert 255 * (hu - low) / (high - low) == pytest.approx(grey)
    shown = ss.in_window(
        np.array([0.0, AIR_GREY / 255, TISSUE_GREY / 255, 1.0], np.float32), (-1000.0, 400.0)
    )
    assert shown == pytest.approx([0, 0, 1040 / 1400, (high + 1000) / 1400], abs=1e-5)


@pytest.mark.parametrize("shape", [(20, 31), (70, 20), (80, 90)])
def test_a_slice_lies_whole_or_cut_in_its_square(shape):
    rng = np.random.default_rng(0)
    picture = rng.random(shape, np.float32) + 0.1
    for known in (0, -1):
        mask = np.full(shape, known, np.int8)
        mask[0, 0] = 1 if known == 0 else -1
        square, lesion, lung = ss.place(picture, mask, np.ones(shape, np.int8), 64, rng)
        inside = np.minimum(shape, 64)
        assert (square > 0).sum() == inside.prod() and np.array_equal(lung > 0, square > 0)
        assert (lesion[square == 0] == known).all()
        if max(shape) <= 64:
            assert np.array_equal(square[square > 0], picture.ravel())


def test_framed_slices_move_into_larger_squares_and_haze_is_told():
    picture = np.random.default_rng(0).random((2, 32, 32)).astype(np.float32)
    lesion = np.tile(np.array([[0, 1], [2, 1]], np.int8), (2, 16, 16))
    pairs = ss.placed(Pairs(picture, ss.hazed(lesion), np.ones_like(lesion)), 64, np.random.default_rng(1))
    assert pairs.pictures.shape == (2, 64, 64)
    assert (pairs.lesions == HAZE).sum() == (lesion == 1).sum() and (pairs.lesions == 2).sum() == (
        lesion == 2
    ).sum()


def test_settings_are_checked():
    for wrong in ({"size": 100}, {"slices": 0}, {"often": (1.0,)}, {"window_hu": (400.0, -1000.0)}):
        with pytest.raises(UsageError):
            replace(SMALL, **wrong)


def test_a_real_looking_scan_gives_slices_whose_lungs_are_told():
    chest = render(draw_patient(2, "healthy", "b"), 0.0, shape=(16, 128, 128))
    stack = ss.stack_of_volume(chest.volume, replace(SMALL, spacing_mm=(2.0, 3.0, 3.0)), clear=99)
    assert stack is not None and (stack.lesion == -1).all()
    middle = len(stack.lung) // 2
    assert (stack.lung[middle] == 1).mean() > 0.15 and (stack.lung[middle] == 0).mean() > 0.3
    assert stack.hu[middle][stack.lung[middle] == 1].mean() < -600


def test_a_healthy_scan_with_drawn_lungs_is_known_everywhere():
    chest = render(draw_patient(2, "healthy", "b"), 0.0, shape=(16, 64, 64))
    stack = ss.stack_with_lungs(chest.volume, chest.lungs, SMALL)
    assert stack.hu.shape == stack.lung.shape and len(stack.hu) == 16 and not stack.lesion.any()
    assert set(np.unique(stack.lung)) == {0, 1}
    assert (stack.lung == 1).mean() == pytest.approx((chest.lungs > 0).mean(), rel=0.03)
    assert stack.hu[stack.lung == 1].mean() < -600
