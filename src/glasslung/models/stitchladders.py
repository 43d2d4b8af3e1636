"""StichNet as printed: a slice stitched from styles that two ladders of latents draw (Zammit, 2020).

Ours, which answers better, is `models.stichnet`; this one stands beside it to be compared with.

Notation  x slice; z, k ladders of five latents, style and semantics; fb background or lung, l lesion in the
          lung; y label of a pixel (`nn.stitch.STYLES` has the order); b, g, c, h the slice in one style each
Model     fb from Dec(z, k), l from Dec(k), styles from Dec(z, k); x under y is the style that y names; a
          label that is not known is summed out, exactly, over what remains possible
Variants  `VARIANTS["PAPER"]` as the text has it; `["RELEASED"]` as the code, another model (one ladder, 4-way
          softmax, finest level only, Beta, expectation in place of the marginal, 100 x focal);
          `["LEVERS"]`, which is `Config()`: what holds the printed model upright
Departs   PAPER: the networks' gaps are filled as U-SVAE's code does; log-variances are bounded and KL is in
          closed form; Adam and clipping are the released code's, for the text names none. RELEASED: side and
          batch are the caller's. LEVERS adds
          1. a recogniser q(y | x), a U-Net decoder on the encoder, which answers; the bound holds with it
             (Kingma et al., M2), and a label no longer has to pass through one latent number per place
          2. styles of the lung from coarse levels only: where each style alone can paint every detail, no
             label is needed to explain a slice, and nothing is learned from one without labels
          3. one encoder, shared decoders, slim parts, discretised logistics, light KL
          4. turns of the recogniser alone between steps of the whole model, which cost five times as much
Levers    against collapse, each a setting: `hinge`, `shared_decoders`, `consistency`, `proportions`,
          `black_is_outside` (healthy controls as weak labels), `coarse_styles`. With `consistency` the
          student must give on altered and mixed slices what a teacher, the running average of its weights,
          gives on plain ones
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn import stitch
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.blocks import initialise_glorot, set_norm_momentum
from glasslung.nn.borrow import evaluating
from glasslung.nn.ladder import Descent, Ladder, LevelUse, level_use
from glasslung.nn.perturb import change_greys, draw_boxes, mix
from glasslung.nn.player import Player
from glasslung.nn.recipe import LEVELS
from glasslung.nn.schedules import cosine, warm_up
from glasslung.nn.seglosses import dice_loss, fold
from glasslung.nn.stitchrecipe import VARIANTS, StitchRecipe

__all__ = ["VARIANTS", "Config", "StichNet", "loss", "players"]

STEP = 2**LEVELS  # sides must be multiples of it
CLIMB = 50  # steps until the learning rate is reached
LUNG_STYLES = tuple(range(1, len(stitch.STYLES)))

Config = StitchRecipe


class Reading(NamedTuple):
    """What the model made of a batch.

    z, k    the ways down; k is z where there is one ladder
    pixels  what each pixel may be under each style
    log_y   (B, 4, H, W) log p(y | z, k)
    log_q   (B, 4, H, W) log q(y | x), None without a recogniser
    """

    z: Descent
    k: Descent
    pixels: stitch.StylePixels
    log_y: Tensor
    log_q: Tensor | None


class StichNet(nn.Module):
    """The network. Sides of slices are multiples of 32; draws come from the generator it is given."""

    teacher: StichNet | None
    lesion_share: Tensor

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        parts = config.parts
        self.two = config.latents == "z and k"
        self.encoder = parts.backbone(config.keras_padding)
        self.ladder = Ladder(parts.widths, config.logvar_bound, parts)
        self.label_encoder = parts.backbone(config.keras_padding) if config.encoders == "two" else None
        self.label_ladder = Ladder(parts.widths, config.logvar_bound, parts) if self.two else None
        self.painters = self._painters()
        self.recogniser = parts.decoder() if config.answer == "recogniser" else None
        self.recogniser_head = None if self.recogniser is None else parts.head(parts.features, 4)
        initialise_glorot(self, rng)
        set_norm_momentum(self.encoder, config.backbone_momentum)
        if self.label_encoder is not None:
            set_norm_momentum(self.label_encoder, config.backbone_momentum)
        self.register_buffer("lesion_share", torch.zeros(stitch.LESION_CLASSES))
        self.teacher = None
        if config.consistency > 0:
            self.teacher = copy.deepcopy(self).requires_grad_(False)

    def _painters(self) -> nn.ModuleDict:
        """The decoders of all maps: one each, or one for all that read the same levels of the ladders."""
        config = self.config
        numbers = stitch.numbers_per_pixel(config.likelihood, config.components)
        wanted = {"background": (numbers, 2, 0)}  # numbers, ladders read, levels withheld
        wanted |= dict.fromkeys(stitch.STYLES[1:], (numbers, 2, config.coarse_styles))
        if config.label_head == "fb x l":
            wanted |= {"lung": (2, 2, 0), "label": (3, 1, 0)}
        else:
            wanted |= {"label": (4, 1, 0)}
        groups: dict[tuple[str, int, int], dict[str, int]] = {}
        for name, (out, ladders, withheld) in wanted.items():
            beside = min(ladders, 2 if self.two else 1)
            key = ("" if config.shared_decoders else name, beside, withheld)
            groups.setdefault(key, {})[name] = out
        finest = config.decoder == "finest"
        return nn.ModuleDict(
            {
                " and ".join(heads): stitch.Painter(config.parts, heads, beside, finest, withheld)
                for (_, beside, withheld), heads in groups.items()
            }
        )

    # --------------------------------------------------------------------------------------- reading

    def forward(self, image: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Reading:
        """image (B, 1, H, W) in [0, 1] -> latents drawn from q, styles and labels."""
        features, label_features = self._encode(image)
        z = k = self._descend(self.ladder, features, rng, temperature)
        if self.label_ladder is not None:
            k = self._descend(self.label_ladder, label_features, rng, temperature)
        pixels, log_y = self.paint(z.e, k.e)
        return Reading(z, k, pixels, log_y, self._recognise(label_features))

    def _encode(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        if image.ndim != 4 or image.shape[1] != 1 or any(side % STEP for side in image.shape[2:]):
            raise ShapeError(
                f"StichNet reads slices (B, 1, H, W) of sides that are multiples of {STEP}, got "
                f"{tuple(image.shape)}"
            )
        scaled = encoder_scale(image)
        features = self.encoder(scaled)
        return features, features if self.label_encoder is None else self.label_encoder(scaled)

    @staticmethod
    def _descend(ladder: Ladder, features: list[Tensor], rng: torch.Generator, temperature: float) -> Descent:
        shapes = [(len(d), 1, *d.shape[2:]) for d in features]
        return ladder.descend(rng, shapes, ladder.evidence(features), temperature=temperature)

    def paint(self, z: list[Tensor], k: list[Tensor]) -> tuple[stitch.StylePixels, Tensor]:
        """Styles and log p(y) from the expansions of both ladders, finest first."""
        both = [torch.cat(pair, 1) for pair in zip(z, k, strict=True)] if self.two else z
        maps: dict[str, Tensor] = {}
        for painter in self.painters.values():
            assert isinstance(painter, stitch.Painter)
            maps |= painter(k if "label" in painter.heads and self.two else both)
        raw = torch.stack([maps[style] for style in stitch.STYLES], 1)
        labels = maps["label"]
        log_y = stitch.stitch_labels(maps["lung"], labels) if "lung" in maps else torch.log_softmax(labels, 1)
        return stitch.StylePixels(self.config.likelihood, raw), log_y

    def _recognise(self, features: list[Tensor]) -> Tensor | None:
        if self.recogniser is None or self.recogniser_head is None:
            return None
        return torch.log_softmax(self.recogniser_head(self.recogniser(features[::-1])).float(), 1)

    def opinion(self, image: Tensor, rng: torch.Generator, temperature: float = 1.0) -> Tensor:
        """log of what the model answers for each pixel's label, (B, 4, H, W); see `Config.answer`."""
        if self.recogniser is not None:
            found = self._recognise(self._encode(image)[1])
            assert found is not None
            return found
        reading = self(image, rng, temperature)
        if self.config.answer == "posterior":
            return stitch.label_posterior(reading.log_y, reading.pixels.log_density(image))
        return reading.log_y

    # ------------------------------------------------------------------------------ what it is asked for

    @property
    def speaker(self) -> StichNet:
        """Who answers: the teacher where there is one and settings say so."""
        return self.teacher if self.teacher is not None and self.config.teacher_answers else self

    def labels(self, image: Tensor) -> Tensor:
        """p(background, ground glass, consolidation, healthy lung) of each pixel, (B, 4, H, W)."""
        with evaluating(self):
            return self.speaker.opinion(image, _unused(image), temperature=0.0).exp()

    def probabilities(self, image: Tensor) -> Tensor:
        """p(none, ground glass, consolidation) of each pixel: (B, 1, H, W) in [0, 1] -> (B, 3, H, W)."""
        return stitch.lesion_probabilities(self.labels(image).clamp_min(1e-12).log())

    def read(self, image: Tensor) -> Reading:
        """The whole reading at the mean of every latent, in evaluation mode."""
        with evaluating(self):
            reading: Reading = self.speaker(image, _unused(image), 0.0)
            return reading

    def styles(self, image: Tensor) -> Tensor:
        """The slice in each style, in the order of `nn.stitch.STYLES`: (B, 4, H, W) in [0, 1]."""
        return self.read(image).pixels.mean()

    def restyle(self, image: Tensor, style: int) -> Tensor:
        """This slice with its lungs wholly in one style (1 ground glass, 2 consolidation, 3 healthy).

        Around the lungs it stays as it is. (B, 1, H, W) -> (B, 1, H, W).
        """
        if style not in LUNG_STYLES:
            raise UsageError(f"style {style} is none of the lung's: choose 1, 2 or 3 ({stitch.STYLES[1:]})")
        outside = self.labels(image)[:, :1]
        return outside * image + (1 - outside) * self.styles(image)[:, style : style + 1]

    def reconstruct(self, image: Tensor) -> Tensor:
        """The slice stitched from its styles by its own labels, (B, 1, H, W)."""
        reading = self.read(image)
        return stitch.stitch(reading.log_y, reading.pixels.mean())

    def uses(self, image: Tensor) -> list[LevelUse]:
        """How much each level of each ladder says on slices (two at least): z1 .. z5, then k1 .. k5."""
        reading = self.read(image)
        found = level_use([reading.z])
        if self.two:
            found += [replace(use, name=f"k{use.name[1:]}") for use in level_use([reading.k])]
        return found

    # ------------------------------------------------------------------------------------------ memories

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the teacher one step towards the student, faster at first."""
        if self.teacher is None:
            return
        decay = min(self.config.teacher_decay, (1 + step) / (10 + step))
        mine = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        for name, part in [*self.teacher.named_parameters(), *self.teacher.named_buffers()]:
            if part.is_floating_point():
                part.lerp_(mine[name], 1 - decay)
            else:
                part.copy_(mine[name])

    @torch.no_grad()
    def remember_share(self, lesion: Tensor) -> None:
        """Take note of how much of the labelled slices (B, H, W) is lesion."""
        known = lesion >= 0
        if not known.any():
            return
        counts = torch.stack([(lesion == 2).sum(), ((lesion == 1) | (lesion == 3)).sum()])
        dense, glass = (counts / known.sum()).unbind()
        now = torch.stack([1 - glass - dense, glass, dense]).to(self.lesion_share)
        self.lesion_share.lerp_(now, 0.05 if self.lesion_share.any() else 1.0)


def _unused(image: Tensor) -> torch.Generator:
    """A generator for a way down that draws nothing."""
    return torch.Generator(image.device)


# ------------------------------------------------------------------------------------------- training


def loss(model: StichNet, batch: LabelledBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """What is minimised, per pixel, mean over the batch; 'total' is the weighted sum of the others.

    nll         negative evidence bound of the slices and of what is known about them, nats per pixel
    distortion  -log p(x | what is known); label -log p(what is known); rate_z, rate_k the divergences
    recogniser, hinge, proportions, consistency   0 where switched off
    In training it also moves the teacher and the memory of how much of a slice is lesion.
    """
    config = model.config
    lung = known_lung(config, batch)
    allowed = stitch.possible_labels(batch.lesion, lung)
    reading = model(batch.image, rng)
    bound = stitch_bound(model.config, reading, batch.image, allowed)
    told = stitch.log_possible(reading.log_y, allowed)
    pixels = batch.image[0].numel()
    rate_z = _divergence(model, reading.z) / pixels
    rate_k = _divergence(model, reading.k) / pixels if model.two else torch.zeros_like(rate_z)
    terms = {
        "distortion": (-bound).mean(),
        "label": stitch.focal_loss(told, config.focal_gamma).mean(),
        "rate_z": rate_z,
        "rate_k": rate_k,
        "recogniser": _recogniser_loss(config, reading.log_q, batch, allowed),
    }
    terms |= levers(model, batch, reading, lung, step, rng)
    if model.training:
        if not _learns_alone(model):
            model.follow(step)
        model.remember_share(batch.lesion)
    total = torch.stack([weight * terms[name] for name, weight in _weights(config, step).items()]).sum()
    nll = terms["distortion"] - told.mean() + rate_z + rate_k
    return {"total": total, "nll": nll, **terms}


def recogniser_loss(
    model: StichNet, batch: LabelledBatch, step: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """What the recogniser learns alone, a fifth of the work: labels, and the teacher's answers."""
    config = model.config
    allowed = stitch.possible_labels(batch.lesion, known_lung(config, batch))
    supervised = _recogniser_loss(config, model.opinion(batch.image, rng), batch, allowed)
    distance = torch.zeros_like(supervised)
    if model.teacher is not None:
        distance = teacher_distance(model, model.teacher, batch.image, rng)
    if model.training:
        model.follow(step * config.recogniser_turns)
    weights = _weights(config, step)
    total = weights["recogniser"] * supervised + weights["consistency"] * distance
    return {"total": total, "recogniser": supervised, "consistency": distance}


