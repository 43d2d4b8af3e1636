"""Walks whose load rises, stays, wavers and falls."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import ShapeError
from glasslung.measure.monotony import measure_monotony


def walks(shares: np.ndarray) -> np.ndarray:
    """Lungs of 10 x 10 pixels, of which a share is dense: (W, T) -> (W, T, 12, 12)."""
    out = np.zeros((*shares.shape, 12, 12))
    for at in np.ndindex(shares.shape):
        lung = np.full(100, 0.3)
        lung[: round(100 * shares[at])] = 0.9
        out[at][1:11, 1:11] = lung.reshape(10, 10)
    return out


def measured(shares):
    return measure_monotony(walks(np.array(shares)), rng=np.random.default_rng(0), draws=200)


def test_rising_walks_may_be_called_a_progression():
    found = measured([np.linspace(0.0, s, 6) for s in (0.2, 0.3, 0.4, 0.5, 0.6)])
    assert found.rising.value == 1 and found.rank.value == pytest.approx(1)
    assert found.change.value == pytest.approx(0.4) and found.may_be_called_progression
    assert found.loads[1] == pytest.approx(np.linspace(0, 0.3, 6), abs=0.006)


def test_wavering_and_falling_ones_may_not():
    falling = measured([np.linspace(s, 0.0, 6) for s in (0.2, 0.3, 0.4, 0.5)])
    assert falling.rising.value == 0 and falling.rank.value == pytest.approx(-1)
    wavering = measured([[0.1, 0.3, 0.1, 0.3, 0.2]] * 5)
    assert not falling.may_be_called_progression and not wavering.may_be_called_progression
    still = measured([[0.2] * 4] * 4)
    assert still.rising.value == 1 and still.rank.value == 0 and not still.may_be_called_progression


def test_walks_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="W 2"):
        measure_monotony(np.zeros((1, 5, 8, 8)), rng=np.random.default_rng(0))
