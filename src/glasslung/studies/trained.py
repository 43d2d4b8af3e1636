"""Open a trained model to score it: the folder of a run, or weights that come with the package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import nn

TRAINING = "training"  # settings of the run that are not the model's


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model that can be asked.

    method  the name it is built by; about  what its folder says of it; name  what a person calls it
    """

    model: nn.Module
    method: str
    about: Mapping[str, Any]
    name: str


def open_trained(which: str | Path) -> Trained:
    """The model of a run's folder, or one that comes with the package; UsageError where there is neither."""
    from glasslung.models import build
    from glasslung.models.shipped import load_shipped
    from glasslung.train.rundir import RunDir

    folder = Path(which)
    if not folder.is_dir():
        if folder.name != str(which):
            raise UsageError(
                f"there is no run {which}; give the folder of `glasslung train`, or a shipped name"
            )
        model, about = load_shipped(str(which))
        return Trained(model, about["name"], about, str(which))
    run = RunDir.open(folder)
    method = run.about["model"]
    if not (folder / "weights" / f"{method}.safetensors").is_file():
        raise DataError(f"{folder} has no weights yet; let its training end: run `glasslung train` again")
    settings = {name: value for name, value in run.about["settings"].items() if name != TRAINING}
    model = build(method, run.about["seed"], **settings)
    run.load(method, model)
    return Trained(model, method, run.about, folder.resolve().name)


def told_of(trained: Trained) -> dict[str, Any]:
    """What a reader needs to know which model it was."""
    about = trained.about
    return {
        "name": trained.name,
        "method": trained.method,
        "settings": {k: v for k, v in about["settings"].items() if k != TRAINING},
        "seed": about["seed"],
        "created": about.get("created", ""),
        "versions": {k: v for k, v in about.get("versions", {}).items() if k != "platform"},
    }


def input_hashes(about: Mapping[str, Any]) -> set[str]:
    """SHA-256 of what a run, or shipped weights, were trained on."""
    kept = {str(one["sha256"]) for one in about.get("inputs", {}).values()}
    return kept | ({str(about["input sha256"])} if "input sha256" in about else set())


def picture_digest(picture: np.ndarray) -> str:
    """A slice's fingerprint: (H, W) uint8, upright -> 16 hex digits of its SHA-256, its shape included."""
    whole = hashlib.sha256(f"{picture.shape}\n".encode())
    whole.update(np.ascontiguousarray(picture).tobytes())
    return whole.hexdigest()[:16]
