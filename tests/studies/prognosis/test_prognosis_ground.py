"""Serial scans of three hospitals, their stays and their burdens."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.cohort import Cohort
from glasslung.data.exams import BODY
from glasslung.errors import DataError, UsageError
from glasslung.measure.ranking import auc
from glasslung.studies.prognosis import ground as drawing
from glasslung.studies.prognosis.burden import AFFECTED, burden_of, zone_percents
from glasslung.studies.prognosis.ground import (
    FIRST,
    LAST_DAY,
    SITES,
    People,
    SerialScan,
    cohort_ground,
    phantom_ground,
    plan_serial,
)
from glasslung.types import Case, Intensity

FEW = People((4, 3), (3, 3))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder, patch = tmp_path_factory.mktemp("exams"), pytest.MonkeyPatch()
    patch.setattr(drawing, "SHAPE", (32, 72, 72))  # fewer voxels than the study's, for speed
    yield folder, phantom_ground(FEW, 3, folder, 32, None)
    patch.undo()


def test_no_patient_is_at_two_hospitals_and_days_tell_no_disease():
    plan = plan_serial(People((30, 30), (10, 10)), 0)
    assert plan == plan_serial(People((30, 30), (10, 10)), 0)
    where = {}
    for scan in plan:
        assert where.setdefault(scan.seed, scan.hospital) == scan.hospital
    first = {}
    for scan in plan:
        first.setdefault(scan.seed, scan)
        assert scan.day <= LAST_DAY
        assert scan.day < scan.closed
    assert all(FIRST[0] <= s.day <= FIRST[1] for s in first.values() if s.disease == "covid")
    for hospital in SITES:
        asked = [s for s in plan if s.diagnosed and s.hospital == hospital]
        covid = np.array([s.disease == "covid" for s in asked])
        days = np.array([s.day for s in asked])
        assert abs(auc(covid, days) - 0.5) < 0.05
        assert abs(np.mean(days[covid]) - np.mean(days[~covid])) < 1 and np.ptp(days) > 8
    assert [s.seed for s in plan if s.diagnosed] == list(first)
    assert len({s.seed for s in plan if s.disease == "covid" and s.hospital == "A"}) == 30
    per_patient = [sum(s.seed == seed for s in plan) for seed in first if first[seed].disease == "covid"]
    assert set(per_patient) == {2, 3, 4}
    with pytest.raises(UsageError, match="each disease"):
        People((2, 90), (10, 10))


def test_a_closed_record_is_a_stay_whose_end_was_not_seen():
    scan = SerialScan(7, "covid", "A", 2.0, 0.1, 60.0)
    outcome = scan.patient().outcome
    assert float(scan.case().extra["stay_days"]) == pytest.approx(min(outcome.stay_days, 60.0), abs=0.05)
    early = replace(scan, closed=outcome.stay_days - 1.0).case()
    assert early.extra["outcome"] == "in hospital"
    assert float(early.extra["stay_days"]) == pytest.approx(outcome.stay_days - 1.0, abs=0.06)


def test_exams_are_framed_as_the_paper_frames_them_and_are_not_drawn_twice(kept, monkeypatch):
    folder, ground = kept
    assert ground.exams.exams[0].frame == BODY
    assert ground.outside == ("B", "C") and set(ground.exams.split) == set(SITES)
    names = np.array(ground.stays.patients)
    assert all(ground.diagnosed[names == name].sum() == 1 for name in set(names))
    drawn = ground.truth["affected_percent"]
    assert np.corrcoef(ground.burdens[AFFECTED], drawn)[0, 1] > 0.99  # of drawn masks, on a coarser grid
    monkeypatch.setattr(SerialScan, "render", lambda self: pytest.fail("drawn twice"))
    again = phantom_ground(FEW, 3, folder, 32, None)
    assert again.truth["affected_percent"] == pytest.approx(drawn, abs=1e-3)
    assert again.told() == ground.told()


def test_landmarks_look_ahead_and_back(kept):
    _, ground = kept
    rows = np.flatnonzero(ground.landmarks)
    stays = ground.stays
    for row in rows:
        scan = ground.plan[row]
        outcome = scan.patient().outcome
        assert scan.disease == "covid" and stays.prior[row] >= 0
        assert scan.day < min(outcome.stay_days, scan.closed) and scan.day < outcome.event_day
    assert ground.told()["parts"][0]["landmarks"] == sum(ground.rows("A")[rows])


def test_burden_counts_what_is_drawn(kept):
    exam = kept[1].exams.exams[1]
    ill = np.count_nonzero(exam.lesions) / np.count_nonzero(exam.lungs)
    assert burden_of(exam)[AFFECTED] == pytest.approx(100 * ill)
    zones = zone_percents(exam)
    assert len(zones) == 6 and min(zones.values()) <= 100 * ill <= max(zones.values())
    clean = replace(exam, lesions=np.zeros_like(exam.lesions))
    assert set(burden_of(clean).values()) == {0.0}


def test_tables_that_cannot_be_used_are_refused_before_a_scan_is_read():
    case = Case("p", "s", Path("x.nii.gz"), Intensity.HU, day=1.0, label="covid")
    cohort = Cohort("mine", Path(), (case,))
    with pytest.raises(DataError, match="stay_days"):
        cohort_ground(cohort, None, 32)
    with pytest.raises(DataError, match="two scans on day 1"):
        cohort_ground(replace(cohort, cases=(case, replace(case, scan="t"))), None, 32)
    with pytest.raises(DataError, match="column day"):
        cohort_ground(replace(cohort, cases=(replace(case, day=None),)), None, 32)
    late = replace(case, extra={"stay_days": "-1"})
    with pytest.raises(DataError, match="before day 0"):
        cohort_ground(replace(cohort, cases=(late,)), None, 32)