def known_lung(config: Config, batch: LabelledBatch) -> Tensor:
    """The batch's lungs, with those of healthy controls where settings say that black is outside."""
    if config.black_is_outside:
        return stitch.infer_lung(batch.image, batch.lesion, batch.lung)
    return batch.lung


def stitch_bound(config: Config, reading: Reading, image: Tensor, allowed: Tensor) -> Tensor:
    """log p(x | what is known of the labels) of each pixel, or a bound of it, nats, (B, H, W)."""
    seen = allowed if config.known_styles else torch.ones_like(allowed)
    log_x = reading.pixels.log_density(image)
    if reading.log_q is not None:
        joint = stitch.log_recognised(reading.log_q, reading.log_y, log_x, seen)
    elif config.marginal == "logsumexp":
        joint = stitch.log_marginal(reading.log_y, log_x, seen)
    else:
        joint = stitch.log_expected(reading.log_y, log_x, seen)
    return joint - stitch.log_possible(reading.log_y, seen)


def _divergence(model: StichNet, descent: Descent) -> Tensor:
    """KL of a ladder, nats per slice, mean over the batch."""
    levels = descent.sampled_kl() if model.config.kl == "sampled" else descent.kl()
    return levels.sum(1).mean()


def _recogniser_loss(config: Config, log_q: Tensor | None, batch: LabelledBatch, allowed: Tensor) -> Tensor:
    """Cross entropy of what is known, mean over pixels of which something is, and Dice of the lesions."""
    if log_q is None:
        return torch.zeros((), device=batch.image.device)
    known = ~allowed.all(1)
    told = stitch.focal_loss(stitch.log_possible(log_q, allowed), config.focal_gamma)
    entropy = (told * known).sum() / known.sum().clamp_min(1)
    lesion = stitch.lesion_probabilities(log_q)
    return entropy + config.dice * dice_loss(lesion, fold(batch.lesion, config.classes))


