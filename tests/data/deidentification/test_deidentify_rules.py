"""The standard's table, the list of what stays, dates and times, coded pixels: each rule for itself."""

from __future__ import annotations

import datetime as dt
import io

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword
from pydicom.encaps import encapsulate

from glasslung.data.deidentification.actions import Action, Need, profile_action, resolved, table
from glasslung.data.deidentification.kept import Rule, kept_attributes
from glasslung.data.deidentification.keys import FARTHEST_DAYS, NEAREST_DAYS, Secret
from glasslung.data.deidentification.moments import Clock
from glasslung.data.deidentification.streams import clean_jpeg, clean_pixels
from glasslung.errors import DataError
from made_identities import identified

NEW_PATIENT_TAGS = range(0x00100011, 0x00100048)  # newer than the library's dictionary


def test_the_table_covers_what_the_standard_lists():
    assert len(table()) == 653
    known = {  # single entries, copied from the standard by hand
        0x00100010: "Z", 0x00100020: "Z/D", 0x00080050: "Z", 0x00080080: "X/Z/D", 0x0008103E: "X",
        0x00081155: "U", 0x00081140: "X/Z/U", 0x00181000: "X/Z/D", 0x00080022: "X/Z", 0x0040A730: "D",
        0x00080201: "X", 0x00104000: "X", 0x00020003: "U",
    }  # fmt: skip
    assert {tag: table()[tag] for tag in known} == known
    assert profile_action(0x60023000) == profile_action(0x50100005) == profile_action(0x00091001) == "X"
    assert profile_action(0x00280010) is None


@pytest.mark.parametrize(
    ("action", "need", "done"),
    [
        ("X/Z/D", Need.NONE, Action.REMOVED),
        ("X/Z/D", Need.PRESENCE, Action.EMPTIED),
        ("X/Z/D", Need.VALUE, Action.REPLACED),
        ("X/D", Need.PRESENCE, Action.REPLACED),
        ("Z", Need.NONE, Action.EMPTIED),
        ("X", Need.VALUE, Action.REMOVED),
        ("X/Z/U", Need.VALUE, Action.NEW_UID),
    ],
)
def test_choices_of_the_table_are_resolved_by_what_the_image_needs(action, need, done):
    assert resolved(action, need) is done


def test_nothing_stays_unchanged_that_the_table_takes_away():
    """What the table names may stay only by a rule that replaces, moves or empties it, or by an option."""
    moving = {Rule.UID, Rule.DATE, Rule.TIME, Rule.MOMENT, Rule.PSEUDONYM, Rule.EMPTY}
    by_option = {Rule.DEVICE, Rule.AGE, Rule.SEX, Rule.WORDS}
    for keyword, (_, rule) in kept_attributes().items():
        if profile_action(tag_for_keyword(keyword)) is not None:
            assert rule in moving | by_option, keyword


def test_no_attribute_of_a_personal_type_stays_by_itself():
    """Names, dates, times and UIDs of the whole dictionary stay by their own rules alone; free text never."""
    fitting = {"PN": Rule.PSEUDONYM, "UI": Rule.UID, "DA": Rule.DATE, "TM": Rule.TIME, "DT": Rule.MOMENT}
    for keyword, (_, rule) in kept_attributes().items():
        kind = dictionary_VR(tag_for_keyword(keyword))
        assert kind not in ("LT", "ST", "UT", "UC", "UR", "AE", "UN", "OB")
        if kind in fitting:
            assert rule in (fitting[kind], Rule.EMPTY), keyword
    names = [entry[4] for entry in DicomDictionary.values() if entry[0] == "PN"]
    assert set(names) & kept_attributes().keys() == {"PatientName", "ReferringPhysicianName"}


@given(st.dates(dt.date(1980, 1, 1), dt.date(2090, 1, 1)), st.integers(0, 4000), st.text(max_size=8))
def test_days_between_dates_stay(day, gap, patient):
    clock = Clock(Secret(bytes(32)).days_back(patient), None)
    assert NEAREST_DAYS <= clock.days_back <= FARTHEST_DAYS
    later = day + dt.timedelta(days=gap)
    one, other = (clock.date(when.strftime("%Y%m%d")) for when in (day, later))
    moved = [dt.datetime.strptime(text, "%Y%m%d").date() for text in (one, other)]
    assert (moved[1] - moved[0]).days == gap and moved[0] != day


