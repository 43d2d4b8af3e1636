"""Inception-v1 inflated to three dimensions: the trunk of I3D, and the way in for weights trained elsewhere.

Source: Carreira & Zisserman, Quo Vadis, Action Recognition?, CVPR 2017, figure 3; layout, names and shapes of
the public PyTorch state as its repository builds them (pytorch-i3d). Padding is TensorFlow's 'same': what an
even size lacks is added behind, not on both sides, or imported weights would see everything half a voxel off.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError

FEATURES = 1024  # at full width
GRAIN = 4  # narrower networks have channels in multiples of it: vectors of the processor stay full
LEAST_EDGE = 1  # 'same' padding leaves at least one voxel after every halving
BN_EPSILON, BN_MOMENTUM = 1e-3, 0.01  # as published
Triple = tuple[int, int, int]


class Branches(NamedTuple):
    """Channels of the four branches of one mixed block: 1x1x1; 1x1x1 then 3x3x3, twice; pool then 1x1x1."""

    point: int
    reduce_mid: int
    mid: int
    reduce_small: int
    small: int
    pooled: int

    @property
    def all(self) -> int:
        """Channels that come out."""
        return self.point + self.mid + self.small + self.pooled

    def at(self, width: float) -> Branches:
        """A share of these channels."""
        return Branches(*(narrowed(channels, width) for channels in self))


MIXED = {
    "3b": Branches(64, 96, 128, 16, 32, 32),
    "3c": Branches(128, 128, 192, 32, 96, 64),
    "4b": Branches(192, 96, 208, 16, 48, 64),
    "4c": Branches(160, 112, 224, 24, 64, 64),
    "4d": Branches(128, 128, 256, 24, 64, 64),
    "4e": Branches(112, 144, 288, 32, 64, 64),
    "4f": Branches(256, 160, 320, 32, 128, 128),
    "5b": Branches(256, 160, 320, 32, 128, 128),
    "5c": Branches(384, 192, 384, 48, 128, 128),
}
"""Published channels, in order."""
POOLED_BEFORE = {"4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}  # kernel and stride


def narrowed(channels: int, width: float) -> int:
    """A share of so many channels, in whole grains; as published at width 1."""
    return max(GRAIN, GRAIN * round(channels * width / GRAIN))


def pad_same(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Zeros around x (B, C, D, H, W) so that a window gives ceil(size / stride) answers on every axis."""
    widths: list[int] = []
    for lacking in reversed(lacks(x, kernel, stride)):
        widths += [lacking // 2, lacking - lacking // 2]
    return F.pad(x, widths) if any(widths) else x


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """A convolution of one voxel as a product over channels; it keeps their order in memory.

    On one thread the library's own leaves channels first, and every pool behind it is several times slower.
    """
    return F.linear(x.movedim(1, -1), weight.flatten(1)).movedim(-1, 1)


def in_blocks(x: Tensor) -> Tensor:
    """Each 2 x 2 x 2 voxels of x (B, C, D, H, W) as channels: (B, 8 C, D/2, H/2, W/2), odd sides padded.

    A convolution of stride 2 is one of stride 1 on them: with one grey channel in two thirds of the time.
    """
    x = F.pad(x, [n for size in reversed(x.shape[2:]) for n in (0, size % 2)])
    batch, channels, *edges = x.shape
    d, h, w = (edge // 2 for edge in edges)
    parted = x.reshape(batch, channels, d, 2, h, 2, w, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parted.reshape(batch, 8 * channels, d, h, w).contiguous(memory_format=torch.channels_last_3d)


def lacks(x: Tensor, kernel: Triple, stride: Triple) -> list[int]:
    """How many zeros x (B, C, D, H, W) lacks on each axis for that many answers; an odd one comes behind."""
    return [
        max(edge - (step if size % step == 0 else size % step), 0)
        for size, edge, step in zip(x.shape[2:], kernel, stride, strict=True)
    ]


class Unit(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        # an odd kernel that does not stride is padded alike on both sides: the convolution can do that
        own = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv3d(before, after, kernel, stride, own, bias=False)
        self.norm = nn.BatchNorm3d(after, eps=BN_EPSILON, momentum=BN_MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, D, H, W) -> (B, after, ...)."""
        if self.stride != (1, 1, 1):
            x = pad_same(x, self.kernel, self.stride)
        if self.training or torch.is_grad_enabled():
            found = pointwise(x, self.conv.weight) if self.kernel == (1, 1, 1) else self.conv(x)
            return F.relu(self.norm(found))
        weight, bias = self.merged(x.dtype)
        if self.stride == (2, 2, 2):
            return F.conv3d(in_blocks(x), in_blocks(weight), bias).relu_()
        return F.conv3d(x, weight, bias, padding=self.conv.padding).relu_()

    def merged(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias of the convolution with the normalisation behind it merged in."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        weight = (self.conv.weight * scale.view(-1, 1, 1, 1, 1)).to(dtype)
        return weight.contiguous(memory_format=torch.channels_last_3d), (
            norm.bias - norm.running_mean * scale
        ).to(dtype)


class Mixed(nn.Module):
    """Four views of the same place, side by side in the channels."""

    def __init__(self, before: int, to: Branches) -> None:
        super().__init__()
        self.point = Unit(before, to.point, 1)
        self.mid = nn.Sequential(Unit(before, to.reduce_mid, 1), Unit(to.reduce_mid, to.mid, 3))
        self.small = nn.Sequential(Unit(before, to.reduce_small, 1), Unit(to.reduce_small, to.small, 3))
        self.pooled = Unit(before, to.pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, D, H, W) -> (B, after, D, H, W)."""
        around = F.max_pool3d(x, 3, 1, 1) if torch.is_grad_enabled() else highest_around(x)
        return torch.cat([self.point(x), self.mid(x), self.small(x), self.pooled(around)], 1)


class Inception3D(nn.Module):
    """(B, channels, D, H, W) in [-1, 1] -> (B, features, D/8, H/32, W/32), each rounded up; any size.

    width     share of the published channels
    momentum  of batch normalisation's running means: the share that a batch has
    features  channels that come out, 1024 at width 1
    """

    def __init__(
        self, channels: int, rng: torch.Generator, width: float = 1.0, momentum: float = BN_MOMENTUM
    ) -> None:
        super().__init__()
        stem, before = narrowed(64, width), narrowed(192, width)
        self.first = Unit(channels, stem, 7, 2)
        self.second = nn.Sequential(Unit(stem, stem, 1), Unit(stem, before, 3))
        self.mixed = nn.ModuleDict()
        for name, published in MIXED.items():
            to = published.at(width)
            self.mixed[name] = Mixed(before, to)
            before = to.all
        self.features = before
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
            if isinstance(layer, nn.BatchNorm3d):
                layer.momentum = momentum

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = _pooled(self.first(x), (1, 3, 3), (1, 2, 2))
        x = _pooled(self.second(x), (1, 3, 3), (1, 2, 2))
        for name, block in self.mixed.items():
            if name in POOLED_BEFORE:
                x = _pooled(x, *POOLED_BEFORE[name])
            x = block(x)
        return x


def quickest(device: torch.device) -> torch.dtype:
    """The number format in which a trained network is asked: bfloat16 where a processor has units for it.

    It keeps 8 bits of each number between layers, sums are in 32: what that costs in log-odds is measured in
    docs/covid3d.md. Elsewhere, and wherever gradients are wanted, 32 bit.
    """
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


def bytes_kept(trunk: nn.Module, shape: tuple[int, ...]) -> int:
    """Bytes that a pass over films (B, C, D, H, W) keeps for the gradients; nothing is computed."""
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[id(tensor.untyped_storage())] = tensor
        return tensor

    shadow = deepcopy(trunk).to("meta").train()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        shadow(torch.empty(shape, device="meta"))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def _pooled(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """The highest in each window; nothing here is below 0, so zeros around x never win and are left out."""
    before = [lacking // 2 for lacking in lacks(x, kernel, stride)]
    return F.max_pool3d(x, kernel, stride, before, ceil_mode=True)


def highest_around(x: Tensor) -> Tensor:
    """The highest of the 27 neighbours, (B, C, D, H, W): axis by axis, a fourth of the library's time."""
    for axis in (2, 3, 4):
        if (last := x.shape[axis] - 1) < 1:
            continue
        left, right = x.narrow(axis, 0, last), x.narrow(axis, 1, last)
        found = x.clone()
        for there, other in ((found.narrow(axis, 0, last), right), (found.narrow(axis, 1, last), left)):
            torch.maximum(there, other, out=there)
        x = found
    return x


# ------------------------------------------------------------------------------------ weights from elsewhere

_UNIT = {
    "conv3d.weight": "conv.weight",
    **{f"bn.{part}": f"norm.{part}" for part in ("weight", "bias", "running_mean", "running_var")},
}
_BRANCH = {
    "b0": "point",
    "b1a": "mid.0",
    "b1b": "mid.1",
    "b2a": "small.0",
    "b2b": "small.1",
    "b3b": "pooled",
}


def published_names() -> dict[str, str]:
    """Names of the public state -> names here; the counters of batches and the head are not among them."""
    units = {"Conv3d_1a_7x7": "first", "Conv3d_2b_1x1": "second.0", "Conv3d_2c_3x3": "second.1"}
    units |= {
        f"Mixed_{block}.{theirs}": f"mixed.{block}.{ours}"
        for block in MIXED
        for theirs, ours in _BRANCH.items()
    }
    return {
        f"{theirs}.{part}": f"{ours}.{own}" for theirs, ours in units.items() for part, own in _UNIT.items()
    }


def from_published(state: Mapping[str, Tensor], channels: int) -> dict[str, Tensor]:
    """The trunk's state out of a public I3D's; its head, made for films, is left behind.

    channels  of our first convolution: as many as the file's, or 1: then its filters are summed over the
              colours, which answers to a grey picture as they do to three equal channels
    DataError names the first tensor that is missing, unknown or of another shape.
    """
    wanted = published_names()
    trunk = {k: v for k, v in state.items() if not k.startswith("logits.") and "num_batches" not in k}
    if strange := sorted(set(trunk) ^ set(wanted)):
        there = "is not known" if strange[0] in trunk else "is missing"
        raise DataError(
            f"these are no weights of an I3D: {strange[0]!r} {there} ({len(strange)} tensor(s) differ in all)"
        )
    ours = {own: trunk[theirs].float() for theirs, own in wanted.items()}
    first = ours["first.conv.weight"]
    if first.shape[1] != channels:
        if channels != 1:
            raise DataError(f"these weights read {first.shape[1]} channels, and {channels} are wanted")
        ours["first.conv.weight"] = first.sum(1, keepdim=True)
    made = Inception3D(channels, torch.Generator()).state_dict()
    for name, part in ours.items():
        if part.shape != made[name].shape:
            shape = tuple(made[name].shape)
            raise DataError(f"these are no weights of an I3D: {name!r} is {tuple(part.shape)}, not {shape}")
    counters = {name: part for name, part in made.items() if name.endswith("num_batches_tracked")}
    return {**counters, **ours}
