"""Phantom slices: drawn in the look of 8-bit windows, with masks that fit them."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.labelled import Kind, LabelledSlices, Window
from glasslung.data.labelphantoms import phantom_slices
from glasslung.data.phantom import draw_patient
from glasslung.errors import UsageError


def drawn(seed: int = 0, classes: int = 3, disease: str = "covid") -> LabelledSlices:
    patients = [
        draw_patient(n, disease, site="ab"[n % 2], severity=None if disease == "healthy" else 0.8)
        for n in (1, 2)
    ]
    return phantom_slices(patients, [8.0, 14.0], np.random.default_rng(seed), size=64, classes=classes)


@pytest.fixture(scope="module")
def slices() -> LabelledSlices:
    return drawn()


def test_every_patient_and_day_has_a_slice_with_everything_known(slices):
    assert len(slices) == 4 and set(slices.cases) == {"p000001", "p000002"}
    assert slices.names[:2] == ("p000001-day8", "p000001-day14")
    for picture, lesion, lung, origin in slices.rows():
        assert origin.kind is Kind.LABELLED and origin.window in (Window.LUNG, Window.WIDE)
        assert picture.shape == lesion.shape == lung.shape and max(picture.shape) <= 64
        assert lesion.min() >= 0 and lung.min() >= 0
        assert (lung[lesion > 0] == 1).all()


def test_the_crop_leaves_little_around_the_lungs(slices):
    for lung in slices.lungs:
        for axis in (0, 1):
            seen = np.flatnonzero(lung.any(axis=axis))
            around = lung.shape[1 - axis] - (seen[-1] + 1 - seen[0])
            assert around <= 2 * 0.08 * (seen[-1] + 1 - seen[0]) + 2


def test_lesions_are_brighter_than_healthy_lung_and_consolidation_than_glass(slices):
    compared = 0
    for picture, lesion, lung, _ in slices.rows():
        means = [
            picture[(lung == 1) & (lesion == kind)].mean()
            for kind in range(3)
            if ((lung == 1) & (lesion == kind)).sum() > 10
        ]
        compared += len(means) - 1
        assert means == sorted(means)
    assert compared >= 4


def test_crazy_paving_counts_as_ground_glass_unless_asked_for(slices):
    whole = drawn(classes=4)
    assert any((mask == 3).any() for mask in whole.lesions)
    for three, four, one, two in zip(
        slices.lesions, whole.lesions, slices.pictures, whole.pictures, strict=True
    ):
        assert np.array_equal(one, two)
        assert np.array_equal(three, np.where(four == 3, 1, four))


def test_the_healthy_have_no_lesion_and_a_seed_gives_the_same_slices(slices):
    assert all((mask == 0).all() for mask in drawn(disease="healthy").lesions)
    assert all(np.array_equal(a, b) for a, b in zip(slices.pictures, drawn().pictures, strict=True))
    assert any(
        a.shape != b.shape or not np.array_equal(a, b)
        for a, b in zip(slices.pictures, drawn(1).pictures, strict=True)
    )


def test_nothing_to_draw_is_refused():
    with pytest.raises(UsageError, match="3 or 4 classes"):
        drawn(classes=5)
