"""The building blocks that U-SVAE, CAGE and StichNet share.

Notation  f: a block's output channels. Every convolution is 'same', stride 1, with bias, unless its name says
          else. C-N-R: convolution, batch normalisation, ReLU.
Low/High  a block is Low when f <= 64 and High (a bottleneck of f/4) above, as the released code has it; the
          paper's text decides by the input's channels.

Source: Zammit et al., U-SVAE / CAGE, section on building blocks, with the released code's deviations (two
convolutions in a Low ResBlock, three ResBlocks in Smooth).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

LOW_CHANNELS = 64  # the widest block that is still Low
NORM_EPSILON = 1e-3  # Keras' default, which the released code uses
NORM_MOMENTUM = 0.01  # Keras' 0.99 in torch's counting


def norm(channels: int, momentum: float = NORM_MOMENTUM) -> nn.BatchNorm2d:
    """Batch normalisation with the released code's constants."""
    return nn.BatchNorm2d(channels, eps=NORM_EPSILON, momentum=momentum)


def conv(channels_in: int, channels_out: int, size: int) -> nn.Conv2d:
    """A convolution that keeps height and width; `size` is odd."""
    return nn.Conv2d(channels_in, channels_out, size, padding=size // 2)


def chain(channels: list[int], sizes: list[int], activate_last: bool = True) -> list[nn.Module]:
    """C-N-R for each size in turn; without `activate_last` the last one is a bare convolution."""
    layers: list[nn.Module] = []
    for (left, right), size in zip(pairwise(channels), sizes, strict=True):
        layers += [conv(left, right, size), norm(right), nn.ReLU()]
    return layers if activate_last else layers[:-2]


def bottleneck(channels_in: int, f: int) -> tuple[list[int], list[int]]:
    """Channels and kernel sizes of a block's two (Low) or three (High) convolutions."""
    if f <= LOW_CHANNELS:
        return [channels_in, f, f], [3, 3]
    return [channels_in, f // 4, f // 4, f], [1, 3, 1]


class ResBlock(nn.Module):
    """x + convolutions of x, normalised before each convolution; nothing is activated after the sum."""

    def __init__(self, f: int) -> None:
        super().__init__()
        channels, sizes = bottleneck(f, f)
        layers: list[nn.Module] = []
        for (left, right), size in zip(pairwise(channels), sizes, strict=True):
            layers += [norm(left), nn.ReLU(), conv(left, right, size)]
        self.branch = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(B, f, H, W) -> (B, f, H, W)."""
        return x + self.branch(x)


class Smooth(nn.Sequential):
    """Head convolutions, `blocks` ResBlocks, then normalised and activated: (B, in, H, W) -> (B, f, H, W).

    Three ResBlocks make the paper's Smooth, one its LightSmooth, none its SkelaSmooth.
    """

    def __init__(self, channels_in: int, f: int, blocks: int = 3) -> None:
        head = chain(*bottleneck(channels_in, f), activate_last=False)
        super().__init__(*head, *(ResBlock(f) for _ in range(blocks)), norm(f), nn.ReLU())


class LightSmooth(Smooth):
    """A Smooth with one ResBlock."""

    def __init__(self, channels_in: int, f: int) -> None:
        super().__init__(channels_in, f, blocks=1)


class SkelaSmooth(Smooth):
    """A Smooth without ResBlocks."""

    def __init__(self, channels_in: int, f: int) -> None:
        super().__init__(channels_in, f, blocks=0)


class Up(nn.Sequential):
    """To f channels before features are expanded; height and width stay."""

    def __init__(self, channels_in: int, f: int) -> None:
        super().__init__(*chain([channels_in, f], [3 if f <= LOW_CHANNELS else 1]))


class Down(nn.Sequential):
    """To f channels when features are squeezed; height and width stay."""

    def __init__(self, channels_in: int, f: int) -> None:
        low = f <= LOW_CHANNELS
        super().__init__(*chain([channels_in, f] if low else [channels_in, f, f], [3] if low else [1, 3]))


class Transpose(nn.Sequential):
    """Twice the height and width: (B, in, H, W) -> (B, f, 2H, 2W)."""

    def __init__(self, channels_in: int, f: int) -> None:
        if f <= LOW_CHANNELS:
            super().__init__(nn.ConvTranspose2d(channels_in, f, 4, stride=2, padding=1), norm(f), nn.ReLU())
            return
        narrow = f // 4
        super().__init__(
            *chain([channels_in, narrow], [1]),
            nn.ConvTranspose2d(narrow, narrow, 4, stride=2, padding=1),
            norm(narrow),
            nn.ReLU(),
            *chain([narrow, f], [1]),
        )


class Infer(nn.Sequential):
    """From the expansion one level up to features of this level: (B, in, H, W) -> (B, f, 2H, 2W)."""

    def __init__(self, channels_in: int, f: int) -> None:
        super().__init__(Transpose(channels_in, f), LightSmooth(f, f))


class Visual(nn.Sequential):
    """The last features before an output map: (B, in, H, W) -> (B, f, H, W)."""

    def __init__(self, channels_in: int, f: int = 8) -> None:
        super().__init__(Down(channels_in, f), LightSmooth(f, f))


class FilterCrush(nn.Module):
    """From f channels to a Gaussian over one: a shared trunk, a head for mean and one for log-variance."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(Down(f, f // 2), LightSmooth(f // 2, f // 2))
        self.mean = self._head(f)
        self.logvar = self._head(f)

    @staticmethod
    def _head(f: int) -> nn.Sequential:
        return nn.Sequential(Down(f // 2, f // 4), LightSmooth(f // 4, f // 4), conv(f // 4, 1, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, f, H, W) -> mean and log-variance, each (B, 1, H, W)."""
        trunk = self.trunk(x)
        return self.mean(trunk), self.logvar(trunk)


class FilterExpand(nn.Sequential):
    """From a latent of one channel back to f channels: (B, 1, H, W) -> (B, f, H, W)."""

    def __init__(self, f: int) -> None:
        super().__init__(
            Up(1, f // 4),
            LightSmooth(f // 4, f // 4),
            Up(f // 4, f // 2),
            LightSmooth(f // 2, f // 2),
            Smooth(f // 2, f),
        )


class DecoderBlock(nn.Module):
    """One storey of the U-Net decoder: twice the size, joined with the skip, squeezed to f channels."""

    def __init__(self, channels_in: int, width: int, skip: int, f: int) -> None:
        super().__init__()
        self.rise = nn.Sequential(Transpose(channels_in, width), LightSmooth(width, width))
        self.join = nn.Sequential(Down(width + skip, f), Smooth(f, f))

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(B, in, H, W) and a skip (B, skip, 2H, 2W) or None -> (B, f, 2H, 2W)."""
        x = self.rise(x)
        return self.join(x if skip is None else torch.cat([skip, x], 1))  # skip first, as released


class Decoder(nn.Module):
    """The U-Net decoder: expansions from the coarsest to the finest level -> features at full size.

    widths  channels of the levels, coarsest first: (512, 256, 128, 64, 32)
    skips   channels of each level's input, equal to `widths` unless several latents stand side by side
    storey  what makes one storey, from (channels in, width, skip, f)
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        skips: tuple[int, ...],
        out: int = 16,
        storey: Callable[[int, int, int, int], nn.Module] = DecoderBlock,
    ) -> None:
        super().__init__()
        targets = (*widths[1:], out)
        beside = (*skips[1:], 0)
        entering = (skips[0], *targets[:-1])
        self.blocks = nn.ModuleList(
            storey(enters, width, skip, f)
            for enters, width, skip, f in zip(entering, widths, beside, targets, strict=True)
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        """levels, coarsest first: (B, 512, H/32, W/32) ... (B, 32, H/2, W/2) -> (B, out, H, W)."""
        x = levels[0]
        for block, skip in zip(self.blocks, [*levels[1:], None], strict=True):
            x = block(x, skip)
        return x


class Head(nn.Sequential):
    """A Visual and a 7x7 convolution to `out` raw channels: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, channels_in: int, out: int = 1) -> None:
        super().__init__(Visual(channels_in), conv(8, out, 7))


def initialise_glorot(module: nn.Module, rng: torch.Generator) -> None:
    """Give every convolution and dense layer Keras' start: Glorot uniform weights from `rng`, zero bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def set_norm_momentum(module: nn.Module, momentum: float) -> None:
    """How fast the batch normalisations in `module` forget: 1 keeps the last batch only, 0 never learns."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = momentum


def count_parameters(module: nn.Module) -> int:
    """How many numbers are trained in `module`."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
