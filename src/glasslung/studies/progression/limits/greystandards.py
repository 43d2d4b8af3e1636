"""Ways to make the greys of lung slices alike, whatever scanner and window they come from.

Each takes the lung pixels of one slice and gives them the brightness of a reference panel; the outline stays
as it was, and air stays black. None can know whether a lung is bright because it is ill or because of its
window: what makes greys more alike takes some of the disease away with the scanner.
After Nyul & Udupa, On standardizing the MR image intensity scale, Magn Reson Med 1999;42:1072-81 (landmarks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.lungfeatures import FRINGE_GREY, checked_images

LOWEST = 0.05  # darkest grey of a standardised lung: above the fringe, so that no lung pixel turns into air
QUANTILES = np.linspace(0.0, 1.0, 101)
LANDMARKS = (5, 95)  # per cent: single vessels and the fringe lie beyond
GREY_STEPS = 255
FLAT = 1e-6  # a lung that varies less has no contrast to stretch; it is only moved


@dataclass(frozen=True, eq=False)
class GreyReference:
    """The greys that slices are brought to: means over a panel of slices, its groups weighing equally.

    mean, deviation            of the lung pixels
    low, high                  their 5th and 95th percentile
    dark_mean, dark_deviation  of the darker half of them: aerated lung, where disease is not everywhere
    quantiles                  (101,) mean quantile function
    """

    mean: float
    deviation: float
    low: float
    high: float
    dark_mean: float
    dark_deviation: float
    quantiles: np.ndarray


def grey_reference(images: np.ndarray, group: np.ndarray, lung_above: float = FRINGE_GREY) -> GreyReference:
    """The reference of a panel: images (N, H, W) in [0, 1], group (N,). DataError without any lung."""
    checked_images(images)
    if len(group) != len(images):
        raise ShapeError(f"{len(images)} slices and {len(group)} groups; give one group per slice")
    greys = [image[image > lung_above].astype(np.float64) for image in images]
    full = np.array([grey.size > 0 for grey in greys])
    if not full.any():
        raise DataError("no slice of the reference panel shows any lung; choose other slices")
    each = np.stack([_landmarks(grey) for grey in greys if grey.size])
    groups = np.asarray(group)[full]
    mean = np.mean([each[groups == one].mean(0) for one in np.unique(groups)], axis=0)
    at, spread, low, high, dark, dark_spread = map(float, mean[:6])
    return GreyReference(at, spread, low, high, dark, dark_spread, mean[6:])


def _landmarks(grey: np.ndarray) -> np.ndarray:
    dark = grey[grey <= np.median(grey)]
    low, high = np.percentile(grey, LANDMARKS)
    quantiles = np.quantile(grey, QUANTILES)
    return np.array([grey.mean(), grey.std(), low, high, dark.mean(), dark.std(), *quantiles])


def standardise(
    images: np.ndarray, method: str, reference: GreyReference, lung_above: float = FRINGE_GREY
) -> np.ndarray:
    """Every slice with the greys of the reference: (N, H, W) in [0, 1] -> (N, H, W) float64.

    method  a name in METHODS. Lung pixels come out in [LOWEST, 1], all others 0, in whole grey levels of 255
            as a stored slice has them. Each slice is treated by itself: only the panel has a say besides.
    """
    checked_images(images)
    if method not in METHODS:
        raise UsageError(f"there is no standardisation {method!r}; there are {', '.join(METHODS)}")
    made = np.zeros(images.shape)
    for image, out in zip(np.asarray(images, np.float64), made, strict=True):
        lung = image > lung_above
        if lung.any():
            made_grey = METHODS[method](image, lung, reference)
            out[lung] = np.rint(np.clip(made_grey, LOWEST, 1.0) * GREY_STEPS) / GREY_STEPS
    return made


def _moved(
    grey: np.ndarray, centre: float, spread: float, new_centre: float, new_spread: float
) -> np.ndarray:
    stretch = new_spread / spread if spread > FLAT else 1.0
    return new_centre + (grey - centre) * stretch


def _z_score(image: np.ndarray, lung: np.ndarray, to: GreyReference) -> np.ndarray:
    grey = image[lung]
    return _moved(grey, grey.mean(), grey.std(), to.mean, to.deviation)


def _percentiles(image: np.ndarray, lung: np.ndarray, to: GreyReference) -> np.ndarray:
    grey = image[lung]
    low, high = np.percentile(grey, LANDMARKS)
    return _moved(grey, low, high - low, to.low, to.high - to.low)


def _aerated(image: np.ndarray, lung: np.ndarray, to: GreyReference) -> np.ndarray:
    grey = image[lung]
    dark = grey[grey <= np.median(grey)]
    return _moved(grey, dark.mean(), dark.std(), to.dark_mean, to.dark_deviation)


def _histogram(image: np.ndarray, lung: np.ndarray, to: GreyReference) -> np.ndarray:
    """By rank; equal greys are ranked by their surroundings, else their number would tell the window.

    Coltuc, Bolon & Chassery, Exact histogram specification, IEEE Trans Image Process 2006;15:1143-52.
    """
    from scipy import ndimage

    near = ndimage.uniform_filter(image, 3, mode="constant")
    near_wide = ndimage.uniform_filter(image, 5, mode="constant")
    grey = image[lung]
    rank = np.empty(grey.size)
    rank[np.lexsort((near_wide[lung], near[lung], grey))] = np.arange(grey.size)
    return np.interp((rank + 0.5) / grey.size, QUANTILES, to.quantiles)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, GreyReference], np.ndarray]] = {
    "z-score": _z_score,
    "percentiles 5 and 95": _percentiles,
    "aerated half": _aerated,
    "histogram": _histogram,
}
"""z-score: mean and deviation of the lung; percentiles: its 5th and 95th; aerated half: mean and deviation of
its darker half, so that what is dense stays dense; histogram: the whole distribution, by rank."""
