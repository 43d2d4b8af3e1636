"""Fitting a law of hazards in intervals: one event or several, a few columns, a few hundred patients.

The penalised likelihood (`nn.hazards`) is concave in base and weights, so Newton's steps find its one top:

    sum of counts * log-likelihood - strength * sum of weights^2
        - SMOOTH * sum of squared steps of the base between intervals - FAINT * sum of base^2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.statistics import patient_codes
from glasslung.predict.risklaw import RiskLaw, matrix_of

Columns = Mapping[str, np.ndarray]
EDGES = (0.0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 21, 28)
"""Days of the intervals: finest where most happens, none that is always empty."""
SMOOTH = 2.0  # of the squared steps between neighbouring intervals: a few events each cannot tell them apart
FAINT = 1e-3  # of the squared base: an event that nobody met has a chance near 0, not a logit without end
START = -2.5  # logit of an event in an interval: some 8 %
STEPS, ENOUGH = 60, 1e-8  # Newton's steps at most; the gain in nats per patient below which none is worth it


@dataclass(frozen=True, eq=False)
class Scale:
    """Columns in the scales of the training patients."""

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, columns: Columns) -> Scale:
        """The scales of these patients; a column that never varies keeps its unit."""
        names = tuple(columns)
        values = matrix_of(names, columns)
        spread = values.std(0)
        return cls(names, values.mean(0), np.where(spread > 1e-9, spread, 1.0))

    def matrix(self, columns: Columns) -> np.ndarray:
        """(N, F)."""
        return (matrix_of(self.names, columns) - self.mean) / self.scale

    def columns(self, columns: Columns) -> dict[str, np.ndarray]:
        """The same by name."""
        return dict(zip(self.names, self.matrix(columns).T, strict=True))


def fit_law(
    columns: Columns,
    days: np.ndarray,
    kind: np.ndarray,
    strength: float,
    *,
    edges: Sequence[float] = EDGES,
    causes: int | None = None,
    counts: np.ndarray | None = None,
) -> RiskLaw:
    """A law of hazards by penalised maximum likelihood.

    days, kind  (N,) days to the event or the end of observation; 0 ended, 1, 2, ... which event
    strength    of the squared weights
    causes      how many events there are; None: the highest kind
    counts      (N,) how often each line counts, for resampled patients; None: once
    """
    from glasslung.nn.hazards import checked_edges

    ends = np.asarray(checked_edges(tuple(edges)), float)
    scale = Scale.of(columns)
    x = scale.matrix(columns)
    days, kind = np.asarray(days, float), np.asarray(kind, np.int64)
    if not len(x) == len(days) == len(kind):
        raise ShapeError(f"{len(x)} lines of columns, {len(days)} days and {len(kind)} kinds must be alike")
    if not np.isfinite(days).all() or (days < 0).any():
        raise DataError("days to an event are 0 or more; leave out whoever has none")
    often = np.ones(len(x)) if counts is None else np.asarray(counts, float)
    seen = Seen.of(days, kind, ends, causes or max(1, int(kind.max(initial=1))))
    base, weights = _climb(x, seen, often, strength)
    return RiskLaw(scale.names, scale.mean, scale.scale, base, weights, ends)


def law_likelihood(law: RiskLaw, columns: Columns, days: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """How well a law explains what was seen of patients, (N,) nats."""
    import torch

    from glasslung.nn.hazards import log_likelihood

    logits = law.base[None] + (law.standard(columns) @ law.weights)[:, None]
    given = (logits, np.asarray(days, float), np.asarray(kind, np.int64), law.edges)
    return np.asarray(log_likelihood(*(torch.from_numpy(one) for one in given)).numpy())


def resampled_law(
    columns: Columns,
    days: np.ndarray,
    kind: np.ndarray,
    strength: float,
    patients: Sequence[str],
    *,
    draws: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Base (M, K, C) and weights (M, F, C) of the same law on resampled patients, in the scales of all."""
    codes = patient_codes(patients)
    people = int(codes.max()) + 1
    laws = []
    for _ in range(draws):
        often = np.bincount(rng.integers(0, people, people), minlength=people)[codes]
        causes = max(1, int(np.max(kind)))
        laws.append(fit_law(columns, days, kind, strength, causes=causes, counts=often))
    return np.stack([law.base for law in laws]), np.stack([law.weights for law in laws])


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in each interval: N scans, K intervals, C causes.

    there  (N, K) whether the interval counts: reached, and lived through or ended by an event
    met    (N, K, C) whether an event ended it
    """

    there: np.ndarray
    met: np.ndarray

    @classmethod
    def of(cls, days: np.ndarray, kind: np.ndarray, edges: np.ndarray, causes: int) -> Seen:
        """As `nn.hazards` counts: an event after the last edge is an observation that ended there."""
        inside = np.searchsorted(edges[1:], days)
        met = np.zeros((len(days), len(edges) - 1, causes), bool)
        rows = np.flatnonzero((kind > 0) & (inside < len(edges) - 1))
        met[rows, inside[rows], kind[rows] - 1] = True
        ended = met.any((1, 2))
        lived = np.where(ended, inside + 1, np.searchsorted(edges[1:], days, side="right"))
        return cls(np.arange(len(edges) - 1)[None] < lived[:, None], met)


def _climb(x: np.ndarray, seen: Seen, often: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Newton's way to the top; a step that leads down is halved."""
    intervals, causes = seen.met.shape[1:]
    size = intervals * causes
    penalty = _penalty(intervals, causes, x.shape[1], strength)
    at = np.concatenate([np.full(size, START), np.zeros(x.shape[1] * causes)])

    def parts(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return at[:size].reshape(intervals, causes), at[size:].reshape(-1, causes)

    def worth(at: np.ndarray) -> tuple[float, np.ndarray]:
        base, weights = parts(at)
        logits = base[None] + (x @ weights)[:, None]
        top = np.logaddexp.reduce(np.concatenate([np.zeros_like(logits[..., :1]), logits], 2), 2)
        fits = (np.where(seen.met, logits, 0).sum(2) - top) * seen.there
        return float(often @ fits.sum(1) - at @ penalty @ at), np.exp(logits - top[..., None])

    value, chance = worth(at)
    for _ in range(STEPS):
        slope, bend = _slope_and_bend(x, seen, often, chance)
        step = np.linalg.solve(bend + 2 * penalty, slope - 2 * penalty @ at)
        share = 1.0
        new, chance = worth(at + step)
        while new < value and share > 1e-6:
            share /= 2
            new, chance = worth(at + share * step)
        gain, value, at = new - value, max(new, value), at + share * step
        if gain < ENOUGH * max(often.sum(), 1):
            break
    return parts(at)


def _slope_and_bend(
    x: np.ndarray, seen: Seen, often: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First derivatives of the likelihood, and minus the second, by base then weights."""
    _, intervals, causes = chance.shape
    here = often[:, None] * seen.there
    left = (seen.met - chance) * here[..., None]  # (N, K, C)
    slope = np.concatenate([left.sum(0).ravel(), (x.T @ left.sum(1)).ravel()])
    size, columns = intervals * causes, x.shape[1]
    bend = np.zeros((size + columns * causes, size + columns * causes))
    by_interval = np.arange(intervals) * causes
    by_column = size + np.arange(columns) * causes
    for c in range(causes):
        for d in range(causes):
            w = here * chance[..., c] * ((c == d) - chance[..., d])  # (N, K)
            bend[by_interval + c, by_interval + d] = w.sum(0)
            mixed = w.T @ x
            bend[np.ix_(by_interval + c, by_column + d)] = mixed
            bend[np.ix_(by_column + d, by_interval + c)] = mixed.T
            bend[np.ix_(by_column + c, by_column + d)] = (x * w.sum(1)[:, None]).T @ x
    return slope, bend


def _penalty(intervals: int, causes: int, columns: int, strength: float) -> np.ndarray:
    """The penalty as a quadratic form of base, then weights."""
    step = np.diff(np.eye(intervals), axis=0)
    base = SMOOTH * step.T @ step + FAINT * np.eye(intervals)
    whole = np.zeros(((intervals + columns) * causes,) * 2)
    whole[: intervals * causes, : intervals * causes] = np.kron(base, np.eye(causes))
    rest = slice(intervals * causes, None)
    whole[rest, rest] = max(strength, 1e-9) * np.eye(columns * causes)
    return whole
