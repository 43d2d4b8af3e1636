"""Files as archives send them, coded by dcmtk or with all slices in one: read alike before and after."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from glasslung.data.formats import read_scan
from made_identities import PLANTED, all_bytes, identified, run


def alike(home):
    run(home / "in", home / "out", home / "k.json")
    before, after = read_scan(home / "in"), read_scan(next((home / "out").glob("GL-*")))
    np.testing.assert_array_equal(before.voxels, after.voxels)
    np.testing.assert_array_equal(before.affine, after.affine)
    everything = all_bytes(home / "out")
    assert not [text for text in PLANTED if text.encode() in everything]


@pytest.mark.parametrize("coder", [("dcmcjpeg", "+e1"), ("dcmcrle",)])
def test_coded_pixels_go_through_as_they_are(tmp_path, coder):
    if shutil.which(coder[0]) is None:
        pytest.skip(f"{coder[0]} (dcmtk) is not installed")
    for file in identified(tmp_path / "in"):
        ds = pydicom.dcmread(file)
        ds.PixelData = (ds.pixel_array.astype(int) + 1024).clip(0, 4095).astype("<u2").tobytes()
        ds.PixelRepresentation, ds.BitsStored, ds.HighBit, ds.RescaleIntercept = 0, 12, 11, "-1024"
        ds.save_as(file)
        subprocess.run([*coder, file, file.with_suffix(".coded")], check=True, timeout=60)
        file.with_suffix(".coded").replace(file)
    syntax = pydicom.dcmread(next((tmp_path / "in").iterdir())).file_meta.TransferSyntaxUID
    alike(tmp_path)
    made = next((tmp_path / "out").rglob("*.dcm"))
    assert pydicom.dcmread(made).file_meta.TransferSyntaxUID == syntax


def test_an_enhanced_file_keeps_its_places_and_greys(tmp_path):
    files = identified(tmp_path / "slices")
    slices = sorted((pydicom.dcmread(f) for f in files), key=lambda ds: ds.ImagePositionPatient[2])
    ds, frames = slices[0], []
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    shared, measures, plane, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, ds.SliceThickness
    plane.ImageOrientationPatient = ds.ImageOrientationPatient
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "1", "0", "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [rescale]
    for one in slices:
        frame, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        content.FrameComments, content.FrameAcquisitionDateTime = "Quastenberg", one.AcquisitionDateTime
        frame.PlanePositionSequence, frame.FrameContentSequence = [place], [content]
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    ds.NumberOfFrames = len(slices)
    ds.PixelData = b"".join(one.PixelData for one in slices)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del ds[name]
    (tmp_path / "in").mkdir()
    ds.save_as(tmp_path / "in" / "all.dcm")
    alike(tmp_path)


def test_cosines_next_to_nothing_are_kept(tmp_path):
    for file in identified(tmp_path / "in"):
        ds = pydicom.dcmread(file)
        ds.ImageOrientationPatient = ["1", "6.1232340e-17", "0", "-6.123234e-17", "1", "0"]
        ds.save_as(file)
    alike(tmp_path)
