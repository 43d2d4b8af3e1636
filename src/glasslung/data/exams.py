"""A scan as a classifier sees it: upright slices, framed as its `Frame` says, lungs and lesions beside them.

One exam serves every classifier and every explanation: what is computed on it comes back to the scan's grid
by its `grid`. An `ExamSet` is the exams of a cohort with what is known of each scan, in memory; `examstore`
keeps it in a folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np

from glasslung.data.boxgrid import BoxGrid, Triple
from glasslung.data.sliceviews import View
from glasslung.errors import DataError, ShapeError
from glasslung.types import Intensity

Edge = Literal["lungs", "body"]


@dataclass(frozen=True)
class Frame:
    """How a scan is cut and shown to a classifier.

    name       by which operating.json keeps it
    window_hu  what is black and what is white, HU; of plain pictures nobody knows the window
    slice_mm   thinner slices are averaged to it, thicker ones stay
    box        around what the square is drawn, and which slices it spans: the lungs, or all of the body
    masked     whether everything outside the lungs is black, and slices without lung are left out
    """

    name: str
    window_hu: tuple[float, float]
    slice_mm: float
    box: Edge
    masked: bool


LUNGS = Frame("lungs", (-1000.0, 400.0), 3.0, "lungs", True)
"""The diagnosis paper's, and what every classifier reads that does not ask for another."""
BODY = Frame("body", (-1350.0, 150.0), 2.0, "body", False)
"""Of COVID3D, which segments no lungs: level -600 HU, width 1500, the whole scan."""
FRAMES = {frame.name: frame for frame in (LUNGS, BODY)}

POSITIVE = "covid"
"""The word of the table that counts as the disease; any other word counts as not having it."""


@dataclass(frozen=True, eq=False)
class Exam:
    """One scan, ready to be classified.

    image       (S, H, W) uint8: 0 the low end of the window, or outside the lungs where they are all that is
                shown; 255 its high end
    lungs       (S, H, W) uint8, labels of `Lung`
    lesions     (S, H, W) uint8, labels of `Lesion`; 0 outside the lungs
    spacing_mm  (z, y, x) of these slices, upright; a convention for pictures of unknown size
    grid        where in the upright scan they lie; the box may reach beyond the scan (start below 0), where
                the exam is black
    intensity   what the scan's grey values were
    view        how plain pictures lay; the slices here are turned upright, the box is not
    frame       how it was cut
    """

    image: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray
    spacing_mm: Triple
    grid: BoxGrid
    intensity: Intensity
    view: View = View.UPRIGHT
    frame: Frame = LUNGS

    def __post_init__(self) -> None:
        shape = self.image.shape
        if len(shape) != 3 or 0 in shape:
            raise ShapeError(f"an exam needs slices (S, H, W), got {shape}")
        for name in ("image", "lungs", "lesions"):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.uint8:
                raise ShapeError(
                    f"an exam's {name} must be {shape} of uint8, got {array.shape} {array.dtype}"
                )

    def __len__(self) -> int:
        return len(self.image)

    @property
    def size(self) -> int:
        """Side of its square slices, pixels."""
        return int(self.image.shape[-1])

    @property
    def lung_slices(self) -> np.ndarray:
        """The slices that show lung, rising: (K,) int64."""
        return np.flatnonzero(self.lungs.any(axis=(1, 2)))

    @property
    def told_slices(self) -> np.ndarray:
        """The slices that tell something, rising: (K,) int64. In a masked frame the others are black."""
        return self.lung_slices if self.frame.masked else np.arange(len(self))


@dataclass(frozen=True, eq=False)
class ExamSet:
    """The exams of a cohort, one aligned line per field, N scans.

    exams     one per scan, all of one slice size
    label     (N,) int64: 1 has the disease, 0 has not, -1 unknown
    words     what the table calls it: 'covid', 'bacterial', 'healthy', ...; '' unknown
    patients, sites, scans, split   as in the table; '' where it does not say
    extra     further columns as text, by name
    """

    exams: tuple[Exam, ...]
    label: np.ndarray
    words: tuple[str, ...]
    patients: tuple[str, ...]
    sites: tuple[str, ...]
    scans: tuple[str, ...]
    split: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.exams)
        lines = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("extra",)}
        for name, line in {**lines, **self.extra}.items():
            if len(line) != count:
                raise ShapeError(f"{count} exams need as many {name}, got {len(line)}")
        sizes = sorted({exam.image.shape[1:] for exam in self.exams})
        if len(sizes) > 1 or any(height != width for height, width in sizes):
            raise ShapeError(f"exams of a set have square slices of one size, got {sizes[:3]}")

    def __len__(self) -> int:
        return len(self.exams)

    @property
    def size(self) -> int:
        """Side of the slices, pixels; DataError of an empty set."""
        if not self.exams:
            raise DataError("there is no exam in this set; read a cohort with at least one scan")
        return self.exams[0].size

    def take(self, rows: Sequence[int] | np.ndarray) -> ExamSet:
        """The exams of these rows, in this order."""
        chosen = np.asarray(rows, dtype=np.int64)

        def of(line: Sequence[str]) -> tuple[str, ...]:
            return tuple(line[row] for row in chosen)

        return ExamSet(
            tuple(self.exams[row] for row in chosen),
            self.label[chosen],
            of(self.words),
            of(self.patients),
            of(self.sites),
            of(self.scans),
            of(self.split),
            {name: of(line) for name, line in self.extra.items()},
        )

    def part(self, split: str) -> ExamSet:
        """The exams of one split; DataError names the splits there are."""
        rows = [row for row, one in enumerate(self.split) if one == split]
        if not rows:
            there = sorted(set(self.split) - {""})
            raise DataError(f"no exam is in split {split!r}; there is {there or 'no split at all'}")
        return self.take(rows)

    def labelled(self) -> ExamSet:
        """The exams whose label is known, both kinds; DataError where there are not both."""
        known = self.take(np.flatnonzero(self.label >= 0))
        kinds = set(known.label.tolist())
        if kinds != {0, 1}:
            words = ", ".join(sorted(set(known.words))) or "none"
            raise DataError(
                f"a classifier needs scans with {POSITIVE!r} and scans without in the column label; the "
                f"labels here are: {words}"
            )
        return known


def label_of(word: str) -> int:
    """1 where the table's word is the disease, 0 for any other word, -1 for none."""
    return -1 if not word else int(word == POSITIVE)


def join_exams(first: ExamSet, second: ExamSet) -> ExamSet:
    """Both sets, one after the other; an extra column that one has not is '' there."""
    names = sorted({*first.extra, *second.extra})
    extra = {
        name: tuple(value for one in (first, second) for value in one.extra.get(name, ("",) * len(one)))
        for name in names
    }
    return ExamSet(
        first.exams + second.exams,
        np.concatenate([first.label, second.label]),
        first.words + second.words,
        first.patients + second.patients,
        first.sites + second.sites,
        first.scans + second.scans,
        first.split + second.split,
        extra,
    )
