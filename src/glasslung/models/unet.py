"""U-Net: lesions by slice, from labelled slices alone. The baseline of everything that learns from more.

Source    Zammit et al., StichNet, section on baselines: ResNeXt-50 encoder, trained on tiles of 64 x 64; its
          released code: MobileNetV2 encoder, focal loss, Adam 1e-3. `VARIANTS` holds both.
Departs   By default a light encoder, which learns the fifty slices on one core; cross-entropy plus Dice; a
          learning rate that falls. The released code's focal loss has a factor 0.25, which Adam does not see.
Lung      with `lung_weight` above 0 one more output tells lung from outside, learned where that is known.
Haze      with four classes, slices whose expert did not tell crazy paving from ground glass (`HAZE`) ask for
          the sum of both.

Notation  B slices, S side, C classes: 0 none, 1 ground glass, 2 consolidation (3 crazy paving)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.batches import HAZE, LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.encoders import LIGHT_WIDTH, initialise_he
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine
from glasslung.nn.seglosses import LOSSES, UNKNOWN, binary_loss, exact, lesion_loss, silence
from glasslung.nn.stitchstyles import Hearing, hear
from glasslung.nn.unet import GREYS, make_unet, present
from glasslung.types import Lesion


@dataclass(frozen=True)
class Config:
    """Settings of one U-Net."""

    classes: int = 3  # none, ground glass, consolidation: what the public labels tell apart
    encoder: str = "light"  # or mobilenet, resnext50, res2net50: see `nn.encoders`
    width: int = LIGHT_WIDTH  # channels of the light encoder at half size
    decoder_width: int | None = (
        None  # channels at full size; None: 16, beside the light encoder half its width
    )
    storeys: int = 5  # 4: the decoder stops at half size, for two thirds of the time
    greys: str = "window"  # as the window has them; "slice": each slice brought to mean 0 and deviation 1
    loss: str = "ce+slice dice"  # or focal, ce, ce+dice, focal+dice: see `nn.seglosses`
    focal_alpha: float | None = None  # share of the lesion classes in the focal loss; None weighs all 1
    lung_weight: float = 0.0  # of the lung output in the loss; 0: there is none
    steps: int = 2000  # over which the learning rate falls
    climb: int = 50  # steps over which it first climbs, while batch normalisation settles
    lr: float = 2e-3  # the highest
    weight_decay: float = 1e-4  # against learning fifty slices by heart
    heard: float = 0.0  # power of what the slice's own greys say, at the answer: see `nn.stitchstyles`
    temperature: float = 1.0  # divides the lesion logits when asked: fitted on slices never trained on

    def __post_init__(self) -> None:
        if self.classes < 2 or self.steps < 1 or self.climb < 0:
            raise UsageError("classes must be 2 or more, steps 1 or more, climb not negative")
        if self.loss not in LOSSES or self.greys not in GREYS:
            raise UsageError(
                f"loss is one of {', '.join(LOSSES)} and greys of {', '.join(GREYS)}; "
                f"got {self.loss!r} and {self.greys!r}"
            )
        if not min(self.lr, self.temperature) > 0:
            raise UsageError("lr and temperature must be positive")
        if min(self.weight_decay, self.lung_weight, self.heard) < 0:
            raise UsageError("weight_decay, lung_weight and heard must not be negative")
        if self.focal_alpha is not None and not 0 < self.focal_alpha < 1:
            raise UsageError(f"focal_alpha must lie between 0 and 1, got {self.focal_alpha}")


VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"encoder": "resnext50", "loss": "focal", "lr": 1e-3, "weight_decay": 0.0},
    "released": {"encoder": "mobilenet", "loss": "focal", "lr": 1e-3, "weight_decay": 0.0},
}


class Answer(NamedTuple):
    """Logits of B slices: lesion (B, C, S, S), lung (B, 1, S, S) or None where there is no such output."""

    lesion: Tensor
    lung: Tensor | None


class Segmenter(nn.Module):
    """A U-Net whose last convolution tells the classes and, if wanted, the lung."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        outputs = config.classes + (config.lung_weight > 0)
        self.unet = make_unet(
            config.encoder, outputs, 1, config.width, config.decoder_width, storeys=config.storeys
        )
        initialise_he(self.unet, rng)

    def forward(self, image: Tensor) -> Answer:
        """image (B, 1, S, S) in [0, 1], S a multiple of 32."""
        logits = self.unet(present(image, self.config.greys))
        lesion, lung = logits[:, : self.config.classes], logits[:, self.config.classes :]
        return Answer(lesion, lung if self.config.lung_weight else None)

    def probabilities(self, image: Tensor) -> Tensor:
        """What each pixel may be: (B, 1, S, S) in [0, 1] -> (B, C, S, S), which sums to 1 over C."""
        with evaluating(self):
            return self._lesions(self(image), image)

    def lung_probability(self, image: Tensor) -> Tensor:
        """Where there is lung: (B, 1, S, S) in [0, 1] -> (B, S, S); UsageError without that output."""
        with evaluating(self):
            return _lungs(self(image))

    def chest_probabilities(self, image: Tensor) -> Tensor:
        """Outside, healthy lung, lesions: (B, 1, S, S) in [0, 1] -> (B, 1 + C, S, S), which sums to 1.

        The first map is 1 minus the lung's; the others are the lung's times each class of lesion. A pixel is
        lung where the first is below 0.5, then of the likeliest of the others. UsageError without lungs.
        """
        with evaluating(self):
            answer = self(image)
            lung = _lungs(answer)[:, None]
            return torch.cat([1 - lung, lung * self._lesions(answer, image)], 1)

    def opinions(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Both answers of one look: lesions (B, C, S, S), summing to 1, and lung (B, S, S)."""
        with evaluating(self):
            answer = self(image)
            return self._lesions(answer, image), _lungs(answer)

    def _lesions(self, answer: Answer, image: Tensor) -> Tensor:
        log_y = (exact(answer.lesion) / self.config.temperature).log_softmax(1)
        if self.config.heard:
            _, log_x = hear(log_y, image, Hearing())
            log_y = log_y + self.config.heard * log_x
        return log_y.softmax(1)


def _lungs(answer: Answer) -> Tensor:
    if answer.lung is None:
        raise UsageError("this U-Net has no lung output; train one with lung_weight above 0")
    return exact(answer.lung[:, 0]).sigmoid()


def loss(model: Segmenter, batch: LabelledBatch) -> dict[str, Tensor]:
    """total = lesion + lung_weight * lung; slices on which nothing is known are not looked at."""
    config = model.config
    known = batch.labelled
    if config.lung_weight:
        known = known | (batch.lung != UNKNOWN).flatten(1).any(1)
    if not known.any():
        return {"total": silence(model.parameters())}
    answer = model(batch.image[known])
    lesion = _lesion_loss(answer.lesion, batch.lesion[known], config)
    if answer.lung is None:
        return {"total": lesion, "lesion": lesion}
    lung = binary_loss(answer.lung, batch.lung[known])
    return {"total": lesion + config.lung_weight * lung, "lesion": lesion, "lung": lung}


def _lesion_loss(logits: Tensor, lesion: Tensor, config: Config) -> Tensor:
    """`lesion_loss`, where slices with haze, which may be ground glass or crazy paving, ask for their sum."""
    hazy = (lesion == HAZE).flatten(1).any(1)
    plain = torch.where(lesion == HAZE, Lesion.GROUND_GLASS, lesion)
    if logits.shape[1] <= Lesion.CRAZY_PAVING or not hazy.any():
        return lesion_loss(logits, plain, config.loss, config.focal_alpha)
    both = logits[:, [Lesion.GROUND_GLASS, Lesion.CRAZY_PAVING]].logsumexp(1)
    summed = torch.stack([logits[:, Lesion.NONE], both, logits[:, Lesion.CONSOLIDATION]], 1)
    labelled = (lesion != UNKNOWN).flatten(1).any(1)
    parts = []
    for rows, answers in ((hazy, summed), (~hazy & labelled, logits)):
        if rows.any():
            each = lesion_loss(answers[rows], plain[rows], config.loss, config.focal_alpha)
            parts.append(each * rows.sum() / labelled.sum())
    return torch.stack(parts).sum()


def players(model: Segmenter) -> list[Player]:
    """One Adam with weight decay, whose learning rate climbs and then falls along a cosine."""
    config = model.config
    return [
        Player(
            name="unet",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr, config.climb),
            weight_decay=config.weight_decay,
            clip_total_norm=5.0,
        )
    ]
