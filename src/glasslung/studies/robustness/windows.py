"""Which windows a classifier is asked through: none moved, level alone, width alone, and draws of both.

The COVID3D paper gives its AUCs with the spread over 100 random windows within one standard deviation, and
does not say of how many HU. Here level and width are each drawn from a normal law of 50 and of 100 HU, the
same windows for every scan, as another scanner's habit would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import UsageError
from glasslung.predict.windowed import draw_windows, shifted

LEVEL, WIDTH, DRAWN = "level", "width", "drawn"


@dataclass(frozen=True)
class RobustnessPlan:
    """Which windows a classifier is asked through."""

    draws: int = 100  # as the paper
    deviations: tuple[float, ...] = (50.0, 100.0)  # HU; the paper does not say, these span what it may mean
    level: tuple[float, ...] = (-300, -200, -100, -50, 0, 50, 100, 200, 300)
    """HU: from a display that hides ground glass to one that drowns it."""
    width: tuple[float, ...] = (-600, -400, -200, -100, 0, 100, 200, 400, 600)
    """HU: about the presets for lungs there are, 800 to 2000."""
    resamples: int = 2000  # of patients
    seed: int = 0
    drawn_masks: bool = False  # lungs and lesions that the table names; else those the product finds
    scans: int | None = None  # at most so many, both labels as evenly as may be; None: all

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise UsageError(f"a spread needs two windows or more (--draws), got {self.draws}")
        if self.resamples < 1:
            raise UsageError(f"an interval needs one resample or more, got {self.resamples}")
        if not self.deviations or len(set(self.deviations)) < len(self.deviations):
            raise UsageError(f"--sd needs one number or more, none of them twice, got {self.deviations}")
        if min(self.deviations) <= 0:
            raise UsageError(f"--sd: a standard deviation is above 0 HU, got {min(self.deviations):g}")
        if 0 not in self.level or 0 not in self.width:
            raise UsageError("the curves must hold 0, where nothing is shifted")
        if self.scans is not None and self.scans < 4:
            raise UsageError(f"--scans: two of each label are the least, got {self.scans}")


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of a plan: kind (K,) and shifts (K, 2) of level and width in HU; the first is no shift."""

    kinds: tuple[str, ...]
    shifts: np.ndarray

    def rows(self, kind: str) -> np.ndarray:
        """Where the windows of a kind stand; those of a curve with the one of no shift, by amount."""
        rows = [row for row, one in enumerate(self.kinds) if one == kind]
        if kind not in (LEVEL, WIDTH):
            return np.array(rows)
        rows = [0, *rows]
        along = self.shifts[rows, (LEVEL, WIDTH).index(kind)]
        return np.array(rows)[np.argsort(along, kind="stable")]


def plan_windows(plan: RobustnessPlan, window_hu: tuple[float, float]) -> Windows:
    """No shift, both curves, and the draws of every deviation; UsageError for an impossible window."""
    kinds, shifts = ["centre"], [np.zeros((1, 2))]
    for axis, (kind, amounts) in enumerate(((LEVEL, plan.level), (WIDTH, plan.width))):
        moved = [amount for amount in amounts if amount != 0]
        rows = np.zeros((len(moved), 2))
        rows[:, axis] = moved
        kinds += [kind] * len(moved)
        shifts.append(rows)
    for deviation in plan.deviations:
        rng = np.random.default_rng([plan.seed, round(deviation * 1000)])
        kinds += [drawn_kind(deviation)] * plan.draws
        shifts.append(draw_windows(plan.draws, deviation, window_hu, rng))
    found = Windows(tuple(kinds), np.concatenate(shifts))
    for level, width in found.shifts:
        shifted(window_hu, float(level), float(width))
    return found


def drawn_kind(deviation: float) -> str:
    """The name of the draws of one deviation."""
    return f"{DRAWN} {deviation:g}"
