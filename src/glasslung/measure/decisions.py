"""What calling scans at a threshold gets right: sensitivity and its kin, operating points, net benefit.

A scan is called positive where its probability is the threshold or more. Every figure comes with the interval
that resampled patients give it (2000 draws, each class keeps its number of patients). Where everything was
called right, or nothing, resampling has no more to say: then the limit that is not the figure itself is the
exact one of Clopper and Pearson, counted in patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.ranking import checked_ranking, truth_strata
from glasslung.measure.statistics import (
    USABLE_SHARE,
    Interval,
    draw_patients,
    exact_limits,
    patient_codes,
)

FIGURES = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")
TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_NEGATIVE = range(4)


@dataclass(frozen=True)
class Calls:
    """What a threshold makes of a set of scans.

    threshold  called from this probability on
    counts     scans: true positives, false negatives, false positives, true negatives
    figures    by name, see FIGURES; None where a figure is not defined (nobody was called, say)
    """

    threshold: float
    counts: tuple[int, int, int, int]
    figures: Mapping[str, Interval | None]


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit of acting on a model, beside acting on everybody and on nobody.

    thresholds        (T,) probability from which one would act: it says how many false alarms a case is worth
    model, low, high  (T,) net benefit: true positives per scan, less false ones at that exchange
    everybody         (T,) net benefit of acting on all; acting on nobody has 0
    share             (T,) of all scans, those called
    """

    thresholds: np.ndarray
    model: np.ndarray
    low: np.ndarray
    high: np.ndarray
    everybody: np.ndarray
    share: np.ndarray


