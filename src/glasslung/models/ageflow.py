"""AgeFlow: one U-SVAE for slices of every age, and a law of its latents for each age (remedies R4 and R5).

Two stages. First an auto-encoder that is told no age: one latent stack, one decoder, trained on all slices.
Then p(latents | age): flow matching over the coarse levels u = (z_5, z_4, z_3), and under it, for the fine
levels, a Gaussian whose mean and spread are given the coarser levels and the age. Each age is fitted on its
own slices alone: no slice ever votes on another age.

    make      noise -> u by the flow under the age; z_2, z_1 from their Gaussians; decode
    age       u -> noise by the flow under the age seen, and forth again under the age wanted; what a fine
              level holds beyond its Gaussian's mean, in units of its spread, is taken along
    age       healthy, or ill on any day: (ill, day / 10), a continuous condition

Source: Vahdat et al., LSGM (2021), for a law of latents learned after the auto-encoder; Lipman et al. (2023);
Su et al., DDIB (2023), for ageing; Tong et al. (2024) for `pairing="transport"`.
Departs   from those: the auto-encoder is the papers' U-SVAE as `models.usvae` has it, and its ladder's own
          prior serves the first stage only; fine levels are Gaussian given the rest, not flows.
          Who ends where is the flow's choice: cross-sectional slices do not say it. With transport the same
          noise is given to all ages and each pairs it with its slices by the shortest ways, so that a change
          of age changes little.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot
from glasslung.nn.borrow import evaluating
from glasslung.nn.conditions import CONDITION, condition_of
from glasslung.nn.density import gaussian_log_prob
from glasslung.nn.flow import Velocity, carry, flow_error, pair_by_transport
from glasslung.nn.ladder import Descent, Gaussian, Ladder, latent_shapes
from glasslung.nn.player import Player
from glasslung.nn.recipe import LEVELS, LadderRecipe, Pixels

FIRST_EPOCH = 1


@dataclass(frozen=True)
class Config(LadderRecipe):
    """Settings of one AgeFlow."""

    net: str = "slim"  # one core trains it in minutes; 'paper' has the published sizes
    kl_warm_up: int = 500  # short: an auto-encoder's latents need not be tidy, the flow learns their law
    kl_final: float = 0.2  # the flow needs no tidy latents; at 1 a minute's training showed no lesion at all
    lr: float = 2e-3  # of the slim parts; the papers' 3e-4 learned nothing in a minute
    coarse: int = 3  # levels under the flow, from the coarsest: 84 numbers, which 100 slices can still teach
    width: int = 256  # of the flow; not swept
    depth: int = 3  # of the flow; not swept
    steps: int = 20  # of Heun's rule: two looks each
    pairing: str = "transport"  # R5; 'independent': any noise with any slice
    flow_lr: float = 1e-3  # half a million numbers; not swept
    weight_decay: float = 1e-2  # few slices

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pairing not in ("transport", "independent"):
            raise UsageError(f"pairing {self.pairing!r} is unknown; choose transport or independent")
        if not 0 < self.coarse <= LEVELS or min(self.width, self.depth, self.steps) < 1:
            raise UsageError(f"coarse counts levels, 1 to {LEVELS}; width, depth and steps are 1 or more")


class FineLaw(nn.Module):
    """A fine level's Gaussian given the expansion of the level above and the age."""

    def __init__(self, above: int, f: int) -> None:
        super().__init__()
        self.rise = nn.Sequential(nn.ConvTranspose2d(above, f, 4, stride=2, padding=1), nn.ReLU())
        self.told = nn.Linear(CONDITION, 2 * f)
        self.layers = nn.Sequential(nn.Conv2d(f, f, 3, padding=1), nn.ReLU(), nn.Conv2d(f, 2, 3, padding=1))

    def forward(self, above: Tensor, condition: Tensor) -> Gaussian:
        """above (B, in, h, w), condition (B, 2) -> the law of the latent below, (B, 1, 2h, 2w)."""
        scale, shift = self.told(condition)[:, :, None, None].chunk(2, 1)
        mean, logvar = self.layers(self.rise(above) * (1 + scale) + shift).chunk(2, 1)
        return Gaussian(mean, 10 * torch.tanh(logvar / 10)).float()


