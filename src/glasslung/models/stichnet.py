"""StichNet, ours: a slice stitched from four styles that are fitted to the slice itself.

Notation  x slice; y label of a pixel (background, ground glass, consolidation, healthy lung); k what a U-Net
          sees; z the slice's four styles, each a law of grey values
Model     y ~ p(y | k), the U-Net's; x under y has a grey drawn from style y; z has a Dirichlet prior around
          the greys of the whole slice, and its posterior mean is taken (`nn.stitchstyles`): a tissue that is
          hardly there has a style that speaks neither for nor against it. y is summed out exactly
Answer    p(y | x) ~ p(y | k) p(x | y, z)^t: the U-Net's opinion, once the greys were heard. The U-Net learns
          its opinion alone: on slices that it knows by heart greys have nothing to add, on others they have
Pictures  a tissue that a slice lacks is painted as labelled slices showed it

The paper's StichNet (`models.stitchladders`) draws styles from two ladders of latents. On slices without
labels its styles coincide and its labels are constant: styles that can paint every detail need no label. A
law of greys paints none, costs a hundredth of a step, and is exact; so the U-Net is left to say where.

Slices without labels
    teacher   the running average of the U-Net; its p(y | x) on the plain slice is the label where it is sure
    stitched  a piece of a labelled slice is stitched in, with its true label; then greys are changed: another
              window, blur, noise. The student learns the whole as if it were labelled
    evidence  log p(x), labels summed out
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn import stitch, stitchstyles
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.encoders import LIGHT_WIDTH, initialise_he
from glasslung.nn.perturb import change_greys, draw_boxes, mix
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine, warm_up
from glasslung.nn.seglosses import LOSSES, UNKNOWN, lesion_loss
from glasslung.nn.unet import GREYS, make_unet, present

LABELS = len(stitch.STYLES)
LUNG_STYLES = tuple(range(1, LABELS))
PAINTED = 200.0  # pixels that the styles of labelled slices count for in pictures, of some 5000 of a lung
REMEMBER_EVERY = 4  # steps between notes of what styles labelled slices have


@dataclass(frozen=True)
class Config:
    """Settings of one StichNet; those of the network as in `models.unet`."""

    classes: int = 3  # none, ground glass, consolidation: the styles have no more
    encoder: str = "light"
    width: int = LIGHT_WIDTH
    decoder_width: int | None = None
    storeys: int = 5
    greys: str = "window"
    loss: str = "ce+slice dice"
    steps: int = 2000  # over which the learning rate falls
    climb: int = 50  # over which it first climbs, while batch normalisation settles
    lr: float = 2e-3
    weight_decay: float = 1e-4
    bins: int = 64  # greys that a style tells apart: four grey levels of 256 are within the noise
    prior: float = 0.02  # weight of the slice's greys in each style, as a share of its pixels
    one_law: bool = True  # what is no lesion is judged by one law; False: healthy lung and outside by theirs
    temper: float = 1.0  # the power of p(x | y); 1 is the posterior, from 0.5 on much the same
    heard: float = 0.0  # weight of the answer's loss, beside the opinion's: with it consolidation was lost
    lung: float = 0.2  # weight of what is known of the lungs
    evidence: float = 0.0  # weight of -log p(x), nats per pixel: what the paper learns from such slices
    consistency: float = 1.0  # weight of the loss on stitched slices; 0: labels alone
    ramp: float = 0.3  # share of the steps over which that weight climbs
    every: int = (
        1  # a slice without labels is looked at in one of so many steps: it costs twice a labelled one
    )
    sure: float = 0.8  # probability from which the teacher's answer is a label
    teacher_decay: float = 0.99  # its memory is a hundred steps
    strength: float = 1.0  # of the change of greys on stitched slices
    piece: str = "box"  # what of a labelled slice is stitched in; 'lesion': its lesions alone

    def __post_init__(self) -> None:
        if self.classes != stitch.LESION_CLASSES:
            raise UsageError(f"StichNet tells {stitch.LESION_CLASSES} classes apart, not {self.classes}")
        if self.loss not in LOSSES or self.greys not in GREYS or self.piece not in ("box", "lesion"):
            raise UsageError(
                f"loss is one of {', '.join(LOSSES)}, greys of {', '.join(GREYS)}, piece of box, lesion"
            )
        weights = ("temper", "heard", "lung", "evidence", "consistency", "weight_decay")
        for name in (*weights, "prior", "strength"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.teacher_decay < 1:
            raise UsageError(f"teacher_decay {self.teacher_decay} is no decay; choose 0 to below 1")
        if (
            min(self.bins, self.steps, self.every + 1) < 2
            or not 0 <= self.ramp <= 1
            or not 0 <= self.sure <= 1
        ):
            raise UsageError("bins and steps must be 2 or more, every 1 or more; ramp and sure lie in 0 .. 1")


class Reading(NamedTuple):
    """What the model made of a batch.

    log_y   (B, 4, H, W) log p(y | k), the U-Net's opinion
    styles  (B, 4, K) the slice's laws of grey, by which it is judged
    log_x   (B, 4, H, W) log p(x | y, z)
    answer  (B, 4, H, W) log p(y | x)
    """

    log_y: Tensor
    styles: Tensor
    log_x: Tensor
    answer: Tensor


class StichNet(nn.Module):
    """A U-Net, the styles that labelled slices showed, and a teacher that follows."""

    known_styles: Tensor

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.unet = make_unet(
            config.encoder, LABELS, 1, config.width, config.decoder_width, storeys=config.storeys
        )
        initialise_he(self.unet, rng)
        self.register_buffer("known_styles", torch.full((LABELS, config.bins), 1 / config.bins))
        self.teacher = copy.deepcopy(self.unet).requires_grad_(False) if config.consistency > 0 else None

    # --------------------------------------------------------------------------------------- reading

    def forward(self, image: Tensor) -> Reading:
        """image (B, 1, H, W) in [0, 1], sides multiples of 32."""
        return self.read_by(self.unet, image)

    def read_by(self, unet: nn.Module, image: Tensor) -> Reading:
        """The reading with the opinion of this U-Net."""
        return self.hear(self.opinion(unet, image), image)

    def opinion(self, unet: nn.Module, image: Tensor) -> Tensor:
        """log p(y | k) by this U-Net, (B, 4, H, W)."""
        return torch.log_softmax(unet(present(image, self.config.greys)).float(), 1)

    def hear(self, log_y: Tensor, image: Tensor) -> Reading:
        """Fit the slice's styles to an opinion of its labels, and weigh that by the greys."""
        config = self.config
        sound = (stitch.BACKGROUND, stitch.HEALTHY) if config.one_law else ()
        styles, log_x = stitchstyles.hear(
            log_y, image, stitchstyles.Hearing(config.bins, config.prior, sound)
        )
        answer = torch.log_softmax(log_y + config.temper * log_x, 1)
        return Reading(log_y, styles, log_x, answer)

    # ------------------------------------------------------------------------------ what it is asked for

    def read(self, image: Tensor) -> Reading:
        """The reading in evaluation mode, without gradients."""
        with evaluating(self):
            found: Reading = self(image)
            return found

    def labels(self, image: Tensor) -> Tensor:
        """p(background, ground glass, consolidation, healthy lung) of each pixel, (B, 4, H, W)."""
        return self.read(image).answer.exp()

    def probabilities(self, image: Tensor) -> Tensor:
        """p(none, ground glass, consolidation) of each pixel: (B, 1, H, W) in [0, 1] -> (B, 3, H, W)."""
        return stitch.lesion_probabilities(self.read(image).answer)

    def styles(self, image: Tensor) -> Tensor:
        """The slice wholly in each style, in the order of `nn.stitch.STYLES`: (B, 4, H, W) in [0, 1]."""
        share = self.labels(image)
        bins = stitchstyles.grey_bins(image, self.config.bins)
        counts = stitchstyles.count_greys(share, bins, self.config.bins)
        styles = stitchstyles.fit_styles(counts, self.known_styles, PAINTED)
        return stitchstyles.repaint(image, share, styles)

    def restyle(self, image: Tensor, style: int) -> Tensor:
        """This slice with its lungs wholly in one style (1 ground glass, 2 consolidation, 3 healthy).

        Around the lungs it stays as it is. (B, 1, H, W) -> (B, 1, H, W).
        """
        if style not in LUNG_STYLES:
            raise UsageError(f"style {style} is none of the lung's: choose 1, 2 or 3 ({stitch.STYLES[1:]})")
        outside = self.labels(image)[:, :1]
        return outside * image + (1 - outside) * self.styles(image)[:, style : style + 1]

    # ------------------------------------------------------------------------------------------ memories

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the teacher towards the student: the plain mean of the first steps, then the running one."""
        if self.teacher is None:
            return
        keep = min(self.config.teacher_decay, step / (step + 1))
        for mine, theirs in zip(self.teacher.parameters(), self.unet.parameters(), strict=True):
            mine.lerp_(theirs, 1 - keep)
        for own, other in zip(self.teacher.buffers(), self.unet.buffers(), strict=True):
            own.copy_(other)  # what batch normalisation knows is a running average already

    @torch.no_grad()
    def remember(self, log_y: Tensor, batch: LabelledBatch) -> None:
        """Take note of the greys of each label on labelled slices, as far as they are known."""
        image, allowed = batch.image, stitch.possible_labels(batch.lesion, batch.lung)
        answer = self.hear(log_y, image).answer
        share = torch.softmax(answer.masked_fill(~allowed, stitch.NEVER), 1)
        bins = stitchstyles.grey_bins(image, self.config.bins)
        counts = stitchstyles.count_greys(share, bins, self.config.bins).sum(0)
        seen = counts.sum(1, keepdim=True)
        fresh = (counts + 1 / self.config.bins) / (seen + 1)
        rate = 0.1 * (seen > len(image) * 20).to(fresh)  # a few doubtful pixels teach nothing
        self.known_styles.lerp_(fresh.to(self.known_styles), rate)


# ------------------------------------------------------------------------------------------- training


def loss(model: StichNet, batch: LabelledBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """What is minimised; 'total' is the weighted sum of the others. 0 where there is nothing to learn.

    opinion, answer  against labels, before and after the greys are heard
    lung             -log p(what is known of lung and lesion), mean over pixels whose lung is known
    stitched         as opinion, on stitched slices; sure  share of their pixels
    evidence         -log p(x) of all slices, nats per pixel
    In training it also moves the teacher and the styles that are known.
    """
    config, nothing = model.config, batch.image.new_zeros(())
    if model.training:
        model.follow(step)
    batch = replace(batch, lesion=batch.lesion.where(batch.lesion < 3, 1))  # crazy paving is ground glass
    drawn = batch.labelled
    both = bool(drawn.any()) and not bool(drawn.all())
    some = _rows(batch, drawn) if both else batch
    turn = step % config.every == config.every - 1
    made = stitch_in(model, batch, rng) if both and turn and model.teacher is not None else None
    image = some.image if made is None else torch.cat([some.image, made.image])
    log_y = model.opinion(model.unet, image)
    mine = log_y[: len(some)]
    terms = {
        "opinion": _of_lesions(mine, some.lesion, config),
        "lung": _of_lungs(mine, some),
        "stitched": nothing if made is None else _of_lesions(log_y[len(some) :], made.lesion, config),
        "answer": nothing,
        "evidence": nothing,
    }
    if config.heard or config.evidence:
        reading = model.hear(log_y, image)
        terms["answer"] = _of_lesions(reading.answer[: len(some)], some.lesion, config)
        terms["evidence"] = -torch.logsumexp(reading.log_y + reading.log_x, 1).mean()
    if model.training and bool(drawn.any()) and step % REMEMBER_EVERY == 0:
        model.remember(mine.detach(), some)
    weights = {
        "opinion": 1.0,
        "lung": config.lung,
        "stitched": warm_up(step, round(config.ramp * config.steps), config.consistency),
        "answer": config.heard,
        "evidence": config.evidence,
    }
    total = torch.stack([weight * terms[name] for name, weight in weights.items()]).sum()
    sure = {} if made is None else {"sure": (made.lesion != UNKNOWN).float().mean()}
    return {"total": total, **terms, **sure}


def _rows(batch: LabelledBatch, rows: Tensor) -> LabelledBatch:
    """Some slices of a batch, by a mask (B,) or by their places."""
    return LabelledBatch(batch.image[rows], batch.lesion[rows], batch.lung[rows])


def _of_lesions(log_y: Tensor, lesion: Tensor, config: Config) -> Tensor:
    """The baseline's loss of an opinion on lesions, log (B, 4, H, W)."""
    none = torch.logaddexp(log_y[:, stitch.BACKGROUND], log_y[:, stitch.HEALTHY])
    return lesion_loss(torch.stack([none, log_y[:, 1], log_y[:, 2]], 1), lesion, config.loss)


