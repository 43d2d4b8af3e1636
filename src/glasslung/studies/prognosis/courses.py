"""Figure 2: the diagnosis score over the days, the course it draws, and whether it peaks when the lungs do.

The law of courses is learned from the serial patients of the trained hospital (`measure.trajectory`); each
patient elsewhere is smoothed by it, and the day on which the smooth course is highest is compared with the
days on which the lungs truly were fullest, from the furthest spread to the first clearing, where these are
known. Beside it stands the guess that looks at no patient: the peak of the law's common curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glasslung.errors import DataError
from glasslung.measure.statistics import bootstrap_by_patient, share_by_patient
from glasslung.measure.trajectory import Course, Law, fit_law, shape_of, smooth
from glasslung.studies.prognosis.burden import AFFECTED, CONSOLIDATION
from glasslung.studies.prognosis.ground import PrognosisGround

WITHIN = (0.0, 2.0)  # days: how far from the true ones a peak may lie to be called right
LEAST = 3  # scans of a patient whose peak is asked for: two points have none
FULLEST = ("peak_day", "clearing_day")  # of the truth: between them nothing spreads and nothing clears
SHOWN = 12  # patients whose courses are drawn
POINTS = 43  # of a drawn curve: half a day each over three weeks
DIGITS = 4


def follow(
    ground: PrognosisGround, values: np.ndarray, rng: np.random.Generator, draws: int, amount: bool = False
) -> dict[str, Any]:
    """The course of one measure: values (N,), one per scan, of patients with COVID-19.

    amount  never below 0: it is followed as its square root, so that no limit falls below zero either

    -> {'scans', 'patients': counts of the law, 'span': [first, last day], 'common': {'days', 'mean', 'low',
        'high', 'peak_day'}, 'own_days', 'common_days', 'noise', 'people': patients drawn, a list of {'part',
        'days', 'values', 'at', 'mean', 'low', 'high', 'true_peak', 'peak'}, 'peaks': figures or null}
    DataError where nobody has a second scan.
    """
    rows = ground.covid & np.isfinite(values)
    serial = rows & _has_serial(ground.stays.patients, rows)
    if not serial.any():
        raise DataError("no patient has two scans with a score: there is no course to follow")
    stays = ground.stays
    learned = np.flatnonzero(serial & ground.rows(ground.trained))
    followed = np.sqrt(np.maximum(values, 0)) if amount else values
    law = fit_law(stays.day[learned], followed[learned], np.array(stays.patients)[learned])
    span = (float(np.floor(stays.day[serial].min())), float(np.ceil(stays.day[serial].max())))
    at = np.linspace(*span, POINTS)
    nobody = np.empty(0)
    common = smooth(law, nobody, nobody, at)
    people = _people(ground, followed, law, serial, span, rng)
    drawn = sorted(people, key=lambda one: -len(one["days"]))[:SHOWN]
    for one in drawn:
        course = smooth(law, np.array(one["days"]), np.array(one["values"]), at)
        one |= _told(course, amount) | {"at": _listed(at), "values": _own(one["values"], amount)}
    return {
        "scans": len(learned),
        "patients": len({stays.patients[row] for row in learned}),
        "span": list(span),
        "common": {"days": _listed(at), "peak_day": float(at[int(np.argmax(common.mean))])}
        | _told(common, amount),
        "own_days": law.own_days,
        "common_days": law.common_days,
        "noise": law.noise,
        "people": drawn,
        "points": {
            "days": _listed(stays.day[serial]),
            "values": _listed(values[serial]),
        },
        "ends": _ends(ground, values, serial),
        "peaks": _peaks(people, float(at[int(np.argmax(common.mean))]), rng, draws),
    }


def changes_with(
    ground: PrognosisGround, values: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, list[float]]:
    """From one scan of a patient to the next: rank correlation of a score's change with that of each burden.

    Scans of COVID-19 that were not learned from -> {column: [value, low, high]}, patients resampled; columns
    of which nothing can be said are left out
    """
    stays = ground.stays
    later = np.flatnonzero(ground.covid & ~ground.rows(ground.trained) & (stays.prior >= 0))
    names, told = np.array(stays.patients)[later], {}
    moved = values[later] - values[stays.prior[later]]
    for name in (AFFECTED, CONSOLIDATION):
        grown = ground.burdens[name][later] - ground.burdens[name][stays.prior[later]]
        known = np.isfinite(moved) & np.isfinite(grown)
        if known.sum() < LEAST or min(np.ptp(moved[known]), np.ptp(grown[known])) == 0:
            continue
        found = bootstrap_by_patient(_ranked, names[known], moved[known], grown[known], rng=rng, draws=draws)
        told[name] = [found.value, found.low, found.high]
    return told


def _ranked(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where one of the two never varies."""
    from scipy.stats import spearmanr

    flat = min(np.ptp(one), np.ptp(other)) == 0
    return float("nan") if flat else float(spearmanr(one, other).statistic)


