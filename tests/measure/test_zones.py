"""Regions: thirds as defined, nothing counted twice, the same in every order of axes."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, ShapeError
from glasslung.measure.zones import lobe_regions, regions_of, third_of_slices
from glasslung.types import Geometry, Intensity, Lobe, Lung, Lungs, MaskQuality, Volume

GOOD = MaskQuality(True, 1.0)


def upright_case(seed: int = 0, unsided: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and lung mask (20, 12, 16) in upright order (feet to head, front to back, right to left)."""
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-1000, 300, (20, 12, 16)).astype(np.int16)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[3:18, 2:10, 2:7] = Lung.RIGHT
    mask[5:18, 3:9, 9:14] = Lung.LEFT
    mask[rng.random(mask.shape) < 0.2] = 0
    if unsided:
        mask[mask > 0] = Lung.UNSIDED
    return voxels, mask


def as_filed(array: np.ndarray, axes: tuple[int, ...], flips: tuple[bool, ...]) -> np.ndarray:
    """An upright array as a file with its axes swapped and flipped keeps it."""
    flipped = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return np.ascontiguousarray(np.transpose(flipped, axes))


def filed_volume(
    voxels, axes=(0, 1, 2), flips=(False,) * 3, spacing=(8.0, 5.0, 5.0), geometry=Geometry.MEASURED
):
    """The volume of an upright array, filed with file axis n = upright axis axes[n]."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for n, upright in enumerate(axes):
        affine[2 - upright, n] = spacing[upright] * (-1 if flips[upright] else 1)
    return Volume(as_filed(voxels, axes, flips), affine, Intensity.HU, geometry=geometry)


def test_every_lung_voxel_has_one_label_and_parts_add_up():
    voxels, mask = upright_case()
    regions = regions_of(filed_volume(voxels), Lungs(mask, GOOD))
    assert np.array_equal(regions.mask("both lungs"), mask > 0)
    assert np.array_equal(regions.mask("right lung"), mask == Lung.RIGHT)
    assert np.array_equal(regions.mask("left lung"), mask == Lung.LEFT)
    for side in ("right", "left"):
        thirds = [regions.mask(f"{side} {level} third") for level in ("upper", "middle", "lower")]
        assert np.array_equal(
            sum(third.astype(int) for third in thirds), regions.mask(f"{side} lung").astype(int)
        )


def test_upper_is_towards_the_head():
    voxels, mask = upright_case()
    regions = regions_of(filed_volume(voxels), Lungs(mask, GOOD))
    heights = [np.nonzero(regions.mask(f"left {level} third"))[0] for level in ("lower", "middle", "upper")]
    assert heights[0].max() < heights[1].min()
    assert heights[1].max() < heights[2].min()


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_the_order_of_a_files_axes_does_not_matter(axes, flips):
    voxels, mask = upright_case()
    plain = regions_of(filed_volume(voxels), Lungs(mask, GOOD))
    turned = regions_of(filed_volume(voxels, axes, flips), Lungs(as_filed(mask, axes, flips), GOOD))
    assert turned.members == plain.members
    assert np.array_equal(turned.labels, as_filed(plain.labels, axes, flips))


def test_without_sides_only_both_lungs_and_their_thirds_are_known():
    voxels, mask = upright_case(unsided=True)
    regions = regions_of(filed_volume(voxels), Lungs(mask, GOOD))
    assert list(regions.members) == ["both lungs", "upper third", "middle third", "lower third"]
    assert (
        sum(int(regions.mask(f"{level} third").sum()) for level in ("upper", "middle", "lower"))
        == (mask > 0).sum()
    )


def test_one_unsided_voxel_takes_the_sides_away():
    voxels, mask = upright_case()
    mask[tuple(np.argwhere(mask == Lung.LEFT)[0])] = Lung.UNSIDED
    assert "left lung" not in regions_of(filed_volume(voxels), Lungs(mask, GOOD)).members


def test_a_slab_has_no_thirds():
    voxels, mask = upright_case()
    low = regions_of(filed_volume(voxels, spacing=(1.0, 5.0, 5.0)), Lungs(mask, GOOD))
    assert list(low.members) == ["both lungs", "right lung", "left lung"]
    two = regions_of(filed_volume(voxels[8:10], spacing=(80.0, 5.0, 5.0)), Lungs(mask[8:10], GOOD))
    assert list(two.members) == ["both lungs", "right lung", "left lung"]
    assumed = filed_volume(voxels, spacing=(1.0, 1.0, 1.0), geometry=Geometry.ASSUMED)
    assert "left upper third" in regions_of(assumed, Lungs(mask, GOOD)).members  # its height is not known


def test_a_missing_side_and_empty_lungs_are_left_out():
    voxels, mask = upright_case()
    mask[mask == Lung.LEFT] = 0
    assert "left lung" not in regions_of(filed_volume(voxels), Lungs(mask, GOOD)).members
    assert regions_of(filed_volume(voxels), Lungs(np.zeros_like(mask), GOOD)).members == {}


def test_wrong_questions_are_answered_with_the_right_names():
    voxels, mask = upright_case()
    regions = regions_of(filed_volume(voxels), Lungs(mask, GOOD))
    with pytest.raises(DataError, match="right upper third"):
        regions.mask("heart")
    with pytest.raises(ShapeError, match="own mask"):
        regions_of(filed_volume(voxels), Lungs(mask[1:], GOOD))


def slow_thirds(lung_voxels):
    """Walk the voxels slice by slice from the feet; a slice belongs where its middle voxel falls."""
    total, seen, answer = sum(lung_voxels), 0, []
    for count in lung_voxels:
        middle = seen + count / 2
        answer.append(0 if middle < total / 3 else 1 if middle < 2 * total / 3 else 2)
        seen += count
    return answer


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 2000), min_size=10, max_size=60).filter(lambda counts: sum(counts) > 100))
def test_thirds_follow_their_definition_and_turn_over(counts):
    counts = np.array(counts)
    assert third_of_slices(counts).tolist() == slow_thirds(counts.tolist())
    filled = counts > 0
    over = third_of_slices(counts[::-1])[::-1]
    exact = (6 * (np.cumsum(counts) - counts) + 3 * counts) % (
        2 * counts.sum()
    ) == 0  # a middle right on a cut
    assert np.array_equal((2 - over)[filled & ~exact], third_of_slices(counts)[filled & ~exact])


def test_lobes_become_regions():
    lobes = np.zeros((4, 4, 4), np.uint8)
    lobes[0] = Lobe.LEFT_LOWER
    lobes[1, 0] = Lobe.RIGHT_MIDDLE
    regions = lobe_regions(lobes)
    assert list(regions.members) == ["right middle lobe", "left lower lobe"]
    assert regions.mask("left lower lobe").sum() == 16
    with pytest.raises(DataError, match="0 to 5"):
        lobe_regions(np.full((2, 2, 2), 9, np.uint8))


@pytest.mark.real
def test_thirds_agree_with_the_chest_imaging_platform(real):
    import SimpleITK as sitk

    reference = sitk.GetArrayFromImage(sitk.ReadImage(str(real / "chest_ct_hu" / "cip_lm-64.nrrd"))) & 255
    mask = np.zeros(reference.shape, np.uint8)
    mask[(reference >= 12) & (reference <= 14)] = Lung.RIGHT
    mask[(reference >= 9) & (reference <= 11)] = Lung.LEFT
    volume = Volume(
        np.zeros(mask.shape, np.int16), np.diag([3.99, 4.17, 4.17, 1.0])[[2, 1, 0, 3]], Intensity.HU
    )
    regions = regions_of(volume, Lungs(mask, GOOD))
    names = ["left upper", "left middle", "left lower", "right upper", "right middle", "right lower"]
    for label, name in enumerate(names, start=9):
        assert np.array_equal(regions.mask(f"{name} third"), reference == label)
