"""DICOM results of real scans, with all that real headers leave out."""

import highdicom
import numpy as np
import pydicom
import pytest
from test_dicom_results import said_by

from glasslung.analyze import MaskMaking, PrognosisSettings, Settings, analyze
from glasslung.data.formats import read_mask, read_scan
from glasslung.data.formats.dicom_origin import find_origin
from glasslung.errors import DataError
from glasslung.report.dicom import match_sources, write_dicom_results

PLAIN = Settings(
    masks=MaskMaking(segmenter="none"), classifier="none", prognosis=PrognosisSettings(model="none")
)


@pytest.mark.real
def test_a_real_series_gets_results_that_the_validators_accept(real, tmp_path, monkeypatch):
    monkeypatch.setattr("glasslung.report.dicom.results.pdf_of_story", lambda folder: b"%PDF-1.4 pages")
    source = real / "dicom" / "cip_ct64_series"
    analyze([source], tmp_path / "story", PLAIN)
    with match_sources(tmp_path / "story", [source]) as sources:
        written = write_dicom_results(tmp_path / "story", sources, tmp_path / "out")
    scan = read_scan(source)
    lungs = read_mask(tmp_path / "story/masks/scan-01/lungs.nii.gz", scan)
    seg = highdicom.seg.segread(written[0])
    uids = [pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID for file in scan.source.files]
    masks = seg.get_pixels_by_source_instance(uids, combine_segments=False, ignore_spatial_locations=True)
    assert np.array_equal(masks[..., 0] > 0, lungs == 1) and np.array_equal(masks[..., 1] > 0, lungs == 2)
    for path in written:
        done = said_by("dciodvfy", str(path))
        assert not [line for line in done.stderr.splitlines() if line.startswith("Error")], path.name


@pytest.mark.real
def test_slices_that_name_no_frame_of_reference_are_refused(real):
    folder = real / "dicom" / "lungmask_testdata"
    scan = read_scan(folder)
    with pytest.raises(DataError, match="lacks FrameOfReferenceUID"):
        find_origin(sorted(folder.glob("*.dcm")), scan.source.sha256, scan.shape, "scan-01")
