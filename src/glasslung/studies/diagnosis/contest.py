"""Classifiers side by side: each is trained on the same scans for as long, and asked about the same scans.

Time is process time of one core, and all that a method needs is paid from it: its CVAE, its clusters, its
looks at the validation scans. The weights that are asked are those of its best look. Test scans are asked
once, after training.

The paper's ablation took away first the side information, then the CVAE with it. Here each is taken away
alone as well.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glasslung.data.exams import ExamSet
from glasslung.errors import DataError, UsageError
from glasslung.files import whole_file
from glasslung.studies.diagnosis.learning import (
    VOLUMES,
    Look,
    Pace,
    classifier_game,
    cvae_game,
    cvae_settings,
    log_odds_of,
    look_at,
    start_clusters,
)
from glasslung.studies.jobs import Job, Product
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

TRAIN, VAL = "train", "val"
CHUNK = 5  # steps between two glances at the clock


@dataclass(frozen=True)
class Method:
    """One method of the contest.

    model     name in `models.TABLE`
    settings  of the model; what is not named has its default
    cvae      share of the time for a CVAE whose branches it begins with; 0: none
    """

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    cvae: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.cvae < 1:
            raise UsageError(f"the CVAE's share of the time lies from 0 to below 1, got {self.cvae}")


METHODS = {
    "NetVLAD + CVAE + side": Method("netvlad", cvae=0.25),
    "no side information": Method("netvlad", {"side": False}, cvae=0.25),
    "no CVAE": Method("netvlad"),
    "no CVAE, no side information": Method("netvlad", {"side": False}),
    "slice-wise": Method("slicewise"),
    "3D DenseNet": Method("densenet3d"),
}
"""Every method of the study; the first is the paper's, the second and the fourth its ablation (`papers`)."""


@dataclass(frozen=True)
class Budget:
    """What every method gets."""

    seconds: float = 120.0
    """Of process time."""
    pace: Pace = field(default_factory=Pace)
    looks: int = 12
    """At the validation scans, evenly over the time of the classifier."""
    clusters: bool = True
    """Whether NetVLAD's clusters begin where training slices lie."""
    precision: str = "auto"
    """Of the arithmetic in training; auto: 16 bit where the processor has it, for more steps in the time.
    Not of networks in three dimensions, whose gradients were not finite then."""

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.looks < 1:
            raise UsageError("seconds must be above 0 and looks 1 or more")


class Said(NamedTuple):
    """What a method said of scans, row by row: names, parts, labels (N,) and log-odds (N,)."""

    scans: tuple[str, ...]
    split: tuple[str, ...]
    label: np.ndarray
    log_odds: np.ndarray


def jobs_for(exams: ExamSet, budget: Budget, seeds: int = 1, names: Sequence[str] | None = None) -> list[Job]:
    """A job for each method and seed: it learns from part 'train', is looked at on 'val', asked of the rest.

    exams  with labels; parts 'train' and 'val', and any others, whose scans are asked once at the end
    names  of METHODS; None: all
    """
    exams = exams.take(np.flatnonzero(exams.label >= 0))
    asked = list(METHODS) if names is None else list(names)
    for name in asked:
        if name not in METHODS:
            raise UsageError(f"there is no method {name!r}; there are {', '.join(METHODS)}")
    digest = digest_of(exams)
    return [
        Job(
            name,
            seed,
            {"method": asdict(METHODS[name]), "budget": asdict(budget), "exams": digest},
            _work(METHODS[name], exams, budget, seed),
        )
        for seed in range(seeds)
        for name in asked
    ]


def _work(method: Method, exams: ExamSet, budget: Budget, seed: int) -> Callable[[Progress | None], Product]:
    def work(progress: Progress | None) -> Product:
        model, told = train(method, exams, budget, seed, progress)
        others = exams.take([row for row, part in enumerate(exams.split) if part != TRAIN])
        began = time.process_time()
        said = log_odds_of(model, others)
        told["seconds a scan"] = (time.process_time() - began) / max(1, len(others))
        return Product(model, lambda path: write_said(others, said, path), told)

    return work


def digest_of(exams: ExamSet) -> str:
    """One hash of all exams, their labels and parts."""
    whole = hashlib.sha256()
    for exam, *line in zip(exams.exams, exams.label.tolist(), exams.scans, exams.split, strict=True):
        whole.update(repr(line).encode())
        whole.update(np.ascontiguousarray(exam.image).tobytes())
        whole.update(np.ascontiguousarray(exam.lesions).tobytes())
    return whole.hexdigest()[:16]


