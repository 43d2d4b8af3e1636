"""What must hold for every rendered chest, whoever the patient is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from glasslung.data.phantom import Chest, draw_patient, render
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
    assert 0.5 < np.mean(rights) < 0.6


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
