"""Streams of exams: endless, balanced over the label, exact to stop and go on.

Of a scan in training some slices are drawn, evenly over its length with jitter, so that a scan of 300 slices
costs as much as one of 60 and every slice is seen in time. A scan that is asked, not trained on, is shown
with all its slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.exams import Exam, ExamSet
from glasslung.data.examviews import ExamViews, changed
from glasslung.errors import DataError, UsageError

if TYPE_CHECKING:
    from glasslung.nn.batches import ExamBatch, SideBatch

MOST_SLICES = 96  # of a scan that is asked; 3 mm apart they span 288 mm, longer than most lungs
TRAINED_SLICES = 16  # of a scan in a training batch: 3 mm slices of one lung repeat each other


def shown_slices(exam: Exam, most: int | None = MOST_SLICES) -> np.ndarray:
    """Which slices of an exam are shown, evenly thinned out beyond `most`; (K,) int64.

    Those with lung where the rest is black, else all. DataError where no slice shows lung.
    """
    rows = exam.told_slices
    if not rows.size:
        raise DataError("no slice of this exam shows lung; there is nothing to classify")
    if most is None or len(rows) <= most:
        return rows
    if most < 1:
        raise UsageError(f"at least one slice of a scan must be shown, got {most}")
    return rows[((np.arange(most) + 0.5) * len(rows) / most).astype(np.int64)]


def whole(exam: Exam, most: int | None = MOST_SLICES, label: int = -1) -> ExamBatch:
    """All slices of one scan that tell something, as a batch of one; beyond `most` evenly thinned out.

    `shown_slices` says which they are, and `on_all_slices` brings maps of them back to all slices.
    """
    return batch_of([exam], [label], [shown_slices(exam, most)])


def on_all_slices(maps: np.ndarray, shown: np.ndarray, slices: int) -> np.ndarray:
    """Maps (K, H, W) of the shown slices -> (slices, H, W): zero outside them, between two the nearer one's.

    A slice between two shown ones is one that was thinned out; beyond the first and last there is no lung.
    """
    if len(maps) != len(shown) or (len(shown) and not 0 <= shown[0] <= shown[-1] < slices):
        raise UsageError(f"{len(maps)} maps for {len(shown)} shown slices of {slices}; give one for each")
    out = np.zeros((slices, *maps.shape[1:]), np.float32)
    if not len(shown):
        return out
    between = np.arange(shown[0], shown[-1] + 1)
    after = np.searchsorted(shown, between).clip(1, max(len(shown) - 1, 1))
    after = np.minimum(after, len(shown) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(between - shown[before] <= shown[after] - between, before, after)
    out[between] = maps[nearer]
    return out


def batch_of(exams: Sequence[Exam], labels: Sequence[int], rows: Sequence[np.ndarray]) -> ExamBatch:
    """Some exams as a batch, each with the slices `rows` names."""
    import torch

    from glasslung.nn.batches import ExamBatch

    image = np.concatenate([exam.image[some] for exam, some in zip(exams, rows, strict=True)])
    lesion = np.concatenate([exam.lesions[some] > 0 for exam, some in zip(exams, rows, strict=True)])
    scan = np.repeat(np.arange(len(exams)), [len(some) for some in rows])
    return ExamBatch(
        torch.from_numpy(image.astype(np.float32)[:, None] / np.float32(255)),
        torch.from_numpy(lesion.astype(np.float32)[:, None]),
        torch.from_numpy(scan),
        torch.tensor(list(labels), dtype=torch.int64),
    )


class _Balanced:
    """Rows of an ExamSet, as many of each label, each row of a label once before any comes again."""

    def __init__(self, exams: ExamSet, each: int, rng: np.random.Generator, views: ExamViews | None) -> None:
        if each < 1:
            raise UsageError("a batch needs one scan of each label at least")
        known = exams.labelled()
        self.exams, self.each, self.rng, self.views = known, each, rng, views
        self.shown = [shown_slices(exam, None) for exam in known.exams]
        self.rows = {label: np.flatnonzero(known.label == label) for label in (0, 1)}
        self.left: dict[int, list[int]] = {0: [], 1: []}

    def _draw(self) -> list[int]:
        drawn: list[int] = []
        for label, rows in self.rows.items():
            taken: list[int] = []
            while len(taken) < self.each:
                if not self.left[label]:
                    self.left[label] = self.rng.permutation(rows).tolist()
                take = self.each - len(taken)
                taken += self.left[label][:take]
                self.left[label] = self.left[label][take:]
            drawn += taken
        return drawn

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        left = {str(label): rows for label, rows in self.left.items()}
        return {
            "rng": self.rng.bit_generator.state,
            "left": left,
            "scans": len(self.exams),
            "each": self.each,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of the same scans."""
        if state["scans"] != len(self.exams) or state["each"] != self.each:
            raise UsageError(
                f"the run was fed {state['each']} each of {state['scans']} scans, now {self.each} each of "
                f"{len(self.exams)}; give the same cohort"
            )
        self.rng.bit_generator.state = state["rng"]
        self.left = {int(label): list(rows) for label, rows in state["left"].items()}


