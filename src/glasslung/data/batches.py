"""Streams of batches from slices in memory: endless, balanced over the groups, exact to stop and go on.

64 x 64 slices of a thousand patients fill 17 MB, so there is nothing to prefetch: drawing a batch is an
indexing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError

if TYPE_CHECKING:
    from glasslung.nn.batches import SliceBatch

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""augment(images (B, S, S), rng) -> new images of the same shape."""


class GroupBalancedBatches:
    """Endless batches with as many slices of each group, each slice of a group once before any comes again.

    A pass over a group that ends inside a batch goes on with the next pass: no slice is repeated or left out
    on the way. Stops and goes on exactly: `state` holds the generator and what is left of every pass, as
    plain JSON.

    each     slices of every group in a batch
    groups   which groups; all that are there by default
    rng      numpy generator; it is owned by this stream from now on
    augment  optional, drawn from the same generator
    """

    def __init__(
        self,
        slices: SliceSet,
        each: int,
        rng: np.random.Generator,
        groups: Sequence[int] | None = None,
        augment: Augment | None = None,
    ) -> None:
        if each < 1:
            raise UsageError("a batch needs one slice of each group at least")
        wanted = sorted(set(slices.group.tolist())) if groups is None else list(groups)
        self.rows = {group: np.flatnonzero(slices.group == group) for group in wanted}
        empty = [group for group, rows in self.rows.items() if len(rows) == 0]
        if empty or not wanted:
            raise DataError(f"no slice is of group {empty}; there are {sorted(set(slices.group.tolist()))}")
        self.slices, self.each, self.rng, self.augment = slices, each, rng, augment
        self.left: dict[int, list[int]] = {group: [] for group in wanted}

    def __iter__(self) -> GroupBalancedBatches:
        return self

    def __next__(self) -> SliceBatch:
        """The next batch, groups in order: `each` of the first, then of the second, ..."""
        rows = np.concatenate([self._draw(group) for group in self.rows])
        batch = self.slices.batch(rows)
        if self.augment is None:
            return batch
        import torch

        images = self.augment(self.slices.images[rows], self.rng)
        return replace(batch, image=torch.from_numpy(np.ascontiguousarray(images, np.float32)[:, None]))

    def _draw(self, group: int) -> np.ndarray:
        drawn: list[int] = []
        while len(drawn) < self.each:
            if not self.left[group]:
                self.left[group] = self.rng.permutation(self.rows[group]).tolist()
            take = self.each - len(drawn)
            drawn += self.left[group][:take]
            self.left[group] = self.left[group][take:]
        return np.array(drawn)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        left = {str(group): rows for group, rows in self.left.items()}
        return {
            "rng": self.rng.bit_generator.state,
            "left": left,
            "slices": len(self.slices),
            "each": self.each,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of the same slices."""
        same = state["slices"] == len(self.slices) and state["each"] == self.each
        if not same or state["left"].keys() != {str(group) for group in self.rows}:
            raise UsageError(
                f"the run was fed {state['each']} each of groups {sorted(state['left'])} of "
                f"{state['slices']} slices, now {self.each} each of groups {sorted(self.rows)} of "
                f"{len(self.slices)}; give the same cohort"
            )
        self.rng.bit_generator.state = state["rng"]
        self.left = {int(group): list(rows) for group, rows in state["left"].items()}


def mirror(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn each slice left to right with probability one half, (B, S, S) -> (B, S, S)."""
    flipped = rng.random(len(images)) < 0.5
    return np.where(flipped[:, None, None], images[:, :, ::-1], images)
