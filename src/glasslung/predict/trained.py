"""Open a trained model to ask it: the folder of a run, or weights that come with the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import nn

TRAINING, READS = "training", "reads"
"""Settings of a run that are not the model's: how it was trained, and what its network reads."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model that can be asked.

    method   the name it is built by
    about    what its folder says of it
    name     what a person calls it: the folder's last part, or the shipped name
    folder   where it lies, and `weights`, the file of its tensors
    shipped  whether it came with the package
    """

    model: nn.Module
    method: str
    about: Mapping[str, Any]
    name: str
    folder: Path
    weights: Path
    shipped: bool


def open_trained(which: str | Path, check: Callable[[str], None] | None = None) -> Trained:
    """The model of a run's folder, or one that comes with the package.

    which  a folder; a text without a folder of that name is taken as a shipped name
    check  gets the method's name before anything is built, to refuse one that cannot do what is wanted
    UsageError or DataError where there is no such run, or its weights are missing or damaged.
    """
    from glasslung.models import build
    from glasslung.models.shipped import FOLDER, load_shipped
    from glasslung.train.rundir import RunDir

    folder = Path(which)
    if not folder.is_dir():
        if folder.name != str(which):
            raise UsageError(
                f"there is no run {which}; give the folder of `glasslung train`, or a shipped name"
            )
        model, about = load_shipped(str(which))
        if check is not None:
            check(about["name"])
        home = FOLDER / str(which)
        return Trained(model, about["name"], about, str(which), home, home / "model.safetensors", True)
    run = RunDir.open(folder)
    method = run.about["model"]
    if check is not None:
        check(method)
    weights = folder / "weights" / f"{method}.safetensors"
    if not weights.is_file():
        raise DataError(f"{folder} has no weights yet; let its training end: run `glasslung train` again")
    settings = {k: v for k, v in run.about["settings"].items() if k not in (TRAINING, READS)}
    model = build(method, run.about["seed"], **settings)
    run.load(method, model)
    return Trained(model, method, run.about, folder.resolve().name, folder, weights, False)
