"""U-SVAE and CAGE, told in order: a lung carried through the ages of COVID-19, and the tourist crisis.

On the phantom everyone's other days are known, so a forecast can be wrong. Every method is trained on the
same cross-section for as long, then asked three things: to make lungs of an age, to carry seen lungs to the
other ages, to show again what it saw. Beside them stand two forecasts that know nothing: no change, and the
mean change from one group to the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.errors import UsageError
from glasslung.studies.agingworld import AGES, World
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

OPAQUE_GREY = 0.5  # on the lung window (-1350 to 150 HU): -600 HU, denser than lung, lighter than a vessel
SLIM = {"net": "slim", "lr": 2e-3, "kl_warm_up": 500, "kl_final": 0.2}  # what learns lesions within minutes
LUNG_GREY = 0.05  # above it a pixel counts as lung; outside it is 0


@dataclass(frozen=True)
class Method:
    """One contestant: a model by name, its settings, and the groups it is trained on."""

    model: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[int, ...] = (0, 1, 2, 3)


def contestants() -> dict[str, Method]:
    """CAGE for each age alone, for all (as released, and corrected), each remedy, and the flow."""
    from glasslung.models import cage

    alone = {f"CAGE-T{j}": Method("cage", {**SLIM, "single_age": j}, (j,)) for j in range(AGES)}
    whole = {f"CAGE-ALL {name}": Method("cage", {**SLIM, **cage.VARIANTS[name]}) for name in ("A0", "A3")}
    cured = {name: Method("cage", {**SLIM, **settings}) for name, settings in cage.REMEDIES.items()}
    flows = {
        "R4": Method("ageflow", {"pairing": "independent"}),
        "R4+R5": Method("ageflow", {"pairing": "transport"}),
    }
    return alone | whole | cured | flows


@dataclass(frozen=True)
class Budget:
    """What every method gets."""

    seconds: float = 240.0  # of process time on one core; steps differ, and are told
    slices: int = 16  # in a batch, all groups together
    reading: float = 0.7  # share of the time that a two-stage method spends on its first stage
    ageing: int = 4  # times as many slices in a batch of the second stage: transport needs a cloud to pair
    ema: float | None = 0.995  # averaged weights: short runs end noisy
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one trained method did.

    made      {age: (N, S, S)} lungs that nobody has, drawn at that age
    shown     {age: (M, S, S)} the true slices of that age as the method sees them
    carried   {(seen, wanted): (draws, M, S, S)} the true slices of age `seen`, carried on
    steps, seconds  of training, by player
    log       the last record of each player
    """

    made: dict[int, np.ndarray]
    shown: dict[int, np.ndarray]
    carried: dict[tuple[int, int], np.ndarray]
    steps: dict[str, int]
    seconds: float
    log: dict[str, dict[str, Any]]


def crisis_on_phantom(
    world: World,
    methods: Mapping[str, Method],
    budget: Budget = Budget(),
    samples: int = 64,
    draws: int = 4,
    progress: Progress | None = None,
) -> dict[str, Outcome]:
    """Train every method on the same cross-section for as long, and ask all of them the same."""
    found = {}
    for row, (name, method) in enumerate(methods.items()):
        tell = _part_of(progress, name, row, len(methods))
        model, steps, seconds, log = train(method, world.training, budget, tell)
        made, shown, carried = ask(model, method, world, samples, draws, budget.seed)
        found[name] = Outcome(made, shown, carried, steps, seconds, log)
    return found


def _part_of(progress: Progress | None, name: str, row: int, rows: int) -> Progress | None:
    if progress is None:
        return None
    return lambda text, share: progress(f"{name}: {text}", (row + (share or 0.0)) / rows)


# ------------------------------------------------------------------------------------------- training


