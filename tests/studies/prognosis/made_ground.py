"""Serial phantoms without a picture: stays as they are drawn, burdens by the course's own law."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.stays import stays_of
from glasslung.studies.prognosis.burden import AFFECTED, CONSOLIDATION, POINTS
from glasslung.studies.prognosis.ground import People, PrognosisGround, plan_serial


def made_ground(people: People, seed: int = 0) -> PrognosisGround:
    """A ground that draws nothing; its exams have labels, parts and names alone."""
    plan = plan_serial(people, seed)
    table = Cohort("made", Path(), tuple(scan.case() for scan in plan))
    patients = [scan.patient() for scan in plan]
    exams = SimpleNamespace(
        label=np.array([scan.disease == "covid" for scan in plan], np.int64),
        split=tuple(scan.hospital for scan in plan),
        patients=tuple(one.name for one in patients),
        scans=tuple(case.scan for case in table.cases),
    )
    reached = np.array(
        [100 * float(one.course.reached(scan.day)) for one, scan in zip(patients, plan, strict=True)]
    )
    burdens = {AFFECTED: reached, CONSOLIDATION: 0.3 * reached, POINTS: np.round(reached / 6)}
    truth = {
        "affected_percent": reached,
        "peak_day": np.array([one.course.peak_day for one in patients]),
        "clearing_day": np.array([one.course.peak_day + one.course.hold_days for one in patients]),
        "log_risk": np.array([one.outcome.log_risk for one in patients], float),
    }
    return PrognosisGround("made", cast(Any, exams), stays_of(table), burdens, "A", "drawn", truth, plan)
