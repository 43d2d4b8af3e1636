"""What readers say in this study: of a table that was given, or simulated ones of phantoms.

Their prognosis is one call per patient, high risk or low, from one scan and from two: its log-rank test and
curves stand beside the models', on the same patients. How far readers agree is told with an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.phantom.readers import simulate_readers
from glasslung.data.readers import TASKS, Readings, Scale, read_readers
from glasslung.data.stays import Stays
from glasslung.errors import DataError
from glasslung.measure.agreement import agreement
from glasslung.studies.prognosis.diagnosed import calls_of, triple
from glasslung.studies.prognosis.ground import PrognosisGround
from glasslung.studies.prognosis.scores import first_landmarks, log_rank_of

READER_STREAM = 8
PROGNOSES = TASKS[1:]


def readings_of(ground: PrognosisGround, table: Path | None, seed: int) -> dict[str, Readings]:
    """A table's readings, or of phantoms simulated ones; {} where there is neither."""
    if table is not None:
        return read_readers(table)
    if "affected_percent" not in ground.truth:
        return {}
    rng = np.random.default_rng([seed, READER_STREAM])
    outside = ~ground.rows(ground.trained)
    asked, ahead = outside & ground.diagnosed, asked_rows(ground)
    told = {TASKS[0]: _simulated(ground, asked, rng)[TASKS[0]]}
    foretold = _simulated(ground, ahead, rng)
    return told | {task: foretold[task] for task in PROGNOSES if task in foretold}


def check_readings(ground: PrognosisGround, readings: Mapping[str, Readings]) -> None:
    """Before anything is trained: every reading is of a scan of this study, and prognoses are of some asked.

    DataError names the row of the readers' table, or the task.
    """
    patients, scans = ground.stays.patients, ground.stays.scans
    known = {*zip(patients, scans, strict=True)}
    known |= {(one, "") for one in patients} | {("", one) for one in scans}
    for task, read in readings.items():
        for row, patient, scan in zip(read.rows, read.patients, read.scans, strict=True):
            if (patient, scan) not in known:
                named = (("scan", scan), ("patient", patient))
                who = " of ".join(f"{kind} {name!r}" for kind, name in named if name)
                raise DataError(
                    f"row {row} of the readers' table: this study has no {who}; use the cohort's names"
                )
        if task in PROGNOSES:
            asked = ground.stays.take(asked_rows(ground))
            read.of(asked.patients, asked.scans)


def asked_rows(ground: PrognosisGround) -> np.ndarray:
    """(N,) bool: the landmarks whose stay is foretold, one of each patient outside the trained part."""
    rows = ground.landmarks & ~ground.rows(ground.trained)
    return first_landmarks(ground.stays, rows)


def _simulated(ground: PrognosisGround, rows: np.ndarray, rng: np.random.Generator) -> dict[str, Readings]:
    stays, true = ground.stays, ground.truth["affected_percent"]
    before = np.where(stays.prior >= 0, true[stays.prior], np.nan)
    names = np.array(stays.patients)[rows], np.array(stays.scans)[rows]
    return simulate_readers(
        list(names[0]),
        list(names[1]),
        ground.covid[rows],
        true[rows],
        rng,
        before[rows],
        stays.gap[rows],
    )


def read_prognoses(
    ground: PrognosisGround, readings: Mapping[str, Readings], seed: int, draws: int
) -> dict[str, Any]:
    """Each reader's groups by task, and how far readers agree in every task.

    -> {'prognosis': [{'task', 'reader', 'patients', 'log_rank', 'sensitivity', 'specificity', 'groups'}],
        'agreement': [{'task', 'scans', 'fleiss', 'alpha', 'pairs': [{'first', 'second', 'agree', 'kappa'}]}]}
    """
    stays = ground.stays.take(asked_rows(ground))
    told = []
    for task in PROGNOSES:
        if task not in readings:
            continue
        read = readings[task].of(stays.patients, stays.scans)
        calls = calls_of(read)
        told += [_reader(stays, calls[:, r], reader, task) for r, reader in enumerate(read.readers)]
    return {
        "prognosis": [one for one in told if one is not None],
        "agreement": [_agreement(one, seed, draws) for one in readings.values() if len(one.readers) > 1],
    }


def _reader(stays: Stays, calls: np.ndarray, reader: str, task: str) -> dict[str, Any] | None:
    """One reader's two groups; None for one who read nobody here, or called all alike."""
    read = np.isfinite(calls)
    there, high = stays.take(read), calls[read] > 0.5
    if not read.any():
        return None
    long = there.long_stay
    return {
        "task": task,
        "reader": reader,
        "patients": int(read.sum()),
        "log_rank": log_rank_of(there, high),
        "sensitivity": float(high[long == 1].mean()) if (long == 1).any() else None,
        "specificity": float((~high[long == 0]).mean()) if (long == 0).any() else None,
        "groups": {
            "days": [round(float(day), 2) for day in there.stay],
            "seen": [bool(one) for one in there.seen],
            "high": [bool(one) for one in high],
        },
    }


def _agreement(read: Readings, seed: int, draws: int) -> dict[str, Any]:
    level = {Scale.YES_NO: "nominal", Scale.ORDERED: "ordinal", Scale.PROBABILITY: "interval"}[read.scale]
    names = [patient or scan for patient, scan in zip(read.patients, read.scans, strict=True)]
    rng = np.random.default_rng(seed)
    try:
        found = agreement(
            read.rating,
            read.readers,
            names,
            rng=rng,
            level=level,  # type: ignore[arg-type]
            draws=draws,
        )
    except DataError as problem:
        return {
            "task": read.task,
            "scans": 0,
            "fleiss": None,
            "alpha": None,
            "pairs": [],
            "why": str(problem),
        }
    return {
        "task": read.task,
        "scans": found.complete,
        "fleiss": triple(found.fleiss),
        "alpha": triple(found.alpha),
        "pairs": [
            {
                "first": one.first,
                "second": one.second,
                "agree": triple(one.agree),
                "kappa": triple(one.kappa),
            }
            for one in found.pairs
        ],
    }