def train(
    method: Method, slices: SliceSet, budget: Budget, progress: Progress | None = None
) -> tuple[nn.Module, dict[str, int], float, dict[str, dict[str, Any]]]:
    """One method, trained until its time is up: model, steps and last record of each player, seconds."""
    from glasslung.data.batches import GroupBalancedBatches, mirror
    from glasslung.models import build, entry_for
    from glasslung.train.game import Game

    if budget.slices % len(method.groups):
        raise UsageError(f"{budget.slices} slices cannot be shared by {len(method.groups)} groups")
    model = build(method.model, budget.seed, **method.settings)
    players = entry_for(method.model).players(model)
    stages = [[player] for player in players] if method.model == "ageflow" else [players]
    shares = [budget.reading, 1 - budget.reading] if len(stages) == 2 else [1.0]
    steps: dict[str, int] = {}
    log: dict[str, dict[str, Any]] = {}
    spent = 0.0
    for number, (stage, share) in enumerate(zip(stages, shares, strict=True)):
        rng = np.random.default_rng([budget.seed, number])
        each = budget.slices // len(method.groups) * (budget.ageing if number else 1)
        batches = GroupBalancedBatches(slices, each, rng, method.groups, mirror)
        game = Game({method.model: model}, stage, batches, budget.seed, ema=budget.ema)
        seconds = _play(game, share * budget.seconds, log, progress)
        spent += seconds
        steps |= {player.name: game.step for player in stage}
        _keep_averages(game)
    return model, steps, spent, log


def _play(
    game: Any, seconds: float, log: dict[str, dict[str, Any]], progress: Progress | None, chunk: int = 10
) -> float:
    """Go on, ten steps at a time, until the process time is used up; the process time that it took."""
    from glasslung.train.loop import fit

    start = time.process_time()
    while (spent := time.process_time() - start) < seconds:
        fit(game, range(game.step, game.step + chunk), lambda record: log.update({record["player"]: record}))
        if progress:
            progress(f"step {game.step}", min(1.0, spent / seconds))
    return spent


def _keep_averages(game: Any) -> None:
    """Leave the averaged weights in the networks, where there are any."""
    import torch

    with torch.no_grad():
        for name, weight in game.weights().items():
            if game.ema is not None:
                weight.copy_(game.averages[name])


# -------------------------------------------------------------------------------------------- asking


