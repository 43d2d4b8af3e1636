"""A risk in plain numbers: features made normal by ranks of the training patients, then weighed and added.

Every number of such a model can be printed, so its weights ship as safetensors and nothing is unpickled. A
model is a sum of one or more members; each reads some families of features, brings each feature to a normal
score by the training patients' quantiles (a feature that is not known stands at 0, the middle), and weighs
them by ridge logistic regression. Members' log-odds are averaged; temperature and bias, from folds inside the
training patients, make them a probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import ShapeError
from glasslung.measure.calibration import Calibration

KNOTS = 41  # quantiles that a feature is bent by; there are some 180 patients
FARTHEST = 2.5  # normal scores no feature exceeds: beyond, one patient would rule

Tables = Mapping[str, np.ndarray]
"""Family -> (N, F) features, NaN where unknown."""


@dataclass(frozen=True)
class Recipe:
    """One member before it has learned: families it reads, and C, the inverse strength of its ridge."""

    families: tuple[str, ...]
    c: float


@dataclass(frozen=True)
class Candidate:
    """A model before it has learned: a name, and members whose log-odds are averaged."""

    name: str
    members: tuple[Recipe, ...]


@dataclass(frozen=True, eq=False)
class Member:
    """A member that has learned. knots (F, K) rising, weights (F,), bias: log-odds of normal scores."""

    recipe: Recipe
    knots: np.ndarray
    weights: np.ndarray
    bias: float

    def log_odds(self, tables: Tables) -> np.ndarray:
        """(N,) log-odds of the event."""
        features = joined(tables, self.recipe.families)
        if features.shape[1] != len(self.weights):
            raise ShapeError(f"{features.shape[1]} features do not fit {len(self.weights)} weights")
        return np.asarray(bent(features, self.knots) @ self.weights + self.bias)


@dataclass(frozen=True, eq=False)
class Weighing:
    """A model that has learned, and how its log-odds become a probability."""

    candidate: Candidate
    members: tuple[Member, ...]
    calibration: Calibration

    def log_odds(self, tables: Tables) -> np.ndarray:
        """(N,) calibrated log-odds of critical illness."""
        raw = np.mean([member.log_odds(tables) for member in self.members], axis=0)
        return np.asarray(raw / self.calibration.temperature + self.calibration.bias)

    def probability(self, tables: Tables) -> np.ndarray:
        """(N,) in (0, 1)."""
        from scipy.special import expit

        return np.asarray(expit(self.log_odds(tables)))


def joined(tables: Tables, families: Sequence[str]) -> np.ndarray:
    """The families' features side by side, (N, F)."""
    return np.concatenate([np.asarray(tables[name], np.float64) for name in families], axis=1)


def taken(tables: Tables, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Some rows of every family."""
    return {name: table[rows] for name, table in tables.items()}


def knots_of(features: np.ndarray) -> np.ndarray:
    """The quantiles of each feature over training patients, (N, F) -> (F, K); of unknown ones 0."""
    known = np.where(np.isfinite(features).any(0)[None, :], features, 0.0)
    return np.nanquantile(known, np.linspace(0, 1, KNOTS), axis=0).T


def bent(features: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Features (N, F) as normal scores by their knots (F, K): the rank among training patients, bent.

    Equal knots (half the patients have no lesion, say) share the middle of their ranks. NaN is 0.
    """
    from scipy.special import ndtri

    share = np.linspace(0, 1, knots.shape[1])
    scores = np.zeros_like(features, dtype=np.float64)
    edge = 0.5 * (1 - np.tanh(FARTHEST))  # keeps ndtri finite; the clip below decides
    for column, mine in enumerate(knots):
        value = features[:, column]
        known = np.isfinite(value)
        up = np.interp(value[known], mine, share)
        down = 1 - np.interp(-value[known], -mine[::-1], share)
        rank = np.clip((up + down) / 2, edge, 1 - edge)
        scores[known, column] = np.clip(ndtri(rank), -FARTHEST, FARTHEST)
        if mine[0] == mine[-1]:
            scores[:, column] = 0.0
    return scores


def learn_member(recipe: Recipe, tables: Tables, event: np.ndarray) -> Member:
    """Knots and weights from training patients: tables of N rows, event (N,) bool."""
    from sklearn.linear_model import LogisticRegression

    features = joined(tables, recipe.families)
    knots = knots_of(features)
    scores = bent(features, knots)
    # ridge weights lie in the span of the patients: with more features than patients, learn them there
    wide = scores.shape[1] > len(scores)
    left, size, span = np.linalg.svd(scores, full_matrices=False) if wide else (scores, 1.0, None)
    fitted = LogisticRegression(C=recipe.c, max_iter=3000).fit(left * size, event)
    weights = fitted.coef_[0] if span is None else fitted.coef_[0] @ span
    return Member(recipe, knots, np.asarray(weights, np.float64), float(fitted.intercept_[0]))


def learn(candidate: Candidate, tables: Tables, event: np.ndarray) -> tuple[Member, ...]:
    """Every member of a candidate."""
    return tuple(learn_member(recipe, tables, event) for recipe in candidate.members)


def raw_log_odds(members: Sequence[Member], tables: Tables) -> np.ndarray:
    """Mean log-odds of members, not calibrated, (N,)."""
    return np.asarray(np.mean([member.log_odds(tables) for member in members], axis=0))
