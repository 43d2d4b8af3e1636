"""AgeTransport: a slice is moved from age to age as little as may be (remedy R6: R5 in the slice itself).

No latent of an age exists, so none can be read by the wrong decoder: the input is a slice, and the output is
that slice with other lungs.

    dreamer  lungs of the never ill that nobody has, only for `imagine`, which moves them: a Gaussian law of
             outlines and tissue drawn pixel by pixel (`nn.painters`); or, as first shipped, a U-SVAE
    mover    G(x, seen, wanted, e): the slice at the age wanted; e is chance, for what cannot be known

H(x) = G(x, seen, never ill, e) is the mover's own idea of the healthy slice, r = (x - H(x)) what the disease
adds. In every step, the last slices that went by of one age are paired with those of another by optimal
transport between their r (and a little between their outlines): who looks most like whom becomes whom. From
the partner x', r' follows a target, H(x) + r', or x' where the age wanted is never ill; and the mover learns

    expected  |blur(G(x, .., 0) - target)|^2   the likely picture, in the large only: partners match no finer
    least     |G(x, .., 0) - x|^2              for all else, no change
    score     energy score of two draws        draws as wide as the partners differ, see `energy_score`
    critic    every draw looks like a slice of the age wanted (R3b, off by default)

Source: Schiebinger et al. (2019) for pairing cross-sections in time by transport; Shen and Meinshausen (2024,
engression) for draws learned by the energy score; Miyato and Koyama (2018), Mescheder et al. (2018) for the
critic. Dreams: see `nn.painters`.
Limits    Who becomes whom is the principle of least change, not a fact: cross-sectional slices do not say.
          A U-SVAE of one minute dreams blobs, not lungs: its three coarse levels collapse.
          The critic is off: within minutes on one core it made pictures worse, and draws no more diverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot
from glasslung.nn.borrow import evaluating
from glasslung.nn.conditions import CONDITION, condition_of
from glasslung.nn.critics import critic_loss, look
from glasslung.nn.flow import pair_by_transport
from glasslung.nn.ladder import Descent, Ladder, latent_shapes
from glasslung.nn.matching import Queue
from glasslung.nn.movers import (
    COARSEST,
    LUNG_GREY,
    BlockCritic,
    Mover,
    draw_chance,
    mean_square,
    place,
    smooth,
    take_back,
)
from glasslung.nn.painters import Painter, anatomy_of, larger_left
from glasslung.nn.player import Player
from glasslung.nn.recipe import CHOICES, LEVELS, LadderRecipe, Pixels

AGES = 4
FIRST_EPOCH = 1
TINY = 1e-6  # grey^2: a root has no slope at 0
COARSE = 4  # pixels to one number where slices are compared


@dataclass(frozen=True)
class Config(LadderRecipe):
    """Settings of one AgeTransport; those of the recipe are of the U-SVAE that dreams under 'ladder'."""

    dreamer: str = "painter"  # 'ladder' is a U-SVAE: in a minute it learns blobs, not lungs
    net: str = "slim"  # one core trains it in minutes; 'paper' has the published sizes
    kl_warm_up: int = 500  # of the dreamer
    kl_final: float = 0.2  # as the slim CAGEs beside it: at 1 a minute's training shows blurs
    lr: float = 2e-3  # of the slim parts
    width: int = 32  # channels of the mover, of blocks of 4 x 4 pixels; not swept
    critic_width: int = 32  # a wider one learns 100 slices by heart; not swept
    mover_lr: float = 1e-3  # of mover and critic; not swept
    r1: float = 0.1  # gradient penalty of the critic; not swept
    distorted: bool = False  # critics look through DiffAugment; it hid lesions from them for 1,000 steps
    expected: float = 100.0  # mover: weight of the mean square error of the likely picture, about 0.005
    score: float = 10.0  # mover: weight of the energy score, which is about 0.05 of grey
    least: float = 3.0  # mover: weight of the mean square change, which is about 0.003 in grey^2
    critic: float = 0.0  # mover: weight of the critic's opinion
    cloud: int = 160  # slices of each age that are paired; more take longer than the network
    outline: float = 0.05  # weight of the outline beside r when pairing
    dreams: int = 8  # made lungs in a batch of the mover ...
    dream_every: int = 4  # ... every so many steps: dreaming takes as long as all the rest

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """What each setting of a word may be."""
        return CHOICES | {"dreamer": ("painter", "ladder")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.expected, self.score, self.least, self.critic, self.outline, self.r1) < 0:
            raise UsageError("expected, score, least, critic, outline and r1 must not be negative")
        if self.cloud < 2 or min(self.width, self.critic_width, self.dreams, self.dream_every) < 1:
            raise UsageError("cloud must be 2 or more; width, critic_width, dreams and dream_every 1 or more")


class LadderDreamer(nn.Module):
    """A U-SVAE of the never ill."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.size = config.size
        self.backbone = config.parts.backbone(config.keras_padding)
        self.ladder = Ladder(config.parts.widths, config.logvar_bound, config.parts)
        self.decoder = config.parts.decoder()
        self.head = config.head()
        initialise_glorot(self, rng)

    def forward(self, image: Tensor, rng: torch.Generator) -> Descent:
        """image (B, 1, S, S) -> its latents, drawn from q."""
        evidence = self.ladder.evidence(self.backbone(encoder_scale(image)))
        return self.ladder.descend(rng, latent_shapes(len(image), self.size, LEVELS), evidence)

    def render(self, descent: Descent) -> Pixels:
        """Latents -> what each pixel may be."""
        pixels: Pixels = self.head(self.decoder(descent.e[::-1]))
        return pixels

    def dream(self, count: int, rng: torch.Generator) -> Tensor:
        """Mean pictures from the prior, black where there is hardly any lung, (count, 1, S, S)."""
        with evaluating(self):
            descent = self.ladder.descend(rng, latent_shapes(count, self.size, LEVELS))
            picture = self.render(descent).mean()
        return picture * (picture > LUNG_GREY)


