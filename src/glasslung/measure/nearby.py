"""Who lies beside whom among codes: neighbours, pictures far from all others, and groups told by their
neighbours.

Codes are numbers that describe a picture: latents of a network, features, a table. Whether a group (a source,
a split, real or made) can be told from the codes of a picture's neighbours is a question of its own and says
nothing of why: a source may stand apart by its disease as well as by its scanner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.separability import told_rightly
from glasslung.measure.statistics import Interval, patient_codes

AT_ONCE = 512  # rows of the table of distances in memory at a time
LEAST_UNITS = 5  # patients of a group, below which a share of right answers says nothing
NEAREST_FIRST = 1e-6  # what a nearer neighbour's vote counts more: it settles ties and nothing else


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest neighbours of N pictures, nearest first.

    rows       (N, K) int64, index of each; never the picture itself
    distances  (N, K) float64, Euclidean, in the codes' own units
    """

    rows: np.ndarray
    distances: np.ndarray

    @property
    def apart(self) -> np.ndarray:
        """Mean distance to the neighbours, (N,): large where a picture lies far from all others."""
        mean: np.ndarray = self.distances.mean(1)
        return mean


def nearest(codes: np.ndarray, k: int, units: np.ndarray | None = None) -> Neighbours:
    """The k nearest of each row: codes (N, D) finite.

    units  (N,) whose picture each row is: then neighbours of the same patient do not count
    UsageError where some row has fewer than k others to choose from; equal distances go by row number.
    """
    codes = np.asarray(codes, np.float64)
    if codes.ndim != 2 or not np.isfinite(codes).all():
        raise ShapeError(f"codes must be (N, D) and finite, got {codes.shape}")
    own = np.arange(len(codes)) if units is None else patient_codes(units)
    if len(own) != len(codes):
        raise ShapeError(f"{len(codes)} codes need a patient each, got {len(own)}")
    others = len(codes) - int(np.bincount(own).max(initial=0))
    if not 1 <= k <= others:
        raise UsageError(f"{k} neighbours asked for, and a picture has {others} others to choose from")
    square = (codes**2).sum(1)
    rows, distances = np.empty((len(codes), k), np.int64), np.empty((len(codes), k))
    for start in range(0, len(codes), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        table = square[part, None] + square[None] - 2 * codes[part] @ codes.T
        table[own[part, None] == own[None]] = np.inf
        order = np.argsort(table, axis=1, kind="stable")[:, :k]
        rows[part] = order
        # from the differences themselves: the expanded square loses digits where two codes are nearly one
        distances[part] = np.linalg.norm(codes[part, None] - codes[order], axis=2)
    return Neighbours(rows, distances)


@dataclass(frozen=True)
class Telling:
    """How well a picture's group is told from the groups of its neighbours.

    accuracy     balanced: mean over groups of the share told rightly; interval by resampling patients
    chance       what shuffled groups gave: mean, and the range of 95 in 100
    p            how often shuffled groups were told at least as well; not below 1 / (permutations + 1)
    groups       names, and `counts` pictures of each
    units        patients, or pictures where no patient is known
    shuffled     'patients' where every patient has one group, else 'pictures'
    """

    accuracy: Interval
    chance: float
    chance_low: float
    chance_high: float
    p: float
    permutations: int
    neighbours: int
    groups: tuple[str, ...]
    counts: tuple[int, ...]
    units: int
    shuffled: str


def told_by_neighbours(
    codes: np.ndarray,
    groups: np.ndarray,
    units: np.ndarray,
    *,
    rng: np.random.Generator,
    k: int = 10,
    permutations: int = 199,
) -> Telling:
    """Can the group be read from the codes? Each picture is told by its k nearest of other patients.

    codes (N, D); groups (N,) names; units (N,) patients. Groups weigh alike, however many pictures they have.
    Chance is measured, not assumed: the same with shuffled groups, whole patients where each has one group.
    DataError where a group has fewer than 5 patients.
    """
    names, truth = np.unique(np.asarray(groups, str), return_inverse=True)
    owners = patient_codes(units)
    counts = np.bincount(truth)
    each = [len(np.unique(owners[truth == group])) for group in range(len(names))]
    if len(names) < 2 or min(each) < LEAST_UNITS:
        raise DataError(
            f"two groups of {LEAST_UNITS} patients or more are needed, got "
            + ", ".join(f"{str(name)!r} of {number}" for name, number in zip(names, each, strict=True))
        )
    rows = nearest(codes, k, owners).rows
    answers = told(rows, truth, len(names))
    accuracy = told_rightly(truth, answers, owners, rng=rng)
    first = np.unique(owners, return_index=True)[1]
    whole = bool((truth == truth[first][owners]).all())
    drawn = np.empty(permutations)
    for draw in range(permutations):
        shuffled = rng.permutation(truth[first])[owners] if whole else rng.permutation(truth)
        drawn[draw] = balanced(shuffled, told(rows, shuffled, len(names)))
    at_least = int((drawn >= accuracy.value - NEAREST_FIRST).sum())
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Telling(
        accuracy,
        float(drawn.mean()),
        float(low),
        float(high),
        (1 + at_least) / (1 + permutations),
        permutations,
        k,
        tuple(names.tolist()),
        tuple(counts.tolist()),
        int(owners.max()) + 1,
        "patients" if whole else "pictures",
    )


def told(rows: np.ndarray, truth: np.ndarray, groups: int) -> np.ndarray:
    """The group that neighbours vote for: rows (N, K), truth (N,) 0 .. groups - 1 -> (N,).

    A vote counts by one over its group's number of pictures; a tie goes to the group of nearer neighbours.
    """
    worth = 1 / np.maximum(np.bincount(truth, minlength=groups), 1)
    nearer = 1 - NEAREST_FIRST * np.arange(rows.shape[1])
    votes = truth[rows]
    cast = np.stack([((votes == group) * nearer).sum(1) * worth[group] for group in range(groups)], 1)
    answer: np.ndarray = cast.argmax(1)
    return answer


def balanced(truth: np.ndarray, answer: np.ndarray) -> float:
    """Mean over groups of the share told rightly."""
    right = truth == answer
    return float(np.mean([right[truth == group].mean() for group in np.unique(truth)]))
