"""How well a soft map of a lesion fits its true mask, as Inf-Net and the saliency literature measure it.

Protocol  Fan et al., Inf-Net, IEEE TMI 2020;39:2626, and the evaluation tool released with it. A map is
          saved as 8 bit, stretched so that its lowest value is 0 and its highest 1, and cut at 256 thresholds
          from 1 to 0. Dice, sensitivity and specificity are 0 wherever nothing is hit (TP = 0), on pictures
          without the lesion too. 'Mean' figures are means over thresholds of means over pictures: they reward
          maps that are nearly black and white, whatever they are worth at one threshold.
S         structure measure, Fan et al., ICCV 2017: likeness of objects and of four regions, alpha 0.5
E         enhanced alignment measure, Fan et al., IJCAI 2018, of the map cut at each threshold
MAE       mean absolute difference between map and mask

Every picture is scored from two histograms, of its grey values inside and outside the mask; S needs pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.overlap import Score, mean_score

LEVELS = 256
THRESHOLDS = np.arange(LEVELS) / (LEVELS - 1)  # (256,) ascending
ALPHA = 0.5  # weight of objects against regions in S
SPREAD = 0.5  # lambda of S: what the spread of grey values inside an object costs


@dataclass(frozen=True, eq=False)
class GreyScores:
    """Scores of N maps.

    dice, sensitivity, specificity, e  (N, 256) at each threshold, ascending
    s, mae                             (N,)
    adaptive_dice                      (N,) at twice the map's mean, 1 at most
    """

    dice: np.ndarray
    sensitivity: np.ndarray
    specificity: np.ndarray
    e: np.ndarray
    s: np.ndarray
    mae: np.ndarray
    adaptive_dice: np.ndarray

    def __len__(self) -> int:
        return len(self.s)

    @property
    def best_threshold(self) -> float:
        """The one threshold at which the mean Dice over pictures is highest."""
        return float(THRESHOLDS[int(self.dice.mean(0).argmax())])

    def each(self) -> dict[str, np.ndarray]:
        """Every figure of every picture, (N,): those over thresholds are means over all 256."""
        return {
            "dice": self.dice.mean(1),
            "sensitivity": self.sensitivity.mean(1),
            "specificity": self.specificity.mean(1),
            "s": self.s,
            "e": self.e.mean(1),
            "mae": self.mae,
            "max_dice": self.dice[:, int(self.dice.mean(0).argmax())],
            "adaptive_dice": self.adaptive_dice,
        }

    def means(
        self, patients: Sequence[object] | np.ndarray, rng: np.random.Generator, draws: int = 2000
    ) -> dict[str, Score]:
        """The figures of a data set with intervals over patients. max_dice is at the threshold that is best
        for these very pictures, which flatters it; its interval takes that threshold as given.
        """
        return {name: mean_score(values, patients, rng, draws) for name, values in self.each().items()}


def score_maps(pairs: Iterable[tuple[np.ndarray, np.ndarray]], stretch: bool = True) -> GreyScores:
    """Score soft maps against true masks: pairs of (truth (H, W) bool, soft (H, W) in [0, 1]).

    stretch  True: each map is stretched to [0, 1] first, as the released tool does; False: as they are,
             which alone can tell a picture without the lesion from one with it
    """
    each = [_score_map(truth, soft, stretch) for truth, soft in pairs]
    if not each:
        raise DataError("there is not a single map to score")
    return GreyScores(*(np.array(column) for column in zip(*each, strict=True)))


def _score_map(truth: np.ndarray, soft: np.ndarray, stretch: bool) -> tuple[np.ndarray | float, ...]:
    truth = np.asarray(truth) != 0
    steps = to_8bit(truth, soft)
    values = level_values(steps, stretch)
    inside = np.bincount(steps[truth], minlength=LEVELS)
    outside = np.bincount(steps[~truth], minlength=LEVELS)
    hit, invented = at_or_above(inside, values), at_or_above(outside, values)
    dice, sensitivity, specificity = _threshold_scores(hit, invented, inside.sum(), outside.sum())
    e = e_measure(above(inside, values), above(outside, values), inside.sum(), outside.sum())
    grey = values[steps]
    mae = float(np.abs(truth - grey).mean())
    return dice, sensitivity, specificity, e, s_measure(truth, grey), mae, _adaptive_dice(truth, grey)


def to_8bit(truth: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """A soft map as it is saved: whole steps 0 .. 255, (H, W) uint8."""
    if truth.ndim != 2 or truth.shape != soft.shape or truth.size == 0:
        raise ShapeError(f"truth is {truth.shape} and its map {soft.shape}; both must be (H, W) of one grid")
    if not (np.isfinite(soft).all() and soft.min() >= 0 and soft.max() <= 1):
        raise DataError("a soft map must lie in [0, 1]; give probabilities")
    return np.rint(np.asarray(soft, np.float64) * (LEVELS - 1)).astype(np.uint8)


def level_values(steps: np.ndarray, stretch: bool) -> np.ndarray:
    """What each of the 256 steps is worth, (256,) ascending; a map of one value is stretched to 0."""
    low, high = int(steps.min()), int(steps.max())
    if not stretch:
        return THRESHOLDS
    return (np.arange(LEVELS) - low) / max(high - low, 1)


def at_or_above(histogram: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pixels whose value is at or above each threshold: counts of the 256 steps -> (256,)."""
    return _tail(histogram)[np.searchsorted(values, THRESHOLDS, side="left")]


