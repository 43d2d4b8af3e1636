"""From decoder features to a distribution over grey values: the last layers, and what they stand for.

A head is a module; what it returns is a record that can say how likely an image is (`log_density`, nats per
pixel) and which picture it stands for (`mean`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn import density
from glasslung.nn.blocks import Head

RELU_FLOOR = 1e-7  # released code: ReLU, plus 1e-7
SOFTPLUS_FLOOR = 1e-4  # a softplus keeps its gradient where a ReLU is dead
SHARPEST_LOG_SCALE = -7.0  # a logistic narrower than a quarter of a grey level only costs digits
START_LOG_SCALE = math.log(0.1)  # an untrained logistic is a tenth of the grey scale wide
MIXTURE_OUTPUTS = 9  # raw numbers per pixel: 5 weights, 2 means, 2 sharpnesses
MIXTURE_START = (1.0, -2.0, -5.0, 0.0, -1.0, -0.8, 2.5, -0.4, 1.5)  # about the grey values of lung slices
DARK_START, WHITE_START = (0.07, 0.9, 100.0), 0.08  # a of the black spike, a and b of the dark, b of white
OWN_LOG_SHARPNESS = (0.3, 6.9)  # a + b of a pixel's own Betas: from almost flat to a few grey levels wide


@dataclass(frozen=True, eq=False)
class BetaPixels:
    """A Beta distribution per pixel: a, b (B, 1, H, W), both positive, float32.

    floor   added to the density before the logarithm; the released loss has 1e-7, 0 leaves the density alone
    margin  pixels are squeezed into [margin, 1 - margin]
    """

    a: Tensor
    b: Tensor
    floor: float = 0.0
    margin: float = density.PAPER_CLIP

    def log_density(self, image: Tensor) -> Tensor:
        """Nats per pixel, (B, 1, H, W)."""
        log_density = density.beta_log_density(image, self.a, self.b, self.margin)
        if self.floor == 0:
            return log_density
        return torch.logaddexp(log_density, torch.full_like(log_density, math.log(self.floor)))

    def paper_log_density(self, image: Tensor) -> Tensor:
        """Nats per pixel in the units of the paper's table, (B, 1, H, W) float64."""
        return density.paper_units_log_density(image, self.a, self.b)

    def mean(self) -> Tensor:
        """The picture, (B, 1, H, W) in [0, 1]."""
        return density.beta_mean(self.a, self.b)


@dataclass(frozen=True, eq=False)
class MixturePixels:
    """A mixture of discretised logistics per pixel; weight_logits, means, log_scales (B, M, H, W) float32."""

    weight_logits: Tensor
    means: Tensor
    log_scales: Tensor

    def log_density(self, image: Tensor) -> Tensor:
        """Nats per pixel, (B, 1, H, W): a probability of one of 256 grey levels, so never above 0."""
        return density.logistic_mixture_log_density(image, self.weight_logits, self.means, self.log_scales)

    def mean(self) -> Tensor:
        """The picture, (B, 1, H, W) in [0, 1]."""
        return density.logistic_mixture_mean(self.weight_logits, self.means)


