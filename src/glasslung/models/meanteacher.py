"""Mean teacher: a U-Net learns from slices without labels by agreeing with its own running average.

    student  sees a slice without labels with its greys changed (another window, blur, noise)
    teacher  the student's weights averaged over the last steps; sees the slice as it is

    loss = supervised(student) + weight * mean (softmax(student) - softmax(teacher))^2

over all slices, labelled or not; the weight climbs from 0, because an untrained teacher teaches noise. The
teacher answers when the model is asked. Slices with labels are shown as the batches vary them: changed a
second time, they were not learned within a few hundred steps.

Source: Tarvainen and Valpola (NeurIPS 2017); Perone et al. (2019) for segmentation. Beyond them: the greys
are what is disturbed, since the windows of public CT pictures differ by as much.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.encoders import LIGHT_WIDTH, initialise_he
from glasslung.nn.perturb import change_greys
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine, warm_up
from glasslung.nn.seglosses import lesion_loss
from glasslung.nn.unet import make_unet, present


@dataclass(frozen=True)
class Config:
    """Settings of one mean teacher; those of the network as in `models.unet`."""

    classes: int = 3
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
    decay: float = 0.99  # of the teacher; the papers: 0.99 while the student learns fast
    consistency: float = 10.0  # weight of the agreement, a mean square of probabilities of about 0.01
    ramp: float = 0.3  # share of the steps over which the weight climbs; the papers: 0.2 to 0.5
    strength: float = 1.0  # of the change of greys

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise UsageError(
                f"decay {self.decay} is no decay; choose one from 0 to below 1, for example 0.99"
            )
        if min(self.consistency, self.strength) < 0 or not 0 <= self.ramp <= 1:
            raise UsageError("consistency and strength must not be negative, and ramp lies in 0 .. 1")


class MeanTeacher(nn.Module):
    """Two U-Nets of one shape: a student that learns, a teacher that follows."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.student = make_unet(
            config.encoder, config.classes, 1, config.width, config.decoder_width, storeys=config.storeys
        )
        initialise_he(self.student, rng)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)

    def follow(self, step: int) -> None:
        """Move the teacher towards the student: the plain mean of the first steps, then the running one."""
        keep = min(self.config.decay, step / (step + 1))
        with torch.no_grad():
            for mine, theirs in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                mine.lerp_(theirs, 1 - keep)
            for own, other in zip(self.teacher.buffers(), self.student.buffers(), strict=True):
                own.copy_(other)  # what batch normalisation knows is a running average already

    def probabilities(self, image: Tensor) -> Tensor:
        """What each pixel may be, by the teacher: (B, 1, S, S) in [0, 1] -> (B, classes, S, S)."""
        with evaluating(self.teacher):
            logits: Tensor = self.teacher(present(image, self.config.greys))
            return logits.softmax(1)


def loss(model: MeanTeacher, batch: LabelledBatch, step: int, rng: torch.Generator) -> dict[str, Tensor]:
    """total = supervised + weight * consistency; see the head of this file."""
    config = model.config
    model.follow(step)
    taught = model.probabilities(batch.image)
    changed = change_greys(batch.image, rng, config.strength)
    shown = torch.where(batch.labelled[:, None, None, None], batch.image, changed)
    logits = model.student(present(shown, config.greys))
    supervised = lesion_loss(logits, batch.lesion, config.loss)
    consistency = F.mse_loss(logits.softmax(1), taught)
    weight = config.consistency * warm_up(step, round(config.ramp * config.steps))
    return {
        "total": supervised + weight * consistency,
        "supervised": supervised,
        "consistency": consistency,
    }


def players(model: MeanTeacher) -> list[Player]:
    """The student alone; the teacher has no optimiser."""
    config = model.config
    return [
        Player(
            name="student",
            parameters=list(model.student.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, step, rng),
            lr=lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr, config.climb),
            weight_decay=config.weight_decay,
            clip_total_norm=5.0,
        )
    ]
