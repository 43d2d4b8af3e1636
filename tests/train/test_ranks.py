"""Who a process is among those of one training."""

from __future__ import annotations

import pytest

from glasslung.errors import UsageError
from glasslung.train.machine import Machine, open_fabric
from glasslung.train.ranks import Ranks, find_ranks

TORCHRUN = {"TORCHELASTIC_RUN_ID": "one", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_WORLD_SIZE": "2"}
SRUN = {"SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "0", "SLURM_STEP_NUM_NODES": "2", "SLURM_NTASKS": "6"}


@pytest.fixture
def environment(monkeypatch):
    for name in (*TORCHRUN, *SRUN):
        monkeypatch.delenv(name, raising=False)
    return lambda words: [monkeypatch.setenv(name, value) for name, value in words.items()]


def test_one_process_is_the_first_of_one(environment):
    assert find_ranks() == Ranks(1, 0, 1, 1)
    environment({"SLURM_NTASKS": "6", "SLURM_PROCID": "0"})  # a batch script, outside srun
    assert find_ranks() == Ranks(1, 0, 1, 1)


@pytest.mark.parametrize(("words", "ranks"), [(TORCHRUN, Ranks(4, 3, 2, 2)), (SRUN, Ranks(6, 0, 3, 2))])
def test_torchrun_and_srun_say_who_is_who(environment, words, ranks):
    environment(words)
    assert find_ranks() == ranks
    assert ranks.first == (ranks.rank == 0)


def test_uneven_machines_and_shares_are_refused(environment):
    environment({**SRUN, "SLURM_STEP_NUM_NODES": "4"})
    with pytest.raises(UsageError, match="start as many on each"):
        find_ranks()
    environment({**TORCHRUN, "RANK": "last"})
    with pytest.raises(UsageError, match="RANK is 'last'"):
        find_ranks()
    environment(TORCHRUN)
    with pytest.raises(UsageError, match=r"4 processes cannot share 6 batch\(es\) of a step evenly"):
        open_fabric(Machine(device="cpu", processes=6))
