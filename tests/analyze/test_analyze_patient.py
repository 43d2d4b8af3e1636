"""The main job on a phantom patient: the story it tells, and what becomes of it when things go wrong."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import glasslung.data.lungs
import glasslung.data.registration
import glasslung.predict.opening
from glasslung.analyze import Settings, analyze
from glasslung.data.formats import read_mask, read_scan, write_volume
from glasslung.data.phantom import draw_patient, render, write_patient
from glasslung.data.previewfile import read_preview
from glasslung.data.story import read_story
from glasslung.errors import DataError, RefusedError, UsageError
from glasslung.types import Geometry, Intensity, Volume

SMALL = (40, 96, 96)


@pytest.fixture(scope="module", autouse=True)
def rules_alone():
    """No network is asked: what networks say of scans has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glasslung.predict.opening, "shipped_for", lambda intensity: None)
        yield


@pytest.fixture(scope="module")
def told(course, tmp_path_factory, rules_alone):
    """The story of the patient's three scans, given out of order, and its folder."""
    out = tmp_path_factory.mktemp("told") / "out"
    scans = [course / "day30.nii.gz", course / "day00.nii.gz", course / "day09.nii.gz"]
    return analyze(scans, out, Settings(days=(30, 0, 9))), out, scans


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_scans_stand_in_order_of_their_days(told):
    story, out, _ = told
    assert [(scan.scan, scan.day) for scan in story.scans] == [
        ("scan-01", 0),
        ("scan-02", 9),
        ("scan-03", 30),
    ]
    assert story.days_known == "given"
    assert read_story(out) == story


def test_the_disease_comes_and_goes(told):
    story, _, _ = told
    first, peak, last = (scan.involvement for scan in story.scans)
    assert peak > first + 5
    assert peak > last
    step = next(c for c in story.changes if c.measure == "involvement" and c.scan_after == "scan-02")
    assert step.difference == pytest.approx(peak - first)
    assert step.per_day == pytest.approx((peak - first) / 9)


def test_masks_lie_on_the_scans_own_grid(told):
    story, out, scans = told
    volume = read_scan(scans[1])
    lungs = read_mask(out / story.scans[0].masks["lungs"], volume)
    assert set(np.unique(lungs)) == {0, 1, 2}
    both = story.scans[0].region("both lungs")
    assert both.voxels == np.count_nonzero(lungs)
    assert both.ml == pytest.approx(both.voxels * volume.voxel_ml)


