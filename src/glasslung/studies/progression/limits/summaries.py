"""Figures of a cohort with their intervals over patients, ready for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glasslung.measure.statistics import Interval, bootstrap_by_patient

FEWEST = 10  # patients for a rank correlation: of fewer its interval is a guess


@dataclass(frozen=True)
class LimitSettings:
    """How it is measured."""

    draws: int = 1000  # resamples of patients for an interval
    level: float = 0.95  # of the intervals
    folds: int = 5  # by patient
    deals: int = 3  # of the patients to folds, averaged: one deal moves 240 slices by up to 0.06
    panel: int = 5  # patients of each group that set the standard of grey; no classifier meets them
    classifier: str = "quadratic"  # sees shifted means and other widths; a tenth of a second
    second: str = "forest"  # a second opinion on the richest features, from one deal: slow; "" for none


def as_json(interval: Interval) -> dict[str, Any]:
    """value, low, high, level, draws, patients."""
    return asdict(interval)


def median_of(
    values: np.ndarray, who: np.ndarray, rng: np.random.Generator, settings: LimitSettings
) -> dict[str, Any]:
    """Median, quartiles and 5th to 95th percentile of scans; an interval of the median over patients.

    The interval is None where there is one patient only.
    """
    lowest, low, middle, high, highest = (float(v) for v in np.percentile(values, (5, 25, 50, 75, 95)))
    few = len(np.unique(who)) < 2
    over = (
        None
        if few
        else as_json(
            bootstrap_by_patient(
                lambda v: float(np.median(v)),
                who,
                values,
                rng=rng,
                draws=settings.draws,
                level=settings.level,
            )
        )
    )
    return {"median": middle, "quartiles": [low, high], "most": [lowest, highest], "interval": over}


def rank_correlation(
    first: np.ndarray, second: np.ndarray, who: np.ndarray, rng: np.random.Generator, settings: LimitSettings
) -> dict[str, Any] | None:
    """Spearman's rho over patients; None where a column never varies or patients are fewer than FEWEST."""
    from scipy.stats import rankdata

    if len(np.unique(who)) < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None

    def rho(first: np.ndarray, second: np.ndarray) -> float:
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            return float("nan")
        return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])

    return as_json(
        bootstrap_by_patient(rho, who, first, second, rng=rng, draws=settings.draws, level=settings.level)
    )
