"""What every training of a classifier is made of: its batches, its start, and a look at validation scans.

A classifier may begin with the branches of a CVAE that saw the same scans, and NetVLAD's clusters with those
that training slices form. While it learns it is looked at: the weights that are kept are those with the best
AUC on the validation scans, of equal ones those that surprise least. Test scans are never asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glasslung.data.exambatches import (
    TRAINED_SLICES,
    ExamBatches,
    SideBatches,
    batch_of,
    shown_slices,
    whole,
)
from glasslung.data.exams import BODY, FRAMES, LUNGS, ExamSet, Frame
from glasslung.data.examviews import STRONG, ExamViews
from glasslung.errors import UsageError
from glasslung.measure.calibration import fit_calibration, negative_log_likelihood
from glasslung.measure.ranking import auc
from glasslung.types import Intensity

if TYPE_CHECKING:
    from torch import nn

    from glasslung.train.game import Game
    from glasslung.train.machine import Machine

BATCH_STREAM, CLUSTER_STREAM, CVAE_STREAM = 2, 3, 4
VIEWS = ("auto", "usual", "strong", "none")
FILM = ExamViews(turn_deg=10.0, window=0.07)
"""Of whole bodies: level and width of the window stray by up to 105 HU, as hospitals' windows do."""
SLICES_OF_EACH = 24  # of a scan, when clusters are formed: neighbours are nearly the same
VOLUMES = ("densenet3d", "i3d")  # their weights have three dimensions, and no layout of slices
WHOLE_BODY = ("i3d", "resnet2d")  # as COVID3D: the whole scan, no lungs segmented, no lesions shown