class AgeTransport(nn.Module):
    """The networks. Ages come as `condition` (B, 2), see `nn.conditions`; draws from `rng`."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        painted = config.dreamer == "painter"
        self.dreamer = Painter(config.size, rng) if painted else LadderDreamer(config, rng)
        self.mover = Mover(2 * CONDITION, config.width, rng)
        self.critic = BlockCritic(AGES, config.critic_width, rng)
        places = (config.size // COARSE) ** 2
        self.seen = nn.ModuleList(
            Queue(config.cloud, 2 * config.size**2 + 2 * places + 1) for _ in range(AGES)
        )

    def heal(self, image: Tensor, seen: Tensor, rng: torch.Generator) -> Tensor:
        """The slices as if never ill, (B, 1, S, S); those never ill stay as they are. What it knows now."""
        with torch.no_grad():
            never = self.move(image, seen, torch.zeros_like(seen), self._chance(image, rng))
        return torch.where(seen[:, :1, None, None] > 0, never, image)

    def move(self, image: Tensor, seen: Tensor, wanted: Tensor, chance: Tensor) -> Tensor:
        """Draws of the slices at the ages wanted, unbounded."""
        return self.mover(image, torch.cat([seen, wanted], 1), chance)

    # ------------------------------------------------------------------------------ what it is asked for

    def carry(self, image: Tensor, seen: Tensor, wanted: Tensor, rng: torch.Generator) -> Tensor:
        """Slices seen at ages `seen` (B, 2), at the ages `wanted`: one draw, (B, 1, S, S) in [0, 1]."""
        likely = self.expect(image, seen, wanted)
        return (likely + self._luck(image, seen, wanted, rng)).clamp(0, 1)

    def expect(self, image: Tensor, seen: Tensor, wanted: Tensor) -> Tensor:
        """The likely pictures of slices seen at ages `seen` (B, 2), at the ages `wanted`: (B, 1, S, S).

        The change is smoothed within the lungs: it was learned in the large only, and in the small it shows
        the network's blocks.
        """
        self._check(image)
        with evaluating(self):
            never = torch.zeros_like(self._chance(image, torch.Generator(image.device)))
            likely = self.move(image, seen, wanted, never).clamp(0, 1)
        return (image + smooth(likely - image, (image > LUNG_GREY).float())).clamp(0, 1)

    def _luck(self, image: Tensor, seen: Tensor, wanted: Tensor, rng: torch.Generator) -> Tensor:
        """What chance changes, smoothed as the likely change is, (B, 1, S, S).

        Chance comes in every 8 pixels, and between them two chances meet and half cancel out. So each slice
        is put on that lattice in another place: how far draws differ is then of the lungs alone.
        """
        at = torch.randint(COARSEST, (len(image), 2), generator=rng, device=image.device)
        placed = place(image, at)
        chance = self._chance(placed, rng)
        with evaluating(self):
            both = self.move(placed, seen, wanted, torch.cat([torch.zeros_like(chance), chance]))
        never, drawn = (take_back(part, at) for part in both.clamp(0, 1).chunk(2))
        return smooth(drawn - never, (image > LUNG_GREY).float())

    def imagine(self, wanted: Tensor, rng: torch.Generator) -> Tensor:
        """Lungs nobody ever had, one for each row of `wanted` (B, 2): (B, 1, S, S) in [0, 1]."""
        dreams = self.dreamer.dream(len(wanted), rng)
        return self.carry(dreams, torch.zeros_like(wanted), wanted, rng)

    def _chance(self, image: Tensor, rng: torch.Generator, draws: int = 1) -> Tensor:
        return draw_chance(draws * len(image), image.shape[-1], rng, image.device)

    def _check(self, image: Tensor) -> None:
        side = self.config.size
        if image.ndim != 4 or image.shape[1:] != (1, side, side):
            raise ShapeError(
                f"this AgeTransport reads slices (B, 1, {side}, {side}), got {tuple(image.shape)}"
            )


# ---------------------------------------------------------------------------------------------- dreamer


def dream_loss(
    model: AgeTransport, batch: SliceBatch, rng: torch.Generator, kl_weight: float
) -> dict[str, Tensor]:
    """What the dreamer makes of the never ill: total is nats per pixel, of the painter inside outlines.

    A painter counts the outlines in. Under 'ladder' it is the evidence bound of `models.usvae`.
    """
    image = batch.image[batch.group == 0]
    if len(image) == 0:
        raise UsageError("AgeTransport needs slices of the never ill in every batch")
    if isinstance(model.dreamer, LadderDreamer):
        return _bound(model.dreamer, image, rng, kl_weight)
    image = larger_left(image)
    anatomy = anatomy_of(image)
    model.dreamer.law.take(anatomy)
    return {"total": model.dreamer.surprise(image, anatomy, rng)}


def _bound(
    dreamer: LadderDreamer, image: Tensor, rng: torch.Generator, kl_weight: float
) -> dict[str, Tensor]:
    """The evidence bound, nats per pixel: total, nll, distortion, rate."""
    descent = dreamer(image, rng)
    distortion = -dreamer.render(descent).log_density(image).mean()
    rate = descent.kl().sum(1).mean() / dreamer.size**2
    return {
        "total": distortion + kl_weight * rate,
        "nll": distortion + rate,
        "distortion": distortion,
        "rate": rate,
    }


# ------------------------------------------------------------------------------------------------ mover


class Wanted(NamedTuple):
    """What each slice of a batch is to become: the age (B,), its condition (B, 2), the partner there.

    target  (B, 1, S, S) what is expected of it where both have lung
    shared  (B, 1, S, S) where both have lung
    """

    age: Tensor
    condition: Tensor
    target: Tensor
    shared: Tensor


def find_partners(model: AgeTransport, batch: SliceBatch, rng: torch.Generator) -> Wanted:
    """For the slices of each age another age by chance, and partners there by transport between clouds.

    The batch is taken into the clouds first, so that each has slices of its own age to be paired with.
    """
    healed = model.heal(batch.image, condition_of(batch.group, batch.day), rng)
    lung = (batch.image > LUNG_GREY).float()
    added = (batch.image - healed) * lung
    features = _features(added, lung, model.config.outline)
    rows = torch.cat([batch.image.flatten(1), added.flatten(1), features, batch.day[:, None]], 1)
    for number, queue in enumerate(model.seen):
        queue.push(rows[batch.group == number])  # type: ignore[operator]
    age, partner = torch.zeros_like(batch.group), torch.zeros_like(rows)
    for here in batch.group.unique().tolist():
        at = batch.group == here
        there = int(torch.randint(AGES, (), generator=rng, device=batch.group.device))
        age[at], partner[at] = there, _pair(model, rows[at], here, there, rng)
    shape, pixels = batch.image.shape, model.config.size**2
    image, gained = (partner[:, start : start + pixels].reshape(shape) for start in (0, pixels))
    target = torch.where((age == 0)[:, None, None, None], image, healed + gained)
    return Wanted(age, condition_of(age, partner[:, -1]), target, lung * (image > LUNG_GREY))


def _pair(model: AgeTransport, rows: Tensor, here: int, there: int, rng: torch.Generator) -> Tensor:
    """The partners of `rows` (n, D) of one age among the slices of another, (n, D)."""
    others, targets = (model.seen[age].seen() for age in (here, there))  # type: ignore[operator]
    if len(targets) == 0:
        raise UsageError(
            f"no slice of age {there} went by; AgeTransport pairs ages: train it on slices of all {AGES}"
        )
    count = min(len(others), len(targets))
    pick = [
        torch.randperm(len(cloud), generator=rng, device=rows.device)[:count] for cloud in (others, targets)
    ]
    sources = torch.cat([rows, others[pick[0]]])[: max(count, len(rows))]
    chosen = targets[pick[1]]
    if len(chosen) < len(sources):  # so few of that age: some serve twice
        chosen = chosen.repeat(-(-len(sources) // len(chosen)), 1)[: len(sources)]
    at = slice(2 * model.config.size**2, -1)
    way = pair_by_transport(chosen[:, at], sources[:, at])
    return chosen[way[: len(rows)]]


def _features(added: Tensor, lung: Tensor, outline: float) -> Tensor:
    """By what slices are paired: what the disease adds, and a little the outline, both blurred, (B, D)."""
    coarse = F.avg_pool2d(F.avg_pool2d(torch.cat([added, outline * lung], 1), COARSE), 3, 1, 1)
    return coarse.flatten(1)


def move_loss(model: AgeTransport, batch: SliceBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Towards the partner in the large, no further than needed, and real at the age wanted."""
    config = model.config
    with torch.no_grad():
        here = condition_of(batch.group, batch.day)
        wanted = find_partners(model, batch, rng)
    chance = torch.cat(
        [torch.zeros_like(model._chance(batch.image, rng)), model._chance(batch.image, rng, 2)]
    )
    moved = model.move(batch.image, here, wanted.condition, chance)
    likely, first, second = moved.chunk(3)
    lung = (batch.image > LUNG_GREY).float()
    terms = {
        "expected": mean_square(_blur((likely - wanted.target) * wanted.shared), _blur(wanted.shared)),
        "least": mean_square(likely - batch.image, lung),
        "score": energy_score(first, second, wanted.target, wanted.shared).mean(),
    }
    total = sum((getattr(config, name) * term for name, term in terms.items()), torch.zeros(()))
    if config.critic == 0:
        return {"total": total, **terms}
    looked, ages = [moved[len(batch) :]], [wanted.age, wanted.age]
    if step % config.dream_every == 0:
        dreams = model.dreamer.dream(config.dreams, rng)
        at = torch.arange(config.dreams, device=dreams.device) % len(batch)
        never = torch.zeros_like(wanted.condition[at])
        looked.append(model.move(dreams, never, wanted.condition[at], model._chance(dreams, rng)))
        ages.append(wanted.age[at])
    real = look(model.critic, torch.cat(looked), torch.cat(ages), rng, config.distorted).mean()
    return {"total": total - config.critic * real, **terms, "real": real}


