"""Affected tissue: nearly none in healthy lungs, most of what was painted, whatever the axes."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from test_zones import GOOD, as_filed, filed_volume

from glasslung.errors import DataError, ShapeError
from glasslung.measure.opacity import (
    Settings,
    block_mean,
    dependent_rise,
    expand,
    healthy_parenchyma,
    opacities,
    opened,
    widened,
)
from glasslung.types import Geometry, Intensity, Lesion, Lungs, Volume

SPACING_MM = (2.5, 1.5, 1.5)
SHAPE = (48, 96, 120)


def lungs_and_tissue(level_hu: float = -860.0, noise_hu: float = 25.0) -> tuple[np.ndarray, np.ndarray]:
    """HU and lung mask, upright: two ellipsoids, vessels (rods of 1.5 to 5 mm radius), weight."""
    rng = np.random.default_rng(5)
    z, y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    mask = np.zeros(SHAPE, np.uint8)
    for side, label in ((-1, 1), (1, 2)):
        mask[((x - side * 0.48) / 0.4) ** 2 + (y / 0.8) ** 2 + (z / 0.9) ** 2 < 1] = label
    hu = np.where(mask > 0, level_hu + 40 * y, 40.0)
    mm = [np.arange(size) * step for size, step in zip(SHAPE, SPACING_MM, strict=True)]
    for side in (-1, 1):
        for radius_mm, height, depth in ((5, 60, 70), (3, 40, 90), (2, 80, 50), (2, 65, 40), (1.5, 30, 60)):
            across = np.hypot(mm[0][:, None, None] - height, mm[1][None, :, None] - depth)
            rod = (across < radius_mm) & (side * x > 0.1) & (side * x < 0.75)
            hu[np.broadcast_to(rod, SHAPE) & (mask > 0)] = 40.0
    hu = ndimage.gaussian_filter(hu, 0.6)
    return np.round(hu + rng.normal(0, noise_hu, SHAPE)).astype(np.int16), mask


def blob(centre: tuple[float, float, float], radius_mm: float) -> np.ndarray:
    mm = [np.arange(size) * step - c for size, step, c in zip(SHAPE, SPACING_MM, centre, strict=True)]
    return np.sqrt(mm[0][:, None, None] ** 2 + mm[1][None, :, None] ** 2 + mm[2][None, None] ** 2) < radius_mm


def share(found: np.ndarray, mask: np.ndarray) -> float:
    return 100.0 * np.count_nonzero(found) / np.count_nonzero(mask)


@pytest.fixture(scope="module")
def healthy() -> tuple[np.ndarray, np.ndarray]:
    return lungs_and_tissue()


def test_a_healthy_lung_has_nearly_nothing(healthy):
    hu, mask = healthy
    found = opacities(filed_volume(hu, spacing=SPACING_MM), Lungs(mask, GOOD))
    assert share(found, mask) < 0.5
    assert share((hu > -700) & (mask > 0), mask) > 4  # which a bare threshold would have called opacity


@pytest.mark.parametrize("level_hu", [-880.0, -800.0, -740.0])
def test_breath_is_not_disease(level_hu):
    hu, mask = lungs_and_tissue(level_hu)
    assert share(opacities(filed_volume(hu, spacing=SPACING_MM), Lungs(mask, GOOD)), mask) < 1.0


@pytest.mark.parametrize(
    ("lesion_hu", "label"),
    [(-600, Lesion.GROUND_GLASS), (-450, Lesion.GROUND_GLASS), (0, Lesion.CONSOLIDATION)],
)
def test_what_was_painted_is_found_and_named(healthy, lesion_hu, label):
    hu, mask = healthy
    truth = (blob((70, 110, 45), 14) | blob((50, 60, 140), 10)) & (mask > 0)
    ill = np.where(truth & (hu < -700), hu + (lesion_hu + 860), hu).astype(np.int16)
    found = opacities(filed_volume(ill, spacing=SPACING_MM), Lungs(mask, GOOD))
    assert np.count_nonzero((found == label) & truth) > 0.75 * truth.sum()
    assert np.count_nonzero((found > 0) & ~truth) < 0.25 * truth.sum()
    assert not found[mask == 0].any()


def test_more_disease_is_more_opacity(healthy):
    hu, mask = healthy
    shares = []
    for radius_mm in (0, 8, 14, 20, 28):
        ill = np.where(blob((60, 90, 140), radius_mm) & (mask > 0), np.maximum(hu, -500), hu).astype(np.int16)
        shares.append(share(opacities(filed_volume(ill, spacing=SPACING_MM), Lungs(mask, GOOD)), mask))
    assert shares == sorted(shares)
    assert shares[-1] > 10 * max(shares[0], 0.1)


@pytest.mark.parametrize("axes", list(permutations(range(3)))[1::2])
def test_the_order_of_a_files_axes_does_not_matter(healthy, axes):
    hu, mask = healthy
    ill = np.where(blob((70, 110, 45), 14) & (mask > 0), np.maximum(hu, -500), hu).astype(np.int16)
    plain = opacities(filed_volume(ill, spacing=SPACING_MM), Lungs(mask, GOOD))
    flips = (True, True, False)
    turned = opacities(filed_volume(ill, axes, flips, SPACING_MM), Lungs(as_filed(mask, axes, flips), GOOD))
    assert plain.any()
    assert np.array_equal(turned, as_filed(plain, axes, flips))


def test_the_ends_of_a_slab_are_not_taken_for_borders(healthy):
    hu, mask = healthy
    ill = np.where(blob((60, 90, 140), 18) & (mask > 0), np.maximum(hu, -500), hu).astype(np.int16)[23:25]
    found = opacities(filed_volume(ill, spacing=SPACING_MM), Lungs(mask[23:25], GOOD))
    truth = (blob((60, 90, 140), 18) & (mask > 0))[23:25]
    assert np.count_nonzero((found > 0) & truth) > 0.7 * truth.sum()


def test_no_lungs_no_opacity_and_all_lung_all_opacity():
    hu, mask = lungs_and_tissue()
    assert not opacities(filed_volume(hu, spacing=SPACING_MM), Lungs(mask * 0, GOOD)).any()
    full = np.full((8, 20, 20), -300, np.int16)
    found = opacities(filed_volume(full, spacing=SPACING_MM), Lungs(np.ones(full.shape, np.uint8), GOOD))
    assert (found == Lesion.GROUND_GLASS).all()


def test_eight_bits_and_foreign_masks_are_refused():
    grey = Volume(np.zeros((4, 5, 6), np.uint8), np.eye(4), Intensity.DISPLAY8, geometry=Geometry.ASSUMED)
    with pytest.raises(DataError, match="8-bit"):
        opacities(grey, Lungs(np.ones((4, 5, 6), np.uint8), GOOD))
    with pytest.raises(ShapeError, match="own mask"):
        opacities(filed_volume(np.zeros((4, 5, 6), np.int16)), Lungs(np.ones((3, 5, 6), np.uint8), GOOD))


def test_healthy_parenchyma_is_seen_beside_disease():
    rng = np.random.default_rng(0)
    lung = np.concatenate([rng.normal(-850, 30, 40_000), rng.normal(-500, 120, 25_000)])
    healthy = healthy_parenchyma(lung)
    assert healthy.level_hu == pytest.approx(-850, abs=10)
    assert healthy.sd_hu == pytest.approx(30, abs=8)


def test_the_rise_to_the_back_is_a_line_and_ignores_a_lesion():
    rng = np.random.default_rng(0)
    hu = (-850 + np.linspace(-30, 30, 60)[None, :, None] + rng.normal(0, 15, (20, 60, 40))).astype(np.float32)
    lung = np.ones(hu.shape, bool)
    healthy = healthy_parenchyma(hu[lung])
    hu[:, 45:, :15] = -400
    rise = dependent_rise(hu, lung, healthy)
    assert rise[-1] - rise[0] == pytest.approx(60, abs=12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 3)] * 3))
def test_block_means_against_a_slow_twin(seed, factors):
    rng = np.random.default_rng(seed)
    values = rng.integers(-1000, 200, rng.integers(2, 8, 3))
    weight = rng.random(values.shape) < 0.7
    means = block_mean(values, factors, weight)
    for index in np.ndindex(means.shape):
        block = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        inside = values[block][weight[block]]
        assert means[index] == pytest.approx(inside.mean() if inside.size else -1024, abs=1e-3)
    assert np.array_equal(expand(means, factors, values.shape).shape, values.shape)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(1.0, 4.0))
def test_opening_and_widening_against_a_slow_twin(seed, radius_mm):
    rng = np.random.default_rng(seed)
    mm = (2.0, 1.0, 1.3)
    mask = ndimage.uniform_filter(rng.random((6, 9, 8)), 3) > 0.47
    where = np.argwhere(np.ones(mask.shape)) * np.array(mm)
    apart = np.linalg.norm(where[:, None] - where[None], axis=-1)
    flat = mask.ravel()
    near = apart <= radius_mm + 1e-9
    wide = (near & flat[None]).any(1)
    assert np.array_equal(widened(mask, mm, radius_mm + 1e-9).ravel(), wide)
    eroded = ~(near & ~flat[None]).any(1)
    slow = flat & (near & eroded[None]).any(1) if not flat.all() else flat
    assert np.array_equal(opened(mask, mm, radius_mm + 1e-9).ravel(), slow)


def test_settings_have_the_thresholds_of_the_bands():
    from glasslung.measure.density import GROUND_GLASS_HU

    assert Settings().consolidation_hu == GROUND_GLASS_HU


@pytest.mark.real
def test_a_real_tumour_is_found_and_the_rest_of_the_lung_is_not(real):
    import SimpleITK as sitk

    image, drawn = (
        sitk.ReadImage(str(real / "chest_ct_hu" / f"lung1-001_{what}.nii.gz")) for what in ("ct", "mask")
    )
    mask = sitk.GetArrayFromImage(drawn)
    affine = np.eye(4)
    affine[:3, :3] = (np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing()))[:, ::-1]
    volume = Volume(sitk.GetArrayFromImage(image).astype(np.int16), affine, Intensity.HU)
    tumour = mask == 3
    found = opacities(volume, Lungs(np.where(tumour, 2, mask).astype(np.uint8), GOOD)) > 0
    assert np.count_nonzero(found & tumour) > 0.8 * tumour.sum()
    assert np.count_nonzero(found & ~tumour) < 0.02 * np.count_nonzero(mask)
