"""Soft maps: every figure against a slow twin written pixel by pixel from the published formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.greymaps import THRESHOLDS, e_measure, s_measure, score_maps

CASES = [
    "blob",
    "noise",
    "empty truth",
    "full truth",
    "black map",
    "white map",
    "one pixel",
    "grey map",
    "corner",
]


def case(name: str, shape: tuple[int, int] = (11, 14)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(CASES.index(name))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    truth = (rows - 4) ** 2 + (columns - 8) ** 2 < 9
    soft = np.clip(0.7 * truth + rng.uniform(-0.1, 0.5, shape), 0, 1)
    match name:
        case "noise":
            truth = rng.random(shape) < 0.4
        case "empty truth":
            truth = np.zeros(shape, bool)
        case "full truth":
            truth = np.ones(shape, bool)
        case "black map":
            soft = np.zeros(shape)
        case "white map":
            soft = np.ones(shape)
        case "one pixel":
            truth = np.zeros(shape, bool)
            truth[3, 5] = True
        case "grey map":
            soft = np.full(shape, 0.3)
        case "corner":
            truth = np.zeros(shape, bool)
            truth[-1, -1] = True
    return truth, soft


def saved(soft: np.ndarray, stretch: bool) -> np.ndarray:
    """As saved in 8 bit and read again, stretched where asked."""
    grey = np.round(soft * 255) / 255
    if not stretch:
        return grey
    low, high = grey.min(), grey.max()
    return np.zeros_like(grey) if high == low else np.round((grey - low) * 255) / round((high - low) * 255)


def slow_thresholds(truth, grey):
    """Dice, sensitivity and specificity at each threshold by counting; 0 where nothing is hit."""
    found = []
    for step in range(256):
        tp = fp = fn = tn = 0
        for t, g in zip(truth.ravel().tolist(), grey.ravel().tolist(), strict=True):
            above = g >= step / 255
            tp, fp, fn, tn = (
                tp + (t and above),
                fp + (not t and above),
                fn + (t and not above),
                tn + (not t and not above),
            )
        if tp == 0:
            found.append((0.0, 0.0, 0.0))
        else:
            found.append((2 * tp / (2 * tp + fp + fn), tp / (tp + fn), tn / (tn + fp) if tn + fp else 0.0))
    return np.array(found).T


def slow_e(truth, mask):
    """Fan et al., IJCAI 2018, eq. 2 to 5, pixel by pixel."""
    height, width = truth.shape
    pixels = height * width
    if not truth.any():
        return sum(1.0 - float(m) for m in mask.ravel()) / pixels
    if truth.all():
        return sum(float(m) for m in mask.ravel()) / pixels
    mean_truth, mean_mask = truth.sum() / pixels, mask.sum() / pixels
    total = 0.0
    for row in range(height):
        for column in range(width):
            a, b = float(truth[row, column]) - mean_truth, float(mask[row, column]) - mean_mask
            total += (1 + 2 * a * b / (a * a + b * b)) ** 2 / 4
    return total / pixels


def slow_s(truth, grey):
    """Fan et al., ICCV 2017, eq. 1 to 8, with the block weights of the authors' code."""
    height, width = truth.shape
    pixels = [(r, c) for r in range(height) for c in range(width)]
    inside = [p for p in pixels if truth[p]]
    if not inside:
        return 1 - sum(grey[p] for p in pixels) / len(pixels)
    if len(inside) == len(pixels):
        return sum(grey[p] for p in pixels) / len(pixels)

    def likeness(values):
        n, mean = len(values), sum(values) / len(values)
        sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else 0.0
        return 2 * mean / (mean**2 + 1 + 2 * 0.5 * sd)

    share = len(inside) / len(pixels)
    fore = likeness([grey[p] for p in inside])
    back = likeness([1 - grey[p] for p in pixels if not truth[p]])
    objects = share * fore + (1 - share) * back

    y = math.floor(sum(r + 1 for r, _ in inside) / len(inside) + 0.5)  # counted from 1
    x = math.floor(sum(c + 1 for _, c in inside) / len(inside) + 0.5)
    regions = 0.0
    for low_r, high_r in ((0, y), (y, height)):
        for low_c, high_c in ((0, x), (x, width)):
            block = [(r, c) for r in range(low_r, high_r) for c in range(low_c, high_c)]
            if block:
                regions += len(block) / len(pixels) * slow_ssim(block, truth, grey)
    return max(0.0, 0.5 * objects + 0.5 * regions)


