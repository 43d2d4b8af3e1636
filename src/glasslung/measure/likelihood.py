"""The paper's table in the paper's units, and what those units hide.

Units     recon and KL are nats per pixel, averaged over all pixels of a slice; NLL is their sum, a negative
          evidence bound. Lower is better. The density is continuous on [0, 1], so figures may be below zero.
Hidden    about 58 % of the pixels are black background, and each can earn some 12 nats that say nothing of
          the lung. So background and lung are also told apart, in nats earned per pixel of that kind (higher
          is better), beside the share of black pixels, which alone moves the score.
Balance   every group weighs the same in the row 'balanced', however many slices it has. That is the paper's.

Source: Zammit et al., U-SVAE and CAGE, results table; the released code's evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.statistics import Interval, bootstrap_by_patient, patient_codes

BALANCED = "balanced"
COLLAPSED_NATS = 0.1  # per image: a level below says less than a seventh of a yes-or-no answer


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What one model scored on each of N slices.

    black_nats   (N,) log-density summed over black pixels, nats, in the paper's units
    lung_nats    (N,) the same over all other pixels
    black, lung  (N,) how many pixels of each kind
    kl_nats      (N, L) KL of each level of latents, nats per slice, finest first
    group        (N,) age of the disease; patient (N,) whose slice
    discrete_nats  (N,) log-probability of the slice's grey levels under a discrete likelihood, or None where
                 the model has none
    """

    black_nats: np.ndarray
    lung_nats: np.ndarray
    black: np.ndarray
    lung: np.ndarray
    kl_nats: np.ndarray
    group: np.ndarray
    patient: np.ndarray
    discrete_nats: np.ndarray | None = None

    def __post_init__(self) -> None:
        columns = [self.black_nats, self.lung_nats, self.black, self.lung, self.group, self.patient]
        if self.discrete_nats is not None:
            columns.append(self.discrete_nats)
        count = len(self.black_nats)
        shapes = {column.shape for column in columns}
        if shapes != {(count,)} or self.kl_nats.ndim != 2 or len(self.kl_nats) != count:
            raise ShapeError(
                f"scores of {count} slices need one number each and KL (N, levels), got {sorted(shapes)} and "
                f"{self.kl_nats.shape}"
            )
        for name in ("black_nats", "lung_nats", "kl_nats", "discrete_nats"):
            values = getattr(self, name)
            if values is not None and not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).reshape(count, -1).all(1))[0])
                raise DataError(f"{name} of slice {row} is not finite; look at the model before its score")
        if count == 0 or (self.lung == 0).any():
            raise DataError("each slice needs lung pixels to be scored; leave empty slices out")

    @property
    def pixels(self) -> np.ndarray:
        """(N,) pixels of each slice."""
        return self.black + self.lung

    @property
    def recon(self) -> np.ndarray:
        """(N,) negative log-density, nats per pixel: the paper's reconstruction term."""
        return -(self.black_nats + self.lung_nats) / self.pixels

    @property
    def kl(self) -> np.ndarray:
        """(N,) KL of all levels, nats per pixel."""
        return self.kl_nats.sum(1) / self.pixels

    @property
    def nll(self) -> np.ndarray:
        """(N,) recon + KL, nats per pixel: the negative one-sample bound, KL unweighted."""
        return self.recon + self.kl


def image_scores(
    images: np.ndarray,
    log_density: np.ndarray,
    kl_nats: np.ndarray,
    group: np.ndarray,
    patient: np.ndarray,
    discrete_log_density: np.ndarray | None = None,
) -> ImageScores:
    """Scores of N slices from per-pixel maps, background and lung apart.

    images        (N, H, W) in [0, 1]; exactly 0 is background
    log_density   (N, H, W) nats earned by each pixel in the paper's units: log(Beta(clip(x)) + 1e-7), float64
    kl_nats       (N, L) nats per slice, finest level first
    discrete_log_density  (N, H, W) log-probability of each grey level, or None
    """
    if images.ndim != 3 or images.shape != log_density.shape:
        raise ShapeError(
            f"slices {images.shape} and their log-densities {log_density.shape} must be (N, H, W)"
        )
    if discrete_log_density is not None and discrete_log_density.shape != images.shape:
        raise ShapeError(f"discrete log-densities {discrete_log_density.shape} do not fit {images.shape}")
    nats = np.asarray(log_density, np.float64)
    black = images == 0
    return ImageScores(
        black_nats=np.where(black, nats, 0.0).sum((1, 2)),
        lung_nats=np.where(black, 0.0, nats).sum((1, 2)),
        black=black.sum((1, 2)),
        lung=(~black).sum((1, 2)),
        kl_nats=np.asarray(kl_nats, np.float64),
        group=np.asarray(group),
        patient=np.asarray(patient),
        discrete_nats=None
        if discrete_log_density is None
        else np.asarray(discrete_log_density, np.float64).sum((1, 2)),
    )


