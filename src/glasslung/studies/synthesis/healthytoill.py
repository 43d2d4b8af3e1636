"""From healthy to ill where the truth is known: Pix2Pix on phantom pairs, measured against what was drawn.

Two guesses stand beside the network: no change at all, and the mean change of the training pairs of that day.
People of the test are seen by no training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from glasslung.data.pairs import DAYS, PairBatches, Pairs, draw_pairs
from glasslung.errors import UsageError
from glasslung.measure.featuresets import mean_interval
from glasslung.measure.lesionload import opacity_share
from glasslung.measure.statistics import Interval
from glasslung.models import build, entry_for
from glasslung.nn.borrow import evaluating
from glasslung.nn.making import AT_ONCE, device_of
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine
from glasslung.types import Progress

MODEL = "pix2pix"
NO_CHANGE, MEAN_CHANGE = "no change", "mean change of the day"


@dataclass(frozen=True)
class PairPlan:
    """How many people, how long, and with which settings."""

    people: int = 120  # to train on, each on three days
    unseen: int = 40  # to be tested on
    steps: int = 1500
    batch: int = 16
    size: int = 64
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.people, self.steps, self.batch) < 1 or self.unseen < 2:
            raise UsageError("people, steps and batch must be 1 or more, unseen 2 or more")


@dataclass(frozen=True)
class PairFigures:
    """What a guess is worth; grey from 0 to 1, intervals over people.

    inside   mean absolute error in the true lesions; beside: in the lung without them
    load     mean absolute error of the dense share of the lung
    ranked   Spearman's correlation of the made and the true dense share over all pairs
    """

    inside: Interval
    beside: Interval
    load: Interval
    ranked: float


def train_pairs(plan: PairPlan, progress: Progress | None = None) -> tuple[nn.Module, Pairs, Pairs]:
    """Draw people, train on the pairs of most of them; the model, its pairs, and those of people unseen."""
    whole = draw_pairs(plan.people + plan.unseen, plan.seed, plan.size, progress=progress)
    known = whole.patient < plan.people
    train, test = whole.take(known), whole.take(~known)
    model = build(MODEL, plan.seed, **{"size": plan.size, **plan.settings})
    stream = PairBatches(train, min(plan.batch, len(train)), np.random.default_rng([plan.seed, 2]))
    players = entry_for(MODEL).players(model)
    game = Game({MODEL: model}, players, stream, plan.seed, Machine(device="cpu"))
    for start in range(0, plan.steps, 50):
        fit(game, range(start, min(plan.steps, start + 50)))
        if progress:
            progress("training on pairs", min(1.0, (start + 50) / plan.steps))
    return model, train, test


def make_ill(model: nn.Module, pairs: Pairs) -> np.ndarray:
    """The lungs of the pairs' sources on their days, as the model makes them, (N, S, S) in [0, 1]."""
    device, made = device_of(model), []
    with evaluating(model):
        for start in range(0, len(pairs), AT_ONCE):
            batch = pairs.batch(np.arange(start, min(start + AT_ONCE, len(pairs)))).to(device)
            made.append(model(batch.source, batch.day)[:, 0].float().cpu().numpy())
    return np.concatenate(made)


def guesses(train: Pairs, test: Pairs) -> dict[str, np.ndarray]:
    """What somebody would say who has no network, (N, S, S) each."""
    change = train.target - train.source
    means = np.zeros_like(test.source)
    for day in np.unique(test.day):
        known = train.day == day
        if not known.any():
            raise UsageError(f"no pair of day {day:g} to train on; take days of {', '.join(map(str, DAYS))}")
        count = train.lungs[known].sum(0)
        mean = np.where(count > 0, (change[known] * train.lungs[known]).sum(0) / np.maximum(count, 1), 0)
        means[test.day == day] = mean
    moved = np.clip(test.source + means * test.lungs, 0, 1)
    return {NO_CHANGE: test.source, MEAN_CHANGE: moved}


def measure_pairs(made: np.ndarray, test: Pairs, rng: np.random.Generator, draws: int = 1000) -> PairFigures:
    """Compare lungs made ill with those that were drawn ill."""
    from scipy.stats import spearmanr

    error = np.abs(made - test.target)
    inside, beside = test.lesions & test.lungs, test.lungs & ~test.lesions
    ill = inside.any((1, 2))
    loads, true = opacity_share(made), opacity_share(test.target)

    def over_people(values: np.ndarray, rows: np.ndarray) -> Interval:
        return mean_interval(values[rows], test.patient[rows], rng=rng, draws=draws)

    all_rows = np.ones(len(made), bool)
    flat = np.ptp(loads) == 0 or np.ptp(true) == 0
    return PairFigures(
        over_people(_mean_in(error, inside), ill),
        over_people(_mean_in(error, beside), all_rows),
        over_people(np.abs(loads - true), all_rows),
        0.0 if flat else float(spearmanr(loads, true).statistic),
    )


def _mean_in(error: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.asarray((error * mask).sum((1, 2)) / np.maximum(mask.sum((1, 2)), 1))


def compare_pairs(plan: PairPlan, progress: Progress | None = None) -> dict[str, PairFigures]:
    """Train, and measure the network beside both guesses."""
    model, train, test = train_pairs(plan, progress)
    rng = np.random.default_rng(plan.seed)
    with torch.no_grad():
        answers = {MODEL: make_ill(model, test), **guesses(train, test)}
    return {name: measure_pairs(made, test, rng) for name, made in answers.items()}
