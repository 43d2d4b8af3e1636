"""What the out-of-fold answers are worth: AUC with intervals, what else would tell, probabilities.

A method's AUC is the mean over the deals; its interval, and that of a difference, resamples patients and
takes the mean over the deals of every resample. Reliability and decision curve are of the first deal, whose
probabilities each come from one model, as a shipped one's do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from glasslung.measure.calibration import (
    brier_score,
    calibration_error,
    calibration_error_by_luck,
    reliability,
)
from glasslung.measure.decisions import decision_curve
from glasslung.measure.ranking import auc, auc_weighted
from glasslung.measure.roccurves import roc_band, roc_curve
from glasslung.measure.statistics import bootstrap_by_patient

THRESHOLDS = np.linspace(0.05, 0.95, 19)
BINS = 8  # some 29 patients in each

Scores = Mapping[str, np.ndarray]
"""Method -> (N, D) out-of-fold scores, a column for each deal."""


def mean_auc(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean AUC of the columns of scores (N, D) under weights (B, N) -> (B,)."""
    return np.mean([auc_weighted(truth, column, weights) for column in scores.T], axis=0)


def auc_of(
    truth: np.ndarray, scores: np.ndarray, patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """Mean AUC over the deals with its interval, and each deal's."""
    found = bootstrap_by_patient(
        mean_auc, patients, truth, scores, rng=rng, draws=draws, strata=truth, weighted=True
    )
    return {**asdict(found), "deals": [auc(truth, column) for column in scores.T]}


def gain_of(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: np.ndarray,
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """Mean AUC of the second less that of the first, paired: (N, D) each."""

    def difference(
        truth: np.ndarray, first: np.ndarray, second: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        return mean_auc(truth, second, weights) - mean_auc(truth, first, weights)

    found = bootstrap_by_patient(
        difference, patients, truth, first, second, rng=rng, draws=draws, strata=truth, weighted=True
    )
    return asdict(found)


def score_table(
    truth: np.ndarray,
    scores: Scores,
    patients: np.ndarray,
    against: Sequence[str],
    of: str,
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """Every method's AUC, and what `of` gains on each of `against`."""
    gained = {
        name: gain_of(truth, scores[name], scores[of], patients, rng, draws)
        for name in against
        if name in scores and name != of
    }
    return {
        "patients": len(truth),
        "events": int(truth.sum()),
        "auc": {name: auc_of(truth, one, patients, rng, draws) for name, one in scores.items()},
        "gain": gained,
    }


def answers_of(
    truth: np.ndarray, log_odds: np.ndarray, patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """ROC with its band, reliability, Brier, ECE and decision curve of calibrated log-odds (N,)."""
    from scipy.special import expit

    probability = expit(log_odds)
    curve, band = roc_curve(truth, log_odds), roc_band(truth, log_odds, patients, rng=rng, draws=draws)
    luck = calibration_error_by_luck(probability, rng=rng, bins=BINS)
    bins = reliability(truth, probability, patients, BINS)
    benefit = decision_curve(truth, probability, patients, THRESHOLDS, rng=rng, draws=draws)
    return {
        "auc": auc(truth, log_odds),
        "roc": {
            "false": band.false.tolist(),
            "true": band.true.tolist(),
            "low": band.low.tolist(),
            "high": band.high.tolist(),
            "points": len(curve.false),
        },
        "ece": calibration_error(truth, probability, BINS),
        "ece_by_luck": {"median": luck[0], "most": luck[1]},
        "brier": brier_score(truth, probability),
        "brier_of_share": float(truth.mean() * (1 - truth.mean())),
        "reliability": [asdict(one) for one in bins],
        "benefit": {
            "thresholds": benefit.thresholds.tolist(),
            "model": benefit.model.tolist(),
            "low": benefit.low.tolist(),
            "high": benefit.high.tolist(),
            "everybody": benefit.everybody.tolist(),
        },
    }
