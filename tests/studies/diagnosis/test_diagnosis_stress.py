"""Stress: alterations do what they say, and a score that reads one of them falls with it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glasslung.data.exams import Exam
from glasslung.errors import DataError, UsageError
from glasslung.predict.exams import make_exam
from glasslung.studies.diagnosis.stress import (
    LABELS,
    LEVEL,
    NOISE,
    THICKNESS,
    WIDTH,
    StressCase,
    StressSettings,
    alter,
    asking,
    choose_scans,
    phantom_cases,
    stress_curves,
    thicken,
    thicken_mask,
)
from glasslung.types import Intensity, Volume

SETTINGS = StressSettings(
    level=(-300, 0, 300), width=(1400, 2000), noise=(0, 150), thickness=(1, 4), scans=12, draws=100
)


def volume(sick: bool, seed: int, depth: int = 9) -> Volume:
    generator = np.random.default_rng(seed)
    hu = np.full((depth, 32, 32), 40.0)
    hu[:, 6:26, 4:28] = -850 + 20 * generator.normal(size=(depth, 20, 24))
    if sick:
        hu[:, 18:26, 6:14] = -500
    return Volume(hu.astype(np.int16), np.diag([2.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]], Intensity.HU)


def case(sick: bool, seed: int, depth: int = 9) -> StressCase:
    scan = volume(sick, seed, depth)
    lungs = np.zeros(scan.shape, np.uint8)
    lungs[:, 6:26, 4:16], lungs[:, 6:26, 16:28] = 1, 2
    return StressCase(scan, lungs, np.zeros(scan.shape, np.uint8), int(sick), f"p{seed}")


def make(scan: Volume, lungs: np.ndarray, lesions: np.ndarray) -> Exam:
    return make_exam(scan, lungs, lesions, 24)


def brightness(exams):
    """How bright the lungs are: knows haze, and any shift of the window."""
    return np.array([exam.image[exam.lungs > 0].mean() / 10 for exam in exams])


def made_once(exams):
    """Does not look at the grey values at all."""
    return np.array([float(len(exam)) for exam in exams])


@pytest.fixture(scope="module")
def curves():
    cases = (case(n % 2 == 0, n) for n in range(12))
    asked = {"brightness": brightness, "blind": made_once}
    return stress_curves(cases, make, asked, SETTINGS, np.random.default_rng(0))


def test_the_curves_are_json_and_hold_every_amount(curves):
    assert json.dumps(curves, allow_nan=False)
    assert (curves["scans"], curves["with"]) == (12, 6)
    assert set(curves["kinds"]) == set(LABELS)
    for kind, found in curves["kinds"].items():
        for method, rows in found["curves"].items():
            assert [row[0] for row in rows] == sorted(SETTINGS.amounts(kind))
            usual = next(row for row in rows if row[0] == found["usual"])
            assert usual[1:] == curves["unaltered"][method]


def test_a_score_keeps_its_rank_under_a_shift_that_all_scans_share(curves):
    assert curves["unaltered"]["brightness"][0] == 1
    assert curves["unaltered"]["blind"][0] == 0.5
    assert all(row[1] == 0.5 for row in curves["kinds"][NOISE]["curves"]["blind"])


def test_a_window_that_hides_haze_costs_a_score_its_knowledge():
    """At 600 HU up everything in these lungs is black."""
    settings = StressSettings(level=(0, 600), width=(1400,), noise=(0,), thickness=(1,), scans=12, draws=50)
    found = stress_curves(
        (case(n % 2 == 0, n) for n in range(12)),
        make,
        {"brightness": brightness},
        settings,
        np.random.default_rng(0),
    )
    rows = found["kinds"][LEVEL]["curves"]["brightness"]
    assert [row[1] for row in rows] == [1.0, 0.5]


def test_alterations_are_those_of_a_display():
    scan = volume(True, 0)
    for kind, amount in ((LEVEL, 100.0), (WIDTH, 2000.0)):
        low, high = (-1000 + amount, 400 + amount) if kind == LEVEL else (-300 - 1000, -300 + 1000)
        seen = (scan.voxels - low) / (high - low)
        usual = (alter(scan, kind, amount).voxels + 1000) / 1400
        inside = (seen > 0.02) & (seen < 0.98)
        assert usual[inside] == pytest.approx(seen[inside], abs=1e-3)
    noise = np.random.default_rng(0).standard_normal(scan.shape, dtype=np.float32)
    difference = alter(scan, NOISE, 50, noise).voxels.astype(float) - scan.voxels
    inside = scan.voxels > -800
    assert difference[inside] == pytest.approx(50 * noise[inside], abs=0.51)
    assert alter(scan, LEVEL, 0) is scan
    picture = Volume(np.full((1, 8, 8), 128, np.uint8), np.eye(4), Intensity.DISPLAY8)
    assert int(alter(picture, LEVEL, 300).voxels[0, 0, 0]) == round(128 - 300 * 255 / 1400)


def test_thicker_slices_are_averages_in_the_same_place():
    scan = volume(True, 1, 10)
    thick = thicken(scan, 4)
    assert thick.shape == (3, 32, 32)
    assert thick.voxels[0] == pytest.approx(scan.voxels[:4].mean(0), abs=0.51)
    assert thick.voxels[2] == pytest.approx(scan.voxels[8:].mean(0), abs=0.51)
    assert thick.spacing_mm == pytest.approx((8.0, 2.0, 2.0))
    centre = scan.affine @ [1.5, 3, 4, 1]
    assert thick.affine @ [0, 3, 4, 1] == pytest.approx(centre)
    mask = np.arange(10)[:, None, None] * np.ones((1, 2, 2), int)
    assert thicken_mask(mask, 4)[:, 0, 0].tolist() == [1, 5, 8]
    assert thicken_mask(mask, 1)[:, 0, 0].tolist() == list(range(10))


def test_one_slice_cannot_be_made_thicker():
    found = stress_curves(
        (case(n % 2 == 0, n, depth=1) for n in range(6)),
        make,
        {"brightness": brightness},
        SETTINGS,
        np.random.default_rng(0),
    )
    assert THICKNESS not in found["kinds"]
    assert NOISE in found["kinds"]


def test_scans_are_chosen_evenly_and_patients_before_repeats():
    labels = [1] * 30 + [0] * 6 + [-1] * 4
    patients = [f"p{n % 10}" for n in range(30)] + [f"q{n}" for n in range(10)]
    rows = choose_scans(labels, patients, 16, np.random.default_rng(0))
    assert sorted(labels[r] for r in rows) == [0] * 6 + [1] * 10
    assert len({patients[r] for r in rows if labels[r] == 1}) == 10
    few = choose_scans(labels, patients, 8, np.random.default_rng(0))
    assert sorted(labels[r] for r in few) == [0] * 4 + [1] * 4
    assert rows.tolist() == choose_scans(labels, patients, 16, np.random.default_rng(0)).tolist()


def test_wrong_calls_are_told():
    with pytest.raises(UsageError, match="must hold 0"):
        StressSettings(level=(-100, 100))
    with pytest.raises(UsageError, match="whole times"):
        StressSettings(thickness=(1, 2.5))
    with pytest.raises(UsageError, match="more than 12 scans"):
        stress_curves(
            (case(n % 2 == 0, n % 3) for n in range(13)),
            make,
            {"blind": made_once},
            SETTINGS,
            np.random.default_rng(0),
        )
    with pytest.raises(DataError, match="finite answers"):
        stress_curves(
            [case(True, 0)],
            make,
            {"mute": lambda exams: np.zeros(1)},
            SETTINGS,
            np.random.default_rng(0),
        )


def test_phantoms_are_drawn_again_with_their_true_masks():
    from glasslung.studies.diagnosis.ground import DiagnosisGround, plan_phantoms

    ground = DiagnosisGround("phantom", None, plan_phantoms(26, 0))  # type: ignore[arg-type]
    (one,) = phantom_cases(ground, "test", 1)
    planned = ground.scans_of("test", 1)[0][1]
    assert one.label == int(planned.disease == "covid")
    assert one.patient == f"p{planned.seed}"
    assert one.lungs.shape == one.lesions.shape == one.volume.shape
    assert one.lungs.any()


def test_a_classifier_is_asked_about_exams_one_by_one():
    from glasslung.models import build

    model = build("netvlad", 0, size=32).train()
    exams = [make_exam(c.volume, c.lungs, c.lesions, 32) for c in (case(True, 0), case(False, 1, depth=3))]
    together = asking(model)(exams)
    assert together.shape == (2,)
    assert together[1] == pytest.approx(asking(model)(exams[1:])[0])
    assert model.training
