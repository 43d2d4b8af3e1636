"""The course of the disease, and the counterfactual without it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from glasslung.data.phantom import Chest, draw_patient, render
from glasslung.data.phantom.disease import draw_course
from glasslung.errors import UsageError
from glasslung.types import Lesion, Lobe, Lung

SMALL = (44, 88, 88)
DAYS = (-3, 0, 3, 6, 10, 25, 60)


@pytest.fixture(scope="module")
def course() -> list[Chest]:
    patient = draw_patient(11, "covid", "b", 0.5)
    return [render(patient, day, shape=SMALL) for day in DAYS]


def test_lesions_grow_to_a_peak_and_clear(course: list[Chest]) -> None:
    share = [chest.involvement() for chest in course]
    assert share[0] == 0
    assert share[1] < share[2] < share[3] < share[4]
    assert share[4] > 0.1
    assert share[5] < share[4]
    assert share[6] < 0.5 * share[4]


def test_ground_glass_comes_first_then_consolidation(course: list[Chest]) -> None:
    early, late = course[2].lesion_ml(), course[4].lesion_ml()
    assert early["consolidation"] < 0.1 * early["ground_glass"]
    assert late["consolidation"] > 3 * early["consolidation"]
    assert late["crazy_paving"] > 0


def test_the_share_of_the_lung_follows_the_patients_own_curve(course: list[Chest]) -> None:
    chest = course[4]
    reached = float(chest.patient.course.reached(chest.day))
    assert chest.involvement() == pytest.approx(reached, rel=0.35)  # faint borders are not counted as lesion
    assert chest.involvement() <= reached * 1.1


def test_each_class_of_lesion_has_its_density(course: list[Chest]) -> None:
    chest = course[4]
    hu = {kind: np.median(chest.volume.voxels[chest.lesions == kind]) for kind in Lesion}
    healthy = np.median(chest.volume.voxels[(chest.lungs > 0) & (chest.lesions == 0)])
    assert healthy < -780
    assert -750 < hu[Lesion.GROUND_GLASS] < -350
    assert hu[Lesion.GROUND_GLASS] < hu[Lesion.CRAZY_PAVING] < hu[Lesion.CONSOLIDATION]
    assert -350 < hu[Lesion.CONSOLIDATION] < 60


def test_anatomy_stands_still_from_day_to_day(course: list[Chest]) -> None:
    for chest in course[1:]:
        assert np.array_equal(chest.lungs, course[0].lungs)
        assert np.array_equal(chest.lobes, course[0].lobes)
        assert np.array_equal(chest.volume.affine, course[0].volume.affine)


@pytest.mark.parametrize("site", ["a", "b", "c"])
def test_the_counterfactual_differs_only_at_the_lesions(site: str) -> None:
    patient = draw_patient(21, "covid", site, 0.7)
    ill, never = (render(patient, 9, shape=SMALL, disease=disease) for disease in (True, False))
    same = ill.volume.voxels == never.volume.voxels
    far = ~ndimage.binary_dilation(ill.lesions > 0, np.ones((3, 3, 3)), iterations=2)
    # a rim too faint to be called lesion may remain: in the lung, and where lung is thinner than a voxel
    assert same[far & (ill.lungs > 0)].mean() > 0.97
    assert same[far & ~ndimage.binary_dilation(ill.lungs > 0, iterations=3)].mean() > 0.9999
    assert not same[ill.lesions > 0].all()
    assert not never.lesions.any()
    assert np.array_equal(ill.lungs, never.lungs)


def test_noise_differs_from_day_to_day_but_not_from_call_to_call() -> None:
    patient = draw_patient(5, "healthy")
    first, again, later = (render(patient, day, shape=(8, 64, 64)).volume.voxels for day in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)


def test_covid_is_bilateral_and_peripheral() -> None:
    nearer = []
    for seed in range(4):
        chest = render(draw_patient(seed, "covid", "c", 0.4), 8, shape=SMALL)
        ill = chest.lesions > 0
        for side in (Lung.RIGHT, Lung.LEFT):
            assert ill[chest.lungs == side].mean() > 0.005
        depth = ndimage.distance_transform_edt(chest.lungs > 0, chest.volume.spacing_mm)
        nearer.append(depth[ill].mean() < depth[chest.lungs > 0].mean())
    assert np.mean(nearer) >= 0.75


def test_bacterial_pneumonia_keeps_mostly_to_one_lobe_and_is_dense() -> None:
    for seed in range(4):
        chest = render(draw_patient(seed, "bacterial", "a", 0.4), 4, shape=SMALL)
        counts = np.bincount(chest.lobes[chest.lesions > 0], minlength=len(Lobe))
        assert counts.max() > 0.9 * counts.sum()
        assert chest.lesion_ml()["consolidation"] > chest.lesion_ml()["ground_glass"]


def test_the_more_severe_the_wider() -> None:
    shares = [
        np.mean(
            [
                render(draw_patient(s, "covid", "c", worst), 10, shape=(24, 64, 64)).involvement()
                for s in range(3)
            ]
        )
        for worst in (0.1, 0.5, 0.9)
    ]
    assert shares[0] < shares[1] < shares[2]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), severity=st.floats(0, 1), day=st.floats(-20, 60))
def test_a_course_reaches_no_more_than_its_most_and_never_goes_back(
    seed: int, severity: float, day: float
) -> None:
    course = draw_course(seed, "covid", severity)
    now, later = course.reached(day), course.reached(day + 1)
    assert 0 <= now <= later <= course.most <= 0.8
    assert course.reached(course.peak_day) == pytest.approx(course.most)


def test_unknown_diseases_and_impossible_severities_are_refused() -> None:
    with pytest.raises(UsageError, match="covid"):
        draw_patient(1, "measles")
    with pytest.raises(UsageError, match="0 to 1"):
        draw_patient(1, severity=1.5)
    with pytest.raises(UsageError, match="sites"):
        draw_patient(1, site="z")
