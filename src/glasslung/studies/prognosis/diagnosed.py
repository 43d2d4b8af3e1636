"""Tables 1 and 2: how well COVID-19 is told from another pneumonia at hospitals that were not learned from.

One scan of each patient, on a day of the course drawn by lot. A method stands there as its best fold (the
paper's way), as the mean of its folds and as their ensemble. Cuts come from validation patients of the
trained hospital: nothing is chosen on the scans that are scored. Beside them: what the lungs' outlines alone
and the day alone tell, and readers, where a table of their readings was given; on phantoms they are
simulated.

    diagnose -> {part: {
      'scans', 'with', 'outline': triple, 'day': triple
      'methods': {name: {'auc', 'roc': {'false', 'true', 'low', 'high'}, 'sensitivity', 'specificity';
                  of ensembles 'folds': [AUC of each network], 'mean of folds': triple}}
      'difference': {'names': [first, second], 'delong': {'difference', 'low', 'high', 'p'}} or null
      'readers': [{'reader', 'scans', 'sensitivity', 'specificity'}]
    }}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from glasslung.data.readers import TASKS, Readings, Scale
from glasslung.errors import DataError
from glasslung.measure.agreement import reader_points
from glasslung.measure.decisions import calls_at, youden_threshold
from glasslung.measure.delong import delong_test
from glasslung.measure.ranking import auc, auc_interval
from glasslung.measure.roccurves import roc_band
from glasslung.measure.statistics import Interval, bootstrap_by_patient
from glasslung.studies.diagnosis.source import OUTLINE, source_tells
from glasslung.studies.prognosis.folded import I3D, RESNET, Folded
from glasslung.studies.prognosis.ground import PrognosisGround

BEST, ENSEMBLE = "best fold", "ensemble"
WAYS = (BEST, ENSEMBLE)
DIAGNOSIS = TASKS[0]
DIGITS = 4
OUTLINE_STREAM = 6


def diagnose(
    ground: PrognosisGround,
    folded: Mapping[str, Folded],
    readings: Mapping[str, Readings],
    seed: int,
    draws: int,
) -> dict[str, Any]:
    """Every figure at every part that was not learned from; see the head of this file."""
    return {part: _of_part(ground, folded, readings, part, seed, draws) for part in ground.outside}


def inner(ground: PrognosisGround, folded: Mapping[str, Folded]) -> dict[str, Any]:
    """How the folds did on their own validation patients: each, mean and deviation, as the paper tells it."""
    return {
        name: {
            "folds": [float(one) for one in one_method.areas],
            "mean": float(one_method.areas.mean()),
            "deviation": float(one_method.areas.std(ddof=1)),
        }
        for name, one_method in folded.items()
    }


def by_days(ground: PrognosisGround, folded: Folded, seed: int, draws: int) -> list[dict[str, Any]]:
    """The ensemble's AUC on early and on late scans, all parts that were not learned from together.

    -> [{'days': [first, last], 'scans', 'with', 'auc': triple}], parted at the median day; a band with scans
    of one kind alone is left out
    """
    asked = ~ground.rows(ground.trained) & ground.diagnosed & (ground.exams.label >= 0)
    day, told = ground.stays.day, []
    middle = np.median(day[asked])
    for rows in (asked & (day < middle), asked & (day >= middle)):
        truth = ground.exams.label[rows] == 1
        if not len(truth) or truth.all() or not truth.any():
            continue
        patients = np.array(ground.exams.patients)[rows]
        found = auc_interval(truth, folded.score[rows], patients, rng=_rng(seed), draws=draws)
        span = [float(day[rows].min()), float(day[rows].max())]
        told.append(
            {"days": span, "scans": len(truth), "with": int(truth.sum()), "auc": triple(found)},
        )
    return told


def _of_part(
    ground: PrognosisGround,
    folded: Mapping[str, Folded],
    readings: Mapping[str, Readings],
    part: str,
    seed: int,
    draws: int,
) -> dict[str, Any]:
    rows = ground.rows(part) & ground.diagnosed & (ground.exams.label >= 0)
    truth = ground.exams.label[rows] == 1
    if truth.all() or not truth.any():
        raise DataError(f"part {part!r} has scans of one kind alone: a diagnosis cannot be scored there")
    patients = np.array(ground.exams.patients)[rows]
    methods = {
        f"{name}, {way}": _method(ground, one, way, rows, seed, draws)
        for name, one in folded.items()
        for way in WAYS
    }
    rng = np.random.default_rng([seed, OUTLINE_STREAM])
    outline = source_tells(ground.exams.take(np.flatnonzero(rows)), rng, (OUTLINE,), draws)[OUTLINE]
    return {
        "scans": int(rows.sum()),
        "with": int(truth.sum()),
        "outline": triple(outline),
        "day": triple(auc_interval(truth, ground.stays.day[rows], patients, rng=_rng(seed), draws=draws)),
        "methods": methods,
        "difference": _difference(folded, rows, truth, patients),
        "readers": _readers(ground, readings, rows, truth, patients, seed, draws),
    }


def _method(
    ground: PrognosisGround, one: Folded, way: str, rows: np.ndarray, seed: int, draws: int
) -> dict[str, Any]:
    """A method's best fold, or its ensemble, on some scans."""
    truth, patients = ground.exams.label[rows] == 1, np.array(ground.exams.patients)[rows]
    score = (one.log_odds[one.best] if way == BEST else one.score)[rows]
    held = ground.diagnosed & ((one.fold == one.best) if way == BEST else (one.fold >= 0))
    cut = youden_threshold(ground.exams.label[held] == 1, _probability(one.score[held]))
    calls = calls_at(truth, _probability(score), cut, patients, rng=_rng(seed), draws=draws)
    band = roc_band(truth, score, patients, rng=_rng(seed), draws=draws)
    told = {
        "auc": triple(auc_interval(truth, score, patients, rng=_rng(seed), draws=draws)),
        "roc": {
            name: [round(float(value), DIGITS) for value in getattr(band, name)]
            for name in ("false", "true", "low", "high")
        },
        "threshold": cut,
        "sensitivity": triple(calls.figures["sensitivity"]),
        "specificity": triple(calls.figures["specificity"]),
    }
    if way == ENSEMBLE:
        each = one.log_odds[:, rows].T
        told["folds"] = [auc(truth, column) for column in each.T]
        told["mean of folds"] = triple(_mean_area(truth, each, patients, seed, draws))
    return told


