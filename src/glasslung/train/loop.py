"""The only training loop: every turn draws a fresh batch, and only the player's own weights move.

There are no callbacks. `steps` is a range: a study that wants samples every 500 steps calls `fit` with
range(0, 500), draws them, and goes on with range(500, 1000). Resuming is the same call after
`load_checkpoint`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glasslung.errors import TrainingError, UsageError
from glasslung.nn.player import Player
from glasslung.train.game import SHARE, Game
from glasslung.train.machine import determinism

Record = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps done of this call, the time they took, and the time the rest will take."""

    step: int
    done: int
    steps: int
    seconds: float
    seconds_left: float

    @property
    def text(self) -> str:
        """One line: 'step 120, 24 % done, 2 min 05 s left'."""
        return (
            f"step {self.step}, {100 * self.done // self.steps} % done, {tell_time(self.seconds_left)} left"
        )


def tell_time(seconds: float) -> str:
    """Seconds as a person would say them: '45 s', '2 min 05 s', '3 h 20 min'."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Clock:
    """Times the steps of one call; the first one, which warms everything up, is left out of the estimate."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done = steps, 0
        self.start = self.first = time.monotonic()

    def tick(self, step: int) -> Progress:
        """After each step."""
        self.done += 1
        now = time.monotonic()
        if self.done == 1:
            self.first = now
            each = now - self.start
        else:
            each = (now - self.first) / (self.done - 1)
        return Progress(step, self.done, self.steps, now - self.start, each * (self.steps - self.done))


