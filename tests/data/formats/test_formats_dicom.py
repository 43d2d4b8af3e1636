"""DICOM: series picked, ordered, placed and turned into HU, whatever the exporter did to it."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_making import AXIAL, change, chest, enhanced, series, store
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from glasslung.data.formats import DicomLabel, decoder_process, read_scan, write_volume
from glasslung.errors import DataError, UsageError
from glasslung.types import Geometry, Intensity, Severity, Volume

P1 = DicomLabel("P001", "GLASSLUNG^PHANTOM", number=1)


def codes(volume: Volume) -> dict[str, str]:
    return {remark.code: remark.text for remark in volume.source.remarks}


def test_any_order_any_depth_with_junk_around(tmp_path: Path) -> None:
    volume = chest()
    files = series(tmp_path / "s", volume)
    (tmp_path / "s" / "deep" / "er").mkdir(parents=True)
    for n, file in enumerate(files):
        home = tmp_path / "s" / ("deep/er" if n % 2 else "deep")
        shutil.move(file, home / f"{(n * 7) % 11:02d}{'' if n % 3 else '.jpg'}")
    (tmp_path / "s" / "README.txt").write_text("hello")
    (tmp_path / "s" / ".hidden").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "s" / "empty").write_bytes(b"")
    back = read_scan(tmp_path / "s")
    assert np.array_equal(back.voxels, volume.voxels)
    assert np.allclose(back.affine, AXIAL)
    assert len(back.source.files) == 6
    assert back.source.slice_positions_mm == pytest.approx([-300 + 2.5 * n for n in range(6)])
    assert codes(back) == {"files-ignored": "2 files that are no DICOM slices were left alone."}


def test_dicomdir_and_a_viewers_buttons_are_left_alone(tmp_path: Path) -> None:
    from PIL import Image

    series(tmp_path / "disc")
    (tmp_path / "disc" / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(30) + b"1.2.840.10008.1.3.10\0")
    Image.new("L", (9, 9)).save(tmp_path / "disc" / "button.png")
    assert read_scan(tmp_path / "disc").shape == (6, 16, 20)
    with pytest.raises(DataError, match="index of a DICOM disc"):
        read_scan(tmp_path / "disc" / "DICOMDIR")


def test_one_file_is_one_slice(tmp_path: Path) -> None:
    files = series(tmp_path / "s")
    back = read_scan(files[2])
    assert back.shape == (1, 16, 20)
    assert back.spacing_mm == pytest.approx((2.5, 0.7, 0.8))
    change(files[2], SliceThickness=None)
    alone = read_scan(files[2])
    assert alone.geometry is Geometry.ASSUMED
    assert "thickness-assumed" in codes(alone)


def test_mixed_patients_are_refused_and_one_can_be_picked(tmp_path: Path) -> None:
    series(tmp_path / "f" / "a", label=P1)
    series(tmp_path / "f" / "b", chest(seed=2), DicomLabel("P002", "SOMEBODY^ELSE", number=2))
    with pytest.raises(DataError, match=r"2 patients.*--series KEY") as caught:
        read_scan(tmp_path / "f")
    keys = {str(read_scan(tmp_path / "f" / name).source.series_key) for name in "ab"}
    assert keys == set(re.findall(r"\[([0-9a-f]{12})\]", str(caught.value)))
    assert "P001" not in str(caught.value)
    assert "SOMEBODY" not in str(caught.value)
    assert np.array_equal(read_scan(tmp_path / "f", series="2").voxels, chest(seed=2).voxels)


def test_patients_without_id_are_told_apart_by_name(tmp_path: Path) -> None:
    series(tmp_path / "f" / "a", label=DicomLabel("", "ONE^A"))
    series(tmp_path / "f" / "b", chest(seed=2), DicomLabel("", "TWO^B"))
    with pytest.raises(DataError, match="2 patients"):
        read_scan(tmp_path / "f")


def others(folder: Path) -> None:
    """A patient's study as it comes from the archive."""
    series(
        folder / "1",
        chest((3, 30, 30), 1),
        P1,
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        SeriesNumber=1,
    )
    series(folder / "2", chest((4, 16, 20), 2, 3.75), P1, SeriesNumber=2, ConvolutionKernel="STANDARD")
    series(folder / "3", chest((12, 16, 20), 3, 1.25), P1, SeriesNumber=3, ConvolutionKernel="LUNG")
    series(folder / "5", chest((15, 16, 20), 5, 1.0), P1, SeriesNumber=5, BodyPartExamined="ABDOMEN")
    series(
        folder / "6",
        chest((15, 16, 20), 6, 1.0),
        P1,
        SeriesNumber=6,
        ImageType=["DERIVED", "SECONDARY", "MPR"],
    )
    series(folder / "7", chest((15, 16, 20), 7, 1.0), P1, SeriesNumber=7, Modality="MR")


