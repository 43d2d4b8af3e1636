"""A network as relevance walks through it: steps that answer, remember, and hand relevance back.

Every step has `run(x) -> (y, memory)`, which is what the layer itself does, and
`back(memory, relevance, composite, book)`, which gives the relevance of its inputs and writes its line in the
book. A step holds no state, so slices can go through in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from glasslung.explain import rules
from glasslung.explain.affine import Affine
from glasslung.explain.composites import Book, Composite
from glasslung.nn.vlad import NetVLAD, normalise

Windows = list[tuple[slice, ...]]


class Step(Protocol):
    """One step of a network; x is a tensor, or a pair of tensors before a gate."""

    name: str

    def run(self, x: Any) -> tuple[Any, Any]:
        """What the layer answers, and what `back` will need."""
        ...

    def back(self, memory: Any, relevance: Tensor, composite: Composite, book: Book) -> Any:
        """Relevance of the outputs -> relevance of the inputs."""
        ...


class Chain:
    """Steps one after another."""

    def __init__(self, steps: Sequence[Step], name: str = "") -> None:
        self.name, self.steps = name, list(steps)

    def run(self, x: Any) -> tuple[Any, list[Any]]:
        """Through all steps."""
        memory = []
        for step in self.steps:
            x, kept = step.run(x)
            memory.append(kept)
        return x, memory

    def back(self, memory: list[Any], relevance: Any, composite: Composite, book: Book) -> Any:
        """Back through all steps; their memory is let go on the way."""
        for step in reversed(self.steps):
            relevance = step.back(memory.pop(), relevance, composite, book)
        return relevance


class Layer:
    """A convolution, dense layer or batch norm; place: 'pixels', 'features', 'head' or 'norms'."""

    def __init__(self, name: str, affine: Affine, place: str) -> None:
        self.name, self.affine, self.place = name, affine, place

    def run(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x (B, I, ...) -> (B, O, ...), before the activation."""
        z = self.affine.add_bias(self.affine.apply(x))
        return z, (x, z)

    def back(
        self, memory: tuple[Tensor, Tensor], relevance: Tensor, composite: Composite, book: Book
    ) -> Tensor:
        """By the rule that the composite has for this place."""
        rule: str = getattr(composite, self.place)
        spread = self._spread(rule, *memory, relevance, composite)
        book.write(self.name, rule, total(relevance), total(spread.inputs), spread.absorbed)
        return spread.inputs

    def _spread(
        self, rule: str, x: Tensor, z: Tensor, relevance: Tensor, composite: Composite
    ) -> rules.Spread:
        if rule == "zbox":
            return rules.z_box(self.affine, x, relevance, composite.low, composite.high)
        if rule == "alphabeta":
            return rules.alpha_beta(
                self.affine, x, relevance, composite.alpha, composite.beta, composite.whole, z
            )
        if rule == "flat":
            return rules.flat(self.affine, x, relevance)
        return rules.lrp_epsilon(
            self.affine, x, relevance, composite.epsilon if rule == "epsilon" else 0.0, z
        )


class Pass:
    """An activation, a dropout, a scaling to length 1: relevance goes through as it is."""

    def __init__(self, name: str, made: Callable[[Tensor], Tensor]) -> None:
        self.name, self.made = name, made

    def run(self, x: Tensor) -> tuple[Tensor, None]:
        """Element by element."""
        return self.made(x), None

    def back(self, memory: None, relevance: Tensor, composite: Composite, book: Book) -> Tensor:
        """As it is."""
        return relevance


