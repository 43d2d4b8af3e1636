"""CAGE: one lung at four ages of the disease (Zammit et al., CAGE).

Latents   z, and k_0 .. k_3 one after the other; prior, posterior and what a day does: `nn.ages`
Variants  `VARIANTS` holds the faults of the released code as switches, see `Config`:
          A0 as released; A1 absolute index in the posterior; A2 target-time upper level in it; A3 both (the
          default)
Departs   As `models.usvae` does by default (softplus, direct log-density, bounded log-variance, closed-form
          KL, KL weight 1 by a linear climb). Besides, by default only the age that was seen is decoded in
          training: the other 48 of 64 images reach the loss through nothing but batch statistics
          (`decode_all=True` decodes them).
Remedies  against the tourist crisis (an age is decoded from latents of slices that were seen at another
          age, or from prior draws, though it was trained on neither); each behind its own settings, off by
          default, some of them together in `REMEDIES`; none of them is the paper's:
          R1 `owner_gate`: a slice votes on its own age only, see `nn.owners`
          R2 `match`, `match_prior`: clouds of (z, k_j) of tourists, and of prior draws, held against the
          owners', see `nn.tourists`
          R3b `critic`: a critic looks at every age, decoded from tourists and prior draws, see `nn.critics`;
          `identity` keeps the outline of the lungs
CAGE-Tj   `single_age=j`: z and k_0 .. k_j only, the likelihood at age j, k_0 .. k_{j-1} by the way round the
          ages. The papers do not say how CAGE-T0 and -T1 were made; this definition is ours.
Day       `day=True`: a slice is decoded on its day within its age, where the day is known. Ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.ages import AGES, AgeLadder, Course, Dating, StillLadder
from glasslung.nn.backbones import MOBILENET_MOMENTUM, encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot, set_norm_momentum
from glasslung.nn.borrow import evaluating
from glasslung.nn.critics import Critic, critic_loss, look, outline_moved
from glasslung.nn.density import sum_per_sample
from glasslung.nn.ladder import latent_shapes
from glasslung.nn.matching import Queue, latent_widths
from glasslung.nn.owners import gated_divergence
from glasslung.nn.player import Player
from glasslung.nn.recipe import LEVELS, Pixels
from glasslung.nn.tourists import TouristRecipe, match_clouds, strangers

FIRST_EPOCH = 0  # the released loop counts its epochs from 0


@dataclass(frozen=True)
class Config(TouristRecipe):
    """Settings of one CAGE, with those of its remedies; `LITERAL` holds the released code's."""

    decode_all: bool = False  # True: decode all four ages of every slice; three quarters of it trains nothing
    tourist_vote: float = 1.0  # KL weight of k_j on slices of other groups; 1 is the paper's
    day: bool = False  # decode a slice on its own day; where days mean something else than time, leave it off

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.day and self.single_age == 0:
            raise UsageError(
                "healthy lungs have no day of disease; leave day off, or choose another single_age"
            )
        if self.tourist_vote < 0:
            raise UsageError(
                "tourist_vote must not be negative; 1 is the paper's, 0 gives other groups no vote"
            )


VARIANTS: dict[str, dict[str, Any]] = {
    "A0": {"absolute_index": False, "target_upper": False},
    "A1": {"absolute_index": True, "target_upper": False},
    "A2": {"absolute_index": False, "target_upper": True},
    "A3": {"absolute_index": True, "target_upper": True},
}

_MATCHED = {"match": 100.0, "match_prior": 100.0}  # makes the discrepancies about as large as the divergence
_JUDGED = {"critic": 0.05, "identity": 1.0}  # not swept
REMEDIES: dict[str, dict[str, Any]] = {
    "no tourist votes": {"tourist_vote": 0.0},
    "R1": {"owner_gate": True},
    "R2": _MATCHED,
    "R3b": _JUDGED,
    "R1+R2": {"owner_gate": True, **_MATCHED},
    "R1+R2+R3b": {"owner_gate": True, **_MATCHED, **_JUDGED},
}

LITERAL = Config(
    positive="relu",
    density_floor=1e-7,
    logvar_bound=None,
    kl="sampled",
    kl_schedule="paper",
    backbone_momentum=MOBILENET_MOMENTUM,
    decode_all=True,
    **VARIANTS["A0"],
)


