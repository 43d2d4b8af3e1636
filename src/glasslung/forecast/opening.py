"""Open a run to ask it for a forecast: a folder that `glasslung train` filled, or one that comes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import DataError, UsageError
from glasslung.forecast.familiarity import Reference, read_reference
from glasslung.forecast.voices import VOICES, Voice, voice_of

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
    folder = Path(which)
    if folder.is_dir():
        return _trained(folder)
    if folder.name != str(which):
        raise UsageError(f"there is no run {which}; give the folder of `glasslung train`, or a shipped name")
    return _shipped(str(which))


def _trained(folder: Path) -> Run:
    from glasslung.models import build
    from glasslung.train.rundir import RunDir

    run = RunDir.open(folder)
    method, settings = run.about["model"], run.about["settings"]
    _check_method(method)
    if not (folder / "weights" / f"{method}.safetensors").is_file():
        raise DataError(f"{folder} has no weights yet; let its training end: run `glasslung train` again")
    model = build(method, run.about["seed"], **_of_model(settings))
    run.load(method, model)
    name = folder.resolve().name
    return Run(model, method, run.about, name, int(settings.get("size", 64)), read_reference(folder))


def _shipped(name: str) -> Run:
    from glasslung.models.shipped import FOLDER, load_shipped

    model, about = load_shipped(name)
    _check_method(about["name"])
    size = int(about["settings"].get("size", 64))
    return Run(model, about["name"], about, name, size, read_reference(FOLDER / name))


def _of_model(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != "training"}


def _check_method(method: str) -> None:
    if method not in VOICES:
        raise UsageError(f"a {method!r} carries no lung to another age; there are {', '.join(VOICES)}")
