"""The paper's table beside ours: what was printed, and what our models score on seen and unseen patients.

Zammit et al. print nats per pixel on training images; lower is better. Their CAGE-T1 has a divergence of 0.9,
a slip for 0.09: -8.23 + 0.09 = -8.14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from glasslung.data.slices import SliceSet
from glasslung.models.cage import CAGE
from glasslung.models.usvae import USVAE
from glasslung.studies.progression.cagebound import owned, score_owners
from glasslung.studies.progression.heldout import figures, score_slices
from glasslung.types import Progress

PRINTED: dict[str, dict[str, float]] = {
    "U-SVAE": {"nll": -7.98, "rec": -8.03, "kl": 0.05},
    "CAGE-T0": {"nll": -8.35, "rec": -8.45, "kl": 0.10},
    "CAGE-T1": {"nll": -8.14, "rec": -8.23, "kl": 0.09},
    "CAGE-ALL": {"nll": -8.20, "rec": -8.25, "kl": 0.06},
}
SHIPPED = "U-SVAE, shipped weights"
OURS = {  # our rows by the paper's
    "U-SVAE": ("U-SVAE", SHIPPED),
    "CAGE-T0": ("CAGE-T0",),
    "CAGE-T1": ("CAGE-T1",),
    "CAGE-ALL": ("CAGE-ALL A0", "CAGE-ALL A3"),
}
PARTS = ("train", "unseen")


def bounds_of(
    model: nn.Module,
    parts: Mapping[str, SliceSet],
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What `heldout.figures` says of a U-SVAE or a CAGE on each part; a CAGE of one age on that age alone.

    For the U-SVAE's mixture the nearest single Beta is looked for on unseen slices only: it takes long.
    """
    found: dict[str, Any] = {}
    for number, (part, slices) in enumerate(parts.items()):
        if progress:
            progress(f"scoring {len(slices)} slices", number / len(parts))
        found[part] = _scored(model, part, slices, seed)
    return found


def _scored(model: nn.Module, part: str, slices: SliceSet, seed: int) -> dict[str, Any]:
    draws, rng = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    if isinstance(model, CAGE):
        mine = owned(model, slices)
        return figures(score_owners(model, mine, draws), mine, rng)
    assert isinstance(model, USVAE), type(model)
    return figures(score_slices(model, slices, draws, single=part == "unseen"), slices, rng)


def paper_rows(told: Callable[[str], Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """One row for each of the paper's and each of ours below it.

    told  name of a method -> what `bounds_of` found, None where it was not trained
    A row has: name, of (the paper's row), printed, and for ours part, readings and levels.
    """
    rows: list[dict[str, Any]] = []
    for name, printed in PRINTED.items():
        rows.append({"name": name, "of": name, "printed": printed})
        for ours in OURS[name]:
            bounds = told(ours)
            for part in PARTS if bounds else ():
                assert bounds is not None
                if part in bounds:
                    rows.append({"name": ours, "of": name, "part": part, **bounds[part]})
    return rows
