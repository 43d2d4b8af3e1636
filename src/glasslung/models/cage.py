"""CAGE: one lung at four ages of the disease (Zammit et al., CAGE).

Notation  x slice of group g (0 healthy, 1 .. 3); z time-invariant latents; k_j latents of age j; each a whole
          ladder e expansion of a latent; T_n[i] time step of level n from age i to age i + 1 (i = 3: from 3
          back to 0) D^(s) features of x carried s ages on: D^(s)_n = T_n[i](D^(s-1)_n, Infer_n(upper))
Prior     p(z), p(k_0): the ladder's own. p(k_j | k_{j-1}): crushed T_n[j-1](e_n of k_{j-1}, Infer_n(e_{n+1}
          of k_j))
Posterior the features of x, carried round the ages from g, merged level by level with the prior
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
          owners', see `nn.matching`
          R3b `critic`: a critic looks at every age, decoded from tourists and prior draws, see `nn.critics`;
          `identity` keeps the outline of the lungs
CAGE-Tj   `single_age=j`: z and k_0 .. k_j only, the likelihood at age j, k_0 .. k_{j-1} by the way round the
          ages. The papers do not say how CAGE-T0 and -T1 were made; this definition is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import MOBILENET_MOMENTUM, encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot, set_norm_momentum
from glasslung.nn.borrow import evaluating
from glasslung.nn.critics import Critic, critic_loss, look, outline_moved
from glasslung.nn.density import sum_per_sample
from glasslung.nn.ladder import Descent, Gaussian, Ladder, latent_shapes, merge
from glasslung.nn.matching import Queue, block_spread, latent_features, latent_widths, mmd
from glasslung.nn.owners import gate, gated_divergence
from glasslung.nn.parts import Parts
from glasslung.nn.player import Player
from glasslung.nn.recipe import LEVELS, LadderRecipe, Pixels

AGES = 4
FIRST_EPOCH = 0  # the released loop counts its epochs from 0


@dataclass(frozen=True)
class Config(LadderRecipe):
    """Settings of one CAGE; `LITERAL` holds the released code's."""

    absolute_index: bool = (
        True  # False: the posterior counts transitions from the age seen, the prior from age 0
    )
    target_upper: bool = True  # False: the posterior's time step reads the upper level of the age it leaves
    decode_all: bool = False  # True: decode all four ages of every slice; three quarters of it trains nothing
    tourist_vote: float = 1.0  # KL weight of k_j on slices of other groups; 1 is the paper's
    single_age: int | None = None  # CAGE-Tj
    owner_gate: bool = False  # R1
    exemplars: int = 64  # R1: owners kept of every age to make the mixture; more than a batch has
    mixed_levels: int = 1  # R1: coarsest levels held against the mixture; the top is where p(k_0) is fixed
    match: float = 0.0  # R2: nats per image for one unit of squared discrepancy, tourists against owners
    match_prior: float = 0.0  # R2: the same, prior draws against owners
    match_coarse: int = 3  # R2: levels 5 to 3 number by number (84 of them), finer ones by their moments
    match_queue: int = 64  # R2: owners kept of every age, so that a batch of few sees a cloud
    critic: float = 0.0  # R3b: nats per pixel for one unit of the critic's opinion
    critic_r1: float = 1.0  # R3b: gradient penalty on real slices; not swept
    critic_width: int = 16  # R3b: channels of its first layer; a wider one learns 100 slices by heart
    critic_lr: float = 3e-4  # R3b
    identity: float = 0.0  # R3b: nats per pixel for one unit of mean square change of the lungs' outline

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.match, self.match_prior, self.critic, self.identity) < 0:
            raise UsageError("match, match_prior, critic and identity must not be negative; 0 turns each off")
        if not 0 < self.match_coarse <= LEVELS or not 0 < self.mixed_levels <= LEVELS:
            raise UsageError(f"match_coarse and mixed_levels count levels: 1 to {LEVELS}")
        if min(self.exemplars, self.match_queue) < 2:
            raise UsageError("exemplars and match_queue must be 2 or more")
        if self.single_age is not None and (self.matches or self.criticises):
            raise UsageError("matching and a critic compare ages; leave them off, or single_age none")
        if self.single_age is not None and not 0 <= self.single_age < AGES:
            raise UsageError(
                f"single_age {self.single_age} is no age; choose 0 to {AGES - 1}, or none for all"
            )
        if self.tourist_vote < 0:
            raise UsageError(
                "tourist_vote must not be negative; 1 is the paper's, 0 gives other groups no vote"
            )

    @property
    def matches(self) -> bool:
        """Whether clouds of latents are compared (R2)."""
        return self.match > 0 or self.match_prior > 0

    @property
    def criticises(self) -> bool:
        """Whether other ages than the one seen are decoded and judged in training (R3b)."""
        return self.critic > 0 or self.identity > 0

    @property
    def ages(self) -> range:
        """The ages that have latents."""
        return range(AGES if self.single_age is None else self.single_age + 1)

    @property
    def carries(self) -> int:
        """How many time steps the posterior needs to reach every age from the age seen."""
        return 0 if self.single_age == 0 else AGES - 1

    def transition(self, age_seen: int, carry: int) -> int:
        """The time step that the posterior takes as its step number `carry` (0, 1, 2) from the age seen."""
        return (age_seen + carry) % AGES if self.absolute_index else carry

    @property
    def transitions(self) -> set[int]:
        """The time steps that training reaches; the others keep their start (A0: the way from 3 to 0)."""
        seen = range(AGES) if self.single_age is None else [self.single_age]
        posterior = {self.transition(age, carry) for age in seen for carry in range(self.carries)}
        return posterior | {age - 1 for age in self.ages if age > 0}


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


