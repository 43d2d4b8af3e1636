"""Auto-encoder: a slice as a few numbers and back, for walking among slices (DCGAN paper, appendix A).

The paper's widget squeezes each slice through "five densely-connected layers" and opens it again through
their mirror image, trained on the mean square error alone.

Notation  x slice (B, 1, S, S) in [0, 1]; z its code (B, Z); S the side, Z the number of latents

Departs   The paper's is `LITERAL`: five dense layers of 128 linear units and a code of 2, at 128 x 128.
          Linear layers one after another are one linear map: nothing they learn is nearer to the slices than
          as many principal components. `Config()`, the one we recommend, keeps code and squared error and
          departs in 1. the network: four convolutions down, four up, leaky ReLU between
          2. a code of 32 numbers
          3. a variational term: the code is a draw from N(mean, variance) and its divergence from N(0, I) is
             paid for, so that points between two codes are near codes that the decoder has seen
          4. AdamW with a rate that falls along a cosine
          The paper says that its loss "stabilized at approximately 240": in squared grey levels of 0 to 255,
          and over slices that were scaled in two ways. `grey_error` is the same quantity, scaled in one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine, warm_up

NETS = ("conv", "dense")
DOWN = 16  # four halvings
SLOPE = 0.1  # of leaky ReLU
MOST_LOGVAR = 8.0  # exp(8) is far beyond any use, and float32 stays finite
DENSE_LAYERS, DENSE_UNITS = 5, 128  # the paper's widget


@dataclass(frozen=True)
class Config:
    """Settings of one auto-encoder; the defaults are what we recommend, `LITERAL` holds the paper's."""

    size: int = 64  # side of its slices; a multiple of 16 for 'conv'
    net: str = "conv"  # or 'dense', the paper's
    latents: int = 32  # the paper's 2 show next to nothing of a lung
    channels: tuple[int, ...] = (24, 48, 64, 64)  # from fine to coarse: small enough to be run in a browser
    kl: float = 0.002  # weight of the divergence; 0: a plain auto-encoder
    kl_climb: int = 200  # steps until that weight: without it latents may die early
    noise: float = 0.0  # standard deviation of what is added to the slice before it is read: denoising
    lr: float = 2e-3  # the highest
    weight_decay: float = 0.01
    steps: int = 3000  # the length that the rate's fall is stretched over; 0: it does not fall

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))  # a list once it was JSON
        if self.net not in NETS:
            raise UsageError(f"net is one of {', '.join(NETS)}, not {self.net!r}")
        if self.size < DOWN or (self.net == "conv" and self.size % DOWN):
            raise UsageError(f"size must be a multiple of {DOWN}, {DOWN} or more, got {self.size}")
        if self.latents < 1 or len(self.channels) != 4 or min(self.channels) < 1:
            raise UsageError("latents must be 1 or more, channels four whole numbers above 0")
        if min(self.kl, self.noise, self.weight_decay) < 0 or min(self.kl_climb, self.steps) < 0:
            raise UsageError("kl, noise, weight_decay, kl_climb and steps must not be negative")
        if self.lr <= 0:
            raise UsageError(f"lr {self.lr:g}: a learning rate must be above 0")
        if self.net == "dense" and self.kl:
            raise UsageError("net 'dense' is the paper's, without a variational term: set kl=0 with it")


LITERAL = Config(size=128, net="dense", latents=2, kl=0.0, lr=1e-3, weight_decay=0.0, steps=0)


class Answer(NamedTuple):
    """What the auto-encoder makes of slices: mean and log variance of the code, and the slices again."""

    mean: Tensor
    logvar: Tensor
    image: Tensor


