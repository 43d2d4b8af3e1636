"""The diagnosis paper's CVAE: slices made from 16 numbers, with lesions and the label to help.

Paper: section 4.2.1 of the paper on CVAE with side information for COVID-19 from CT, equations 1 to 6. Two
branches see the slice x and its lesions, the gate lets through what both speak of, F; a dense layer reads F;
the label y is embedded, e; both are merged, f; context gating weighs f against itself. From the result come
the Gaussian q(z | x, y) and from z the slice again. It is trained so that the classifier may begin with its
branches.

Notation  x slice (B, 1, H, H) in [0, 1]; y its scan's label; z latent (B, 16); F, e, f as the paper

Departs   1. prior='label': the paper gives prior and posterior the same inputs, and then the two may agree
             on anything and their divergence is 0 for free. Here p(z | y), or N(0, I) with 'standard';
             'literal' is the paper's: a second output beside the posterior's.
          2. Standard deviation of a pixel: fixed at `sigma`. The paper has it put out by a network:
             `learn_sigma` makes it one number for each slice, from z.
          3. A plain mean for grey values; the literal leaky ReLU behind the last layer with `literal_output`.
          4. Slices are `size` pixels wide, padded convolutions, the third max-pool behind the gate. z becomes
             64 maps of an eighth of the side by a dense layer; what the three transposed convolutions (3, 3,
             2 pixels) and doublings leave is resized to the slice.
          5. The divergence's weight climbs to `kl` within `kl_climb` steps; the paper says nothing of one.
          6. Loss by pixel: the bound divided by the number of pixels. The same optimum, gradients of one size
             whatever the size of slices; batches of 32.
          7. A label of -1, unknown, is embedded as neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.batches import SideBatch
from glasslung.nn.density import gaussian_kl_density, gaussian_log_density, sum_per_sample
from glasslung.nn.player import Player
from glasslung.nn.schedules import warm_up
from glasslung.nn.twobranches import CHANNELS, SLOPE, SMALLEST_SIDE, TwoBranches, initialise_he

PRIORS = ("label", "standard", "literal")
ACTIVE_NATS = 0.01  # a latent that says less than this of a slice is not in use
MOST_LOG_SIGMA = 8.0  # bound of log-variances: exp(8) is far beyond any use, and float32 stays finite


@dataclass(frozen=True)
class Config:
    """Settings of one CVAE."""

    size: int = 128  # side of its slices, a multiple of 8
    side: bool = True  # lesions are seen and gate the slice; False is the paper's ablation
    units: int = 64  # of the label's embedding, of merging and of context gating; as the paper
    latents: int = 16  # as the paper
    prior: str = "label"  # what it knows; see the head of this file
    sigma: float = 0.1  # standard deviation of a pixel: some 26 grey values of 255, noise and vessels
    learn_sigma: bool = False  # one for each slice, from z; the paper's, loosely
    literal_output: bool = False  # leaky ReLU behind the last layer, as printed
    kl: float = 1.0  # weight of the divergence: the bound itself
    kl_climb: int = 200  # steps until that weight: without it latents may die early
    lr: float = 5e-3  # as the paper
    clip: float = 1.0  # of the whole gradient: without it, 5e-3 learned drawn lungs far more slowly

    def __post_init__(self) -> None:
        if self.size < SMALLEST_SIDE or self.size % 8:
            raise UsageError(f"size must be a multiple of 8, {SMALLEST_SIDE} or more, got {self.size}")
        if self.prior not in PRIORS:
            raise UsageError(f"prior is one of {', '.join(PRIORS)}, not {self.prior!r}")
        if min(self.units, self.latents) < 1 or self.kl_climb < 0 or self.kl < 0:
            raise UsageError("units and latents must be 1 or more, kl and kl_climb not negative")
        if min(self.sigma, self.lr, self.clip) <= 0:
            raise UsageError("sigma, lr and clip must be positive")


class Gaussian(NamedTuple):
    """A diagonal Gaussian: mean and logarithm of the variance, (B, Z) each."""

    mean: Tensor
    logvar: Tensor


class Answer(NamedTuple):
    """What the CVAE makes of slices: posterior and prior of z, the slice again, and its log variance."""

    posterior: Gaussian
    prior: Gaussian
    mean: Tensor
    logvar: Tensor


class CVAE(nn.Module):
    """Encoder with two branches, embedded label, context gating, latents, decoder."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        grid, units = config.size // 8, config.units
        self.branches = TwoBranches(config.side, pooled=True)
        self.read = nn.Sequential(nn.Linear(CHANNELS * grid * grid, units), nn.LeakyReLU(SLOPE))
        self.embed = nn.Sequential(nn.Linear(2, units), nn.LeakyReLU(SLOPE))
        self.merge = nn.Sequential(nn.Linear(2 * units, units), nn.LeakyReLU(SLOPE))
        self.context = nn.Linear(units, units)
        self.posterior = nn.Linear(units, 2 * config.latents)
        self.prior = None if config.prior == "standard" else nn.Linear(units, 2 * config.latents)
        self.unfold = nn.Linear(config.latents, CHANNELS * grid * grid)
        self.decode = decoder()
        self.log_sigma = nn.Linear(config.latents, 1) if config.learn_sigma else None
        initialise_he(self, rng)
        for head in (self.posterior, self.prior):
            if head is not None:  # begin near N(0, I): neither sure nor far
                nn.init.normal_(head.weight, std=0.01, generator=rng)
                nn.init.zeros_(head.bias)

    def forward(self, image: Tensor, lesion: Tensor, label: Tensor, rng: torch.Generator) -> Answer:
        """image, lesion (B, 1, size, size) in [0, 1], label (B,) 0, 1 or -1; `rng` draws z."""
        posterior, prior = self.encode(image, lesion, label)
        noise = torch.randn(posterior.mean.shape, generator=rng, device=rng.device).to(posterior.mean)
        return Answer(posterior, prior, *self.draw(posterior.mean + noise * (0.5 * posterior.logvar).exp()))

    def encode(self, image: Tensor, lesion: Tensor, label: Tensor) -> tuple[Gaussian, Gaussian]:
        """Posterior and prior of z for slices with their lesions and labels."""
        side = self.config.size
        if tuple(image.shape[1:]) != (1, side, side) or lesion.shape != image.shape:
            raise ShapeError(
                f"this CVAE reads slices and lesions (B, 1, {side}, {side}), got {tuple(image.shape)} and "
                f"{tuple(lesion.shape)}"
            )
        known = (label >= 0)[:, None]
        embedded = self.embed((F.one_hot(label.clamp_min(0), 2) * known).to(image.dtype))
        read = self.read(self.branches(image, lesion).flatten(1))
        merged = self.merge(torch.cat([read, embedded], 1))
        weighed = torch.sigmoid(self.context(merged)) * merged
        posterior = _gaussian(self.posterior(weighed))
        if self.prior is None:
            return posterior, Gaussian(*(torch.zeros_like(one) for one in posterior))
        return posterior, _gaussian(self.prior(weighed if self.config.prior == "literal" else embedded))

    def draw(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, 1, size, size) and log variance (B, 1, 1, 1) of the slice that z (B, 16) stands for."""
        grid, side = self.config.size // 8, self.config.size
        maps = self.decode(self.unfold(z).view(-1, CHANNELS, grid, grid))
        if self.config.literal_output:
            maps = F.leaky_relu(maps, SLOPE)
        mean = F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)
        if self.log_sigma is None:
            return mean, mean.new_full((len(z), 1, 1, 1), 2 * math.log(self.config.sigma))
        return mean, 2 * self.log_sigma(z).clamp(-MOST_LOG_SIGMA, MOST_LOG_SIGMA)[..., None, None]


def decoder() -> nn.Sequential:
    """Maps of an eighth of the side to one of a quarter and a pixel; `CVAE.draw` brings that to the slice."""

    def double() -> nn.Module:
        return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)

    return nn.Sequential(
        nn.ConvTranspose2d(CHANNELS, 32, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        double(),
        nn.ConvTranspose2d(32, 16, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        double(),
        nn.ConvTranspose2d(16, 1, 2),
    )


def _gaussian(both: Tensor) -> Gaussian:
    mean, logvar = both.float().chunk(2, 1)
    return Gaussian(mean, logvar.clamp(-MOST_LOG_SIGMA, MOST_LOG_SIGMA))


def loss(model: CVAE, batch: SideBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """The negative bound by pixel ('total'), its parts, and how the latents are used.

    reconstruction  -log p(x | z), nats by pixel;  error  root mean square of the mean, in [0, 1]
    divergence      KL(q | p), nats by slice;  kl_00 .. kl_15  of each latent;  active  latents above 0.01
    """
    config = model.config
    found = model(batch.image, batch.lesion, batch.label, rng)
    x = batch.image.float()
    pixels = x[0].numel()
    reconstruction = (
        -sum_per_sample(gaussian_log_density(x, found.mean.float(), found.logvar)).mean() / pixels
    )
    by_latent = gaussian_kl_density(*found.posterior, *found.prior).mean(0)
    divergence = by_latent.sum()
    weight = warm_up(step, config.kl_climb, config.kl)
    with torch.no_grad():
        told = {f"kl_{place:02d}": each for place, each in enumerate(by_latent)}
        told["active"] = (by_latent > ACTIVE_NATS).float().sum()
        told["error"] = (found.mean - x).square().mean().sqrt()
    total = reconstruction + weight * divergence / pixels
    return {"total": total, "reconstruction": reconstruction, "divergence": divergence} | told


def players(model: CVAE) -> list[Player]:
    """One Adam."""
    return [
        Player(
            name="cvae",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, step, rng),
            lr=model.config.lr,
            epsilon=1e-8,  # PyTorch's, which the paper used
            clip_total_norm=model.config.clip,
        )
    ]
