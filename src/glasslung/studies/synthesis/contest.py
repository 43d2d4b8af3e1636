"""The contest of the models that make lungs: the same pictures, the same processor time, the same watchdog.

contestants   the paper's DCGAN as released and put right, WGAN-GP, VEEGAN, the small-data recipe and
              what it is without each of its parts
Budget        what every one gets
train_one     one of them, trained until its time is up, looked at all the way
write_answer  its pictures and its curves in one file
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from glasslung.data.batches import GroupBalancedBatches, mirror
from glasslung.data.slices import SliceSet
from glasslung.errors import TrainingError, UsageError
from glasslung.files import whole_file
from glasslung.models import build, dcgan, entry_for, slicenet
from glasslung.nn.making import sample_pictures
from glasslung.train.game import Game
from glasslung.train.looks import reference_of
from glasslung.train.loop import fit
from glasslung.train.watchdog import Watchdog, WatchSettings
from glasslung.types import Progress

AS_RELEASED, PUT_RIGHT, RECIPE = "DCGAN as released", "DCGAN", "LeanGAN"
SAMPLE_SEED = 77  # of the codes that are judged; those that are looked at have another
CURVES = ("total", "right_real", "right_made", "gradient_norm")
BATCH_STREAM = 2
READER_BATCH = 16


@dataclass(frozen=True)
class Method:
    """One contestant: a model by name, its settings, whether averaged weights are kept."""

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    ema: float | None = None
    halves: bool = False
    """It shares a batch between real and made pictures, and is given twice as large ones to see as many."""


@dataclass(frozen=True)
class Budget:
    """What every contestant gets."""

    seconds: float = 150.0  # of process time on one core; steps differ, and are told
    size: int = 64  # side of the pictures; the paper's 128 takes four times as long
    width: int = 16  # channels at half size; the paper's 64 takes ten times as long
    batch: int = 16  # real pictures, and as many made ones; the paper's is 25 and 25
    samples: int = 256  # made pictures that are judged
    look_every: int = 50  # steps between the watchdog's looks
    reader_steps: int = 400  # of the network whose features see flaws

    def __post_init__(self) -> None:
        if self.seconds <= 0 or min(self.batch, self.look_every, self.reader_steps) < 1 or self.samples < 16:
            raise UsageError("seconds must be above 0, batch, look_every, reader_steps 1, samples 16 or more")


def contestants(width: int) -> dict[str, Method]:
    """Everyone, as wide at half size; the first two differ in nothing but the paper's switches."""
    small = {"width": width}
    bare = {"width": width // 2}  # LeanGAN counts its channels at full size
    lean = bare | {"augment": 0.8}
    return {
        AS_RELEASED: Method("dcgan", small | dcgan.literal(), halves=True),
        PUT_RIGHT: Method("dcgan", small, halves=True),
        "DCGAN 2:1": Method("dcgan", small | {"generator_turns": 2}, halves=True),
        "WGAN-GP": Method("wgangp", small),
        "VEEGAN": Method("veegan", small),
        RECIPE: Method("leangan", lean, 0.99),
        "LeanGAN, nothing distorted": Method("leangan", bare | {"augment": 0.0}, 0.99),
        "LeanGAN, spectral norm for R1": Method("leangan", lean | {"spectral": True, "r1": 0.0}, 0.99),
        "LeanGAN, ADA": Method("leangan", lean | {"augment": 0.0, "adaptive": True}, 0.99),
    }


@dataclass(frozen=True, eq=False)
class Trained:
    """One contestant after its time.

    codes (N, Z), made (N, S, S) float32; steps made; looks: the watchdog's lines; curves: per logged step and
    player the terms named in CURVES; alarms: [step, sign, fact, remedy] as they came; ended: '' or why early
    """

    model: nn.Module
    codes: np.ndarray
    made: np.ndarray
    steps: int
    looks: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    alarms: list[list[Any]]
    ended: str


def train_one(
    method: Method,
    train: SliceSet,
    held_out: SliceSet,
    budget: Budget,
    seed: int,
    progress: Progress | None = None,
) -> Trained:
    """Train one contestant until its time is up; a loss that is not finite ends it there, and is told."""
    model = build(method.model, seed, **({"size": budget.size} | dict(method.settings)))
    rng = np.random.default_rng([seed, BATCH_STREAM])
    stream = GroupBalancedBatches(train, budget.batch * (2 if method.halves else 1), rng, (0,), mirror)
    game = Game({method.model: model}, entry_for(method.model).players(model), stream, seed, ema=method.ema)
    watch = WatchSettings(every=budget.look_every)
    averaged = game.averaged if method.ema else None
    dog = Watchdog(model, reference_of(train, held_out, watch.pictures), watch, averaged=averaged)
    curves: list[dict[str, Any]] = []
    alarms: list[list[Any]] = []
    ended = _until_time_is_up(game, dog, budget, curves, alarms, progress)
    alarms += [[game.step, one.sign, one.fact, one.remedy] for one in dog.conclude()]
    with game.averaged() if method.ema else nullcontext():
        codes, _, made = sample_pictures(model, budget.samples, SAMPLE_SEED)
        state = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    looks = [{**look.record(), "signs": signs} for look, signs in zip(dog.looks, dog.shown, strict=True)]
    return Trained(model, codes, made, game.step, looks, curves, alarms, ended)


def _until_time_is_up(
    game: Game,
    dog: Watchdog,
    budget: Budget,
    curves: list[dict[str, Any]],
    alarms: list[list[Any]],
    progress: Progress | None,
) -> str:
    """Stretches of steps with a look after each; the looks' own time does not count."""
    used = 0.0
    while used < budget.seconds:
        start, records = time.process_time(), []  # type: ignore[var-annotated]
        try:
            fit(game, range(game.step, game.step + budget.look_every), records.append, 10)
        except TrainingError as problem:
            return str(problem)
        used += time.process_time() - start
        curves += [_plain(record) for record in records]
        alarms += [[game.step, one.sign, one.fact, one.remedy] for one in dog.look(game.step, records)]
        if progress:
            progress(f"step {game.step}", min(1.0, used / budget.seconds))
    return ""


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: round(float(record[name]), 5) for name in CURVES if name in record}
    return {"step": record["step"], "player": record["player"], **kept}


def write_answer(found: Trained, path: Path) -> None:
    """Codes and made pictures, whole grey values, as .npz."""
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, codes=found.codes, made=np.rint(found.made * 255).astype(np.uint8))


def read_made(path: Path) -> np.ndarray:
    """The pictures of `write_answer`, (N, S, S) float32 in [0, 1]."""
    with np.load(path, allow_pickle=False) as found:
        made: np.ndarray = found["made"].astype(np.float32) / 255
    return made


def train_reader(
    train: SliceSet, steps: int, progress: Progress | None = None
) -> tuple[nn.Module, Callable[[np.ndarray], np.ndarray]]:
    """The network whose features the distances are taken on: it tells real slices from flawed ones.

    It sees the training part alone, so held-out pictures are as new to it as made ones.
    """
    net = build("slicenet", 0, groups=1)
    stream = GroupBalancedBatches(train, READER_BATCH, np.random.default_rng(0), (0,), mirror)
    game = Game({"slicenet": net}, entry_for("slicenet").players(net), stream, 0)
    for start in range(0, steps, 50):
        fit(game, range(start, min(steps, start + 50)))
        if progress:
            progress("a reader of pictures", min(1.0, (start + 50) / steps))
    return net, slicenet.reader(net)  # type: ignore[arg-type]
