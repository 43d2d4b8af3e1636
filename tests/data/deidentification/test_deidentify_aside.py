"""What is not handed on, and how a run ends when something is wrong."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from glasslung.data.deidentification import folder as running
from glasslung.data.deidentification.setting_aside import Reason
from glasslung.errors import DataError
from made_identities import all_bytes, datasets, identified, run


def change(file, **tags):
    ds = pydicom.dcmread(file)
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.save_as(file)


def write_text(file, text="Quastenberg 1947", size=10):
    """Burn a text into a slice of at least 24 x 120 pixels, in its brightest grey."""
    ds = pydicom.dcmread(file)
    pixels = ds.pixel_array.copy()
    picture = Image.new("L", pixels.shape[::-1])
    pen = ImageDraw.Draw(picture)
    pen.fontmode = "1"
    pen.text((2, 2), text, fill=255, font=ImageFont.load_default(size))
    pixels[np.asarray(picture) > 0] = 3071
    ds.PixelData = pixels.tobytes()
    ds.save_as(file)


@pytest.fixture
def series_of_three(tmp_path):
    return identified(tmp_path / "in" / "scan")


def reasons(home):
    rows = csv.DictReader((home / "out" / "set_aside.csv").read_text().splitlines())
    return [row["reason"] for row in rows]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.SCOUT),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.CAPTURE),
        ({"BurnedInAnnotation": "YES"}, Reason.BURNT_IN),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, Reason.SCREEN),
        ({"BodyPartExamined": "HEAD", "ProtocolName": ""}, Reason.HEAD),
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, Reason.OTHER_PICTURE),
        ({"PixelRepresentation": 1, "Rows": 4000}, Reason.DAMAGED),
    ],
)
def test_files_that_stand_aside_say_why(series_of_three, tmp_path, tags, reason):
    own = {"SeriesInstanceUID": "1.2.3.4.77", "SeriesDescription": ""}
    change(series_of_three[0], **own, **tags)
    result = run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert reasons(tmp_path) == [reason.value]
    assert result.written == 2 and result.aside[0].number == 1


def test_reports_documents_and_other_files_stand_aside(series_of_three, tmp_path):
    ds = pydicom.dcmread(series_of_three[0])
    del ds.PixelData, ds.Rows
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.104.1", "1.2.3.9"
    ds.EncapsulatedDocument = b"%PDF Quastenberg"
    ds.save_as(tmp_path / "in" / "a.pdf.dcm")
    (tmp_path / "in" / "letter Quastenberg.txt").write_text("Dear Friedebert Quastenberg")
    (tmp_path / "in" / "z.dcm").symlink_to(series_of_three[0])
    shutil.copy(series_of_three[0], tmp_path / "in" / "copy.dcm")
    run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert set(reasons(tmp_path)) == {
        r.value for r in (Reason.NO_PICTURE, Reason.UNKNOWN, Reason.LINK, Reason.COPY)
    }
    assert b"quastenberg" not in all_bytes(tmp_path / "out")


def test_a_series_with_burnt_in_text_stands_aside_whole_unless_it_is_asked_for(tmp_path):
    from glasslung.types import Intensity, Volume

    rng = np.random.default_rng(0)
    volume = Volume(
        rng.normal(-800, 30, (3, 40, 160)).astype(np.int16), np.diag([2.5, 1, 1, 1.0]), Intensity.HU
    )
    files = identified(tmp_path / "in" / "marked", volume=volume)
    write_text(files[1])
    identified(tmp_path / "in" / "plain", date="20210330")
    result = run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert reasons(tmp_path) == [Reason.BURNT_IN.value] * 3 and result.written == 3
    run(tmp_path / "in", tmp_path / "kept", tmp_path / "k.json", keep=True)
    marks = sorted(ds.BurnedInAnnotation for ds in datasets(tmp_path / "kept"))
    assert marks == ["NO"] * 3 + ["YES"] * 3


def test_nothing_is_left_where_everything_stands_aside(series_of_three, tmp_path):
    for file in series_of_three:
        change(file, BurnedInAnnotation="YES")
    with pytest.raises(DataError, match=r"all 3 files were set aside.*--keep-flagged"):
        run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "k.json"]


def test_an_empty_folder_is_told(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="holds no files"):
        run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")


def test_a_leak_is_told_loudly_without_the_identifier_and_nothing_is_handed_on(
    series_of_three, tmp_path, monkeypatch
):
    """A cleaning that forgets one attribute is caught by the search, which says where and what sort."""
    honest = running.clean_dicom

    def forgetful(path, person, options, burnt_in):
        content, count, told = honest(path, person, options, burnt_in)
        return (
            content.replace(b"CHEST ", b"QUASTE").replace(person.pseudonym.encode(), b"X Quastenberg X"),
            count,
            told,
        )

    monkeypatch.setattr(running, "clean_dicom", forgetful)
    with pytest.raises(DataError) as problem:
        run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    said = str(problem.value)
    assert "a name or number in PatientName" in said and "quastenberg" not in said.lower()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "k.json"]


@pytest.mark.parametrize(
    "hidden", [b"20210317", b"QX-4417-0093", b"1.2.276.0.7230010.3.1.2.20210317.1.5", b"17.03.2021"]
)
def test_each_sort_of_identifier_is_found(series_of_three, tmp_path, monkeypatch, hidden):
    honest = running.clean_dicom

    def leaking(path, person, options, burnt_in):
        content, count, told = honest(path, person, options, burnt_in)
        ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        ds.ImageComments = f"x {hidden.decode()} y"
        made = pydicom.filebase.DicomBytesIO()
        ds.save_as(made)
        return made.getvalue(), count, told

    monkeypatch.setattr(running, "clean_dicom", leaking)
    with pytest.raises(DataError, match="the last check found"):
        run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")


def test_a_stopped_run_goes_on_and_ends_on_the_same_bytes(series_of_three, tmp_path, monkeypatch):
    run(tmp_path / "in", tmp_path / "whole", tmp_path / "k.json")
    honest, cleaned = running.clean_dicom, []

    def stopping(path, *more):
        if len(cleaned) == 2:
            raise KeyboardInterrupt
        cleaned.append(path)
        return honest(path, *more)

    monkeypatch.setattr(running, "clean_dicom", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert not (tmp_path / "out").exists()
    assert b"quastenberg" not in all_bytes(tmp_path / ".out.unfinished")
    cleaned.clear()
    run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert len(cleaned) == 1
    assert all_bytes(tmp_path / "out") == all_bytes(tmp_path / "whole")
    assert not (tmp_path / ".out.unfinished").exists()


def test_what_an_earlier_try_left_is_not_handed_on(series_of_three, tmp_path):
    left = tmp_path / ".out.unfinished" / "result" / "GL-OLD" / "old.dcm"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"from another try")
    run(tmp_path / "in", tmp_path / "out", tmp_path / "k.json")
    assert not (tmp_path / "out" / "GL-OLD").exists()
