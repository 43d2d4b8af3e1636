"""Cohorts of phantoms: who is in them, what is written, and the best reachable score."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.cohort import read_cohort
from glasslung.data.formats import read_mask, read_scan
from glasslung.data.phantom import (
    PhantomCohort,
    counterfactual,
    draw_cohort,
    draw_patient,
    render,
    slices,
    write_cohort,
    write_patient,
)
from glasslung.data.phantom.outcome import c_index
from glasslung.data.phantom.patient import Patient
from glasslung.errors import DataError, UsageError
from glasslung.types import Lesion

TINY = (20, 40, 40)


def slow_c_index(risk: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    """Harrell's C, pair by pair as it is defined."""
    good, pairs = 0.0, 0
    for i in range(len(risk)):
        for j in range(len(risk)):
            if event[i] and (days[i] < days[j] or (days[i] == days[j] and not event[j])):
                pairs += 1
                good += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return good / pairs if pairs else float("nan")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=12))
def test_the_c_index_equals_its_definition(rows: list[tuple[int, int, bool]]) -> None:
    risk, days, event = (np.array(column) for column in zip(*rows, strict=True))
    assert c_index(risk, days, event) == pytest.approx(slow_c_index(risk, days, event), nan_ok=True)


def test_the_mix_is_exact_and_sites_are_dealt_evenly() -> None:
    cohort = draw_cohort(40, seed=3, mix={"covid": 2, "healthy": 2}, sites=("a", "b"))
    assert Counter(p.disease for p in cohort.patients) == {"covid": 20, "healthy": 20}
    assert Counter((p.disease, p.site.name) for p in cohort.patients)["covid", "a"] == 10
    assert len({p.name for p in cohort.patients}) == 40


def test_label_and_site_can_be_tied_on_purpose() -> None:
    cohort = draw_cohort(12, mix={"covid": 1, "healthy": 1}, sites={"covid": ("a",), "healthy": ("c",)})
    assert {(p.disease, p.site.name) for p in cohort.patients} == {("covid", "a"), ("healthy", "c")}


def test_the_best_c_index_lies_between_chance_and_certainty_and_is_reached_by_the_true_risk() -> None:
    cohort = draw_cohort(300, seed=1)
    assert 0.65 < cohort.ceiling.event < 0.95
    assert 0.6 < cohort.ceiling.stay < 0.95
    assert cohort.own_ceiling.event == pytest.approx(cohort.ceiling.event, abs=0.08)
    ill = [p for p in cohort.patients if p.disease != "healthy"]
    assert cohort.own_ceiling.patients == len(ill)
    risk = np.array([p.outcome.log_risk for p in ill])
    days = np.array([p.outcome.event_day for p in ill])
    event = np.array([bool(p.outcome.event) for p in ill])
    assert cohort.own_ceiling.event == pytest.approx(slow_c_index(risk, days, event))
    age = np.array([p.age for p in ill])
    assert c_index(age, days, event) < cohort.own_ceiling.event


def test_severe_patients_meet_the_event_more_often() -> None:
    fate = [
        np.mean([draw_patient(seed, severity=worst).outcome.event is True for seed in range(200)])
        for worst in (0.1, 0.5, 0.9)
    ]
    assert fate[0] < fate[1] < fate[2]


def test_the_counterfactual_cohort_is_the_same_people_never_ill() -> None:
    cohort = draw_cohort(6, seed=2, mix={"covid": 1})
    never = counterfactual(cohort)
    assert [p.body for p in never.patients] == [p.body for p in cohort.patients]
    assert {p.disease for p in never.patients} == {"healthy"}


def test_a_written_cohort_reads_back(tmp_path: Path) -> None:
    cohort = draw_cohort(10, seed=4, sites=("a", "c"), mix={"covid": 1, "healthy": 1})
    table = write_cohort(cohort, tmp_path, days=(2, 9), shape=TINY)
    cases = read_cohort(table).cases
    assert len(cases) == 20
    assert {case.split for case in cases} <= {"train", "val", "test"}
    sides = {(case.patient, case.split) for case in cases}
    assert len(sides) == 10
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert 0.5 < truth["best_c_index"]["simulation"]["event"] < 1
    case = next(case for case in cases if case.label == "covid" and case.day == 9)
    patient = next(p for p in cohort.patients if p.name == case.patient)
    chest = render(patient, 9, shape=TINY)
    volume = read_scan(tmp_path / case.image)
    assert np.array_equal(volume.voxels, chest.volume.voxels)
    assert case.lesions is not None
    lesions = read_mask(tmp_path / case.lesions, volume)
    noted = truth["patients"][case.patient]["scans"][case.scan]["lesion_ml"]
    for kind in (Lesion.GROUND_GLASS, Lesion.CONSOLIDATION):
        assert (lesions == kind).sum() * volume.voxel_ml == pytest.approx(noted[kind.name.lower()], abs=0.01)
    assert case.event_day == patient.outcome.event_day
    assert case.extra["age"] == str(patient.age)


