"""Ways between two codes: where they begin, end and run."""

import numpy as np
import pytest

from glasslung.errors import UsageError
from glasslung.web.explorer.walks import DecodedWalk, LadderWalk, between

STEPS = 9


@pytest.mark.parametrize("way", ["linear", "spherical"])
def test_both_ways_begin_and_end_at_the_two(way):
    a, b = np.random.default_rng(0).normal(size=(2, 6))
    found = between(a, b, STEPS, way)
    assert np.allclose(found[0], a) and np.allclose(found[-1], b)


def test_the_spherical_way_keeps_length_and_turns_evenly():
    a, b = np.random.default_rng(1).normal(size=(2, 8))
    a, b = 3 * a / np.linalg.norm(a), 3 * b / np.linalg.norm(b)
    found = between(a, b, STEPS, "spherical")
    assert np.allclose(np.linalg.norm(found, axis=1), 3)
    turns = np.sum(found[1:] * found[:-1], 1) / 9
    assert np.allclose(turns, turns[0])
    assert np.linalg.norm(between(a, b, STEPS, "linear"), axis=1).min() < 2.9


@pytest.mark.parametrize("second", [np.array([2.0, 0, 0]), np.array([-1.0, 0, 0]), np.zeros(3)])
def test_where_no_circle_is_the_only_one_the_way_is_straight(second):
    a = np.array([1.0, 0, 0])
    found = between(a, second, STEPS, "spherical")
    assert np.isfinite(found).all()
    assert np.allclose(found, between(a, second, STEPS, "linear"))


def test_an_unknown_way_is_refused():
    with pytest.raises(UsageError, match="linear, spherical"):
        between(np.ones(2), np.zeros(2), STEPS, "crooked")


def test_walks_decode_what_lies_between():
    codes = np.array([[0.0], [1.0]])
    walk = DecodedWalk(codes, lambda code: np.repeat(code[:, :, None], 4, axis=1).repeat(4, axis=2))
    found = walk.walk(0, 1, 3, "linear")
    assert found.dtype == np.uint8
    assert found[:, 0, 0].tolist() == [0, 128, 255]
    ladder = LadderWalk([codes, 1 - codes], lambda z: (z[0] * z[1])[:, :, None])
    assert ladder.walk(0, 1, 3, "linear")[:, 0, 0].tolist() == [0, 64, 0]