def test_the_second_run_measures_nothing(told, monkeypatch):
    story, out, scans = told
    before = contents(out)
    monkeypatch.setattr(glasslung.data.lungs, "segment_lungs", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr(glasslung.data.registration, "register", lambda *_: pytest.fail("registered again"))
    assert analyze(scans, out, Settings(days=(30, 0, 9))) == story
    assert contents(out) == before


def test_each_scan_is_laid_on_the_one_before(told):
    story, out, scans = told
    first, second = story.comparisons
    assert (first.scan_before, first.scan_after) == ("scan-01", "scan-02")
    assert first.compared
    assert second.compared
    assert first.lesions_by == "density"
    assert sum(one.after_ml - one.before_ml for one in first.fates) > 100
    assert sum(one.after_ml - one.before_ml for one in second.fates) < -100
    tissue = read_mask(out / first.map, read_scan(scans[2]))
    assert set(np.unique(tissue)) <= {0, 1, 2, 3}
    assert np.count_nonzero(tissue == 2) > np.count_nonzero(tissue == 3)
    lines = (out / "lesions.csv").read_text().splitlines()
    assert len(lines) == 1 + len(first.lesions) + len(second.lesions)


def test_the_course_and_the_serial_sheet_are_told(told):
    story, out, _ = told
    (burden,) = story.trajectory
    assert burden.values == tuple(scan.involvement for scan in story.scans)
    assert burden.curve is not None
    assert story.serial.matched == ("registered", "registered", "reference")
    for file in story.serial.files:
        assert len(read_preview(out / file).views) == 3
    assert story.minor == 1


@pytest.mark.parametrize(
    "file",
    [
        "story.json",
        "masks/scan-02/scan.json",
        "masks/scan-02/lungs.nii.gz",
        "masks/scan-02/change.nii.gz",
        "masks/scan-03/serial-01.npz",
    ],
)
@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_damage_is_mended_and_never_told_as_a_result(told, tmp_path, file, damage):
    story, done, scans = told
    out = tmp_path / "out"
    shutil.copytree(done, out)
    if damage == "gone":
        (out / file).unlink()
    else:
        (out / file).write_bytes((out / file).read_bytes()[:50])
    again = analyze(scans, out, Settings(days=(30, 0, 9)))
    assert (again.scans, again.comparisons, again.serial) == (story.scans, story.comparisons, story.serial)
    assert (out / file).read_bytes()[:200] == (done / file).read_bytes()[:200]


def test_an_edited_figure_is_not_told_as_measured(told, tmp_path):
    story, done, scans = told
    out = tmp_path / "out"
    shutil.copytree(done, out)
    text = (out / "story.json").read_text()
    points = f'"points": {story.scans[1].severity.points}'
    assert points in text
    (out / "story.json").write_text(text.replace(points, '"points": 1', 1))
    assert analyze(scans, out, Settings(days=(30, 0, 9))).scans == story.scans


def test_another_patients_folder_is_left_alone(told, tmp_path):
    _, out, _ = told
    write_volume(render(draw_patient(5), 0, shape=(16, 64, 64)).volume, tmp_path / "other.nii.gz")
    before = contents(out)
    with pytest.raises(UsageError, match="story of other scans"):
        analyze([tmp_path / "other.nii.gz"], out)
    assert contents(out) == before


def test_slices_of_one_series_are_not_scans(tmp_path):
    (scan,) = write_patient(draw_patient(4), (0,), tmp_path / "p", as_dicom=True, shape=(16, 64, 64))
    halves = [tmp_path / "first", tmp_path / "second"]
    for n, half in enumerate(halves):
        half.mkdir()
        for file in sorted(scan.iterdir())[n::2]:
            shutil.copy(file, half)
    with pytest.raises(DataError, match="parts of one series"):
        analyze(halves, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_keeps_the_old_story_and_goes_on(told, course, tmp_path, monkeypatch):
    story, done, _ = told
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = contents(out)
    more = tmp_path / "day14.nii.gz"
    write_volume(render(draw_patient(4, severity=0.7), 14, shape=SMALL).volume, more)
    scans = [course / f"day{day}.nii.gz" for day in ("00", "09")] + [more, course / "day30.nii.gz"]
    segment = glasslung.data.lungs.segment_lungs

    def stop(volume):
        raise KeyboardInterrupt

    monkeypatch.setattr(glasslung.data.lungs, "segment_lungs", stop)
    with pytest.raises(KeyboardInterrupt):
        analyze(scans, out, Settings(days=(0, 9, 14, 30)))
    assert contents(out) == before

    asked = []
    monkeypatch.setattr(glasslung.data.lungs, "segment_lungs", lambda v: (asked.append(v), segment(v))[1])
    longer = analyze(scans, out, Settings(days=(0, 9, 14, 30)))
    assert len(asked) == 1
    assert [scan.day for scan in longer.scans] == [0, 9, 14, 30]
    assert longer.scans[3].regions == story.scans[2].regions
    assert [(one.scan_before, one.scan_after) for one in longer.comparisons] == [
        ("scan-01", "scan-02"),
        ("scan-02", "scan-03"),
        ("scan-03", "scan-04"),
    ]
    assert longer.comparisons[0].fates == story.comparisons[0].fates
    assert not list((out / "masks").glob(".*"))


def test_eight_bit_slices_get_no_hounsfield_figures(tmp_path):
    volume = render(draw_patient(4), 9, shape=SMALL).volume
    grey = np.clip((volume.voxels.astype(float) + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
    picture = Volume(grey, volume.affine, Intensity.DISPLAY8)
    write_volume(picture, tmp_path / "grey.nii.gz")
    (scan,) = analyze([tmp_path / "grey.nii.gz"], tmp_path / "out").scans
    assert scan.intensity is Intensity.DISPLAY8
    assert scan.involvement is None
    assert scan.severity is None
    assert all(region.bands is None and region.affected is None for region in scan.regions)
    assert set(scan.masks) == {"lungs"}


def test_days_unknown_keeps_the_order_given(course, tmp_path):
    story = analyze([course / "day09.nii.gz", course / "day00.nii.gz"], tmp_path / "out")
    assert story.days_known == "unknown"
    assert story.scans[0].involvement > story.scans[1].involvement
    assert all(change.per_day is None for change in story.changes)


def test_dates_of_dicom_scans_give_the_days(tmp_path):
    scans = write_patient(draw_patient(4), (3, 12), tmp_path / "patient", as_dicom=True, shape=(16, 64, 64))
    story = analyze(scans[::-1], tmp_path / "out")
    assert story.days_known == "dicom dates"
    assert [scan.day for scan in story.scans] == [0, 9]


@pytest.mark.parametrize(
    ("days", "names", "error", "words"),
    [
        ((), ["none.nii.gz"], UsageError, "does not exist"),
        ((), [], UsageError, "no scan was given"),
        ((0,), ["day00.nii.gz", "day09.nii.gz"], UsageError, r"1 day\(s\) for 2 scan"),
        ((float("nan"),), ["day00.nii.gz"], UsageError, "days are numbers"),
        ((), ["day00.nii.gz", "day00.nii.gz"], UsageError, "given twice"),
    ],
)
def test_requests_that_cannot_be_met(course, tmp_path, days, names, error, words):
    with pytest.raises(error, match=words):
        analyze([course / name for name in names], tmp_path / "out", Settings(days=days))
    assert not (tmp_path / "out").exists()


def test_the_same_scan_under_two_names(course, tmp_path):
    shutil.copy(course / "day00.nii.gz", tmp_path / "again.nii.gz")
    with pytest.raises(DataError, match="hold the same scan"):
        analyze([course / "day00.nii.gz", tmp_path / "again.nii.gz"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_patients_make_no_story(tmp_path):
    scans = [
        write_patient(draw_patient(seed), (0,), tmp_path / f"p{seed}", as_dicom=True, shape=(16, 64, 64))[0]
        for seed in (1, 2)
    ]
    with pytest.raises(DataError, match="two patients"):
        analyze(scans, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_refused_scan_stops_before_anything_is_written(course, tmp_path):
    chest = render(draw_patient(4), 0, shape=SMALL).volume
    stamp = Volume(chest.voxels[:, :12, :12].copy(), chest.affine, Intensity.HU)
    write_volume(stamp, tmp_path / "stamp.nii.gz")
    with pytest.raises(RefusedError, match=r"^stamp\.nii\.gz: "):
        analyze([course / "day00.nii.gz", tmp_path / "stamp.nii.gz"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_chest_without_lungs_is_refused(tmp_path):
    chest = render(draw_patient(4), 0, shape=SMALL)
    abdomen = np.where(chest.volume.voxels < -200, 30, chest.volume.voxels)[:12].astype(np.int16)
    abdomen[:, :8] = -1000
    write_volume(Volume(abdomen, chest.volume.affine, Intensity.HU), tmp_path / "belly.nii.gz")
    with pytest.raises(RefusedError, match=r"belly\.nii\.gz"):
        analyze([tmp_path / "belly.nii.gz"], tmp_path / "out")
    assert not (tmp_path / "out" / "story.json").exists()


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "intensity", "geometry"),
    [
        ("dicom/cip_ct64_series", Intensity.HU, Geometry.MEASURED),
        ("chest_ct_hu/cip_ct-64.nrrd", Intensity.HU, Geometry.MEASURED),
        ("covid_semiseg/series/radiopaedia-4_85506_1/img", Intensity.DISPLAY8, Geometry.ASSUMED),
        ("dicom/lidc_small", Intensity.HU, Geometry.MEASURED),
    ],
)
def test_real_scans(real, tmp_path, name, intensity, geometry):
    source = real / name
    if name == "dicom/lidc_small":  # two neighbouring slices of each of three patients
        source = tmp_path / "two"
        source.mkdir()
        for file in two_slices_of_one_patient(real / name):
            shutil.copy(file, source)
    (scan,) = analyze([source], tmp_path / "out").scans
    assert (scan.intensity, scan.geometry) == (intensity, geometry)
    assert scan.region("both lungs").voxels > 0
    if name == "dicom/lidc_small":
        assert "few-slices" in {remark.code for remark in scan.gate}
        assert not scan.lung_quality.trusted


def two_slices_of_one_patient(folder):
    import pydicom

    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".md")
    patient = pydicom.dcmread(files[0], stop_before_pixels=True).PatientID
    return [p for p in files if pydicom.dcmread(p, stop_before_pixels=True).PatientID == patient]
