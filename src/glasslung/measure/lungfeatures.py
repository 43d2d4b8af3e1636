"""What a lung slice is like, in numbers: eleven plain features, or any reader of pictures.

A slice is lung on black: pixels above `FRINGE_GREY` are lung, the rest is background and the grey fringe that
resizing leaves (in the released slices 1 to 2 per cent of the pixels hold 1 to 3 of 255). Made slices may
carry a haze there (the mean of a Beta distribution does, about 15 of 255), so `lung_above` is an argument:
use one value for real and made slices alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.featuresets import FeatureSet, feature_set

FRINGE_GREY = 10 / 255  # darkest lung in the released slices is above, resizing's fringe below
BRIGHT_GREY = 180 / 255  # consolidation and large vessels in the released slices; aerated lung is below
PERCENTILES = (5, 25, 50, 75, 95)
PLAIN_FEATURES = (
    "mean grey",
    "standard deviation",
    *(f"percentile {percent}" for percent in PERCENTILES),
    "lung area",
    "box height",
    "box width",
    "bright share",
)

Reader = Callable[[np.ndarray], np.ndarray]
"""reader(images (B, S, S) float32 in [0, 1]) -> features (B, F)."""


def plain_features(images: np.ndarray, lung_above: float = FRINGE_GREY) -> np.ndarray:
    """Eleven features a person could name, of each slice: images (N, H, W) in [0, 1] -> (N, 11) float64.

    Of the lung pixels: mean grey, standard deviation, five percentiles and the share above `BRIGHT_GREY`; of
    the lung's outline: area, height and width of its box, as shares of the picture. `PLAIN_FEATURES` names
    them in order. A slice without any lung has all of them 0. They do not see blur or texture: take them
    beside a reader that does.
    """
    checked_images(images)
    return np.stack([_describe(image, image > lung_above) for image in np.asarray(images, np.float64)])


def _describe(image: np.ndarray, lung: np.ndarray) -> np.ndarray:
    if not lung.any():
        return np.zeros(len(PLAIN_FEATURES))
    grey = image[lung]
    rows, columns = np.flatnonzero(lung.any(1)), np.flatnonzero(lung.any(0))
    height, width = lung.shape
    return np.array(
        [
            grey.mean(),
            grey.std(),
            *np.percentile(grey, PERCENTILES),
            lung.mean(),
            (np.ptp(rows) + 1) / height,
            (np.ptp(columns) + 1) / width,
            (grey > BRIGHT_GREY).mean(),
        ]
    )


def read_features(images: np.ndarray, reader: Reader, batch: int = 256) -> np.ndarray:
    """What a reader (a trained network, say) sees in each slice: images (N, H, W) -> (N, F) float64.

    The reader gets (B, H, W) float32, B at most `batch`. ShapeError when it does not give one row per slice,
    DataError when a row is not finite.
    """
    checked_images(images)
    parts = []
    for start in range(0, len(images), batch):
        part = np.asarray(images[start : start + batch], np.float32)
        read = np.asarray(reader(part), np.float64)
        if read.ndim != 2 or len(read) != len(part):
            raise ShapeError(f"the reader gave {read.shape} for {len(part)} slices; it must give (B, F)")
        parts.append(read)
    features = np.concatenate(parts)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(1))[0])
        raise DataError(f"the reader gave NaN or infinity for slice {row}; train it again or leave it out")
    return features


@dataclass(frozen=True, eq=False)
class Standard:
    """The scale of features, taken from a training set: mean (F,) and deviation (F,) > 0.

    soft_limit  deviations that no feature exceeds: x -> limit tanh(x / limit), None for no limit. A cubic
                kernel is else ruled by the few slices that lie eight deviations out: on the released slices
                a limit of 2 makes the interval of the kernel distance of group 1 from group 0 range over a
                factor of 2 instead of 8
    """

    mean: np.ndarray
    deviation: np.ndarray
    soft_limit: float | None = None

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, F) -> (N, F) in deviations of the training set from its mean."""
        if features.shape[-1] != len(self.mean):
            raise ShapeError(f"{features.shape[-1]} features do not fit a standard of {len(self.mean)}")
        scaled: np.ndarray = (features - self.mean) / self.deviation
        return scaled if self.soft_limit is None else self.soft_limit * np.tanh(scaled / self.soft_limit)


def standard_of(train: np.ndarray, soft_limit: float | None = None) -> Standard:
    """Mean and deviation of each feature of a training set (N, F), at least two rows.

    A feature that never varies there is only centred: it has no scale of its own. soft_limit: see `Standard`.
    """
    if soft_limit is not None and not soft_limit > 0:
        raise UsageError(f"soft_limit must be positive, got {soft_limit}")
    train = np.asarray(train, np.float64)
    if train.ndim != 2 or len(train) < 2:
        raise ShapeError(
            f"a standard needs training features (N, F) of two slices or more, got {train.shape}"
        )
    deviation = train.std(0)
    # relative to the mean, because the deviation of equal floats is not exactly 0
    varies = deviation > 1e-12 * (1 + np.abs(train.mean(0)))
    return Standard(train.mean(0), np.where(varies, deviation, 1.0), soft_limit)


def described(
    images: np.ndarray,
    reader: Reader,
    standard: Standard | None = None,
    units: np.ndarray | None = None,
) -> FeatureSet:
    """Slices (N, H, W) as the set of features that all measures of realism take.

    reader    `plain_features` or a network's
    standard  `standard_of` the training slices by the same reader. None leaves the features as they are:
              right for a network whose features are bounded, where the training set's deviation of a feature
              that only speaks up on flaws is next to nothing
    units     (N,) patient of each slice; None: every slice stands alone
    """
    features = read_features(images, reader)
    return feature_set(features if standard is None else standard(features), units)


def checked_images(images: np.ndarray) -> None:
    """ShapeError unless (N, H, W) with N > 0; DataError unless finite and in [0, 1]."""
    if images.ndim != 3 or images.size == 0:
        raise ShapeError(f"slices must be (N, H, W), got {images.shape}")
    if not np.isfinite(images).all():
        row = int(np.flatnonzero(~np.isfinite(images).all((1, 2)))[0])
        raise DataError(f"slice {row} holds NaN or infinite grey values; leave it out")
    if images.min() < 0 or images.max() > 1:
        raise DataError(f"grey values must lie in [0, 1], found [{images.min():.3g}, {images.max():.3g}]")
