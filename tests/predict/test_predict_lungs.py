"""Two outlines of the lungs weighed: what the network may add and remove, and when it may not."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.predict.lungs import nearest_side, weigh

MM = (2.0, 2.0, 2.0)


def chest() -> np.ndarray:
    """Two lungs as boxes, (30, 60, 90)."""
    lungs = np.zeros((30, 60, 90), bool)
    lungs[3:27, 10:50, 8:38] = lungs[3:27, 10:50, 52:82] = True
    return lungs


def density(lungs: np.ndarray, body: np.ndarray | None = None) -> np.ndarray:
    """Aerated lungs in soft tissue, ribs around: what position is judged by."""
    hu = np.full(lungs.shape, 40.0)
    hu[lungs] = -850
    hu[:, 4:8, 5:85] = hu[:, 52:56, 5:85] = hu[:, 4:56, 3:6] = hu[:, 4:56, 84:87] = 500
    return hu


def chance(lungs: np.ndarray) -> np.ndarray:
    return np.where(lungs, 0.9, 0.1).astype(np.float16)


def test_dense_lung_that_the_rules_missed_is_added():
    whole = chest()
    rules = whole.copy()
    rules[3:18, 30:50, 8:38] = False  # a consolidated part
    weighed = weigh(rules, chance(whole), MM, stacked=True)
    assert weighed.agree and not weighed.removed.any()
    assert np.count_nonzero(weighed.added) > 0.9 * np.count_nonzero(whole & ~rules)
    assert not (weighed.added & rules).any()


def test_a_lung_all_white_is_still_agreement():
    whole = chest()
    rules = whole.copy()
    rules[3:20, :, 52:] = False
    weighed = weigh(rules, chance(whole), MM, stacked=True)
    assert weighed.dice < 0.85 and weighed.agree
    assert np.count_nonzero(weighed.added) > 0.9 * np.count_nonzero(whole & ~rules)


def test_what_hangs_on_no_lung_is_not_added():
    whole = chest()
    island = whole.copy()
    island[8:20, 52:59, 40:50] = True
    weighed = weigh(whole, chance(island), MM, stacked=True)
    assert weighed.agree and not weighed.added.any()


def test_gas_that_the_rules_took_for_lung_is_removed():
    whole = chest()
    rules = whole.copy()
    rules[3:12, 52:60, 60:80] = True
    weighed = weigh(rules, chance(whole), MM, stacked=True)
    assert weighed.agree and not weighed.added.any()
    assert np.count_nonzero(weighed.removed) > 0.9 * np.count_nonzero(rules & ~whole)


def test_edges_stay_those_of_the_rules():
    whole = chest()
    thinner = np.zeros_like(whole)
    thinner[4:26, 11:49, 9:37] = thinner[4:26, 11:49, 53:81] = True
    for rules, network in ((whole, thinner), (thinner, whole)):
        weighed = weigh(rules, chance(network), MM, stacked=True)
        assert weighed.agree and not weighed.added.any() and not weighed.removed.any()


def test_other_lungs_altogether_are_not_believed():
    whole = chest()
    weighed = weigh(whole, chance(np.roll(whole, 25, axis=1)), MM, stacked=True)
    assert not weighed.agree and weighed.dice < 0.6
    assert not weighed.added.any() and not weighed.removed.any()


def test_slices_that_are_apart_lend_nothing_to_each_other():
    whole = chest()[10:11]
    rules = whole.copy()
    rules[:, 30:50, 8:38] = False
    weighed = weigh(rules, chance(whole), (5.0, 2.0, 2.0), stacked=False)
    assert np.count_nonzero(weighed.added) > 0.9 * np.count_nonzero(whole & ~rules)
    beside = np.zeros((2, *whole.shape[1:]), bool)
    beside[0], beside[1] = whole[0], False
    alone = beside.copy()
    alone[1, 20:40, 15:30] = True  # under the first slice's lung, but on a slice without any
    assert not weigh(beside, chance(alone), (5.0, 2.0, 2.0), stacked=False).added.any()
    assert weigh(beside, chance(alone), (5.0, 2.0, 2.0), stacked=True).dice == pytest.approx(
        2 * beside.sum() / (beside.sum() + alone.sum())
    )


def test_what_is_added_gets_the_side_of_the_nearest_lung():
    sides = np.zeros((4, 6, 12), np.uint8)
    sides[:, :, :3], sides[:, :, 9:] = 1, 2
    asked = np.zeros(sides.shape, bool)
    asked[:, :, 3:5] = asked[:, :, 7:9] = True
    found = nearest_side(sides, asked, (1.0, 1.0, 1.0))
    assert (found[:, :, :5] == 1).all() and (found[:, :, 7:] == 2).all() and not found[:, :, 5:7].any()
    assert (nearest_side(sides, np.zeros_like(asked), MM) == sides).all()


def test_position_must_speak_for_what_is_added_to_a_scan():
    """Dense lung between aerated lung is given back; an organ under the lungs is not."""
    whole = chest()
    sides = np.where(whole, np.where(np.arange(90) < 45, 1, 2), 0).astype(np.uint8)
    rules = sides.copy()
    rules[8:20, 22:38, 12:34] = 0  # enclosed
    organ = whole.copy()
    organ[0:3, 15:45, 10:36] = True  # beneath the right lung
    weighed = weigh(rules, chance(organ), (5.0, 5.0, 5.0), stacked=True, hu=density(rules > 0))
    given = weighed.added & whole
    assert np.count_nonzero(given) > 0.8 * np.count_nonzero(whole & (rules == 0))
    assert np.count_nonzero(weighed.added & ~whole) < 0.1 * np.count_nonzero(organ & ~whole)
    assert weighed.refused.any() and not (weighed.refused & weighed.added).any()


def lobe_without_air(tubes: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both lungs, the rules' lungs without the lower two thirds of the left one, and the greys."""
    whole = chest()
    sides = np.where(whole, np.where(np.arange(90) < 45, 1, 2), 0).astype(np.uint8)
    rules = sides.copy()
    rules[3:20, :, 52:] = 0
    hu = density(rules > 0)
    if tubes:
        hu[4:19, 20:40:6, 60:78:6] = -700  # bronchi, a voxel wide
    return whole, rules, hu


