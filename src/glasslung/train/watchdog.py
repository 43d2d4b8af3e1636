"""A watchdog for generative runs: it names what goes wrong while the run goes on, says what helps, and acts.

    sign                     how it is seen                                           remedy
    black training pictures  the networks are fed black, whatever the files hold      scale them right
    black                    made pictures are far darker than real ones              both slower
    not begun                made pictures never had contrast, or never differed      as for collapse
    constant                 made pictures had contrast and have lost it              both slower
    collapse                 made pictures differed and are alike, or cover ever      generator slower, and
                             fewer real ones                                          distortion
    saturated                the discriminator is right, and sure, on both sides      it slower, distortion
    vanished                 the generator's gradient is a thousandth of what it was  discriminator slower
    memorising               held-out real pictures look made to the discriminator    it slower, distortion

    action     'tell' writes it down; 'stop' ends the run there; 'remedy' pulls the reins and goes on;
               'roll back' returns to the last checkpoint without a sign first

Made pictures are looked at twice where weights are averaged: as the weights in training make them, and as the
average does, which is what is kept. Either shows a sign. Every generator begins with pictures that are alike
and grey: 'not begun' counts when `settle` looks in a row show it, and at the end of the run at once.

Every look is a line of `watchdog.jsonl` in the run's folder. The reins are part of the model, so a checkpoint
holds what was pulled, and a run that was stopped goes on to the same bits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from glasslung.errors import DataError, TrainingError, UsageError
from glasslung.files import write_whole
from glasslung.nn.making import maker_of
from glasslung.nn.reins import Reins
from glasslung.train.looks import TRAINING, Averaged, Look, Reference, View, take_look

ACTIONS = ("tell", "stop", "remedy", "roll back")
LOG = "watchdog.jsonl"
ROLLED = "rolled_back_to"
ENDED = "ended"
LEAST_RECALL = 0.2  # below, there is no recall to lose


@dataclass(frozen=True)
class WatchSettings:
    """When a watchdog looks, what makes it bark, and what it may do."""

    every: int = 100  # steps between looks: some per cent of a run's time
    pictures: int = 64  # made at each look, and real ones of each kind beside them
    action: str = "tell"
    settle: int = 6  # looks by which made pictures must have contrast and differ: at first they never do
    patience: int = 2  # looks in a row that show a sign before it counts
    black: float = 0.15  # of the real pictures' brightness, below which made ones are black
    constant: float = 0.15  # of the real pictures' contrast
    sure: float = 4.0  # score on either side: a chance of 98 per cent
    right: float = 0.98  # accuracy on both sides
    vanished: float = 1e-3  # of the gradient's length in the first looks
    alike: float = 0.25  # of the distance of two real pictures
    recall_lost: float = 0.25  # of the best recall so far
    memorised: float = 0.5  # of the way from training to made scores that held-out pictures have gone
    most_pulls: int = 6  # remedies and roll-backs in one run; then it stops: the settings are at fault

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UsageError(f"action {self.action!r} is unknown; choose one of {', '.join(ACTIONS)}")
        if min(self.every, self.patience, self.most_pulls) < 1 or self.settle < 0 or self.pictures < 8:
            raise UsageError("every, patience and most_pulls must be 1 or more, settle 0, pictures 8")


@dataclass(frozen=True)
class Alarm:
    """One sign: its name, what is seen, and what helps."""

    sign: str
    fact: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.sign}: {self.fact}; {self.remedy}"


REMEDIES = {
    "black training pictures": "scale pictures to -1 to 1 by their own depth (literal_scaling false)",
    "black": "go back to a checkpoint before it and lower both learning rates",
    "not begun": "train on if it has only just started; else distort what the discriminator sees, let it see "
    "the batch's spread, or change the learning rates",
    "constant": "go back to a checkpoint before it and lower both learning rates",
    "saturated": "lower the discriminator's learning rate, distort what it sees, or hold its slope down (R1)",
    "vanished": "lower the discriminator's learning rate, or take a loss that does not saturate",
    "collapse": "distort what the discriminator sees, let it see the batch's spread, or lower the "
    "generator's rate",
    "memorising": "distort what the discriminator sees (augment), or give it more pictures",
}


def pull(reins: Reins, sign: str) -> bool:
    """Do automatically what helps against a sign; False where nothing does but other settings."""
    if sign in ("black", "constant"):
        reins.slow(0.5, 0.5)
    elif sign == "vanished":
        reins.slow(1.0, 0.5)
    elif sign in ("saturated", "memorising"):
        reins.slow(1.0, 0.7)
        reins.distort_more(0.2)
    elif sign in ("collapse", "not begun"):
        reins.slow(0.7, 1.0)
        reins.distort_more(0.2)
    else:
        return False
    reins.count()
    return True


# ------------------------------------------------------------------------------------------------ signs


def signs_of(look: Look, before: list[Look], limits: WatchSettings, chance: bool = True) -> list[str]:
    """The signs that one look shows by itself, given the looks before it.

    chance  whether scores are log-odds; those of a Wasserstein critic are not, and are never 'sure'
    """
    shown = set()
    for name in look.views:
        shown |= view_signs(name, look, before, limits)
    if look.fed < limits.black * look.real_bright:
        shown.add("black training pictures")
    if chance and look.right >= limits.right and min(look.on_real, -look.on_made) >= limits.sure:
        shown.add("saturated")
    first = [one.gradient for one in before[: max(1, limits.settle)] if math.isfinite(one.gradient)]
    if first and look.gradient < limits.vanished * sorted(first)[len(first) // 2]:
        shown.add("vanished")
    if _memorised(look) > limits.memorised:
        shown.add("memorising")
    return [sign for sign in REMEDIES if sign in shown]


def view_signs(name: str, look: Look, before: list[Look], limits: WatchSettings) -> set[str]:
    """The signs that pictures made by one kind of weights show, `name` of `Look.views`."""
    view, earlier = look.views[name], [one for one in before if name in one.views]
    grey = view.contrast < limits.constant * look.real_contrast
    alike = view.apart < limits.alike * look.real_apart
    found = {"black"} if view.bright < limits.black * look.real_bright else set()
    if not any(_begun(one, name, limits) for one in earlier):
        return found | ({"not begun"} if grey or alike else set())
    best = max(one.views[name].recall for one in earlier)
    lost = best >= LEAST_RECALL and view.recall < limits.recall_lost * best
    if grey:
        found.add("constant")
    if alike or (lost and len(before) >= limits.settle):
        found.add("collapse")
    return found


def _begun(look: Look, name: str, limits: WatchSettings) -> bool:
    """Whether made pictures had contrast and differed, then."""
    view = look.views[name]
    shows = view.contrast >= limits.constant * look.real_contrast
    return shows and view.apart >= limits.alike * look.real_apart


def _memorised(look: Look) -> float:
    """How far held-out pictures have gone from training scores (0) to made ones (1); 0 where not known."""
    gap = look.on_real - look.on_made
    if not math.isfinite(look.on_held_out) or gap <= 0.5:  # a gap that is no more than noise divides by noise
        return 0.0
    return (look.on_real - look.on_held_out) / gap


def tell(sign: str, look: Look, before: list[Look], limits: WatchSettings) -> str:
    """The sign in figures; those of made pictures by the weights that show it."""
    if sign in ("black", "not begun", "constant", "collapse"):
        names = [name for name in look.views if sign in view_signs(name, look, before, limits)]
        whose = "" if names[0] == TRAINING else f", made by the {names[0]}"
        return _tell_view(sign, look, look.views[names[0]]) + whose
    return {
        "black training pictures": f"the networks are fed greys up to {look.fed:.3g} of 1, the files hold "
        f"{look.real_bright:.3g}",
        "saturated": f"the discriminator is right on {100 * look.right:.0f} % of both kinds, with mean "
        f"scores of {look.on_real:.3g} and {look.on_made:.3g}",
        "vanished": f"the generator's gradient has a length of {look.gradient:.3g}",
        "memorising": f"the discriminator scores training pictures {look.on_real:.3g}, unseen real ones "
        f"{look.on_held_out:.3g}, made ones {look.on_made:.3g}",
    }[sign]


def _tell_view(sign: str, look: Look, view: View) -> str:
    contrast = f"a contrast of {view.contrast:.3g}, real ones {look.real_contrast:.3g}"
    apart = f"{view.apart:.3g} apart, two real ones {look.real_apart:.3g}"
    return {
        "black": f"made pictures reach {view.bright:.3g}, real ones {look.real_bright:.3g} "
        "(0 black, 1 white)",
        "not begun": f"since the start all made pictures are grey or alike: {contrast}; two are {apart}",
        "constant": f"made pictures have {contrast}",
        "collapse": f"two made pictures are {apart}; recall {view.recall:.2f}",
    }[sign]


# --------------------------------------------------------------------------------------------- the dog


@dataclass(eq=False)
class Watchdog:
    """Looks at a model every some steps, remembers, and says what it would do. It never touches the game.

    file      where looks are written, one JSON line each; None keeps them in memory
    averaged  `Game.averaged`, where the run keeps averaged weights: their pictures are looked at as well
    """

    model: nn.Module
    reference: Reference
    settings: WatchSettings = field(default_factory=WatchSettings)
    file: Path | None = None
    averaged: Averaged | None = None
    looks: list[Look] = field(default_factory=list)
    shown: list[list[str]] = field(default_factory=list)

    def look(self, step: int, records: Iterable[Mapping[str, Any]] = ()) -> list[Alarm]:
        """Look now; the alarms that count, after `patience` looks in a row. Step: those made so far."""
        look = take_look(self.model, self.reference, step, self.settings.pictures, records, self.averaged)
        before = list(self.looks)
        signs = signs_of(look, before, self.settings, getattr(self.model, "says_chance", True))
        self.looks.append(look)
        self.shown.append(signs)
        alarms = [self._alarm(sign, look, before) for sign in signs if self._counts(sign)]
        self._write({**look.record(), "signs": signs, "alarms": _plain(alarms)})
        return alarms

    def conclude(self) -> list[Alarm]:
        """The run is over: what its last look showed counts, though it had no time to be seen twice."""
        if not self.looks:
            return []
        look, before = self.looks[-1], self.looks[:-1]
        alarms = [self._alarm(sign, look, before) for sign in self.shown[-1] if not self._counts(sign)]
        self._write({"step": look.step, ENDED: True, "alarms": _plain(alarms)})
        return alarms

    def _alarm(self, sign: str, look: Look, before: list[Look]) -> Alarm:
        return Alarm(sign, tell(sign, look, before, self.settings), REMEDIES[sign])

    def _counts(self, sign: str) -> bool:
        if sign == "black training pictures":
            return True
        patience = self.settings.patience
        looks = max(patience, self.settings.settle) if sign == "not begun" else patience
        last = self.shown[-looks:]
        return len(last) == looks and all(sign in signs for signs in last)

    def act(self, alarms: list[Alarm]) -> None:
        """Pull the reins for every alarm; TrainingError where that cannot help, or was done too often."""
        reins = maker_of(self.model).reins
        for alarm in alarms:
            if int(reins.pulls) >= self.settings.most_pulls or not pull(reins, alarm.sign):
                raise self.stop(alarms)
        if self.shown:
            self.shown[-1] = []  # what was pulled gets its time to show
        pulled = [alarm.sign for alarm in alarms]
        self._write({"step": self.looks[-1].step if self.looks else 0, "pulled": pulled, **told_reins(reins)})

    def stop(self, alarms: list[Alarm]) -> TrainingError:
        """The error that ends the run; its last checkpoint stays."""
        step = self.looks[-1].step if self.looks else 0
        return TrainingError(f"step {step}: {'. '.join(map(str, alarms))}")

    def rolled_back(self, step: int) -> None:
        """Forget the looks after `step`: they were taken of a future that is not to be."""
        self._write({ROLLED: step})
        self._forget(step)

    def _forget(self, step: int) -> None:
        kept = sum(one.step <= step for one in self.looks)
        self.looks, self.shown = self.looks[:kept], self.shown[:kept]

    def resume(self, step: int) -> None:
        """Remember what was seen up to a checkpoint; later lines are dropped, for they come again."""
        self.looks, self.shown = [], []
        if self.file is None or not self.file.is_file():
            return
        lines = _lines(self.file)
        last = max((n for n, line in enumerate(lines) if ROLLED in line), default=-1)
        there = [line for n, line in enumerate(lines) if n <= last or line["step"] <= step]
        kept = [line for line in there if ENDED not in line]  # a run that goes on has not ended
        write_whole(self.file, "".join(json.dumps(line) + "\n" for line in kept))
        for line in kept:
            if ROLLED in line:
                self._forget(line[ROLLED])
            elif "pulled" in line:
                self.shown[-1:] = [[]] if self.shown else []
            else:
                self.looks.append(Look.of_record(line))
                self.shown.append(list(line["signs"]))

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.file is not None:
            with self.file.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line, allow_nan=False) + "\n")


def _plain(alarms: Iterable[Alarm]) -> list[dict[str, str]]:
    return [{"sign": one.sign, "fact": one.fact, "remedy": one.remedy} for one in alarms]


def _lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines of a watchdog's file; one that a killed process left unfinished does not count."""
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    except (OSError, ValueError) as problem:
        raise DataError(
            f"{path} is damaged ({problem}); delete it, and the watchdog begins anew"
        ) from problem


def told_reins(reins: Reins) -> dict[str, float]:
    """How the reins are held, as plain numbers."""
    return {
        "generator_rate": float(reins.generator_rate),
        "discriminator_rate": float(reins.discriminator_rate),
        "augment": float(reins.augment),
    }
