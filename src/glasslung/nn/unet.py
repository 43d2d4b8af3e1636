"""A U-Net over any encoder of `nn.encoders`: five storeys up, each joined with the encoder's map of its size.

Ronneberger et al., U-Net (2015), in the shape of the segmentation_models package, which the released code of
U-SVAE and StichNet builds its U-Net with: nearest-neighbour up-sampling, skip joined, two 3x3 convolutions
with batch normalisation; widths 256, 128, 64, 32, 16; the last storey has no skip.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.encoders import LIGHT_WIDTH, conv_norm, make_encoder, refuse_odd_sizes

GREYS = ("window", "slice")
STOREYS = (16, 8, 4, 2, 1)  # widths of the storeys, in units of the last one's
DECODER_WIDTH = 16
FLAT = 1e-3  # a deviation of a quarter of a grey level: an empty slice stays flat


def present(image: Tensor, greys: str = "window") -> Tensor:
    """Slices as a U-Net is shown them: (B, 1, H, W) in [0, 1] -> the same shape.

    window  [0, 1] becomes [-1, 1]: a grey value means the same on every slice
    slice   each slice is brought to mean 0 and deviation 1: for pictures whose windows differ
    """
    if greys == "window":
        return encoder_scale(image)
    if greys != "slice":
        raise UsageError(f"greys is one of {', '.join(GREYS)}, got {greys!r}")
    spread, mean = torch.std_mean(image, (1, 2, 3), correction=0, keepdim=True)
    return (image - mean) / (spread + FLAT)


class Storey(nn.Module):
    """Twice the height and width, joined with the skip, two convolutions to f channels."""

    def __init__(self, channels_in: int, skip: int, f: int) -> None:
        super().__init__()
        self.join = nn.Sequential(
            *conv_norm(channels_in + skip, f), nn.ReLU(inplace=True), *conv_norm(f, f), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        """(B, in, H, W) and a skip (B, skip, 2H, 2W) or None -> (B, f, 2H, 2W)."""
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.join(x if skip is None else torch.cat([x, skip], 1))


class Decoder(nn.Module):
    """From an encoder's five maps to features of the slice's size, or of half of it.

    widths  channels of the encoder's maps, finest first
    width   channels of the last storey; the others have 16, 8, 4 and 2 times as many
    storeys 5 for features at full size; 4 stops at half size and leaves the last doubling to the logits,
            for a third of a light network's time is spent in the last storey
    """

    def __init__(self, widths: tuple[int, ...], width: int = DECODER_WIDTH, storeys: int = 5) -> None:
        super().__init__()
        if width < 1 or storeys not in (4, 5):
            raise UsageError(
                f"a decoder needs a width of 1 or more and 4 or 5 storeys, got {width}, {storeys}"
            )
        targets = [width * times for times in STOREYS][:storeys]
        skips = [*reversed(widths[:-1]), 0][:storeys]
        entering = [widths[-1], *targets[:-1]]
        self.storeys = nn.ModuleList(Storey(*plan) for plan in zip(entering, skips, targets, strict=True))
        self.width = targets[-1]

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        """Five maps, finest first -> (B, width, H, W), or (B, 2 width, H / 2, W / 2) with four storeys."""
        x = pyramid[-1]
        skips: list[Tensor | None] = [*reversed(pyramid[:-1]), None]
        for storey, skip in zip(self.storeys, skips, strict=False):
            x = storey(x, skip)
        return x


class UNet(nn.Module):
    """Encoder, decoder and one 3x3 convolution: (B, C, H, W) -> (B, outputs, H, W), any multiples of 32.

    `encode`, `decode` and `answer` are the three steps, for methods that disturb what lies between them.
    """

    def __init__(self, encoder: nn.Module, channels_in: int, outputs: int, decoder: Decoder) -> None:
        super().__init__()
        self.channels_in = channels_in
        self.encoder, self.decoder = encoder, decoder
        self.head = nn.Conv2d(decoder.width, outputs, 3, padding=1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> the encoder's five maps, finest first."""
        refuse_odd_sizes(x, self.channels_in)
        pyramid: list[Tensor] = self.encoder(x)
        return pyramid

    def decode(self, pyramid: list[Tensor]) -> Tensor:
        """Five maps -> the features that the answer is read from."""
        features: Tensor = self.decoder(pyramid)
        return features

    def answer(self, features: Tensor, size: torch.Size | tuple[int, ...]) -> Tensor:
        """Features -> logits (B, outputs, *size)."""
        logits: Tensor = self.head(features)
        if logits.shape[2:] == size:
            return logits
        return F.interpolate(logits, size=tuple(size), mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, outputs, H, W)."""
        return self.answer(self.decode(self.encode(x)), x.shape[2:])


def make_unet(
    encoder: str = "light",
    outputs: int = 3,
    channels_in: int = 1,
    width: int = LIGHT_WIDTH,
    decoder_width: int | None = None,
    storeys: int = 5,
) -> UNet:
    """A U-Net by its encoder's name; `width` is that of the light encoder. Draw its weights afterwards.

    decoder_width  of the last storey; None: 16, but half of `width` beside the light encoder, whose time
                   would else be spent in the decoder
    """
    if decoder_width is None:
        decoder_width = max(1, width // 2) if encoder == "light" else DECODER_WIDTH
    net = make_encoder(encoder, channels_in, width)
    widths: tuple[int, ...] = net.widths  # type: ignore[assignment]
    return UNet(net, channels_in, outputs, Decoder(widths, decoder_width, storeys))
