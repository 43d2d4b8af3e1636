"""Streams of stays: endless batches of scans with what came after each, exact to stop and go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError

if TYPE_CHECKING:
    from glasslung.nn.batches import StayBatch


@dataclass(frozen=True, eq=False)
class StayLines:
    """N lines to learn from, aligned; see `nn.batches.StayBatch` for meaning and units.

    scans    (N, P, F) or (N, P, 1, T, H, W) float32;  columns (N, K)
    gap, days (N,) float; kind, long (N,) int
    """

    scans: np.ndarray
    columns: np.ndarray
    gap: np.ndarray
    days: np.ndarray
    kind: np.ndarray
    long: np.ndarray

    def __post_init__(self) -> None:
        for name in ("columns", "gap", "days", "kind", "long"):
            if len(getattr(self, name)) != len(self.scans):
                raise ShapeError(f"{len(self.scans)} lines, but {name} has {len(getattr(self, name))}")
        for name in ("scans", "columns", "gap", "days"):
            if not np.isfinite(getattr(self, name)).all():
                raise DataError(f"{name} holds no number in some lines; leave those out, and say so")

    def __len__(self) -> int:
        return len(self.scans)

    def batch(self, rows: np.ndarray | None = None) -> StayBatch:
        """Some lines as a batch; None: all."""
        import torch

        from glasslung.nn.batches import StayBatch

        chosen = np.arange(len(self)) if rows is None else rows
        floats = (
            np.asarray(one[chosen], np.float32) for one in (self.scans, self.columns, self.gap, self.days)
        )
        whole = (np.asarray(one[chosen], np.int64) for one in (self.kind, self.long))
        return StayBatch(*(torch.from_numpy(one) for one in (*floats, *whole)))


class StayBatches:
    """Endless batches of lines, each line once before any comes again.

    DataError where no event is among them: nothing could be learned.
    """

    def __init__(self, lines: StayLines, size: int, rng: np.random.Generator) -> None:
        if size < 1:
            raise UsageError("a batch needs one line at least")
        if not (lines.kind > 0).any() and not (lines.long >= 0).any():
            raise DataError("nobody met an event, all are censored: there is nothing to learn")
        self.lines, self.size, self.rng = lines, min(size, len(lines)), rng
        self.left: list[int] = []

    def __iter__(self) -> StayBatches:
        return self

    def __next__(self) -> StayBatch:
        """The next batch."""
        taken: list[int] = []
        while len(taken) < self.size:
            if not self.left:
                self.left = self.rng.permutation(len(self.lines)).tolist()
            take = self.size - len(taken)
            taken += self.left[:take]
            self.left = self.left[take:]
        return self.lines.batch(np.array(taken))

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        return {"rng": self.rng.bit_generator.state, "left": list(self.left), "lines": len(self.lines)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of the same lines."""
        if state["lines"] != len(self.lines):
            raise UsageError(
                f"the run was fed {state['lines']} lines, now {len(self.lines)}; give the same cohort"
            )
        self.rng.bit_generator.state = state["rng"]
        self.left = list(state["left"])