@dataclass(frozen=True)
class Row:
    """One figure of the table: quantity, its unit, which group (or 'balanced'), and the interval."""

    quantity: str
    unit: str
    group: str
    interval: Interval


def likelihood_table(
    scores: ImageScores, *, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> tuple[Row, ...]:
    """Every quantity for every group and balanced over them, with intervals by patient.

    nll, recon, kl     nats per pixel, the paper's columns; lower is better
    lung, background   nats earned per pixel of that kind, all slices of a group pooled; higher is better
    black share        of the pixels
    kl z1 .. zL        nats per slice, finest level first
    bits per dimension of the bound under the discrete likelihood, where there is one; lower is better
    Each group keeps its number of patients in every draw; a group needs two. A patient must not be in two.
    """
    names = _checked_groups(scores)
    rows = []
    for quantity, unit, top, bottom in _quantities(scores):
        for name, wanted in [(BALANCED, None), *((str(g), g) for g in names)]:
            kept = np.ones(len(top), bool) if wanted is None else scores.group == wanted
            groups = scores.group[kept]
            interval = bootstrap_by_patient(
                _balanced_ratio(names if wanted is None else [wanted]),
                scores.patient[kept],
                groups,
                top[kept],
                bottom[kept],
                rng=rng,
                draws=draws,
                level=level,
                strata=groups,
                weighted=True,
            )
            rows.append(Row(quantity, unit, name, interval))
    return tuple(rows)


def collapsed_levels(scores: ImageScores, below_nats: float = COLLAPSED_NATS) -> tuple[str, ...]:
    """The levels of latents that carry next to nothing, by name: ('z1', 'z4'), finest is z1.

    Mean KL under `below_nats` per slice: the decoder is not told anything through them.
    """
    means = scores.kl_nats.mean(0)
    return tuple(f"z{index + 1}" for index, nats in enumerate(means) if nats < below_nats)


def bits_per_dimension(discrete_nats: np.ndarray, kl_nats: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Bits that a pixel costs, latents included: (-log P + KL) / (pixels ln 2), (N,) each -> (N,).

    A bound: the true cost is not higher. An image of noise in 256 grey levels costs 8. Only a discrete
    likelihood gives bits that mean something: a density's would depend on the grey scale's unit.
    """
    return (kl_nats - discrete_nats) / (pixels * math.log(2))


def _quantities(scores: ImageScores) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """(name, unit, numerator, denominator): a figure is the sum of the one over the sum of the other."""
    ones = np.ones(len(scores.black))
    pixels = scores.pixels.astype(np.float64)
    found = [
        ("nll", "nats per pixel", scores.nll, ones),
        ("recon", "nats per pixel", scores.recon, ones),
        ("kl", "nats per pixel", scores.kl, ones),
        ("lung", "nats per lung pixel", scores.lung_nats, scores.lung.astype(np.float64)),
        ("background", "nats per black pixel", scores.black_nats, scores.black.astype(np.float64)),
        ("black share", "of the pixels", scores.black.astype(np.float64), pixels),
    ]
    found += [
        (f"kl z{index + 1}", "nats per slice", scores.kl_nats[:, index], ones)
        for index in range(scores.kl_nats.shape[1])
    ]
    if scores.discrete_nats is not None:
        bits = bits_per_dimension(scores.discrete_nats, scores.kl_nats.sum(1), scores.pixels)
        found.append(("bits per dimension", "bits", bits, ones))
    if not scores.black.any():  # nothing per black pixel can be said
        found = [row for row in found if row[0] != "background"]
    return found


def _balanced_ratio(
    names: list[int],
) -> Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """The mean over groups of each group's weighted sum of `top` over that of `bottom`."""

    def statistic(group: np.ndarray, top: np.ndarray, bottom: np.ndarray, weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = [
                weights[:, group == name]
                @ top[group == name]
                / (weights[:, group == name] @ bottom[group == name])
                for name in names
            ]
        mean: np.ndarray = np.mean(ratios, axis=0)
        return mean

    return statistic


def _checked_groups(scores: ImageScores) -> list[int]:
    """The groups in order; DataError where one has a single patient or a patient is in two."""
    names: list[int] = sorted(set(scores.group.tolist()))
    patients = [set(patient_codes(scores.patient)[scores.group == name].tolist()) for name in names]
    for name, members in zip(names, patients, strict=True):
        if len(members) < 2:
            raise DataError(
                f"group {name} has one patient: no interval can be given; add patients or leave it out"
            )
    if sum(map(len, patients)) != len(set.union(*patients)):
        raise DataError("a patient has slices in two groups; score the groups one by one")
    return names