class AutoEncoder(nn.Module):
    """Encoder to a code, decoder back. `decoder` is a plain chain, which a browser can run as well."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        outputs = config.latents * (2 if config.kl else 1)
        build = _conv if config.net == "conv" else _dense
        self.encoder, self.decoder = build(config, outputs)
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                gain = 1.0 if config.net == "dense" else math.sqrt(2 / (1 + SLOPE**2))
                fan_in = part.weight[0].numel()
                nn.init.normal_(part.weight, std=gain / math.sqrt(fan_in), generator=rng)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, image: Tensor, rng: torch.Generator) -> Answer:
        """image (B, 1, S, S) in [0, 1]; with a variational term, `rng` draws the code."""
        mean, logvar = self.read(image)
        z = mean
        if self.config.kl:
            noise = torch.randn(mean.shape, generator=rng, device=rng.device).to(mean)
            z = mean + noise * (0.5 * logvar).exp()
        return Answer(mean, logvar, self.decoder(z))

    def read(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the code, (B, Z) each; without a variational term the latter is 0."""
        side = self.config.size
        if tuple(image.shape[1:]) != (1, side, side):
            raise ShapeError(f"this auto-encoder reads (B, 1, {side}, {side}), got {tuple(image.shape)}")
        out = self.encoder(image).float()
        if not self.config.kl:
            return out, torch.zeros_like(out)
        mean, logvar = out.chunk(2, 1)
        return mean, logvar.clamp(-MOST_LOGVAR, MOST_LOGVAR)

    def encode(self, image: Tensor) -> Tensor:
        """The codes of slices, (B, 1, S, S) in [0, 1] -> (B, Z): no draw, the mean."""
        with evaluating(self):
            return self.read(image)[0]

    def decode(self, codes: Tensor) -> Tensor:
        """The slices that codes (B, Z) stand for, (B, 1, S, S) in [0, 1]."""
        if codes.ndim != 2 or codes.shape[1] != self.config.latents:
            raise ShapeError(
                f"this auto-encoder's codes are (B, {self.config.latents}), got {tuple(codes.shape)}"
            )
        with evaluating(self):
            image: Tensor = self.decoder(codes).clamp(0, 1)
        return image


def _conv(config: Config, outputs: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Four convolutions of stride 2 and a dense layer; back with doublings and plain convolutions."""
    grid, (fine, *_, coarse) = config.size // DOWN, config.channels
    down: list[nn.Module] = []
    for before, after in zip((1, *config.channels[:-1]), config.channels, strict=True):
        down += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
    down += [nn.Flatten(), nn.Linear(coarse * grid * grid, outputs)]
    up: list[nn.Module] = [
        nn.Linear(config.latents, coarse * grid * grid),
        nn.Unflatten(1, (coarse, grid, grid)),
        nn.LeakyReLU(SLOPE),
    ]
    for before, after in zip(config.channels[::-1], (*config.channels[-2::-1], fine // 2), strict=True):
        up += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
    up.append(
        nn.Conv2d(fine // 2, 1, 3, padding=1)
    )  # no sigmoid: on black slices it saturates and learns no more
    return nn.Sequential(*down), nn.Sequential(*up)


def _dense(config: Config, outputs: int) -> tuple[nn.Sequential, nn.Sequential]:
    """The paper's: five layers of 128 linear units each way, the code between them."""
    pixels, inner = config.size**2, [DENSE_UNITS] * DENSE_LAYERS
    down, up = [pixels, *inner, outputs], [config.latents, *inner, pixels]
    chain = [[nn.Linear(a, b) for a, b in pairwise(widths)] for widths in (down, up)]
    return (
        nn.Sequential(nn.Flatten(), *chain[0]),
        nn.Sequential(*chain[1], nn.Unflatten(1, (1, config.size, config.size))),
    )


def loss(model: AutoEncoder, batch: SliceBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Mean square error of pixels in [0, 1] plus the weighted divergence by pixel ('total').

    error       mean square, grey values in [0, 1]; grey_error  the same in grey levels of 0 to 255, as the
                paper quotes it
    divergence  KL(q(z | x) | N(0, I)), nats by slice; active  latents above 0.01 nats
    """
    config, x = model.config, batch.image.float()
    seen = x
    if config.noise:
        seen = x + config.noise * torch.randn(x.shape, generator=rng, device=rng.device).to(x)
    found = model(seen, rng)
    error = (found.image - x).square().mean()
    terms = {"total": error, "error": error.detach(), "grey_error": error.detach() * 255**2}
    if config.kl:
        by_latent = 0.5 * (found.mean**2 + found.logvar.exp() - 1 - found.logvar).mean(0)
        divergence = by_latent.sum()
        weight = warm_up(step, config.kl_climb, config.kl)
        terms["total"] = error + weight * divergence / x[0].numel()
        terms |= {"divergence": divergence, "active": (by_latent.detach() > 0.01).float().sum()}
    return terms


def players(model: AutoEncoder) -> list[Player]:
    """One AdamW; without weight decay and fall it is the paper's Adam."""
    config = model.config

    def rate(step: int) -> float:
        return cosine(step, config.steps, config.lr, 0.01 * config.lr) if config.steps else config.lr

    return [
        Player(
            name="autoencoder",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, step, rng),
            lr=rate,
            weight_decay=config.weight_decay,
            clip_total_norm=1.0 if config.net == "conv" else None,
        )
    ]
