"""What comes after a scan, from one scan or two: the prognosis of COVID3D, and hazards beside it.

Paper: the COVID3D paper, task 2b: a network that knows the diagnosis learns whether a stay is long (7 days or
more), from one scan, or from a scan and the one before through one trunk.

    one scan    f_t
    two scans   [f_t, f_prev, f_t - f_prev, log(1 + days between)]
    long stay   one linear layer, binary cross-entropy: the paper's endpoint
    hazards     one linear layer for each event (critical illness, discharge), in intervals of days, with the
                likelihood of what was seen, censoring included (`nn.hazards`)

Departs   1. What the paper feeds from two scans is not stated; the above is ours.
          2. Hazards use every stay, those that had not ended too, and tell a curve and not a class.
          3. The trunk may stay as it was trained for the diagnosis: its features, once computed, are what is
             learned from (`features` > 0), which two cores can do in seconds. With `features` = 0 the network
             has an I3D trunk of its own, which learns along.
          4. A few numbers (age, sex, lesion burden) may stand beside the features.

Notation  V lines, P scans each, F features, K columns, I intervals, C events
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.nn.batches import StayBatch
from glasslung.nn.hazards import checked_edges, incidence, log_likelihood
from glasslung.nn.inception3d import Inception3D
from glasslung.nn.player import Player

HAZARDS, LONG_STAY = "hazards", "long stay"
START = -2.5  # logit of an event in an interval before anything is learned: some 8 %


@dataclass(frozen=True)
class Config:
    """Settings of one network that looks ahead."""

    head: str = HAZARDS  # or 'long stay', the paper's
    scans: int = 2  # 1: the scan alone; 2: with the one before
    features: int = 0  # given for each scan by a trunk that does not learn; 0: a trunk of its own
    columns: int = 0  # numbers that stand beside the features
    edges: tuple[float, ...] = (
        0.0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        10,
        12,
        14,
        17,
        21,
        28,
    )  # finest where most is met
    events: int = 2  # critical illness and discharge
    width: float = 1.0  # of an own trunk: share of the published channels
    momentum: float = 0.1  # of its running means
    dropout: float = 0.5  # of the features, as the paper's classifier
    smooth: float = 2.0  # of squared steps between neighbouring intervals, whose few events tell little
    lr: float = 1e-3  # of Adam, for the head: it is one layer
    lr_trunk: float = 1e-5  # a hundredth: the trunk knows the diagnosis already
    weight_decay: float = 1e-2  # a hundred patients against thousands of weights

    def __post_init__(self) -> None:
        checked_edges(self.edges)
        if self.head not in (HAZARDS, LONG_STAY) or self.scans not in (1, 2):
            raise UsageError(f"head is {HAZARDS!r} or {LONG_STAY!r}, scans 1 or 2")
        if self.features < 0 or self.columns < 0 or self.events < 1:
            raise UsageError("features and columns are 0 or more, events 1 or more")
        if not (min(self.lr, self.lr_trunk) > 0 and self.weight_decay >= 0 and 0 <= self.dropout < 1):
            raise UsageError("lr and lr_trunk must be positive, weight_decay not negative, dropout below 1")
        if self.smooth < 0:
            raise UsageError("smooth is 0 or more")


class HazardNet(nn.Module):
    """Features of one scan or two, columns, and a linear layer that looks ahead."""

    middle: Tensor
    spread: Tensor

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.trunk = None if config.features else Inception3D(1, rng, config.width, config.momentum)
        self.features = config.features or self.trunk.features  # type: ignore[union-attr]
        read = (3 * self.features + 1 if config.scans == 2 else self.features) + config.columns
        hazards = config.head == HAZARDS
        self.head = nn.Linear(read, config.events if hazards else 1, bias=not hazards)
        nn.init.zeros_(self.head.weight)  # nothing is known before anything is learned
        if hazards:
            self.base = nn.Parameter(torch.full((len(config.edges) - 1, config.events), START))
        else:
            nn.init.zeros_(self.head.bias)
        self.register_buffer("middle", torch.zeros(self.features))
        self.register_buffer("spread", torch.ones(self.features))
        self.register_buffer("ends", torch.tensor(config.edges, dtype=torch.float32), persistent=False)

    def learn_scales(self, features: Tensor) -> None:
        """Middle and spread of given features (N, F), by which they are standardised from now on."""
        self._check_width(features)
        self.middle.copy_(features.mean(0))
        spread = features.std(0)
        self.spread.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        """Begin with the trunk of a trained I3D, or a whole one's state. DataError where it does not fit."""
        if self.trunk is None:
            raise UsageError("features are given, so there is no trunk to start; set features to 0")
        mine = {name.removeprefix("trunk."): part for name, part in state.items() if "head." not in name}
        try:
            self.trunk.load_state_dict(mine)
        except RuntimeError as problem:
            raise DataError(
                f"these are no weights for this trunk; set the same width ({problem})"
            ) from problem

    def seen(self, scans: Tensor) -> Tensor:
        """Features of each scan, standardised: (V, P, F) or (V, P, 1, T, H, W) -> (V, P, F)."""
        if scans.ndim == 6:
            if self.trunk is None:
                raise ShapeError(f"this network reads {self.features} features of each scan, got whole scans")
            whole = scans.flatten(0, 1).contiguous(memory_format=torch.channels_last_3d)
            found = self.trunk(whole).mean((2, 3, 4)).unflatten(0, scans.shape[:2])
        else:
            found = scans
        self._check_width(found)
        return (found - self.middle) / self.spread

    def inputs(self, seen: Tensor, gap: Tensor, columns: Tensor) -> Tensor:
        """What stands before the linear layer: (V, P, F), (V,), (V, K) -> (V, 3 F + 1 + K) or (V, F + K)."""
        if seen.shape[1] != self.config.scans or columns.shape[1] != self.config.columns:
            raise ShapeError(
                f"this network reads {self.config.scans} scan(s) and {self.config.columns} column(s) a line, "
                f"got {seen.shape[1]} and {columns.shape[1]}"
            )
        now = seen[:, -1]
        if self.config.scans == 1:
            return torch.cat([now, columns], 1)
        before = seen[:, 0]
        return torch.cat([now, before, now - before, gap[:, None], columns], 1)

    def answer(self, inputs: Tensor) -> Tensor:
        """Log-odds of a long stay, (V,); or the hazards' logits, (V, I, C). float32."""
        found: Tensor = self.head(inputs).float()
        return found[:, 0] if self.config.head == LONG_STAY else self.base + found[:, None]

    def forward(self, scans: Tensor, gap: Tensor, columns: Tensor) -> Tensor:
        """`answer` of scans, gaps and columns."""
        return self.answer(self.inputs(self.seen(scans), gap, columns))

    def chances(self, scans: Tensor, gap: Tensor, columns: Tensor) -> Tensor:
        """Chance of a long stay, (V,); or of each event by the end of each interval, (V, I, C)."""
        found = self(scans, gap, columns)
        return torch.sigmoid(found) if self.config.head == LONG_STAY else incidence(found)

    def _check_width(self, features: Tensor) -> None:
        if features.shape[-1] != self.features:
            raise ShapeError(f"this network reads {self.features} features, got {features.shape[-1]}")