def original(ds: Any, n: int) -> list[str]:
    return ["ORIGINAL", "PRIMARY", "AXIAL"]


def test_the_best_chest_series_is_picked_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    others(folder)
    for n in "235":
        for file in (folder / n).iterdir():
            change(file, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    best = chest((12, 16, 20), 4, 1.25)
    series(folder / "4", best, P1, SeriesNumber=4, ConvolutionKernel=["B31f", "2"], ImageType=original)
    back = read_scan(folder)
    assert np.array_equal(back.voxels, best.voxels)
    assert back.source.kernel == "B31f/2"
    text = codes(back)["series-picked"]
    assert "series 4" in text.split(" was read")[0]
    assert all(f"series {n} " in text.split("Not read")[1] for n in (1, 2, 3, 5, 6, 7))
    assert "localiser" in text
    shutil.rmtree(folder / "4")
    assert "series 2" in codes(read_scan(folder))["series-picked"].split(" was read")[0]  # soft before thin
    for file in (folder / "2").iterdir():
        change(file, ConvolutionKernel="BONE")
    assert "series 3" in codes(read_scan(folder))["series-picked"].split(" was read")[0]


def test_a_short_soft_series_does_not_beat_the_whole_chest(tmp_path: Path) -> None:
    series(tmp_path / "f" / "1", chest((2, 16, 20), 1), P1, SeriesNumber=1, ConvolutionKernel="B20f")
    series(tmp_path / "f" / "2", chest((9, 16, 20), 2), P1, SeriesNumber=2, ConvolutionKernel="B70f")
    assert read_scan(tmp_path / "f").shape[0] == 9


def test_a_low_dose_scan_is_no_dose_report(tmp_path: Path) -> None:
    series(tmp_path / "f" / "1", chest((9, 16, 20), 1), P1, SeriesDescription="Low dose chest")
    series(tmp_path / "f" / "2", chest((2, 16, 20), 2), P1, SeriesDescription="other", SeriesNumber=2)
    assert read_scan(tmp_path / "f").shape[0] == 9


def test_series_by_number_uid_and_key(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    others(folder)
    wanted = chest((12, 16, 20), 3, 1.25)
    uid = str(pydicom.dcmread(next((folder / "3").iterdir())).SeriesInstanceUID)
    by_number = read_scan(folder, series="3")
    assert np.array_equal(by_number.voxels, wanted.voxels)
    assert np.array_equal(read_scan(folder, series=uid).voxels, wanted.voxels)
    key = by_number.source.series_key
    assert key is not None
    assert np.array_equal(read_scan(folder, series=key).voxels, wanted.voxels)
    with pytest.raises(DataError, match="no series '99'; say --series KEY") as caught:
        read_scan(folder, series="99")
    assert f"[{key}]" in str(caught.value)
    keys = set(re.findall(r"\[([0-9a-f]{12})\]", str(caught.value)))
    assert len(keys) == 6
    assert {read_scan(folder, series=each).source.series_key for each in keys} == keys
    with pytest.raises(DataError, match="no series ''"):
        read_scan(folder, series=" ")


def test_two_days_in_one_folder_are_a_warning(tmp_path: Path) -> None:
    series(tmp_path / "f" / "1", label=DicomLabel("P", acquired=dt.datetime(2020, 3, 1, 9), number=1))
    series(tmp_path / "f" / "2", chest(seed=3), DicomLabel("P", acquired=dt.datetime(2020, 3, 5), number=2))
    picked = next(r for r in read_scan(tmp_path / "f").source.remarks if r.code == "series-picked")
    assert picked.severity is Severity.WARN
    assert "2 different days" in picked.text


def test_copies_are_dropped(tmp_path: Path) -> None:
    files = series(tmp_path / "s")
    once = read_scan(tmp_path / "s")
    for n in (0, 3):
        shutil.copy(files[n], tmp_path / "s" / f"copy{n}")
        change(tmp_path / "s" / f"copy{n}", SOPInstanceUID=f"1.2.{n}")
    back = read_scan(tmp_path / "s")
    assert np.array_equal(back.voxels, chest().voxels)
    assert codes(back) == {"duplicate-slices": "2 slices were exact copies of others and were dropped."}
    assert np.allclose(back.affine, once.affine)
    (tmp_path / "s" / "copy0").unlink()
    (tmp_path / "s" / "note.txt").write_text("a note")
    assert codes(read_scan(tmp_path / "s")) == {
        "duplicate-slices": "One slice was an exact copy of another and was dropped.",
        "files-ignored": "One file that is no DICOM slice was left alone.",
    }


@pytest.mark.parametrize("tag", ["AcquisitionNumber", "TemporalPositionIdentifier", "TriggerTime"])
def test_two_acquisitions_in_one_series(tmp_path: Path, tag: str) -> None:
    one, two = chest((6, 16, 20), 1), chest((5, 16, 20), 2)
    uid = "1.2.3.4"
    series(tmp_path / "f" / "1", one, P1, SeriesInstanceUID=uid, **{tag: 1})
    series(tmp_path / "f" / "2", two, P1, SeriesInstanceUID=uid, **{tag: 2})
    back = read_scan(tmp_path / "f")
    assert np.array_equal(back.voxels, one.voxels)
    assert "Of 2 stacks" in codes(back)["series-picked"]
    assert any("--series KEY" in remark.remedy for remark in back.source.remarks)
    key = (back.source.series_key or "").replace(".1", ".2")
    assert np.array_equal(read_scan(tmp_path / "f", series=key).voxels, two.voxels)
    with pytest.raises(DataError, match=rf"has no part .*--series with one of .*{key}"):
        read_scan(tmp_path / "f", series=key.replace(".2", ".7"))


def test_one_position_twice_with_nothing_to_tell_them_apart(tmp_path: Path) -> None:
    series(tmp_path / "f" / "1", chest(seed=1), P1, SeriesInstanceUID="1.2.3.4")
    series(tmp_path / "f" / "2", chest(seed=2), P1, SeriesInstanceUID="1.2.3.4")
    with pytest.raises(DataError, match="one position with different pixels"):
        read_scan(tmp_path / "f")


def test_clock_times_do_not_tear_a_stack(tmp_path: Path) -> None:
    def clock(ds: Any, n: int) -> str:
        return f"1200{n:02d}"

    def later(ds: Any, n: int) -> str:
        return f"1300{n:02d}"

    series(tmp_path / "f" / "1", chest(seed=1), P1, SeriesInstanceUID="1.2.3.4", AcquisitionTime=clock)
    series(tmp_path / "f" / "2", chest(seed=2), P1, SeriesInstanceUID="1.2.3.4", AcquisitionTime=later)
    with pytest.raises(DataError, match="one position"):
        read_scan(tmp_path / "f")


def test_missing_slices_stay_visible(tmp_path: Path) -> None:
    files = series(tmp_path / "s", chest((9, 16, 20)))
    files[4].unlink()
    back = read_scan(tmp_path / "s")
    assert back.source.slice_positions_mm == pytest.approx([-300 + 2.5 * n for n in (0, 1, 2, 3, 5, 6, 7, 8)])
    assert np.allclose(back.affine @ [7, 0, 0, 1], [-120, -100, -280, 1])


def test_tilted_gantry(tmp_path: Path) -> None:
    affine, angle = AXIAL.copy(), np.deg2rad(-15)
    affine[:3, 1] = 0.7 * np.array([0, np.cos(angle), np.sin(angle)])
    write_volume(Volume(chest().voxels, affine, Intensity.HU), tmp_path / "s")
    back = read_scan(tmp_path / "s")
    assert back.source.tilt_deg == pytest.approx(15, abs=1e-6)
    assert np.allclose(back.affine, affine)
    assert back.voxel_ml == pytest.approx(2.5 * 0.7 * 0.8 * np.cos(angle) / 1000)


@pytest.mark.parametrize(
    ("dtype", "bits", "slope", "intercept"),
    [("i2", 16, 1, 0), ("u2", 16, 1, -1024), ("u2", 12, 1, -1024), ("i2", 13, 1, 0), ("u2", 16, 0.5, -1024.5),
     ("u2", 12, 2, -1024), ("i2", 16, 1, -1024)],
)  # fmt: skip
def test_rescale_types_and_bits(
    tmp_path: Path, dtype: str, bits: int, slope: float, intercept: float
) -> None:
    volume = chest()
    files = series(tmp_path / "s", volume)
    stored = np.rint((volume.voxels - intercept) / slope).astype(dtype)
    for n, file in enumerate(files):
        store(file, stored[n], BitsStored=bits, RescaleSlope=str(slope), RescaleIntercept=str(intercept))
    assert np.array_equal(read_scan(tmp_path / "s").voxels, np.rint(stored.astype(float) * slope + intercept))


def test_bits_above_the_stored_ones_are_not_read(tmp_path: Path) -> None:
    """Old scanners keep overlays in the high bits."""
    (file,) = series(tmp_path / "s", chest((1, 16, 20)))
    stored = (chest((1, 16, 20)).voxels[0] + 1024).astype("<u2")
    store(file, stored | 0x8000, BitsStored=12, RescaleIntercept="-1024")
    assert np.array_equal(read_scan(file).voxels[0], stored.astype(np.int16) - 1024)


def test_monochrome1_is_still_hu(tmp_path: Path) -> None:
    """The photometric interpretation changes how a value is shown, not what it measures."""
    series(tmp_path / "s", PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_scan(tmp_path / "s").voxels, chest().voxels)


@pytest.mark.parametrize("signed", [True, False])
def test_padding_is_air(tmp_path: Path, signed: bool) -> None:
    """LIDC gives the padding of signed pixels as an unsigned number (63536 for -2000)."""
    volume = chest((1, 16, 20))
    (file,) = series(tmp_path / "s", volume)
    stored = (volume.voxels[0] + (0 if signed else 1024)).astype("<i2" if signed else "<u2")
    stored[:, :4] = -2000 if signed else 3000
    store(file, stored, RescaleIntercept="0" if signed else "-1024")
    ds = pydicom.dcmread(file)
    ds.add_new("PixelPaddingValue", "US", 63536 if signed else 3000)
    ds.save_as(file)
    back = read_scan(file)
    assert (back.voxels[0, :, :4] == -1024).all()
    assert np.array_equal(back.voxels[0, :, 4:], volume.voxels[0, :, 4:])
    assert codes(back)["padding-to-air"].startswith("20.0 %")


def test_untagged_padding_is_air_too(tmp_path: Path) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)))
    stored = chest((1, 16, 20)).voxels[0].copy()
    stored[0] = -2048
    store(file, stored)
    assert (read_scan(file).voxels[0, 0] == -1024).all()


