"""How far a scan lies from those a classifier learned from, in the numbers its answer rests on.

The distance is Mahalanobis' in the directions along which the training scans differ most, and how much of a
scan lies off these directions, each in the training scans' own spread. What is kept is a mean and a few
directions: no scan of the training can be told from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, ShapeError

MOST_DIRECTIONS = 16  # along more, a hundred training scans tell no spread
SHARE = 0.95  # of the variance, which the directions are to hold together
LEAST_SCANS = 3


@dataclass(frozen=True, eq=False)
class Familiar:
    """What is kept of the training scans.

    mean        (F,) of their features
    directions  (F, k) orthonormal, k may be 0
    spreads     (k,) standard deviation along each
    rest        root mean square of what lies off the directions
    distances   (n,) of the validation scans, rising
    """

    mean: np.ndarray
    directions: np.ndarray
    spreads: np.ndarray
    rest: float
    distances: np.ndarray

    def distance(self, features: np.ndarray) -> float:
        """How far features (F,) lie from the training scans: about 1 for one of them."""
        if features.shape != self.mean.shape:
            raise ShapeError(f"features must be {self.mean.shape}, got {features.shape}")
        off = features.astype(np.float64) - self.mean
        along = off @ self.directions
        left = float(np.linalg.norm(off - self.directions @ along)) / self.rest
        inside = float(np.mean((along / self.spreads) ** 2)) if along.size else 0.0
        return float(np.sqrt((inside + left**2) / (1 + bool(along.size))))

    def percentile(self, features: np.ndarray) -> float:
        """The per cent of the validation scans that lie nearer, 0 to 100."""
        nearer = np.searchsorted(self.distances, self.distance(features), side="left")
        return 100.0 * float(nearer) / len(self.distances)

    def tensors(self) -> dict[str, np.ndarray]:
        """What `read_familiar` reads again: the contents of operating.safetensors."""
        return {
            "mean": self.mean.astype(np.float32),
            "directions": np.ascontiguousarray(self.directions, np.float32),
            "spreads": self.spreads.astype(np.float32),
            "rest": np.array([self.rest], np.float32),
            "distances": self.distances.astype(np.float32),
        }


def fit_familiar(training: np.ndarray, validation: np.ndarray) -> Familiar:
    """From features of the training scans (N, F) and of the validation scans (M, F); DataError for too few.

    The spread off the directions is that of the validation scans: of a few training scans in many dimensions
    hardly anything lies off their own directions.
    """
    if len(training) < LEAST_SCANS or not len(validation):
        raise DataError(
            f"{len(training)} training and {len(validation)} validation scans tell no distance; "
            f"give {LEAST_SCANS} and 1 at least"
        )
    mean = training.mean(0, dtype=np.float64)
    off = training - mean
    _, values, rows = np.linalg.svd(off, full_matrices=False)
    spreads = values / np.sqrt(len(training) - 1)
    held = np.cumsum(spreads**2) / max(float(np.sum(spreads**2)), 1e-30)
    count = min(MOST_DIRECTIONS, int(np.searchsorted(held, SHARE)) + 1, len(training) // 2)
    count = int(np.count_nonzero(spreads[:count] > 1e-9 * max(spreads[0], 1e-30)))
    directions = rows[:count].T
    beside = validation - mean
    left = beside - (beside @ directions) @ directions.T
    rest = max(float(np.sqrt(np.mean(np.sum(left**2, axis=1)))), 1e-12)
    known = Familiar(mean, directions, spreads[:count], rest, np.zeros(1))
    distances = np.sort([known.distance(one) for one in validation])
    return Familiar(mean, directions, spreads[:count], rest, distances)


def read_familiar(kept: Mapping[str, Any], name: str) -> Familiar:
    """Back from `Familiar.tensors`; DataError where parts are missing or do not fit."""
    try:
        mean, directions, spreads, rest, distances = (
            np.asarray(kept[part], np.float64)
            for part in ("mean", "directions", "spreads", "rest", "distances")
        )
        fits = (
            mean.ndim == 1
            and directions.shape == (len(mean), len(spreads))
            and rest.size == 1
            and distances.ndim == 1
            and len(distances) > 0
            and (np.diff(distances) >= 0).all()
            and (spreads > 0).all()
            and rest.item() > 0
            and all(np.isfinite(part).all() for part in (mean, directions, distances))
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise DataError(f"{name} is damaged: its distances cannot be read ({problem}); train anew") from None
    if not fits:
        raise DataError(f"{name} is damaged: its distances do not fit each other; train anew")
    return Familiar(mean, directions, spreads, rest.item(), distances)