class Reshape:
    """The same numbers in another order."""

    def __init__(self, name: str, made: Callable[[Tensor], Tensor]) -> None:
        self.name, self.made = name, made

    def run(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Reshaped."""
        return self.made(x), tuple(x.shape)

    def back(self, memory: tuple[int, ...], relevance: Tensor, composite: Composite, book: Book) -> Tensor:
        """Reshaped back."""
        return relevance.reshape(memory)


class MaxPool:
    """A max-pooling; side_by_side: its kernel where windows neither overlap nor reach into padding."""

    def __init__(
        self, name: str, pool: Callable[[Tensor], Tensor], side_by_side: tuple[int, ...] | None
    ) -> None:
        self.name, self.pool, self.side_by_side = name, pool, side_by_side

    def run(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Maxima."""
        y = self.pool(x) if self.side_by_side is None else rules.maxima(self.side_by_side, x)
        return y, (x, y)

    def back(
        self, memory: tuple[Tensor, Tensor], relevance: Tensor, composite: Composite, book: Book
    ) -> Tensor:
        """The winner takes all; equal ones share, if the composite says so and windows stand side by side."""
        x, y = memory
        if composite.shared and self.side_by_side is not None:
            spread = rules.tied_pool(self.side_by_side, x, y, relevance)
        else:
            spread = rules.winner(self.pool, x, relevance)
        book.write(self.name, "winner", total(relevance), total(spread.inputs))
        return spread.inputs


class Pyramid:
    """Adaptive max-pooling at one or more levels: (B, C, ...) -> (B, C * cells), level by level."""

    def __init__(self, name: str, levels: Sequence[nn.Module], flatten: bool = True) -> None:
        self.name, self.levels, self.flatten = name, list(levels), flatten

    def run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maxima of all cells."""
        if not self.flatten:
            return self.levels[0](x), x
        return torch.cat([level(x).flatten(1) for level in self.levels], 1), x

    def back(self, memory: Tensor, relevance: Tensor, composite: Composite, book: Book) -> Tensor:
        """The winner of each cell takes its relevance."""
        x, start, out = memory, 0, torch.zeros_like(memory)
        given = relevance.reshape(len(x), -1)
        for level in self.levels:
            grid = cells_of(level, x)
            cells = x.shape[1] * torch.Size(grid).numel()
            part = given[:, start : start + cells].reshape(*x.shape[:2], *grid)
            start += cells
            if composite.shared:
                out += rules.shared_winner(adaptive_windows(x.shape[2:], grid), x, part.flatten(2)).inputs
            else:
                out += rules.winner(level, x, part).inputs
        book.write(self.name, "winner", total(relevance), total(out))
        return out


class Linear:
    """A map without a bias that is linear: averages. placed: resampling, which hands back by place alone."""

    def __init__(self, name: str, made: Callable[[Tensor], Tensor], placed: bool = False) -> None:
        self.name, self.made, self.placed = name, made, placed

    def run(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As the map says."""
        y = self.made(x)
        return y, (x, y)

    def back(
        self, memory: tuple[Tensor, Tensor], relevance: Tensor, composite: Composite, book: Book
    ) -> Tensor:
        """Each input by its part of the sum, or by its place."""
        if self.placed:
            rule, spread = "place", rules.by_place(self.made, memory[0], relevance)
        else:
            rule, spread = "zero", rules.linear_map(self.made, memory[0], relevance, memory[1])
        book.write(self.name, rule, total(relevance), total(spread.inputs))
        return spread.inputs


class Sum:
    """Parts that see the same input and are added up: a residual block."""

    def __init__(self, name: str, parts: Sequence[Step]) -> None:
        self.name, self.parts = name, list(parts)

    def run(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Any]]]:
        """The sum of what all parts answer."""
        kept = [part.run(x) for part in self.parts]
        total_of: Tensor = kept[0][0]
        for y, _ in kept[1:]:
            total_of = total_of + y
        return total_of, kept

    def back(
        self, memory: list[tuple[Tensor, Any]], relevance: Tensor, composite: Composite, book: Book
    ) -> Tensor:
        """Each part its share of the sum."""
        given = rules.split_sum([y for y, _ in memory], relevance)
        book.write(self.name, "zero", total(relevance), sum(total(one) for one in given))
        backs = [
            part.back(kept, one, composite, book)
            for part, (_, kept), one in zip(self.parts, memory, given, strict=True)
        ]
        return torch.stack(backs).sum(0)


class Concat:
    """Parts that see the same input and stand beside one another as channels: a dense block."""

    def __init__(self, name: str, parts: Sequence[Step]) -> None:
        self.name, self.parts = name, list(parts)

    def run(self, x: Tensor) -> tuple[Tensor, list[tuple[int, Any]]]:
        """Channels of all parts, one after another."""
        ran = [part.run(x) for part in self.parts]
        return torch.cat([y for y, _ in ran], 1), [(y.shape[1], kept) for y, kept in ran]

    def back(
        self, memory: list[tuple[int, Any]], relevance: Tensor, composite: Composite, book: Book
    ) -> Tensor:
        """Each part the relevance of its own channels."""
        given = relevance.split([channels for channels, _ in memory], 1)
        backs = [
            part.back(kept, one, composite, book)
            for part, (_, kept), one in zip(self.parts, memory, given, strict=True)
        ]
        return torch.stack(backs).sum(0)


