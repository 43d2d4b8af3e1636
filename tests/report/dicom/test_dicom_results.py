"""DICOM results as a whole: all comes back, validators are content, bad input is refused."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import highdicom
import made_stories
import numpy as np
import pydicom
import pytest
from made_dicom_scans import LABEL, SMALL, Made, findings_of, make_patient, relevance_of, tell, write_scan

from glasslung.data.formats import DicomLabel, read_scan, write_mask, write_volume
from glasslung.data.formats.nifti import read_nifti
from glasslung.data.story import read_story, write_story
from glasslung.errors import DataError, UsageError
from glasslung.report.dicom import left_out, match_sources, write_dicom_results
from glasslung.types import Geometry, Lungs

sys.path.insert(0, str(Path(__file__).parents[2] / "data" / "formats"))
from dicom_making import enhanced

FILES = ["scan-01-seg.dcm", "scan-01-sr.dcm", "report.dcm", "scan-01-relevance.dcm"]


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Made:
    return make_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture(scope="module")
def out(patient, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "out"
    written = write_dicom_results(patient.folder, patient.files, folder)
    assert [path.name for path in written] == FILES and all(path.is_file() for path in written)
    return folder


def groups_of(report):
    """Tracking identifier -> its measurement group, of a TID 1500 report."""
    (box,) = [item for item in report.ContentSequence if _named(item) == "126010"]
    return {
        next(text.TextValue for text in group.ContentSequence if _named(text) == "112039"): group
        for group in box.ContentSequence
    }


def figures_of(group):
    """Code -> the figures of a group by that name, in order."""
    told = {}
    for item in group.ContentSequence:
        if item.ValueType == "NUM":
            value = item.MeasuredValueSequence[0]
            told.setdefault(_named(item), []).append(
                float(value.get("FloatingPointValue", value.NumericValue))
            )
    return told


def _named(item):
    return item.ConceptNameCodeSequence[0].CodeValue


# --- figures ------------------------------------------------------------------------------------------------


def test_every_figure_of_the_report_is_the_storys(patient, out):
    scan = patient.story.scans[0]
    groups = groups_of(pydicom.dcmread(out / "scan-01-sr.dcm"))
    for region in scan.regions:
        name = region.name.capitalize()
        assert figures_of(groups[name])["118565006"] == [region.ml]
        told = {"Opacity by density": region.affected} | {
            kind.capitalize(): amount for kind, amount in region.lesions.items()
        }
        for finding, amount in told.items():
            key = finding if region.name == "both lungs" else f"{finding}, {region.name}"
            assert figures_of(groups[key]) == {
                "118565006": [amount.ml],
                "share-of-lung": [amount.percent],
            }, key
    score = figures_of(groups["CT severity score"])
    assert score["severity-score"] == [scan.severity.points]
    assert score["severity-zone"] == [zone.points for zone in scan.severity.zones]
    assert figures_of(groups["Probability of COVID-19"]) == {"122157": [scan.diagnosis.probability]}
    assert len(groups) == 5 * len(scan.regions) + 2


def test_a_probability_never_stands_without_its_caveats(patient, out):
    group = groups_of(pydicom.dcmread(out / "scan-01-sr.dcm"))["Probability of COVID-19"]
    said = " ".join(item.TextValue for item in group.ContentSequence if item.ValueType == "TEXT")
    told = patient.story.scans[0].diagnosis
    for words in (*told.doubts, told.limits, told.trained_on, "no diagnosis", "not a medical device"):
        assert words.lower() in said.lower(), words
    (finding,) = [item for item in group.ContentSequence if _named(item) == "121071"]
    assert "Suspected" in finding.ConceptCodeSequence[0].CodeMeaning


def test_measurements_refer_to_their_segment_and_to_the_slices_that_hold_it(patient, out):
    seg = pydicom.dcmread(out / "scan-01-seg.dcm")
    report = pydicom.dcmread(out / "scan-01-sr.dcm")
    groups = groups_of(report)
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in patient.volume.source.files]
    for name, mask in (("Right lung", patient.lungs == 1), ("Consolidation", patient.lesions == 2)):
        images = [item for item in groups[name].ContentSequence if item.ValueType == "IMAGE"]
        (segment,) = [item for item in images if _named(item) == "121191"]
        where = segment.ReferencedSOPSequence[0]
        assert where.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert seg.SegmentSequence[where.ReferencedSegmentNumber - 1].SegmentLabel == name
        sources = {
            item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
            for item in images
            if _named(item) == "121233"
        }
        held = mask.any(axis=(1, 2))
        assert sources == {h.SOPInstanceUID for h, there in zip(headers, held, strict=True) if there}
    assert report.VerificationFlag == "UNVERIFIED" and report.CompletionFlag == "COMPLETE"
    listed = {
        one.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert seg.SOPInstanceUID in listed


def test_relevance_comes_back_within_the_precision_of_floats(patient, out):
    stored = pydicom.dcmread(out / "scan-01-relevance.dcm")
    wanted = read_nifti(patient.folder / "masks/scan-01/relevance.nii.gz")[0]
    told = np.frombuffer(stored.FloatPixelData, np.float32).reshape(-1, stored.Rows, stored.Columns)
    order = {
        pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID: d
        for d, file in enumerate(patient.volume.source.files)
    }
    back = np.zeros(wanted.shape, np.float32)
    for frame, plane in zip(stored.PerFrameFunctionalGroupsSequence, told, strict=True):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        back[order[source]] = plane
    assert np.array_equal(back, wanted.astype(np.float32))
    assert len(told) == wanted.any(axis=(1, 2)).sum() < len(wanted)
    assert stored.ContentQualification == "RESEARCH"
    highdicom.pm.ParametricMap.from_dataset(stored)


def test_the_pages_are_the_encapsulated_ones(out):
    stored = pydicom.dcmread(out / "report.dcm")
    pages = (out / "report.pdf").read_bytes()
    assert stored.EncapsulatedDocument[: stored.EncapsulatedDocumentLength] == pages
    assert pages.startswith(b"%PDF") and stored.MIMETypeOfEncapsulatedDocument == "application/pdf"
    seg = pydicom.dcmread(out / "scan-01-seg.dcm", specific_tags=["SOPInstanceUID"])
    assert seg.SOPInstanceUID in {one.ReferencedSOPInstanceUID for one in stored.SourceInstanceSequence}


def test_the_pages_and_the_story_name_nobody(patient, out):
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    said = subprocess.run(
        ["pdftotext", out / "report.pdf", "-"], check=True, capture_output=True, text=True
    ).stdout
    for name in (LABEL.patient_id, "PHANTOM"):
        assert name not in said
        assert name not in (patient.folder / "story.json").read_text()


# --- again --------------------------------------------------------------------------------------------------


def hashes(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_a_second_run_writes_the_same_bytes_over_the_first(patient, out, monkeypatch):
    quickly(monkeypatch, out)
    before = hashes(out)
    write_dicom_results(patient.folder, patient.files, out)
    assert hashes(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing is left beside it"


def test_another_mask_becomes_another_object(patient, out, tmp_path, monkeypatch):
    quickly(monkeypatch, out)
    folder = shutil.copytree(patient.folder, tmp_path / "story")
    lesions = patient.lesions.copy()
    lesions[np.argwhere(lesions)[0][0]] = 0
    write_mask(lesions, patient.volume, folder / "masks/scan-01/lesions.nii.gz")
    write_dicom_results(folder, patient.files, tmp_path / "out")
    uids = [[pydicom.dcmread(one / name).SOPInstanceUID for name in FILES] for one in (out, tmp_path / "out")]
    assert uids[0][0] != uids[1][0] and uids[0][1] != uids[1][1]
    assert uids[0][2:] == uids[1][2:], "pages and map did not change"


# --- programs that judge ------------------------------------------------------------------------------------


def said_by(*command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: dicom3tools, dcmtk)")
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60)


@pytest.mark.parametrize("name", FILES)
def test_dciodvfy_finds_no_error(out, name):
    done = said_by("dciodvfy", str(out / name))
    wrong = [line for line in done.stderr.splitlines() + done.stdout.splitlines() if line.startswith("Error")]
    assert done.returncode == 0 and wrong == []


@pytest.mark.parametrize("name", FILES)
def test_dcmtk_reads_every_object_without_a_complaint(out, name):
    done = said_by("dcmdump", "-q", str(out / name))
    assert done.returncode == 0 and done.stderr == ""


def test_dcmtk_reads_the_structured_report_and_the_pages(out, tmp_path):
    told = said_by("dsrdump", "-Ee", str(out / "scan-01-sr.dcm"))
    assert told.returncode == 0 and "E:" not in told.stderr
    assert "Lung consolidation" in told.stdout and "UNVERIFIED" in told.stdout
    pages = said_by("dcm2pdf", str(out / "report.dcm"), str(tmp_path / "back.pdf"))
    assert pages.returncode == 0
    assert (tmp_path / "back.pdf").read_bytes() == (out / "report.pdf").read_bytes()


# --- other scans --------------------------------------------------------------------------------------------


def quickly(monkeypatch, before=None):
    """Without drawing pages, which do not matter here; those of an earlier set serve."""
    pages = b"%PDF-1.4 pages" if before is None else (before / "report.pdf").read_bytes()
    monkeypatch.setattr("glasslung.report.dicom.results.pdf_of_story", lambda folder: pages)


def test_names_in_any_alphabet_are_inherited(tmp_path, monkeypatch):
    quickly(monkeypatch)
    made = make_patient(tmp_path / "a", drawn=replace(SMALL, slices=8))
    for file in made.files["scan-01"]:
        header = pydicom.dcmread(file)
        header.SpecificCharacterSet = ["ISO 2022 IR 6", "ISO 2022 IR 87"]
        header.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
        header.save_as(file)
    story = replace(made.story, scans=(replace(made.story.scans[0], sha256=_sha(made.files["scan-01"])),))
    write_story(story, made.folder)
    write_dicom_results(made.folder, made.files, tmp_path / "out")
    for name in FILES:
        assert str(pydicom.dcmread(tmp_path / "out" / name).PatientName) == (
            "Yamada^Tarou=山田^太郎=やまだ^たろう"
        )


def _sha(files):
    each = sorted({hashlib.sha256(file.read_bytes()).hexdigest() for file in files})
    return hashlib.sha256("\n".join(each).encode()).hexdigest()


def test_a_header_without_identity_gives_objects_without_one(tmp_path, monkeypatch):
    quickly(monkeypatch)
    made = make_patient(tmp_path / "a", drawn=replace(SMALL, slices=8))
    for file in made.files["scan-01"]:
        header = pydicom.dcmread(file)
        del header.PatientID, header.PatientBirthDate, header.AccessionNumber, header.StudyID
        header.save_as(file)
    story = replace(made.story, scans=(replace(made.story.scans[0], sha256=_sha(made.files["scan-01"])),))
    write_story(story, made.folder)
    write_dicom_results(made.folder, made.files, tmp_path / "out")
    seg = pydicom.dcmread(tmp_path / "out" / FILES[0])
    assert seg.PatientID in ("", None) and seg.PatientSex in ("", None)


def test_a_date_that_is_none_is_told_and_its_value_is_not(patient, tmp_path, capsys):
    folder, scan = shutil.copytree(patient.folder, tmp_path / "story"), patient.story.scans[0]
    files = [Path(shutil.copy(file, tmp_path)) for file in patient.files["scan-01"]]
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"20200310", b"2020MEIER"[:8]))
    write_story(replace(patient.story, scans=(replace(scan, sha256=_sha(files)),)), folder)
    with pytest.raises(DataError, match="header cannot be inherited; export the scan again") as told:
        write_dicom_results(folder, {"scan-01": files}, tmp_path / "out")
    assert "MEIE" not in str(told.value) + capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_multi_frame_scan_in_any_order_of_frames(tmp_path, monkeypatch):
    quickly(monkeypatch)
    volume, lungs, opacities = made_stories.drawn_chest(made_stories.Drawn(0.9, slices=6, side=32))
    order = [3, 0, 5, 1, 4, 2]
    enhanced(tmp_path / "scan.dcm", volume, order)
    scan = read_scan(tmp_path / "scan.dcm")
    lesions = made_stories.learned(opacities)
    lungs = Lungs(lungs.mask, lungs.quality)
    found = findings_of(
        tmp_path / "story", scan, lungs, opacities, lesions, relevance_of(lesions), diagnosed=True
    )
    tell(tmp_path / "story", found)
    write_dicom_results(tmp_path / "story", {"scan-01": [tmp_path / "scan.dcm"]}, tmp_path / "out")
    seg = highdicom.seg.segread(tmp_path / "out" / FILES[0])
    back = seg.get_pixels_by_source_frame(
        pydicom.dcmread(tmp_path / "scan.dcm").SOPInstanceUID,
        [order.index(d) + 1 for d in range(6)],
        combine_segments=False,
        ignore_spatial_locations=True,
    )
    assert np.array_equal(back[..., 0] > 0, lungs.mask == 1)
    z = [
        frame.PlanePositionSequence[0].ImagePositionPatient[2]
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]
    assert set(np.round(z, 3)) <= set(np.round(volume.affine[2, 3] + volume.affine[2, 0] * np.arange(6), 3))


def test_a_scan_without_lesions_or_diagnosis_has_neither_in_its_results(tmp_path, monkeypatch):
    quickly(monkeypatch)
    made = make_patient(tmp_path, drawn=replace(SMALL, slices=8), diagnosed=False)
    scan = made.story.scans[0]
    bare = replace(
        scan,
        masks={"lungs": scan.masks["lungs"]},
        origin=None,
        lesion_quality=None,
        severity=None,
        regions=tuple(replace(region, affected=None, lesions=None) for region in scan.regions),
    )
    write_story(replace(made.story, scans=(bare,)), made.folder)
    written = write_dicom_results(made.folder, made.files, tmp_path / "out")
    assert [path.name for path in written] == FILES[:3]
    seg = pydicom.dcmread(written[0])
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["Right lung", "Left lung"]
    assert set(groups_of(pydicom.dcmread(written[1]))) == {r.name.capitalize() for r in scan.regions}


# --- input that is not right --------------------------------------------------------------------------------


def test_files_of_another_scan_are_refused_and_nothing_is_written(patient, tmp_path):
    other = write_scan(tmp_path / "other", replace(patient.volume, voxels=patient.volume.voxels + 1))
    with pytest.raises(DataError, match="none of the 24 files given is the series that was measured"):
        write_dicom_results(patient.folder, {"scan-01": other}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_scan_with_a_slice_gone_is_refused(patient, tmp_path):
    with pytest.raises(DataError, match="the unchanged files"):
        write_dicom_results(patient.folder, {"scan-01": patient.files["scan-01"][1:]}, tmp_path / "out")


def test_the_scan_is_found_among_files_of_other_series(patient, tmp_path, monkeypatch):
    quickly(monkeypatch)
    write_volume(patient.volume, tmp_path / "other", DicomLabel("P001", number=2))
    files = [*sorted((tmp_path / "other").iterdir()), *reversed(patient.files["scan-01"])]
    write_dicom_results(patient.folder, {"scan-01": files}, tmp_path / "out")
    seg = pydicom.dcmread(tmp_path / "out" / FILES[0])
    source = pydicom.dcmread(patient.files["scan-01"][0], stop_before_pixels=True)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID


def test_a_mask_that_lies_elsewhere_is_refused(patient, tmp_path, monkeypatch):
    quickly(monkeypatch)
    folder = shutil.copytree(patient.folder, tmp_path / "story")
    moved = patient.volume.affine.copy()
    moved[:3, 3] += 3.0
    elsewhere = replace(patient.volume, affine=moved)
    write_mask(patient.lungs, elsewhere, folder / "masks/scan-01/lungs.nii.gz")
    with pytest.raises(DataError, match="corners lie up to"):
        write_dicom_results(folder, patient.files, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["story"]


def test_a_story_cannot_lead_out_of_its_folder(patient, tmp_path, monkeypatch):
    quickly(monkeypatch)
    folder = shutil.copytree(patient.folder, tmp_path / "story")
    scan = replace(patient.story.scans[0], masks={"lungs": "../../secret.nii.gz"})
    write_story(replace(patient.story, scans=(scan,)), folder)
    with pytest.raises(DataError, match="lies outside"):
        write_dicom_results(folder, patient.files, tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"kind": "nifti"}, "read from nifti: there is no DICOM series"),
        ({"geometry": Geometry.ASSUMED}, "does not say where its slices lie"),
    ],
)
def test_scans_that_have_no_place_in_a_pacs_are_told_why(patient, tmp_path, change, why):
    folder = shutil.copytree(patient.folder, tmp_path / "story")
    scan = replace(patient.story.scans[0], **change)
    write_story(replace(patient.story, scans=(scan,)), folder)
    with pytest.raises(DataError, match=why):
        write_dicom_results(folder, patient.files, tmp_path / "out")
    assert why in left_out(folder, {})[0]


def test_results_never_replace_somebody_elses_files(patient, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("mine")
    with pytest.raises(DataError, match="holds other files"):
        write_dicom_results(patient.folder, patient.files, tmp_path / "out")
    assert (tmp_path / "out" / "letter.txt").read_text() == "mine"


def test_a_scan_that_the_story_does_not_have(patient, tmp_path):
    with pytest.raises(UsageError, match="the story has no 'scan-07'"):
        write_dicom_results(patient.folder, {"scan-07": []}, tmp_path / "out")


def test_no_results_lie_half_written_when_one_object_fails(patient, tmp_path, monkeypatch):
    quickly(monkeypatch)

    def fail(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("glasslung.report.dicom.results.relevance_map", fail)
    with pytest.raises(RuntimeError):
        write_dicom_results(patient.folder, patient.files, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- which path is which scan -------------------------------------------------------------------------------


def test_paths_are_matched_to_scans_by_content(patient, tmp_path):
    zipped = shutil.make_archive(str(tmp_path / "scan"), "zip", patient.files["scan-01"][0].parent)
    with match_sources(patient.folder, [tmp_path / "scan.zip"]) as sources:
        assert len(sources["scan-01"]) == 24 and zipped.endswith("scan.zip")
    assert left_out(patient.folder, {}) == ["scan-01: its DICOM files were not given"]
    assert read_story(patient.folder).scans[0].scan == "scan-01"


def test_a_folder_that_holds_no_scan_of_the_story(patient, tmp_path):
    write_scan(tmp_path / "other", replace(patient.volume, voxels=patient.volume.voxels + 1))
    with (
        pytest.raises(DataError, match="other: holds no scan of this story"),
        match_sources(patient.folder, [tmp_path / "other"]),
    ):
        pass
