"""What a classifier costs: parameters, operations, and seconds for one scan, as the paper tells them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glasslung.studies.diagnosis.contest import METHODS, Method

if TYPE_CHECKING:
    from torch import nn

SLICES = 96  # of a scan: 3 mm apart, a lung of 29 cm


@dataclass(frozen=True)
class Complexity:
    """What one answer costs.

    parameters  trained numbers
    gflops      billions of floating point operations of convolutions and products, a multiplication and an
                addition counted as two
    seconds     process time of one forward pass on one thread of this machine, the median of some
    slices, size  of the scan
    """

    parameters: int
    gflops: float
    seconds: float
    slices: int
    size: int


def complexity_of(model: nn.Module, slices: int = SLICES, size: int = 128, repeats: int = 3) -> Complexity:
    """Ask a classifier about a scan of so many square slices, noise in all of them."""
    import numpy as np
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from glasslung.nn.blocks import count_parameters
    from glasslung.nn.borrow import evaluating
    from glasslung.studies.folder import one_thread

    image = torch.rand(slices, 1, size, size, generator=torch.Generator().manual_seed(0))
    lesion, scan = (image > 0.9).float(), torch.zeros(slices, dtype=torch.int64)
    taken: list[float] = []
    asked: Any = model
    with evaluating(model), one_thread():
        with FlopCounterMode(display=False) as counter:
            asked.scores(image, lesion, scan)
        for _ in range(repeats):
            began = time.process_time()
            asked.scores(image, lesion, scan)
            taken.append(time.process_time() - began)
    flops = counter.get_total_flops()
    return Complexity(count_parameters(model), flops / 1e9, float(np.median(taken)), slices, size)


def complexities(
    slices: int = SLICES, size: int = 128, methods: Mapping[str, Method] | None = None
) -> dict[str, Complexity]:
    """The cost of every method of the contest, by its name; methods of one network share its figures."""
    from glasslung.models import build

    known: dict[str, Complexity] = {}
    found: dict[str, Complexity] = {}
    for name, method in (METHODS if methods is None else methods).items():
        key = repr((method.model, sorted(method.settings.items())))
        if key not in known:
            settings: dict[str, Any] = {"size": size, **method.settings}
            known[key] = complexity_of(build(method.model, **settings), slices, size)
        found[name] = known[key]
    return found
