"""How well a U-SVAE explains slices: the paper's units, and what they hide, with intervals over patients.

Of every slice it keeps sums: nats of its black and of its lung pixels under several readings of the same
model, and the divergence of each level. Every figure follows from these sums.

    as trained       the model's own density
    spike 1 ..       the same with a black spike of that sharpness: how much of the score is the spike's
    single Beta      each pixel's mixture replaced by the nearest single Beta: the paper's kind of likelihood
    grey levels      probability of the whole grey value; no clip and no spike can inflate it
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from glasslung.data.slices import GROUP_NAMES, SliceSet
from glasslung.measure.greylevels import level_log_prob, nearest_beta
from glasslung.measure.statistics import Interval, bootstrap_by_patient
from glasslung.models.usvae import USVAE, Pixels
from glasslung.nn.batches import SliceBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.density import paper_units_log_density
from glasslung.nn.ladder import Descent, level_use
from glasslung.nn.pixels import BetaMixturePixels, BetaPixels
from glasslung.types import Progress

AS_TRAINED, SINGLE, GREY = "as trained", "single Beta", "grey levels"
SPIKES = (1.0, 1e3, 1e4)
BATCH = 32
DRAWS = 2000
DIGITS = 4


@dataclass(frozen=True, eq=False)
class Scores:
    """Sums over the pixels of N slices.

    nats    reading -> (N, 2): nats of the black and of the lung pixels
    pixels  (N, 2) how many of each there are
    kl      (N, 5) divergence of z1 .. z5, nats, closed form given the drawn levels above
    use     what `level_use` says of each level, over all slices
    """

    nats: dict[str, np.ndarray]
    pixels: np.ndarray
    kl: np.ndarray
    use: list[dict[str, Any]]


def score_slices(
    model: USVAE,
    slices: SliceSet,
    rng: torch.Generator,
    single: bool = True,
    draws: int = 1,
    progress: Progress | None = None,
) -> Scores:
    """Score all slices, one draw of the latents each (or the mean over several); float64 where it matters.

    single  whether the nearest single Beta is looked for, which takes the most time
    """
    found: list[dict[str, np.ndarray]] = []
    pixels, kl, descents = [], [], []
    for batch in told_batches(slices, progress):
        black = (batch.image == 0)[:, 0].numpy()
        pixels.append(np.stack([black.sum((1, 2)), (~black).sum((1, 2))], 1))
        for draw in range(draws):
            with evaluating(model):
                reading = model(batch.image, rng)
            found.append(
                {n: v / draws for n, v in readings_of(reading.pixels, batch.image, black, single).items()}
            )
            kl.append(reading.descent.kl().double().numpy() / draws)
            if draw == 0:
                descents.append(light(reading.descent))
    whole = {name: _joined([part[name] for part in found], draws) for name in found[0]}
    uses = [
        {
            "level": u.name,
            "nats": round(u.nats, 2),
            "active": u.active,
            "units": u.units,
            "collapsed": u.collapsed,
        }
        for u in level_use(descents)
    ]
    return Scores(whole, np.concatenate(pixels).astype(np.float64), _joined(kl, draws), uses)


def told_batches(slices: SliceSet, progress: Progress | None) -> Iterator[SliceBatch]:
    """All slices in batches; before each one it is told how many slices are done, as a share."""
    done = 0
    for batch in slices.batches(BATCH):
        if progress:
            progress(f"scoring {len(slices)} slices", done / len(slices))
        yield batch
        done += len(batch.image)


def _joined(parts: list[np.ndarray], draws: int) -> np.ndarray:
    """Draws of one batch follow each other: their shares are summed, the batches put in a row."""
    sums = [sum(parts[start + 1 : start + draws], parts[start]) for start in range(0, len(parts), draws)]
    return np.concatenate(sums)


def light(descent: Descent) -> Descent:
    """Without what takes memory and is not needed any more."""
    return Descent([], [], descent.q, descent.p)


def readings_of(
    pixels: Pixels, image: torch.Tensor, black: np.ndarray, single: bool
) -> dict[str, np.ndarray]:
    """Nats of black and lung pixels of each slice under every reading that the model allows."""
    if not isinstance(pixels, BetaPixels | BetaMixturePixels):
        return {GREY: _sums(pixels.log_density(image).double(), black)}
    found = {AS_TRAINED: _sums(pixels.paper_log_density(image), black)}
    if isinstance(pixels, BetaPixels):
        a, b = (part.double().numpy()[:, 0][None] for part in (pixels.a, pixels.b))
        log_weights = np.zeros_like(a)
    else:
        for spike in SPIKES:
            found[f"spike {spike:g}"] = _sums(pixels.with_spike(spike).paper_log_density(image), black)
        log_weights, a, b = (np.moveaxis(part.numpy(), 1, 0) for part in pixels.components())
        if single:
            sharpest = float(pixels.shared_b[0, 0])
            nearest = nearest_beta(log_weights, a, b, sharpest)
            one_a, one_b = (torch.from_numpy(part)[:, None] for part in nearest)
            found[SINGLE] = _sums(paper_units_log_density(image, one_a, one_b), black)
    levels = level_log_prob(image.numpy()[:, 0], log_weights, a, b)
    return found | {GREY: _sums(torch.from_numpy(levels)[:, None], black)}


def _sums(log_density: torch.Tensor, black: np.ndarray) -> np.ndarray:
    nats = log_density[:, 0].numpy()
    return np.stack([np.where(black, nats, 0).sum((1, 2)), np.where(black, 0, nats).sum((1, 2))], 1)


# ------------------------------------------------------------------------------------------------- figures


def figures(scores: Scores, slices: SliceSet, rng: np.random.Generator) -> dict[str, Any]:
    """Every reading's figures, each group counting alike, with 95 % intervals over patients; then by group.

    nll   minus the evidence bound, nats per pixel (bits per pixel for whole grey levels); lower is better
    rec   its first part; kl  the divergence, nats per pixel
    lung, black  nats per lung pixel and per black pixel; higher is better
    Slices whose score is not finite are left out of the figures, and their number is told as 'not finite':
    any of them makes the true mean infinite, so a model with some has failed on them.
    """
    finite = np.isfinite(scores.kl).all(1)
    for nats in scores.nats.values():
        finite &= np.isfinite(nats).all(1)
    if not finite.all():
        scores, slices = _kept(scores, finite), slices.take(finite)
    groups = np.array(sorted(set(slices.group.tolist())))
    table: dict[str, Any] = {}
    for reading, nats in scores.nats.items():
        table[reading] = _row(scores, nats, slices, groups, rng, in_bits=reading == GREY)
        table[reading]["by group"] = {
            GROUP_NAMES[group]: _row(scores, nats, slices, np.array([group]), rng, in_bits=reading == GREY)
            for group in groups
        }
    levels = _balanced(scores.kl, slices.group)
    for use, nats in zip(scores.use, levels, strict=True):
        use["nats, groups alike"] = round(float(nats), 2)
    black = scores.pixels[:, 0] / scores.pixels.sum(1)
    return {
        "slices": len(slices),
        "patients": len(set(slices.patient.tolist())),
        "not finite": int((~finite).sum()),
        "black share": {GROUP_NAMES[g]: round(float(black[slices.group == g].mean()), 4) for g in groups},
        "readings": table,
        "levels": scores.use,
    }


def _kept(scores: Scores, rows: np.ndarray) -> Scores:
    nats = {name: sums[rows] for name, sums in scores.nats.items()}
    return Scores(nats, scores.pixels[rows], scores.kl[rows], scores.use)


def _row(
    scores: Scores,
    nats: np.ndarray,
    slices: SliceSet,
    groups: np.ndarray,
    rng: np.random.Generator,
    in_bits: bool,
) -> dict[str, Any]:
    rows = np.isin(slices.group, groups)
    group, patients = slices.group[rows], slices.patient[rows]
    nats, pixels, kl = nats[rows], scores.pixels[rows], scores.kl[rows].sum(1)
    size, unit = pixels[0].sum(), math.log(2) if in_bits else 1.0
    seed = int(rng.integers(2**31))

    def interval(top: np.ndarray, bottom: np.ndarray) -> list[float]:
        found = bootstrap_by_patient(
            _ratio_of(group),
            patients,
            top,
            bottom,
            rng=np.random.default_rng(seed),
            draws=DRAWS,
            strata=group,
            weighted=True,
        )
        return _told(found)

    one = np.full(len(nats), size * unit)
    return {
        "slices": int(rows.sum()),
        "patients": len(set(patients.tolist())),
        "nll": interval(kl - nats.sum(1), one),
        "rec": interval(-nats.sum(1), one),
        "kl": interval(kl, one),
        "lung": interval(nats[:, 1], pixels[:, 1] * unit),
        "black": interval(nats[:, 0], pixels[:, 0] * unit),
    }


def _ratio_of(group: np.ndarray) -> Callable[..., np.ndarray]:
    """Sum over sum within each group, then the mean over groups: (N,), (N,), weights (B, N) -> (B,)."""
    members = [np.flatnonzero(group == g) for g in sorted(set(group.tolist()))]

    def ratio(top: np.ndarray, bottom: np.ndarray, weights: np.ndarray) -> np.ndarray:
        each = [(weights[:, m] @ top[m]) / (weights[:, m] @ bottom[m]) for m in members]
        return np.mean(each, axis=0)

    return ratio


def _balanced(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Mean over groups of the means within them, (N, K) -> (K,)."""
    return np.mean([values[group == g].mean(0) for g in sorted(set(group.tolist()))], axis=0)


def _told(interval: Interval) -> list[float]:
    """Value, lower and upper limit."""
    return [round(value, DIGITS) for value in (interval.value, interval.low, interval.high)]
