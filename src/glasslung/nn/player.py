"""The contract between a method and the training loop: players, and what they are given.

It stands beneath `models`, `train` and `data`, which must not import one another, and above `types`, which
stays free of torch. Nothing here imports torch before a type checker does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from glasslung.errors import UsageError

if TYPE_CHECKING:
    from torch import Generator, Tensor, device, nn

LossOf = Callable[[Any, int, "Generator"], "dict[str, Tensor]"]
"""loss(batch, step, rng) -> named terms; 'total' is minimised. All draws come from `rng`."""


@dataclass(frozen=True, eq=False)
class Player:
    """One optimiser's side of the game: a VAE is one player, a WGAN-GP two.

    loss              every parameter must be reached by terms['total']; one that is not is an error at once
    turns             optimiser steps in each round
    accumulate        batches whose gradients are averaged for one optimiser step
    lr                learning rate, or a function of the step
    shares            of it, one for each parameter; None: each learns at `lr`
    clip_tensor_norm  each parameter tensor's gradient is scaled to this L2 norm at most (Keras' clipnorm) ...
    clip_value        ... then every element is cut to plus or minus this (Keras' clipvalue)
    clip_total_norm   the gradient of all parameters together is scaled to this L2 norm at most (torch's usual
                      clip)
    """

    name: str
    parameters: list[nn.Parameter]
    loss: LossOf
    turns: int = 1
    accumulate: int = 1
    lr: float | Callable[[int], float] = 3e-4
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-7  # Keras' Adam; torch's is 1e-8
    weight_decay: float = 0.0
    clip_tensor_norm: float | None = None
    clip_value: float | None = None
    clip_total_norm: float | None = None
    shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.turns < 1 or self.accumulate < 1:
            raise UsageError(f"player {self.name!r}: turns and accumulate must be 1 or more")
        if not self.parameters:
            raise UsageError(f"player {self.name!r} has no parameters to train")
        if self.shares is not None and len(self.shares) != len(self.parameters):
            raise UsageError(f"player {self.name!r}: give a share of lr for each of its parameters")

    def lr_at(self, step: int) -> float:
        """The learning rate of one step."""
        return self.lr(step) if callable(self.lr) else self.lr


class Batch(Protocol):
    """What a loss eats: anything that can be moved to a device as a whole."""

    def to(self, device: device, channels_last: bool = False) -> Any:
        """The same batch on another device."""


@runtime_checkable
class Batches(Protocol):
    """A stream of batches that can stop anywhere and go on exactly there.

    `state` is plain JSON; `restore(state)` makes the next batch the one that would have come.
    """

    def __next__(self) -> Batch: ...

    def state(self) -> dict[str, Any]:
        """Where the stream stands."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go back, or forth, to where `state` was taken."""
