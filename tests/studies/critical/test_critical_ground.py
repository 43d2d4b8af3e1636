"""Who is a patient of the study, and who is left out and told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.cohort import Cohort
from glasslung.errors import DataError
from glasslung.studies.critical.ground import critical_ground
from glasslung.types import Case, Intensity


def cohort_of(patients=20, **changes):
    cases = [
        Case(
            patient=f"p{n}",
            scan="1",
            image=Path(f"{n}.jpg"),
            intensity=Intensity.DISPLAY8,
            label="covid",
            event=n % 2 == 0,
            extra={"progression_days": str(n / 2), "age": "50", "sex": "1", "scan_slices": "130"},
        )
        for n in range(patients)
    ]
    for n, change in changes.items():
        row = int(n[1:])
        extra = {**cases[row].extra, **change.pop("extra", {})}
        cases[row] = replace(cases[row], extra=extra, **change)
    return Cohort("made", Path("/nowhere"), tuple(cases))


def test_everybody_with_an_endpoint_is_there():
    ground = critical_ground(cohort_of())
    assert len(ground) == 20 and ground.event.sum() == 10 and not ground.left_out
    assert ground.days[3] == 1.5 and ground.age[0] == 50 and ground.male[0] == 1
    assert ground.one_scanner().all()


def test_healthy_unknown_and_repeated_rows_are_counted():
    asked = cohort_of(p0={"label": "healthy"}, p1={"event": None}, p5={"patient": "p4"})
    ground = critical_ground(asked)
    assert len(ground) == 17 and sum(ground.left_out.values()) == 3 and len(ground.left_out) == 3


def test_an_age_of_0_is_missing_and_a_sex_of_0_is_not():
    ground = critical_ground(cohort_of(p2={"extra": {"age": "0", "sex": "0", "scan_slices": ""}}))
    assert np.isnan(ground.age[2]) and ground.male[2] == 0 and np.isnan(ground.slices[2])
    assert not ground.one_scanner()[2]


@pytest.mark.parametrize(
    ("extra", "words"),
    [({"progression_days": "-1"}, "before the scan"), ({"age": "old"}, "is no number")],
)
def test_impossible_columns_are_refused_by_row(extra, words):
    with pytest.raises(DataError, match=rf"row 4 .*{words}"):
        critical_ground(cohort_of(p3={"extra": extra}))


def test_too_few_of_one_kind_are_refused():
    with pytest.raises(DataError, match="3 patients who became critically ill"):
        critical_ground(cohort_of(6))


def test_some_of_the_patients_keep_their_lines_together():
    ground = critical_ground(cohort_of())
    some = ground.take(np.array([4, 7]), {"no picture": 18})
    assert some.patients.tolist() == ["p4", "p7"] and some.paths[1].name == "7.jpg"
    assert some.days.tolist() == [2.0, 3.5] and some.left_out == {"no picture": 18}
