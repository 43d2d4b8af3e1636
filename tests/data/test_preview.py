"""Previews: the planes are the right ones, the right way up, and come back from disk as they were."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from glasslung.data.preview import (
    AS_STORED,
    HEAT_TOP,
    LEVELS,
    LUNG_WINDOW,
    MAX_SIDE_PX,
    Plane,
    heat_of,
    levels_of,
    make_preview,
)
from glasslung.data.previewfile import read_preview, write_preview
from glasslung.errors import DataError, ShapeError
from glasslung.types import Geometry, Intensity, Lesion, Lung, Lungs, MaskQuality, Volume

GOOD, BAD = MaskQuality(True, 1.0), MaskQuality(False, 0.1, ("it looks wrong",))
SIZE_MM = (120.0, 160.0, 200.0)  # upright z, y, x


def chest(axes=(0, 1, 2), flips=(False, False, False), spacing=(4.0, 4.0, 4.0), **changes):
    """A block chest in any order of axes: right lung, left lung, one dense spot low in front on the right."""
    z, y, x = (int(size / step) for size, step in zip(SIZE_MM, spacing, strict=True))
    grid = np.indices((z, y, x)) / np.array([z, y, x]).reshape(3, 1, 1, 1)
    inside = (abs(grid[0] - 0.5) < 0.4) & (abs(grid[1] - 0.5) < 0.3)
    lungs = np.where(inside & (abs(grid[2] - 0.3) < 0.12), int(Lung.RIGHT), 0)
    lungs += np.where(inside & (abs(grid[2] - 0.7) < 0.12), int(Lung.LEFT), 0)
    spot = (lungs == Lung.RIGHT) & (grid[0] < 0.3) & (grid[1] < 0.4)
    upright = np.where(lungs > 0, -850, 40)
    upright[spot] = -500
    place = lambda array: np.transpose(array, np.argsort(axes))[  # noqa: E731
        tuple(slice(None, None, -1 if flips[axes.index(n)] else 1) for n in range(3))
    ]
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for n, axis in enumerate(axes):
        step = -spacing[n] if flips[n] else spacing[n]
        affine[2 - n, axis] = step
        affine[2 - n, 3] = (upright.shape[n] - 1) * spacing[n] if flips[n] else 0.0
    volume = Volume(np.ascontiguousarray(place(upright).astype(np.int16)), affine, Intensity.HU, **changes)
    opacity = np.where(spot, int(Lesion.GROUND_GLASS), 0)
    return volume, Lungs(place(lungs).astype(np.uint8), GOOD), place(opacity).astype(np.uint8)


ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((False, True), repeat=3)]


@pytest.mark.parametrize(("axes", "flips"), ORDERS[::5])
def test_however_the_file_keeps_its_axes_the_pictures_are_the_same(axes, flips):
    straight = make_preview(*chest())
    turned = make_preview(*chest(axes, flips))
    assert len(straight.views) == len(turned.views) == LEVELS + 4
    for one, two in zip(straight.views, turned.views, strict=True):
        assert np.array_equal(one.grey, two.grey)
        assert np.array_equal(one.lungs, two.lungs)
        assert np.array_equal(one.opacities, two.opacities)
        assert one.position_mm == pytest.approx(two.position_mm)
        assert (one.plane, one.where, one.most) == (two.plane, two.where, two.most)


def test_right_is_on_the_left_front_is_up_and_head_is_up():
    views = make_preview(*chest()).views
    axial = views[-4]
    assert axial.most
    rows, cols = np.nonzero(axial.opacities)
    assert cols.max() < axial.grey.shape[1] / 2  # the patient's right on the picture's left
    assert rows.max() < axial.grey.shape[0] / 2  # in front, so in the upper half
    coronal, right, left = views[-3:]
    assert coronal.lungs[coronal.lungs.any(axis=1)].shape[0] > 0
    assert np.nonzero(coronal.lungs == Lung.RIGHT)[1].max() < np.nonzero(coronal.lungs == Lung.LEFT)[1].min()
    rows, cols = np.nonzero(right.opacities)
    assert rows.min() > right.grey.shape[0] / 2  # low in the lung, so low in the picture
    assert cols.max() < right.grey.shape[1] / 2  # in front, so on the left
    assert not left.opacities.any()
    assert (right.where, left.where) == ("right lung", "left lung")


def test_axial_planes_go_from_head_to_feet_and_say_where_they_are():
    axial = [v for v in make_preview(*chest()).views if v.plane is Plane.AXIAL and not v.most]
    heights = [v.position_mm for v in axial]
    assert heights == sorted(heights, reverse=True)
    assert [v.where for v in axial] == ["upper"] * 3 + ["middle"] * 2 + ["lower"] * 3
    assert all(v.position_mm == pytest.approx((v.number - 1) * 4.0) for v in axial)
    assert {v.count for v in axial} == {30}


def test_the_number_is_the_files_own():
    view = make_preview(*chest(flips=(True, False, False))).views[0]
    straight = make_preview(*chest()).views[0]
    assert view.number == view.count + 1 - straight.number


def test_pixels_are_square_and_sizes_true():
    volume, lungs, opacity = chest(spacing=(5.0, 2.0, 1.0))
    for view in make_preview(volume, lungs, opacity).views:
        right = np.nonzero(view.lungs)
        height = (np.ptp(right[0]) + 1) * view.pixel_mm
        wanted = 0.6 * SIZE_MM[1] if view.plane is Plane.AXIAL else 0.8 * SIZE_MM[0]
        assert height == pytest.approx(wanted, abs=10.0)
        assert max(view.grey.shape) <= MAX_SIDE_PX


def test_labels_are_never_mixed():
    volume, lungs, opacity = chest(spacing=(3.0, 1.3, 0.7))
    for view in make_preview(volume, lungs, opacity).views:
        assert set(np.unique(view.lungs)) <= {0, 1, 2}
        assert set(np.unique(view.opacities)) <= {0, 1}


def test_a_mask_that_is_not_trusted_does_not_choose_the_frame():
    volume, lungs, opacity = chest(spacing=(4.0, 2.0, 1.0))
    whole = make_preview(volume, replace(lungs, quality=BAD), opacity).views[0]
    assert whole.grey.shape == (160, 200)
    assert make_preview(volume, lungs, opacity).views[0].grey.shape[1] < 200


def test_plain_pictures_have_no_millimetres_and_no_reformats():
    grey = np.full((12, 40, 50), 100, np.uint8)
    volume = Volume(grey, np.eye(4), Intensity.DISPLAY8, geometry=Geometry.ASSUMED)
    preview = make_preview(volume, Lungs(np.zeros((12, 40, 50), np.uint8), BAD), None)
    assert preview.windows == (AS_STORED,)
    assert preview.profile is None
    assert len(preview.views) == LEVELS
    for view in preview.views:
        assert (view.plane, view.pixel_mm, view.position_mm, view.where) == (Plane.AXIAL, None, None, "")
        assert view.opacities is None


@pytest.mark.parametrize("slices", [1, 2])
def test_one_or_two_slices_are_shown_as_they_are(slices):
    volume, lungs, opacity = chest()
    cut = slice(12, 12 + slices)
    few = Volume(volume.voxels[cut].copy(), volume.affine, volume.intensity)
    preview = make_preview(few, Lungs(lungs.mask[cut], GOOD), np.zeros_like(opacity[cut]))
    assert [view.number for view in preview.views] == list(range(slices, 0, -1))
    assert preview.windows[0] == LUNG_WINDOW
    assert preview.profile is None


def test_a_scan_without_lungs_is_spread_over_all_its_slices():
    volume, lungs, _ = chest()
    preview = make_preview(volume, replace(lungs, mask=np.zeros_like(lungs.mask)), None)
    assert [v.plane for v in preview.views] == [Plane.AXIAL] * LEVELS + [Plane.CORONAL]
    assert preview.views[0].grey.shape == (40, 50)


def test_the_profile_adds_up_to_the_lungs():
    volume, lungs, opacity = chest(axes=(1, 0, 2), flips=(True, False, True))
    profile = make_preview(volume, lungs, opacity).profile
    thickness_cm = 0.4
    assert profile.lung.sum() * thickness_cm == pytest.approx((lungs.mask > 0).sum() * volume.voxel_ml)
    assert profile.affected.sum() * thickness_cm == pytest.approx((opacity > 0).sum() * volume.voxel_ml)
    assert np.all(np.diff(profile.position_mm) > 0)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 50, 301])
def test_levels_are_different_descending_and_inside(count):
    levels = levels_of(10, 9 + count)
    assert len(levels) == min(count, LEVELS)
    assert levels == sorted(set(levels), reverse=True)
    assert levels[0] <= 9 + count
    assert levels[-1] >= 10


def test_masks_on_another_grid_are_refused():
    volume, lungs, opacity = chest()
    with pytest.raises(ShapeError, match="opacity mask"):
        make_preview(volume, lungs, opacity[:-1])


def same(one, two):
    """Whether two values of a preview are equal, arrays and None included."""
    return one is two if one is None or two is None else np.array_equal(one, two) and type(one) is type(two)


@pytest.mark.parametrize("spotted", [True, False])
def test_a_preview_comes_back_as_it_was_written_and_twice_the_same_bytes(tmp_path, spotted):
    volume, lungs, opacity = chest()
    preview = make_preview(volume, lungs, opacity if spotted else None)
    for name in ("a", "b"):
        write_preview(preview, tmp_path / "deep" / f"{name}.npz")
    files = sorted((tmp_path / "deep").iterdir())
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [file.name for file in files] == ["a.npz", "b.npz"]
    back = read_preview(files[0])
    assert (back.intensity, back.geometry, back.windows) == (
        preview.intensity,
        preview.geometry,
        preview.windows,
    )
    for one, two in zip([*preview.views, preview.profile], [*back.views, back.profile], strict=True):
        for name, value in vars(one).items():
            assert same(value, getattr(two, name)), name


def test_a_damaged_preview_is_named(tmp_path):
    path = tmp_path / "scan-01.npz"
    write_preview(make_preview(*chest()), path)
    good = path.read_bytes()
    broken = [b"", b"no zip", good[: len(good) // 2], good[:-7] + b"x" * 7]
    for content in broken:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"scan-01\.npz"):
            read_preview(path)
    np.savez(path, meta=np.array([{"format": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"scan-01\.npz"):
        read_preview(path)


def test_a_map_of_relevance_is_kept_in_planes_that_hold_most_of_it(tmp_path):
    volume, lungs = chest_with_heat()
    relevance = np.zeros(volume.shape, np.float32)
    for z, much in ((4, 1.0), (5, 0.9), (12, 2.0), (30, 0.5)):
        relevance[z, 20:24, 20:24] = much
    relevance[20, 20:24, 20:24] = -0.8
    heat = heat_of(relevance, 1.0)
    assert heat.dtype == np.int8 and (heat.min(), heat.max()) == (-round(0.8 * HEAT_TOP), HEAT_TOP)
    preview = make_preview(volume, lungs, np.zeros(volume.shape, np.uint8), None, heat)
    picked = [view.number for view in preview.reasons]
    assert picked == [31, 21, 13, 5]  # slice 6 shows the same lung as 5
    assert all(view.heat.any() and view.opacities is None for view in preview.reasons)
    assert all(view.heat is None for view in preview.views)
    write_preview(preview, tmp_path / "preview.npz")
    again = read_preview(tmp_path / "preview.npz")
    assert len(again.views) == len(preview.views) and len(again.reasons) == 4
    for one, two in zip(preview.reasons, again.reasons, strict=True):
        np.testing.assert_array_equal(one.heat, two.heat)
        assert (one.number, one.position_mm) == (two.number, two.position_mm)


def test_a_map_that_speaks_against_alone_is_shown_and_none_where_it_is_empty():
    volume, lungs = chest_with_heat()
    relevance = np.zeros(volume.shape, np.float32)
    relevance[7, 20:24, 20:24] = -1.0
    preview = make_preview(volume, lungs, None, None, heat_of(relevance, 1.0))
    assert [view.number for view in preview.reasons] == [8]
    nothing = make_preview(volume, lungs, None, None, heat_of(relevance * 0, 1.0))
    assert nothing.reasons == ()


@pytest.mark.parametrize(("value", "full"), [(np.nan, 1.0), (np.inf, 1.0), (1.0, 0.0)])
def test_a_map_that_is_no_map_is_refused(value, full):
    with pytest.raises(DataError, match="must be finite"):
        heat_of(np.full((2, 3, 3), value, np.float32), full)


def chest_with_heat() -> tuple[Volume, Lungs]:
    """Slices 10 mm apart that are lung in the middle."""
    mask = np.zeros((40, 60, 60), np.uint8)
    mask[2:38, 15:45, 10:28], mask[2:38, 15:45, 32:50] = 1, 2
    affine = np.array([[0, 0, 5.0, 0], [0, 5.0, 0, 0], [10.0, 0, 0, 0], [0, 0, 0, 1.0]])
    return Volume(np.where(mask > 0, -850, 40).astype(np.int16), affine, Intensity.HU), Lungs(
        mask, MaskQuality(True, 1.0)
    )