def test_a_whole_lobe_without_air_is_taken_in_where_bronchi_run_through_it():
    whole, rules, hu = lobe_without_air(tubes=True)
    weighed = weigh(rules, chance(whole), (4.0, 4.0, 4.0), stacked=True, hu=hu)
    lobe = whole & (rules == 0)
    assert weighed.agree and np.count_nonzero(weighed.added & lobe) > 0.95 * np.count_nonzero(lobe)
    assert not (weighed.added & ~whole).any() and not weighed.refused.any()


def test_dense_tissue_without_bronchi_is_no_lobe():
    """A raised dome of the liver lies where the other lung's mirror image has lung, too."""
    whole, rules, hu = lobe_without_air(tubes=False)
    weighed = weigh(rules, chance(whole), (4.0, 4.0, 4.0), stacked=True, hu=hu)
    lobe = whole & (rules == 0)
    assert np.count_nonzero(weighed.refused & lobe) > 0.4 * np.count_nonzero(lobe)


def test_gas_in_tissue_where_the_other_side_has_no_lung_makes_no_lobe():
    """A spleen under the lung, with gas of the bowel in it."""
    whole = chest()
    sides = np.where(whole, np.where(np.arange(90) < 45, 1, 2), 0).astype(np.uint8)
    sides[:10, :, :] = 0
    below = np.zeros_like(whole)
    below[3:10, 10:50, 52:82] = True
    organ = (sides > 0) | below
    hu = density(sides > 0)
    hu[4:9, 20:40:6, 60:78:6] = -700
    weighed = weigh(sides, chance(organ), (4.0, 4.0, 4.0), stacked=True, hu=hu)
    assert np.count_nonzero(weighed.added) < 0.3 * np.count_nonzero(organ & (sides == 0))