class Whitener(nn.Module):
    """Mean and spread of each coarse number over the slices, learned by running averages."""

    mean: Tensor
    square: Tensor

    def __init__(self, width: int, momentum: float = 0.01) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("square", torch.ones(width))

    @torch.no_grad()
    def learn(self, rows: Tensor) -> None:
        """Move towards the rows (B, D) at hand."""
        self.mean.lerp_(rows.mean(0), self.momentum)
        self.square.lerp_(rows.square().mean(0), self.momentum)

    @property
    def spread(self) -> Tensor:
        """Standard deviation of each number, (D,)."""
        return (self.square - self.mean.square()).clamp_min(1e-4).sqrt()


class AgeFlow(nn.Module):
    """The network. Ages come as `condition` (B, 2), see `condition_of`; draws from `rng`."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        parts = config.parts
        self.backbone = parts.backbone(config.keras_padding)
        self.ladder = Ladder(parts.widths, config.logvar_bound, parts)
        self.decoder = parts.decoder()
        self.head = config.head()
        fine_first = parts.widths[: LEVELS - config.coarse + 1]
        self.fine = nn.ModuleList(FineLaw(above, f) for f, above in pairwise(fine_first))
        initialise_glorot(self, rng)
        self.flow = Velocity(self.coarse_width, CONDITION, config.width, config.depth, rng)
        self.whitener = Whitener(self.coarse_width)

    def forward(self, image: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Descent:
        """image (B, 1, S, S) in [0, 1] -> its latents, drawn from q; no age is told."""
        side = self.config.size
        if image.ndim != 4 or image.shape[1:] != (1, side, side):
            raise ShapeError(f"this AgeFlow reads slices (B, 1, {side}, {side}), got {tuple(image.shape)}")
        evidence = self.ladder.evidence(self.backbone(encoder_scale(image)))
        return self.ladder.descend(rng, self.shapes(len(image)), evidence, temperature=temperature)

    def render(self, expansions: list[Tensor]) -> Pixels:
        """Expansions e_1 .. e_5 -> what each pixel may be."""
        pixels: Pixels = self.head(self.decoder(expansions[::-1]))
        return pixels

    def shapes(self, batch: int) -> list[tuple[int, int, int, int]]:
        """Shapes of the latents of `batch` slices, finest first."""
        return latent_shapes(batch, self.config.size, LEVELS)

    @property
    def first_coarse(self) -> int:
        """Index of the finest level under the flow."""
        return LEVELS - self.config.coarse

    @property
    def coarse_width(self) -> int:
        """How many numbers are under the flow."""
        return sum(shape[-1] * shape[-2] for shape in self.shapes(1)[self.first_coarse :])

    def flatten(self, z: list[Tensor]) -> Tensor:
        """Coarse latents of z_1 .. z_5 as whitened rows, (B, D)."""
        rows = torch.cat([level.flatten(1) for level in z[self.first_coarse :]], 1)
        return (rows - self.whitener.mean) / self.whitener.spread

    def unflatten(self, rows: Tensor) -> list[Tensor]:
        """Whitened rows (B, D) as the coarse latents, finest of them first."""
        shapes = self.shapes(len(rows))[self.first_coarse :]
        pieces = (rows * self.whitener.spread + self.whitener.mean).split([s[-1] * s[-2] for s in shapes], 1)
        return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]

    # ------------------------------------------------------------------------------ what it is asked for

    def imagine(self, condition: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Pixels:
        """Slices of lungs nobody ever had, one for each row of `condition`."""
        with evaluating(self):
            shape = (len(condition), self.coarse_width)
            noise = temperature * torch.randn(shape, generator=rng, device=condition.device)
            over = [
                temperature * torch.randn(s, generator=rng, device=condition.device)
                for s in self.shapes(len(condition))[: self.first_coarse]
            ]
            return self._build(noise, over, condition)

    def unmake(
        self, image: Tensor, condition: Tensor, rng: torch.Generator, temperature: float = 0.0
    ) -> tuple[Tensor, list[Tensor]]:
        """What is left of a slice without its age: coarse noise (B, D); fine noise, finest first."""
        with evaluating(self):
            descent = self(image, rng, temperature)
            noise = carry(self.flow, self.flatten(descent.z), condition, self.config.steps, forth=False)
            over = []
            for level, law in enumerate(self.fine):
                p = law(descent.e[level + 1], condition)
                over.append((descent.z[level] - p.mean) * torch.exp(-0.5 * p.logvar))
            return noise, over

    def carry(
        self,
        image: Tensor,
        seen: Tensor,
        wanted: Tensor,
        rng: torch.Generator,
        temperature: float = 0.0,
        fresh: float = 0.0,
    ) -> Pixels:
        """Slices seen at ages `seen` (B, 2), at the ages `wanted`. Who ends where is not identified.

        temperature  of the reading of the slice: 0 takes the mean of every latent
        fresh        share of the noise's variance that is drawn anew: 0 keeps the lung, 1 forgets it
        """
        if not 0 <= fresh <= 1:
            raise UsageError("fresh is a share: 0 keeps the lung, 1 forgets it")
        noise, over = self.unmake(image, seen, rng, temperature)
        kept = [
            (1 - fresh) ** 0.5 * part
            + fresh**0.5 * torch.randn(part.shape, generator=rng, device=part.device)
            for part in [noise, *over]
        ]
        with evaluating(self):
            return self._build(kept[0], kept[1:], wanted)

    def reconstruct(self, image: Tensor, rng: torch.Generator, temperature: float = 0.0) -> Pixels:
        """The slices as the model sees them."""
        with evaluating(self):
            return self.render(self(image, rng, temperature).e)

    def _build(self, noise: Tensor, over: list[Tensor], condition: Tensor) -> Pixels:
        z = [*over, *self.unflatten(carry(self.flow, noise, condition, self.config.steps))]
        e = [self.ladder.expand[n](z[n]) for n in range(self.first_coarse, LEVELS)]
        for level in reversed(range(self.first_coarse)):
            p = self.fine[level](e[0], condition)
            e.insert(0, self.ladder.expand[level](p.mean + torch.exp(0.5 * p.logvar) * over[level]))
        return self.render(e)


def read_loss(model: AgeFlow, batch: SliceBatch, rng: torch.Generator, kl_weight: float) -> dict[str, Tensor]:
    """Stage 1, the evidence bound of `models.usvae`, nats per pixel: total, nll, distortion, rate."""
    descent = model(batch.image, rng)
    distortion = -model.render(descent.e).log_density(batch.image).mean()
    rate = descent.kl().sum(1).mean() / model.config.size**2
    if model.training:
        rows = torch.cat([z.flatten(1) for z in descent.z[model.first_coarse :]], 1)
        model.whitener.learn(rows.detach())
    total = distortion + kl_weight * rate
    return {"total": total, "nll": distortion + rate, "distortion": distortion, "rate": rate}


def age_loss(model: AgeFlow, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Stage 2: flow-matching error of the coarse numbers, and nats per number of the fine levels.

    The auto-encoder is read only. With transport, groups of equal size share one draw of noise.
    """
    with torch.no_grad():
        descent = model(batch.image, rng)
        u = model.flatten(descent.z)
    condition = condition_of(batch.group, batch.day)
    noise = draw_noise(model.config.pairing, u, batch.group, rng)
    s = torch.rand(len(u), generator=rng, device=u.device)
    flow = flow_error(model.flow, noise, u, s, condition).mean()
    fine = torch.zeros((), device=u.device)
    for level, law in enumerate(model.fine):
        p = law(descent.e[level + 1], condition)
        fine = fine - gaussian_log_prob(descent.z[level], p.mean, p.logvar).mean() / p.mean[0].numel()
    return {"total": flow + fine, "flow": flow, "fine": fine}


