"""How well a CAGE explains slices at the age they were seen at, in the paper's units, and what those hide.

As the paper counts it, a slice pays for the time-invariant latents and for those of every age that the model
has, seen or not; its pixels are scored at its own age alone. One draw of the latents for each slice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from glasslung.data.slices import SliceSet
from glasslung.errors import UsageError
from glasslung.models.cage import CAGE
from glasslung.nn.borrow import evaluating
from glasslung.nn.ladder import Descent, level_use
from glasslung.studies.progression.heldout import Scores, light, readings_of, told_batches
from glasslung.types import Progress


def score_owners(
    model: CAGE, slices: SliceSet, rng: torch.Generator, progress: Progress | None = None
) -> Scores:
    """Sums over the pixels of every slice at its own age; divergences by ladder and level.

    Levels are named 'still z1' .. 'k3 z5', finest first in every ladder. UsageError where a slice is of an
    age that the model was not made for.
    """
    found: list[dict[str, np.ndarray]] = []
    pixels, kl = [], []
    descents: dict[str, list[Descent]] = {}
    for batch in told_batches(slices, progress):
        black = (batch.image == 0)[:, 0].numpy()
        pixels.append(np.stack([black.sum((1, 2)), (~black).sum((1, 2))], 1))
        with evaluating(model):
            course = model(batch.image, batch.group, rng)
            day = batch.day if model.config.day else None
            seen = model.render_seen(course, batch.group, day)
        found.append(readings_of(seen, batch.image, black, single=False))
        ladders = {"still": course.still} | {f"k{age}": one for age, one in enumerate(course.ages)}
        kl.append(torch.cat([one.kl() for one in ladders.values()], 1).double().numpy())
        for name, one in ladders.items():
            descents.setdefault(name, []).append(light(one))
    nats = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return Scores(nats, np.concatenate(pixels).astype(np.float64), np.concatenate(kl), _uses(descents))


def _uses(descents: dict[str, list[Descent]]) -> list[dict[str, Any]]:
    return [
        {
            "level": f"{name} {use.name}",
            "nats": round(use.nats, 2),
            "active": use.active,
            "units": use.units,
            "collapsed": use.collapsed,
        }
        for name, parts in descents.items()
        for use in level_use(parts)
    ]


def owned(model: CAGE, slices: SliceSet) -> SliceSet:
    """The slices that a CAGE owns: of its single age, or all."""
    age = model.config.single_age
    if age is None:
        return slices
    if not (slices.group == age).any():
        raise UsageError(f"there is no slice of age {age} to score this CAGE on")
    return slices.of_group(age)