class Course(NamedTuple):
    """One lung through the ages: what stays (z), and its state at each age (k_0 ..).

    evidence  what the slice says about each age, by level; none where nothing was seen
    """

    still: Descent
    ages: list[Descent]
    evidence: list[list[Gaussian]] | None = None


class TimeStep(nn.Module):
    """Four sets of weights, one for each way from an age to the next, at one level of the ladder."""

    def __init__(self, f: int, top: bool, parts: Parts) -> None:
        super().__init__()
        self.steps = nn.ModuleList(parts.step(f, top) for _ in range(AGES))

    def forward(self, previous: Tensor, inferred: Tensor | None, index: Tensor) -> Tensor:
        """Features one age on, (B, f, h, w).

        previous  features of this level at the age before, (B, f, h, w)
        inferred  what the level above says about this one, (B, f, h, w); None at the top
        index     (B,) the age each sample leaves, on the CPU
        """
        x = previous if inferred is None else torch.cat([inferred, previous], 1)
        leaving = index.unique().tolist()
        if len(leaving) == 1:
            result: Tensor = self.steps[leaving[0]](x)
            return result
        parts, places = [], []
        for age in leaving:
            rows = (index == age).nonzero()[:, 0].to(x.device)
            parts.append(self.steps[age](x[rows]))
            places.append(rows)
        return torch.cat(parts)[torch.cat(places).argsort()]