def test_a_second_run_keeps_what_is_whole_and_makes_what_is_missing(tmp_path: Path) -> None:
    cohort = draw_cohort(2, seed=5, mix={"covid": 1}, sites=("c",))
    write_cohort(cohort, tmp_path, days=(1, 5), shape=TINY)
    images = sorted(tmp_path.rglob("image.nii.gz"))
    before = {image: image.stat().st_mtime_ns for image in images}
    images[0].unlink()
    write_cohort(cohort, tmp_path, days=(1, 5), shape=TINY)
    after = {image: image.stat().st_mtime_ns for image in sorted(tmp_path.rglob("image.nii.gz"))}
    assert after.keys() == before.keys()
    assert [image for image in images if after[image] != before[image]] == [images[0]]


def test_dicom_dates_follow_the_days(tmp_path: Path) -> None:
    patient = draw_patient(9, "covid", "b", 0.5)
    first, second = (
        read_scan(p) for p in write_patient(patient, (2, 6), tmp_path, as_dicom=True, shape=TINY)
    )
    assert first.source.acquired is not None
    assert second.source.acquired is not None
    assert (second.source.acquired - first.source.acquired).days == 4
    assert first.source.patient_key == second.source.patient_key
    chest = render(patient, 2, shape=TINY)
    seen = chest.volume.voxels[
        chest.volume.voxels > -1024
    ]  # a reader may turn the scanner's padding into air
    assert np.array_equal(np.sort(first.voxels[first.voxels > -1024]), np.sort(seen))


def voxels(path: Path) -> np.ndarray:
    return read_scan(path).voxels


@pytest.mark.parametrize("as_dicom", [True, False])
def test_other_settings_replace_scan_and_truth_together(tmp_path: Path, as_dicom: bool) -> None:
    def write(patient: Patient, out: Path) -> Path:
        return write_patient(patient, (8,), out, as_dicom, TINY)[0]

    ill = draw_patient(9, "covid", "b", 0.9)
    for number, other in enumerate(
        (
            ill.without_disease(),
            ill.at_site("c"),
            draw_patient(9, "covid", "b", 0.3),
            draw_patient(9, "bacterial", "b", 0.9),
        )
    ):
        out = tmp_path / str(number)
        write(ill, out)
        again, fresh = write(other, out), write(other, tmp_path / f"fresh{number}")
        assert np.array_equal(voxels(again), voxels(fresh))
        for mask in fresh.parent.glob("truth/*/*"):
            assert (out / mask.relative_to(fresh.parent)).read_bytes() == mask.read_bytes()
        assert sorted(p.name for p in out.iterdir()) == sorted([again.name, "truth"])


def test_the_same_settings_keep_the_scan_and_another_version_does_not(tmp_path, monkeypatch) -> None:
    patient = draw_patient(9)

    def written() -> int:
        (scan,) = write_patient(patient, (8,), tmp_path, as_dicom=True, shape=TINY)
        return scan.stat().st_ino

    first = written()
    assert written() == first
    monkeypatch.setattr("glasslung.data.phantom.folder.__version__", "next")
    assert written() != first


def test_a_scan_is_there_in_one_form_only(tmp_path: Path) -> None:
    patient = draw_patient(9)
    for as_dicom in (True, False, True):
        (scan,) = write_patient(patient, (8,), tmp_path, as_dicom, TINY)
        assert list(tmp_path.glob("p*")) == [scan]


@pytest.mark.parametrize("broken", ["_write_truth", "write_volume", "write_mask", "render"])
def test_a_stop_half_way_recovers(tmp_path: Path, monkeypatch, broken: str) -> None:
    """Stopped while it replaces a scan: neither the old nor the new settings find half of the other."""
    ill = draw_patient(9, "covid", "b", 0.9)
    for number, wanted in enumerate((ill, ill.without_disease())):
        out = tmp_path / str(number)
        write_patient(ill, (8,), out, as_dicom=True, shape=TINY)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"glasslung.data.phantom.folder.{broken}", _stop)
            write_patient(ill.without_disease(), (8,), out, as_dicom=True, shape=TINY)
        (scan,) = write_patient(wanted, (8,), out, as_dicom=True, shape=TINY)
        chest = render(wanted, 8, shape=TINY)
        (again,) = write_patient(wanted, (8,), tmp_path / f"fresh{number}", as_dicom=True, shape=TINY)
        assert np.array_equal(voxels(scan), voxels(again))
        lesions = read_mask(out / "truth" / scan.name / "lesions.nii.gz", chest.volume)
        assert np.array_equal(lesions, chest.lesions)


