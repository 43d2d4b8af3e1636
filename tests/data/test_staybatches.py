"""Streams of stays: every line once before any comes again, exact to stop and go on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.data.staybatches import StayBatches, StayLines
from glasslung.errors import DataError, ShapeError, UsageError


def made(n=7, **changed):
    told = {
        "scans": np.arange(n * 4.0).reshape(n, 2, 2),
        "columns": np.zeros((n, 0)),
        "gap": np.zeros(n),
        "days": np.arange(n) + 1.0,
        "kind": np.ones(n, int),
        "long": np.full(n, -1),
    }
    return StayLines(**(told | changed))


def test_every_line_comes_once_before_any_comes_again():
    stream = StayBatches(made(), 2, np.random.default_rng(0))
    seen = torch.cat([next(stream).days for _ in range(7)])
    assert sorted(seen.tolist()) == sorted(list(range(1, 8)) * 2)
    assert len(set(seen[:7].tolist())) == 7


def test_it_stops_and_goes_on():
    first, second = (StayBatches(made(), 3, np.random.default_rng(seed)) for seed in (0, 1))
    for _ in range(4):
        next(first)
    second.restore(first.state())
    assert all(torch.equal(next(first).days, next(second).days) for _ in range(6))
    with pytest.raises(UsageError, match="7 lines"):
        StayBatches(made(9), 3, np.random.default_rng(0)).restore(first.state())


def test_a_batch_keeps_its_lines_together():
    batch = made().batch(np.array([2, 5]))
    assert batch.days.tolist() == [3, 6] and batch.scans[1, 0, 0] == 20
    assert len(batch) == 2 and len(batch.to(torch.device("cpu"))) == 2


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(DataError, match="all are censored"):
        StayBatches(made(kind=np.zeros(7, int)), 2, np.random.default_rng(0))
    with pytest.raises(DataError, match="days holds no number"):
        made(days=np.full(7, np.nan))
    with pytest.raises(ShapeError, match="gap"):
        made(gap=np.zeros(3))
    with pytest.raises(UsageError, match="one line"):
        StayBatches(made(), 0, np.random.default_rng(0))
    with pytest.raises(ShapeError, match="P 1 or 2"):
        made(scans=np.zeros((7, 3, 2))).batch()
