"""A classifier whose eyes are a segmenter's learns its one linear layer, from exams asked once.

Few scans teach few numbers. The encoder stays as it is; every exam is asked for its pooled features once, and
a logistic regression with a penalty on all weights is fitted to them, which has one answer and needs no
steps. The penalty is chosen by cross-validation over the patients of the training scans; nothing else is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glasslung.data.exambatches import whole
from glasslung.data.exams import ExamSet
from glasslung.errors import DataError
from glasslung.measure.ranking import auc, auc_interval
from glasslung.measure.statistics import Interval
from glasslung.types import Progress

if TYPE_CHECKING:
    from glasslung.models.lesionnet import LesionNet

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1)  # scikit-learn's C: the smaller, the stronger the penalty
FOLDS, DEALS = 5, 4  # folds, and how often patients are dealt into them: one deal moves the AUC by 0.02
LEAST_SPREAD = 1e-6  # of a feature; one that never varies says nothing
MOST_ITERATIONS = 2000  # iterations of the solver at most; it needs some hundred


@dataclass(frozen=True, eq=False)
class Asked:
    """Pooled features of N scans: values (N, F), and which are known (N, F) bool."""

    values: np.ndarray
    known: np.ndarray

    def rows(self, chosen: np.ndarray) -> Asked:
        """Some scans."""
        return Asked(self.values[chosen], self.known[chosen])


@dataclass(frozen=True, eq=False)
class Fit:
    """What was learned, and how well it did on training patients it was not fitted to.

    mean, spread  (F,) of the features over the training scans that have them
    weight, bias  (F,) and a number: log-odds = features @ weight + bias
    strength      C that was chosen; aucs: mean AUC of each of `STRENGTHS` over the deals
    held_out      AUC of the first deal's held-out answers with the chosen C, by patient
    """

    mean: np.ndarray
    spread: np.ndarray
    weight: np.ndarray
    bias: float
    strength: float
    aucs: tuple[float, ...]
    held_out: Interval


def ask_exams(model: LesionNet, exams: ExamSet, progress: Progress | None = None) -> Asked:
    """Pooled features of every exam, asked whole and alone; about 0.03 s a slice at 256 pixels."""
    from glasslung.nn.borrow import evaluating

    values, known = [], []
    with evaluating(model):
        for number, exam in enumerate(exams.exams):
            if progress:
                progress("asking exams", number / len(exams))
            batch = whole(exam)
            pooled = model.pooled(batch.image, batch.lesion, batch.scan)
            values.append(pooled.values[0].double().numpy())
            known.append(pooled.known[0].numpy())
    return Asked(np.stack(values), np.stack(known))


def fit_linear(asked: Asked, label: np.ndarray, patients: Sequence[str], rng: np.random.Generator) -> Fit:
    """The penalty by cross-validation over patients, then the layer from all of these scans.

    label (N,) 0 or 1. DataError with fewer than `FOLDS` patients of a label.
    """
    who = np.array(patients)
    for kind in (0, 1):
        if len(set(who[label == kind])) < FOLDS:
            raise DataError(
                f"the penalty is chosen by {FOLDS}-fold cross-validation and needs as many patients of each "
                f"label; there are {len(set(who[label == kind]))} with label {kind}"
            )
    deals = [_folds(label, who, rng) for _ in range(DEALS)]
    held = {
        strength: [_held_out(asked, label, who, folds, strength) for folds in deals] for strength in STRENGTHS
    }
    aucs = tuple(float(np.mean([auc(label == 1, one) for one in held[strength]])) for strength in STRENGTHS)
    best = STRENGTHS[int(np.argmax(aucs))]
    mean, spread, weight, bias = _fitted(asked, label, who, best)
    interval = auc_interval(label == 1, held[best][0], who, rng=rng)
    return Fit(mean, spread, weight, bias, best, aucs, interval)


def set_linear(model: LesionNet, fit: Fit) -> None:
    """Write what was fitted into the model: the spread of its features and its linear layer."""
    import torch

    with torch.no_grad():
        model.norm.running_mean.copy_(torch.from_numpy(fit.mean))  # type: ignore[union-attr]
        model.norm.running_var.copy_(torch.from_numpy(fit.spread**2 - model.norm.eps))  # type: ignore[union-attr]
        half = torch.from_numpy(fit.weight / 2)
        model.head.weight.copy_(torch.stack([-half, half]))
        model.head.bias.copy_(torch.tensor([-fit.bias / 2, fit.bias / 2]))


def _folds(label: np.ndarray, who: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """The held-out rows of each fold; no patient is in two, labels are shared out."""
    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    return [held for _, held in dealer.split(label, label, who)]


def _held_out(
    asked: Asked, label: np.ndarray, who: np.ndarray, folds: list[np.ndarray], strength: float
) -> np.ndarray:
    """Log-odds (N,) of every scan by a layer that never met its patient."""
    said = np.zeros(len(label))
    for held in folds:
        rest = np.setdiff1d(np.arange(len(label)), held)
        mean, spread, weight, bias = _fitted(asked.rows(rest), label[rest], who[rest], strength)
        said[held] = _scaled(asked.rows(held), mean, spread) @ weight + bias
    return said


def _fitted(
    asked: Asked, label: np.ndarray, who: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    from sklearn.linear_model import LogisticRegression

    values = np.where(asked.known, asked.values, np.nan)
    there = asked.known.any(0)
    mean, spread = np.zeros(values.shape[1]), np.ones(values.shape[1])
    mean[there] = np.nanmean(values[:, there], 0)
    spread[there] = np.maximum(np.nanstd(values[:, there], 0), LEAST_SPREAD)
    spread = np.sqrt(spread**2 + 1e-5)  # as batch normalisation will have it
    line = LogisticRegression(C=strength, max_iter=MOST_ITERATIONS)
    line.fit(_scaled(asked, mean, spread), label, sample_weight=_weights(label, who))
    return mean, spread, line.coef_[0], float(line.intercept_[0])


def _scaled(asked: Asked, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Features in standard deviations; 0 where they are not known."""
    scaled: np.ndarray = np.where(asked.known, (asked.values - mean) / spread, 0.0)
    return scaled


def _weights(label: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Both labels alike; a patient of many scans counts by their root: neighbours repeat each other."""
    _, code, counts = np.unique(who, return_inverse=True, return_counts=True)
    weight = 1.0 / np.sqrt(counts[code])
    for kind in (0, 1):
        weight[label == kind] *= len(label) / 2 / weight[label == kind].sum()
    return np.asarray(weight)
