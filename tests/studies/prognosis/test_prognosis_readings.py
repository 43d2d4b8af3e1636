"""Readers' tables in the study: what does not fit is refused before anything is trained."""

import numpy as np
import pytest
from made_ground import made_ground

from glasslung.data.readers import TASKS, read_readers
from glasslung.errors import DataError
from glasslung.studies.prognosis.diagnosed import calls_of
from glasslung.studies.prognosis.ground import People
from glasslung.studies.prognosis.readings import asked_rows, check_readings
from glasslung.studies.prognosis.study import QUICK, run_prognosis

DIAGNOSIS, ONE, _ = TASKS


@pytest.fixture(scope="module")
def ground():
    return made_ground(People((15, 9), (10, 6)))


def table(folder, *lines):
    path = folder / "readers.csv"
    path.write_text("reader,task,patient,scan,rating\n" + "".join(line + "\n" for line in lines))
    return path


def test_readings_of_known_scans_pass_by_patient_by_scan_and_by_both(ground, tmp_path):
    row = int(np.flatnonzero(asked_rows(ground))[0])
    patient, scan = ground.stays.patients[row], ground.stays.scans[row]
    lines = [f"A,{DIAGNOSIS},{patient},,1", f"A,{ONE},{patient},{scan},1", f"B,{ONE},,{scan},0"]
    check_readings(ground, read_readers(table(tmp_path, *lines)))


def test_a_scan_that_the_study_does_not_have_is_named_with_its_row(ground, tmp_path):
    patient, scan = ground.stays.patients[0], ground.stays.scans[0]
    for line, words in (
        (f"A,{DIAGNOSIS},,elsewhere,1", "elsewhere"),
        (f"A,{DIAGNOSIS},nobody,{scan},1", "nobody"),
    ):
        given = read_readers(table(tmp_path, f"A,{DIAGNOSIS},{patient},{scan},1", line))
        with pytest.raises(DataError, match=f"row 3 .*{words}"):
            check_readings(ground, given)


def test_prognoses_of_those_who_are_learned_from_tell_nothing(ground, tmp_path):
    row = int(np.flatnonzero(ground.rows(ground.trained))[0])
    line = f"A,{ONE},{ground.stays.patients[row]},{ground.stays.scans[row]},1"
    with pytest.raises(DataError, match="none of these"):
        check_readings(ground, read_readers(table(tmp_path, line)))


def test_a_table_that_cannot_be_read_stops_the_study_before_it_begins(tmp_path):
    with pytest.raises(DataError, match="row 2"):
        run_prognosis(None, tmp_path / "new", QUICK, table(tmp_path, f"A,{DIAGNOSIS},p,s,perhaps"))
    assert not (tmp_path / "new").exists()


def test_an_ordered_scale_of_a_diagnosis_is_cut_above_its_middle(tmp_path):
    lines = [f"A,{DIAGNOSIS},,s{n},{n}" for n in (1, 2, 3, 4, 5)]
    read = read_readers(table(tmp_path, *lines))[DIAGNOSIS]
    assert calls_of(read)[:, 0].tolist() == [0, 0, 0, 1, 1]
