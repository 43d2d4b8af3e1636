"""The contest of the remedies: every method is trained on the same slices for as long, and asked the same.

    contestants   CAGE of one age each, CAGE of all as released and corrected, each remedy
    Budget        what every method gets
    compete       one method trained and asked: an `Outcome`, which a file can hold

What the answers are worth, `crisis` measures.
"""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.files import whole_file
from glasslung.studies.progression.agingworld import AGES, Truth
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

    from glasslung.forecast.voices import Voice

SLIM = {"net": "slim", "lr": 2e-3, "kl_warm_up": 500, "kl_final": 0.2}  # what learns lesions within minutes


class Stage(NamedTuple):
    """Players that train together, for a share of the time, on slices of some groups (all the method's)."""

    players: tuple[str, ...]
    share: float
    groups: tuple[int, ...] | None = None


STAGES: dict[str, tuple[Stage, ...]] = {
    "ageflow": (Stage(("reader",), 0.6), Stage(("ager",), 0.4)),
    "agetransport": (Stage(("dreamer",), 0.25, (0,)), Stage(("critic", "mover"), 0.75)),  # critic only if on
}
WHITE = 255.0
KEPT = ("made", "shown", "carried", "expected", "latents", "prior")
DAMAGE = (  # what a damaged .npz makes numpy, zipfile and zlib raise; RuntimeError where it seems encrypted
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Method:
    """One contestant: a model by name, its settings, and the groups it is trained on."""

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[int, ...] = (0, 1, 2, 3)


def contestants() -> dict[str, Method]:
    """CAGE for each age alone, for all (as released, and corrected), each remedy, flow and transport."""
    from glasslung.models import cage

    alone = {f"CAGE-T{j}": Method("cage", {**SLIM, "single_age": j}, (j,)) for j in range(AGES)}
    whole = {f"CAGE-ALL {name}": Method("cage", {**SLIM, **cage.VARIANTS[name]}) for name in ("A0", "A3")}
    cured = {name: Method("cage", {**SLIM, **settings}) for name, settings in cage.REMEDIES.items()}
    others = {
        "R4": Method("ageflow", {"pairing": "independent"}),
        "R4+R5": Method("ageflow", {"pairing": "transport"}),
        "R6": Method("agetransport"),
    }
    return alone | whole | cured | others


@dataclass(frozen=True)
class Budget:
    """What every method gets."""

    seconds: float = 120.0  # of process time on one core; steps differ, and are told
    slices: int = 16  # in a batch, all groups together
    cloud: int = 4  # times as many slices in a flow's second stage: transport needs a cloud to pair
    ema: float | None = 0.995  # averaged weights: short runs end noisy
    samples: int = 128  # lungs made of each age
    draws: int = 4  # times each unseen slice is carried to each other age
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Unseen:
    """Slices that no method was trained on, by age; on the phantom the same people at every age.

    images   {age: (M, S, S)} float32 in [0, 1]
    days     {age: (M,)} NaN where unknown
    patients {age: (M,)} names or numbers
    """

    images: dict[int, np.ndarray]
    days: dict[int, np.ndarray]
    patients: dict[int, np.ndarray]

    @classmethod
    def of_slices(cls, slices: SliceSet) -> Unseen:
        """The slices of each group that is there."""
        parts = {age: slices.of_group(age) for age in sorted(set(slices.group.tolist()))}
        return cls(
            {age: part.images for age, part in parts.items()},
            {age: part.day for age, part in parts.items()},
            {age: part.patient for age, part in parts.items()},
        )

    @classmethod
    def of_truth(cls, truth: Truth) -> Unseen:
        """The people whose whole course is known."""
        people = np.arange(truth.people)
        ages = range(AGES)
        return cls(
            {a: truth.images[a] for a in ages}, {a: truth.days(a) for a in ages}, dict.fromkeys(ages, people)
        )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one trained method did.

    made      {age: (N, S, S)} lungs that nobody has, drawn at that age
    shown     {age: (M, S, S)} the unseen slices of that age as the method sees them
    carried   {(seen, wanted): (draws, M, S, S)} the unseen slices of age `seen`, carried on
    expected  {(seen, wanted): (M, S, S)} the likely picture, where a method has one; else the draws' mean
    latents   {(seen, wanted): (M, D)} what the decoder was given for them; empty where there are none
    prior     {age: (N, D)} the same drawn from the prior
    about     method, budget, steps by player, seconds, last record of each player
    """

    made: dict[int, np.ndarray]
    shown: dict[int, np.ndarray]
    carried: dict[tuple[int, int], np.ndarray]
    latents: dict[tuple[int, int], np.ndarray]
    prior: dict[int, np.ndarray]
    about: dict[str, Any]
    expected: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)

    def likely(self, seen: int, wanted: int) -> np.ndarray:
        """The picture to forecast with, (M, S, S)."""
        found: np.ndarray = (
            self.expected[seen, wanted]
            if (seen, wanted) in self.expected
            else self.carried[seen, wanted].mean(0)
        )
        return found


def compete(
    method: Method, training: SliceSet, unseen: Unseen, budget: Budget, progress: Progress | None = None
) -> tuple[nn.Module, Outcome]:
    """Train one method until its time is up, and ask it everything."""
    from glasslung.forecast.voices import voice_of

    model, about = train(method, training, budget, progress)
    voice = voice_of(method.model, model, budget.seed)
    return model, ask(voice, unseen, budget, about)


# ------------------------------------------------------------------------------------------- training


def train(
    method: Method, slices: SliceSet, budget: Budget, progress: Progress | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """One method, trained until its time is up: the model, and what is to be told of its training."""
    from glasslung.data.batches import GroupBalancedBatches, mirror
    from glasslung.models import build, entry_for
    from glasslung.train.game import Game

    if budget.slices % len(method.groups):
        raise UsageError(f"{budget.slices} slices cannot be shared by {len(method.groups)} groups")
    model = build(method.model, budget.seed, **method.settings)
    players = {player.name: player for player in entry_for(method.model).players(model)}
    stages = STAGES.get(method.model, (Stage(tuple(players), 1.0),))
    about: dict[str, Any] = {"steps": {}, "records": {}, "seconds": 0.0}
    done = 0.0
    for number, (names, share, only) in enumerate(stages):
        groups = only or method.groups
        cloud = budget.cloud if number and method.model == "ageflow" else 1
        each = budget.slices // len(groups) * cloud
        rng = np.random.default_rng([budget.seed, number])
        stream = GroupBalancedBatches(slices, each, rng, groups, mirror)
        stage = [players[name] for name in names if name in players]
        game = Game({method.model: model}, stage, stream, budget.seed, ema=budget.ema)
        tell = _stage_of(progress, number, len(stages), done, share)
        about["seconds"] += _play(game, share * budget.seconds, about["records"], tell)
        done += share
        about["steps"] |= dict.fromkeys((player.name for player in stage), game.step)
        _keep_averages(game)
    told = {"model": method.model, "settings": dict(method.settings), "groups": list(method.groups)}
    return model, about | {"method": told, "budget": asdict(budget)}


def _stage_of(
    progress: Progress | None, number: int, count: int, done: float, share: float
) -> Progress | None:
    """Progress of one stage, as part of the whole training: it never steps back from stage to stage."""
    if progress is None:
        return None
    place = f"stage {number + 1} of {count}, " if count > 1 else ""
    return lambda words, part: progress(place + words, min(1.0, done + share * part))


def _play(
    game: Any, seconds: float, records: dict[str, Any], progress: Progress | None, chunk: int = 10
) -> float:
    """Go on, ten steps at a time, until the process time is used up; the process time that it took."""
    from glasslung.train.loop import fit

    def keep(record: dict[str, Any]) -> None:
        records[record["player"]] = record

    start = time.process_time()
    while (spent := time.process_time() - start) < seconds:
        fit(game, range(game.step, game.step + chunk), keep)
        if progress:
            progress(f"step {game.step}", min(1.0, spent / seconds))
    return spent


def _keep_averages(game: Any) -> None:
    """Leave the averaged weights in the networks, where there are any."""
    import torch

    if game.ema is None:
        return
    with torch.no_grad():
        for name, weight in game.weights().items():
            weight.copy_(game.averages[name])


# -------------------------------------------------------------------------------------------- asking


def ask(voice: Voice, unseen: Unseen, budget: Budget, about: dict[str, Any]) -> Outcome:
    """Lungs made at every age, unseen slices shown again, and carried from every age to every other."""
    made = {age: voice.make(budget.samples, age) for age in voice.ages}
    shown, carried, latents, expected = {}, {}, {}, {}
    prior = {
        age: rows for age in voice.ages if (rows := voice.prior_latents(budget.samples, age)) is not None
    }
    for seen in (age for age in voice.ages if age in unseen.images):
        images, days = unseen.images[seen], unseen.days[seen]
        shown[seen] = voice.show(images, seen, days)
        for wanted in voice.ages:
            if (rows := voice.latents(images, seen, days, wanted)) is not None:
                latents[seen, wanted] = rows
            if wanted != seen:
                then = days_at(unseen, wanted, len(images))
                many = [voice.carry(images, seen, days, wanted, then) for _ in range(budget.draws)]
                carried[seen, wanted] = np.stack(many)
                if (likely := voice.expect(images, seen, days, wanted, then)) is not None:
                    expected[seen, wanted] = likely
    return Outcome(made, shown, carried, latents, prior, about, expected)


def days_at(unseen: Unseen, age: int, count: int) -> np.ndarray:
    """Days on which `count` slices are wanted at another age: those seen at that age, in turn."""
    there = unseen.days.get(age, np.full(1, np.nan, np.float32))
    return np.resize(there, count).astype(np.float32)


# ------------------------------------------------------------------------------------------- keeping


def write_outcome(outcome: Outcome, path: Path) -> None:
    """An outcome as one .npz: pictures in whole grey values, latents in float32, what is told as JSON."""
    import json

    arrays: dict[str, np.ndarray] = {"about": np.array(json.dumps(outcome.about))}
    for name in ("made", "shown", "carried", "expected"):
        for key, pictures in getattr(outcome, name).items():
            arrays[_key(name, key)] = np.rint(np.clip(pictures, 0, 1) * WHITE).astype(np.uint8)
    for name in ("latents", "prior"):
        for key, rows in getattr(outcome, name).items():
            arrays[_key(name, key)] = rows.astype(np.float32)
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_outcome(path: Path) -> Outcome:
    """What `write_outcome` wrote; DataError when the file is missing or damaged."""
    import json

    found: dict[str, Any] = {name: {} for name in KEPT}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            for whole in set(arrays.files) - {"about"}:
                name, *ages = whole.split("_")
                key = tuple(map(int, ages)) if len(ages) == 2 else int(ages[0])
                rows = arrays[whole]
                found[name][key] = rows.astype(np.float32) / WHITE if rows.dtype == np.uint8 else rows
    except DAMAGE as problem:
        raise DataError(
            f"{path} is no outcome of a contest ({problem}); delete it to make it again"
        ) from problem
    return Outcome(**found, about=about)


def _key(name: str, key: int | tuple[int, int]) -> str:
    return "_".join([name, *map(str, key if isinstance(key, tuple) else (key,))])