def above(histogram: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Pixels whose value is above each threshold, as the released tool cuts for E: (256,)."""
    return _tail(histogram)[np.searchsorted(values, THRESHOLDS, side="right")]


def _tail(histogram: np.ndarray) -> np.ndarray:
    """Pixels at each step or a higher one, (257,), the last 0."""
    return np.append(np.cumsum(histogram[::-1])[::-1], 0)


def _threshold_scores(
    hit: np.ndarray, invented: np.ndarray, inside: int, outside: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dice, sensitivity and specificity where anything is hit, else 0; specificity 0 where all is lesion."""
    some = hit > 0
    dice = np.where(some, 2 * hit / np.maximum(hit + invented + inside, 1), 0.0)
    sensitivity = np.where(some, hit / max(inside, 1), 0.0)
    specificity = np.where(some, (outside - invented) / max(outside, 1), 0.0)
    return dice, sensitivity, specificity


def _adaptive_dice(truth: np.ndarray, grey: np.ndarray) -> float:
    found = grey >= min(2 * grey.mean(), 1.0)
    hit = np.count_nonzero(truth & found)
    return 2 * hit / (np.count_nonzero(truth) + np.count_nonzero(found)) if hit else 0.0


# ------------------------------------------------------------------------------------------------ E and S


def e_measure(hit: np.ndarray, invented: np.ndarray, inside: int, outside: int) -> np.ndarray:
    """Enhanced alignment of a mask with cut maps: 1 equal, 0 opposite. Fan et al., IJCAI 2018, eq. 2 to 5.

    hit, invented  (T,) pixels found inside and outside the true mask, at each threshold
    inside, outside  pixels of the true mask and outside it
    Both masks are taken less their means; a pixel's alignment is 2ab / (a^2 + b^2), in [-1, 1], its score
    (alignment + 1)^2 / 4, and E the mean over pixels. Pixels of one kind (hit, missed, invented, left) score
    alike, so four kinds are enough. An empty truth scores the share not found, a full one the share found.
    The released tool divides by one pixel less.
    """
    pixels = inside + outside
    hit, invented = np.asarray(hit, np.float64), np.asarray(invented, np.float64)
    if inside == 0:
        return 1 - invented / pixels
    if outside == 0:
        return hit / pixels
    mean_truth, mean_found = inside / pixels, (hit + invented) / pixels
    kinds = [  # truth, found, how many
        (1, 1, hit),
        (1, 0, inside - hit),
        (0, 1, invented),
        (0, 0, outside - invented),
    ]
    total = np.zeros_like(hit)
    for truth, found, count in kinds:
        a, b = truth - mean_truth, found - mean_found
        total += count * (2 * a * b / (a**2 + b**2) + 1) ** 2 / 4
    return total / pixels


def s_measure(truth: np.ndarray, grey: np.ndarray) -> float:
    """How alike a map and a mask are in structure: 1 equal, 0 unlike. Fan et al., ICCV 2017, eq. 1 to 8.

    truth (H, W) bool, grey (H, W) float64 in [0, 1]. Half of it is `object_likeness`, half
    `region_likeness`, never below 0. An empty truth scores 1 less the map's mean, a full one its mean.
    """
    share = float(truth.mean())
    if share in (0.0, 1.0):
        return float(grey.mean()) if share else float(1 - grey.mean())
    whole = ALPHA * object_likeness(truth, grey) + (1 - ALPHA) * region_likeness(truth, grey)
    return max(whole, 0.0)


def object_likeness(truth: np.ndarray, grey: np.ndarray) -> float:
    """Bright and even inside the mask, dark and even outside; weighed by the areas of both (eq. 4 to 8)."""
    share = float(truth.mean())
    return share * _evenness(grey[truth]) + (1 - share) * _evenness(1 - grey[~truth])


def _evenness(values: np.ndarray) -> float:
    mean = values.mean()
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return float(2 * mean / (mean**2 + 1 + 2 * SPREAD * spread))


def region_likeness(truth: np.ndarray, grey: np.ndarray) -> float:
    """Structural similarity of the four blocks that meet in the mask's centre (eq. 2 and 3).

    Blocks count by their area, as in the authors' code, on which all published figures rest; the text of the
    paper speaks of the lesion's area in them.
    """
    down, right = (_centre(truth.sum(axis)) for axis in (1, 0))
    total = 0.0
    for vertical in (slice(0, down), slice(down, None)):
        for horizontal in (slice(0, right), slice(right, None)):
            block, map_block = truth[vertical, horizontal], grey[vertical, horizontal]
            if block.size:
                total += block.size * _similarity(block.astype(np.float64), map_block)
    return total / truth.size


def _centre(counts: np.ndarray) -> int:
    """Rows (or columns) before the cut through the centre of mass, that of the centre included."""
    mean = float((np.arange(len(counts)) * counts).sum() / counts.sum())
    return int(np.floor(mean + 1.5))  # counted from 1 and rounded half up, as the authors' code does


def _similarity(truth: np.ndarray, grey: np.ndarray) -> float:
    """Luminance, contrast and structure in one: 4 x y s_xy / ((x^2 + y^2)(s_x^2 + s_y^2)); 1 if both flat."""
    if grey.min() == grey.max():  # a rounded mean would leave a trace of spread
        return float(truth.min() == truth.max())
    x, y = grey.mean(), truth.mean()
    rest = max(truth.size - 1, 1)
    var_x, var_y = ((grey - x) ** 2).sum() / rest, ((truth - y) ** 2).sum() / rest
    together = ((grey - x) * (truth - y)).sum() / rest
    top, bottom = 4 * x * y * together, (x**2 + y**2) * (var_x + var_y)
    return float(top / bottom) if bottom > 0 else 0.0