def test_few_tags_read(tmp_path: Path) -> None:
    gone = ("Modality", "PatientID", "PatientName", "SeriesNumber", "InstanceNumber", "StudyInstanceUID")
    gone += ("AcquisitionNumber", "BodyPartExamined", "ConvolutionKernel", "StudyDate", "HighBit")
    series(tmp_path / "s", **dict.fromkeys(gone))
    back = read_scan(tmp_path / "s")
    assert np.array_equal(back.voxels, chest().voxels)
    assert back.source.modality == "CT"  # by its storage class
    assert back.source.patient_key is None


def test_a_file_without_preamble_reads(tmp_path: Path) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)))
    for uid in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1"):
        ds, bare = pydicom.dcmread(file), tmp_path / uid
        ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
        ds.save_as(bare)
        content = bare.read_bytes()
        bare.write_bytes(content[content.find(b"\x08\x00\x08\x00") :])
        assert np.array_equal(read_scan(bare).voxels, chest((1, 16, 20)).voxels)


def test_a_ct_without_rescale_must_show_air(tmp_path: Path) -> None:
    files = series(tmp_path / "s", RescaleSlope=None, RescaleIntercept=None)
    assert "no-rescale" in codes(read_scan(tmp_path / "s"))
    for n, file in enumerate(files):
        store(file, (chest().voxels[n] + 1024).astype("<u2"))
    with pytest.raises(DataError, match="--intensity hu"):
        read_scan(tmp_path / "s")
    assert read_scan(tmp_path / "s", intensity=Intensity.HU).intensity is Intensity.HU


