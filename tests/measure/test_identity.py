"""Outlines, descriptors and retrieval: the same patient is found again, a stranger is not."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.identity import (
    GRID,
    likeness_percentile,
    lung_descriptors,
    mask_overlap,
    measure_identity,
    retrieval_ranks,
)


def lungs(count, seed=0, size=48):
    """Two ellipses of each patient's own shape, with bright dots where his vessels are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    images = []
    for _ in range(count):
        shape = np.zeros((size, size), bool)
        for side in (0.27, 0.73):
            wide, tall, high = rng.uniform(0.14, 0.2), rng.uniform(0.3, 0.42), rng.uniform(0.45, 0.55)
            shape |= ((x - side) / wide) ** 2 + ((y - high) / tall) ** 2 < 1
        grey = 0.25 + 0.35 * (rng.random((size, size)) < 0.06)
        images.append(np.where(shape, grey, 0.0))
    return np.stack(images)


def ill(images, seed=1):
    """The same lungs with a dense patch and noise."""
    rng = np.random.default_rng(seed)
    size = images.shape[1]
    y, x = np.mgrid[:size, :size] / size
    out = []
    for image in images:
        patch = 0.3 * np.exp(-((x - rng.uniform(0.2, 0.8)) ** 2 + (y - 0.6) ** 2) / 0.01)
        out.append(np.where(image > 0, image + patch + 0.02 * rng.normal(size=image.shape), 0))
    return np.stack(out).clip(0, 1)


def test_an_ill_lung_is_still_the_patients_own():
    before = lungs(40)
    found = measure_identity(before, ill(before), np.arange(40), rng=np.random.default_rng(0), draws=300)
    assert found.mask_iou.value > 0.95
    assert found.top1.value > 0.9 and found.top5.value >= found.top1.value
    assert (found.chance1, found.chance5) == pytest.approx((1 / 40, 5 / 40)) and found.candidates == 40


def test_another_patients_lung_is_found_by_chance_only():
    found = measure_identity(
        lungs(60), ill(lungs(60, seed=9)), np.arange(60), rng=np.random.default_rng(0), draws=300
    )
    assert found.top1.low <= found.chance1 <= found.top1.high
    assert found.mask_iou.value < 0.9


def test_the_same_picture_for_everyone_finds_hardly_anyone():
    before = lungs(30)
    after = np.repeat(before.mean(0)[None], 30, 0)
    found = measure_identity(before, after, np.arange(30), rng=np.random.default_rng(0), draws=100)
    assert found.top1.value == pytest.approx(1 / 30)


def test_overlap_pixel_by_pixel():
    rng = np.random.default_rng(2)
    first, second = rng.random((3, 6, 7)), rng.random((3, 6, 7))
    first[2] = second[2] = 0
    slow = []
    for one, two in zip(first, second, strict=True):
        both = sum(a > 0.5 and b > 0.5 for a, b in zip(one.flat, two.flat, strict=True))
        either = sum(a > 0.5 or b > 0.5 for a, b in zip(one.flat, two.flat, strict=True))
        slow.append(both / either if either else 1.0)
    assert mask_overlap(first, second, 0.5) == pytest.approx(slow)


def test_ranks_count_strangers_at_least_as_like():
    rng = np.random.default_rng(3)
    made, sources = rng.normal(size=(9, 3)), rng.normal(size=(9, 3))
    patients = np.array([0, 0, 1, 2, 3, 4, 5, 5, 6])
    sources[4] = sources[3]  # a tie: the rival stands in front
    slow = []
    for i in range(9):
        ahead = 0
        for j in range(9):
            if patients[j] != patients[i] and made[i] @ sources[j] >= made[i] @ sources[i]:
                ahead += 1
        slow.append(1 + ahead)
    assert retrieval_ranks(made, sources, patients).tolist() == slow
    assert retrieval_ranks(made, made[:, ::-1] * 0, patients)[2] == 9  # all alike: every stranger in front


def test_descriptors_pool_a_mask_over_the_grid_whatever_the_size():
    image = np.zeros((1, 40, 40))
    image[0, :20, :] = 0.5
    found = lung_descriptors(image)[0, : GRID**2].reshape(GRID, GRID)
    assert found[: GRID // 2] == pytest.approx(np.full((8, 16), 1 / GRID))
    assert found[GRID // 2 :] == pytest.approx(np.full((8, 16), -1 / GRID))
    assert (lung_descriptors(np.zeros((1, 40, 40))) == 0).all()
    with pytest.raises(ShapeError):
        lung_descriptors(np.zeros((1, 8, 8)))


def test_likeness_of_latents_is_a_percentage_of_strangers():
    rng = np.random.default_rng(4)
    first = rng.normal(size=(50, 8))
    sure = {"rng": rng, "draws": 300}
    assert likeness_percentile(first, 3 * first, np.arange(50), **sure).value == 100
    chance = likeness_percentile(first, rng.normal(size=(50, 8)), np.arange(50), **sure)
    assert chance.low < 50 < chance.high
    second = rng.normal(size=(4, 2))
    patients = np.array([0, 0, 1, 2])
    first = rng.normal(size=(4, 2))

    def cosine(a, b):
        return a @ b / np.sqrt((a @ a) * (b @ b))

    slow = np.mean(
        [
            100 * np.mean([cosine(first[i], second[j]) < cosine(first[i], second[i]) for j in strangers])
            for i, strangers in enumerate(([2, 3], [2, 3], [0, 1, 3], [0, 1, 2]))
        ]
    )
    assert likeness_percentile(first, second, patients, **sure).value == pytest.approx(slow)
    with pytest.raises(DataError, match="zeros"):
        likeness_percentile(first * 0, second, patients, **sure)


@pytest.mark.real
def test_real_slices_with_a_made_lesion_are_found_among_their_group(real):
    from glasslung.data.slices import read_slices
    from glasslung.data.sources import cage

    healthy = read_slices(cage(real / "cage")).of_group(0)
    healthy = healthy.take(np.arange(0, len(healthy), 4))
    found = measure_identity(
        healthy.images, ill(healthy.images), healthy.patient, rng=np.random.default_rng(0), draws=100
    )
    assert found.top1.low > 0.9
