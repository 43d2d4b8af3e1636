"""Pairs of one lung healthy and ill: the same person, and a stream that goes on exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glasslung.data.pairs import PairBatches, draw_pairs
from glasslung.errors import UsageError


@pytest.fixture(scope="module")
def pairs():
    return draw_pairs(3, 5, 32, (2.0, 9.0))


def test_only_the_lesions_make_the_difference(pairs):
    assert len(pairs) == 6 and pairs.patient.tolist() == [0, 0, 1, 1, 2, 2]
    assert pairs.day.tolist() == [2, 9] * 3
    change = np.abs(pairs.target - pairs.source)
    assert (change[~pairs.lungs] == 0).all()
    inside = change[pairs.lesions].mean()
    beside = change[pairs.lungs & ~pairs.lesions].mean()
    assert inside > 3 * beside


def test_a_stream_goes_on_exactly(pairs):
    stream = PairBatches(pairs, 4, np.random.default_rng(1))
    next(stream)
    state = json.loads(json.dumps(stream.state()))
    wanted = [next(stream).source.sum().item() for _ in range(4)]
    other = PairBatches(pairs, 4, np.random.default_rng(9))
    other.restore(state)
    assert [next(other).source.sum().item() for _ in range(4)] == wanted
    with pytest.raises(UsageError, match="6 pairs"):
        PairBatches(pairs, 7, np.random.default_rng())
    with pytest.raises(UsageError, match="give the same"):
        PairBatches(pairs.take(np.arange(5)), 2, np.random.default_rng()).restore(state)
