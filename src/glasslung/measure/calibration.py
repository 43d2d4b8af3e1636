"""Whether a probability means what it says: of scans given 30 %, three in ten should have the finding.

Temperature scaling makes log-odds into probabilities on validation scans,

    p = sigmoid(log_odds / temperature + bias)

by the least negative log-likelihood (Guo et al., ICML 2017; with a bias it is Platt's scaling). As in Platt
(1999), a validation scan counts as (n + 1) / (n + 2) of its class, n scans of it, rather than as certain: a
few scans that a score happens to part completely would otherwise ask for a temperature of zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.ranking import checked_ranking
from glasslung.measure.statistics import patient_codes

COLDEST, HOTTEST = 0.01, 100.0  # temperatures outside would turn any score into 0 and 1, or into a constant
BIAS_LIMIT = 30.0  # log-odds: more is certainty in single precision
TINY = 1e-12  # a probability counts as no less than this in a logarithm


class Bins(StrEnum):
    """How scans are put into bins: as many in each, or the same stretch of probability for each."""

    MASS = "equal mass"
    WIDTH = "equal width"


@dataclass(frozen=True)
class Calibration:
    """How log-odds become a probability.

    temperature  above 1 the network was too sure of itself, below 1 not sure enough
    bias         added after division, log-odds; 0 where it was not fitted
    """

    temperature: float = 1.0
    bias: float = 0.0

    def probability(self, log_odds: np.ndarray | float) -> np.ndarray:
        """Calibrated probability of the finding: any shape -> the same shape, float64 in [0, 1]."""
        from scipy.special import expit

        return np.asarray(expit(np.asarray(log_odds, dtype=np.float64) / self.temperature + self.bias))


@dataclass(frozen=True)
class ReliabilityBin:
    """Scans with about the same probability, and how many of them have the finding.

    low, high             of the bin, probability
    mean                  mean probability of its scans
    share                 of them with the finding
    share_low, share_high 95 % limits of the share (Wilson, counted in patients)
    count                 scans in it
    """

    low: float
    high: float
    mean: float
    share: float
    share_low: float
    share_high: float
    count: int


def fit_calibration(truth: np.ndarray, log_odds: np.ndarray, with_bias: bool = False) -> Calibration:
    """Temperature, and a bias where asked, from validation scans: truth (N,) bool, log_odds (N,).

    A bias also corrects for another mixture of classes than that of training; it needs scans of both kinds in
    the mixture that is to be expected. DataError where all have the same truth. A score that ranks the wrong
    way ends at the highest temperature: its probabilities then say nothing, as they should.
    """
    from scipy.optimize import minimize

    truth, log_odds = _checked(truth, log_odds)
    if not np.isfinite(log_odds).all():
        raise DataError("a calibration needs finite log-odds; some are infinite")
    if truth.all() or not truth.any():
        raise DataError("a calibration needs validation scans of both kinds; all have the same truth")
    target = np.where(truth, _softened(truth), 1 - _softened(~truth))

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        margin = point[0] * log_odds + (point[1] if with_bias else 0.0)
        excess = _sigmoid(margin) - target
        value = (np.logaddexp(0.0, margin) - target * margin).mean()
        return float(value), np.array([(excess * log_odds).mean(), excess.mean()])[: len(point)]

    start = np.array([1.0, 0.0] if with_bias else [1.0])
    bounds = [(1 / HOTTEST, 1 / COLDEST), (-BIAS_LIMIT, BIAS_LIMIT)][: len(start)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return Calibration(float(1 / found.x[0]), float(found.x[1]) if with_bias else 0.0)


def calibration_error(
    truth: np.ndarray, probability: np.ndarray, bins: int = 10, kind: Bins = Bins.MASS
) -> float:
    """Expected calibration error (ECE): how far shares lie from probabilities, mean over scans. 0 to 1.

    truth (N,) bool, probability (N,). With few scans it is never 0, see `calibration_error_by_luck`.
    """
    rows = _binned(truth, probability, bins, kind)
    total = sum(count for *_, count in rows)
    return float(sum(abs(share - mean) * count for _, _, mean, share, count in rows) / total)


def calibration_error_by_luck(
    probability: np.ndarray,
    *,
    rng: np.random.Generator,
    bins: int = 10,
    kind: Bins = Bins.MASS,
    draws: int = 1000,
) -> tuple[float, float]:
    """The ECE that these probabilities would have were each of them true: (median, 95 % of draws below).

    An ECE above the second is a fault of the probabilities and not of the small number of scans.
    """
    probability = _checked_probability(probability)
    found = [
        calibration_error(rng.random(len(probability)) < probability, probability, bins, kind)
        for _ in range(draws)
    ]
    median, most = np.quantile(found, [0.5, 0.95])
    return float(median), float(most)


def reliability(
    truth: np.ndarray,
    probability: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    bins: int = 10,
    kind: Bins = Bins.MASS,
    level: float = 0.95,
) -> tuple[ReliabilityBin, ...]:
    """The table behind a reliability diagram: truth, probability, patients (N,); empty bins are left out.

    Limits are Wilson's with as many tries as the bin has patients, whose scans resemble each other.
    """
    truth, probability = _checked(truth, probability)
    codes = patient_codes(patients)
    if len(codes) != len(truth):
        raise ShapeError(f"{len(codes)} patients for {len(truth)} scans; give one per scan")
    edges = _edges(probability, bins, kind)
    numbers = _bin_numbers(probability, edges)
    made = []
    for (low, high, mean, share, count), number in zip(
        _binned(truth, probability, bins, kind), np.unique(numbers), strict=True
    ):
        many = len(np.unique(codes[numbers == number]))
        made.append(ReliabilityBin(low, high, mean, share, *wilson_limits(share, many, level), count))
    return tuple(made)


def brier_score(truth: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared distance of probabilities from 0 and 1: 0 perfect, 0.25 for always saying one half."""
    truth, probability = _checked(truth, probability)
    _checked_probability(probability)
    return float(((probability - truth) ** 2).mean())


