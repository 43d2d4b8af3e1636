"""Encoders that turn a slice into features at five sizes, each of half the size of the one before.

    light       residual blocks in any width: for one core and few labels
    resnext50   ResNeXt-50 32x4d (Xie et al., Aggregated residual transformations, 2017)
    res2net50   Res2Net-50 v1b 26w x 4s (Gao et al., Res2Net, 2021), as Inf-Net uses it
    mobilenet   MobileNetV2, see `nn.backbones`

Each takes (B, C, H, W) with H and W multiples of 32 and gives a list of five maps at 1/2, 1/4, 1/8, 1/16 and
1/32 of the size; `widths` names their channels. All start from random weights; none are downloaded.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import PYRAMID_WIDTHS, MobileNetV2

STRIDE = 32  # of the coarsest map
LIGHT_WIDTH = 16


def convolve(channels_in: int, f: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias, for a normalisation follows; stride 2 halves even sizes."""
    return nn.Conv2d(channels_in, f, size, stride=stride, padding=size // 2, groups=groups, bias=False)


def conv_norm(channels_in: int, f: int, size: int = 3, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution and batch normalisation, without activation."""
    return [convolve(channels_in, f, size, stride, groups), nn.BatchNorm2d(f)]


class Residual(nn.Module):
    """relu(branch(x) + shortcut(x)): one step of any residual network."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        return torch.relu(self.branch(x) + self.shortcut(x))


class EverySecond(nn.Module):
    """Every second row and column: what a 1x1 convolution of stride 2 looks at.

    Taken before the convolution, not by its stride: torch 2.13 on a CPU writes beyond its memory in the
    backward pass of such a convolution where it has less than 16 channels laid out last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H / 2, W / 2)."""
        return x[:, :, ::2, ::2]


class Light(nn.Module):
    """Residual blocks of two 3x3 convolutions, `width` channels at half size, doubled at each halving."""

    def __init__(self, channels_in: int = 1, width: int = LIGHT_WIDTH, blocks: int = 1) -> None:
        super().__init__()
        if width < 1 or blocks < 1:
            raise UsageError(f"a light encoder needs a width and blocks of 1 or more, got {width}, {blocks}")
        self.widths = tuple(width * 2**level for level in range(5))
        self.stem = nn.Sequential(*conv_norm(channels_in, width, 3, 2), nn.ReLU(inplace=True))
        entering = (width, *self.widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(
                _light_block(enters, f, stride=1 if level == 0 else 2),
                *(_light_block(f, f) for _ in range(blocks - 1)),
            )
            for level, (enters, f) in enumerate(zip(entering, self.widths, strict=True))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> five maps, finest first."""
        return climb(self.stem(x), self.stages)


def _light_block(channels_in: int, f: int, stride: int = 1) -> Residual:
    """Two 3x3 convolutions beside the identity, or beside mean and 1x1 convolution at a change of shape."""
    branch = nn.Sequential(*conv_norm(channels_in, f, 3, stride), nn.ReLU(inplace=True), *conv_norm(f, f))
    if stride == 1 and channels_in == f:
        return Residual(branch, nn.Identity())
    return Residual(branch, nn.Sequential(nn.AvgPool2d(stride), *conv_norm(channels_in, f, 1)))


def climb(x: Tensor, stages: nn.ModuleList) -> list[Tensor]:
    """What each stage makes of the one before."""
    pyramid = []
    for stage in stages:
        x = stage(x)
        pyramid.append(x)
    return pyramid


class MobileNet(MobileNetV2):
    """MobileNetV2 with its channels written on it; torch's padding unless told otherwise."""

    widths = PYRAMID_WIDTHS

    def __init__(self, channels_in: int = 1) -> None:
        super().__init__(channels_in, keras_padding=False)


class Bottlenecks(nn.Module):
    """The trunk of a residual network of 50 layers: a stem at half size, then stages of 3, 4, 6, 3 blocks.

    stem   (B, C, H, W) -> (B, 64, H / 2, W / 2)
    block  what makes one block, from (channels in, planes, stride); it leaves 4 x planes channels
    """

    widths = (64, 256, 512, 1024, 2048)
    BLOCKS = (3, 4, 6, 3)

    def __init__(self, stem: nn.Module, block: Callable[[int, int, int], nn.Module]) -> None:
        super().__init__()
        self.stem = stem
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.stages = nn.ModuleList()
        for level, count in enumerate(self.BLOCKS):
            planes, f = 64 * 2**level, self.widths[level + 1]
            first = block(self.widths[level], planes, 1 if level == 0 else 2)
            self.stages.append(nn.Sequential(first, *(block(f, planes, 1) for _ in range(count - 1))))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> five maps, finest first."""
        x = self.stem(x)
        return [x, *climb(self.pool(x), self.stages)]


class ResNeXt50(Bottlenecks):
    """ResNeXt-50 32x4d without its classifier: 3x3 convolutions in 32 groups."""

    def __init__(self, channels_in: int = 1) -> None:
        stem = nn.Sequential(*conv_norm(channels_in, 64, 7, 2), nn.ReLU(inplace=True))
        super().__init__(stem, _resnext_block)


def _resnext_block(channels_in: int, planes: int, stride: int) -> Residual:
    """1x1 down to twice the planes, 3x3 in 32 groups, 1x1 up to four times the planes."""
    wide, f = 2 * planes, 4 * planes
    branch = nn.Sequential(
        *conv_norm(channels_in, wide, 1),
        nn.ReLU(inplace=True),
        *conv_norm(wide, wide, 3, stride, groups=32),
        nn.ReLU(inplace=True),
        *conv_norm(wide, f, 1),
    )
    if stride == 1 and channels_in == f:
        return Residual(branch, nn.Identity())
    taken = [EverySecond()] if stride == 2 else []
    return Residual(branch, nn.Sequential(*taken, *conv_norm(channels_in, f, 1)))


class Res2Net50(Bottlenecks):
    """Res2Net-50 v1b 26w x 4s without its classifier: three small convolutions as stem, pooled shortcuts."""

    def __init__(self, channels_in: int = 1) -> None:
        stem = nn.Sequential(
            *conv_norm(channels_in, 32, 3, 2),
            nn.ReLU(inplace=True),
            *conv_norm(32, 32),
            nn.ReLU(inplace=True),
            *conv_norm(32, 64),
            nn.ReLU(inplace=True),
        )
        super().__init__(stem, _res2net_block)


def _res2net_block(channels_in: int, planes: int, stride: int) -> Residual:
    """1x1, the split convolutions, 1x1; the shortcut averages before it convolves."""
    narrow, f = planes * 26 // 64, 4 * planes
    changes = stride > 1 or channels_in != f
    branch = nn.Sequential(
        *conv_norm(channels_in, 4 * narrow, 1),
        nn.ReLU(inplace=True),
        Scales(narrow, stride, first=changes),
        *conv_norm(4 * narrow, f, 1),
    )
    if not changes:
        return Residual(branch, nn.Identity())
    pooled = [nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)] if stride > 1 else []
    return Residual(branch, nn.Sequential(*pooled, *conv_norm(channels_in, f, 1)))


class Scales(nn.Module):
    """Four parts of the channels; three are convolved, each after the sum with the one before.

    The first block of a stage does not sum, and averages the fourth part (3x3), as the released code does;
    the others leave it as it is.
    """

    def __init__(self, narrow: int, stride: int, first: bool) -> None:
        super().__init__()
        self.narrow, self.first = narrow, first
        self.convs = nn.ModuleList(
            nn.Sequential(*conv_norm(narrow, narrow, 3, stride), nn.ReLU(inplace=True)) for _ in range(3)
        )
        self.rest = nn.AvgPool2d(3, stride=stride, padding=1) if first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4 narrow, H, W) -> (B, 4 narrow, H / stride, W / stride)."""
        *parts, last = x.split(self.narrow, 1)
        out: list[Tensor] = []
        for part, conv in zip(parts, self.convs, strict=True):
            out.append(conv(part if self.first or not out else part + out[-1]))
        return torch.cat([*out, self.rest(last)], 1)


ENCODERS: dict[str, Callable[[int], nn.Module]] = {
    "resnext50": ResNeXt50,
    "res2net50": Res2Net50,
    "mobilenet": MobileNet,
}


def make_encoder(name: str, channels_in: int = 1, width: int = LIGHT_WIDTH) -> nn.Module:
    """An encoder by its name, see the head of this file; `width` is that of 'light' alone."""
    if name == "light":
        return Light(channels_in, width)
    if name not in ENCODERS:
        raise UsageError(f"there is no encoder {name!r}; there are light, {', '.join(ENCODERS)}")
    return ENCODERS[name](channels_in)


def refuse_odd_sizes(x: Tensor, channels: int) -> None:
    """ShapeError unless x is (B, channels, H, W) with H and W multiples of 32."""
    if x.ndim != 4 or x.shape[1] != channels or x.shape[2] % STRIDE or x.shape[3] % STRIDE or not x.numel():
        raise ShapeError(
            f"the network reads (B, {channels}, H, W) with H and W multiples of {STRIDE}, got "
            f"{tuple(x.shape)}; pad or resize the slices"
        )


def initialise_he(module: nn.Module, rng: torch.Generator) -> None:
    """Give every convolution and dense layer He normal weights from `rng`, and zero bias.

    He et al., Delving deep into rectifiers (2015), by the inputs of a unit (fan-in).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
