"""Which machine trains: device, precision and processes, through Lightning Fabric, imported late."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from glasslung.errors import UsageError
from glasslung.train.ranks import find_ranks

if TYPE_CHECKING:
    from lightning_fabric import Fabric

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "32-true", "bf16-mixed")


@dataclass(frozen=True)
class Machine:
    """What a run trains on. Two runs are bit for bit equal only on equal machines."""

    device: str = "auto"  # a GPU where there is one
    precision: str = (
        "auto"  # bfloat16 on a GPU that has it, else 32 bit; benchmarks/training_throughput.py times both
    )
    processes: int = 1  # batches whose gradients each turn averages; dealt to as many processes as there are
    deterministic: bool = False  # refuse operations whose result depends on the order of threads
    channels_last: bool = (
        True  # often the quicker layout for 2D convolutions; what it gains, if anything, it tells too
    )

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise UsageError(f"device {self.device!r} is unknown; choose one of {', '.join(DEVICES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"precision {self.precision!r} is unknown; choose one of {', '.join(PRECISIONS)}"
            )
        if self.processes < 1:
            raise UsageError("processes must be 1 or more")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UsageError("no CUDA device was found; use device 'auto' or 'cpu'")


def resolve_device(machine: Machine) -> str:
    """The device 'auto' stands for here: 'cuda' where there is one, else 'cpu'."""
    if machine.device != "auto":
        return machine.device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_precision(machine: Machine) -> str:
    """The precision 'auto' stands for here."""
    if machine.precision != "auto":
        return machine.precision
    on_gpu = resolve_device(machine) == "cuda" and torch.cuda.is_bf16_supported()
    return "bf16-mixed" if on_gpu else "32-true"


def quickest_on_cpu() -> str:
    """The precision in which this processor trains convolutions fastest: bfloat16 if it has units for it."""
    able = torch.cpu.get_capabilities()
    return "bf16-mixed" if able.get("avx512_bf16") or able.get("amx_bf16") else "32-true"


def open_fabric(machine: Machine) -> Fabric:
    """The Fabric for a machine, ready to use: of this process, or of all that torchrun or SLURM started.

    UsageError where the batches of a turn cannot be dealt evenly to the processes.
    """
    from lightning_fabric import Fabric

    ranks = find_ranks()
    if machine.processes % ranks.world:
        raise UsageError(
            f"{ranks.world} processes cannot share {machine.processes} batch(es) of a step evenly: take a "
            "multiple (--shares)"
        )
    # It says its precision at every start, between the lines of a progress bar; the run's folder keeps it.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    precision: Any = resolve_precision(machine)
    fabric = Fabric(
        accelerator=resolve_device(machine),
        devices=ranks.here,
        num_nodes=ranks.machines,
        precision=precision,
        strategy="auto" if ranks.world == 1 else "ddp",
    )
    if ranks.world > 1:
        fabric.launch()
    return fabric


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Inside: operations that could differ from run to run are refused. Afterwards torch is as it was."""
    if not wanted:
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark = torch.backends.cudnn.benchmark
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ.setdefault(
        "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
    )  # cuBLAS repeats itself only with a fixed workspace
    try:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
        if workspace is None:
            os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
