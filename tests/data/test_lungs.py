"""Lungs without weights: on chests drawn from ellipsoids here, and on real scans where they are present."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.formats import read_mask, read_scan
from glasslung.data.lungs import DEFAULT, Settings, segment_lungs
from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.coarse import coarsen, spread
from glasslung.data.lungs.dense import LUNG, NOTHING, WALL, Field
from glasslung.data.lungs.pockets import fill_pockets
from glasslung.data.lungs.quality import Evidence, judge
from glasslung.types import Geometry, Intensity, Lung, Volume

SPACING_MM = (4.0, 4.0, 4.0)
SHAPE = (72, 72, 88)  # 288 x 288 x 352 mm


def ellipsoid(centre_mm: tuple[float, ...], half_mm: tuple[float, ...]) -> np.ndarray:
    """(z, y, x) bool, in mm from the grid's middle."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    parts = [((a - c) / h) ** 2 for a, c, h in zip(axes, centre_mm, half_mm, strict=True)]
    return parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :] <= 1.0


def column(centre_mm: tuple[float, float], half_mm: tuple[float, float]) -> np.ndarray:
    return ellipsoid((0.0, *centre_mm), (1e6, *half_mm))


def upright_affine() -> np.ndarray:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *SPACING_MM, 1.0
    return affine