def energy_score(first: Tensor, second: Tensor, target: Tensor, shared: Tensor) -> Tensor:
    """How well two draws foretell a target, blurred, where both have lung: a proper score, (B,), in grey.

    (|first - target| + |second - target|) / 2 - |first - second| / 2, root mean squares over pixels: least on
    average when the draws follow the law of the target, neither wider nor narrower (Gneiting and Raftery,
    JASA 2007).
    """
    weight = _blur(shared).sum((1, 2, 3)).clamp_min(1.0)

    def apart(x: Tensor, y: Tensor) -> Tensor:
        return (_blur((x - y) * shared).square().sum((1, 2, 3)) / weight + TINY).sqrt()

    return 0.5 * (apart(first, target) + apart(second, target) - apart(first, second))


def _blur(x: Tensor) -> Tensor:
    """Mean over 5 x 5 pixels, every other pixel."""
    return F.avg_pool2d(x, 5, 2, 2)


def critic_step(model: AgeTransport, batch: SliceBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """The critic's turn: slices at their own age against moved ones and dreams at the age wanted."""
    config = model.config
    with torch.no_grad():
        here = condition_of(batch.group, batch.day)
        turn = torch.randperm(len(batch), generator=rng, device=batch.group.device)
        made = [model.move(batch.image, here, here[turn], model._chance(batch.image, rng))]
        ages = [batch.group[turn]]
        if step % config.dream_every == 0:
            dreams = model.dreamer.dream(config.dreams, rng)
            at = torch.arange(config.dreams, device=dreams.device) % len(batch)
            there = here[turn][at]
            made.append(model.move(dreams, torch.zeros_like(there), there, model._chance(dreams, rng)))
            ages.append(batch.group[turn][at])
    return critic_loss(
        model.critic,
        batch.image,
        batch.group,
        torch.cat(made),
        torch.cat(ages),
        rng,
        config.r1,
        config.distorted,
    )


def players(model: AgeTransport) -> list[Player]:
    """Dreamer, critic where it is on, mover. Dreamer first is better; all at once works too."""
    config = model.config

    def adversary(name: str, module: nn.Module, loss: object) -> Player:
        return Player(
            name=name,
            parameters=list(module.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, step, rng),  # type: ignore[operator]
            lr=config.mover_lr,
            betas=(0.0, 0.99),  # as StarGAN v2: momentum makes two players circle
            clip_total_norm=10.0,
        )

    dreamer = Player(
        name="dreamer",
        parameters=list(model.dreamer.parameters()),
        loss=lambda batch, step, rng: dream_loss(model, batch, rng, config.kl_weight(step, FIRST_EPOCH)),
        lr=config.lr,
        clip_tensor_norm=1.0,
        clip_value=0.5,
    )
    return [
        dreamer,
        *([adversary("critic", model.critic, critic_step)] if config.critic > 0 else []),
        adversary("mover", model.mover, move_loss),
    ]
