"""What is read off one slice of lungs."""

import numpy as np
import pytest
from made_cage import draw_lungs

from glasslung.errors import DataError
from glasslung.predict.opening import open_segmenter
from glasslung.studies.critical.sight import (
    GREY,
    LESIONS,
    SEGMENTER,
    find_lung,
    grey_features,
    see,
    stacked,
    texture_features,
    within,
    zone_features,
)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [draw_lungs(rng, dense, (200, 300)) for dense in (0.0, 0.8)]


def test_lungs_are_found_without_the_black_between(pictures):
    lung = find_lung(pictures[0])
    assert lung.lung.mean() == pytest.approx((pictures[0] > 10).mean(), abs=0.02)
    assert not lung.lung[:, 150].any() and lung.depth.max() > 40
    assert lung.core.sum() < lung.lung.sum()


def test_pictures_without_cut_out_lungs_are_refused():
    with pytest.raises(DataError, match="pixels of lung"):
        find_lung(np.zeros((200, 300), np.uint8))
    with pytest.raises(DataError, match="cut the lungs out"):
        find_lung(np.full((200, 300), 120, np.uint8))


def test_greys_by_their_names():
    grey = np.concatenate([np.full(50, 60), np.full(50, 160)])
    found = dict(zip(GREY, grey_features(grey), strict=True))
    assert found["grey, mean"] == 110 and found["grey, spread"] == 50
    assert sum(value for name, value in found.items() if "bin" in name) == pytest.approx(1)


def test_dense_backs_show_in_zones_and_lesions(pictures):
    segmenter = open_segmenter(SEGMENTER)
    seen = stacked([see(picture, segmenter) for picture in pictures])
    lesions = dict(zip(LESIONS, seen["lesions"].T, strict=True))
    for name in ("lesion, mean", "lesion, 95 %"):
        assert lesions[name][1] > lesions[name][0]
    back_less_front = seen["zones"][:, -2]
    assert back_less_front[1] > back_less_front[0] + 40
    assert {name: table.shape[0] for name, table in seen.items()} == dict.fromkeys(seen, 2)
    assert all(np.isfinite(table).all() for table in seen.values())


def test_features_of_tissue_do_not_see_the_canvas(pictures):
    wide = np.pad(pictures[1], ((0, 0), (40, 40)))
    for read in (zone_features, texture_features):
        assert read(find_lung(wide)) == pytest.approx(read(find_lung(pictures[1])), rel=1e-6)


def test_smoothing_knows_only_the_mask():
    grey = np.full((40, 40), 100.0)
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    grey[~mask] = 0
    assert within(grey, mask, 3.0)[mask] == pytest.approx(100)