def _told(course: Course, amount: bool) -> dict[str, list[float]]:
    """Mean and limits in the measure's own unit."""
    return {name: _own(getattr(course, name), amount) for name in ("mean", "low", "high")}


def _own(values: np.ndarray | Sequence[float], amount: bool) -> list[float]:
    return _listed(np.square(np.maximum(values, 0)) if amount else np.asarray(values, float))


def _has_serial(patients: Sequence[str], rows: np.ndarray) -> np.ndarray:
    names = np.array(patients)
    who, many = np.unique(names[rows], return_counts=True)
    return np.isin(names, who[many >= 2])


def _people(
    ground: PrognosisGround,
    values: np.ndarray,
    law: Law,
    serial: np.ndarray,
    span: tuple[float, float],
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Patients outside the trained hospital with enough scans for a peak, and where their course peaks."""
    names, told = np.array(ground.stays.patients), []
    outside = serial & ~ground.rows(ground.trained)
    for name in sorted(set(names[outside])):
        rows = np.flatnonzero(outside & (names == name))
        rows = rows[np.argsort(ground.stays.day[rows])]
        if len(rows) < LEAST:
            continue
        days = ground.stays.day[rows]
        shape = shape_of(law, days, values[rows], *span, rng)
        true = [float(ground.truth[end][rows[0]]) for end in FULLEST] if ground.truth else None
        told.append(
            {
                "part": ground.exams.split[rows[0]],
                "patient": name,
                "days": _listed(days),
                "values": _listed(values[rows]),
                "peak": [shape.peak_day.value, shape.peak_day.low, shape.peak_day.high],
                "open": shape.open_ended,
                "slope": [shape.slope.value, shape.slope.low, shape.slope.high],
                "true_peak": true,
            }
        )
    return told


def _ends(ground: PrognosisGround, values: np.ndarray, serial: np.ndarray) -> dict[str, Any]:
    """How first and last scans are scored: the paper saw all begin like COVID-19, and many not end so."""
    names, day = np.array(ground.stays.patients), ground.stays.day
    first, last = [], []
    for name in sorted(set(names[serial])):
        rows = np.flatnonzero(serial & (names == name))
        first.append(values[rows[np.argmin(day[rows])]])
        last.append(values[rows[np.argmax(day[rows])]])
    return {
        "patients": len(first),
        "first": float(np.mean(first)),
        "last": float(np.mean(last)),
        "first above 0": float((np.array(first) > 0).mean()),
        "last above 0": float((np.array(last) > 0).mean()),
    }


def _peaks(
    people: Sequence[Mapping[str, Any]], guess: float, rng: np.random.Generator, draws: int
) -> dict[str, Any] | None:
    """How often the smooth course peaks near the true peak, and its limits hold it; null without a truth."""
    known = [one for one in people if one["true_peak"] is not None]
    if len(known) < 2:
        return None
    low, high = np.array([one["true_peak"] for one in known]).T
    found = np.array([one["peak"] for one in known])
    patients = [one["patient"] for one in known]

    def off(day: np.ndarray | float) -> np.ndarray:
        return np.maximum(np.maximum(low - day, day - high), 0)

    def share(hits: np.ndarray) -> list[float]:
        one = share_by_patient(hits, patients, rng=rng, draws=draws)
        return [one.value, one.low, one.high]

    return {
        "patients": len(known),
        "guess_day": guess,
        "true": [float(low.mean()), float(high.mean())],
        "found": float(found[:, 0].mean()),
        "error": float(off(found[:, 0]).mean()),
        "error of the guess": float(off(guess).mean()),
        "within": [
            {"days": days, "course": share(off(found[:, 0]) <= days), "guess": share(off(guess) <= days)}
            for days in WITHIN
        ],
        "held": share((found[:, 1] <= high) & (low <= found[:, 2])),
    }


def _listed(values: np.ndarray) -> list[float]:
    return [round(float(value), DIGITS) for value in np.asarray(values, float)]