def ask(
    model: nn.Module, method: Method, world: World, samples: int, draws: int, seed: int
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray], dict[tuple[int, int], np.ndarray]]:
    """Lungs made at every age, true slices shown again, and carried from every age to every other."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    voice = VOICES[method.model](model, rng)
    truth = world.truth
    ages = method.groups
    made = {age: voice.make(samples, age) for age in ages}
    shown, carried = {}, {}
    for seen in ages:
        shown[seen] = voice.show(truth.images[seen], seen, truth.days(seen))
        for wanted in ages:
            if wanted != seen:
                many = [
                    voice.carry(truth.images[seen], seen, truth.days(seen), wanted, truth.days(wanted))
                    for _ in range(draws)
                ]
                carried[seen, wanted] = np.stack(many)
    return made, shown, carried


@dataclass(frozen=True, eq=False)
class CageVoice:
    """How a CAGE is asked."""

    model: Any
    rng: Any

    def make(self, count: int, age: int) -> np.ndarray:
        """Pictures drawn from the prior at one age, (count, S, S)."""
        course = self.model.imagine(count, self.rng)
        return _picture(self.model, lambda: self.model.render(course, age))

    def show(self, images: np.ndarray, age: int, days: np.ndarray) -> np.ndarray:
        """Pictures as the model sees them at their own age."""
        return self.carry(images, age, days, age, days)

    def carry(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        """Pictures at another age: one draw."""
        image, group = _tensor(images), _full(len(images), seen)
        return _picture(self.model, lambda: self.model.carry(image, group, wanted, self.rng))


@dataclass(frozen=True, eq=False)
class FlowVoice:
    """How an AgeFlow is asked."""

    model: Any
    rng: Any

    def make(self, count: int, age: int) -> np.ndarray:
        """Pictures drawn from the law of one age, on days spread over the group's."""
        import torch

        from glasslung.models.ageflow import condition_of
        from glasslung.studies.agingworld import GROUP_DAYS

        days = torch.full((count,), float("nan"))
        if age:
            first, last = GROUP_DAYS[age - 1]
            days = torch.randint(first, last + 1, (count,), generator=self.rng).float()
        condition = condition_of(_full(count, age), days)
        return _picture(self.model, lambda: self.model.imagine(condition, self.rng))

    def show(self, images: np.ndarray, age: int, days: np.ndarray) -> np.ndarray:
        """Pictures as the auto-encoder sees them."""
        return _picture(self.model, lambda: self.model.reconstruct(_tensor(images), self.rng))

    def carry(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        """Pictures at another age: one draw of how the slice is read."""
        import torch

        from glasslung.models.ageflow import condition_of

        here = condition_of(_full(len(images), seen), torch.from_numpy(days))
        there = condition_of(_full(len(images), wanted), torch.from_numpy(then))
        return _picture(
            self.model, lambda: self.model.carry(_tensor(images), here, there, self.rng, temperature=1.0)
        )


VOICES: dict[str, Callable[[Any, Any], Any]] = {"cage": CageVoice, "ageflow": FlowVoice}


def _tensor(images: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(images, np.float32)[:, None])


def _full(count: int, group: int) -> Any:
    import torch

    return torch.full((count,), group, dtype=torch.int64)


def _picture(model: Any, pixels: Callable[[], Any]) -> np.ndarray:
    """The mean of every pixel, (N, S, S) float32, without gradients, in evaluation mode."""
    from glasslung.nn.borrow import evaluating

    with evaluating(model):
        picture: np.ndarray = pixels().mean()[:, 0].numpy().astype(np.float32)
    return picture


# ----------------------------------------------------------------------------- forecasts that know nothing


def no_change(images: np.ndarray) -> np.ndarray:
    """The slice as it was seen, (M, S, S)."""
    return images


def group_mean_change(images: np.ndarray, training: SliceSet, seen: int, wanted: int) -> np.ndarray:
    """The slice plus what the mean slice of one group has more than that of the other, in the lungs.

    images (M, S, S) in [0, 1]. The means are those of lung pixels of each place, so that the difference is
    one of density, not of how often there is lung; where a group never has lung, it is the mean over all.
    """
    change = _lung_mean(training.of_group(wanted).images) - _lung_mean(training.of_group(seen).images)
    return np.where(images > LUNG_GREY, np.clip(images + change, 0, 1), images)


def _lung_mean(images: np.ndarray) -> np.ndarray:
    lung = images > LUNG_GREY
    count = lung.sum(0)
    return np.where(count > 0, (images * lung).sum(0) / np.maximum(count, 1), images[lung].mean())


# ------------------------------------------------------------------------------------- how wrong were they


def picture_error(forecast: np.ndarray, true: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Root mean square error over the true lungs, grey scale 0 to 1; all (M, S, S) -> (M,)."""
    square = np.where(lungs, np.square(forecast.astype(np.float64) - true), 0).sum((1, 2))
    return np.sqrt(square / lungs.sum((1, 2)))


def opaque_share(images: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Share of the lungs denser than `OPAQUE_GREY`, (M,): lesions, and the vessels that are always there."""
    return ((images > OPAQUE_GREY) & lungs).sum((1, 2)) / lungs.sum((1, 2))


def add_change(images: np.ndarray, shown: np.ndarray, carried: np.ndarray) -> np.ndarray:
    """The slice as it was seen plus what the method thinks will change: (M, S, S), in the lungs.

    What an auto-encoder cannot show (fine vessels) stays as it was seen, and counts neither for nor against
    the forecast.
    """
    return np.where(images > LUNG_GREY, np.clip(images + carried - shown, 0, 1), images)


def forecasts(
    outcome: Outcome, world: World, pairs: tuple[tuple[int, int], ...] | None = None
) -> dict[tuple[int, int], dict[str, np.ndarray]]:
    """Errors of each (seen, wanted) forecast beside the two naive ones, one number per person.

    picture_* root mean square error in the lungs; opaque_* absolute error of the opaque share; for 'method'
    (mean of its draws), 'change' (the same by `add_change`), 'same' (no change), 'group' (group mean change).
    """
    truth, found = world.truth, {}
    for seen, wanted in pairs or tuple(outcome.carried):
        image, lungs, before = truth.images[wanted], truth.lungs[wanted], truth.images[seen]
        guesses = {
            "method": (carried := outcome.carried[seen, wanted].mean(0)),
            "change": add_change(before, outcome.shown[seen], carried),
            "same": no_change(before),
            "group": group_mean_change(before, world.training, seen, wanted),
        }
        real = opaque_share(image, lungs)
        found[seen, wanted] = {
            f"picture_{name}": picture_error(guess, image, lungs) for name, guess in guesses.items()
        } | {f"opaque_{name}": np.abs(opaque_share(guess, lungs) - real) for name, guess in guesses.items()}
    return found
