"""Is it still the same patient? What of a lung slice should survive when the disease moves on.

Read these figures beside the realism of the same pictures: handing back the input keeps identity to
perfection and forecasts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.featuresets import mean_interval, share_interval
from glasslung.measure.lungfeatures import FRINGE_GREY, checked_images
from glasslung.measure.statistics import Interval, patient_codes

GRID = 16  # rows and columns of a descriptor: coarse enough to bear a breath, fine enough to tell patients
FINE_PX, COARSE_PX = 0.7, 2.0  # standard deviations of the band that holds vessels at 64 x 64
BRIGHTEST_VESSEL = 0.15  # of the band, in grey: a dense lesion's edge must not drown the vessels


@dataclass(frozen=True)
class Identity:
    """How well a made slice still shows the patient it was made from.

    mask_iou      overlap of the lungs' outlines before and after: 1 the same
    top1, top5    share of made slices whose own source is the likest, or among the five likest, of its group
    chance1, chance5  the same for a made slice that resembles nobody
    candidates    how many sources there were
    """

    mask_iou: Interval
    top1: Interval
    top5: Interval
    chance1: float
    chance5: float
    candidates: int


def measure_identity(
    before: np.ndarray,
    after: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    lung_above: float = FRINGE_GREY,
    draws: int = 2000,
    level: float = 0.95,
) -> Identity:
    """Outline and likeness of slices to what was made from them.

    before    (N, S, S) one group's slices, in [0, 1]; after (N, S, S): row i made from row i
    patients  (N,) of the rows; another scan of the same patient is no rival when his own is looked for
    """
    _check_pairs(before, after)
    codes = patient_codes(patients)
    ranks = retrieval_ranks(lung_descriptors(after, lung_above), lung_descriptors(before, lung_above), codes)
    rivals = np.array([(codes != code).sum() for code in codes])
    overlap = mask_overlap(before, after, lung_above)
    sure: dict[str, Any] = {"rng": rng, "draws": draws, "level": level}
    return Identity(
        mask_iou=mean_interval(overlap, codes, **sure),
        top1=share_interval(ranks <= 1, codes, **sure),
        top5=share_interval(ranks <= 5, codes, **sure),
        chance1=float((1 / (1 + rivals)).mean()),
        chance5=float(np.minimum(1, 5 / (1 + rivals)).mean()),
        candidates=len(before),
    )


def mask_overlap(before: np.ndarray, after: np.ndarray, lung_above: float = FRINGE_GREY) -> np.ndarray:
    """Intersection over union of the lungs of each pair of slices: (N, S, S) twice -> (N,), 1 equal.

    Two slices without any lung overlap fully.
    """
    _check_pairs(before, after)
    first, second = before > lung_above, after > lung_above
    union = (first | second).sum((1, 2))
    both = (first & second).sum((1, 2))
    return np.where(union > 0, both / np.maximum(union, 1), 1.0)


def lung_descriptors(images: np.ndarray, lung_above: float = FRINGE_GREY) -> np.ndarray:
    """What tells one patient's slice from another's and should outlast a lesion: outline and vessels.

    images (N, S, S) in [0, 1], S 16 or more -> (N, 512): the lung mask and the bright half of a band-passed
    image (vessels), each averaged over a 16 x 16 grid, centred and of length 1, so a dot product of two
    slices lies in [-2, 2]. A slice without contrast has zeros.
    """
    checked_images(images)
    if min(images.shape[1:]) < GRID:
        raise ShapeError(f"descriptors need slices of {GRID} pixels or more, got {images.shape[1:]}")
    lungs = (images > lung_above).astype(np.float64)
    rows, columns = (_pooling(side) for side in images.shape[1:])

    def pooled(maps: np.ndarray) -> np.ndarray:
        flat = (rows @ maps @ columns.T).reshape(len(maps), -1)
        flat = flat - flat.mean(1, keepdims=True)
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.where(length > 1e-9, flat / np.maximum(length, 1e-9), 0.0)

    return np.concatenate([pooled(lungs), pooled(_vessels(images, lungs))], axis=1)


def retrieval_ranks(made: np.ndarray, sources: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """The place of each made slice's own source when all are ordered by likeness: (N,), 1 the likest.

    made, sources (N, D) descriptors, row i made from row i; patients (N,). Sources of the same patient are
    not rivals; a rival that is just as like stands in front.
    """
    if made.shape != sources.shape or len(made) != len(patients):
        raise ShapeError(f"{made.shape} made and {sources.shape} sources must be pairs with a patient each")
    likeness = made @ sources.T
    rival = patients[:, None] != patients[None, :]
    ahead: np.ndarray = (rival & (likeness >= np.diag(likeness)[:, None])).sum(1)
    return 1 + ahead


def likeness_percentile(
    first: np.ndarray,
    second: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """How much liker a patient's two latents are than those of two strangers: 100 always, 50 by chance.

    first, second (N, D): latents of a slice and of what was made from it; patients (N,). The mean over rows
    of the percentage of strangers' second latents that the row's first one resembles less (cosine; equal
    ones count half).
    """
    if first.shape != second.shape or first.ndim != 2 or len(first) != len(patients):
        raise ShapeError(f"latents {first.shape} and {second.shape} must be pairs with a patient each")
    codes = patient_codes(patients)
    if len(codes) == 0 or codes.max() < 1:
        raise DataError("strangers are needed: give latents of two patients or more")
    cosine = _unit_rows(first) @ _unit_rows(second).T
    own = np.diag(cosine)[:, None]
    stranger = codes[:, None] != codes[None, :]
    wins = (cosine < own) + 0.5 * (cosine == own)
    percent = 100 * (wins * stranger).sum(1) / stranger.sum(1)
    return mean_interval(percent, codes, rng=rng, draws=draws, level=level)


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if (length == 0).any():
        raise DataError("a latent is all zeros and has no direction; leave that slice out")
    return np.asarray(rows / length)


def _vessels(images: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    fine = gaussian_filter(np.asarray(images, np.float64), (0, FINE_PX, FINE_PX))
    coarse = gaussian_filter(np.asarray(images, np.float64), (0, COARSE_PX, COARSE_PX))
    return lungs * np.clip(fine - coarse, 0, BRIGHTEST_VESSEL)


def _pooling(side: int) -> np.ndarray:
    """(GRID, side): row g averages the pixels, or parts of pixels, of the g-th of GRID equal stretches."""
    edges = np.linspace(0, side, GRID + 1)
    pixel = np.arange(side)
    shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return np.clip(shared, 0, None) * GRID / side


def _check_pairs(before: np.ndarray, after: np.ndarray) -> None:
    checked_images(before)
    checked_images(after)
    if before.shape != after.shape:
        raise ShapeError(f"{before.shape} before and {after.shape} after must be pairs of slices")