def negative_log_likelihood(truth: np.ndarray, probability: np.ndarray) -> float:
    """Mean surprise at the truth, nats a scan: 0 perfect, 0.69 for always saying one half."""
    truth, probability = _checked(truth, probability)
    _checked_probability(probability)
    given = np.where(truth, probability, 1 - probability)
    return float(-np.log(np.maximum(given, TINY)).mean())


def wilson_limits(share: float, tries: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's limits of a share (0 to 1) of `tries` independent ones, which need not be whole numbers.

    Journal of the American Statistical Association 1927;22:209-12.
    """
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * tries)) / (1 + z**2 / tries)
    reach = z / (1 + z**2 / tries) * np.sqrt(share * (1 - share) / tries + z**2 / (4 * tries**2))
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def _softened(mine: np.ndarray) -> float:
    """Platt's target for a class with n scans: (n + 1) / (n + 2)."""
    return (int(mine.sum()) + 1) / (int(mine.sum()) + 2)


def _sigmoid(margin: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return np.asarray(expit(margin))


def _binned(
    truth: np.ndarray, probability: np.ndarray, bins: int, kind: Bins
) -> list[tuple[float, float, float, float, int]]:
    """(low, high, mean probability, share, count) of every bin with a scan in it."""
    truth, probability = checked_ranking(truth, probability)
    edges = _edges(_checked_probability(probability), bins, kind)
    numbers = _bin_numbers(probability, edges)
    return [
        (
            float(edges[number]),
            float(edges[number + 1]),
            float(probability[numbers == number].mean()),
            float(truth[numbers == number].mean()),
            int((numbers == number).sum()),
        )
        for number in np.unique(numbers)
    ]


def _edges(probability: np.ndarray, bins: int, kind: Bins) -> np.ndarray:
    """Edges of the bins; equal probabilities are never parted, so bins of equal mass may be fewer."""
    if bins < 1:
        raise UsageError(f"a calibration needs at least one bin, got {bins}")
    if kind is Bins.WIDTH:
        return np.linspace(0.0, 1.0, bins + 1)
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)))
    return edges if len(edges) > 1 else np.r_[edges, edges]


def _bin_numbers(probability: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.searchsorted(edges[1:-1], probability, side="right")


def _checked(truth: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, values = checked_ranking(truth, values)
    if len(truth) == 0:
        raise DataError("there is no scan to measure calibration on")
    return truth, values


def _checked_probability(probability: np.ndarray) -> np.ndarray:
    probability = np.asarray(probability, dtype=np.float64)
    if probability.size == 0 or not ((probability >= 0) & (probability <= 1)).all():
        raise DataError("probabilities must lie in 0 to 1, and there must be some; are these log-odds?")
    return probability