class Gated:
    """Two parts, each with its own input, whose answers are multiplied."""

    def __init__(self, name: str, first: Step, second: Step, activation: Callable[[Tensor], Tensor]) -> None:
        self.name, self.first, self.second, self.activation = name, first, second, activation

    def run(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Any, Any]]:
        """Activation of the product."""
        left, kept = self.first.run(x[0])
        right, kept_too = self.second.run(x[1])
        return self.activation(left * right), (kept, kept_too)

    def back(
        self, memory: tuple[Any, Any], relevance: Tensor, composite: Composite, book: Book
    ) -> tuple[Tensor, Tensor]:
        """Half to each factor, or all to each."""
        left, right = rules.split_gate(relevance, composite.halved)
        rule = "half" if composite.halved else "gradient x input"
        book.write(self.name, rule, total(relevance), total(left) + total(right))
        return (
            self.first.back(memory[0], left, composite, book),
            self.second.back(memory[1], right, composite, book),
        )


class Joined:
    """A pair of inputs as channels of one: side by side (B, 1, ...) twice -> (B, 2, ...), then a step."""

    def __init__(self, name: str, step: Step) -> None:
        self.name, self.step = name, step

    def run(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Any]:
        """What the step makes of both."""
        return self.step.run(torch.cat(x, 1))

    def back(self, memory: Any, relevance: Tensor, composite: Composite, book: Book) -> tuple[Tensor, Tensor]:
        """To each its own channel's."""
        given = self.step.back(memory, relevance, composite, book)
        return given[:, :1], given[:, 1:]


class Gathered:
    """NetVLAD over the slices of one scan: (S, F) -> (1, K * F), of length 1."""

    def __init__(self, name: str, vlad: NetVLAD) -> None:
        self.name, self.vlad = name, vlad

    def run(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The description, and how much of each slice went to each cluster."""
        shares = self.vlad.assignment(x)
        scan = torch.zeros(len(x), dtype=torch.long, device=x.device)
        return normalise(self.vlad.residuals(x, shares, scan)), (x, shares)

    def back(
        self, memory: tuple[Tensor, Tensor], relevance: Tensor, composite: Composite, book: Book
    ) -> Tensor:
        """Assignments and norms held still; the centroids are its bias."""
        centroids = self.vlad.centroids.detach()
        spread = rules.split_vlad(*memory, centroids, relevance.reshape(centroids.shape))
        book.write(self.name, "frozen", total(relevance), total(spread.inputs), spread.absorbed)
        return spread.inputs


class First:
    """Of a pair of inputs the first alone is seen; the other gets no relevance."""

    def __init__(self, name: str, step: Step) -> None:
        self.name, self.step = name, step

    def run(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Any, Tensor]]:
        """What the step makes of the first."""
        y, kept = self.step.run(x[0])
        return y, (kept, x[1])

    def back(
        self, memory: tuple[Any, Tensor], relevance: Tensor, composite: Composite, book: Book
    ) -> tuple[Tensor, Tensor]:
        """All to the first."""
        return self.step.back(memory[0], relevance, composite, book), torch.zeros_like(memory[1])


def total(relevance: Tensor) -> float:
    """Sum of a map that has more numbers than float32 has digits: rows, then all in double precision."""
    return float(relevance.sum(-1).sum(dtype=torch.float64))


def cells_of(level: nn.Module, x: Tensor) -> tuple[int, ...]:
    """Output cells of an adaptive pooling on each axis."""
    asked: Any = level.output_size
    sizes = x.shape[2:]
    each = (asked,) * len(sizes) if isinstance(asked, int) or asked is None else tuple(asked)
    return tuple(size if one is None else int(one) for one, size in zip(each, sizes, strict=True))


def adaptive_windows(sizes: Sequence[int], grid: Sequence[int]) -> Windows:
    """The ranges that torch's adaptive pooling looks at, cell by cell in reading order.

    Cell i of n on an axis of L: floor(i L / n) to ceil((i + 1) L / n).
    """
    axes = [
        [slice(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        for size, n in zip(sizes, grid, strict=True)
    ]
    windows: Windows = [()]
    for axis in axes:
        windows = [(*window, one) for window in windows for one in axis]
    return windows