def draw_noise(pairing: str, u: Tensor, group: Tensor, rng: torch.Generator) -> Tensor:
    """Noise (B, D) for data u (B, D): any with any, or for each group the same cloud by the shortest ways."""
    noise = torch.randn(u.shape, generator=rng, device=u.device)
    if pairing == "independent":
        return noise
    paired = torch.empty_like(noise)
    for g in group.unique():
        rows = (group == g).nonzero()[:, 0]
        cloud = noise[: len(rows)]
        paired[rows] = cloud[pair_by_transport(cloud, u[rows])]
    return paired


def players(model: AgeFlow) -> list[Player]:
    """Stage 1 and stage 2. Together they can play at once; one after the other is better: [:1], then [1:]."""
    config = model.config
    aged = [*model.flow.parameters(), *model.fine.parameters()]
    own = {id(p) for p in aged}
    reader = Player(
        name="reader",
        parameters=[p for p in model.parameters() if id(p) not in own],
        loss=lambda batch, step, rng: read_loss(model, batch, rng, config.kl_weight(step, FIRST_EPOCH)),
        lr=config.lr,
        clip_tensor_norm=1.0,
        clip_value=0.5,
    )
    ager = Player(
        name="ager",
        parameters=aged,
        loss=lambda batch, step, rng: age_loss(model, batch, rng),
        lr=config.flow_lr,
        weight_decay=config.weight_decay,
        clip_total_norm=1.0,
    )
    return [reader, ager]
