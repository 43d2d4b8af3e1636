"""All that changes while a run trains: weights, optimisers, averages, stream of batches, step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.matching import Queue
from glasslung.nn.player import Batches, Player
from glasslung.train.machine import Machine, open_fabric

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SHARE = "share"
"""In an optimiser's group: by what the player's learning rate is multiplied."""


class Game:
    """Players around one table: `fit` moves them, a checkpoint holds exactly what stands here.

    modules  every network by name; a parameter that a player trains must belong to one of them
    seed     of all draws: the draws of one step depend on (seed, step, player, turn, part) and on nothing
             before, so whoever arrives at a step finds the same ones
    ema      decay of the running average of the weights (0.999, say); None keeps none
    batches  the same stream on every process: each draws every batch and uses those that are its own
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        players: Sequence[Player],
        batches: Batches,
        seed: int,
        machine: Machine | None = None,
        ema: float | None = None,
    ) -> None:
        self.machine = machine or Machine()
        refuse_shared_queues(modules, self.machine.processes)
        self.fabric: Fabric = open_fabric(self.machine)
        self.modules, self.players = dict(modules), list(players)
        self.batches, self.seed, self.step = batches, seed, 0
        for module in self.modules.values():
            self._place(module)
        self.names = name_parameters(self.modules, self.players)
        self.optimisers = {player.name: optimiser_for(player) for player in self.players}
        self.ema = ema
        self.averages = {} if ema is None else {n: p.detach().clone() for n, p in self.weights().items()}

    def _place(self, module: nn.Module) -> None:
        module.to(self.fabric.device)
        if self.machine.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.fabric.device

    def weights(self) -> dict[str, Tensor]:
        """Every parameter by its full name, 'module.layer.weight'."""
        return {f"{m}.{n}": p for m, module in self.modules.items() for n, p in module.named_parameters()}

    def buffers(self) -> list[Tensor]:
        """What networks keep without learning it: batch normalisation's running statistics and counts."""
        return [buffer for module in self.modules.values() for buffer in module.buffers()]

    def state(self) -> dict[str, Tensor]:
        """Every parameter and buffer by its full name."""
        return {f"{m}.{n}": t for m, module in self.modules.items() for n, t in module.state_dict().items()}

    def draws(self, *place: int) -> torch.Generator:
        """The generator of one place in the run (step, player, turn, part), on the networks' device."""
        seed = int(np.random.SeedSequence([self.seed, 0, *place]).generate_state(1)[0])
        torch.manual_seed(seed)  # dropout draws from torch's own stream; `fit` gives that back afterwards
        return torch.Generator(self.device).manual_seed(seed)

    def update_averages(self) -> None:
        """Move the running averages one step towards the weights, faster at first.

        A decay of 0.995 from the start would still hold a third of the untrained weights after 200 steps.
        """
        if self.ema is None:
            return
        decay = min(self.ema, (1 + self.step) / (10 + self.step))
        for name, weight in self.weights().items():
            self.averages[name].lerp_(weight.detach(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the networks have their averaged weights; afterwards their own again."""
        if self.ema is None:
            raise UsageError("this run keeps no averaged weights; start it with ema, for example 0.999")
        weights = self.weights()
        kept = {name: weight.detach().clone() for name, weight in weights.items()}
        try:
            _copy(self.averages, weights)
            yield
        finally:
            _copy(kept, weights)


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in target.items():
        tensor.copy_(source[name])


def refuse_shared_queues(modules: Mapping[str, nn.Module], processes: int) -> None:
    """Shares of a turn average their buffers; the mean of two memories of different slices is neither."""
    keepers = [name for name, top in modules.items() if any(isinstance(m, Queue) for m in top.modules())]
    if processes > 1 and keepers:
        raise UsageError(
            f"{keepers[0]!r} remembers earlier slices, which {processes} processes cannot share: "
            "train it with one process, or without owner_gate, match and match_prior"
        )


def name_parameters(modules: Mapping[str, nn.Module], players: Sequence[Player]) -> dict[str, list[str]]:
    """The full name of every parameter of every player, in the player's order.

    A parameter outside the modules would be trained and never saved: refused.
    """
    if len({player.name for player in players}) != len(players):
        raise UsageError("two players have the same name; give each its own")
    names = {id(p): f"{m}.{n}" for m, module in modules.items() for n, p in module.named_parameters()}
    for player in players:
        strangers = sum(id(p) not in names for p in player.parameters)
        if strangers:
            raise UsageError(
                f"player {player.name!r} trains {strangers} tensor(s) of no module given: "
                "they would not be saved"
            )
    return {player.name: [names[id(p)] for p in player.parameters] for player in players}


def optimiser_for(player: Player) -> torch.optim.Optimizer:
    """Adam as the player wants it; the fused kernel does in one pass what the plain one does in a loop.

    Parameters that learn at another share of its rate are a group of their own, which knows its share.
    """
    shares = player.shares or (1.0,) * len(player.parameters)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter, share in zip(player.parameters, shares, strict=True):
        groups.setdefault(share, []).append(parameter)
    return torch.optim.AdamW(
        [{"params": some, SHARE: share} for share, some in groups.items()],
        lr=player.lr_at(0),
        betas=player.betas,
        eps=player.epsilon,
        weight_decay=player.weight_decay,
        fused=player.parameters[0].device.type in ("cpu", "cuda"),
    )