@given(st.integers(0, 86_399), st.integers(0, 30_000))
def test_a_study_begins_at_noon_and_its_clock_goes_on(begin, later):
    clock = Clock(4000, float(begin))
    start, end = begin, (begin + later) % 86_400
    told = [clock.time(f"{t // 3600:02d}{t // 60 % 60:02d}{t % 60:02d}") for t in (start, end)]
    seconds = [int(text[:2]) * 3600 + int(text[2:4]) * 60 + int(text[4:6]) for text in told]
    assert told[0] == "120000" and seconds[1] - seconds[0] == later


@pytest.mark.parametrize("text", ["", "2021", "20211332", "next week", "2021-03-17"])
def test_what_is_no_date_is_not_kept(text):
    assert Clock(4000, 0.0).date(text) is None


def test_old_and_short_spellings_are_understood():
    clock = Clock(4000, 9 * 3600.0)
    assert clock.date("2021.03.17") == clock.date("20210317")
    assert clock.time("0930") == clock.time("09:30:00") == "123000"
    assert clock.time("093000.5") == "123000.500000"
    assert clock.moment("20210317093000.25+0100") == clock.date("20210317") + "123000.250000"


def test_pseudonyms_and_uids_hang_on_the_key():
    one, other = Secret(bytes(32)), Secret(bytes([1] * 32))
    assert one.uid("1.2.3") == one.uid("1.2.3") != one.uid("1.2.4")
    assert one.uid("1.2.3") != other.uid("1.2.3") and len(one.uid("1.2.3")) <= 64
    assert one.pseudonym("id 1") != other.pseudonym("id 1")


def jpeg(pixels, **more):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=95, **more)
    return content.getvalue()


def test_comments_and_tails_of_jpeg_streams_go_and_pixels_stay():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 32)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x010E] = "Nordhausen"
    for progressive in (False, True):
        noted = jpeg(pixels, comment=b"Quastenberg", exif=exif, progressive=progressive)
        made = clean_jpeg(noted + b"Friedebert")
        for text in (b"Quastenberg", b"Nordhausen", b"Friedebert"):
            assert text not in made
        np.testing.assert_array_equal(Image.open(io.BytesIO(made)), Image.open(io.BytesIO(noted)))


@pytest.mark.parametrize(
    "stream", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"\xff\xd8xx", b"GIF89a"]
)
def test_damaged_jpeg_streams_are_told(stream):
    with pytest.raises(DataError):
        clean_jpeg(stream)


def test_jpeg_2000_keeps_its_pixels_and_loses_its_comment(tmp_path):
    ds = pydicom.dcmread(identified(tmp_path / "scan")[0])
    pixels = (ds.pixel_array.astype(int) + 1024).clip(0, 4095).astype(np.uint16)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG2000", irreversible=False, no_jp2=True, comment=b"Quastenberg")
    assert b"Quastenberg" in content.getvalue()
    ds.PixelData = encapsulate([content.getvalue() + b"\0" * (len(content.getvalue()) % 2)])
    ds["PixelData"].is_undefined_length = True
    made, syntax = clean_pixels(ds, "1.2.840.10008.1.2.4.90")
    assert b"Quastenberg" not in made and syntax == "1.2.840.10008.1.2.4.90"
    stream = next(pydicom.encaps.generate_frames(made, number_of_frames=1))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stream))), pixels)


def test_overlay_planes_above_the_pixels_bits_are_put_out(tmp_path):
    ds = pydicom.dcmread(identified(tmp_path / "scan")[0])
    pixels = np.arange(ds.Rows * ds.Columns, dtype=np.uint16).reshape(ds.Rows, ds.Columns)
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 15)
    ds.PixelData = (pixels | 0x8000).tobytes()
    made, _ = clean_pixels(ds, "1.2.840.10008.1.2.1")
    np.testing.assert_array_equal(np.frombuffer(made, np.uint16).reshape(pixels.shape), pixels)


@pytest.mark.parametrize(("tag", "value"), [("BitsAllocated", 32), ("Rows", 400)])
def test_pixels_that_are_not_all_there_are_told(tmp_path, tag, value):
    ds = pydicom.dcmread(identified(tmp_path / "scan")[0])
    setattr(ds, tag, value)
    with pytest.raises(DataError, match="cut short"):
        clean_pixels(ds, "1.2.840.10008.1.2.1")
    with pytest.raises(DataError, match="not known here"):
        clean_pixels(ds, "1.2.840.10008.1.2.4.100")
