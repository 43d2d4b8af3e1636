"""The network that looks ahead, on features that a classifier keeps of each scan, or on whole scans.

Features of a trained classifier are computed once a scan; what learns from them is one linear layer
(`models.hazardnet`), seconds of one core. Whole scans through a trunk of its own need a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.data.staybatches import StayBatches, StayLines
from glasslung.data.stays import Stays
from glasslung.errors import ShapeError, UsageError
from glasslung.models import build
from glasslung.models.hazardnet import LONG_STAY, HazardNet
from glasslung.studies.prognosis.hazardlaw import Scale

NAME = "hazardnet"
CHUNK = 256  # lines that are asked at once


@dataclass(frozen=True)
class Lessons:
    """How long it learns."""

    steps: int = 300
    """One linear layer on features that are standardised stands still by then."""
    batch: int = 64
    """Lines; a few hundred patients are seen some forty times."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise UsageError("steps and batch are 1 or more")


def lines_of(
    scans: np.ndarray,
    stays: Stays,
    rows: np.ndarray,
    *,
    pairs: bool,
    columns: Mapping[str, np.ndarray] | None = None,
    scale: Scale | None = None,
) -> StayLines:
    """Lines for the network.

    scans    (N, F) features, or (N, 1, T, H, W) whole scans in [-1, 1], of every scan of `stays`
    rows     (N,) bool: the landmarks; their events must be known, and their priors where `pairs`
    pairs    whether the scan before is read too
    columns  further numbers, (N,) each, standardised by `scale` (of the training patients)
    """
    if len(scans) != len(stays) or len(rows) != len(stays):
        raise ShapeError(f"{len(stays)} stays, but {len(scans)} scans and {len(rows)} rows; give all of them")
    at = np.flatnonzero(rows)
    if pairs and (stays.prior[at] < 0).any():
        raise UsageError("a landmark without a scan before it cannot be read as a pair; leave it out")
    now = scans[at][:, None]
    both = np.concatenate([scans[stays.prior[at]][:, None], now], 1) if pairs else now
    beside = np.zeros((len(at), 0))
    if columns:
        mine = {name: np.asarray(column)[at] for name, column in columns.items()}
        beside = (scale or Scale.of(mine)).matrix(mine)
    gap = np.log1p(stays.gap[at]) if pairs else np.zeros(len(at))
    return StayLines(both, beside, gap, stays.event_days[at], stays.event[at], stays.long_stay[at])


def learn(
    lines: StayLines,
    settings: Mapping[str, Any] | None = None,
    lessons: Lessons = Lessons(),
    seed: int = 0,
    trunk: Mapping[str, Any] | None = None,
) -> HazardNet:
    """A network that has learned from these lines.

    settings  of `models.hazardnet.Config`; scans, features and columns follow from the lines
    trunk     where it reads whole scans: the state of a trained I3D to begin with
    """
    from glasslung.models import entry_for
    from glasslung.train.game import Game
    from glasslung.train.loop import fit
    from glasslung.train.machine import Machine

    shape = lines.scans.shape
    own = {
        "scans": shape[1],
        "features": shape[2] if lines.scans.ndim == 3 else 0,
        "columns": lines.columns.shape[1],
    }
    net = build(NAME, seed, **{**(settings or {}), **own})
    assert isinstance(net, HazardNet)
    if own["features"]:
        net.learn_scales(lines.batch().scans.flatten(0, 1))
    if trunk is not None:
        net.start_from(trunk)
    stream = StayBatches(lines, lessons.batch, np.random.default_rng([seed, len(lines)]))
    machine = Machine("cpu", "32-true", channels_last=False)  # a trunk lays its films out itself
    fit(Game({NAME: net}, entry_for(NAME).players(net), stream, seed, machine), range(lessons.steps))
    return net.eval()


def trunk_of(which: str) -> dict[str, Any]:
    """The state of a trained I3D, by its run's folder or shipped name, for `learn(trunk=...)`.

    UsageError for a run of another method: its trunk is another network.
    """
    from glasslung.predict.trained import open_trained

    def check(method: str) -> None:
        if method != "i3d":
            raise UsageError(f"{which} is a run of {method}; a network that looks ahead begins with an i3d")

    return dict(open_trained(which, check).model.state_dict())


def ask(net: HazardNet, lines: StayLines) -> np.ndarray:
    """Chance of a long stay, (N,); or of each event by the end of each interval, (N, I, C)."""
    import torch

    found = []
    with torch.no_grad():
        for start in range(0, len(lines), CHUNK):
            batch = lines.batch(np.arange(start, min(start + CHUNK, len(lines))))
            found.append(net.chances(batch.scans, batch.gap, batch.columns).numpy())
    return np.concatenate(found)


def chance_by(net: HazardNet, lines: StayLines, day: float, event: int = 1) -> np.ndarray:
    """Chance of an event by a day, (N,), straight between the edges of the intervals."""
    if net.config.head == LONG_STAY:
        raise UsageError("a network of long stays knows no days; ask one with the head 'hazards'")
    known = ask(net, lines)[..., event - 1]
    known = np.concatenate([np.zeros_like(known[:, :1]), known], 1)
    return np.array([np.interp(day, net.config.edges, one) for one in known])