def _stop(*_args: object, **_more: object) -> None:
    raise KeyboardInterrupt


def test_a_stopped_cohort_does_not_take_the_new_scan_for_the_old(tmp_path: Path, monkeypatch) -> None:
    ill = draw_cohort(1, seed=5, mix={"covid": 1}, sites=("c",))
    write_cohort(ill, tmp_path, days=(8,), shape=TINY)
    (image,) = tmp_path.rglob("image.nii.gz")
    before = image.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("glasslung.data.phantom.folder.write_mask", _stop)
        write_cohort(counterfactual(ill), tmp_path, days=(8,), shape=TINY)
    assert image.read_bytes() != before
    write_cohort(ill, tmp_path, days=(8,), shape=TINY)
    assert image.read_bytes() == before


def test_what_is_not_provably_ours_is_left_alone(tmp_path: Path) -> None:
    patient = draw_patient(9)
    mine = tmp_path / "p000009_d008" / "mine.dcm"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(DataError, match="no truth that shows it was drawn here; choose an empty folder"):
        write_patient(patient, (2, 8), tmp_path, as_dicom=True, shape=TINY)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [mine]


def test_two_patients_never_share_a_folder(tmp_path: Path) -> None:
    write_patient(draw_patient(9), (2, 8), tmp_path, shape=TINY)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"p000009_d002.*not a scan of p000010; choose an empty folder"):
        write_patient(draw_patient(10), (2,), tmp_path, shape=TINY)
    with pytest.raises(DataError, match=r"p000009_d008.*other settings.*choose an empty folder"):
        write_patient(draw_patient(9, "healthy"), (2,), tmp_path, shape=TINY)
    assert sorted(tmp_path.rglob("*")) == before
    write_patient(draw_patient(9), (5,), tmp_path, shape=TINY)
    assert len(list(tmp_path.glob("p*"))) == 3


@pytest.fixture(scope="module")
def one_patient() -> PhantomCohort:
    return draw_cohort(1)


NO_DAYS = [(), (float("nan"),), (0, float("inf")), (1e9,), (-1e9,), (4, 4), (4, 4.01)]


@pytest.mark.parametrize("days", NO_DAYS)
def test_impossible_days_are_refused_before_anything_is_made(tmp_path: Path, one_patient, days) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="day"):
        write_patient(draw_patient(9), days, out, shape=TINY)
    with pytest.raises(UsageError, match="day"):
        write_cohort(one_patient, out, days, TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_dicom", [True, False])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_drawn(
    tmp_path, monkeypatch, one_patient, as_dicom
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("glasslung.data.phantom.folder.render", _stop)
    for out in (tmp_path / "file", tmp_path / "file" / "deep" / "out", Path("/proc/x")):
        with pytest.raises(DataError, match="cannot be written"):
            write_patient(draw_patient(9), (0,), out, as_dicom, TINY)
        with pytest.raises(DataError, match="cannot be written"):
            write_cohort(one_patient, out, (0,), TINY)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_slices_are_lungs_alone_and_one_size() -> None:
    patients = [draw_patient(seed, "covid", "ab"[seed % 2], 0.6) for seed in range(3)]
    made = slices(patients, days=(0, 8), size=48)
    assert made.hu.shape == made.grey.shape == made.lesions.shape == (6, 48, 48)
    assert not made.grey[made.lungs == 0].any()
    assert (made.grey[made.lungs > 0] > 0).all()
    assert not made.lesions[made.lungs == 0].any()
    assert list(made.patient) == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(made.lungs[0], made.lungs[1])
    assert (made.lesions[1] > 0).sum() > (made.lesions[0] > 0).sum()
    never = slices(patients, days=(0, 8), size=48, disease=False)
    assert not never.lesions.any()
    assert np.array_equal(never.lungs, made.lungs)
    right, left = (np.argwhere(made.lungs[0] == side)[:, 1].mean() for side in (1, 2))
    assert right < left  # seen from the feet: the patient's right is on the left


def test_impossible_requests_are_refused() -> None:
    for number in (0, -3, 2_000_000):
        with pytest.raises(UsageError, match=rf"patients \(--patients\) is 1 to 1000000, got {number}$"):
            draw_cohort(number)
    with pytest.raises(UsageError, match="covid, bacterial, healthy, not 'gout'"):
        draw_cohort(5, mix={"gout": 1})
    for share in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="share of covid is a number of 0 or more"):
            draw_cohort(5, mix={"healthy": 2, "covid": share})
    with pytest.raises(UsageError, match="share of 0"):
        draw_cohort(5, mix={"covid": 0})
    with pytest.raises(UsageError, match="seed is 0 or more"):
        draw_cohort(5, seed=-1)
    with pytest.raises(UsageError):
        slices([], [1])