def loss(model: HazardNet, batch: StayBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Nats per line: of what was seen, or of long and short stays. 'fit' is it without the penalty."""
    seen = model.seen(batch.scans)
    if model.config.dropout:
        kept = torch.rand(seen.shape, generator=rng, device=seen.device) >= model.config.dropout
        seen = seen * kept / (1 - model.config.dropout)
    answer = model.answer(model.inputs(seen, batch.gap, batch.columns))
    if model.config.head == LONG_STAY:
        if bool((batch.long < 0).any()):
            raise DataError("a stay to learn from is not known to be long or short; leave it out")
        fit = F.binary_cross_entropy_with_logits(answer, batch.long.float())
        return {"total": fit, "fit": fit.detach()}
    fit = -log_likelihood(answer, batch.days, batch.kind, model.ends).mean()  # type: ignore[arg-type]
    rough = model.base.diff(dim=0).square().sum() / len(batch)
    return {"total": fit + model.config.smooth * rough, "fit": fit.detach()}


def players(model: HazardNet) -> list[Player]:
    """Adam on head and base, and on an own trunk at a hundredth of their rate."""
    config = model.config
    trunk = [] if model.trunk is None else list(model.trunk.parameters())
    rest = [part for name, part in model.named_parameters() if not name.startswith("trunk.")]
    return [
        Player(
            "hazardnet",
            [*trunk, *rest],
            lambda batch, step, rng: loss(model, batch, rng),
            lr=config.lr,
            shares=(config.lr_trunk / config.lr,) * len(trunk) + (1.0,) * len(rest),
            weight_decay=config.weight_decay,
            epsilon=1e-8,
        )
    ]
