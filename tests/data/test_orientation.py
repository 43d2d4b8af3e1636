"""Upright and back, in every order that a file may keep its axes in."""

from itertools import permutations, product

import numpy as np
import pytest

from glasslung.data.orientation import from_upright, orientation_of, to_upright, upright_spacing_mm
from glasslung.types import Intensity, Volume

ORDERS = [(axes, signs) for axes in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def volume_with_axes(axes: tuple[int, ...], signs: tuple[int, ...], tilt: float = 0.0) -> Volume:
    """A volume whose array axis n runs along LPS component axes[n] with the given sign and spacing n + 1."""
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for n, (component, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[component, n] = sign * (n + 1.0)
    affine[:3, :3] += tilt
    voxels = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    return Volume(voxels, affine, Intensity.HU)


@pytest.mark.parametrize(("axes", "signs"), ORDERS)
@pytest.mark.parametrize("tilt", [0.0, 0.12])
def test_upright_axes_grow_to_head_back_and_left(axes, signs, tilt):
    volume = volume_with_axes(axes, signs, tilt)
    orientation = orientation_of(volume)
    upright = to_upright(volume.voxels, orientation)
    for n, component in enumerate((2, 1, 0)):
        step = np.zeros(3, dtype=int)
        step[n] = 1
        here, there = upright[1, 1, 1], upright[tuple(np.array([1, 1, 1]) + step)]
        move = position(volume, there) - position(volume, here)
        assert move[component] > 0
        assert abs(move[component]) == max(abs(move))
    assert np.array_equal(from_upright(upright, orientation), volume.voxels)


def position(volume: Volume, value: int) -> np.ndarray:
    """Where the voxel that holds this (unique) value lies, mm LPS."""
    index = np.argwhere(volume.voxels == value)[0]
    return (volume.affine @ np.append(index, 1.0))[:3]


def test_spacing_follows_the_axes():
    volume = volume_with_axes((0, 2, 1), (1, -1, 1))  # array axes along x, z, y with spacing 1, 2, 3
    assert upright_spacing_mm(volume, orientation_of(volume)) == pytest.approx((2.0, 3.0, 1.0))
