"""The same lungs healthy and ill, from phantoms: pairs whose truth is known because we drew it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.phantom import draw_patient, slices
from glasslung.errors import ShapeError, UsageError
from glasslung.types import Progress

if TYPE_CHECKING:
    from glasslung.nn.batches import PairBatch

DAYS = (2.0, 7.0, 12.0)  # one of each later age of the disease
WHITE = 255.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """N slices twice; all arrays have N rows.

    source   (N, S, S) float32 in [0, 1], never ill
    target   (N, S, S) the same slice of the same person on `day`
    lungs    (N, S, S) bool; lesions (N, S, S) bool, true in the target's lesions
    day      (N,) float32; patient (N,) int64
    """

    source: np.ndarray
    target: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray
    day: np.ndarray
    patient: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.source)
        shapes = {one.shape for one in (self.source, self.target, self.lungs, self.lesions)}
        if len(shapes) != 1 or self.day.shape != (count,) or self.patient.shape != (count,):
            raise ShapeError(f"pairs need arrays of one shape with a day and a patient each, got {shapes}")

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: np.ndarray) -> Pairs:
        """Some of the pairs."""
        parts = (self.source, self.target, self.lungs, self.lesions, self.day, self.patient)
        return Pairs(*(part[rows] for part in parts))

    def batch(self, rows: np.ndarray) -> PairBatch:
        """Some of the pairs as a batch for a model."""
        import torch

        from glasslung.nn.batches import PairBatch

        source, target = (torch.from_numpy(one[rows][:, None]) for one in (self.source, self.target))
        return PairBatch(source, target, torch.from_numpy(self.day[rows]))


def draw_pairs(
    people: int, seed: int, size: int = 64, days: Sequence[float] = DAYS, progress: Progress | None = None
) -> Pairs:
    """Phantoms drawn never ill and on each of the days, person by person; about 0.04 s of a core a slice."""
    if people < 1 or not days:
        raise UsageError("pairs need a person and a day: 1 or more of each")
    persons = np.random.default_rng(seed).choice(2**40, size=people, replace=False)
    patients = [draw_patient(int(person)) for person in persons]
    never = slices(patients, [0.0], size, disease=False)
    ill = slices(patients, list(days), size, progress=progress)
    each = len(days)
    return Pairs(
        np.repeat(never.grey, each, 0).astype(np.float32) / np.float32(WHITE),
        ill.grey.astype(np.float32) / np.float32(WHITE),
        ill.lungs > 0,
        ill.lesions > 0,
        ill.day.astype(np.float32),
        ill.patient.astype(np.int64),
    )


class PairBatches:
    """An endless stream of pairs in rounds without repetition, which stops and goes on exactly."""

    def __init__(self, pairs: Pairs, size: int, rng: np.random.Generator) -> None:
        if not 1 <= size <= len(pairs):
            raise UsageError(f"{len(pairs)} pairs make no batch of {size}; choose 1 to {len(pairs)}")
        self.pairs, self.size, self.rng = pairs, size, rng
        self.left: list[int] = []

    def __iter__(self) -> PairBatches:
        return self

    def __next__(self) -> PairBatch:
        """The next batch."""
        drawn: list[int] = []
        while len(drawn) < self.size:
            if not self.left:
                self.left = self.rng.permutation(len(self.pairs)).tolist()
            take = self.size - len(drawn)
            drawn += self.left[:take]
            self.left = self.left[take:]
        return self.pairs.batch(np.array(drawn))

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        return {"rng": self.rng.bit_generator.state, "left": self.left, "pairs": len(self.pairs)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of as many pairs."""
        if state["pairs"] != len(self.pairs):
            raise UsageError(f"the run was fed {state['pairs']} pairs, now {len(self.pairs)}; give the same")
        self.rng.bit_generator.state = state["rng"]
        self.left = [int(row) for row in state["left"]]
