"""DICOM Segmentations: voxel for voxel what the story holds, wherever and however the scan lies."""

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from made_dicom_scans import PLACES, SMALL, make_patient

from glasslung.report.dicom import write_dicom_results
from glasslung.types import Lesion, Lung


@pytest.fixture(scope="module", params=[place for place in PLACES if place != "upright"])
def written(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("seg")
    made = make_patient(root, request.param, replace(SMALL, slices=12))
    with pytest.MonkeyPatch.context() as patch:  # the pages are the same wherever the scan lies
        patch.setattr("glasslung.report.dicom.results.pdf_of_story", lambda folder: b"%PDF-1.4 pages")
        write_dicom_results(made.folder, made.files, root / "out")
    return made, root / "out"


def slices_of(made):
    """The source headers in the order in which the scan was read."""
    return [pydicom.dcmread(file, stop_before_pixels=True) for file in made.volume.source.files]


def segments_by_source(seg, uids):
    """Segment's label -> (D, H, W) mask, laid on the source slices by their UIDs alone."""
    masks = seg.get_pixels_by_source_instance(uids, combine_segments=False, ignore_spatial_locations=True)
    names = [seg.get_segment_description(n).segment_label for n in seg.segment_numbers]
    return {name: masks[..., n].astype(bool) for n, name in enumerate(names)}


def test_every_mask_comes_back_voxel_by_voxel_on_its_source_slices(written):
    made, out = written
    seg = highdicom.seg.segread(out / "scan-01-seg.dcm")
    masks = segments_by_source(seg, [header.SOPInstanceUID for header in slices_of(made)])
    wanted = {
        "Right lung": made.lungs == Lung.RIGHT,
        "Left lung": made.lungs == Lung.LEFT,
        "Ground glass": made.lesions == Lesion.GROUND_GLASS,
        "Consolidation": made.lesions == Lesion.CONSOLIDATION,
        "Crazy paving": made.lesions == Lesion.CRAZY_PAVING,
        "Opacity by density": made.opacities > 0,
    }
    assert masks.keys() == wanted.keys()
    for name, mask in wanted.items():
        assert mask.any(), name
        assert np.array_equal(masks[name], mask), name


def test_every_frame_lies_where_its_source_slice_lies(written):
    made, out = written
    seg = pydicom.dcmread(out / "scan-01-seg.dcm")
    where = {header.SOPInstanceUID: header for header in slices_of(made)}
    shared = seg.SharedFunctionalGroupsSequence[0]
    first = next(iter(where.values()))
    assert np.allclose(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, first.ImageOrientationPatient, atol=1e-6
    )
    assert np.allclose(shared.PixelMeasuresSequence[0].PixelSpacing, first.PixelSpacing)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        header = where[source.ReferencedSOPInstanceUID]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(place, header.ImagePositionPatient, atol=1e-4)
    assert seg.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == made.volume.shape[0]


def test_segments_carry_the_codes_of_the_standard(written):
    _, out = written
    seg = pydicom.dcmread(out / "scan-01-seg.dcm")
    told = {}
    for segment in seg.SegmentSequence:
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        side = kind.get("SegmentedPropertyTypeModifierCodeSequence")
        told[segment.SegmentLabel] = (
            segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue,
            kind.CodingSchemeDesignator,
            kind.CodeValue,
            side[0].CodeValue if side else None,
        )
    assert told["Right lung"] == ("91723000", "SCT", "39607008", "24028007")
    assert told["Left lung"] == ("91723000", "SCT", "39607008", "7771000")
    assert told["Ground glass"] == ("49755003", "DCM", "112120", None)
    assert told["Consolidation"] == ("49755003", "SCT", "95436008", None)
    assert told["Crazy paving"] == ("49755003", "99GLASSLUNG", "crazy-paving", None)
    assert told["Opacity by density"] == ("49755003", "DCM", "112001", None)


def test_every_object_is_of_the_patient_and_study_and_says_that_it_is_derived(written):
    made, out = written
    source = slices_of(made)[0]
    series = set()
    for file in sorted(out.glob("*.dcm")):
        one = pydicom.dcmread(file)
        for tag in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyTime"):
            assert one[tag].value == source[tag].value, (file.name, tag)
        assert one.SeriesInstanceUID != source.SeriesInstanceUID
        assert one.Manufacturer == "glasslung"
        assert one.SoftwareVersions == made.story.provenance.glasslung
        assert "research" in one.SeriesDescription
        assert one.SOPInstanceUID.startswith("2.25.") and len(one.SOPInstanceUID) <= 64
        series.add(one.SeriesInstanceUID)
    assert len(series) == 4
    seg = pydicom.dcmread(out / "scan-01-seg.dcm")
    assert seg.ImageType[0] == "DERIVED" and "not a medical device" in seg.ContentDescription
    assert seg.SegmentSequence[2].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == (
        "glasslung network lesions-made"
    )
