"""U-SVAE: a ladder of five latents over a U-Net, for one axial slice (Zammit et al., U-SVAE and CAGE).

Notation  x slice in [0, 1]; d_n backbone features; z_n latent of level n (1 finest, 32x32 .. 5 coarsest,
          2x2); e_n expansion of z_n; q posterior, p prior; S = 64 the side of a slice, pixels = S * S
Departs   The paper as its released code has it is `LITERAL`. The defaults of `Config` depart from that:
          1. a and b through softplus + 1e-4, not ReLU + 1e-7: a dead ReLU has no gradient
          2. log-density computed directly, not as log(density + 1e-7): no floor under the loss
          3. log-variances are bounded softly at 10, not left free
          4. KL in closed form given the sampled levels above, not from one sample: the same mean, less noise
          5. the KL weight climbs linearly to 1 and stays (a true ELBO), not to 3.985
          6. batch normalisation of the backbone forgets at 0.01 a step, not 0.001: short runs can be
          evaluated In both: Adam's epsilon is added after the bias correction (torch), not before (Keras);
          the paper's text and its code differ in the building blocks, and the code is followed (see
          `nn.blocks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import MOBILENET_MOMENTUM, encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot, set_norm_momentum
from glasslung.nn.borrow import evaluating
from glasslung.nn.density import sum_per_sample
from glasslung.nn.ladder import Descent, Ladder, latent_shapes
from glasslung.nn.player import Player
from glasslung.nn.recipe import LEVELS, LadderRecipe, Pixels

FIRST_EPOCH = 1  # the released loop counts its epochs from 1


@dataclass(frozen=True)
class Config(LadderRecipe):
    """Settings of one U-SVAE; `LITERAL` holds the paper's."""


LITERAL = Config(
    positive="relu",
    density_floor=1e-7,
    logvar_bound=None,
    kl="sampled",
    kl_schedule="paper",
    kl_final=3.985,
    backbone_momentum=MOBILENET_MOMENTUM,
)


class Reading(NamedTuple):
    """What the model made of a batch: the way down the ladder, and what each pixel may be."""

    descent: Descent
    pixels: Pixels


class USVAE(nn.Module):
    """The network: backbone, ladder, decoder, heads. Draws come from the generator it is given."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        parts = config.parts
        self.backbone = parts.backbone(config.keras_padding)
        self.ladder = Ladder(parts.widths, config.logvar_bound, parts)
        self.decoder = parts.decoder()
        self.head = config.head()
        initialise_glorot(self, rng)
        for stage in self.backbone.stages:  # type: ignore[union-attr]
            set_norm_momentum(stage, config.backbone_momentum)

    def forward(self, image: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Reading:
        """image (B, 1, S, S) in [0, 1] -> its latents, drawn from q, and the image they decode to."""
        self._check(image)
        evidence = self.ladder.evidence(self.backbone(encoder_scale(image)))
        descent = self.ladder.descend(rng, self.shapes(len(image)), evidence, temperature=temperature)
        return Reading(descent, self.render(descent.e))

    def render(self, expansions: list[Tensor]) -> Pixels:
        """Expansions e_1 .. e_5 -> what each pixel may be."""
        pixels: Pixels = self.head(self.decoder(expansions[::-1]))
        return pixels

    def shapes(self, batch: int) -> list[tuple[int, int, int, int]]:
        """Shapes of the latents of `batch` slices, finest first."""
        return latent_shapes(batch, self.config.size, LEVELS)

    def _check(self, image: Tensor) -> None:
        side = self.config.size
        if image.ndim != 4 or image.shape[1:] != (1, side, side):
            raise ShapeError(f"this U-SVAE reads slices (B, 1, {side}, {side}), got {tuple(image.shape)}")

    # ------------------------------------------------------------------------------ what it is asked for

    def sample(self, count: int, rng: torch.Generator, temperature: float = 1.0) -> Reading:
        """Slices that nobody ever lay in a scanner for: every level drawn from the prior."""
        with evaluating(self):
            descent = self.ladder.descend(rng, self.shapes(count), temperature=temperature)
            return Reading(descent, self.render(descent.e))

    def reconstruct(self, image: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Reading:
        """The slices as the model sees them; temperature 0 takes the mean of every latent."""
        with evaluating(self):
            return self(image, rng, temperature)

    def encode(self, image: Tensor, rng: torch.Generator, temperature: float = 0.0) -> list[Tensor]:
        """The latents z_1 .. z_5 of slices: the mean way down, or with temperature 1 one draw."""
        return self.reconstruct(image, rng, temperature).descent.z

    def decode(self, latents: list[Tensor]) -> Pixels:
        """The slices that latents z_1 .. z_5 stand for."""
        with evaluating(self):
            return self.render([expand(z) for expand, z in zip(self.ladder.expand, latents, strict=True)])

    def log_likelihood(self, image: Tensor, rng: torch.Generator, samples: int = 1) -> Tensor:
        """A lower bound of log p(x), nats per slice, (B,); it rises to log p(x) with the number of samples.

        1 sample: the evidence bound as the paper quotes it. More: importance-weighted, Burda et al. (2016).
        """
        if samples < 1:
            raise UsageError("the log-likelihood needs one sample at least")
        with evaluating(self):
            weights = [self._log_weight(image, rng) for _ in range(samples)]
        return torch.logsumexp(torch.stack(weights), 0) - math.log(samples)

    def _log_weight(self, image: Tensor, rng: torch.Generator) -> Tensor:
        """log p(x | z) + log p(z) - log q(z) at one draw, (B,) float64."""
        reading = self(image, rng)
        return sum_per_sample(
            reading.pixels.log_density(image).double()
        ) - reading.descent.sampled_kl().double().sum(1)


def loss(model: USVAE, batch: SliceBatch, rng: torch.Generator, kl_weight: float) -> dict[str, Tensor]:
    """Negative evidence bound, nats per pixel, mean over the batch; 'total' is what is minimised.

    distortion  -log p(x | z); rate  KL; nll  their sum, as the paper's table has it; kl_z1 .. kl_z5  nats per
                image
    """
    reading = model(batch.image, rng)
    pixels = model.config.size**2
    descent = reading.descent
    levels = (descent.sampled_kl() if model.config.kl == "sampled" else descent.kl()).mean(0)
    distortion = -reading.pixels.log_density(batch.image).mean()
    rate = levels.sum() / pixels
    terms = {
        "total": distortion + kl_weight * rate,
        "nll": distortion + rate,
        "distortion": distortion,
        "rate": rate,
    }
    return terms | {f"kl_z{index + 1}": nats for index, nats in enumerate(levels)}


def players(model: USVAE) -> list[Player]:
    """The paper's recipe: one Adam; each tensor's gradient clipped to norm 1, then each element to 0.5."""
    config = model.config
    return [
        Player(
            name="usvae",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, rng, config.kl_weight(step, FIRST_EPOCH)),
            lr=config.lr,
            clip_tensor_norm=1.0,
            clip_value=0.5,
        )
    ]
