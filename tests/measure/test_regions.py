"""All measures of a scan: they add up, they do not depend on the file's axes, they say None when unknown."""

from itertools import permutations

import numpy as np
import pytest
from test_zones import GOOD, as_filed, filed_volume, upright_case

from glasslung.errors import ShapeError
from glasslung.measure.density import BANDS
from glasslung.measure.regions import measure_scan
from glasslung.measure.severity import FIVE_LOBES, severity_score
from glasslung.types import Geometry, Intensity, Lesion, Lobe, Lungs, Volume


def lesions_for(mask: np.ndarray) -> np.ndarray:
    lesions = np.zeros(mask.shape, np.uint8)
    lesions[4:9, 5:10] = Lesion.GROUND_GLASS
    lesions[6:8, 7:12] = Lesion.CONSOLIDATION  # reaches outside the lungs, which must not count
    return lesions


def test_a_slow_count_gives_the_same_figures():
    voxels, mask = upright_case()
    lesions = lesions_for(mask)
    volume = filed_volume(voxels)
    regions, severity, involvement = measure_scan(volume, Lungs(mask, GOOD), lesions)
    for region in regions[:3]:
        inside = (
            mask > 0 if region.name == "both lungs" else mask == (1 if region.name.startswith("right") else 2)
        )
        assert region.voxels == inside.sum()
        assert region.ml == pytest.approx(inside.sum() * 0.2)
        assert region.affected.ml == pytest.approx((inside & (lesions > 0)).sum() * 0.2)
        assert region.affected.percent == pytest.approx(100 * (inside & (lesions > 0)).sum() / inside.sum())
        for band in BANDS:
            low = -np.inf if band.over_hu is None else band.over_hu
            high = np.inf if band.to_hu is None else band.to_hu
            count = (inside & (voxels > low) & (voxels <= high)).sum()
            assert region.bands[band.name].ml == pytest.approx(count * 0.2)
            assert region.bands[band.name].percent == pytest.approx(100 * count / inside.sum())
    assert involvement == regions[0].affected.percent
    assert severity.points == sum(zone.points for zone in severity.zones)


def test_parts_add_up():
    voxels, mask = upright_case(3)
    regions, _, _ = measure_scan(filed_volume(voxels), Lungs(mask, GOOD), lesions_for(mask))
    by_name = {region.name: region for region in regions}
    thirds = [f"{side} {level} third" for side in ("right", "left") for level in ("upper", "middle", "lower")]
    assert list(by_name) == ["both lungs", "right lung", "left lung", *thirds]
    for whole, parts in [
        ("both lungs", ["right lung", "left lung"]),
        ("right lung", thirds[:3]),
        ("left lung", thirds[3:]),
    ]:
        assert by_name[whole].ml == pytest.approx(sum(by_name[part].ml for part in parts))
        assert by_name[whole].affected.ml == pytest.approx(sum(by_name[part].affected.ml for part in parts))
        for band in BANDS:
            amounts = [by_name[part].bands[band.name].ml for part in parts]
            assert by_name[whole].bands[band.name].ml == pytest.approx(sum(amounts))
    for region in regions:
        assert sum(amount.percent for amount in region.bands.values()) == pytest.approx(100)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
def test_the_order_of_a_files_axes_does_not_matter(axes):
    voxels, mask = upright_case(1)
    lesions = lesions_for(mask)
    plain = measure_scan(filed_volume(voxels), Lungs(mask, GOOD), lesions)
    flips = (True, False, True)
    filed = [as_filed(array, axes, flips) for array in (mask, lesions)]
    assert measure_scan(filed_volume(voxels, axes, flips), Lungs(filed[0], GOOD), filed[1]) == plain


def test_what_is_not_known_is_none():
    voxels, mask = upright_case()
    regions, severity, involvement = measure_scan(filed_volume(voxels), Lungs(mask, GOOD), None)
    assert severity is None
    assert involvement is None
    assert all(region.affected is None for region in regions)
    grey = Volume(np.zeros(mask.shape, np.uint8), np.eye(4), Intensity.DISPLAY8, geometry=Geometry.ASSUMED)
    regions, _, _ = measure_scan(grey, Lungs(mask, GOOD), None)
    assert all(region.bands is None and region.ml is None and region.voxels for region in regions)


def test_no_severity_without_sides_but_an_involvement():
    voxels, mask = upright_case(unsided=True)
    _, severity, involvement = measure_scan(filed_volume(voxels), Lungs(mask, GOOD), lesions_for(mask))
    assert severity is None
    assert involvement > 0


def test_empty_lungs_have_no_regions():
    voxels, mask = upright_case()
    assert measure_scan(filed_volume(voxels), Lungs(mask * 0, GOOD), mask * 0) == ((), None, None)


def test_lobes_are_measured_and_can_be_scored():
    voxels, mask = upright_case()
    lobes = np.zeros_like(mask)
    for n, lobe in enumerate(lobe for lobe in Lobe if lobe):
        lobes[mask > 0] = np.where(np.nonzero(mask)[0] % 5 == n, lobe, lobes[mask > 0])
    regions, _, _ = measure_scan(filed_volume(voxels), Lungs(mask, GOOD), lesions_for(mask), lobes)
    lobed = [region for region in regions if region.name.endswith("lobe")]
    assert sum(region.voxels for region in lobed) == regions[0].voxels
    score = severity_score({region.name: region.affected.percent for region in lobed}, FIVE_LOBES)
    assert score.most == 25
    assert len(score.zones) == 5


def test_masks_of_another_grid_are_refused():
    voxels, mask = upright_case()
    for masks in [(mask[1:], None, None), (mask, mask[1:], None), (mask, None, mask[1:])]:
        with pytest.raises(ShapeError, match="one grid"):
            measure_scan(filed_volume(voxels), Lungs(masks[0], GOOD), masks[1], masks[2])