def levers(
    model: StichNet, batch: LabelledBatch, reading: Reading, lung: Tensor, step: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """What holds styles apart and labels alive on slices without labels; see the head of this file."""
    config = model.config
    nothing = torch.zeros((), device=batch.image.device)
    opinion = reading.log_y if reading.log_q is None else reading.log_q
    terms = {"hinge": nothing, "proportions": nothing, "consistency": nothing}
    if config.hinge > 0:
        believed = 1 - opinion[:, stitch.BACKGROUND].detach().exp()
        inside = torch.where(lung < 0, believed, lung.to(believed))
        terms["hinge"] = stitch.style_hinge(reading.pixels.mean(), inside, config.margin)
    free = ~batch.labelled
    if config.proportions > 0 and bool(free.any()) and bool(model.lesion_share.any()):
        lesion = stitch.lesion_probabilities(opinion[free])
        terms["proportions"] = stitch.proportion_divergence(lesion, model.lesion_share)
    if model.teacher is not None and not _learns_alone(model):
        terms["consistency"] = teacher_distance(model, model.teacher, batch.image, rng)
    return terms


def teacher_distance(model: StichNet, teacher: StichNet, image: Tensor, rng: torch.Generator) -> Tensor:
    """Squared distance of the student's lesions on altered, mixed slices from the teacher's on plain ones."""
    with evaluating(teacher):
        wanted = stitch.lesion_probabilities(teacher.opinion(image, _unused(image), 0.0))
    order = torch.randperm(len(image), generator=rng, device=image.device)
    boxes = draw_boxes(len(image), image.shape[2], image.shape[3], rng, image.device)
    altered = change_greys(image, rng)
    found = stitch.lesion_probabilities(model.opinion(mix(altered, altered[order], boxes), rng))
    return (found - mix(wanted, wanted[order], boxes)).square().sum(1).mean()


def _weights(config: Config, step: int) -> dict[str, float]:
    """The weight of each term at one step."""
    kl = warm_up(step, config.kl_warm_up, config.kl_final)
    return {
        "distortion": config.image_weight,
        "label": config.label_weight,
        "rate_z": kl,
        "rate_k": kl * config.kl_semantics,
        "recogniser": config.recogniser_weight,
        "hinge": config.hinge,
        "proportions": config.proportions,
        "consistency": warm_up(step, config.consistency_warm_up, config.consistency),
    }


def _learns_alone(model: StichNet) -> bool:
    """Whether the recogniser has turns of its own: then it meets the teacher there."""
    return model.recogniser is not None and model.config.recogniser_turns > 0


def players(model: StichNet) -> list[Player]:
    """The whole model; before it, where there is one, the recogniser with its encoder, which is cheap.

    Both move the encoder. The teacher follows and is not trained.
    """
    config = model.config
    reached = [p for p in model.parameters() if p.requires_grad]

    def whole(batch: Any, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        return loss(model, batch, step, rng)

    def alone(batch: Any, step: int, rng: torch.Generator) -> dict[str, Tensor]:
        return recogniser_loss(model, batch, step, rng)

    if config.recipe == "paper":
        ours: dict[str, Any] = {"lr": config.lr, "clip_tensor_norm": 1.0, "clip_value": 0.5}
    else:
        climb = min(CLIMB, config.steps // 10)
        ours = {
            "lr": lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr, climb),
            "epsilon": 1e-8,
            "weight_decay": config.weight_decay,
            "clip_total_norm": 1.0,
        }
    stitcher = Player("stichnet", reached, whole, **ours)
    if not _learns_alone(model):
        return [stitcher]
    encoder = model.encoder if model.label_encoder is None else model.label_encoder
    layers = (encoder, model.recogniser, model.recogniser_head)
    mine = [p for layer in layers if layer is not None for p in layer.parameters()]
    return [Player("recogniser", mine, alone, turns=config.recogniser_turns, **ours), stitcher]
