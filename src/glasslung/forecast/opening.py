"""Open a run to ask it for a forecast: a folder that `glasslung train` filled, or one that comes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import UsageError
from glasslung.forecast.familiarity import Reference, read_reference
from glasslung.forecast.voices import VOICES, Voice, voice_of
from glasslung.predict.trained import open_trained

if TYPE_CHECKING:
    from torch import nn

SHIPPED = "agetransport"
"""The run that is asked where none is named."""


@dataclass(frozen=True, eq=False)
class Run:
    """A trained model that can be asked.

    model      the network
    method     the name it is built by
    about      what the run's folder says of it
    name       what a person calls it: the folder's last part, or the shipped name
    size       side of its slices in pixels
    reference  what it was trained on, in features; None where the folder keeps none
    """

    model: nn.Module
    method: str
    about: Mapping[str, Any]
    name: str
    size: int
    reference: Reference | None

    def voice(self, seed: int) -> Voice:
        """The model as it can be asked, all draws from one seed."""
        return voice_of(self.method, self.model, seed)


def open_run(which: str | Path) -> Run:
    """Open a run by its folder or by a shipped name.

    A text without a folder of that name is taken as a shipped name. UsageError for a model that carries no
    lung to another age, DataError where there is no such run, or its weights are damaged.
    """
    trained = open_trained(which, _check_method)
    size = int(trained.about["settings"].get("size", 64))
    reference = read_reference(trained.folder)
    return Run(trained.model, trained.method, trained.about, trained.name, size, reference)


def _check_method(method: str) -> None:
    if method not in VOICES:
        raise UsageError(f"a {method!r} carries no lung to another age; there are {', '.join(VOICES)}")
