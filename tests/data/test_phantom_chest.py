"""What must hold for every rendered chest, whoever the patient is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from glasslung.data.phantom import SITES, Chest, Grid, draw_patient, render, scan_grid
from glasslung.errors import UsageError
from glasslung.types import Intensity, Lesion, Lobe, Lung

SMALL = (40, 80, 80)


def person(seed: int, disease: str = "covid", severity: float = 0.6) -> Chest:
    return render(draw_patient(seed, disease, "ac"[seed % 2], severity), 9, shape=SMALL)


@pytest.fixture(scope="module")
def chests() -> list[Chest]:
    return [person(seed) for seed in range(4)]


def middle_mm(chest: Chest, mask: np.ndarray) -> np.ndarray:
    """Centre of a mask in LPS mm."""
    index = np.append(np.argwhere(mask).mean(axis=0), 1.0)
    return (chest.volume.affine @ index)[:3]


def test_a_chest_is_a_scan_in_hounsfield_units_with_masks_on_its_grid(chests: list[Chest]) -> None:
    for chest in chests:
        assert chest.volume.intensity is Intensity.HU
        assert chest.volume.shape == SMALL == chest.lungs.shape == chest.lobes.shape == chest.lesions.shape
        assert chest.volume.source.kind == "phantom"


def test_lungs_have_human_volumes_and_the_right_one_is_larger(chests: list[Chest]) -> None:
    for chest in chests:
        right, left = (np.count_nonzero(chest.lungs == side) for side in (Lung.RIGHT, Lung.LEFT))
        assert 2000 < (right + left) * chest.volume.voxel_ml < 7000
    rights = [np.mean(chest.lungs[chest.lungs > 0] == Lung.RIGHT) for chest in chests]
    assert min(rights) > 0.49
    assert 0.51 < np.mean(rights) < 0.6


def test_the_two_lungs_never_touch(chests: list[Chest]) -> None:
    for chest in chests:
        for side in (Lung.RIGHT, Lung.LEFT):
            labels, count = ndimage.label(chest.lungs == side)
            assert np.bincount(labels.ravel())[1:].max() > 0.98 * np.count_nonzero(labels), count
        grown = ndimage.binary_dilation(chest.lungs == Lung.RIGHT)
        assert not (grown & (chest.lungs == Lung.LEFT)).any()


def test_left_is_left(chests: list[Chest]) -> None:
    for chest in chests:
        right, left = (middle_mm(chest, chest.lungs == side) for side in (Lung.RIGHT, Lung.LEFT))
        assert left[0] > right[0] + 80


def test_lobes_share_out_the_lungs(chests: list[Chest]) -> None:
    sides = np.zeros(6, np.uint8)
    sides[[Lobe.LEFT_UPPER, Lobe.LEFT_LOWER]] = Lung.LEFT
    sides[[Lobe.RIGHT_UPPER, Lobe.RIGHT_MIDDLE, Lobe.RIGHT_LOWER]] = Lung.RIGHT
    for chest in chests:
        assert np.array_equal(sides[chest.lobes], chest.lungs)
        share = np.bincount(chest.lobes.ravel(), minlength=6)[1:] / np.count_nonzero(chest.lungs)
        assert share.min() > 0.04
        assert share.max() < 0.45


def test_lesions_lie_in_the_lungs(chests: list[Chest]) -> None:
    for chest in chests:
        assert (chest.lesions > 0).sum() > 0
        assert not ((chest.lesions > 0) & (chest.lungs == 0)).any()
        assert set(np.unique(chest.lesions)) <= {int(kind) for kind in Lesion}


def test_the_healthy_have_no_lesions() -> None:
    assert not person(5, "healthy").lesions.any()


def heart_like(chest: Chest) -> np.ndarray:
    """Soft tissue of the middle heights that lies in front, away from the chest wall: mostly heart."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in chest.volume.shape), indexing="ij", sparse=True)
    a = chest.volume.affine
    high, back, left = (
        a[row, row_axis] * axis + a[row, 3] for row, row_axis, axis in ((2, 0, z), (1, 1, y), (0, 2, x))
    )
    soft = (chest.volume.voxels > -20) & (chest.volume.voxels < 250)
    return soft & (abs(high + 70) < 18) & (back > -60) & (back < 10) & (abs(left) < 90)


def test_the_heart_points_to_the_left(chests: list[Chest]) -> None:
    for chest in chests:
        assert middle_mm(chest, heart_like(chest))[0] > 5


def test_slices_run_as_the_affine_says() -> None:
    for site, sign in (("a", 1), ("b", -1)):
        chest = render(draw_patient(4, "healthy", site), 0, shape=SMALL)
        assert np.sign(chest.volume.affine[2, 0]) == sign
        top = np.flatnonzero((chest.lungs > 0).any(axis=(1, 2)))
        narrow = top[-1] if sign > 0 else top[0]  # the apex is the end where the lungs are small
        assert np.count_nonzero(chest.lungs[narrow]) < 0.2 * np.count_nonzero(chest.lungs, axis=(1, 2)).max()


