"""Has a StichNet collapsed? Whether its styles differ, and whether its labels tell one slice from another.

The paper's failure, in its own words: on slices without labels "all the styles are identical and the
segmentations are the exact same for every image". Both are measured here, with the levels that say nothing.

Rules   styles coincide when they lie closer together inside the lung than the model errs in painting the
        slice, or than `LEAST_GAP`: an eye could not tell them apart beside the original
        labels are constant when knowing which slice it is tells less than `LEAST_SHARE` of what there is to
        know about a pixel's lesion, or when there is nothing to know: the same class everywhere
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from glasslung.errors import ShapeError, UsageError

if TYPE_CHECKING:
    from glasslung.nn.ladder import LevelUse

NAMES = ("background", "ground glass", "consolidation", "healthy")  # the order of the four pictures
LUNG_STYLES = (1, 2, 3)
COINCIDE = 1.0  # distance of two styles in reconstruction errors, below which they are one
LEAST_GAP = 4 / 255  # of the grey scale: noise of a slice hides as much
LEAST_SHARE = 0.1  # of the lesions' entropy; drawn masks tell all of it, a timid segmenter a third
LEAST_NATS = 1e-3  # per pixel: lesions on one pixel in ten thousand hold as much
FAINT = 1e-6  # of a probability: logarithms stay finite


@dataclass(frozen=True)
class PairGap:
    """How far two styles lie apart inside the lung: mean distance of their grey values, scale 0 to 1."""

    one: str
    other: str
    gap: float


@dataclass(frozen=True)
class StyleReport:
    """What the diagnostic found on some slices.

    slices       how many were looked at
    gaps         every pair of the lung's styles
    error        mean distance of the stitched slice from the slice inside the lung, scale 0 to 1
    label_nats   what the slice tells about a pixel's lesion class, mean over pixels, nats ...
    label_entropy  ... of what there is to know about it, without knowing the slice
    lesion_sd    standard deviation over slices of a pixel's probability of any lesion, mean over pixels
    lesion_share mean probability of any lesion
    unused       levels of the latents that say nothing, by name
    """

    slices: int
    gaps: tuple[PairGap, ...]
    error: float
    label_nats: float
    label_entropy: float
    lesion_sd: float
    lesion_share: float
    unused: tuple[str, ...] = ()

    @property
    def coinciding(self) -> tuple[PairGap, ...]:
        """Pairs of styles that cannot be told apart."""
        return tuple(pair for pair in self.gaps if pair.gap < max(LEAST_GAP, COINCIDE * self.error))

    @property
    def styles_coincide(self) -> bool:
        """Whether all styles of the lung are one and the same picture."""
        return len(self.coinciding) == len(self.gaps)

    @property
    def labels_constant(self) -> bool:
        """Whether every slice gets the same segmentation."""
        return self.label_entropy < LEAST_NATS or self.label_nats < LEAST_SHARE * self.label_entropy

    @property
    def collapsed(self) -> bool:
        """Whether the model failed as the paper's did, in one of its two ways at least."""
        return self.styles_coincide or self.labels_constant

    @property
    def verdict(self) -> str:
        """The finding in words, for a log or a report."""
        said = [self._of_styles(), self._of_labels()]
        if self.unused:
            said.append(f"latents without use: {', '.join(self.unused)}")
        return ("COLLAPSED: " if self.collapsed else "") + "; ".join(said)

    def _of_styles(self) -> str:
        widest = max(pair.gap for pair in self.gaps)
        size = f"{255 * widest:.1f} greys apart at most, painting errs by {255 * self.error:.1f}"
        if self.styles_coincide:
            return f"styles coincide ({size})"
        pairs = ", ".join(f"{pair.one} and {pair.other}" for pair in self.coinciding)
        return f"styles coincide in part: {pairs} ({size})" if pairs else f"styles differ ({size})"

    def _of_labels(self) -> str:
        told = f"a slice tells {self.label_nats:.3f} of {self.label_entropy:.3f} nats of a pixel's lesion"
        return f"labels constant over slices ({told})" if self.labels_constant else f"labels vary ({told})"


def examine_styles(
    images: np.ndarray,
    styles: np.ndarray,
    labels: np.ndarray,
    lung: np.ndarray | None = None,
    uses: Sequence[LevelUse] = (),
) -> StyleReport:
    """Look for collapse on some slices, two at least: those without labels are the ones that fail.

    images  (N, H, W) in [0, 1]
    styles  (N, 4, H, W) in [0, 1], in the order of `NAMES`
    labels  (N, 4, H, W) probabilities of the same four classes, as the decoder gives them
    lung    (N, H, W) bool; without it, each pixel counts as far as the model takes it for lung
    uses    of the latent levels, from `nn.ladder.level_use`, both ladders' one after the other
    """
    images, styles, labels = (np.asarray(part, np.float64) for part in (images, styles, labels))
    four = (len(images), 4, *images.shape[1:])
    if images.ndim != 3 or styles.shape != four or labels.shape != four:
        raise ShapeError(
            f"slices {images.shape} need styles and labels {four}, got {styles.shape} and {labels.shape}"
        )
    if len(images) < 2:
        raise UsageError("whether labels are constant shows only between slices: give two at least")
    weight = 1 - labels[:, 0] if lung is None else np.asarray(lung, np.float64)
    if weight.shape != images.shape:
        raise ShapeError(f"slices {images.shape} need a lung of the same shape, got {weight.shape}")
    if weight.sum() < 1:
        raise UsageError("no pixel is lung, neither by the mask nor by the model: styles cannot be compared")
    stitched = (labels * styles).sum(1)
    gaps = tuple(
        PairGap(NAMES[one], NAMES[other], _mean(np.abs(styles[:, one] - styles[:, other]), weight))
        for one, other in combinations(LUNG_STYLES, 2)
    )
    lesion = lesion_classes(labels)
    ill = 1 - lesion[:, 0]
    return StyleReport(
        slices=len(images),
        gaps=gaps,
        error=_mean(np.abs(stitched - images), weight),
        label_nats=slice_information(lesion),
        label_entropy=float(_entropy(lesion.mean(0, keepdims=True)).mean()),
        lesion_sd=float(ill.std(0).mean()),
        lesion_share=float(ill.mean()),
        unused=tuple(use.name for use in uses if use.collapsed),
    )


def lesion_classes(labels: np.ndarray) -> np.ndarray:
    """p(none, ground glass, consolidation) from the four labels: (N, 4, H, W) -> (N, 3, H, W)."""
    return np.stack([labels[:, 0] + labels[:, 3], labels[:, 1], labels[:, 2]], 1)


def slice_information(probabilities: np.ndarray) -> float:
    """Mutual information of a pixel's class and which slice it lies in, nats, mean over places.

    (N, C, H, W) probabilities over C. H(mean over slices) - mean of H: 0 when every slice says the same.
    """
    between = _entropy(probabilities.mean(0, keepdims=True)) - _entropy(probabilities).mean(0)
    return float(max(0.0, between.mean()))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Nats of each (N, H, W) place."""
    safe = np.clip(probabilities, FAINT, 1.0)
    entropy: np.ndarray = -(probabilities * np.log(safe)).sum(1)
    return entropy


def _mean(values: np.ndarray, weight: np.ndarray) -> float:
    """The weighted mean."""
    return float((values * weight).sum() / weight.sum())