def slow_ssim(block, truth, grey):
    n = len(block)
    x = sum(grey[p] for p in block) / n
    y = sum(float(truth[p]) for p in block) / n
    rest = n - 1 if n > 1 else 1
    vx = sum((grey[p] - x) ** 2 for p in block) / rest
    vy = sum((truth[p] - y) ** 2 for p in block) / rest
    vxy = sum((grey[p] - x) * (truth[p] - y) for p in block) / rest
    top, bottom = 4 * x * y * vxy, (x * x + y * y) * (vx + vy)
    if abs(top) > 1e-15:
        return top / bottom
    return 1.0 if bottom < 1e-15 else 0.0


@pytest.mark.parametrize("stretch", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_every_figure_is_what_the_formula_gives(name, stretch):
    truth, soft = case(name)
    grey = saved(soft, stretch)
    got = score_maps([(truth, soft)], stretch)
    dice, sensitivity, specificity = slow_thresholds(truth, grey)
    assert got.dice[0] == pytest.approx(dice)
    assert got.sensitivity[0] == pytest.approx(sensitivity)
    assert got.specificity[0] == pytest.approx(specificity)
    e = [slow_e(truth, grey > step / 255) for step in range(256)]
    assert got.e[0] == pytest.approx(e)
    assert got.s[0] == pytest.approx(slow_s(truth, grey), abs=1e-9)
    assert got.mae[0] == pytest.approx(float(np.mean(np.abs(truth - grey))))


def test_landmarks():
    truth, _ = case("blob")
    perfect = score_maps([(truth, truth.astype(float))])
    assert perfect.dice[0, 1:] == pytest.approx(1.0)
    assert perfect.s[0] == pytest.approx(1.0)
    assert perfect.mae[0] == 0.0
    assert perfect.e[0, :-1] == pytest.approx(1.0)
    assert perfect.e[0, -1] == pytest.approx(0.25)  # nothing is above 1
    opposite = score_maps([(truth, 1.0 - truth)])
    assert opposite.e[0, 5] == pytest.approx(0.0)
    assert opposite.s[0] == pytest.approx(0.0, abs=1e-9)
    everything = 2 * truth.sum() / (truth.sum() + truth.size)
    assert opposite.dice[0, 0] == pytest.approx(everything)
    assert opposite.dice[0, 1:].max() == 0.0


def test_a_faint_map_is_told_apart_only_where_it_is_not_stretched():
    truth, _ = case("blob")
    faint = 0.2 * truth
    stretched, plain = score_maps([(truth, faint)]), score_maps([(truth, faint)], stretch=False)
    assert stretched.each()["dice"][0] > 0.99
    assert plain.each()["dice"][0] < 0.25
    assert plain.best_threshold == pytest.approx(1 / 255)


def test_figures_of_a_data_set_are_means_over_pictures_and_thresholds():
    pairs = [case("blob"), case("noise"), case("empty truth"), case("blob", (9, 20))]
    got = score_maps(pairs)
    means = got.means(["a", "b", "c", "d"], np.random.default_rng(0))
    assert means["dice"].value == pytest.approx(got.dice.mean(0).mean())
    assert means["max_dice"].value == pytest.approx(got.dice.mean(0).max())
    assert means["dice"].value <= means["max_dice"].value
    assert got.dice[2].max() == got.specificity[2].max() == 0.0  # the released rule: no lesion, no score
    truth, soft = pairs[0]
    grey = saved(soft, True)
    found = grey >= min(1, 2 * grey.mean())
    assert got.adaptive_dice[0] == pytest.approx(2 * (truth & found).sum() / (truth.sum() + found.sum()))
    assert len(got) == 4
    assert THRESHOLDS[[0, -1]].tolist() == [0.0, 1.0]


def test_maps_that_are_no_probabilities_or_of_another_shape_are_refused():
    truth, soft = case("blob")
    with pytest.raises(ShapeError, match="one grid"):
        score_maps([(truth, soft[1:])])
    for wrong in (soft + 1, soft - 1, np.where(truth, np.nan, soft)):
        with pytest.raises(DataError, match=r"\[0, 1\]"):
            score_maps([(truth, wrong)])
    with pytest.raises(DataError, match="not a single"):
        score_maps([])


def test_the_parts_answer_alone():
    truth, soft = case("noise")
    assert e_measure(np.array([0]), np.array([10]), 0, 20)[0] == pytest.approx(0.5)
    assert e_measure(np.array([5]), np.array([0]), 20, 0)[0] == pytest.approx(0.25)
    assert s_measure(truth, soft) == pytest.approx(slow_s(truth, soft))
