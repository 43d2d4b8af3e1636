"""Lesions over two scans: fates of drawn spheres, and no tissue lost or counted twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from glasslung.errors import ShapeError, UsageError
from glasslung.measure.followup import Fate, Tissue, follow_up

ML = 0.01


def ball(centre, radius, shape=(30, 60, 60)):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return ((grid - np.array(centre)) ** 2).sum(-1) <= radius**2


def test_each_fate_is_told():
    places = {f: (15, 15 + 30 * (n // 3), 10 + 18 * (n % 3)) for n, f in enumerate(Fate)}
    sizes = {
        Fate.NEW: (0, 5),
        Fate.GROWN: (4, 6),
        Fate.STEADY: (5, 5),
        Fate.SHRUNK: (6, 4),
        Fate.RESOLVED: (5, 0),
    }
    before, after = np.zeros((2, 30, 60, 60), bool)
    for fate, (was, now) in sizes.items():
        if was:
            before |= ball(places[fate], was)
        if now:
            after |= ball(places[fate], now)
    found = follow_up(after, before, ML)
    assert {one.fate for one in found.lesions} == set(Fate)
    assert all(found.count(fate) == 1 for fate in Fate)
    for one in found.lesions:
        was, now = sizes[one.fate]
        where = np.array(places[one.fate])
        assert one.centre == pytest.approx(where)
        assert one.before_ml == pytest.approx(ML * (ball(where, was).sum() if was else 0))
        assert one.after_ml == pytest.approx(ML * (ball(where, now).sum() if now else 0))
    gained = ML * (ball((15, 15, 15), 6).sum() - ball((15, 15, 15), 4).sum())
    assert found.total_ml(Fate.GROWN) == pytest.approx(gained)


def test_lesions_that_flow_together_are_one_that_grew():
    before = ball((15, 30, 24), 4) | ball((15, 30, 36), 4)
    after = ball((15, 30, 30), 12)
    (one,) = follow_up(after, before, ML).lesions
    assert (one.fate, one.parts_before, one.parts_after) == (Fate.GROWN, 2, 1)


def test_what_one_scan_did_not_show_is_not_compared():
    before, after = np.zeros((30, 60, 60), bool), ball((4, 30, 30), 4)
    seen = np.zeros(before.shape, bool)
    seen[10:] = True
    assert follow_up(after, before, ML).count(Fate.NEW) == 1
    assert follow_up(after, before, ML, seen=seen).lesions == ()


def test_specks_are_left_out_and_told():
    speck = ball((15, 30, 30), 1)
    found = follow_up(speck, np.zeros_like(speck), ML)
    assert found.lesions == ()
    assert found.left_out_ml == pytest.approx(ML * speck.sum())


@given(arrays(np.uint8, (4, 6, 6), elements=st.integers(0, 3)), st.integers(0, 999))
def test_every_voxel_is_counted_once(after, seed):
    before = np.random.default_rng(seed).integers(0, 2, after.shape)
    found = follow_up(after, before, 1.0, least_ml=0.0)
    tissue = [(found.tissue == kind).sum() for kind in Tissue]
    assert sum(one.after_ml for one in found.lesions) == (after > 0).sum() == tissue[1] + tissue[2]
    assert sum(one.before_ml for one in found.lesions) == before.sum() == tissue[1] + tissue[3]
    turned = follow_up(before, after, 1.0, least_ml=0.0)
    assert turned.count(Fate.NEW) == found.count(Fate.RESOLVED)


def test_masks_of_two_grids_are_refused():
    with pytest.raises(ShapeError):
        follow_up(np.zeros((3, 4, 5)), np.zeros((3, 4, 4)), 1.0)
    with pytest.raises(UsageError):
        follow_up(np.zeros((3, 4, 5)), np.zeros((3, 4, 5)), 0.0)
