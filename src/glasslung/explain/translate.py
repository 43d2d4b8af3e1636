"""From a network of torch to the route that relevance takes through it.

Known are sequences of convolutions, dense layers, batch norms, poolings, activations that are 0 at 0, and our
own blocks. Anything else is refused by name: a layer that is passed over in silence would be a wrong answer.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.explain.affine import affine_of, merged
from glasslung.explain.route import (
    Chain,
    Concat,
    First,
    Gated,
    Layer,
    Linear,
    MaxPool,
    Pass,
    Pyramid,
    Reshape,
    Step,
    Sum,
)
from glasslung.models import slicewise
from glasslung.nn import pyramid, twobranches

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Tanh, nn.ReLU6)
SILENT = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
ADAPTIVE_MAX = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
AVERAGES = (
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
NORM = nn.modules.batchnorm._BatchNorm

Named = tuple[str, nn.Module]


def route_of(network: nn.Module, name: str = "", reads_picture: bool = True) -> Chain:
    """A sequential network as a route, batch norm merged; its first layer reads the picture.

    UsageError names the layer for which there is no rule.
    """
    return Chain(list(_steps(list(_leaves(network, name)), reads_picture)), name)


def branches_route(branches: twobranches.TwoBranches, name: str) -> list[Step]:
    """Both branches and their gate: (image, lesion) -> maps."""
    whole = route_of(branches.whole, f"{name}.whole")
    if branches.side is None or branches.gate is None:
        steps: list[Step] = [First(name, whole)]
    else:
        side = route_of(branches.side, f"{name}.side")
        steps = [Gated(f"{name}.gate", whole, side, still(branches.gate.activation))]
    if branches.pool is not None:
        steps.append(_step(f"{name}.pool", branches.pool, "features"))
    return steps


def pyramid_step(levels: pyramid.Pyramid, name: str) -> Step:
    """Spatial pyramid pooling."""
    return Pyramid(name, list(levels.levels))


def still(layer: nn.Module) -> Callable[[Tensor], Tensor]:
    """The layer, changing nothing in place: what came before it is needed again."""
    if not getattr(layer, "inplace", False):
        return layer
    quiet: Any = copy.copy(layer)
    quiet.inplace = False
    return quiet


def _leaves(network: nn.Module, name: str) -> Iterator[Named]:
    """Sequences within sequences, one layer after another."""
    if not isinstance(network, nn.Sequential):
        yield name or type(network).__name__, network
        return
    for part, child in network.named_children():
        yield from _leaves(child, f"{name}.{part}" if name else part)


def _steps(leaves: list[Named], reads_picture: bool) -> Iterator[Step]:
    place = "pixels" if reads_picture else None
    at = 0
    while at < len(leaves):
        name, layer = leaves[at]
        if isinstance(layer, (*CONVOLUTIONS, nn.Linear)):
            affine = affine_of(layer)
            while at + 1 < len(leaves) and isinstance(leaves[at + 1][1], NORM):
                at += 1
                affine = merged(affine, leaves[at][1])
            usual = "head" if affine.dense else "features"
            yield Layer(name, affine, place or usual)
            place = None
        elif (block := _block(name, layer)) is not None:
            if place is not None:
                raise UsageError(f"{name} reads the picture itself: relevance needs a layer before it")
            yield block
        else:
            yield _step(name, layer, place or "norms")
            if isinstance(layer, NORM):
                place = None
        at += 1


def _block(name: str, layer: nn.Module) -> Step | None:
    """Blocks whose parts see the same input: residual ones, and the layers of a DenseNet."""
    if isinstance(layer, slicewise.Residual):
        inner = nn.Sequential(
            OrderedDict(
                (part, getattr(layer, part)) for part in ("conv1", "norm1", "relu1", "conv2", "norm2")
            )
        )
        straight = nn.Identity() if layer.shortcut is None else layer.shortcut
        ways = [route_of(inner, name, False), route_of(straight, f"{name}.shortcut", False)]
        return Chain([Sum(name, ways), Pass(f"{name}.relu2", still(layer.relu2))], name)
    if type(layer).__name__ == "_DenseLayer" and type(layer).__module__.startswith("monai."):
        inside: Any = layer.layers
        return Concat(name, [Pass(name, lambda x: x), route_of(inside, f"{name}.layers", False)])
    return None


def _step(name: str, layer: nn.Module, place: str) -> Step:
    if isinstance(layer, ACTIVATIONS):
        return Pass(name, still(layer))
    if isinstance(layer, SILENT):
        return Pass(name, lambda x: x)
    if isinstance(layer, nn.Flatten):
        return Reshape(name, layer)
    if isinstance(layer, MAX_POOLS):
        return MaxPool(name, layer, _side_by_side(layer))
    if isinstance(layer, ADAPTIVE_MAX):
        return Pyramid(name, [layer], flatten=False)
    if isinstance(layer, AVERAGES):
        return Linear(name, layer)
    if isinstance(layer, NORM):
        return Layer(name, affine_of(layer), place)
    if isinstance(layer, pyramid.Pyramid):
        return pyramid_step(layer, name)
    raise UsageError(
        f"relevance has no rule for {type(layer).__name__} (layer {name!r}); "
        "gradients.py explains any network"
    )


def _side_by_side(pool: nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d) -> tuple[int, ...] | None:
    """The kernel of a pooling whose windows neither overlap, nor leave gaps, nor reach into padding."""
    rank = {nn.MaxPool1d: 1, nn.MaxPool2d: 2, nn.MaxPool3d: 3}[type(pool)]

    def each(value: int | tuple[int, ...]) -> tuple[int, ...]:
        return (value,) * rank if isinstance(value, int) else tuple(value)

    kernel, stride = each(pool.kernel_size), each(pool.stride or pool.kernel_size)
    plain = each(pool.padding) == (0,) * rank and each(pool.dilation) == (1,) * rank
    return kernel if plain and kernel == stride and not pool.ceil_mode else None