def test_no_position_means_assumed(tmp_path: Path) -> None:
    series(tmp_path / "s", ImagePositionPatient=None)
    back = read_scan(tmp_path / "s")
    assert back.geometry is Geometry.ASSUMED
    assert "geometry-assumed" in codes(back)
    assert np.array_equal(back.voxels, chest().voxels)


def test_other_modalities_read_as_grey(tmp_path: Path) -> None:
    files = series(tmp_path / "s", Modality="MR", WindowCenter=None, WindowWidth=None)
    back = read_scan(tmp_path / "s")
    assert (back.intensity, back.source.modality) == (Intensity.DISPLAY8, "MR")
    assert (back.voxels.min(), back.voxels.max()) == (0, 255)
    for file in files:
        change(file, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_scan(tmp_path / "s").voxels, 255 - back.voxels)


def test_eight_bit_captures_are_grey(tmp_path: Path) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)), RescaleSlope=None, RescaleIntercept=None)
    grey = np.arange(320, dtype=np.uint16).reshape(16, 20).astype(np.uint8)
    store(file, grey)
    back = read_scan(file)
    assert back.intensity is Intensity.DISPLAY8
    assert np.array_equal(back.voxels[0], grey)


def test_colour_and_reports_are_no_ct(tmp_path: Path) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)))
    change(file, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0, BitsAllocated=8,
           BitsStored=8, HighBit=7, PixelRepresentation=0, PixelData=bytes(16 * 20 * 3))  # fmt: skip
    with pytest.raises(DataError, match="colour"):
        read_scan(file)
    change(file, Rows=None, PixelData=None)
    with pytest.raises(DataError, match="no pictures"):
        read_scan(file)