class AgeLadder(nn.Module):
    """The age-dependent latents: one backbone and ladder for all ages, and the time steps between."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        parts = config.parts
        self.backbone = parts.backbone(config.keras_padding)
        self.ladder = Ladder(parts.widths, config.logvar_bound, parts)
        self.time = nn.ModuleList(TimeStep(f, f == parts.widths[-1], parts) for f in parts.widths)

    def carry(self, features: list[Tensor], index: Tensor) -> list[Tensor]:
        """Features d_1 .. d_5 of every sample, one age on."""
        moved = list(features)
        for level in reversed(range(LEVELS)):
            inferred = None
            if level < LEVELS - 1:
                upper = (moved if self.config.target_upper else features)[level + 1]
                inferred = self.ladder.infer[level](upper)
            moved[level] = self.time[level](features[level], inferred, index)
        return moved

    def evidence(self, image: Tensor, group: Tensor) -> list[list[Gaussian]]:
        """What the slices, seen at the age `group` (B,), say about every age: evidence[age][level]."""
        seen = group.cpu()
        way = [self.backbone(encoder_scale(image))]
        for carry in range(self.config.carries):
            index = torch.tensor([self.config.transition(age, carry) for age in seen.tolist()])
            way.append(self.carry(way[-1], index))
        stacked = [torch.stack([features[level] for features in way]) for level in range(LEVELS)]
        rows = torch.arange(len(seen))
        opinions = []
        for age in self.config.ages:
            carries = (age - seen) % AGES  # D^(s) belongs to age (seen + s) mod 4
            opinions.append(self.ladder.evidence([features[carries, rows] for features in stacked]))
        return opinions

    def step_prior(self, age: int, before: Descent) -> Any:
        """The prior of k_age given the sampled k_{age-1}, as `Ladder.descend` asks for it."""

        def prior(level: int, above: list[Tensor]) -> Gaussian:
            inferred = self.ladder.infer[level](above[0]) if above else None
            index = torch.full((len(before.e[level]),), age - 1)
            return self.ladder.opinion(level, self.time[level](before.e[level], inferred, index))

        return prior

    def descend(
        self,
        rng: torch.Generator,
        shapes: list[tuple[int, int, int, int]],
        evidence: list[list[Gaussian]] | None,
        temperature: float,
        group: Tensor | None = None,
    ) -> list[Descent]:
        """Draw k_0, then each next age given the one before; `group` (B,) the ages seen, where any was."""
        ages: list[Descent] = []
        for age in self.config.ages:
            prior = self.step_prior(age, ages[-1]) if ages else None
            seen = evidence[age] if evidence is not None else None
            combine = gate(age, group) if self.config.owner_gate and group is not None else merge
            ages.append(
                self.ladder.descend(rng, shapes, seen, prior, temperature=temperature, combine=combine)
            )
        return ages


class StillLadder(nn.Module):
    """The time-invariant latents z: a whole backbone and ladder of their own."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.backbone = config.parts.backbone(config.keras_padding)
        self.ladder = Ladder(config.parts.widths, config.logvar_bound, config.parts)


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
        return Course(still, self.ages.descend(rng, shapes, evidence, temperature, group), evidence)

    def dream(self, count: int, rng: torch.Generator, temperature: float = 1.0) -> Course:
        """The course of lungs nobody ever had, drawn from the prior: as `imagine`, for training."""
        shapes = self.shapes(count)
        still = self.still.ladder.descend(rng, shapes, temperature=temperature)
        return Course(still, self.ages.descend(rng, shapes, None, temperature))

    def render(self, course: Course, age: int) -> Pixels:
        """What each pixel may be, every sample at one age."""
        return self._decode(course.ages[age].e, course.still.e)

    def render_seen(self, course: Course, group: Tensor) -> Pixels:
        """What each pixel may be, every sample at the age it was seen at."""
        rows = torch.arange(len(group), device=group.device)
        levels = [torch.stack([age.e[level] for age in course.ages])[group, rows] for level in range(LEVELS)]
        return self._decode(levels, course.still.e)

    def _decode(self, k: list[Tensor], z: list[Tensor]) -> Pixels:
        skips = [torch.cat(pair, 1) for pair in zip(k, z, strict=True)]
        pixels: Pixels = self.head(self.decoder(skips[::-1]))
        return pixels

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
        """The course of lungs nobody ever had: everything drawn from the prior."""
        with evaluating(self):
            return self.dream(count, rng, temperature)

    def carry(
        self, image: Tensor, group: Tensor, age: int, rng: torch.Generator, temperature: float = 1.0
    ) -> Pixels:
        """The slices at another age: inferred, then decoded there. Who ends where is not identified."""
        if age not in self.config.ages:
            raise UsageError(f"this CAGE has no age {age}; it has {list(self.config.ages)}")
        with evaluating(self):
            return self.render(self(image, group, rng, temperature), age)

    def log_likelihood(self, image: Tensor, group: Tensor, rng: torch.Generator, samples: int = 1) -> Tensor:
        """A lower bound of log p(x | its age), nats per slice, (B,): the bound the paper quotes for 1 sample.

        It counts the divergence of every age's latents, seen or not, as the paper does.
        """
        if samples < 1:
            raise UsageError("the log-likelihood needs one sample at least")
        with evaluating(self):
            weights = [self._log_weight(image, group, rng) for _ in range(samples)]
        return torch.logsumexp(torch.stack(weights), 0) - math.log(samples)

    def _log_weight(self, image: Tensor, group: Tensor, rng: torch.Generator) -> Tensor:
        course = self(image, group, rng)
        spent = sum(d.sampled_kl().double().sum(1) for d in [course.still, *course.ages])
        return sum_per_sample(self.render_seen(course, group).log_density(image).double()) - spent