def calls_at(
    truth: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Calls:
    """Sensitivity, specificity, predictive values, F1 and accuracy at a threshold, each with its interval.

    truth (N,) bool, probability (N,) (any score will do, if the threshold is on its scale), patients (N,).
    DataError with fewer than two patients of a class. Predictive values are those of this mixture of
    patients.
    """
    truth, probability, codes = _checked(truth, probability, patients)
    called = probability >= threshold
    cells = np.stack([truth & called, truth & ~called, ~truth & called, ~truth & ~called], axis=1)
    tally = _per_patient(cells.astype(np.float64), codes)
    counts = draw_patients(codes, draws, rng, truth_strata(truth, codes)).astype(np.float64)
    whole, drawn = _figures(tally.sum(0, keepdims=True)), _figures(counts @ tally)
    present = _per_patient(_denominators(cells), codes) > 0
    figures = {
        name: _interval(float(whole[name][0]), drawn[name], level, len(tally), int(present[:, n].sum()))
        for n, name in enumerate(FIGURES)
    }
    true_positive, false_negative, false_positive, true_negative = (int(n) for n in tally.sum(0))
    return Calls(float(threshold), (true_positive, false_negative, false_positive, true_negative), figures)


def youden_threshold(truth: np.ndarray, probability: np.ndarray) -> float:
    """The threshold at which sensitivity and specificity together are highest (Youden, Cancer 1950;3:32-5).

    Half way between the scores it parts, so that it rests on both; of equally good ones the most balanced.
    To be found on validation scans and used on others: on the scans it was found on it flatters.
    """
    cuts, true, false = _operating_points(truth, probability)
    gain, balance = true - false, -np.abs(true + false - 1)
    return float(cuts[np.lexsort((balance, np.round(gain, 12)))[-1]])


def threshold_for_sensitivity(truth: np.ndarray, probability: np.ndarray, wanted: float) -> float:
    """The highest threshold that still finds `wanted` (0 to 1] of the scans with the finding."""
    if not 0 < wanted <= 1:
        raise UsageError(f"the wanted sensitivity must lie above 0 and at most at 1, got {wanted}")
    cuts, true, _ = _operating_points(truth, probability)
    return float(cuts[np.flatnonzero(true >= wanted - 1e-12)[0]])


def net_benefit(truth: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """True positives per scan less false ones, which count t / (1 - t): thresholds (T,) in (0, 1) -> (T,).

    Vickers & Elkin, Medical Decision Making 2006;26:565-74.
    """
    truth, probability = checked_ranking(truth, probability)
    thresholds = _checked_thresholds(thresholds)
    hits, alarms = _hits_and_alarms(truth, probability, thresholds)
    return hits.mean(0) - alarms.mean(0) * thresholds / (1 - thresholds)


def decision_curve(
    truth: np.ndarray,
    probability: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    thresholds: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> DecisionCurve:
    """Whether acting on the model does more good than acting on everybody or nobody, threshold by threshold.

    Needs probabilities: a score that is not calibrated is judged as if it were. thresholds (T,) in (0, 1).
    """
    truth, probability, codes = _checked(truth, probability, patients)
    thresholds = _checked_thresholds(thresholds)
    odds = thresholds / (1 - thresholds)
    hits, alarms = _hits_and_alarms(truth, probability, thresholds)
    gained = _per_patient(hits - alarms * odds, codes)
    scans = np.bincount(codes).astype(np.float64)
    counts = draw_patients(codes, draws, rng, truth_strata(truth, codes)).astype(np.float64)
    drawn = counts @ gained / (counts @ scans)[:, None]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return DecisionCurve(
        thresholds,
        gained.sum(0) / scans.sum(),
        low,
        high,
        truth.mean() - (1 - truth.mean()) * odds,
        (hits + alarms).mean(0),
    )


def _figures(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Counts (B, 4) of true positives, false negatives, false positives, true negatives -> name -> (B,)."""
    tp, fn, fp, tn = cells.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "accuracy": (tp + tn) / (tp + fn + fp + tn),
        }


def _denominators(cells: np.ndarray) -> np.ndarray:
    """Which scans each figure of FIGURES speaks of: cells (N, 4) bool -> (N, figures) float."""
    tp, fn, fp, tn = cells.T
    return np.stack([tp | fn, fp | tn, tp | fp, fn | tn, tp | fn | fp, tp | fn | fp | tn], 1).astype(
        np.float64
    )


def _interval(value: float, drawn: np.ndarray, level: float, patients: int, present: int) -> Interval | None:
    usable = drawn[~np.isnan(drawn)]
    if np.isnan(value) or len(usable) < USABLE_SHARE * len(drawn):
        return None
    low, high = (float(limit) for limit in np.quantile(usable, [(1 - level) / 2, (1 + level) / 2]))
    if value in (0.0, 1.0) and low == high:
        low, high = exact_limits(int(value) * present, present, level)
    return Interval(value, low, high, level, len(usable), patients)


def _operating_points(
    truth: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thresholds from the highest down, and the shares of sick and of well they call: (K,) each.

    A threshold lies half way between two neighbouring scores; the last one is the lowest score itself.
    """
    truth, probability = checked_ranking(truth, probability)
    if truth.all() or not truth.any():
        raise DataError("a threshold cannot be chosen on scans that all have the same truth")
    scores = np.unique(probability)[::-1]
    cuts = np.r_[(scores[:-1] + scores[1:]) / 2, scores[-1]]
    cuts = np.where(cuts > np.r_[scores[1:], -np.inf], cuts, scores)  # half way may round onto the lower one
    sick, well = np.sort(probability[truth]), np.sort(probability[~truth])
    true = 1 - np.searchsorted(sick, cuts, side="left") / len(sick)
    false = 1 - np.searchsorted(well, cuts, side="left") / len(well)
    return cuts, true, false


def _hits_and_alarms(
    truth: np.ndarray, probability: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    called = probability[:, None] >= thresholds[None]
    return (called & truth[:, None]).astype(np.float64), (called & ~truth[:, None]).astype(np.float64)


def _per_patient(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Rows of scans summed over each patient: (N, K), (N,) -> (patients, K)."""
    sums = np.zeros((int(codes.max()) + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums


def _checked_thresholds(thresholds: np.ndarray) -> np.ndarray:
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if thresholds.ndim != 1 or not len(thresholds) or not ((thresholds > 0) & (thresholds < 1)).all():
        raise UsageError("thresholds of a decision curve must be probabilities above 0 and below 1")
    return thresholds


def _checked(
    truth: np.ndarray, probability: np.ndarray, patients: Sequence[object] | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth, probability = checked_ranking(truth, probability)
    codes = patient_codes(patients)
    if len(codes) != len(truth):
        raise ShapeError(f"{len(codes)} patients for {len(truth)} scans; give one per scan")
    for kind, name in ((truth, "with"), (~truth, "without")):
        if len(np.unique(codes[kind])) < 2:
            raise DataError(f"fewer than two patients {name} the finding: no figure has an interval here")
    return truth, probability, codes