# ------------------------------------------------------------------------------------------------ training


def train(
    method: Method, exams: ExamSet, budget: Budget, seed: int = 0, progress: Progress | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """One classifier, trained until its time is up, and what is to be told of its training."""
    from glasslung.models import build
    from glasslung.nn.blocks import count_parameters
    from glasslung.train.machine import Machine, quickest_on_cpu

    _load_libraries()
    began = time.process_time()
    until = _clock(budget.seconds, began, progress)
    quick = "32-true" if method.model in VOLUMES else quickest_on_cpu()
    machine = Machine("cpu", quick if budget.precision == "auto" else budget.precision)
    training, validation = exams.part(TRAIN).labelled(), exams.part(VAL).labelled()
    settings = {"size": exams.size, **method.settings}
    model: Any = build(method.model, seed, **settings)
    records: dict[str, Any] = {}
    told: dict[str, Any] = {"model": method.model, "settings": dict(settings)}
    if method.cvae:
        game = cvae_game(cvae_settings(settings), training, budget.pace, seed, machine)
        _play(game, until, method.cvae, records)
        model.start_from(game.modules["cvae"])
        told["cvae steps"] = game.step
    if budget.clusters and method.model == "netvlad":
        told["slices for clusters"] = start_clusters(model, training, seed)
    game = classifier_game(model, method.model, training, budget.pace, seed, machine)
    first = (time.process_time() - began) / budget.seconds
    best, kept, looks = None, {}, []
    for number in range(1, budget.looks + 1):
        _play(game, until, first + (1 - first) * number / budget.looks, records)
        look = look_at(game, method.model, validation)
        looks.append(look)
        if look.beats(best):
            best, kept = look, _weights(game, method.model)
        if until(1.0):
            break
    model.load_state_dict(kept)
    told |= {"steps": game.step, "looks": [look._asdict() for look in looks], "records": records}
    told |= {"best": best._asdict() if best else None, "parameters": count_parameters(model)}
    told |= {"precision": machine.precision, "seconds": time.process_time() - began}
    return model, told


def _load_libraries() -> None:
    """Import what takes seconds, once and before the clock runs: else the first method would pay for all."""
    from importlib import import_module

    for name in (
        "monai.losses.focal_loss",
        "monai.networks.nets.densenet",
        "lightning_fabric",
        "sklearn.cluster",
    ):
        import_module(name)


def _weights(game: Any, name: str) -> dict[str, Any]:
    with game.averaged() if game.ema is not None else nullcontext():
        return {key: value.detach().clone() for key, value in game.modules[name].state_dict().items()}


def _play(game: Any, until: Callable[[float], bool], share: float, records: dict[str, Any]) -> None:
    """Some steps at a time until that share of the time is used up, and one chunk at least."""
    from glasslung.train.loop import fit

    def keep(record: dict[str, Any]) -> None:
        records[record["player"]] = record

    while True:
        fit(game, range(game.step, game.step + CHUNK), keep)
        if until(share):
            return


def _clock(seconds: float, began: float, progress: Progress | None) -> Callable[[float], bool]:
    """until(share) -> whether that share of the time is used up; tells on the way."""

    def until(share: float) -> bool:
        spent = (time.process_time() - began) / seconds
        if progress:
            progress("training", min(1.0, spent))
        return spent >= share

    return until


# ------------------------------------------------------------------------------------------------- answers


def write_said(exams: ExamSet, log_odds: np.ndarray, path: Path) -> None:
    """What a method said of scans, as .npz."""
    with whole_file(path) as file:
        np.savez_compressed(
            file,
            allow_pickle=False,
            scans=np.array(exams.scans),
            split=np.array(exams.split),
            label=exams.label,
            log_odds=log_odds,
        )


def read_said(path: Path) -> Said:
    """What `write_said` wrote; DataError where it is damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            scans, split = (tuple(str(one) for one in kept[name]) for name in ("scans", "split"))
            return Said(scans, split, kept["label"], kept["log_odds"])
    except (OSError, ValueError, KeyError) as problem:
        raise DataError(
            f"{path} is damaged or missing ({problem}); delete its .json, and run again"
        ) from problem


def best_of(told: Mapping[str, Any]) -> Look | None:
    """The look whose weights were asked, from a job's manifest."""
    return Look(**told["best"]) if told.get("best") else None
