"""The features that made lungs are measured on: a small network that ships, known by its name and its hash.

A distance between made and real pictures means nothing without the features it was taken on, and nothing to
anybody else unless they can have the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glasslung.errors import ShapeError, UsageError
from glasslung.predict.trained import open_trained

if TYPE_CHECKING:
    from collections.abc import Callable

SHIPPED = "realism"
METHOD = "slicenet"
LEAST_SIDE, MOST_SIDE = 32, 128  # of the pictures it learned from; what is sharp depends on the side
AT_ONCE = 64  # pictures that pass through the network together


@dataclass(frozen=True, eq=False)
class PictureReader:
    """A reader of pictures, called with images (N, S, S) in [0, 1], gives features (N, F) in (-1, 1).

    name, sha256  of the weights, to be told beside every figure that rests on them
    features      F;  S from 32 to 128
    """

    name: str
    sha256: str
    features: int
    read: Callable[[np.ndarray], np.ndarray]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, S, S) in [0, 1] -> (N, F) float32; ShapeError for pictures of another size."""
        if images.ndim != 3 or not LEAST_SIDE <= min(images.shape[1:]) <= max(images.shape[1:]) <= MOST_SIDE:
            raise ShapeError(
                f"{self.name} reads pictures (N, S, S) of {LEAST_SIDE} to {MOST_SIDE} pixels a side, got "
                f"{images.shape}; make them of another size (--size)"
            )
        parts = [self.read(images[start : start + AT_ONCE]) for start in range(0, len(images), AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, self.features), np.float32)

    def __str__(self) -> str:
        return f"{self.name} ({self.features} features, sha256 {self.sha256[:16]})"


def open_reader(which: str | Path = SHIPPED) -> PictureReader:
    """The shipped reader, or another `slicenet`'s run by its folder.

    UsageError for a run of another method; DataError where weights are missing or damaged.
    """
    from glasslung.models.slicenet import reader
    from glasslung.train.rundir import hash_input

    found = open_trained(which, _refuse_others)
    width = int(found.model.config.features)  # type: ignore[union-attr,arg-type]
    return PictureReader(found.name, hash_input(found.weights), width, reader(found.model))  # type: ignore[arg-type]


def _refuse_others(method: str) -> None:
    if method != METHOD:
        raise UsageError(f"{method} reads no features of realism; give a run of {METHOD}, or {SHIPPED!r}")