def test_a_report_beside_the_series_is_left_alone(tmp_path: Path) -> None:
    files = series(tmp_path / "s")
    shutil.copy(files[0], tmp_path / "s" / "report.dcm")
    change(tmp_path / "s" / "report.dcm", Rows=None, Columns=None, PixelData=None, Modality="SR")
    assert read_scan(tmp_path / "s").shape == (6, 16, 20)


COMPRESSED = {
    "rle": ("1.2.840.10008.1.2.5", 0),
    "jpeg lossless .70": ("1.2.840.10008.1.2.4.70", 0),
    "jpeg lossless .57": ("1.2.840.10008.1.2.4.57", 0),
    "jpeg-ls": ("1.2.840.10008.1.2.4.80", 0),
    "jpeg-ls near": ("1.2.840.10008.1.2.4.81", 3),
    "jpeg 2000": ("1.2.840.10008.1.2.4.90", 0),
    "jpeg 2000 lossy": ("1.2.840.10008.1.2.4.91", 40),
    "jpeg extended 12 bit": ("1.2.840.10008.1.2.4.51", 60),
}


def compress(file: Path, name: str) -> None:
    """Code a slice with pydicom where it can, else with GDCM."""
    import gdcm

    uid, _ = COMPRESSED[name]
    ds = pydicom.dcmread(file)
    if name in ("rle", "jpeg-ls", "jpeg-ls near"):
        ds.compress(uid, **({"jls_error": 3} if name == "jpeg-ls near" else {}), generate_instance_uid=False)
        ds.save_as(file)
        return
    reader = gdcm.ImageReader()
    reader.SetFileName(str(file))
    assert reader.Read()
    coder = gdcm.ImageChangeTransferSyntax()
    coder.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(uid)))
    coder.SetInput(reader.GetImage())
    assert coder.Change(), name
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(file))
    writer.SetFile(reader.GetFile())
    writer.SetImage(coder.GetOutput())
    assert writer.Write()


