"""Encoders: MobileNetV2, whole or cut into the five stages of U-SVAE, CAGE and StichNet.

Sandler et al., MobileNetV2 (2018). Stages, adapters and the lost residual of block 11 as in the released
U-SVAE code. Every network here starts from random weights.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn.blocks import NORM_EPSILON, Down, Up

MOBILENET_MOMENTUM = 0.001  # Keras' MobileNetV2 normalises with 0.999
CUT_WIDTHS = (32, 64, 128, 256, 512)  # channels of d1 .. d5
PYRAMID_WIDTHS = (96, 144, 192, 576, 1280)  # channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size


class BlockPlan(NamedTuple):
    """One inverted residual: channels of its output, stride, whether it widens six-fold first."""

    out: int
    stride: int
    expand: int = 6


#: Blocks 0 to 16 of MobileNetV2 with width multiplier 1.
PLAN = (
    BlockPlan(16, 1, 1),
    *(BlockPlan(24, 2), BlockPlan(24, 1)),
    *(BlockPlan(32, 2), BlockPlan(32, 1), BlockPlan(32, 1)),
    *(BlockPlan(64, 2), BlockPlan(64, 1), BlockPlan(64, 1), BlockPlan(64, 1)),
    *(BlockPlan(96, 1), BlockPlan(96, 1), BlockPlan(96, 1)),
    *(BlockPlan(160, 2), BlockPlan(160, 1), BlockPlan(160, 1)),
    BlockPlan(320, 1),
)


class Stride2Pad(nn.Module):
    """The padding in front of a 3x3 convolution of stride 2.

    keras: nothing on top and left, one row and column at the bottom and right for even sizes (one all around
    for odd ones); otherwise one all around, as torch does. Both halve the size; the sampling grid differs by
    half a pixel.
    """

    def __init__(self, keras: bool) -> None:
        super().__init__()
        self.keras = keras

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> padded."""
        height, width = x.shape[-2:]
        top, left = (height % 2, width % 2) if self.keras else (1, 1)
        return F.pad(x, (left, 1, top, 1))


def _convolve(channels_in: int, f: int, size: int, stride: int, keras_padding: bool, groups: int = 1) -> list:
    """Convolution without bias and its normalisation, padded as MobileNetV2 pads."""
    pads = [Stride2Pad(keras_padding)] if stride == 2 else []
    padding = 0 if stride == 2 else size // 2
    layer = nn.Conv2d(channels_in, f, size, stride=stride, padding=padding, groups=groups, bias=False)
    return [*pads, layer, nn.BatchNorm2d(f, eps=NORM_EPSILON, momentum=MOBILENET_MOMENTUM)]


class InvertedResidual(nn.Module):
    """Widen (1x1), filter each channel (3x3), narrow (1x1); the input is added where shapes allow.

    The two halves can be called apart, because U-SVAE cuts the network after the widening.
    """

    def __init__(self, channels_in: int, plan: BlockPlan, keras_padding: bool) -> None:
        super().__init__()
        wide = channels_in * plan.expand
        self.residual = plan.stride == 1 and channels_in == plan.out
        self.widen = nn.Sequential(
            *([*_convolve(channels_in, wide, 1, 1, keras_padding), nn.ReLU6()] if plan.expand > 1 else [])
        )
        self.narrow = nn.Sequential(
            *_convolve(wide, wide, 3, plan.stride, keras_padding, groups=wide),
            nn.ReLU6(),
            *_convolve(wide, plan.out, 1, 1, keras_padding),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H / stride, W / stride)."""
        y = self.narrow(self.widen(x))
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """The whole network without its classifier; `forward` gives features at five sizes, finest first."""

    def __init__(self, channels_in: int = 1, keras_padding: bool = True) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolve(channels_in, 32, 3, 2, keras_padding), nn.ReLU6())
        entering = (32, *(plan.out for plan in PLAN[:-1]))
        self.blocks = nn.ModuleList(
            InvertedResidual(enters, plan, keras_padding) for enters, plan in zip(entering, PLAN, strict=True)
        )
        self.top = nn.Sequential(*_convolve(PLAN[-1].out, 1280, 1, 1, keras_padding), nn.ReLU6())

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> five feature maps with `PYRAMID_WIDTHS` channels at 1/2 ... 1/32 of the size."""
        pyramid = []
        x = self.stem(x)
        for index, (plan, block) in enumerate(zip(PLAN, self.blocks, strict=True)):
            if plan.stride == 2 and index > 0:
                assert isinstance(block, InvertedResidual)
                pyramid.append(block.widen(x))
                x = block.narrow(pyramid[-1])
            else:
                x = block(x)
        return [*pyramid, self.top(x)]


class CutMobileNetV2(nn.Module):
    """MobileNetV2 cut into five stages, each squeezed to `CUT_WIDTHS` channels and widened again for the
    next.

    So d_{n+1} is a function of d_n alone. The cut in front of stage 5 falls inside block 11: its input is no
    longer there to be added, and the block has no residual (as in the released code).
    """

    CUT_BLOCKS = (1, 3, 6, 11)  # the network is cut after the widening of these blocks

    def __init__(self, channels_in: int = 1, keras_padding: bool = True) -> None:
        super().__init__()
        net = MobileNetV2(channels_in, keras_padding)
        blocks: list[InvertedResidual] = list(net.blocks)  # type: ignore[arg-type]
        self.stages = nn.ModuleList()
        widths = []
        start: list[nn.Module] = [net.stem]
        first = 0
        for cut in self.CUT_BLOCKS:
            block = blocks[cut]
            self.stages.append(nn.Sequential(*start, *blocks[first:cut], block.widen))
            widths.append(PLAN[cut - 1].out * PLAN[cut].expand)
            start, first = [block.narrow], cut + 1
        self.stages.append(nn.Sequential(*start, *blocks[first:], net.top))
        self.up = nn.ModuleList(Up(f, wide) for f, wide in zip(CUT_WIDTHS[:-1], widths, strict=True))
        self.down = nn.ModuleList(Down(wide, f) for wide, f in zip([*widths, 1280], CUT_WIDTHS, strict=True))

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, C, H, W) in [-1, 1] -> d1 .. d5: (B, 32, H/2, W/2) ... (B, 512, H/32, W/32)."""
        levels: list[Tensor] = []
        for index, (stage, down) in enumerate(zip(self.stages, self.down, strict=True)):
            entering = x if index == 0 else self.up[index - 1](levels[-1])
            levels.append(down(stage(entering)))
        return levels


def encoder_scale(image: Tensor) -> Tensor:
    """Pixels in [0, 1] as the encoders want them: [-1, 1]."""
    return image * 2 - 1
