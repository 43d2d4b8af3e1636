"""U-SVAE: a ladder of five latents over a U-Net, for one axial slice (Zammit et al., U-SVAE and CAGE).

Notation  x slice in [0, 1]; d_n backbone features; z_n latent of level n (1 finest, 32x32 .. 5 coarsest,
          2x2); e_n expansion of z_n; q posterior, p prior; S = 64 the side of a slice, pixels = S * S
Departs   The paper as its released code has it is `LITERAL`. `Config()`, the one we recommend, keeps the
          idea (five levels, coarse to fine, evidence and prior joined by their precisions, one evidence
          bound) and departs in
          1. the network: residual blocks without normalisation, a tenth of the parameters (`nn.residual`);
             z_n has 4 to 8 numbers at each place, not 1; nothing is shared between the way up and down
          2. the likelihood: five Betas per pixel with a bounded black spike, not one Beta
          3. the KL weight: held so that lung pixels earn a wished-for number of nats, 1 at most
          4. KL in closed form given the sampled levels above, not from one sample: the same mean, less noise
          5. AdamW with a falling learning rate, and the norm of the whole gradient clipped to 1
          `STEADIED` has the paper's network and likelihood, but a and b go through softplus + 1e-4, not ReLU
          + 1e-7 (a dead ReLU has no gradient); the log-density is computed directly, not as log(density +
          1e-7); log-variances are bounded softly; batch normalisation forgets at 0.01 a step, not 0.001.
          In all: Adam's epsilon is added after the bias correction (torch), not before (Keras); the paper's
          text and its code differ in the building blocks, and the code is followed (see `nn.blocks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import MOBILENET_MOMENTUM, encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot, set_norm_momentum
from glasslung.nn.borrow import evaluating
from glasslung.nn.control import LungTarget
from glasslung.nn.density import sum_per_sample
from glasslung.nn.ladder import Descent, Ladder, latent_shapes
from glasslung.nn.pixels import MIXTURE_OUTPUTS, MIXTURE_START, BetaMixtureHead, BetaMixturePixels
from glasslung.nn.player import Player
from glasslung.nn.recipe import LEVELS, LadderRecipe
from glasslung.nn.recipe import Pixels as LadderPixels
from glasslung.nn.residual import ResidualLadder
from glasslung.nn.schedules import cosine, open_then_hold

Pixels = LadderPixels | BetaMixturePixels
FIRST_EPOCH = 1  # the released loop counts its epochs from 1
GROUPS = 4  # ages of the disease, healthy included
CLIMB = 150  # steps until the learning rate is reached
COARSE = 2  # levels, from the coarsest, that a few nats are given free
START_SHORT = 0.3  # nats below the target that the lungs are assumed to stand before the first batch


@dataclass(frozen=True)
class Config(LadderRecipe):
    """Settings of one U-SVAE; the defaults are what we recommend, `LITERAL` holds the paper's."""

    net: str = "residual"  # ours; 'paper' or 'slim' is the paper's ladder
    likelihood: str = "beta mixture"  # with 'residual'; 'beta' and 'logistic mixture' with the other nets
    spike: float = 1e4  # sharpness of the black spike: the score of a black pixel grows with it without end
    kl_schedule: str = "lung target"  # with 'residual'
    lung_target: float = 1.70  # nats per lung pixel in training; a little more than is wanted on new patients
    kl_first: float = 0.6  # weight of the first fifth
    kl_open: float = 0.1  # weight while the finest level learns: see `nn.schedules.open_then_hold`
    kl_lowest: float = 0.5  # floor at the end; the ceiling is 1, the evidence bound
    free_nats: float = (
        6.0  # of the two coarsest levels, nats per image each: they do not collapse at the start
    )
    steps: int = 10_000  # the length that schedules are stretched over
    lr: float = 1.5e-3  # the highest; falls along a cosine to a hundredth
    weight_decay: float = 0.01

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """What each setting of a word may be."""
        known = super().choices()
        return known | {
            "net": ("residual", *known["net"]),
            "likelihood": ("beta mixture", *known["likelihood"]),
            "kl_schedule": ("lung target", *known["kl_schedule"]),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        ours = self.net == "residual"
        if ours != (self.likelihood == "beta mixture"):
            raise UsageError(
                f"net {self.net!r} does not go with likelihood {self.likelihood!r}: 'residual' has a "
                "'beta mixture', the others 'beta' or 'logistic mixture'"
            )
        if self.kl_schedule == "lung target" and not ours:
            raise UsageError(
                "kl_schedule 'lung target' goes with net 'residual'; choose 'warm-up' or 'paper'"
            )
        if self.spike <= 1 or self.steps < 20 or self.free_nats < 0:
            raise UsageError("spike must exceed 1, steps be 20 or more, free_nats not negative")
        if not 0 < self.kl_open <= self.kl_lowest <= 1:
            raise UsageError("kl_open and kl_lowest must rise from above 0 to at most 1")


# The paper's network and likelihood, without what goes wrong in short runs.
STEADIED = Config(net="paper", likelihood="beta", kl_schedule="warm-up", lr=3e-4)

LITERAL = replace(
    STEADIED,
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
    """What every U-SVAE can be asked for. Draws come from the generator it is given."""

    config: Config

    def descend(
        self,
        batch: int,
        rng: torch.Generator,
        image: Tensor | None = None,
        given: list[Tensor] | None = None,
        temperature: float = 1.0,
    ) -> Reading:
        """One way down: latents from the posterior of `image`, from the prior without one, or as `given`."""
        raise NotImplementedError

    def forward(self, image: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Reading:
        """image (B, 1, S, S) in [0, 1] -> its latents, drawn from q, and the image they decode to."""
        self._check(image)
        return self.descend(len(image), rng, image, temperature=temperature)

    def _check(self, image: Tensor) -> None:
        side = self.config.size
        if image.ndim != 4 or image.shape[1:] != (1, side, side):
            raise ShapeError(f"this U-SVAE reads slices (B, 1, {side}, {side}), got {tuple(image.shape)}")

    # ------------------------------------------------------------------------------ what it is asked for

    def sample(self, count: int, rng: torch.Generator, temperature: float = 1.0) -> Reading:
        """Slices that nobody ever lay in a scanner for: every level drawn from the prior."""
        with evaluating(self):
            return self.descend(count, rng, temperature=temperature)

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
            unused = torch.Generator(latents[0].device)
            return self.descend(len(latents[0]), unused, given=latents).pixels

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


class PaperUSVAE(USVAE):
    """The paper's network: backbone, shared ladder, decoder, heads."""

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

    def descend(
        self,
        batch: int,
        rng: torch.Generator,
        image: Tensor | None = None,
        given: list[Tensor] | None = None,
        temperature: float = 1.0,
    ) -> Reading:
        """See `USVAE.descend`."""
        evidence = None if image is None else self.ladder.evidence(self.backbone(encoder_scale(image)))
        shapes = latent_shapes(batch, self.config.size, LEVELS)
        descent = self.ladder.descend(rng, shapes, evidence, given=given, temperature=temperature)
        return Reading(descent, self.head(self.decoder(descent.e[::-1])))


class ResidualUSVAE(USVAE):
    """Our network: `nn.residual`, and the running lung nats that hold its KL weight."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.ladder = ResidualLadder(config.size, MIXTURE_OUTPUTS, config.logvar_bound, rng)
        self.head = BetaMixtureHead(config.spike)
        self.control = LungTarget(GROUPS, config.lung_target - START_SHORT, config.kl_open)
        with torch.no_grad():
            assert self.ladder.last.bias is not None
            self.ladder.last.weight.mul_(0.3)
            self.ladder.last.bias.copy_(torch.tensor(MIXTURE_START))

    def descend(
        self,
        batch: int,
        rng: torch.Generator,
        image: Tensor | None = None,
        given: list[Tensor] | None = None,
        temperature: float = 1.0,
    ) -> Reading:
        """See `USVAE.descend`."""
        descent, raw = self.ladder.descend(rng, batch, image, given, temperature)
        return Reading(descent, self.head(raw))


def make(config: Config, rng: torch.Generator) -> USVAE:
    """The U-SVAE of these settings, with weights drawn from rng."""
    return ResidualUSVAE(config, rng) if config.net == "residual" else PaperUSVAE(config, rng)


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


def lung_minding_loss(
    model: ResidualUSVAE, batch: SliceBatch, step: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """The same terms, with the KL weight that the lungs call for; in training it moves the controller.

    lung, kl_weight   nats per lung pixel of this batch; the weight of this step
    """
    config, control = model.config, model.control
    reading = model(batch.image, rng)
    log_density = reading.pixels.log_density(batch.image)
    levels = (reading.descent.sampled_kl() if config.kl == "sampled" else reading.descent.kl()).mean(0)
    if model.training:
        control.observe(log_density, batch.image, batch.group)
        fixed, lowest = open_then_hold(step, config.steps, config.kl_first, config.kl_open, config.kl_lowest)
        if fixed is None:
            control.steer(config.lung_target, lowest, config.kl_final)
        else:
            control.set(fixed)
    weight = float(control.weight)
    pixels = config.size**2
    free = torch.tensor([0.0] * (LEVELS - COARSE) + [config.free_nats] * COARSE).to(levels)
    distortion, rate = -log_density.mean(), levels.sum() / pixels
    inside = batch.image > 0
    terms = {
        "total": distortion + weight * torch.maximum(levels, free).sum() / pixels,
        "nll": distortion + rate,
        "distortion": distortion,
        "rate": rate,
        "lung": (log_density.detach() * inside).sum() / inside.sum().clamp(min=1),
        "kl_weight": torch.tensor(weight),
    }
    return terms | {f"kl_z{index + 1}": nats for index, nats in enumerate(levels)}


def players(model: USVAE) -> list[Player]:
    """One player: our recipe for our network, the paper's for the paper's."""
    return [our_player(model) if isinstance(model, ResidualUSVAE) else papers_player(model)]


def our_player(model: ResidualUSVAE) -> Player:
    """AdamW, a learning rate that climbs and falls along a cosine, the whole gradient clipped."""
    config = model.config
    climb = min(CLIMB, config.steps // 10)
    return Player(
        name="usvae",
        parameters=list(model.parameters()),
        loss=lambda batch, step, rng: lung_minding_loss(model, batch, step, rng),
        lr=lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr, climb),
        betas=(0.9, 0.99),
        epsilon=1e-8,
        weight_decay=config.weight_decay,
        clip_total_norm=1.0,
    )


def papers_player(model: USVAE) -> Player:
    """The paper's recipe: one Adam; each tensor's gradient clipped to norm 1, then each element to 0.5."""
    config = model.config
    return Player(
        name="usvae",
        parameters=list(model.parameters()),
        loss=lambda batch, step, rng: loss(model, batch, rng, config.kl_weight(step, FIRST_EPOCH)),
        lr=config.lr,
        clip_tensor_norm=1.0,
        clip_value=0.5,
    )