@dataclass(frozen=True, eq=False)
class BetaMixturePixels:
    """Five Betas per pixel: three whose shapes all pixels share, two of the pixel's own.

    log_weights         (B, 5, H, W), log-normalised: black spike, dark, white spike, own, own
    shared_a, shared_b  (1, 3, 1, 1) float64: their normalisers need the digits
    a, b                (B, 2, H, W) of the pixel's own
    margin              pixels are squeezed into [margin, 1 - margin]
    """

    log_weights: Tensor
    shared_a: Tensor
    shared_b: Tensor
    a: Tensor
    b: Tensor
    margin: float = density.PAPER_CLIP

    def log_density(self, image: Tensor) -> Tensor:
        """Nats per pixel, (B, 1, H, W)."""
        shared = density.beta_log_density(image, self.shared_a, self.shared_b, self.margin)
        own = density.beta_log_density(image, self.a, self.b, self.margin)
        return torch.logsumexp(self.log_weights + torch.cat([shared.to(own), own], 1), 1, keepdim=True)

    def paper_log_density(self, image: Tensor) -> Tensor:
        """Nats per pixel in the units of the paper's table, (B, 1, H, W) float64."""
        log_density = density.beta_mixture_log_density(image.double(), *self.components(), self.margin)
        return torch.logaddexp(log_density, torch.full_like(log_density, math.log(density.PAPER_FLOOR)))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, a and b of all five, each (B, 5, H, W) float64."""
        like = self.a.double()
        shared = [part.expand(len(like), -1, *like.shape[2:]) for part in (self.shared_a, self.shared_b)]
        return (
            self.log_weights.double(),
            torch.cat([shared[0], like], 1),
            torch.cat([shared[1], self.b.double()], 1),
        )

    def with_spike(self, sharpness: float) -> BetaMixturePixels:
        """The same pixels with another black spike, Beta(best a, sharpness): what the spike alone earns."""
        best = (density.spike_shape(sharpness, self.margin), sharpness)
        parts = []
        for part, value in zip((self.shared_a, self.shared_b), best, strict=True):
            parts.append(torch.cat([torch.full_like(part[:, :1], value), part[:, 1:]], 1))
        return replace(self, shared_a=parts[0], shared_b=parts[1])

    def mean(self) -> Tensor:
        """The picture, (B, 1, H, W) in [0, 1]."""
        log_weights, a, b = self.components()
        return (log_weights.exp() * density.beta_mean(a, b)).sum(1, keepdim=True).float()


class BetaHead(nn.Module):
    """Features (B, C, H, W) -> BetaPixels, with a Visual and a 7x7 convolution for each of a and b.

    positive 'relu' is the released ReLU + 1e-7; 'softplus' keeps a gradient everywhere. head(in, out) makes
    the layers.
    """

    def __init__(
        self,
        channels_in: int,
        positive: str = "softplus",
        floor: float = 0.0,
        head: Callable[[int, int], nn.Module] = Head,
    ) -> None:
        super().__init__()
        self.positive, self.floor = positive, floor
        self.a, self.b = head(channels_in, 1), head(channels_in, 1)

    def forward(self, features: Tensor) -> BetaPixels:
        """What each pixel may be."""
        return BetaPixels(self._positive(self.a(features)), self._positive(self.b(features)), self.floor)

    def _positive(self, raw: Tensor) -> Tensor:
        raw = raw.float()
        return F.relu(raw) + RELU_FLOOR if self.positive == "relu" else F.softplus(raw) + SOFTPLUS_FLOOR


class MixtureHead(nn.Module):
    """Features (B, C, H, W) -> MixturePixels with `components` logistics per pixel."""

    def __init__(
        self, channels_in: int, components: int = 5, head: Callable[[int, int], nn.Module] = Head
    ) -> None:
        super().__init__()
        self.components = components
        self.head = head(channels_in, 3 * components)

    def forward(self, features: Tensor) -> MixturePixels:
        """What each pixel may be. The components start spread over the grey scale, a tenth of it wide."""
        weights, means, scales = self.head(features).float().chunk(3, 1)
        start = torch.linspace(0, 1, self.components + 2, device=means.device)[1:-1].view(1, -1, 1, 1)
        log_scales = SHARPEST_LOG_SCALE + F.softplus(scales + START_LOG_SCALE - SHARPEST_LOG_SCALE)
        return MixturePixels(weights, start + means, log_scales)


class BetaMixtureHead(nn.Module):
    """Raw numbers (B, 9, H, W) of each pixel -> BetaMixturePixels.

    spike  b of the black spike and a of the white one. Bounded on purpose: under the clip of the paper's
           units a black pixel's score grows without end as the spike gets sharper.
    """

    def __init__(self, spike: float) -> None:
        super().__init__()
        self.spike = spike
        self.shared = nn.Parameter(torch.tensor([*DARK_START, WHITE_START]).log())

    def forward(self, raw: Tensor) -> BetaMixturePixels:
        """What each pixel may be."""
        raw = raw.float()
        black_a, dark_a, dark_b, white_b = self.shared.double().exp().unbind()
        spike = torch.full_like(black_a, self.spike)
        lowest, highest = OWN_LOG_SHARPNESS
        means = torch.sigmoid(raw[:, 5::2]).clamp(1e-4, 1 - 1e-4)
        sharpness = torch.exp(lowest + (highest - lowest) * torch.sigmoid(0.6 * (raw[:, 6::2] - 2.5)))
        return BetaMixturePixels(
            torch.log_softmax(raw[:, :5], 1),
            torch.stack([black_a, dark_a, spike]).view(1, 3, 1, 1),
            torch.stack([spike, dark_b, white_b]).view(1, 3, 1, 1),
            means * sharpness,
            (1 - means) * sharpness,
        )
