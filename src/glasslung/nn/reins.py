"""What may be pulled while a game goes on: learning rates, and how much the discriminator's view is
distorted.

Buffers of the model, so that a checkpoint holds them and a run that was stopped goes on as it was ridden.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

LEAST_RATE = 1 / 64  # of what the settings say; below, a player stands still


class Reins(nn.Module):
    """Factors of both players' learning rates, the chance of a distortion, and how often they were pulled."""

    generator_rate: Tensor
    discriminator_rate: Tensor
    augment: Tensor
    pulls: Tensor

    def __init__(self, augment: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("generator_rate", torch.ones(()))
        self.register_buffer("discriminator_rate", torch.ones(()))
        self.register_buffer("augment", torch.tensor(float(augment)))
        self.register_buffer("pulls", torch.zeros((), dtype=torch.int64))

    def generator_lr(self, lr: float) -> Callable[[int], float]:
        """The generator's learning rate as a player asks for it."""
        return lambda step: lr * float(self.generator_rate)

    def discriminator_lr(self, lr: float) -> Callable[[int], float]:
        """The discriminator's learning rate as a player asks for it."""
        return lambda step: lr * float(self.discriminator_rate)

    @torch.no_grad()
    def slow(self, generator: float = 1.0, discriminator: float = 1.0) -> None:
        """Multiply learning rates; neither falls below 1 / 64 of the settings."""
        self.generator_rate.mul_(generator).clamp_(LEAST_RATE, 1.0)
        self.discriminator_rate.mul_(discriminator).clamp_(LEAST_RATE, 1.0)

    @torch.no_grad()
    def distort_more(self, by: float = 0.2) -> None:
        """Raise the chance of a distortion, 1 at most."""
        self.augment.add_(by).clamp_(0.0, 1.0)

    @torch.no_grad()
    def count(self) -> None:
        """One more time that they were pulled."""
        self.pulls.add_(1)