def test_tissues_have_plausible_densities() -> None:
    chest = render(draw_patient(6, "healthy", "c"), 0, shape=(64, 128, 128))
    hu = chest.volume.voxels
    deep = ndimage.binary_erosion(chest.lungs > 0, iterations=2)
    assert -920 < np.median(hu[deep]) < -780
    around = ndimage.binary_dilation(chest.lungs > 0, iterations=12) & (chest.lungs == 0)
    assert (hu[around] > 300).mean() > 0.01  # ribs and spine stand around the lungs
    assert 20 < np.median(hu[(hu > 0) & (hu < 120)]) < 70  # muscle and organs
    assert -125 < np.median(hu[(hu < -50) & (hu > -200)]) < -75  # fat
    assert np.median(hu[:, :3]) < -950  # air around the patient


def test_bone_lies_outside_the_lungs() -> None:
    for seed in range(3):
        chest = render(draw_patient(seed, "healthy", "a"), 0, shape=(64, 128, 128))
        deep = ndimage.binary_erosion(chest.lungs > 0, iterations=2)
        assert (chest.volume.voxels[deep] > 350).mean() < 1e-4


def test_the_back_of_the_lungs_is_denser_than_the_front(chests: list[Chest]) -> None:
    chest = render(draw_patient(6, "healthy", "c"), 0, shape=SMALL)
    inside = ndimage.binary_erosion(chest.lungs > 0)
    row = np.broadcast_to(np.arange(SMALL[1])[None, :, None], SMALL)
    front, back = np.quantile(row[inside], [0.2, 0.8])
    hu = chest.volume.voxels
    assert np.median(hu[inside & (row > back)]) > np.median(hu[inside & (row < front)]) + 15


def test_sites_differ_in_noise_spacing_and_padding() -> None:
    patient = draw_patient(8, "healthy")
    scans = {name: render(patient.at_site(name), 0, shape=(24, 64, 64)) for name in SITES}
    pixels = {name: chest.volume.spacing_mm[1] for name, chest in scans.items()}
    assert len({round(p, 3) for p in pixels.values()}) == len(SITES)
    rough = {}
    for name, chest in scans.items():
        hu = chest.volume.voxels.astype(float)
        tissue = (hu[:, :, 1:] > -20) & (hu[:, :, :-1] > -20) & (hu[:, :, 1:] < 200) & (hu[:, :, :-1] < 200)
        rough[name] = np.median(np.abs(np.diff(hu, axis=2))[tissue])
    assert rough["d"] > 1.2 * rough["a"] > 1.5 * rough["b"]
    assert rough["b"] > 1.2 * rough["c"]
    assert scans["b"].volume.voxels.min() == -2000
    assert scans["a"].volume.voxels.min() >= -1024
    slices = {name: scan_grid(patient.body, site).shape[0] for name, site in SITES.items()}
    assert slices["a"] > slices["b"] > slices["c"]


def test_breathing_out_makes_the_lungs_smaller() -> None:
    patient = draw_patient(8, "covid", "a", 0.4)
    full, out = (render(patient, 6, shape=SMALL, breath=breath) for breath in (0.0, 1.0))
    assert np.count_nonzero(out.lungs) < 0.97 * np.count_nonzero(full.lungs)
    assert out.involvement() == pytest.approx(full.involvement(), rel=0.3)


def test_a_slab_of_a_scan_equals_the_same_slices_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = draw_patient(8, "covid", "b", 0.6)
    whole = render(patient, 8, shape=(20, 64, 64))
    monkeypatch.setattr("glasslung.data.phantom.grid.SLAB_VOXELS", 3 * 64 * 64)
    slabs = render(patient, 8, shape=(20, 64, 64))
    assert np.array_equal(whole.lesions, slabs.lesions)
    assert np.abs(whole.volume.voxels.astype(int) - slabs.volume.voxels).max() <= 1  # rounding


def test_any_grid_can_be_asked_for() -> None:
    patient = draw_patient(8, "healthy")
    chest = render(patient, 0, shape=(10, 30, 40), spacing=(10.0, 8.0, 8.0))
    assert chest.volume.spacing_mm == pytest.approx((10, 8, 8))
    one = render(patient, 0, grid=Grid((1, 64, 64), (-40.0, -120.0, -160.0), (3.0, 5.0, 5.0)))
    assert one.volume.shape == (1, 64, 64)
    with pytest.raises(UsageError):
        Grid((0, 4, 4), (0, 0, 0), (1, 1, 1))