# 12-bit JPEG holds unsigned values only.
@pytest.mark.parametrize(
    ("name", "signed"), [(n, s) for n in COMPRESSED for s in (True, False) if not (s and "12 bit" in n)]
)
def test_compressed_slices(tmp_path: Path, name: str, signed: bool) -> None:
    volume = chest((2, 64, 48))
    files = series(tmp_path / "s", volume)
    for n, file in enumerate(files):
        stored = (volume.voxels[n] + (0 if signed else 1024)).astype("<i2" if signed else "<u2")
        bits = 12 if name.endswith("12 bit") else 16
        store(file, stored, BitsStored=bits, RescaleIntercept="0" if signed else "-1024")
        compress(file, name)
        assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == COMPRESSED[name][0]
    back = read_scan(tmp_path / "s")
    assert np.abs(back.voxels.astype(int) - volume.voxels).max() <= COMPRESSED[name][1]
    assert np.allclose(back.affine, volume.affine)


@pytest.mark.parametrize("child", ["import os; os.abort()", "import time; time.sleep(60)", "print('{}')"])
def test_a_decoder_that_crashes_hangs_or_gives_up(
    tmp_path: Path, child: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damaged streams take C decoders down; the reader stays up and names the file."""
    (file,) = series(tmp_path / "s", chest((1, 64, 48)))
    compress(file, "jpeg lossless .70")

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(decoder_process, "_start", start)
    monkeypatch.setattr(decoder_process, "START_SECONDS", 1.0)
    monkeypatch.setattr(decoder_process, "SLICE_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"0001.dcm: its pixels are damaged"):
        read_scan(file)
    assert time.monotonic() - started < 30


def test_eight_bit_jpeg_baseline(tmp_path: Path) -> None:
    import io

    from PIL import Image
    from pydicom.encaps import encapsulate

    (file,) = series(tmp_path / "s", chest((1, 16, 20)), RescaleSlope=None, RescaleIntercept=None)
    grey = np.clip(np.indices((16, 20)).sum(0) * 7, 0, 255).astype(np.uint8)
    store(file, grey)
    coded = io.BytesIO()
    Image.fromarray(grey).save(coded, "JPEG", quality=95)
    ds = pydicom.dcmread(file)
    ds.PixelData = encapsulate([coded.getvalue()])
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    ds.save_as(file)
    assert np.abs(read_scan(file).voxels[0].astype(int) - grey).max() <= 6


def test_a_coding_that_nobody_reads_is_named(tmp_path: Path) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)))
    ds = pydicom.dcmread(file)
    ds.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
    for uid in ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.103"):  # HTJ2K, MPEG-4
        ds.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
        ds.save_as(file)
        with pytest.raises(DataError, match=r"0001.dcm: .*gdcmconv"):
            read_scan(file)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [3, 1, 5, 0, 2, 4]])
def test_enhanced_multi_frame(tmp_path: Path, order: list[int]) -> None:
    volume = chest()
    enhanced(tmp_path / "enhanced.dcm", volume, order)
    back = read_scan(tmp_path / "enhanced.dcm")
    assert np.array_equal(back.voxels, volume.voxels)
    assert np.allclose(back.affine, volume.affine)
    assert back.source.files == (tmp_path / "enhanced.dcm",)
    assert len(back.source.slice_positions_mm) == 6


@pytest.mark.parametrize(
    "tags",
    [
        {"ImagePositionPatient": [0, 0, "1e30"]},
        {"PixelSpacing": [0, 0]},
        {"PixelSpacing": ["1e-9", "1e-9"]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"RescaleSlope": "0"},
        {"RescaleSlope": "1e300"},
        {"Rows": 60000, "Columns": 60000},
        {"Rows": 17},
        {"Rows": 0},
        {"BitsAllocated": 32},
        {"NumberOfFrames": "2000000000"},
        {"NumberOfFrames": "-3"},
        {"SamplesPerPixel": 9},
    ],
    ids=str,
)
def test_damaged_headers_are_one_line(tmp_path: Path, tags: dict[str, Any]) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)), **tags)
    with pytest.raises(DataError) as caught:
        read_scan(tmp_path / "s")
    assert file.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["nan", "inf", "rubbish"])
@pytest.mark.parametrize("tag", ["ImagePositionPatient", "PixelSpacing", "RescaleIntercept", "RescaleSlope"])
def test_numbers_that_are_none(tmp_path: Path, tag: str, value: str) -> None:
    (file,) = series(tmp_path / "s", chest((1, 16, 20)))
    text = {"ImagePositionPatient": f"{value}\\0\\0", "PixelSpacing": f"{value}\\1"}.get(tag, value)
    coded = text.encode() + b" " * (len(text) % 2)
    ds, key = pydicom.dcmread(file), Tag(tag)
    ds._dict[key] = RawDataElement(key, "DS", len(coded), coded, 0, False, True, True)
    ds.save_as(file)
    with pytest.raises(DataError, match=r"0001.dcm"):
        read_scan(file)


def test_truncated_files_are_named(tmp_path: Path) -> None:
    files = series(tmp_path / "s")
    whole = files[3].read_bytes()
    for keep in (133, 200, 600, 1000, len(whole) - 100, len(whole) - 1):
        files[3].write_bytes(whole[:keep])
        with pytest.raises(DataError, match=r"0004.dcm"):
            read_scan(files[3])


def test_nothing_names_the_patient(tmp_path: Path) -> None:
    label = DicomLabel("ID-12345678", "MUELLER^ERIKA", dt.datetime(2020, 4, 2, 10, 30))
    series(
        tmp_path / "f" / "1", chest(seed=1), label, SeriesDescription="Mueller", PatientBirthDate="19640812"
    )
    series(
        tmp_path / "f" / "2", chest(seed=2), label, SeriesNumber=2, RescaleSlope=None, RescaleIntercept=None
    )
    back = read_scan(tmp_path / "f")
    source = repr([(n, v) for n, v in vars(back.source).items() if n not in ("files", "acquired")])
    for secret in ("12345678", "MUELLER", "Mueller", "ERIKA", "1964", str(tmp_path)):
        assert secret not in source
    assert back.source.acquired == dt.datetime(2020, 4, 2, 10, 30)
    assert back.source.patient_key is not None
    assert len(back.source.patient_key) == 12


def test_free_text_of_the_header_is_never_shown(tmp_path: Path) -> None:
    free = {
        "ConvolutionKernel": "B70 DOE",
        "BodyPartExamined": "CHEST DOE",
        "SeriesDescription": "Doe chest",
        "ProtocolName": "Doe",
        "ImageType": ["ORIGINAL", "DOE", "AXIAL"],
    }
    series(tmp_path / "f" / "1", chest((9, 16, 20), 1), P1, SeriesNumber=1, **free)
    series(tmp_path / "f" / "2", chest((9, 16, 20), 2), P1, SeriesNumber=2, **free | {"Modality": "DOE"})
    picked = read_scan(tmp_path / "f")
    with pytest.raises(DataError) as caught:
        read_scan(tmp_path / "f", series="99")
    said = repr([(n, v) for n, v in vars(picked.source).items() if n != "files"]) + str(caught.value)
    assert "doe" not in said.lower()
    assert (picked.source.kernel, picked.source.body_part, picked.source.modality) == (None, "CHEST", "CT")
    other = read_scan(tmp_path / "f", series="2")
    assert other.source.modality == "OT"
    assert other.intensity is Intensity.DISPLAY8


def test_a_kernel_that_is_not_shown_still_counts_when_picking(tmp_path: Path) -> None:
    series(tmp_path / "f" / "1", chest((9, 16, 20), 1), P1, SeriesNumber=1, ConvolutionKernel="B70 DOE")
    soft = chest((9, 16, 20), 2)
    series(tmp_path / "f" / "2", soft, P1, SeriesNumber=2, ConvolutionKernel="B31f")
    assert np.array_equal(read_scan(tmp_path / "f").voxels, soft.voxels)


def test_keys_are_equal_for_equal_patients(tmp_path: Path) -> None:
    for n, patient in enumerate(["A", "A ", "B"]):
        series(tmp_path / str(n), chest(seed=n), DicomLabel(patient))
    one, two, other = (read_scan(tmp_path / str(n)).source for n in range(3))
    assert one.patient_key == two.patient_key != other.patient_key
    assert one.series_key != two.series_key


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"AcquisitionDate": "20200401", "AcquisitionTime": "101112.5"}, dt.datetime(2020, 4, 1, 10, 11, 12)),
        ({"AcquisitionDateTime": "20200402081500.000000+0100"}, dt.datetime(2020, 4, 2, 8, 15)),
        ({"ContentDate": "20200403"}, dt.datetime(2020, 4, 3)),
        ({"StudyDate": "20200404", "StudyTime": "0930"}, dt.datetime(2020, 4, 4, 9, 30)),
        ({"StudyDate": "20209999"}, None),
        ({}, None),
    ],
)
def test_when_it_was_taken(tmp_path: Path, tags: dict[str, str], expected: dt.datetime | None) -> None:
    with pydicom.config.disable_value_validation():
        series(tmp_path / "s", **tags)
    assert read_scan(tmp_path / "s").source.acquired == expected


def test_hash_does_not_depend_on_names_or_order(tmp_path: Path) -> None:
    files = series(tmp_path / "s")
    before = read_scan(tmp_path / "s").source.sha256
    for n, file in enumerate(files):
        file.rename(tmp_path / "s" / f"{9 - n}")
    assert read_scan(tmp_path / "s").source.sha256 == before
    series(tmp_path / "t", chest(seed=9))
    assert read_scan(tmp_path / "t").source.sha256 != before


def test_writing_is_deterministic_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = chest()
    write_volume(volume, tmp_path / "a", P1)
    write_volume(volume, tmp_path / "b", P1)
    for one, two in zip(sorted((tmp_path / "a").iterdir()), sorted((tmp_path / "b").iterdir()), strict=True):
        assert one.read_bytes() == two.read_bytes()
    with pytest.raises(DataError, match="not empty"):
        write_volume(volume, tmp_path / "a")
    from glasslung.data.formats import dicom_writing

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dicom_writing, "_fill", stop)
    with pytest.raises(KeyboardInterrupt):
        write_volume(volume, tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_written_names_are_only_the_given_ones(tmp_path: Path) -> None:
    write_volume(chest(), tmp_path / "s")
    ds = pydicom.dcmread(next((tmp_path / "s").iterdir()))
    assert (str(ds.PatientName), ds.PatientID, ds.StudyDate) == ("", "", "")
    grey = Volume(np.zeros((2, 3, 4), np.uint8), AXIAL, Intensity.DISPLAY8)
    with pytest.raises(UsageError):
        write_volume(grey, tmp_path / "t", P1)


@pytest.mark.real
def test_real_series(real: Path) -> None:
    dicom, nrrd = (
        read_scan(real / "dicom" / "cip_ct64_series"),
        read_scan(real / "chest_ct_hu" / "cip_ct-64.nrrd"),
    )
    assert np.array_equal(dicom.voxels, nrrd.voxels)
    assert np.allclose(dicom.affine, nrrd.affine, atol=1e-3)
    few = read_scan(real / "dicom" / "lungmask_testdata")
    assert few.voxels.min() == -1024
    with pytest.raises(DataError, match="3 patients"):
        read_scan(real / "dicom" / "lidc_small")
    lidc = read_scan(real / "dicom" / "lidc_small" / "LIDC-IDRI-0001")
    assert lidc.source.body_part == "CHEST"
    assert "padding-to-air" in codes(lidc)