def seen_log_density(model: CAGE, course: Course, batch: SliceBatch) -> Tensor:
    """log p(x | z, k_g) of each pixel at the age each slice was seen at, (B, 1, S, S) nats."""
    if not model.config.decode_all:
        return model.render_seen(course, batch.group).log_density(batch.image)
    densities = torch.stack([model.render(course, age).log_density(batch.image) for age in model.config.ages])
    return densities[batch.group, torch.arange(len(batch), device=batch.group.device)]


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
        found["apart_tourists"], found["apart_prior"] = match_clouds(model, course, dream, batch.group)
        nats = config.match * found["apart_tourists"] + config.match_prior * found["apart_prior"]
        weighted = weighted + nats / config.size**2
    if config.criticises:
        made, age = strangers(model, course, dream, batch.group, rng)
        found["outline"] = outline_moved(made[: len(batch)], batch.image).mean()
        weighted = weighted + config.identity * found["outline"]
        if config.critic > 0:
            found["on_made"] = look(model.critic, made, age, rng).mean()
            weighted = weighted - config.critic * found["on_made"]
    return found | {"remedies": weighted}


def match_clouds(model: CAGE, course: Course, dream: Course | None, group: Tensor) -> tuple[Tensor, Tensor]:
    """How far clouds of (z, k_j) lie from the owners' of age j, summed over the ages: tourists, prior draws.

    Tourists are drawn to the owners, who do not move for them; prior draws and owners move to each other.
    """
    config = model.config
    widths = latent_widths(model.shapes(1), 2, config.match_coarse)
    tourists = prior = torch.zeros((), device=group.device)
    for age in config.ages:
        cloud = torch.cat(latent_features([course.still, course.ages[age]], config.match_coarse), 1)
        memory = model.clouds[age]
        assert isinstance(memory, Queue)
        if model.training:
            memory.push(cloud[group == age])
        owners = memory.seen() if int(memory.pushed) > 1 else cloud[group == age].detach()
        spread = block_spread(owners, widths)
        if config.match > 0:
            others = [mmd(cloud[group == g] / spread, owners / spread) for g in config.ages if g != age]
            tourists = tourists + sum(others)
        if config.match_prior > 0 and dream is not None:
            drawn = torch.cat(latent_features([dream.still, dream.ages[age]], config.match_coarse), 1)
            prior = prior + mmd(drawn / spread, cloud[group == age] / spread)
    return tourists, prior


def strangers(
    model: CAGE, course: Course, dream: Course | None, group: Tensor, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Pictures the evidence bound never trains, and their ages: slices at another age, prior draws."""
    others = torch.randint(1, AGES, group.shape, generator=rng, device=group.device)
    ages = (group + others) % AGES
    made = [model.render_seen(course, ages).mean()]
    if dream is not None:
        drawn = torch.arange(len(dream.still.z[0]), device=group.device) % AGES
        made.append(model.render_seen(dream, drawn).mean())
        ages = torch.cat([ages, drawn])
    return torch.cat(made), ages


def judge(model: CAGE, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """The critic's side of the game (R3b): slices at the ages they were seen at, against `strangers`."""
    with torch.no_grad():
        course = model(batch.image, batch.group, rng)
        made, age = strangers(model, course, model.dream(len(batch) // 2, rng), batch.group, rng)
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
