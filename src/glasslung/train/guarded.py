"""A run under a watchdog's eyes: `train.loop.fit` in stretches, a look after each, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from glasslung.errors import UsageError
from glasslung.train.game import Game
from glasslung.train.loop import Progress, fit
from glasslung.train.rundir import RunDir
from glasslung.train.watchdog import Alarm, Watchdog

Record = dict[str, Any]


@dataclass(frozen=True)
class Stretch:
    """How far a run goes, how often it is written down and how often logged, in steps."""

    steps: int
    checkpoint_every: int
    log_every: int = 10

    def __post_init__(self) -> None:
        if min(self.steps, self.checkpoint_every, self.log_every) < 1:
            raise UsageError("steps, checkpoint_every and log_every must be 1 or more")


def fit_guarded(
    game: Game,
    run: RunDir,
    dog: Watchdog,
    stretch: Stretch,
    log: Callable[[Record], None],
    progress: Callable[[Progress], None] | None = None,
    bark: Callable[[Alarm], None] | None = None,
) -> list[Alarm]:
    """Train from the run's last checkpoint to the last step; every alarm comes back, and goes to `bark` at
    once.

    Call it inside `run.writing()`. Checkpoints are written at looks alone, so that a run that was stopped
    goes on as if it had not been. With 'roll back' a look with a sign writes none: the last one is from
    before it. TrainingError when the watchdog ends the run; the last checkpoint stays. What only the last
    look shows is told, and changes nothing.
    """
    every = dog.settings.every
    if stretch.checkpoint_every % every:
        raise UsageError(
            f"checkpoints every {stretch.checkpoint_every} steps must fall on looks, every {every}; take a "
            "multiple"
        )
    start = run.resume(game)
    if start > stretch.steps:
        raise UsageError(f"the run has made {start} steps already, asked for: {stretch.steps}")
    dog.resume(start)
    if start == 0:
        run.checkpoint(game)  # there must be something to roll back to
    alarms: list[Alarm] = []
    while start < stretch.steps:
        end = min(stretch.steps, (start // every + 1) * every)
        records: list[Record] = []
        _fit(game, range(start, end), records, log, stretch.log_every, progress)
        found = dog.look(end, records)
        alarms += found
        for alarm in found:
            if bark:
                bark(alarm)
        start = _answer(game, run, dog, found, end)
        due = start == end and (end % stretch.checkpoint_every == 0 or end == stretch.steps)
        if due and not (dog.settings.action == "roll back" and dog.shown[-1]):
            run.checkpoint(game)
    last = dog.conclude()
    for alarm in last:
        if bark:
            bark(alarm)
    return alarms + last


def _fit(
    game: Game,
    steps: range,
    records: list[Record],
    log: Callable[[Record], None],
    every: int,
    progress: Callable[[Progress], None] | None,
) -> None:
    """One stretch; every record is logged and kept for the look."""

    def keep(record: Record) -> None:
        records.append(record)
        log(record)

    fit(game, steps, keep, every, progress)


def _answer(game: Game, run: RunDir, dog: Watchdog, alarms: list[Alarm], step: int) -> int:
    """What follows from alarms; the step to go on from."""
    action = dog.settings.action
    if not alarms or action == "tell":
        return step
    if action == "stop":
        raise dog.stop(alarms)
    if action == "remedy":
        dog.act(alarms)
        return step
    there = run.resume(game)
    dog.act(alarms)  # what was pulled before is in the checkpoint, and counts
    dog.rolled_back(there)
    run.checkpoint(game)
    return there