class ExamBatches(_Balanced):
    """Endless batches of whole scans, half of them with the disease; stops and goes on exactly.

    exams   scans of unknown label are left out; DataError where one label is missing
    each    scans of each label in a batch
    slices  of a scan at most; drawn anew each time
    views   other looks of the same lungs; None shows them as they are
    """

    def __init__(
        self,
        exams: ExamSet,
        each: int,
        rng: np.random.Generator,
        slices: int = TRAINED_SLICES,
        views: ExamViews | None = None,
    ) -> None:
        if slices < 1:
            raise UsageError("a scan in a batch needs one slice at least")
        super().__init__(exams, each, rng, views)
        self.slices = slices

    def __iter__(self) -> ExamBatches:
        return self

    def __next__(self) -> ExamBatch:
        """The next batch: scans without the disease, then scans with it."""
        rows = self._draw()
        chosen = [self._slices(row) for row in rows]
        exams = [self.exams.exams[row] for row in rows]
        if self.views is not None:
            exams = [
                changed(exam, some, self.views, self.rng) for exam, some in zip(exams, chosen, strict=True)
            ]
            chosen = [np.arange(len(exam)) for exam in exams]
        return batch_of(exams, self.exams.label[rows].tolist(), chosen)

    def _slices(self, row: int) -> np.ndarray:
        """One slice out of each of `slices` equal parts of the lungs; all where there are no more."""
        shown = self.shown[row]
        if len(shown) <= self.slices:
            return shown
        edges = np.linspace(0, len(shown), self.slices + 1)
        drawn = edges[:-1] + self.rng.random(self.slices) * np.diff(edges)
        return shown[np.minimum(drawn.astype(np.int64), len(shown) - 1)]


class SideBatches(_Balanced):
    """Endless batches of single slices with their lesions, half of them from scans with the disease.

    A slice is drawn from the lungs of a scan, each scan of a label once before any comes again; it carries
    the label of its scan, whether or not it shows the disease.
    """

    def __iter__(self) -> SideBatches:
        return self

    def __init__(
        self, exams: ExamSet, each: int, rng: np.random.Generator, views: ExamViews | None = None
    ) -> None:
        super().__init__(exams, each, rng, views)

    def __next__(self) -> SideBatch:
        """The next batch: slices of scans without the disease, then with it."""
        from glasslung.nn.batches import SideBatch

        rows = self._draw()
        chosen = [self.rng.choice(self.shown[row], 1) for row in rows]
        exams = [self.exams.exams[row] for row in rows]
        if self.views is not None:
            exams = [
                changed(exam, some, self.views, self.rng) for exam, some in zip(exams, chosen, strict=True)
            ]
            chosen = [np.arange(1) for _ in exams]
        batch = batch_of(exams, self.exams.label[rows].tolist(), chosen)
        return SideBatch(batch.image, batch.lesion, batch.label)