def draw_chest(rng: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """HU and truth, upright (z, y, x): body, ribs, spine, heart, two lungs, windpipe, stomach gas, table."""
    hu = np.full(SHAPE, -1000.0)
    body = column((0, 0), (115, 160))
    hu[body] = 40.0
    hu[column((125, 0), (6, 150))] = 200.0  # table
    ribs = column((0, 0), (100, 140)) & ~column((0, 0), (95, 135))
    ribs[::3] = False
    hu[ribs] = 500.0
    hu[column((70, 0), (18, 18))] = 300.0  # spine
    heart = ellipsoid((-50, -25, 15), (60, 45, 48))
    truth = np.zeros(SHAPE, np.uint8)
    for side, x in ((Lung.RIGHT, -72.0), (Lung.LEFT, 72.0)):
        truth[ellipsoid((-10, 0, x), (115, 85, 55)) & ~heart] = side
    truth[ellipsoid((-130, -10, -70), (70, 75, 60))] = 0  # liver
    truth[ellipsoid((-140, -10, 70), (70, 75, 60))] = 0  # spleen and stomach
    hu[truth > 0] = -850.0
    trachea = column((0, 0), (9, 9))
    trachea[: SHAPE[0] // 2] = False
    hu[trachea] = -1000.0
    hu[ellipsoid((-118, -40, 60), (12, 18, 25))] = -1000.0  # gas under the left dome
    noise = 0.0 if rng is None else rng.normal(0.0, 15.0, SHAPE)
    return np.clip(hu + noise, -1024, 3000).astype(np.int16), truth


def volume_of(hu: np.ndarray, affine: np.ndarray | None = None) -> Volume:
    return Volume(hu, upright_affine() if affine is None else affine, Intensity.HU)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def sided_dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return min(dice(mask == side, truth == side) for side in (Lung.RIGHT, Lung.LEFT))


@pytest.fixture(scope="module")
def chest() -> tuple[np.ndarray, np.ndarray]:
    return draw_chest(np.random.default_rng(0))


def test_both_lungs_of_a_drawn_chest_with_their_sides(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    lungs = segment_lungs(volume_of(hu))
    assert lungs.mask.dtype == np.uint8
    assert lungs.mask.shape == hu.shape
    assert sided_dice(lungs.mask, truth) > 0.95
    assert lungs.quality.trusted


def test_windpipe_stomach_gas_and_room_are_out(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    mask = segment_lungs(volume_of(hu)).mask
    for other in (
        column((0, 0), (6, 6)),
        ellipsoid((-118, -40, 60), (9, 14, 20)),
        ~column((0, 0), (115, 160)),
    ):
        assert not mask[other & (truth == 0)].any()


def test_an_enclosed_tumour_and_consolidation_on_the_wall_count_as_lung(
    chest: tuple[np.ndarray, np.ndarray],
) -> None:
    hu, truth = chest
    for centre in ((0, 10, -72), (0, 15, 105), (20, 60, -75)):
        dense = ellipsoid(centre, (28, 28, 28)) & (truth > 0)
        sick = np.where(dense, 45, hu).astype(np.int16)
        mask = segment_lungs(volume_of(sick)).mask
        assert (mask[dense] > 0).mean() > 0.8, centre
        assert sided_dice(mask, truth) > 0.93, centre


def test_posterior_basal_consolidation_is_recovered_from_the_other_side(
    chest: tuple[np.ndarray, np.ndarray],
) -> None:
    hu, truth = chest
    z, y = np.arange(SHAPE[0])[:, None, None], np.arange(SHAPE[1])[None, :, None]
    dense = (truth == Lung.RIGHT) & (z < 36) & (y > 44)
    lungs = segment_lungs(volume_of(np.where(dense, 45, hu).astype(np.int16)))
    assert (lungs.mask[dense] == Lung.RIGHT).mean() > 0.5
    assert any("inferred" in reason for reason in lungs.quality.reasons)


def test_a_healthy_chest_is_given_nothing_extra() -> None:
    hu, truth = draw_chest()
    mask = segment_lungs(volume_of(hu)).mask
    near = mm.dilate(truth > 0, 9.0, SPACING_MM)
    assert np.count_nonzero((mask > 0) & ~near) < 0.01 * np.count_nonzero(truth)


def test_lungs_that_touch_in_front_are_told_apart(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    joined = hu.copy()
    joined[40:48, 20:30, 36:52] = -850
    mask = segment_lungs(volume_of(joined)).mask
    assert sided_dice(mask, truth) > 0.93


@pytest.mark.parametrize("axes", list(permutations(range(3)))[1::2])
def test_permuted_and_flipped_files_give_the_permuted_mask(
    chest: tuple[np.ndarray, np.ndarray], axes: tuple[int, int, int]
) -> None:
    hu, _ = chest
    upright = segment_lungs(volume_of(hu)).mask
    flip = axes[0]
    turned = np.flip(hu, flip).transpose(axes)
    affine = upright_affine()
    affine[:3, 3] += affine[:3, flip] * (hu.shape[flip] - 1)
    affine[:3, flip] *= -1
    affine = np.column_stack([affine[:, list(axes)], affine[:, 3]])
    mask = segment_lungs(volume_of(np.ascontiguousarray(turned), affine)).mask
    np.testing.assert_array_equal(mask, np.flip(upright, flip).transpose(axes))


def test_a_mirrored_affine_swaps_the_sides(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    affine = upright_affine()
    affine[0, 2] *= -1
    mask = segment_lungs(volume_of(hu, affine)).mask
    assert dice(mask == Lung.LEFT, truth == Lung.RIGHT) > 0.95


def test_a_field_of_view_cropped_to_the_lungs_still_works(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    z, y, x = (
        slice(np.flatnonzero((truth > 0).any(axis=a))[0] - 2, np.flatnonzero((truth > 0).any(axis=a))[-1] + 3)
        for a in ((1, 2), (0, 2), (0, 1))
    )
    mask = segment_lungs(volume_of(np.ascontiguousarray(hu[z, y, x]))).mask
    assert sided_dice(mask, truth[z, y, x]) > 0.93


def test_a_scan_without_lungs_is_an_answer_not_an_error() -> None:
    for hu in (np.full((5, 30, 30), 40), np.full((5, 30, 30), -1000), np.full((1, 2, 2), 0)):
        lungs = segment_lungs(volume_of(hu.astype(np.int16)))
        assert not lungs.mask.any()
        assert not lungs.quality.trusted
        assert lungs.quality.reasons


def test_two_slices_are_not_to_be_trusted(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    lungs = segment_lungs(volume_of(hu[36:38]))
    assert dice(lungs.mask > 0, truth[36:38] > 0) > 0.9
    assert not lungs.quality.trusted
    assert "2 slice" in " ".join(lungs.quality.reasons)


def test_one_missing_lung_is_said(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    lungs = segment_lungs(volume_of(np.where(truth == Lung.LEFT, 40, hu).astype(np.int16)))
    assert not lungs.quality.trusted
    assert "left" in " ".join(lungs.quality.reasons)


def test_lungs_cut_off_below_are_said(chest: tuple[np.ndarray, np.ndarray]) -> None:
    lungs = segment_lungs(volume_of(np.ascontiguousarray(chest[0][34:])))
    assert any("lower end" in reason for reason in lungs.quality.reasons)


# ---- pictures


def picture(hu: np.ndarray, turned: bool = False) -> Volume:
    grey = np.clip((hu.astype(float) + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
    stack = grey[::-1, :, :]
    stack = np.ascontiguousarray(np.rot90(stack, axes=(1, 2))) if turned else np.ascontiguousarray(stack)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    affine[2, 0] = -1.0
    return Volume(stack, affine, Intensity.DISPLAY8, geometry=Geometry.ASSUMED)


def test_an_upright_picture_stack_has_sides_by_convention(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    lungs = segment_lungs(picture(hu))
    assert sided_dice(lungs.mask, truth[::-1]) > 0.9
    assert any("Hounsfield" in reason for reason in lungs.quality.reasons)


def test_pictures_of_a_patient_on_the_side_are_unsided(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    lungs = segment_lungs(picture(hu[20:56], turned=True))
    assert set(np.unique(lungs.mask)) == {0, int(Lung.UNSIDED)}
    turned = np.rot90(truth[20:56][::-1], axes=(1, 2))
    assert dice(lungs.mask > 0, turned > 0) > 0.9


def test_cut_out_lungs_are_taken_as_they_are(chest: tuple[np.ndarray, np.ndarray]) -> None:
    hu, truth = chest
    volume = picture(hu[38:39])
    alone = np.where(truth[38:39] > 0, np.maximum(volume.voxels, 30), 0).astype(np.uint8)
    lungs = segment_lungs(Volume(alone, volume.affine, volume.intensity, geometry=volume.geometry))
    assert dice(lungs.mask > 0, truth[38:39] > 0) > 0.97
    assert sided_dice(lungs.mask, truth[38:39]) > 0.97


# ---- parts, against slow twins


# squared distances on that grid are whole numbers: radii between them, and whole ones that meet them exactly
RADII = st.integers(1, 36).map(lambda square: float(np.sqrt(square + 0.5))) | st.integers(1, 6).map(float)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), RADII)
def test_balls_in_millimetres_agree_with_their_definition(seed: int, radius: float) -> None:
    mask = np.random.default_rng(seed).random((5, 6, 7)) < 0.05
    spacing = (3.0, 1.0, 2.0)
    slow = np.zeros_like(mask)
    for at in np.ndindex(mask.shape):
        for other in np.argwhere(mask):
            slow[at] |= np.linalg.norm((np.array(at) - other) * spacing) <= radius
    np.testing.assert_array_equal(mm.dilate(mask, radius, spacing), slow)


def test_looking_along_a_line_meets_the_nearest_thing_first() -> None:
    rng = np.random.default_rng(1)
    lung, wall = rng.random((6, 7, 8)) < 0.1, rng.random((6, 7, 8)) < 0.1
    field = Field.of(lung, wall, np.ones_like(lung), (1.0, 1.0, 1.0), 4.0)
    for direction in ((1, 0, 0), (0, -1, 0), (0, 1, 1), (-1, 1, 0)):
        seen = field.look(direction).reshape(lung.shape)
        steps = int(4.0 / np.linalg.norm(direction) + 0.5)
        for at in np.ndindex(lung.shape):
            expected = NOTHING
            for n in range(1, steps + 1):
                there = tuple(a + n * d for a, d in zip(at, direction, strict=True))
                if any(not 0 <= t < s for t, s in zip(there, lung.shape, strict=True)):
                    break
                if lung[there] or wall[there]:
                    expected = LUNG if lung[there] else WALL
                    break
            assert seen[at] == expected


def test_coarse_blocks_are_means_and_spread_back() -> None:
    hu = np.random.default_rng(2).integers(-1000, 1000, (5, 9, 8)).astype(np.int16)
    coarse = coarsen(hu, (1.0, 0.7, 0.7), 2.2)
    assert coarse.factors == (2, 3, 3)
    np.testing.assert_allclose(coarse.hu[0, 0, 0], hu[:2, :3, :3].mean(), rtol=1e-5)
    back = spread(coarse.hu, coarse.factors, hu.shape)
    assert back.shape == hu.shape
    assert back[4, 8, 7] == coarse.hu[-1, -1, -1]


def test_the_verdict_costs_confidence_for_each_doubt() -> None:
    mask = np.zeros((40, 60, 80), np.uint8)
    mask[5:35, 10:50, 10:35], mask[5:35, 10:50, 45:70] = 1, 2
    spacing = (5.0, 5.0, 5.0)
    good = judge(Evidence(mask, spacing, measured=True, hounsfield=True))
    assert (good.trusted, good.confidence, good.reasons) == (True, 1.0, ())
    inferred = judge(Evidence(mask, spacing, measured=True, hounsfield=True, inferred=0.2))
    assert not inferred.trusted
    assert "20 %" in inferred.reasons[0]
    tiny = judge(Evidence(mask, (1.0, 1.0, 1.0), measured=True, hounsfield=True))
    assert not tiny.trusted
    assert judge(Evidence(mask, (1.0, 1.0, 1.0), measured=False, hounsfield=False)).trusted


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        DEFAULT.fill_mm = 3.0  # type: ignore[misc]
    assert Settings() == DEFAULT


def test_dents_on_the_ribs_are_filled_and_the_heart_s_is_not() -> None:
    y, x = np.mgrid[:120, :200]

    def disc(cy: float, cx: float, ry: float, rx: float) -> np.ndarray:
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1.0

    lungs = (disc(60, 50, 50, 40) | disc(60, 150, 50, 40)) & ~disc(50, 110, 30, 30)
    dent = disc(60, 188, 18, 14) & lungs
    filled = fill_pockets((lungs & ~dent)[None])[0]
    assert (filled[dent]).mean() > 0.8
    assert not (filled & ~lungs)[disc(50, 110, 26, 26)].any()
    one = (disc(60, 50, 50, 40) & ~disc(60, 12, 18, 14))[None]
    np.testing.assert_array_equal(fill_pockets(one), one)


# ---- real scans


@pytest.mark.real
def test_lungs_with_a_tumour_reach_the_goal(real: Path) -> None:
    scan = read_scan(real / "chest_ct_hu" / "lung1-001_ct.nii.gz")
    reference = read_mask(real / "chest_ct_hu" / "lung1-001_mask.nii.gz", scan)
    lungs = segment_lungs(scan)
    assert dice(lungs.mask > 0, reference > 0) >= 0.97
    assert (lungs.mask[reference == 3] > 0).mean() >= 0.70
    assert dice(lungs.mask == 1, reference == 1) > 0.94
    assert lungs.quality.trusted


@pytest.mark.real
def test_coarse_whole_chest_reaches_the_goal(real: Path) -> None:
    scan = read_scan(real / "chest_ct_hu" / "cip_ct-64.nrrd")
    reference = read_mask(real / "chest_ct_hu" / "cip_wholeLung-64.nrrd", scan)
    lungs = segment_lungs(scan)
    assert dice(lungs.mask > 0, reference > 0) >= 0.98
    assert lungs.quality.trusted


@pytest.mark.real
def test_a_small_scarred_lung_is_doubted(real: Path) -> None:
    quality = segment_lungs(read_scan(real / "chest_ct_hu" / "lidc-idri-0314_ct.nii.gz")).quality
    assert not quality.trusted
