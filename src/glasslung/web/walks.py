"""The way from one picture's code to another's, and what the pictures on it look like.

An interpolation, never a progression: a model's idea of what lies between two pictures says nothing of how a
lung changes. Where both ends carry a labelled stage of the disease the words say from which stage to which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from glasslung.errors import UsageError

WAYS = ("linear", "spherical")
NEARLY_PARALLEL = 1e-4  # radians: below, both ways are the same and the spherical one divides by nothing

Decode = Callable[[np.ndarray], np.ndarray]
"""decode(codes (T, F)) -> pictures (T, S, S) in [0, 1]."""


class Walker(Protocol):
    """Whoever can show what lies between two pictures of a collection."""

    def walk(self, first: int, second: int, shares: np.ndarray, way: str) -> np.ndarray:
        """Pictures (T, S, S) uint8 at shares (T,) of the way, 0 the first and 1 the second."""


def between(first: np.ndarray, second: np.ndarray, shares: np.ndarray, way: str = "linear") -> np.ndarray:
    """Codes on the way: first, second (F,), shares (T,) 0 to 1 -> (T, F).

    linear     first + share (second - first)
    spherical  along the great circle between their directions, the length changing evenly; codes of a
               Gaussian prior keep the length that such codes have. White, arXiv 1609.04468. Codes that point
               the same way, or opposite ways, or have no length leave no single great circle: then linear.
    """
    if way not in WAYS:
        raise UsageError(f"there is no way {way!r}; there are {', '.join(WAYS)}")
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    share = np.asarray(shares, np.float64)[:, None]
    straight = (1 - share) * first + share * second
    lengths = np.linalg.norm(first), np.linalg.norm(second)
    if way == "linear" or min(lengths) == 0:
        return straight
    a, b = first / lengths[0], second / lengths[1]
    angle = np.arccos(np.clip(a @ b, -1, 1))
    if angle < NEARLY_PARALLEL or angle > np.pi - NEARLY_PARALLEL:
        return straight
    direction = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    along: np.ndarray = direction * ((1 - share) * lengths[0] + share * lengths[1])
    return along


class DecodedWalk:
    """Walks of a model whose code is one row of numbers."""

    def __init__(self, codes: np.ndarray, decode: Decode) -> None:
        self.codes, self.decode = codes, decode

    def walk(self, first: int, second: int, shares: np.ndarray, way: str) -> np.ndarray:
        """See `Walker.walk`."""
        return as_grey(self.decode(between(self.codes[first], self.codes[second], shares, way)))


class LadderWalk:
    """Walks of a model with latents at several levels: every level goes its own way.

    levels  of each, (N, F_l) float32
    """

    def __init__(self, levels: list[np.ndarray], decode: Callable[[list[np.ndarray]], np.ndarray]) -> None:
        self.levels, self.decode = levels, decode

    def walk(self, first: int, second: int, shares: np.ndarray, way: str) -> np.ndarray:
        """See `Walker.walk`."""
        return as_grey(self.decode([between(one[first], one[second], shares, way) for one in self.levels]))


def as_grey(pictures: np.ndarray) -> np.ndarray:
    """Pictures in [0, 1] of any real type -> uint8."""
    return np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
