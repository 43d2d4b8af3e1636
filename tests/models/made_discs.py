"""Slices that are quick to learn: a bright disc on black, bigger from group to group."""

from __future__ import annotations

import numpy as np

from glasslung.data.batches import GroupBalancedBatches
from glasslung.data.slices import SliceSet


def discs(count: int, size: int = 16, seed: int = 0, groups: int = 1) -> SliceSet:
    """`count` discs whose place and brightness vary."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    group = np.arange(count) % groups
    images = []
    for one in group:
        y, x = 0.5 + rng.normal(0, 0.06, 2)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < (0.2 + 0.06 * one) ** 2
        images.append(inside * rng.uniform(0.5, 0.9))
    names = tuple(map(str, range(count)))
    return SliceSet(
        np.array(images, np.float32),
        group.astype(np.int64),
        np.zeros(count, np.float32),
        np.arange(count),
        names,
        names,
    )


def stream_of(slices: SliceSet, batch: int, seed: int = 0) -> GroupBalancedBatches:
    """Batches of them, all groups alike."""
    groups = tuple(sorted(set(slices.group.tolist())))
    return GroupBalancedBatches(slices, batch // len(groups), np.random.default_rng(seed), groups)
