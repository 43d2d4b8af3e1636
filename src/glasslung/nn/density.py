"""How likely an image is: log-densities and divergences as pure functions, in nats.

Each `*_log_prob` gives one number per sample; its `*_log_density` twin gives the same per pixel, for maps and
for sums over a mask. No formula here knows a batch size, a data set or a step count.

Half-precision parameters are raised to float32 on entry: `lgamma` and differences of logarithms lose their
digits in bfloat16.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_TWO_PI = math.log(2 * math.pi)
GREY_LEVELS = 256
PAPER_CLIP = 1e-7  # facts of the released code: pixels are clipped to [1e-7, 1 - 1e-7] ...
PAPER_FLOOR = 1e-7  # ... and 1e-7 is added to the density before the logarithm


def sum_per_sample(x: Tensor) -> Tensor:
    """(B, ...) -> (B,): sums everything but the batch, so no formula below knows the batch size."""
    return x.flatten(1).sum(1)


def _raised(*tensors: Tensor) -> list[Tensor]:
    """The same tensors, float32 at least."""
    return [t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in tensors]


# ---------------------------------------------------------------------------------------------- Beta


def beta_log_density(x: Tensor, a: Tensor, b: Tensor, margin: float = PAPER_CLIP) -> Tensor:
    """log Beta(x; a, b) of each pixel, nats, shape of x.

    x in [0, 1] is squeezed into [margin, 1 - margin]: windowed CT is full of exact 0s and 1s, where the
    density of a Beta is 0 or infinite. The margin moves the score of a black pixel by whole nats (1e-7 about
    12.3, 1e-4 about 6.0 with b = 1), so figures may be compared only under the same margin. a, b > 0.
    """
    x, a, b = _raised(x, a, b)
    x = x.clamp(margin, 1 - margin)
    log_norm = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return (a - 1) * x.log() + (b - 1) * torch.log1p(-x) - log_norm


def beta_log_prob(x: Tensor, a: Tensor, b: Tensor, margin: float = PAPER_CLIP) -> Tensor:
    """log Beta(x; a, b) summed over pixels, in nats, (B, ...) -> (B,)."""
    return sum_per_sample(beta_log_density(x, a, b, margin))


def beta_mean(a: Tensor, b: Tensor) -> Tensor:
    """The picture a Beta per pixel stands for: its mean a / (a + b), in [0, 1]."""
    return a / (a + b)


def paper_units_log_density(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """What one pixel earns in the units of the paper's table: log(Beta(clip(x)) + 1e-7), nats, float64.

    Exactly the released evaluation: clip 1e-7 on both sides and 1e-7 inside the logarithm, which floors a
    pixel at -16.1 nats. Computed in float64, because in float32 the upper clip is 0.99999988, not 1 - 1e-7.
    Higher is better; the table prints the negative of the mean over the 64 x 64 pixels.
    """
    log_density = beta_log_density(x.double(), a.double(), b.double(), PAPER_CLIP)
    return torch.logaddexp(log_density, torch.full_like(log_density, math.log(PAPER_FLOOR)))


def paper_units(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Reconstruction term of the paper's table, nats per pixel, (B, ...) -> (B,) float64. Lower is better.

    Zammit et al., U-SVAE / CAGE, results table; the mean over groups (each one quarter) is the caller's.
    """
    return -paper_units_log_density(x, a, b).flatten(1).mean(1)


# ------------------------------------------------------------------------------------- mixture of Betas


def beta_mixture_log_density(
    x: Tensor, log_weights: Tensor, a: Tensor, b: Tensor, margin: float = PAPER_CLIP
) -> Tensor:
    """log density of each pixel under a mixture of Betas, nats, (B, 1, H, W).

    x            (B, 1, H, W) in [0, 1], squeezed by `margin` as in `beta_log_density`
    log_weights  (B, K, H, W), log-normalised over K
    a, b         (B, K, H, W) or broadcastable to it, > 0
    A component that puts its mass at 0 ("zero spike") earns without bound on black pixels as its b grows: say
    with which b a figure was made.
    """
    return torch.logsumexp(log_weights + beta_log_density(x, a, b, margin), 1, keepdim=True)


def spike_shape(sharpness: float, margin: float = PAPER_CLIP) -> float:
    """The a at which Beta(a, sharpness) is highest at a black pixel, that is at x = margin.

    Solves log x + digamma(a + b) - digamma(a) = 0, which has one root, by halving in log a.
    """
    low, high = math.log(1e-6), math.log(1e6)
    b = torch.tensor(sharpness, dtype=torch.float64)
    for _ in range(80):
        middle = torch.tensor(math.exp((low + high) / 2), dtype=torch.float64)
        slope = math.log(margin) + float(torch.digamma(middle + b) - torch.digamma(middle))
        low, high = ((low + high) / 2, high) if slope > 0 else (low, (low + high) / 2)
    return math.exp((low + high) / 2)