class CAGE(nn.Module):
    """The network. `group` (B,) int64 is the age a slice was seen at; draws come from `rng`."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.still = StillLadder(config)
        self.ages = AgeLadder(config)
        self.decoder = config.parts.decoder(beside=2)
        self.head = config.head()
        initialise_glorot(self, rng)
        if config.owner_gate:
            places = sum(s[-1] * s[-2] for s in self.shapes(1)[LEVELS - config.mixed_levels :])
            self.owners = nn.ModuleList(Queue(config.exemplars, 2 * places) for _ in config.ages)
        if config.matches:
            width = sum(latent_widths(self.shapes(1), 2, config.match_coarse))
            self.clouds = nn.ModuleList(Queue(config.match_queue, width) for _ in config.ages)
        if config.critic > 0:
            self.critic = Critic(AGES, config.critic_width, rng)
        if config.day:
            self.dating = Dating(config.parts)
        for backbone in (self.still.backbone, self.ages.backbone):
            for stage in backbone.stages:  # type: ignore[union-attr]
                set_norm_momentum(stage, config.backbone_momentum)

    def forward(self, image: Tensor, group: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Course:
        """image (B, 1, S, S) in [0, 1] seen at ages group (B,) -> latents of every age, drawn from q."""
        self._check(image, group)
        shapes = self.shapes(len(image))
        seen = self.still.ladder.evidence(self.still.backbone(encoder_scale(image)))
        still = self.still.ladder.descend(rng, shapes, seen, temperature=temperature)
        evidence = self.ages.evidence(image, group)
        owners = group if self.config.owner_gate else None
        return Course(still, self.ages.descend(rng, shapes, evidence, temperature, owners), evidence)

    def dream(self, count: int, rng: torch.Generator, temperature: float = 1.0) -> Course:
        """The course of lungs nobody ever had, drawn from the prior: as `imagine`, for training."""
        shapes = self.shapes(count)
        still = self.still.ladder.descend(rng, shapes, temperature=temperature)
        return Course(still, self.ages.descend(rng, shapes, None, temperature))

    def render(self, course: Course, age: int, day: Tensor | None = None) -> Pixels:
        """What each pixel may be, every sample at one age.

        day  (B,) the day within that age, NaN for its middle; needs Config.day
        """
        group = torch.full((len(course.still.z[0]),), age, device=course.still.z[0].device)
        return self._decode(course.ages[age].e, course.still.e, group, day)

    def render_seen(self, course: Course, group: Tensor, day: Tensor | None = None) -> Pixels:
        """What each pixel may be, every sample at its own entry of group (B,), and of day."""
        return self._decode(course.states_at(group), course.still.e, group, day)

    def _decode(self, k: list[Tensor], z: list[Tensor], age: Tensor, day: Tensor | None) -> Pixels:
        if day is not None:
            if not self.config.day:
                raise UsageError("this CAGE knows no days: leave the day away, or train one with day=true")
            k = self.dating(k, age, day)
        skips = [torch.cat(pair, 1) for pair in zip(k, z, strict=True)]
        pixels: Pixels = self.head(self.decoder(skips[::-1]))
        return pixels

    def show(self, course: Course, age: Tensor) -> Tensor:
        """Mean pictures, every sample at its own entry of age (B,), undated: (B, 1, S, S)."""
        return self.render_seen(course, age).mean()

    @property
    def memories(self) -> list[Queue]:
        """Owners' latents of every age, where clouds are matched (R2)."""
        return [queue for queue in self.clouds if isinstance(queue, Queue)]

    def shapes(self, batch: int) -> list[tuple[int, int, int, int]]:
        """Shapes of the latents of `batch` slices at one age, finest first."""
        return latent_shapes(batch, self.config.size, LEVELS)

    def _check(self, image: Tensor, group: Tensor) -> None:
        side, ages = self.config.size, self.config.ages
        if image.ndim != 4 or image.shape[1:] != (1, side, side):
            raise ShapeError(f"this CAGE reads slices (B, 1, {side}, {side}), got {tuple(image.shape)}")
        seen = set(group.tolist())
        allowed = set(ages) if self.config.single_age is None else {self.config.single_age}
        if not seen <= allowed:
            raise UsageError(f"this CAGE knows slices of groups {sorted(allowed)}, got {sorted(seen)}")

    # ------------------------------------------------------------------------------ what it is asked for

    def infer(self, image: Tensor, group: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Course:
        """The course of lungs that were seen once: evaluation mode, no gradients."""
        with evaluating(self):
            return self(image, group, rng, temperature)

    def imagine(self, count: int, rng: torch.Generator, temperature: float = 1.0) -> Course:
        """The course of lungs nobody ever had: everything drawn from the prior. `render` shows its days."""
        with evaluating(self):
            return self.dream(count, rng, temperature)

    def carry(
        self,
        image: Tensor,
        group: Tensor,
        age: int,
        rng: torch.Generator,
        temperature: float = 1.0,
        day: Tensor | None = None,
    ) -> Pixels:
        """The slices at another age: inferred, then decoded there. Who ends where is not identified.

        day  as in `render`: the days wanted
        """
        if age not in self.config.ages:
            raise UsageError(f"this CAGE has no age {age}; it has {list(self.config.ages)}")
        with evaluating(self):
            return self.render(self(image, group, rng, temperature), age, day)

    def log_likelihood(
        self,
        image: Tensor,
        group: Tensor,
        rng: torch.Generator,
        samples: int = 1,
        day: Tensor | None = None,
    ) -> Tensor:
        """A lower bound of log p(x | its age), nats per slice, (B,): the bound the paper quotes for 1 sample.

        It counts the divergence of every age's latents, seen or not, as the paper does. day as in `render`.
        """
        if samples < 1:
            raise UsageError("the log-likelihood needs one sample at least")
        with evaluating(self):
            weights = [self._log_weight(image, group, rng, day) for _ in range(samples)]
        return torch.logsumexp(torch.stack(weights), 0) - math.log(samples)

    def _log_weight(self, image: Tensor, group: Tensor, rng: torch.Generator, day: Tensor | None) -> Tensor:
        course = self(image, group, rng)
        spent = sum(d.sampled_kl().double().sum(1) for d in [course.still, *course.ages])
        return sum_per_sample(self.render_seen(course, group, day).log_density(image).double()) - spent


def seen_log_density(model: CAGE, course: Course, batch: SliceBatch) -> Tensor:
    """log p(x | z, k_g) of each pixel at the age each slice was seen at, (B, 1, S, S) nats."""
    config, rows = model.config, torch.arange(len(batch), device=batch.group.device)
    day = batch.day if config.day else None
    if not config.decode_all:
        return model.render_seen(course, batch.group, day).log_density(batch.image)
    every = []
    for age in config.ages:
        own = None if day is None else torch.where(batch.group == age, day, torch.nan)
        every.append(model.render(course, age, own).log_density(batch.image))
    return torch.stack(every)[batch.group, rows]


def loss(model: CAGE, batch: SliceBatch, rng: torch.Generator, kl_weight: float) -> dict[str, Tensor]:
    """Negative evidence bound, nats per pixel, mean over the batch; 'total' is what is minimised.

    The batch should hold as many slices of each group. distortion, rate, nll as in `models.usvae`; kl_still
    and kl_k0 .. kl_k3 in nats per image, unweighted: 'rate' counts every vote in full, as the paper's table
    does.
    """
    config = model.config
    course = model(batch.image, batch.group, rng)
    kl = divergences(model, course, batch.group)
    owned = torch.stack(
        [torch.ones_like(batch.group, dtype=torch.bool), *(batch.group == a for a in model.config.ages)]
    )
    votes = torch.where(owned, 1.0, config.tourist_vote)
    pixels = config.size**2
    distortion = -seen_log_density(model, course, batch).mean()
    rate = kl.sum(0).mean() / pixels
    total = distortion + kl_weight * (votes * kl).sum(0).mean() / pixels
    terms = {"total": total, "nll": distortion + rate, "distortion": distortion, "rate": rate}
    names = ["kl_still", *(f"kl_k{age}" for age in config.ages)]
    terms |= dict(zip(names, kl.mean(1), strict=True))
    if config.matches or config.criticises:
        terms |= remedy_terms(model, course, batch, rng)
        terms["total"] = terms["total"] + terms["remedies"]
    return terms


def divergences(model: CAGE, course: Course, group: Tensor) -> Tensor:
    """Nats that every slice pays for z and for each k_j, (1 + ages, B): the paper's, or the owners' (R1)."""
    config = model.config
    if config.owner_gate:
        assert course.evidence is not None
        paid = [course.still.kl().sum(1)]
        for age, (descent, said) in enumerate(zip(course.ages, course.evidence, strict=True)):
            memory = model.owners[age]
            assert isinstance(memory, Queue)
            paid.append(gated_divergence(descent, said, age, group, memory, config.mixed_levels))
        return torch.stack(paid)
    ladders = [course.still, *course.ages]
    return torch.stack([(d.sampled_kl() if config.kl == "sampled" else d.kl()).sum(1) for d in ladders])


def remedy_terms(model: CAGE, course: Course, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """R2 and R3b: 'remedies', nats per pixel, and what it is made of.

    apart_tourists, apart_prior  summed squared discrepancies
    on_made                      what the critic thinks of made slices
    outline                      mean square change of the outline across ages
    """
    config, found = model.config, {}
    weighted = torch.zeros((), device=batch.image.device)
    dream = model.dream(len(batch) // 2, rng) if config.match_prior > 0 or config.critic > 0 else None
    if config.matches:
        drawn = dream if config.match_prior > 0 else None
        found["apart_tourists"], found["apart_prior"] = match_clouds(
            course, drawn, batch.group, model.memories, config.match_coarse, config.match > 0
        )
        nats = config.match * found["apart_tourists"] + config.match_prior * found["apart_prior"]
        weighted = weighted + nats / config.size**2
    if config.criticises:
        made, age = strangers(model.show, course, dream, batch.group, rng)
        found["outline"] = outline_moved(made[: len(batch)], batch.image).mean()
        weighted = weighted + config.identity * found["outline"]
        if config.critic > 0:
            found["on_made"] = look(model.critic, made, age, rng).mean()
            weighted = weighted - config.critic * found["on_made"]
    return found | {"remedies": weighted}


def judge(model: CAGE, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """The critic's side of the game (R3b): slices at the ages they were seen at, against `strangers`."""
    with torch.no_grad():
        course = model(batch.image, batch.group, rng)
        dream = model.dream(len(batch) // 2, rng)
        made, age = strangers(model.show, course, dream, batch.group, rng)
    return critic_loss(model.critic, batch.image, batch.group, made, age, rng, model.config.critic_r1)


def trained_parameters(model: CAGE) -> list[nn.Parameter]:
    """What training can reach: not the critic, nor time steps that no slice takes (A0: from 3 to 0)."""
    config = model.config
    idle = {
        id(p)
        for level in model.ages.time
        for age, step in enumerate(level.steps)  # type: ignore[arg-type]
        if age not in config.transitions
        for p in step.parameters()
    }
    if config.critic > 0:
        idle |= {id(p) for p in model.critic.parameters()}
    return [p for p in model.parameters() if id(p) not in idle]


def players(model: CAGE) -> list[Player]:
    """The paper's recipe: one Adam; each tensor's gradient clipped to norm 1, then each element to 0.5.

    With R3b the critic plays too, and moves first.
    """
    config = model.config
    cage = Player(
        name="cage",
        parameters=trained_parameters(model),
        loss=lambda batch, step, rng: loss(model, batch, rng, config.kl_weight(step, FIRST_EPOCH)),
        lr=config.lr,
        clip_tensor_norm=1.0,
        clip_value=0.5,
    )
    if config.critic == 0:
        return [cage]
    critic = Player(
        name="critic",
        parameters=list(model.critic.parameters()),
        loss=lambda batch, step, rng: judge(model, batch, rng),
        lr=config.critic_lr,
        betas=(0.0, 0.99),  # as StarGAN v2: momentum makes two players circle
        clip_tensor_norm=1.0,
    )
    return [critic, cage]