def _of_lungs(log_y: Tensor, batch: LabelledBatch) -> Tensor:
    """-log p(what is known) of an opinion, mean over pixels whose lung is known."""
    known = (batch.lung != UNKNOWN).to(log_y)
    if not known.any():
        return known.sum()
    told = stitch.log_possible(log_y, stitch.possible_labels(batch.lesion, batch.lung))
    return -(told * known).sum() / known.sum()


def stitch_in(model: StichNet, batch: LabelledBatch, rng: torch.Generator) -> LabelledBatch:
    """Slices without labels with pieces of labelled ones in them, greys changed; and what is known of them.

    What the teacher is not sure of is unknown (-1), as are the lungs.
    """
    config, drawn = model.config, batch.labelled
    assert model.teacher is not None
    free, donors = _rows(batch, ~drawn), _rows(batch, drawn)
    with evaluating(model, model.teacher):
        p = stitch.lesion_probabilities(model.read_by(model.teacher, free.image).answer)
    confidence, label = p.max(1)
    label = torch.where(confidence >= config.sure, label, UNKNOWN)
    count, (height, width), device = len(free), free.image.shape[2:], free.image.device
    donors = _rows(donors, torch.randint(len(donors), (count,), generator=rng, device=device))
    piece = donors.lesion > 0
    if config.piece == "box":
        piece = draw_boxes(count, height, width, rng, device)
    image = change_greys(mix(free.image, donors.image, piece), rng, config.strength)
    return LabelledBatch(image, mix(label, donors.lesion, piece), torch.full_like(free.lung, UNKNOWN))


def players(model: StichNet) -> list[Player]:
    """The U-Net by the baseline's optimiser; the teacher has none."""
    config = model.config
    return [
        Player(
            name="stichnet",
            parameters=[p for p in model.parameters() if p.requires_grad],
            loss=lambda batch, step, rng: loss(model, batch, step, rng),
            lr=lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr, config.climb),
            weight_decay=config.weight_decay,
            clip_total_norm=5.0,
        )
    ]
