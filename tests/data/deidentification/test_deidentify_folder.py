"""A folder de-identified: nothing of the patient is left, all that matters is."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest

from glasslung.data.deidentification import Options
from glasslung.data.formats import read_scan
from glasslung.errors import DataError, UsageError
from made_identities import FIRST, NAME, NUMBER, PLANTED, SECOND, all_bytes, datasets, identified, run


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """Two studies, twelve days apart, in folders that name the patient, and what became of them."""
    home = tmp_path_factory.mktemp("deidentify")
    identified(home / "in" / "Quastenberg" / "a", FIRST)
    identified(home / "in" / "Quastenberg" / "b", SECOND, "071205")
    result = run(home / "in", home / "out", home / "keys" / "key.json")
    return home, result


def test_nothing_of_the_patient_is_left(patient):
    home, result = patient
    everything = all_bytes(home / "out")
    assert result.written == 6 and not result.aside
    for text in PLANTED:
        assert text.encode() not in everything, text


def test_voxels_geometry_and_days_between_stay(patient):
    home, _ = patient
    before = [read_scan(home / "in" / "Quastenberg" / name) for name in "ab"]
    folders = sorted((home / "out").glob("GL-*/study-*"))
    after = sorted((read_scan(folder) for folder in folders), key=lambda volume: volume.source.acquired)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.voxels, new.voxels)
        np.testing.assert_array_equal(old.affine, new.affine)
        assert (old.source.kernel, old.source.body_part) == (new.source.kernel, new.source.body_part)
    days = [
        (pair[1].source.acquired.date() - pair[0].source.acquired.date()).days for pair in (before, after)
    ]
    assert days == [12, 12]
    assert after[0].source.patient_key == after[1].source.patient_key != before[0].source.patient_key


def test_headers_say_what_was_done(patient):
    home, _ = patient
    first = datasets(home / "out")[0]
    assert first.PatientIdentityRemoved == "YES" and first.BurnedInAnnotation == "NO"
    assert first.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [code.CodeValue for code in first.DeidentificationMethodCodeSequence] == ["113100", "113107"]
    assert first.StudyTime == "120000" and str(first.PatientName) == first.PatientID
    assert first.preamble == bytes(128)
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert not [element for element in first if element.tag.is_private]


def test_the_key_gives_the_same_again_and_another_key_does_not(patient, tmp_path):
    home, _ = patient
    run(home / "in", tmp_path / "again", home / "keys" / "key.json")
    run(home / "in", tmp_path / "other", tmp_path / "other.json")
    assert all_bytes(tmp_path / "again") == all_bytes(home / "out")
    same, others = (
        {str(ds.PatientID) for ds in datasets(folder)} for folder in (home / "out", tmp_path / "other")
    )
    assert len(same) == len(others) == 1 and same != others


def test_the_key_is_its_owners_alone_and_names_nobody(patient):
    home, _ = patient
    key = home / "keys" / "key.json"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "KEEP APART" in json.loads(key.read_text())["warning"]
    assert NUMBER not in key.read_text()


def test_characteristics_and_device_stay_when_asked(patient, tmp_path):
    home, _ = patient
    run(home / "in", tmp_path / "out", home / "keys" / "key.json", Options(True, True, True))
    first = datasets(tmp_path / "out")[0]
    assert (first.PatientSex, first.PatientAge) == ("F", "073Y")
    assert first.ManufacturerModelName == "Definition Edge"
    assert first.StationName == "CTAWP77301"
    assert first.SeriesDescription == "THORAX"
    assert NAME.split("^")[0].lower().encode() not in all_bytes(tmp_path / "out")


def test_places_that_cannot_be_are_refused(patient, tmp_path):
    home, _ = patient
    for out, key in (
        (home / "in" / "out", tmp_path / "k.json"),
        (tmp_path / "out", tmp_path / "out" / "k.json"),
        (tmp_path / "out", home / "in" / "k.json"),
        (home / "out", tmp_path / "k.json"),
    ):
        with pytest.raises(UsageError):
            run(home / "in", out, key)
    assert not (tmp_path / "k.json").exists() and not (tmp_path / "out").exists()


def test_a_key_that_others_can_read_or_that_is_none_is_refused(patient, tmp_path):
    home, _ = patient
    open_to_all = tmp_path / "open.json"
    open_to_all.write_bytes((home / "keys" / "key.json").read_bytes())
    open_to_all.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        run(home / "in", tmp_path / "out", open_to_all)
    (tmp_path / "none.json").write_text('{"secret": "12"}')
    with pytest.raises(DataError, match="no key"):
        run(home / "in", tmp_path / "out", tmp_path / "none.json")
