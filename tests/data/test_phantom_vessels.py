"""Trees that fill the lungs, random fields, and the shapes that chests are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.phantom.anatomy import Frame
from glasslung.data.phantom.grid import Grid, index_range
from glasslung.data.phantom.scanner import SITES, average_slices, noise
from glasslung.data.phantom.shapes import Ball, Tube
from glasslung.data.phantom.texture import LATTICE_NODES, _nodes, field
from glasslung.data.phantom.vessels import Tree, fill_share, grow


def box(n: int = 24, step: float = 1.0) -> Frame:
    line = (np.arange(n) * step).astype(np.float32)
    return Frame(line[:, None, None], line[None, :, None], line[None, None, :], step, step, step)


def cloud(n: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (n, 3)).astype(np.float32)
    return points, (points[:, 2] > 50).astype(np.int64), np.array([[50, 50, 0], [50, 50, 100]], np.float32)


def test_a_tree_reaches_every_point_and_hangs_together() -> None:
    points, root, roots = cloud()
    tree = grow(points, root, roots, seed=1)
    last = tree.end[tree.points == 1]
    gaps = np.linalg.norm(points[:, None] - last[None], axis=2).min(axis=1)
    assert (tree.points == 1).sum() == len(points)
    assert gaps.max() < 12
    ends = np.concatenate([tree.end, roots])
    assert np.linalg.norm(tree.start[:, None] - ends[None], axis=2).min(axis=1).max() < 1e-3
    assert tree.radius.max() == tree.radius[np.argmax(tree.points)]


def test_a_band_of_a_tree_is_a_part_of_the_whole_tree() -> None:
    points, root, roots = cloud()
    whole, band = grow(points, root, roots, seed=3), grow(points, root, roots, seed=3, band=(40.0, 45.0))
    there = {tuple(np.round(row, 3)) for row in np.hstack([whole.start, whole.end])}
    assert {tuple(np.round(row, 3)) for row in np.hstack([band.start, band.end])} <= there
    crossing = (np.maximum(whole.start[:, 0], whole.end[:, 0]) > 40) & (
        np.minimum(whole.start[:, 0], whole.end[:, 0]) < 45
    )
    kept = {tuple(np.round(row, 3)) for row in np.hstack([band.start, band.end])}
    assert {tuple(np.round(row, 3)) for row in np.hstack([whole.start, whole.end])[crossing]} <= kept
    assert len(band.radius) < len(whole.radius)


@pytest.mark.parametrize("radius", [0.4, 1.0, 3.0])
def test_a_drawn_vessel_takes_up_its_own_volume(radius: float) -> None:
    start, end = np.array([[6.3, 5.1, 7.2]], np.float32), np.array([[16.0, 17.5, 15.9]], np.float32)
    tree = Tree(start, end, np.array([radius], np.float32), np.array([1]))
    share = fill_share(tree, box())
    volume = np.pi * radius**2 * np.linalg.norm(end - start)
    assert share.sum() == pytest.approx(volume, rel=0.12)
    assert 0 <= share.min() <= share.max() <= 1


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=6, max_size=6), st.floats(0.5, 9), st.floats(0.5, 9))
def test_distance_to_a_tube_equals_its_definition(ends: list[float], first: float, second: float) -> None:
    a, b = np.array(ends[:3]), np.array(ends[3:])
    tube = Tube(tuple(a), tuple(b), first, second)
    point = np.array([3.0, 7.0, 11.0])
    along = b - a
    t = np.clip((point - a) @ along / max(along @ along, 1e-6), 0, 1)
    slow = np.linalg.norm(point - a - t * along) - (first + t * (second - first))
    assert tube.distance(box())[3, 7, 11] == pytest.approx(slow, abs=2e-2)


def test_a_ball_is_negative_inside_and_zero_on_its_surface() -> None:
    ball = Ball((10, 10, 10), (6, 4, 5))
    distance = ball.distance(box())
    assert distance[10, 10, 11] < 0 < distance[10, 20, 10]
    for place in ((16, 10, 10), (10, 14, 10), (10, 10, 15)):
        assert distance[place] == pytest.approx(0, abs=1e-4)


def test_a_field_belongs_to_a_place_and_not_to_a_grid() -> None:
    made = field((1, 2), 6.0)
    z, y, x = (np.arange(n, dtype=np.float32) for n in (20, 30, 40))
    whole, part = made.on(z, y, x), made.on(z[5:9], y[::2], x[::-1])
    assert np.allclose(whole[5:9, ::2, ::-1], part, atol=1e-5)


def test_a_field_equals_the_spline_it_is_defined_as() -> None:
    made, at = field((4, 4), 5.0), (12.3, -7.7, 31.9)
    fast = made.on(*(np.array([value], np.float32) for value in at))[0, 0, 0]
    nodes, slow = _nodes((4, 4)), 0.0
    cells = [np.arange(int(np.floor(value / 5.0)) - 1, int(np.floor(value / 5.0)) + 3) for value in at]

    def bump(t: float) -> float:
        t = abs(t)
        return (4 - 6 * t**2 + 3 * t**3) / 6 if t < 1 else (2 - t) ** 3 / 6 if t < 2 else 0.0

    for i in cells[0]:
        for j in cells[1]:
            for k in cells[2]:
                weight = bump(at[0] / 5 - i) * bump(at[1] / 5 - j) * bump(at[2] / 5 - k)
                slow += weight * nodes[i % LATTICE_NODES, j % LATTICE_NODES, k % LATTICE_NODES]
    assert fast == pytest.approx(slow, abs=1e-3)


def test_a_field_has_mean_nought_and_deviation_one() -> None:
    line = np.arange(0, 150, 1.7, dtype=np.float32)
    sample = field((9,), 4.0).on(line, line, line)
    assert sample.mean() == pytest.approx(0, abs=0.05)
    assert sample.std() == pytest.approx(1, abs=0.05)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=2), st.booleans())
def test_index_ranges_hold_exactly_the_positions_inside(ends: list[float], falling: bool) -> None:
    axis = np.arange(-20, 21, 3.0)
    axis = axis[::-1] if falling else axis
    low, high = sorted(ends)
    part = index_range(axis, low, high)
    assert sorted(axis[part]) == [v for v in sorted(axis) if low <= v <= high]


def test_noise_has_the_loudness_its_site_states() -> None:
    grid = Grid((4, 128, 128), (0.0, -180.0, -190.0), (3.2, 3.0, 3.0))
    for site in SITES.values():
        made = noise((1, 2, 3), range(4), grid, site)
        middle = made[:, 50:78, 50:78]
        wanted = site.noise_hu * np.sqrt(3.2 / max(3.2, site.thickness_mm))
        assert middle.std() == pytest.approx(wanted, rel=0.25)
        assert np.array_equal(noise((1, 2, 3), range(2, 4), grid, site), made[2:])


def test_thick_slices_are_means_of_their_neighbours() -> None:
    stack = np.zeros((9, 2, 2), np.float32)
    stack[4] = 90
    thick = average_slices(stack, 1.0, 3.0)
    assert thick[:, 0, 0].sum() == pytest.approx(90)
    assert thick[3:6, 0, 0] == pytest.approx([30, 30, 30])
    assert average_slices(stack, 1.0, 1.0) is stack
