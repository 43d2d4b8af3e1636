"""Is a made picture a training picture again: as it is, mirrored, moved, paler, blurred, cropped or bent?

Several sights look for the nearest training picture, for what one overlooks another sees:

    greys    means over 16 x 16 fields: pictures handed back, a little blurred or bent
    pattern  means over 32 x 32 fields, each less its surroundings and over their spread; the best match
             counts of places within three fields, and of the whole and its middle: finer, and blind to
             brightness, contrast, shifts and small crops

A reader's features were tried as a third and found nothing that these two do not.
Every distance is told in deviations from what unseen real pictures reach, on a logarithmic scale; the lowest
of a picture's sights is its score. A copy is what scores lower than hardly any unseen real picture does, so
the floor is that of all sights together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.copies import FLOOR_PERCENT, Copies
from glasslung.measure.featuresets import share_within
from glasslung.measure.lungfeatures import checked_images
from glasslung.measure.manifolds import pairwise_distances
from glasslung.measure.statistics import patient_codes

GREYS, PATTERN = "greys", "pattern"
COARSE, FINE = 16, 32  # fields a side
CROPS = (1.0, 0.95)  # shares of a training picture's side that a copy may show
REACH = 3  # fields that a copy may be moved by in either direction: a tenth of the picture
SURROUNDINGS = 3.0  # fields: standard deviation of the Gaussian that a pattern is compared with
FAINT = 0.02  # grey: surroundings of less spread are empty, and not blown up
LEAST = 1e-6  # of a distance: equal pictures have a logarithm, too

Nearest = tuple[np.ndarray, np.ndarray]
"""Of each picture the row of the nearest in memory (N,), and how far it lies (N,)."""


@dataclass(frozen=True, eq=False)
class CopyCheck(Copies):
    """`Copies` by several sights; distance and threshold are scores: deviations of unseen real pictures.

    sights   who looked
    seen_by  (M,) which of them gave the score
    """

    sights: tuple[str, ...]
    seen_by: np.ndarray


def check_copies(
    made: np.ndarray,
    train: np.ndarray,
    unseen: np.ndarray,
    whose: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    floor_percent: float = FLOOR_PERCENT,
    draws: int = 1000,
) -> CopyCheck:
    """Share of made pictures that are copies of training pictures, mirrored ones included.

    made (M, S, S), train (T, S, S), unseen (H, S, S): pictures in [0, 1], unseen ones of patients who are not
    in training; whose (H,) their patients.
    nearest of the result counts training pictures, then their mirror images.
    """
    for pictures in (made, train, unseen):
        checked_images(pictures)
    memory = np.concatenate([train, train[:, :, ::-1]])
    looks = {GREYS: nearest_greys, PATTERN: nearest_pattern}
    found = [_score(look(made, memory), look(unseen, memory)) for look in looks.values()]
    scores, floor = (np.stack([one[part] for one in found]) for part in (0, 1))
    seen_by = scores.argmin(0)
    nearest = np.stack([one[2] for one in found])[seen_by, np.arange(len(made))]
    score, units = scores.min(0), patient_codes(whose)
    rate, threshold = share_within(
        (score, np.arange(len(made))), (floor.min(0), units), floor_percent / 100, rng=rng, draws=draws
    )
    expected = float((floor.min(0) <= threshold).mean())
    return CopyCheck(rate, threshold, expected, floor_percent, nearest, score, tuple(looks), seen_by)


def _score(made: Nearest, unseen: Nearest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of made and of unseen pictures in deviations of the unseen ones; rows of the made ones."""
    known = np.log(unseen[1] + LEAST)
    middle, spread = float(np.median(known)), float(known.std())
    if not spread > 0:
        raise DataError("unseen pictures all lie as near to the training pictures; hold out several patients")
    return (np.log(made[1] + LEAST) - middle) / spread, (known - middle) / spread, made[0]


def nearest_greys(pictures: np.ndarray, memory: np.ndarray) -> Nearest:
    """By means over 16 x 16 fields: root mean square difference in grey."""
    distances = pairwise_distances(
        *(_fields(one, COARSE).reshape(len(one), -1) for one in (pictures, memory))
    )
    return _least(distances / COARSE)


def nearest_pattern(pictures: np.ndarray, memory: np.ndarray) -> Nearest:
    """By the pattern of 32 x 32 fields, at the best of small shifts and crops: 1 less the correlation."""
    own, best = patterns(pictures), np.full((len(pictures), len(memory)), -1.0, np.float32)
    reach = min(REACH, own.shape[-1] // 4)
    shifts = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    for kept in CROPS:
        known = patterns(_middle(memory, kept))
        flat = known.reshape(len(known), -1).T
        for shift in shifts:
            moved = np.roll(own, shift, (1, 2)).reshape(len(own), -1)
            np.maximum(best, moved @ flat, out=best)
    return _least((1 - best).clip(0))


def _middle(pictures: np.ndarray, kept: float) -> np.ndarray:
    """The middle of pictures, as large as they were: (N, S, S), share of the side -> (N, S, S)."""
    side = pictures.shape[1]
    off = round((1 - kept) * side / 2)
    if off == 0:
        return pictures
    import torch
    from torch.nn import functional as F

    inner = torch.from_numpy(
        np.ascontiguousarray(pictures[:, off : side - off, off : side - off], np.float32)
    )
    grown: np.ndarray = F.interpolate(inner[:, None], size=side, mode="bilinear")[:, 0].numpy()
    return grown


def patterns(pictures: np.ndarray) -> np.ndarray:
    """Each field less its surroundings, over their spread: (N, S, S) -> (N, F, F) float32 of length 1."""
    from scipy.ndimage import gaussian_filter

    fields = _fields(pictures, FINE).astype(np.float64)
    sigma = (0, SURROUNDINGS, SURROUNDINGS)
    rest = fields - gaussian_filter(fields, sigma, mode="nearest")
    rest /= np.sqrt(gaussian_filter(rest**2, sigma, mode="nearest")) + FAINT
    rest -= rest.mean((1, 2), keepdims=True)
    length = np.sqrt((rest**2).sum((1, 2), keepdims=True))
    found: np.ndarray = (rest / np.maximum(length, LEAST)).astype(np.float32)
    return found


def _fields(pictures: np.ndarray, most: int) -> np.ndarray:
    """Means over fields, (N, S, S) -> (N, F, F): F at most `most`, and no more than there are pixels."""
    import torch
    from torch.nn import functional as F

    if pictures.shape[1] != pictures.shape[2]:
        raise ShapeError(f"pictures must be square, got {pictures.shape}")
    image = torch.from_numpy(np.ascontiguousarray(pictures, np.float32))[:, None]
    pooled: np.ndarray = F.adaptive_avg_pool2d(image, min(most, pictures.shape[1]))[:, 0].numpy()
    return pooled


def _least(distances: np.ndarray) -> Nearest:
    nearest = distances.argmin(1)
    return nearest, distances[np.arange(len(distances)), nearest]
