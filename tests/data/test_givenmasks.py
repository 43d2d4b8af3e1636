"""Masks made elsewhere: their numbers, their sides, their grids, and what cannot be right."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.formats import write_mask, write_volume
from glasslung.data.givenmasks import given_lesions, given_lungs, lesion_labels
from glasslung.data.phantom import draw_patient, render
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Geometry, Intensity, Lesion, Lobe, Lung, Volume

SMALL = (24, 64, 64)


@pytest.fixture(scope="module")
def drawn():
    return render(draw_patient(4, severity=0.7), 9, shape=SMALL)


def kept(mask: np.ndarray, volume: Volume, folder, name: str = "mask.nii.gz"):
    write_mask(mask.astype(np.uint8), volume, folder / name)
    return folder / name


def test_our_own_and_lungmask_s_numbers(drawn, tmp_path):
    found = given_lungs(kept(drawn.lungs, drawn.volume, tmp_path), drawn.volume)
    assert (found.lungs.mask == drawn.lungs).all() and found.lobes is None and found.notes == ()
    assert found.lungs.quality.trusted


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_one_number_is_lung_without_sides(drawn, tmp_path, ending):
    path = kept(drawn.lungs > 0, drawn.volume, tmp_path, f"mask.{ending}")
    found = given_lungs(path, drawn.volume)
    assert set(np.unique(found.lungs.mask)) == {0, Lung.UNSIDED}
    assert any("does not tell sides" in note for note in found.notes)


def test_lobes_become_sides(drawn, tmp_path):
    upper = (np.arange(SMALL[0]) > SMALL[0] // 2)[:, None, None]
    lobes = np.zeros(SMALL, np.uint8)
    right, left = drawn.lungs == Lung.RIGHT, drawn.lungs == Lung.LEFT
    lobes[left & upper], lobes[left & ~upper] = Lobe.LEFT_UPPER, Lobe.LEFT_LOWER
    lobes[right & upper], lobes[right & ~upper] = Lobe.RIGHT_UPPER, Lobe.RIGHT_LOWER
    found = given_lungs(kept(lobes, drawn.volume, tmp_path), drawn.volume)
    assert (found.lungs.mask == drawn.lungs).all() and (found.lobes == lobes).all()


def test_swapped_sides_are_refused(drawn, tmp_path):
    swapped = np.array([0, 2, 1], np.uint8)[drawn.lungs]
    with pytest.raises(DataError, match="swapped"):
        given_lungs(kept(swapped, drawn.volume, tmp_path), drawn.volume)


@pytest.mark.parametrize(("value", "words"), [(0, "no lung voxel"), (7, "the labels 0, 1, 2, 7; lungs are")])
def test_numbers_that_no_lung_has(drawn, tmp_path, value, words):
    mask = drawn.lungs * (value > 0)
    mask[0, 0, 0] = value
    with pytest.raises(DataError, match=words):
        given_lungs(kept(mask, drawn.volume, tmp_path), drawn.volume)


def test_another_grid_of_the_same_place_is_brought_over(drawn, tmp_path):
    """Every second row and column of the scan's grid, as another program may write a mask."""
    volume = drawn.volume
    affine = volume.affine @ np.diag([1.0, 2.0, 2.0, 1.0])
    affine[:3, 3] += volume.affine[:3, 1] * 0.5 + volume.affine[:3, 2] * 0.5
    coarse = Volume(np.ascontiguousarray(volume.voxels[:, ::2, ::2]), affine, volume.intensity)
    found = given_lungs(kept(drawn.lungs[:, ::2, ::2], coarse, tmp_path), volume)
    assert found.lungs.mask.shape == SMALL
    wanted = np.repeat(np.repeat(drawn.lungs[:, ::2, ::2], 2, 1), 2, 2)
    assert (found.lungs.mask == wanted).all()
    assert any("another grid" in note for note in found.notes)


def test_slices_from_the_other_end_are_brought_over(drawn, tmp_path):
    volume, flip = drawn.volume, np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = SMALL[0] - 1
    turned = Volume(np.ascontiguousarray(volume.voxels[::-1]), volume.affine @ flip, volume.intensity)
    found = given_lungs(kept(drawn.lungs[::-1], turned, tmp_path), volume)
    assert (found.lungs.mask == drawn.lungs).all()


def test_a_mask_of_another_place_is_refused(drawn, tmp_path):
    affine = drawn.volume.affine.copy()
    affine[0, 3] += 900
    far = Volume(drawn.volume.voxels, affine, drawn.volume.intensity)
    with pytest.raises(ShapeError, match="inside the scan"):
        given_lungs(kept(drawn.lungs, far, tmp_path), drawn.volume)


def test_a_mask_without_geometry_is_refused(drawn, tmp_path):
    plain = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    nowhere = Volume(np.zeros((20, 50, 50), np.int16), plain, Intensity.HU)
    with pytest.raises(ShapeError, match=r"\(20, 50, 50\) voxels and no geometry.*\(24, 64, 64\)"):
        given_lungs(kept(np.ones((20, 50, 50)), nowhere, tmp_path), drawn.volume)


def test_masks_of_pictures_must_have_their_shape(drawn, tmp_path):
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    pictures = Volume(np.zeros((4, 40, 40), np.uint8), affine, Intensity.DISPLAY8, geometry=Geometry.ASSUMED)
    with pytest.raises(ShapeError, match="use the mask that was made from this scan"):
        given_lungs(kept(drawn.lungs, drawn.volume, tmp_path), pictures)


def test_lesions_by_our_numbers_and_by_others(drawn, tmp_path):
    path = kept(drawn.lesions, drawn.volume, tmp_path)
    found = given_lesions(path, drawn.volume)
    assert (found.mask == drawn.lesions).all() and len(found.kinds) == 3
    other = np.array([0, 5, 9, 9], np.uint8)[drawn.lesions]
    names = lesion_labels("5=ground glass, 9 = Consolidation")
    mapped = given_lesions(kept(other, drawn.volume, tmp_path, "other.nii.gz"), drawn.volume, names)
    assert (mapped.mask == np.array([0, 1, 2, 2])[drawn.lesions]).all()
    assert mapped.kinds == (Lesion.GROUND_GLASS, Lesion.CONSOLIDATION)
    dropped = given_lesions(path, drawn.volume, lesion_labels("1=ground-glass,2=none,3=none"))
    assert (dropped.mask == (drawn.lesions == 1)).all() and dropped.kinds == (Lesion.GROUND_GLASS,)


def test_numbers_without_a_name_are_named(drawn, tmp_path):
    path = kept(np.where(drawn.lesions > 0, 255, 0), drawn.volume, tmp_path)
    with pytest.raises(DataError, match=r'0, 255.*what 255 means.*--lesion-labels "255=ground glass"'):
        given_lesions(path, drawn.volume)
    with pytest.raises(DataError, match="what 255 means"):
        given_lesions(path, drawn.volume, {1: Lesion.GROUND_GLASS})


@pytest.mark.parametrize(
    "text", ["1", "x=ground glass", "1=fluff", "256=consolidation", "1=none,1=consolidation"]
)
def test_names_that_cannot_be_read(text):
    with pytest.raises(UsageError, match="--lesion-labels"):
        lesion_labels(text)
    assert lesion_labels("") == {}


def test_a_scan_is_no_mask(drawn, tmp_path):
    write_volume(drawn.volume, tmp_path / "scan.nii.gz")
    with pytest.raises(DataError, match="whole numbers 0 to 255"):
        given_lungs(tmp_path / "scan.nii.gz", drawn.volume)