def fit(
    game: Game,
    steps: range,
    log: Callable[[Record], None] | None = None,
    every: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Train all players for the given steps, which must begin where the game stands.

    log       gets one record for each player at every step that is a multiple of `every`: step, player, the
              terms, lr and gradient_norm (before clipping); with several turns, of the last one
    progress  gets the state of the clock after each step
    TrainingError names step, player and term when a loss or a gradient is not finite. The weights in memory
    may then hold a part of that step; the last checkpoint does not.
    """
    if steps.start != game.step or steps.step != 1:
        raise UsageError(f"the run stands before step {game.step}; fit range({game.step}, ...), not {steps}")
    clock = Clock(len(steps))
    with _training(game), determinism(game.machine.deterministic):
        for step in steps:
            for place, player in enumerate(game.players):
                for turn in range(player.turns):
                    record = take_turn(game, player, step, place, turn)
                if log and step % every == 0 and game.fabric.is_global_zero:
                    log(record)
            game.update_averages()
            game.step = step + 1
            if progress and game.fabric.is_global_zero:
                progress(clock.tick(step))


@contextmanager
def _training(game: Game) -> Iterator[None]:
    """Inside, the networks train; afterwards their modes and torch's random stream are as they were."""
    modules = [module for top in game.modules.values() for module in top.modules()]
    modes = [module.training for module in modules]
    devices = [game.device] if game.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            for top in game.modules.values():
                top.train()
            yield
        finally:
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode


def take_turn(game: Game, player: Player, step: int, place: int, turn: int) -> Record:
    """One optimiser step of one player; the record of it for the log.

    Its batches are the parts of one large one, averaged: each process takes its own parts, so that however
    many processes there are, the step is the same.
    """
    parts, world = player.accumulate * game.machine.processes, game.fabric.world_size
    own = parts // world
    totals: dict[str, float] = {}
    gradients: list[Tensor] = []
    running = _Running(game)
    for part in range(parts):
        batch = next(game.batches)
        if part % world != game.fabric.global_rank:
            continue
        batch, rng = batch.to(game.device, game.machine.channels_last), game.draws(step, place, turn, part)
        running.begin()
        with game.fabric.autocast():
            terms = player.loss(batch, step, rng)
        values = read_terms(player, step, terms)
        totals = {name: totals.get(name, 0.0) + value / own for name, value in values.items()}
        fresh = differentiate(player, terms["total"], game.names[player.name])
        gradients = [sum_ + new for sum_, new in zip(gradients, fresh, strict=True)] if gradients else fresh
        running.end()
    if own > 1:
        gradients = [gradient / own for gradient in gradients]
    if world > 1:
        gradients, totals = _share(game, gradients), _share_numbers(game, totals)
    running.settle(own)
    norm = clip(player, gradients, step, game.names[player.name])
    lr = player.lr_at(step)
    move(game.optimisers[player.name], player, gradients, lr)
    return {"step": step, "player": player.name, **totals, "lr": lr, "gradient_norm": norm}


class _Running:
    """Running statistics of batch normalisation over the parts of a turn that processes share.

    Every part begins from the same ones, and what they make of them is averaged: so it does not matter how
    many processes share the turn. Where none is shared, nothing is done.
    """

    def __init__(self, game: Game) -> None:
        self.game = game
        self.buffers = game.buffers() if game.machine.processes > 1 else []
        self.before = [buffer.clone() for buffer in self.buffers]
        self.sums: list[Tensor] = []

    @torch.no_grad()
    def begin(self) -> None:
        """Before each part."""
        for buffer, before in zip(self.buffers, self.before, strict=True):
            buffer.copy_(before)

    @torch.no_grad()
    def end(self) -> None:
        """After each part."""
        now = [buffer.clone() for buffer in self._averaged()]
        self.sums = [sum_ + new for sum_, new in zip(self.sums, now, strict=True)] if self.sums else now

    @torch.no_grad()
    def settle(self, parts: int) -> None:
        """After the last one; `parts` is how many this process had."""
        means = [sum_ / parts for sum_ in self.sums]
        if means and self.game.fabric.world_size > 1:
            means = _share(self.game, means)
        for buffer, mean in zip(self._averaged(), means, strict=True):
            buffer.copy_(mean)

    def _averaged(self) -> list[Tensor]:
        """All but the counts, which go up by one in every part, as if it were the only one."""
        return [buffer for buffer in self.buffers if buffer.is_floating_point()]


def read_terms(player: Player, step: int, terms: dict[str, Tensor]) -> dict[str, float]:
    """The terms as numbers; TrainingError when one is not finite, with what to try."""
    values = {name: float(term.detach()) for name, term in terms.items()}
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        told = ", ".join(f"{name} = {value:g}" for name, value in values.items())
        raise TrainingError(
            f"step {step}: {', '.join(bad)} of player {player.name!r} is not a finite number ({told}). "
            f"Lower the learning rate (now {player.lr_at(step):g}), clip gradients harder, "
            "or train in 32 bit; then go on from the last checkpoint."
        )
    return values


def differentiate(player: Player, total: Tensor, names: list[str]) -> list[Tensor]:
    """The gradient of every parameter of the player; one that the loss does not reach is an error at once."""
    found = torch.autograd.grad(total, player.parameters, allow_unused=True)
    missing = [name for name, gradient in zip(names, found, strict=True) if gradient is None]
    if missing:
        raise TrainingError(
            f"the loss of player {player.name!r} does not reach {len(missing)} of its parameters, "
            f"first {missing[0]!r}: they would never be trained. "
            "Leave them out of the player, or give batches that use them."
        )
    return [gradient for gradient in found if gradient is not None]


@torch.no_grad()
def clip(player: Player, gradients: list[Tensor], step: int, names: list[str]) -> float:
    """Clip in place: each tensor's norm, then each value, then the norm of all. Returns the norm before."""
    norms = _norms(gradients)
    if not torch.isfinite(norms).all():
        first = names[int((~torch.isfinite(norms)).nonzero()[0])]
        raise TrainingError(
            f"step {step}: the gradient of {first!r} (player {player.name!r}) is not finite though the loss "
            f"is. Lower the learning rate (now {player.lr_at(step):g}) or train in 32 bit; "
            "go on from the last checkpoint."
        )
    if player.clip_tensor_norm is not None:
        scales = (player.clip_tensor_norm / norms.clamp_min(1e-30)).clamp_max(1.0)
        torch._foreach_mul_(gradients, list(scales.float().unbind()))
    if player.clip_value is not None:
        torch._foreach_clamp_min_(gradients, -player.clip_value)
        torch._foreach_clamp_max_(gradients, player.clip_value)
    if player.clip_total_norm is not None:
        now = torch.linalg.vector_norm(_norms(gradients))
        torch._foreach_mul_(gradients, (player.clip_total_norm / now.clamp_min(1e-30)).clamp_max(1.0).float())
    return float(torch.linalg.vector_norm(norms))


def _norms(gradients: list[Tensor]) -> Tensor:
    """The L2 norm of each gradient, in float64 where the device has it.

    A fresh U-SVAE's gradients reach 1e12 and a fresh CAGE's 1e25, for every batch normalisation on the way
    down enlarges them; the squares of float32 overflow beyond 1e19.
    """
    wide = torch.float32 if gradients[0].device.type == "mps" else torch.float64
    return torch.stack(torch._foreach_norm(gradients, 2, dtype=wide))


def move(optimiser: torch.optim.Optimizer, player: Player, gradients: list[Tensor], lr: float) -> None:
    """One optimiser step with these gradients at this learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group[SHARE]
    for parameter, gradient in zip(player.parameters, gradients, strict=True):
        parameter.grad = gradient
    optimiser.step()
    for parameter in player.parameters:
        parameter.grad = None


def _share(game: Game, tensors: list[Tensor]) -> list[Tensor]:
    """The mean of each tensor over all processes, sent as one piece."""
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    mean = game.fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    pieces = mean.split([tensor.numel() for tensor in tensors])
    # Each in its tensor's own layout: a fused optimiser goes by the order in memory, not by strides.
    return [
        torch.empty_like(tensor, memory_format=torch.preserve_format).copy_(piece.view(tensor.shape))
        for piece, tensor in zip(pieces, tensors, strict=True)
    ]


def _share_numbers(game: Game, numbers: dict[str, float]) -> dict[str, float]:
    """The mean of each number over all processes."""
    here = torch.tensor(list(numbers.values()), dtype=torch.float64, device=game.device)
    (mean,) = _share(game, [here])
    return dict(zip(numbers, mean.tolist(), strict=True))
