"""The smallest game: a network with batch normalisation and dropout that learns to be a constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.nn.player import Player
from glasslung.train.game import Game
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")


@dataclass(frozen=True)
class Numbers:
    """x (B, 4)."""

    x: Tensor

    def to(self, device: torch.device, channels_last: bool = False) -> Numbers:
        return replace(self, x=self.x.to(device))


class NumberStream:
    """Batches of random numbers, each process its own."""

    def __init__(self, seed: int = 0, size: int = 8) -> None:
        self.rng, self.size = np.random.default_rng(seed), size

    def __next__(self) -> Numbers:
        return Numbers(torch.from_numpy(self.rng.normal(size=(self.size, 4)).astype(np.float32)))

    def state(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def restore(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


class Net(nn.Module):
    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(dropout), nn.ReLU(), nn.Linear(6, 1)
        )
        with torch.no_grad():
            for index, parameter in enumerate(self.parameters()):
                parameter.copy_(
                    torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape) * (index + 1) / 5
                )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def noisy_square(net: Net) -> Any:
    def loss(batch: Numbers, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        noise = torch.randn(len(batch.x), 1, generator=rng, device=batch.x.device)
        return {"total": (net(batch.x) - 1 + 0.1 * noise).square().mean()}

    return loss


def game(machine: Machine = CPU, ema: float | None = None, seed: int = 3, **player: Any) -> Game:
    """One player, from the same start every time."""
    net = Net()
    settings = {"name": "net", "parameters": list(net.parameters()), "loss": noisy_square(net), "lr": 0.05}
    return Game({"net": net}, [Player(**(settings | player))], NumberStream(), seed, machine, ema)


def two_player_game(seed: int = 3) -> Game:
    """A critic that moves twice a round, and a net that moves once."""
    net, critic = Net(), Net(dropout=0.0)

    def critic_loss(batch: Numbers, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        return {"total": (critic(batch.x) - net(batch.x).detach()).square().mean()}

    def net_loss(batch: Numbers, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        return {"total": (net(batch.x) - 1).square().mean() - 0.1 * critic(batch.x).mean()}

    players = [
        Player("critic", list(critic.parameters()), critic_loss, turns=2, lr=0.02),
        Player("net", list(net.parameters()), net_loss, accumulate=2, lr=lambda step: 0.05 / (1 + step)),
    ]
    return Game({"net": net, "critic": critic}, players, NumberStream(), seed, CPU)