@dataclass(frozen=True)
class Pace:
    """What is in a batch, and which weights are kept."""

    each: int = 4
    """Scans of each label in a batch; the paper sums eight gradients of one scan."""
    slices: int = TRAINED_SLICES
    """Of a scan in a batch; a network that brings scans to a depth of its own gets that many."""
    side_each: int = 16
    """Slices of each label in a batch of the CVAE."""
    views: str = "auto"
    """Other looks of the same lungs: usual, strong, none; auto: strong for pictures. The paper has none."""
    ema: float | None = 0.99
    """Decay of a running average of the weights, which is what is looked at and kept."""

    def __post_init__(self) -> None:
        if min(self.each, self.slices, self.side_each) < 1:
            raise UsageError("each, slices and side_each must be 1 or more")
        if self.views not in VIEWS:
            raise UsageError(f"views are one of {', '.join(VIEWS)}, not {self.views!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"ema {self.ema} is no decay; choose one below 1, for example 0.99")


class Answers(NamedTuple):
    """What a classifier says of N scans: log-odds (N,) float64 and features (N, F) float32."""

    log_odds: np.ndarray
    features: np.ndarray


class Look(NamedTuple):
    """How a classifier does on the validation scans before step `step`.

    auc      area under the ROC curve
    surprise nats a scan after the best temperature: how well its log-odds hold, beyond their order
    """

    step: int
    auc: float
    surprise: float

    def beats(self, other: Look | None) -> bool:
        """Whether these weights are rather to be kept than those of an earlier look."""
        return other is None or (self.auc, -self.surprise) > (other.auc, -other.surprise)


# ------------------------------------------------------------------------------------------------- asking


def log_odds_of(model: nn.Module, exams: ExamSet) -> np.ndarray:
    """Log-odds of each scan, asked whole and alone: (N,) float64."""
    return _asked(model, exams, features=False).log_odds


def answers_of(model: nn.Module, exams: ExamSet) -> Answers:
    """Log-odds of each scan and what they rest on, asked whole and alone."""
    return _asked(model, exams, features=True)


def _asked(model: Any, exams: ExamSet, features: bool) -> Answers:
    from glasslung.nn.borrow import evaluating

    device = next(model.parameters()).device
    said, rest = [], []
    with evaluating(model):
        for exam in exams.exams:
            batch = whole(exam).to(device)
            found = model.features(batch.image, batch.lesion, batch.scan)
            said.append(float(model.read(found)[0]))
            if features:
                rest.append(found[0].float().cpu().numpy())
    return Answers(np.array(said, np.float64), np.stack(rest) if rest else np.empty((0, 0), np.float32))


def look_at(game: Game, name: str, validation: ExamSet) -> Look:
    """How the network stands on scans that it does not learn from, with its averaged weights."""
    from contextlib import nullcontext

    with game.averaged() if game.ema is not None else nullcontext():
        said = log_odds_of(game.modules[name], validation)
    truth = validation.label == 1
    probability = fit_calibration(truth, said).probability(said)
    return Look(game.step, auc(truth, said), negative_log_likelihood(truth, probability))


# --------------------------------------------------------------------------------------------- beginnings


def views_for(name: str, exams: ExamSet) -> ExamViews | None:
    """The looks that a name stands for, for these exams."""
    if name in ("auto", "usual") and exams.exams[0].frame == BODY:
        return FILM
    if name == "auto":
        plain = any(exam.intensity is Intensity.DISPLAY8 for exam in exams.exams)
        name = "strong" if plain else "usual"
    return {"usual": ExamViews(), "strong": STRONG, "none": None}[name]


def frame_for(model: str, named: str = "auto") -> Frame:
    """How scans are cut for a model, by the name of a frame; 'auto': as its paper does."""
    if named == "auto":
        return BODY if model in WHOLE_BODY else LUNGS
    return FRAMES[named]


def fitted(machine: Machine, model: str) -> Machine:
    """The machine, with a layout in memory that the model's weights can have."""
    from dataclasses import replace

    return replace(machine, channels_last=False) if model in VOLUMES else machine


def cvae_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a classifier's settings that its CVAE must share."""
    return {name: settings[name] for name in ("size", "side") if name in settings}


def cvae_game(settings: Mapping[str, Any], exams: ExamSet, pace: Pace, seed: int, machine: Machine) -> Game:
    """A CVAE before its first step; it learns from single slices of the training scans."""
    from glasslung.models import build, entry_for
    from glasslung.train.game import Game

    model = build("cvae", seed, **settings)
    views = views_for(pace.views, exams)
    stream = SideBatches(exams, pace.side_each, np.random.default_rng([seed, CVAE_STREAM]), views)
    return Game({"cvae": model}, entry_for("cvae").players(model), stream, seed, machine)


def classifier_game(model: Any, name: str, exams: ExamSet, pace: Pace, seed: int, machine: Machine) -> Game:
    """A classifier before its first step."""
    from glasslung.models import entry_for
    from glasslung.train.game import Game

    views = views_for(pace.views, exams)
    slices = int(getattr(model.config, "depth", pace.slices))
    stream = ExamBatches(exams, pace.each, np.random.default_rng([seed, BATCH_STREAM]), slices, views)
    players = entry_for(name).players(model)
    return Game({name: model}, players, stream, seed, fitted(machine, name), pace.ema)


def start_clusters(model: Any, exams: ExamSet, seed: int) -> int:
    """Let NetVLAD's clusters begin where slices of the training scans lie; how many slices were asked.

    Where there are fewer slices than clusters they stay as they were drawn, and 0 comes back.
    """
    import torch

    from glasslung.nn.borrow import evaluating

    device, found = next(model.parameters()).device, []
    with evaluating(model):
        for exam in exams.exams:
            batch = batch_of([exam], [-1], [shown_slices(exam, SLICES_OF_EACH)]).to(device)
            found.append(model.descriptors(batch.image, batch.lesion))
    described = torch.cat(found)
    if len(torch.unique(described, dim=0)) < model.config.clusters:
        return 0
    model.vlad.start_from(described, np.random.default_rng([seed, CLUSTER_STREAM]))
    return len(described)
