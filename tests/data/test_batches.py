"""Streams of batches: balanced, complete, exact to stop and go on."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from glasslung.data.batches import GroupBalancedBatches, mirror
from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.nn.player import Batches


def numbered(counts: dict[int, int]) -> SliceSet:
    """Slices whose grey value tells their row."""
    group = np.repeat(list(counts), list(counts.values()))
    total = len(group)
    images = np.broadcast_to(
        (np.arange(total) / total).astype(np.float32)[:, None, None], (total, 4, 4)
    ).copy()
    images[:, :, 0] = 0
    rows = np.arange(total)
    names = tuple(map(str, rows))
    return SliceSet(images, group.astype(np.int64), np.zeros(total, np.float32), rows, names, names)


def stream(seed: int = 0, **settings) -> GroupBalancedBatches:
    slices = numbered({0: 11, 1: 5, 3: 7})
    return GroupBalancedBatches(slices, rng=np.random.default_rng(seed), **({"each": 3} | settings))


def test_every_batch_holds_as_many_of_each_group():
    batches = stream()
    for _ in range(9):
        assert next(batches).group.tolist() == [0, 0, 0, 1, 1, 1, 3, 3, 3]


def test_a_pass_shows_every_slice_once_whatever_the_batch_size():
    batches = stream(each=3)
    shown = Counter()
    for _ in range(5):  # 15 slices of group 1: three passes over its five
        shown.update(next(batches).patient.tolist())
    assert {shown[row] for row in range(11, 16)} == {3}
    assert max(shown[row] for row in range(11)) - min(shown[row] for row in range(11)) <= 1


def test_a_group_smaller_than_its_share_still_fills_a_batch():
    batch = next(stream(each=12))
    assert Counter(batch.group.tolist()) == {0: 12, 1: 12, 3: 12}


def test_it_stops_and_goes_on_exactly():
    whole, first, second = stream(augment=mirror), stream(augment=mirror), stream(seed=9, augment=mirror)
    assert isinstance(whole, Batches)
    expected = [next(whole) for _ in range(8)]
    for _ in range(4):
        next(first)
    second.restore(json.loads(json.dumps(first.state())))
    for batch in expected[4:]:
        other = next(second)
        assert batch.patient.tolist() == other.patient.tolist()
        assert np.array_equal(batch.image.numpy(), other.image.numpy())


def test_seeds_differ_and_repeat():
    assert next(stream(1)).patient.tolist() == next(stream(1)).patient.tolist()
    assert next(stream(1)).patient.tolist() != next(stream(2)).patient.tolist()


def test_another_cohort_cannot_go_on():
    with pytest.raises(UsageError, match="give the same cohort"):
        stream(each=2).restore(stream().state())
    other = GroupBalancedBatches(numbered({0: 3}), 3, np.random.default_rng(0))
    with pytest.raises(UsageError, match="give the same cohort"):
        other.restore(stream().state())


def test_an_empty_group_is_told():
    with pytest.raises(DataError, match=r"no slice is of group \[2\]"):
        stream(groups=[0, 2])
    with pytest.raises(UsageError):
        stream(each=0)


def test_mirroring_turns_about_half_and_nothing_else():
    images = np.random.default_rng(0).random((200, 4, 4)).astype(np.float32)
    turned = mirror(images, np.random.default_rng(1))
    same = (turned == images).all((1, 2))
    assert 60 < same.sum() < 140
    assert np.array_equal(turned[~same], images[~same][:, :, ::-1])
