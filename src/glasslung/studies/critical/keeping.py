"""A model of critical illness as a folder of plain numbers, fitted on every patient of a cohort.

    settings.json       what it reads, how it was chosen, calibration, hazards, digests of the pictures it saw
    model.safetensors   of each member: <model>.<member>.knots (F, K), .weights (F,), .bias (1,)

Beside the chosen model lie those it is judged against, age and sex, and the plain greys, so that a foreign
folder can be scored with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.files import read_json, whole_folder, write_json, write_whole
from glasslung.measure.calibration import Calibration
from glasslung.measure.survival import Cox
from glasslung.studies.critical.courses import AGE_SEX, BOTH, RIDGE, at_landmark
from glasslung.studies.critical.ground import CriticalGround
from glasslung.studies.critical.nested import CHOSEN, Choice, Deal, candidates, choose
from glasslung.studies.critical.weighing import Candidate, Member, Recipe, Weighing

METHOD = "critical"
SETTINGS, TENSORS = "settings.json", "model.safetensors"
GREYS = "greys, weighed"
BESIDE = {AGE_SEX: ("clinic",), GREYS: ("grey",)}
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Kept:
    """What ships.

    models   CHOSEN and those beside it -> model
    hazards  name of a Cox model -> column -> log hazard ratio per unit: 'image' per log-odds, 'age' per ten
             years, 'male'; and 'middle' -> the value that stands for an unknown one
    about    settings.json
    name     what a person calls it
    """

    models: Mapping[str, Weighing]
    hazards: Mapping[str, Mapping[str, float]]
    about: Mapping[str, Any]
    name: str

    def risk(self, model: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log hazard by a Cox model, up to a constant: columns name -> (N,), NaN unknown -> (N,)."""
        ratios = self.hazards[model]
        middle = self.about["middle"]
        total = np.zeros(len(next(iter(columns.values()))))
        for name, ratio in ratios.items():
            total = total + ratio * np.where(np.isfinite(columns[name]), columns[name], middle[name])
        return total


def fit_all(
    ground: CriticalGround, tables: Mapping[str, np.ndarray], deals: list[Deal], seed: int = 0
) -> tuple[dict[str, Choice], dict[str, dict[str, float]], dict[str, float]]:
    """The final models: the same choice as inside a fold, made with all patients; and the Cox models.

    Hazards are learned from out-of-fold image log-odds of the deals: those of the final model know the
    patients. Returns models with their inner AUC, hazards, and the middle of each column.
    """
    rng = np.random.default_rng([seed, 77])
    found = {CHOSEN: choose(tables, ground.event, rng, candidates())}
    for name, families in BESIDE.items():
        found[name] = choose(tables, ground.event, rng, (Candidate(name, (Recipe(families, 0.1),)),))
    past = at_landmark(ground)
    image = np.mean([deal.log_odds for deal in deals], axis=0)[past.rows]
    columns = {"image": image, "age": ground.age[past.rows] / 10, "male": ground.male[past.rows]}
    middle = {name: float(np.nanmedian(column)) for name, column in columns.items()}
    filled = {name: np.where(np.isfinite(column), column, middle[name]) for name, column in columns.items()}
    hazards = {}
    for name, wanted in ((AGE_SEX, ("age", "male")), (BOTH, ("image", "age", "male"))):
        cox = Cox({one: filled[one] for one in wanted}, past.days, past.event, RIDGE)
        hazards[name] = {one.name: float(np.log(one.ratio)) for one in cox.hazards()}
    return found, hazards, middle


def write_kept(
    folder: Path,
    models: Mapping[str, Choice],
    hazards: Mapping[str, Mapping[str, float]],
    about: Mapping[str, Any],
    card: str = "",
) -> Path:
    """A new folder with everything, whole or not at all."""
    from safetensors.numpy import save

    tensors: dict[str, np.ndarray] = {}
    told: dict[str, Any] = {}
    for name, choice in models.items():
        one = choice.model
        for number, member in enumerate(one.members):
            tensors |= {
                f"{name}.{number}.knots": member.knots,
                f"{name}.{number}.weights": member.weights,
                f"{name}.{number}.bias": np.array([member.bias]),
            }
        told[name] = {
            "candidate": one.candidate.name,
            "members": [{"families": list(part.families), "c": part.c} for part in one.candidate.members],
            "temperature": one.calibration.temperature,
            "bias": one.calibration.bias,
            "inner_auc": choice.inner,
        }
    settings = {"name": METHOD, "format": FORMAT, "models": told, "hazards": hazards, **about}
    with whole_folder(folder) as part_folder:
        write_json(part_folder / SETTINGS, settings)
        write_whole(part_folder / TENSORS, save({key: np.ascontiguousarray(t) for key, t in tensors.items()}))
        if card:
            write_whole(part_folder / "card.md", card)
    return folder


def place_of(which: str | Path) -> Path | None:
    """Where such a model lies: a folder or a shipped name; None where `which` is anything else."""
    from glasslung.models.shipped import FOLDER

    for folder in (Path(which), FOLDER / str(which)):
        there = (folder / SETTINGS).is_file() and (folder / TENSORS).is_file()
        if there and read_json(folder / SETTINGS).get("name") == METHOD:
            return folder
    return None


def open_kept(which: str | Path) -> Kept:
    """A model of critical illness, by its folder or its shipped name; DataError where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = place_of(which)
    if folder is None:
        raise UsageError(f"{which} is no model of critical illness; critical-8bit comes with the package")
    about = read_json(folder / SETTINGS)
    try:
        tensors = load_file(folder / TENSORS)
        models = {name: _weighing(name, told, tensors) for name, told in about["models"].items()}
        models[CHOSEN], about["hazards"][BOTH], about["middle"]["age"]
    except (OSError, SafetensorError, KeyError, TypeError) as problem:
        raise DataError(f"{folder} is damaged ({problem}); install the package again") from problem
    return Kept(models, about["hazards"], about, folder.resolve().name)


def _weighing(name: str, told: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Weighing:
    recipes = tuple(Recipe(tuple(one["families"]), float(one["c"])) for one in told["members"])
    members = tuple(
        Member(
            recipe,
            tensors[f"{name}.{number}.knots"].astype(np.float64),
            tensors[f"{name}.{number}.weights"].astype(np.float64),
            float(tensors[f"{name}.{number}.bias"][0]),
        )
        for number, recipe in enumerate(recipes)
    )
    calibration = Calibration(float(told["temperature"]), float(told["bias"]))
    return Weighing(Candidate(told["candidate"], recipes), members, calibration)


def in_single(choice: Choice) -> Choice:
    """The same with knots and weights in single precision, as they ship: half the size."""
    members = tuple(
        replace(one, knots=one.knots.astype(np.float32), weights=one.weights.astype(np.float32))
        for one in choice.model.members
    )
    return replace(choice, model=replace(choice.model, members=members))
