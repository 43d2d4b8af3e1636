"""UniMatch: a U-Net learns from its own sure answers, asked again under strong changes of the slice.

For slices without labels, the network's answer to the slice as it is counts where it is surer than a
threshold, and has to be given again

    twice    with the greys changed and a piece of another slice put in (CutMix), each time another one
    once     with half of the channels between encoder and decoder silenced

    loss = (supervised + (image_1 + image_2) / 4 + feature / 2) / 2

Source: Yang et al., Revisiting weak-to-strong consistency (CVPR 2023). Where we depart: the share of pixels
that count is not in the mean's denominator there either; batch normalisation sees labelled, plain and
changed slices in one pass, as in the released code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.encoders import LIGHT_WIDTH, initialise_he
from glasslung.nn.perturb import change_greys, draw_boxes, mix
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine
from glasslung.nn.seglosses import lesion_loss
from glasslung.nn.unet import make_unet, present


@dataclass(frozen=True)
class Config:
    """Settings of one UniMatch; those of the network as in `models.unet`."""

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
    sure: float = 0.95  # probability from which an own answer counts; the paper's
    silenced: float = 0.5  # share of channels silenced; the paper's
    strength: float = 1.0  # of the change of greys

    def __post_init__(self) -> None:
        if not 0 <= self.sure <= 1 or not 0 <= self.silenced < 1:
            raise UsageError("sure lies in 0 .. 1, silenced from 0 to below 1")


class UniMatch(nn.Module):
    """One U-Net."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.unet = make_unet(
            config.encoder, config.classes, 1, config.width, config.decoder_width, storeys=config.storeys
        )
        initialise_he(self.unet, rng)

    def probabilities(self, image: Tensor) -> Tensor:
        """What each pixel may be: (B, 1, S, S) in [0, 1] -> (B, classes, S, S)."""
        with evaluating(self.unet):
            logits: Tensor = self.unet(present(image, self.config.greys))
            return logits.softmax(1)


def silence(pyramid: list[Tensor], share: float, rng: torch.Generator) -> list[Tensor]:
    """Maps (B, C, H, W) with that share of their channels set to 0, the others made larger to match."""
    kept = []
    for level in pyramid:
        u = torch.rand(*level.shape[:2], 1, 1, generator=rng, device=level.device)
        kept.append(level * (u >= share) / (1 - share))
    return kept


def sure_loss(logits: Tensor, label: Tensor, confidence: Tensor, sure: float) -> Tensor:
    """Cross-entropy with the own answers that are sure, mean over all pixels: (B, K, H, W) -> scalar."""
    each = F.cross_entropy(logits, label, reduction="none")
    return (each * (confidence >= sure)).mean()


def loss(model: UniMatch, batch: LabelledBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Supervised alone where every slice is labelled; else as at the head of this file."""
    config, net = model.config, model.unet
    known = batch.labelled
    unknown = batch.image[~known]
    looks = [batch.image[known], unknown]
    if len(unknown) == 0:
        logits = net(present(looks[0], config.greys))
        supervised = lesion_loss(logits, batch.lesion[known], config.loss)
        return {"total": supervised, "supervised": supervised}
    confidence, label = model.probabilities(unknown).max(1)
    asked: list[tuple[Tensor, Tensor]] = []
    height, width = unknown.shape[-2:]
    for _ in range(2):
        turn = torch.randperm(len(unknown), generator=rng, device=unknown.device)
        boxes = draw_boxes(len(unknown), height, width, rng, unknown.device)
        strong = change_greys(unknown, rng, config.strength)
        looks.append(mix(strong, strong[turn], boxes))
        asked.append((mix(label, label[turn], boxes), mix(confidence, confidence[turn], boxes)))
    count = len(unknown)
    pyramid = net.encode(present(torch.cat(looks), config.greys))
    plain = [level[known.sum() : known.sum() + count] for level in pyramid]
    pyramid = [torch.cat(parts) for parts in zip(pyramid, silence(plain, config.silenced, rng), strict=True)]
    logits = net.answer(net.decode(pyramid), (height, width))
    first, _, one, two, quiet = logits.split([int(known.sum()), count, count, count, count])
    supervised = lesion_loss(first, batch.lesion[known], config.loss)
    image = sum(
        (sure_loss(part, *target, config.sure) for part, target in zip((one, two), asked, strict=True)),
        torch.zeros((), device=logits.device),
    )
    feature = sure_loss(quiet, label, confidence, config.sure)
    return {
        "total": 0.5 * (supervised + 0.25 * image + 0.5 * feature),
        "supervised": supervised,
        "image": image,
        "feature": feature,
        "sure": (confidence >= config.sure).float().mean(),
    }


def players(model: UniMatch) -> list[Player]:
    """One optimiser for the one network."""
    config = model.config
    return [
        Player(
            name="unet",
            parameters=list(model.unet.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, rng),
            lr=lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr, config.climb),
            weight_decay=config.weight_decay,
            clip_total_norm=5.0,
        )
    ]