# ----------------------------------------------------------------------------------------- Bernoulli


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log Bernoulli(x; sigmoid(logits)) summed over pixels, nats, (B, ...) -> (B,).

    x in {0, 1} (a mask). For grey values in between this is the usual cross entropy, not a density: it does
    not integrate to one.
    """
    x, logits = _raised(x, logits)
    return -sum_per_sample(F.binary_cross_entropy_with_logits(logits, x, reduction="none"))


# ------------------------------------------------------------------------------------------ Gaussian


def gaussian_log_density(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """log N(x; mean, exp(logvar)) of each element, nats, shape of x."""
    x, mean, logvar = _raised(x, mean, logvar)
    return -0.5 * (LOG_TWO_PI + logvar + (x - mean).square() * torch.exp(-logvar))


def gaussian_log_prob(x: Tensor, mean: Tensor, logvar: Tensor) -> Tensor:
    """log N(x; mean, exp(logvar)) summed over elements, nats, (B, ...) -> (B,)."""
    return sum_per_sample(gaussian_log_density(x, mean, logvar))


def gaussian_kl_density(mean_q: Tensor, logvar_q: Tensor, mean_p: Tensor, logvar_p: Tensor) -> Tensor:
    """KL(q || p) of each element's pair of Gaussians, nats, shape of the means; never negative."""
    mean_q, logvar_q, mean_p, logvar_p = _raised(mean_q, logvar_q, mean_p, logvar_p)
    apart = (mean_q - mean_p).square() * torch.exp(-logvar_p)
    # expm1 keeps the digits when q and p are close, where exp(d) - 1 is a difference of near-equal numbers
    ratio = logvar_q - logvar_p
    return 0.5 * (torch.expm1(ratio) - ratio + apart)


def gaussian_kl(mean_q: Tensor, logvar_q: Tensor, mean_p: Tensor, logvar_p: Tensor) -> Tensor:
    """KL(q || p) of diagonal Gaussians in closed form, nats, (B, ...) -> (B,)."""
    return sum_per_sample(gaussian_kl_density(mean_q, logvar_q, mean_p, logvar_p))


# ------------------------------------------------------------------------ discretised logistic mixture


def logistic_mixture_log_density(
    x: Tensor, weight_logits: Tensor, means: Tensor, log_scales: Tensor, levels: int = GREY_LEVELS
) -> Tensor:
    """log P of each pixel's grey level under a mixture of discretised logistics, nats, shape of x.

    x (B, 1, H, W) in [0, 1], read as the nearest of `levels` grey levels k / (levels - 1).
    weight_logits, means, log_scales (B, M, H, W): M components per pixel, on the [0, 1] scale.
    A level owns the bin half a step to each side; the lowest and highest bins take the tails, so the
    probabilities of the levels sum to one and no choice of clip can inflate the score. Salimans et al.,
    PixelCNN++ (2017), eq. 2.
    """
    x, weight_logits, means, log_scales = _raised(x, weight_logits, means, log_scales)
    step = 1.0 / (levels - 1)
    x = (x * (levels - 1)).round() * step
    inverse_scale = torch.exp(-log_scales)
    upper = (x + step / 2 - means) * inverse_scale
    lower = (x - step / 2 - means) * inverse_scale
    lowest, highest = x < step / 2, x > 1 - step / 2
    # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)): exact, however thin the bin
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    log_bin = torch.where(lowest, F.logsigmoid(upper), torch.where(highest, F.logsigmoid(-lower), inside))
    return torch.logsumexp(torch.log_softmax(weight_logits, 1) + log_bin, 1, keepdim=True)


def logistic_mixture_log_prob(
    x: Tensor, weight_logits: Tensor, means: Tensor, log_scales: Tensor, levels: int = GREY_LEVELS
) -> Tensor:
    """log P of each image under a mixture of discretised logistics, nats, (B, 1, H, W) -> (B,)."""
    return sum_per_sample(logistic_mixture_log_density(x, weight_logits, means, log_scales, levels))


def logistic_mixture_mean(weight_logits: Tensor, means: Tensor) -> Tensor:
    """The picture a logistic mixture stands for: the mean of its components, (B, M, H, W) -> (B, 1, H, W)."""
    return (torch.softmax(weight_logits, 1) * means).sum(1, keepdim=True).clamp(0, 1)


def bits_per_dimension(log_prob: Tensor, dimensions: int) -> Tensor:
    """Bits that one pixel costs under a discrete likelihood: log_prob (B,) nats -> (B,) bits per pixel."""
    return -log_prob / (dimensions * math.log(2))