def _mean_area(truth: np.ndarray, each: np.ndarray, patients: np.ndarray, seed: int, draws: int) -> Interval:
    """Mean AUC of the networks of all folds, each (N, K)."""

    def mean(truth: np.ndarray, each: np.ndarray) -> float:
        if truth.all() or not truth.any():
            return float("nan")
        return float(np.mean([auc(truth, column) for column in each.T]))

    return bootstrap_by_patient(
        mean, patients, truth, each, rng=_rng(seed), draws=min(draws, 500), strata=truth
    )


def _difference(
    folded: Mapping[str, Folded], rows: np.ndarray, truth: np.ndarray, patients: np.ndarray
) -> dict[str, Any] | None:
    """The paper's network against its baseline, both as ensembles."""
    if not {I3D, RESNET} <= set(folded):
        return None
    found = delong_test(truth, folded[RESNET].score[rows], folded[I3D].score[rows], patients)
    return {
        "names": [RESNET, I3D],
        "delong": {
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "p": found.p,
        },
    }


def calls_of(read: Readings) -> np.ndarray:
    """What readers say as 1 (ill, high risk) and 0; of an ordered scale from above its middle on."""
    if read.scale is Scale.ORDERED:
        return read.says_yes(float(np.nanmedian(read.rating)) + 0.5)
    return read.says_yes()


def _readers(
    ground: PrognosisGround,
    readings: Mapping[str, Readings],
    rows: np.ndarray,
    truth: np.ndarray,
    patients: np.ndarray,
    seed: int,
    draws: int,
) -> list[dict[str, Any]]:
    if DIAGNOSIS not in readings:
        return []
    told, scans = readings[DIAGNOSIS], np.array(ground.exams.scans)[rows].tolist()
    here = {*zip(patients, scans, strict=True)}
    here |= {(one, "") for one in patients} | {("", one) for one in scans}
    if not here & {*zip(told.patients, told.scans, strict=True)}:
        return []  # nobody read a scan of this hospital
    read = told.of(list(patients), scans)
    points = reader_points(truth, calls_of(read), read.readers, patients, rng=_rng(seed), draws=draws)
    return [
        {
            "reader": one.reader,
            "scans": one.scans,
            "sensitivity": triple(one.sensitivity),
            "specificity": triple(one.specificity),
        }
        for one in points
    ]


def triple(found: Interval | None) -> list[float] | None:
    """[value, low, high] of an interval; None where there is none."""
    return None if found is None else [found.value, found.low, found.high]


def _probability(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))))


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
