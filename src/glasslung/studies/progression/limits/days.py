"""Does the day tell the outcome? Then ages of a disease, cut along the day, are also grades of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from glasslung.data.slices import DAYS_PER_GROUP, SliceSet
from glasslung.measure.ranking import auc_interval
from glasslung.measure.separability import out_of_fold
from glasslung.studies.progression.limits.summaries import LimitSettings, as_json, median_of, rank_correlation


def day_limits(
    slices: SliceSet, event: np.ndarray, plain: np.ndarray, rng: np.random.Generator, settings: LimitSettings
) -> dict[str, Any]:
    """How the day goes with the outcome, and with the lung's grey once the outcome is known.

    event (N,) 1, 0 or NaN. Shares have exact (Clopper-Pearson) intervals, a patient counting once in a band.
    {"missing": why} where fewer than two patients of each outcome have a day.
    """
    known = ~np.isnan(slices.day) & ~np.isnan(event)
    day, ill, who = slices.day[known].astype(float), event[known] == 1, slices.patient[known]
    if min(len(np.unique(who[ill])), len(np.unique(who[~ill]))) < 2:
        with_day = int((~np.isnan(slices.day)).sum())
        return {
            "missing": f"{with_day} slices have a day and {int((~np.isnan(event)).sum())} an outcome; two "
            "patients with a day are needed of each outcome"
        }

    def told(score: np.ndarray) -> dict[str, Any]:
        return as_json(auc_interval(ill, score, who, rng=rng, draws=settings.draws, level=settings.level))

    grey = plain[known, 0]
    picture: dict[str, Any] = {"event told by the picture": None}
    if min(len(np.unique(who[ill])), len(np.unique(who[~ill]))) >= settings.folds:
        chance = out_of_fold(plain[known], ill.astype(int), who, rng=rng, folds=settings.folds)[:, 1]
        picture = {"event told by the picture": told(chance)}
    parts = {"all": np.full(len(day), True), "event": ill, "no event": ~ill}
    return {
        "patients": len(np.unique(who)),
        "events": len(np.unique(who[ill])),
        "by_day": _by_day(day, ill, who),
        "bands": _bands(day, ill, who, settings.level),
        "median_day": {
            name: median_of(day[rows], who[rows], rng, settings)
            for name, rows in parts.items()
            if name != "all"
        },
        "event told by an early day": told(-day),
        **picture,
        "grey_with_day": {
            name: rank_correlation(day[rows], grey[rows], who[rows], rng, settings)
            for name, rows in parts.items()
        },
    }


def _by_day(day: np.ndarray, ill: np.ndarray, who: np.ndarray) -> list[dict[str, float]]:
    rows = []
    for one in np.unique(np.floor(day)):
        there = np.floor(day) == one
        events = len(np.unique(who[there & ill]))
        rows.append({"day": float(one), "events": events, "others": len(np.unique(who[there])) - events})
    return rows


def _bands(day: np.ndarray, ill: np.ndarray, who: np.ndarray, level: float) -> list[dict[str, float]]:
    from scipy.stats import binomtest

    band, rows = np.floor(day / DAYS_PER_GROUP).astype(int), []
    for one in np.unique(band):
        events, count = len(np.unique(who[(band == one) & ill])), len(np.unique(who[band == one]))
        share = binomtest(events, count).proportion_ci(level, method="exact")
        first = int(one) * DAYS_PER_GROUP
        rows.append(
            {"first": first, "last": first + DAYS_PER_GROUP - 1, "patients": count, "events": events}
            | {"share": events / count, "low": float(share.low), "high": float(share.high)}
        )
    return rows
