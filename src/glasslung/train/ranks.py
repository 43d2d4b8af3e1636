"""One training on several processes: how many there are, and which of them this is.

They are started from outside, by torchrun or by SLURM's srun, and each runs the same command. The first one
alone writes to the run's folder and talks. Nothing heavy is imported here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from glasslung.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """This process among those of one training.

    world     how many there are on all machines
    rank      which of them this is, from 0
    here      how many of them are on this machine
    machines  how many machines there are
    """

    world: int = 1
    rank: int = 0
    here: int = 1
    machines: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes and talks for all."""
        return self.rank == 0


def find_ranks() -> Ranks:
    """What the environment says that torchrun, or srun, left; one process where neither started this one.

    UsageError where the processes are not spread evenly over the machines.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        world, rank, here = (_number(name) for name in ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE"))
        return _ranks(world, rank, world // here)
    if _number("SLURM_STEP_NUM_TASKS", 1) > 1:  # of srun; the batch script around it has no such number
        return _ranks(
            _number("SLURM_STEP_NUM_TASKS"), _number("SLURM_PROCID"), _number("SLURM_STEP_NUM_NODES")
        )
    return Ranks()


def _ranks(world: int, rank: int, machines: int) -> Ranks:
    if machines < 1 or world % machines:
        raise UsageError(f"{world} processes on {machines} machines: start as many on each")
    return Ranks(world, rank, world // machines, machines)


def _number(name: str, otherwise: int | None = None) -> int:
    """A whole number from the environment."""
    text = os.environ.get(name, "" if otherwise is None else str(otherwise))
    try:
        return int(text)
    except ValueError as problem:
        raise UsageError(f"{name} is {text!r}: start the processes with torchrun or srun") from problem
