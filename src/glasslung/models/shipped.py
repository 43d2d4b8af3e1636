"""Small trained models that come with the package, so that it works at once.

weights/<name>/model.safetensors   the averaged weights, without memories of slices (`nn.matching.Queue`)
weights/<name>/settings.json       method, settings, seed and versions of the run they come from
weights/<name>/card.md             data and its licence, figures, limits
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from glasslung.errors import DataError
from glasslung.files import read_json
from glasslung.models import build
from glasslung.nn.matching import Queue

FOLDER = Path(__file__).parent.parent / "weights"
TRAINING = "training"  # settings of the run that are not the model's


def load_shipped(name: str, folder: Path = FOLDER) -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of that name, and what is known about its run; DataError when it is not there."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = folder / name
    if not (place / "settings.json").is_file():
        there = sorted(path.parent.name for path in folder.glob("*/settings.json"))
        raise DataError(f"no trained {name!r} comes with the package; there are {', '.join(there) or 'none'}")
    about = read_json(place / "settings.json")
    settings = {key: value for key, value in about["settings"].items() if key != TRAINING}
    model = build(about["name"], about["seed"], **settings)
    try:
        weights = load_file(place / "model.safetensors")
    except (OSError, SafetensorError) as problem:
        raise DataError(f"{place} is damaged ({problem}); install the package again") from problem
    own = {key: part for key, part in model.state_dict().items() if key in memories_of(model)}
    _check_fit(model, own | weights, place)
    model.load_state_dict(own | weights)
    return model, about


def _check_fit(model: nn.Module, weights: Mapping[str, Tensor], place: Path) -> None:
    """DataError where tensors are missing, unknown or of another shape: how many, and the first of them."""
    wanted = {key: tuple(part.shape) for key, part in model.state_dict().items()}
    given = {key: tuple(part.shape) for key, part in weights.items()}
    wrong = [key for key in wanted | given if wanted.get(key) != given.get(key)]
    if wrong:
        first = wrong[0]
        found, asked = (shapes.get(first, "not there") for shapes in (given, wanted))
        raise DataError(
            f"{place} is damaged: {len(wrong)} tensor(s) of its weights do not fit its settings, first "
            f"{first!r}: {found}, by the settings {asked}; install the package again"
        )


def memories_of(model: nn.Module) -> set[str]:
    """Names of the entries of a state that hold slices which went by in training: none of them may ship."""
    queues = [name for name, module in model.named_modules() if isinstance(module, Queue)]
    return {f"{name}.{part}" for name in queues for part in ("rows", "pushed")}
