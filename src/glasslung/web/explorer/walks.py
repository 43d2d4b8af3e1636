"""The way from one picture's code to another's, and what the pictures on it look like.

An interpolation, never a progression: a model's idea of what lies between two pictures says nothing of how a
lung changes. Where both ends carry a labelled stage of the disease the words say from which stage to which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

WAYS = ("linear", "spherical")
OPPOSITE = 1e-6  # of the cosine above -1: nearer, the great circle's direction is a matter of rounding

Decode = Callable[[np.ndarray], np.ndarray]
"""decode(codes (T, F)) -> pictures (T, S, S) in [0, 1]."""


class Walker(Protocol):
    """Whoever can show what lies between two pictures of a collection."""

    def walk(self, first: int, second: int, steps: int, way: str) -> np.ndarray:
        """Pictures (steps, S, S) uint8 along the way, the first one's and the second one's included."""


def between(first: np.ndarray, second: np.ndarray, steps: int, way: str = "linear") -> np.ndarray:
    """Codes on the way, both ends included: (F,), (F,) -> (steps, F), as `nn.walks.walk`.

    Opposite codes have no spherical way of their own: between them the way is straight.
    """
    from glasslung.nn.walks import walk

    return walk(first, second, steps, "linear" if opposite(first, second) and way in WAYS else way)


def opposite(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two codes point away from each other, within the rounding of single precision."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return lengths > 0 and float(first @ second) / lengths < -1 + OPPOSITE


class DecodedWalk:
    """Walks of a model whose code is one row of numbers."""

    def __init__(self, codes: np.ndarray, decode: Decode) -> None:
        self.codes, self.decode = codes, decode

    def walk(self, first: int, second: int, steps: int, way: str) -> np.ndarray:
        """See `Walker.walk`."""
        return as_grey(self.decode(between(self.codes[first], self.codes[second], steps, way)))


class LadderWalk:
    """Walks of a model with latents at several levels: every level goes its own way.

    levels  of each, (N, F_l) float32
    """

    def __init__(self, levels: list[np.ndarray], decode: Callable[[list[np.ndarray]], np.ndarray]) -> None:
        self.levels, self.decode = levels, decode

    def walk(self, first: int, second: int, steps: int, way: str) -> np.ndarray:
        """See `Walker.walk`."""
        return as_grey(self.decode([between(one[first], one[second], steps, way) for one in self.levels]))


def as_grey(pictures: np.ndarray) -> np.ndarray:
    """Pictures in [0, 1] of any real type -> uint8."""
    return np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
