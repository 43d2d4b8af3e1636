"""Upright: any scan seen the same way, whatever order its file keeps its axes in.

An upright array has the axes (z, y, x) with
    z  from the feet to the head      (LPS Superior grows)
    y  from the front to the back     (LPS Posterior grows)
    x  from the patient's right to the patient's left (LPS Left grows)
so that `upright[z]` drawn as a picture is the radiologist's axial view: front at the top, the patient's
right on the picture's left. Only axes are swapped and flipped; no voxel is interpolated, and the way back
is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from glasslung.types import Volume

# Upright axes (z, y, x) follow the LPS components (2, 1, 0), each growing.
_LPS_COMPONENT = (2, 1, 0)


@dataclass(frozen=True)
class Orientation:
    """How a file's axes map to upright ones: upright axis n is axis `axes[n]`, reversed if `flips[n]`."""

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


def orientation_of(volume: Volume) -> Orientation:
    """How the scan's axes must be swapped and flipped to stand upright.

    Oblique and tilted stacks get the nearest upright order: the assignment of axes that has the largest
    sum of direction cosines.
    """
    cosines = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    along = cosines[list(_LPS_COMPONENT), :]  # (upright axis, file axis)
    a, b, c = max(permutations(range(3)), key=lambda p: sum(abs(along[n, p[n]]) for n in range(3)))
    return Orientation((a, b, c), (bool(along[0, a] < 0), bool(along[1, b] < 0), bool(along[2, c] < 0)))


def to_upright(array: np.ndarray, orientation: Orientation) -> np.ndarray:
    """(D, H, W) in file order -> (Z, Y, X) upright, a view: nothing is copied."""
    turned = np.transpose(array, orientation.axes)
    return turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in orientation.flips)]


def from_upright(array: np.ndarray, orientation: Orientation) -> np.ndarray:
    """(Z, Y, X) upright -> (D, H, W) in file order: the exact inverse of `to_upright`, a view."""
    unflipped = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in orientation.flips)]
    return np.transpose(unflipped, np.argsort(orientation.axes))


def upright_spacing_mm(volume: Volume, orientation: Orientation) -> tuple[float, float, float]:
    """Distance between neighbouring voxels along upright (z, y, x), mm."""
    z, y, x = (volume.spacing_mm[axis] for axis in orientation.axes)
    return z, y, x
