"""Borrow a model and give it back as it was: evaluation mode without gradients, whatever happens inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*models: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Inside: no gradients, evaluation mode. Afterwards every module is in the mode it was in.

    batch_statistics  batch normalisation uses the statistics of the batch at hand, as in training, but learns
                      nothing from it: the mode in which the released U-SVAE and CAGE code most likely made
                      its figures
    """
    modules = [module for model in models for module in model.modules()]
    modes = [module.training for module in modules]
    norms = [module for module in modules if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for model in models:
            model.eval()
        if batch_statistics:
            for norm in norms:
                norm.train()
                norm.momentum = 0.0
                norm.num_batches_tracked = None
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for norm, (momentum, seen) in zip(norms, kept, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked = seen
