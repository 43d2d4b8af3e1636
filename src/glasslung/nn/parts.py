"""What a ladder of latents is built from: the papers' parts, or slim ones that train in minutes on a CPU.

The slim parts keep the method (five levels of one channel, shared crush and expand, merge, U-Net decoder) and
change the size: fewer channels, one or two convolutions where the papers have ten. They normalise nothing:
batch normalisation lets slices of other ages change what one slice looks like, group normalisation takes away
how bright a lung is, and after a minute of training both showed lesions far worse than neither did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.backbones import CUT_WIDTHS, CutMobileNetV2
from glasslung.nn.blocks import (
    Decoder,
    DecoderBlock,
    Down,
    FilterCrush,
    FilterExpand,
    Head,
    Infer,
    Smooth,
    conv,
)

SLIM_WIDTHS = (8, 16, 32, 48, 64)  # a quarter of the papers' at the fine levels, where the time goes


class Parts(NamedTuple):
    """One set of parts, as functions that make them; f is a part's output channels.

    widths    channels of d_1 .. d_N, finest first
    features  channels the decoder hands to the heads
    backbone  backbone(keras_padding) -> the encoder; its `stages` are what its own momentum is set for
    crush     crush(f): (B, f, h, w) -> mean and log-variance, each (B, 1, h, w)
    expand    expand(f): (B, 1, h, w) -> (B, f, h, w)
    infer     infer(in, f): (B, in, h, w) -> (B, f, 2h, 2w)
    step      step(f, top): features (B, f or 2 f, h, w), below the top beside the level above -> (B, f, h, w)
    storey    one storey of the decoder, as `nn.blocks.DecoderBlock`
    head      head(in, out): the last layers, to raw channels
    """

    widths: tuple[int, ...]
    features: int
    backbone: Callable[[bool], nn.Module]
    crush: Callable[[int], nn.Module]
    expand: Callable[[int], nn.Module]
    infer: Callable[[int, int], nn.Module]
    step: Callable[[int, bool], nn.Module]
    storey: Callable[[int, int, int, int], nn.Module]
    head: Callable[[int, int], nn.Module]

    def decoder(self, beside: int = 1) -> Decoder:
        """The decoder of `beside` latents that stand side by side at every level."""
        coarse_first = self.widths[::-1]
        skips = tuple(beside * f for f in coarse_first)
        return Decoder(coarse_first, skips, self.features, self.storey)


# --------------------------------------------------------------------------------------------- slim parts


class Fold(nn.Sequential):
    """3x3 convolution, ReLU: (B, in, H, W) -> (B, f, H / stride, W / stride)."""

    def __init__(self, channels_in: int, f: int, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(channels_in, f, 3, stride, padding=1), nn.ReLU())


class SlimResBlock(nn.Module):
    """x plus one convolution of it."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.ReLU(), conv(f, f, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, f, H, W) -> (B, f, H, W)."""
        return x + self.branch(x)


class SlimBackbone(nn.Module):
    """Five stages, each halving the size: d_{n+1} is a function of d_n alone."""

    def __init__(self, keras_padding: bool = True) -> None:
        super().__init__()
        del keras_padding  # MobileNetV2's own matter
        entering = (1, *SLIM_WIDTHS[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(Fold(enters, f, stride=2), SlimResBlock(f))
            for enters, f in zip(entering, SLIM_WIDTHS, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, 1, H, W) in [-1, 1] -> d_1 .. d_5."""
        levels: list[Tensor] = []
        for stage in self.stages:
            levels.append(stage(levels[-1] if levels else x))
        return levels


class SlimCrush(nn.Module):
    """Features -> mean and log-variance of one latent channel, one trunk for both."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Fold(f, f), conv(f, 2, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, f, H, W) -> two (B, 1, H, W)."""
        mean, logvar = self.layers(x).chunk(2, 1)
        return mean, logvar


class SlimExpand(nn.Sequential):
    """(B, 1, H, W) -> (B, f, H, W)."""

    def __init__(self, f: int) -> None:
        super().__init__(conv(1, f, 3), nn.ReLU(), conv(f, f, 3), nn.ReLU())


class SlimInfer(nn.Sequential):
    """(B, in, H, W) -> (B, f, 2H, 2W)."""

    def __init__(self, channels_in: int, f: int) -> None:
        super().__init__(nn.ConvTranspose2d(channels_in, f, 4, stride=2, padding=1), nn.ReLU())


class SlimStorey(nn.Module):
    """One storey of the decoder: twice the size, joined with the skip, squeezed to f channels."""

    def __init__(self, channels_in: int, width: int, skip: int, f: int) -> None:
        super().__init__()
        self.rise = SlimInfer(channels_in, width)
        self.join = nn.Sequential(Fold(width + skip, f), SlimResBlock(f))

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(B, in, H, W) and a skip (B, skip, 2H, 2W) or None -> (B, f, 2H, 2W)."""
        x = self.rise(x)
        return self.join(x if skip is None else torch.cat([skip, x], 1))


def _paper_step(f: int, top: bool) -> nn.Module:
    return Smooth(f, f) if top else nn.Sequential(Down(2 * f, f), Smooth(f, f))


def _slim_step(f: int, top: bool) -> nn.Module:
    return nn.Sequential(Fold(f if top else 2 * f, f), SlimResBlock(f))


PAPER = Parts(
    widths=CUT_WIDTHS,
    features=16,
    backbone=lambda keras_padding: CutMobileNetV2(keras_padding=keras_padding),
    crush=FilterCrush,
    expand=FilterExpand,
    infer=Infer,
    step=_paper_step,
    storey=DecoderBlock,
    head=Head,
)
SLIM = Parts(
    widths=SLIM_WIDTHS,
    features=8,
    backbone=SlimBackbone,
    crush=SlimCrush,
    expand=SlimExpand,
    infer=SlimInfer,
    step=_slim_step,
    storey=SlimStorey,
    head=lambda channels_in, out: conv(channels_in, out, 3),
)
SETS = {"paper": PAPER, "slim": SLIM}


def parts_named(name: str) -> Parts:
    """The set of parts of that name; UsageError names those there are."""
    if name not in SETS:
        raise UsageError(f"there are no {name!r} parts; choose one of {', '.join(SETS)}")
    return SETS[name]
