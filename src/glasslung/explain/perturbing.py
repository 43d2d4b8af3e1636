"""Explanations put to the test: take away what they call relevant, or take away what the network learned.

Deletion and insertion (Petsiuk et al., RISE, 2018): voxels of the lungs are replaced by the lung's median in
the order of their relevance, or put back in that order, and the classifier is asked after each step. An
explanation that is right moves the answer sooner than one that is not. The order beside it is no shuffled
voxels, which would be noise that no lung has, but smooth random patches of the same grain.

Randomised weights (Adebayo et al., Sanity checks for saliency maps, 2018): a map that stays as it was when
the network has forgotten everything shows the scan, not the network's reasons. Weights are shuffled within
each tensor, so that their sizes stay.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from glasslung.data.exambatches import shown_slices, whole
from glasslung.data.exams import Exam
from glasslung.errors import DataError
from glasslung.explain.heatmaps import SIGMA_MM, smoothed
from glasslung.nn.borrow import evaluating

STEPS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
"""Shares of the lungs' voxels taken away or put back; dense where lesions are."""

Ask = Callable[[Tensor, Tensor], float]  # (image, lesion), (K, 1, H, W) each -> log-odds


@dataclass(frozen=True)
class Curve:
    """How the answer moves while voxels of the lungs are taken away or put back.

    steps     shares of the lungs' voxels
    log_odds  after each step, most relevant first
    random    likewise in the order of random patches
    """

    steps: tuple[float, ...]
    log_odds: tuple[float, ...]
    random: tuple[float, ...]

    @property
    def area(self) -> float:
        """Mean log-odds over the steps' range: low is good for deletion, high for insertion."""
        return float(np.trapezoid(self.log_odds, self.steps))

    @property
    def random_area(self) -> float:
        """Of the random order."""
        return float(np.trapezoid(self.random, self.steps))


def asking(model: nn.Module) -> Ask:
    """The classifier's log-odds of one scan; the model is left as it was."""

    def ask(image: Tensor, lesion: Tensor) -> float:
        with evaluating(model):
            scan = torch.zeros(len(image), dtype=torch.long)
            return float(model.scores(image, lesion, scan))  # type: ignore[operator]

    return ask


def curves(
    ask: Ask, exam: Exam, relevance: np.ndarray, rng: np.random.Generator, steps: Sequence[float] = STEPS
) -> tuple[Curve, Curve]:
    """Deletion and insertion of one scan.

    ask        of the classifier, `asking`
    relevance  (S, H, W), both inputs; it is smoothed here, as it is looked at
    A voxel that is taken away gets the median grey of the lungs outside lesions, and is no lesion.
    """
    batch, shown = whole(exam), shown_slices(exam)
    inside = torch.from_numpy(exam.lungs[shown] > 0)
    orders = [_order(smoothed(relevance, exam)[shown], inside), _order(_patches(exam, rng)[shown], inside)]
    healthy = exam.image[(exam.lungs > 0) & (exam.lesions == 0)]
    grey = float(np.median(healthy if healthy.size else exam.image[exam.lungs > 0])) / 255

    def after(order: Tensor, share: float, inserted: bool) -> float:
        count = round(share * len(order))
        gone = torch.zeros(inside.numel(), dtype=torch.bool)
        gone[order[count:] if inserted else order[:count]] = True
        at = gone.reshape(inside.shape)[:, None]
        return ask(batch.image.masked_fill(at, grey), batch.lesion.masked_fill(at, 0.0))

    told = []
    for inserted in (False, True):
        ends = {0.0: after(orders[0], 0.0, inserted), 1.0: after(orders[0], 1.0, inserted)}
        lines = [
            tuple(ends[s] if s in ends else after(order, s, inserted) for s in steps) for order in orders
        ]
        told.append(Curve(tuple(steps), *lines))
    return told[0], told[1]


def shuffled(model: nn.Module, rng: np.random.Generator, layers: int | None = None) -> nn.Module:
    """A copy whose weights are shuffled within each tensor: of all layers, or of the last `layers` alone.

    Layers are modules that hold weights themselves, in the order in which the model names them.
    """
    other = copy.deepcopy(model)
    holders = [one for one in other.modules() if any(True for _ in one.parameters(recurse=False))]
    chosen = holders if layers is None else holders[max(len(holders) - layers, 0) :]
    with torch.no_grad():
        for holder in chosen:
            for weights in holder.parameters(recurse=False):
                order = torch.from_numpy(rng.permutation(weights.numel()))
                weights.copy_(weights.flatten()[order].reshape(weights.shape))
    return other


def likeness(first: np.ndarray, second: np.ndarray, exam: Exam) -> float:
    """Rank correlation of two maps (S, H, W) within the lungs, smoothed and without sign: 1 alike, 0 unlike.

    0 where one of them is the same everywhere.
    """
    from scipy.stats import rankdata

    inside = exam.lungs > 0
    if not inside.any():
        raise DataError("no slice of this exam shows lung; maps cannot be compared there")
    ranks = [rankdata(np.abs(smoothed(one, exam))[inside]) for one in (first, second)]
    if min(np.ptp(one) for one in ranks) == 0:
        return 0.0
    return float(np.corrcoef(*ranks)[0, 1])


def _order(values: np.ndarray, inside: Tensor) -> Tensor:
    """Flat places of the lungs' voxels, the highest value first."""
    places = torch.nonzero(inside.flatten())[:, 0]
    ranked = np.argsort(-values.ravel()[places.numpy()], kind="stable")
    return places[torch.from_numpy(ranked)]


def _patches(exam: Exam, rng: np.random.Generator) -> np.ndarray:
    """A random field as smooth as the maps that are looked at, also from slice to slice."""
    noise = rng.standard_normal(exam.image.shape).astype(np.float32)
    wide = [SIGMA_MM / mm for mm in exam.spacing_mm]
    return np.asarray(ndimage.gaussian_filter(noise, wide))
