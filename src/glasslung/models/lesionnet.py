"""What lesions look like, by the eyes of a network that learned to draw them: a classifier for few scans.

Some hundred pictures cannot teach a network to see. One that draws lesions has seen already: its encoder
tells textures of lung apart. Here that encoder (`nn.encoders`, light) is shown a slice, and its maps at a
sixteenth of the size are averaged over three regions: the lungs, the lesions, and the lungs without them.
Their mean and their strongest answer, at two scales of the picture and in both mirror images, stand for the
scan; a linear layer, which is all that some hundred scans must teach, gives the log-odds.

    start_from(encoder)     begin with the encoder of a segmenter (`models/unet.py`)
    `frozen` settings       leave it as it is: only the linear layer learns

Pooling goes over the whole scan: each region counts by its area in each slice, so a scan of any length is one
mean, and a slice without lesion says nothing of lesions. Where a scan shows no lesion at all, their features
stand at the mean of training, and one more feature, the lesions' share of the lungs, says it.

Notation  S slices of all V scans of a batch; C channels of the map; R regions
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import ExamBatch
from glasslung.nn.encoders import LIGHT_WIDTH, Light, initialise_he
from glasslung.nn.focal import scan_loss
from glasslung.nn.player import Player
from glasslung.nn.ragged import check_slices, slices_of_each
from glasslung.nn.scoring import ScanClassifier

STAGES = 4  # of the encoder's five: at a sixteenth of the size textures are told, not yet organs
STEP = 16  # how much smaller the maps are
SMALLEST_SIDE = 64  # below, two scales of the picture have no place in a sixteenth
REGIONS = ("lung", "lesion", "rest")
TOUCH = 0.3  # of a map's cell: what less of a region lies in is not asked for its strongest answer
EMPTY = 0.25  # cells of the map: a region smaller than this in all of a scan says nothing
AT_ONCE = 16  # slices that go through the encoder together: memory, not the answer, depends on it


@dataclass(frozen=True)
class Config:
    """Settings of one classifier on a segmenter's eyes."""

    size: int = 128  # side of its slices: finer ones tell more of where pictures come from: their sharpness
    width: int = LIGHT_WIDTH  # of the encoder's first stage; that of the segmenter it begins with
    scales: tuple[float, ...] = (2.0, 1.5)  # of the picture: the segmenter's own pixels, and larger ones
    strongest: bool = True  # besides the mean of each map, its highest value
    mirrored: bool = True  # both mirror images are shown, which halves the noise of their features
    frozen: bool = False  # True: only the linear layer learns
    gamma: float = 0.0  # of the focal loss; 0 is cross-entropy
    lr: float = 1e-3  # Adam's usual
    weight_decay: float = 1e-2  # there are more features than scans

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(self.scales))  # a list once it was JSON
        if self.size < SMALLEST_SIDE or self.width < 1:
            raise UsageError(f"size must be {SMALLEST_SIDE} or more, width 1 or more")
        if not self.scales or not all(0.25 <= scale <= 2 for scale in self.scales):
            raise UsageError("scales are one or more factors from 0.25 to 2")
        if self.gamma < 0 or self.lr <= 0 or self.weight_decay < 0:
            raise UsageError("lr must be positive, gamma and weight_decay must not be negative")


class Pooled(NamedTuple):
    """Features of V scans before they are brought to one scale (V, F), and which are known (V, F) bool."""

    values: Tensor
    known: Tensor


class LesionNet(ScanClassifier):
    """A segmenter's encoder, pooling over regions, one linear layer."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.encoder = Light(1, config.width)
        self.encoder.stages = self.encoder.stages[:STAGES]
        channels = self.encoder.widths[STAGES - 1]
        count = len(config.scales) * len(REGIONS) * (1 + config.strongest) * channels + 1
        self.norm = nn.BatchNorm1d(count, affine=False, momentum=0.05)
        self.head = nn.Linear(count, 2)
        initialise_he(self, rng)
        nn.init.normal_(self.head.weight, std=0.01, generator=rng)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """image, lesion (S, 1, H, W) in [0, 1], scan (S,) as in `ExamBatch` -> logits (V, 2) float32."""
        logits: Tensor = self.head(self.features(image, lesion, scan)).float()
        return logits

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """What stands before the last layer, in standard deviations of training: (V, F)."""
        pooled = self.pooled(image, lesion, scan)
        scaled: Tensor = self.norm(pooled.values)
        return torch.where(pooled.known, scaled, torch.zeros_like(scaled))

    def pooled(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Pooled:
        """Features of each scan as the encoder gives them."""
        check_slices(image, lesion, scan, SMALLEST_SIDE)
        counts = slices_of_each(scan)
        lungs = lungs_of(image)
        values, known = [], []
        for scale in self.config.scales:
            parts = zip(
                *(one.split(AT_ONCE) for one in (image, torch.cat([lungs, lesion * lungs], 1))), strict=True
            )
            asked = [self._regions(part, masks, scale) for part, masks in parts]
            each, area = (torch.cat(one) for one in zip(*asked, strict=True))  # (S, R, F), (S, R)
            found = [over_scan(e, a) for e, a in zip(each.split(counts), area.split(counts), strict=True)]
            values += [torch.stack([v for v, _ in found])]
            known += [torch.stack([k for _, k in found])]
        covered, sick = (one.flatten(1).sum(1) for one in (lungs, lesion * lungs))
        share = torch.stack([s.sum() / c.sum().clamp_min(1) for s, c in _pairs(sick, covered, counts)])
        values.append(share[:, None])
        known.append(torch.ones_like(share[:, None], dtype=torch.bool))
        return Pooled(torch.cat(values, 1), torch.cat(known, 1))

    def start_from(self, encoder: nn.Module) -> None:
        """Begin with the encoder of a segmenter; UsageError where it is of another kind or width."""
        own, given = self.encoder.state_dict(), encoder.state_dict()
        wrong = [name for name in own if name not in given or given[name].shape != own[name].shape]
        if wrong:
            raise UsageError(
                f"this encoder has not the shape of ours ({wrong[0]}); take a U-Net with a light encoder of "
                f"width {self.config.width}"
            )
        self.encoder.load_state_dict({name: given[name] for name in own})

    def _regions(self, image: Tensor, masks: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Slices (S, 1, H, W), lungs and lesions (S, 2, H, W) -> features (S, R, F') and areas (S, R)."""
        side = side_at(scale, image.shape[-1])
        regions = regions_of(masks, side)
        pooled = self.pool(self.maps(viewed(image, side)), regions)
        if self.config.mirrored:
            pooled = 0.5 * (pooled + self.pool(self.maps(viewed(image, side, True)), regions.flip(-1)))
        return pooled, regions.sum((2, 3))

    def maps(self, image: Tensor) -> Tensor:
        """What the encoder sees at a sixteenth of the size: (S, 1, h, w) in [0, 1] -> (S, C, h/16, w/16)."""
        found: Tensor = self.encoder(encoder_scale(image))[-1]
        return found

    def pool(self, maps: Tensor, regions: Tensor) -> Tensor:
        """Maps (S, C, h, w), regions (S, R, h, w) -> (S, R, C), or with the strongest (S, R, 2 C)."""
        area = regions.sum((2, 3)).clamp_min(1e-3)
        mean = torch.einsum("schw,srhw->src", maps, regions) / area[..., None]
        if not self.config.strongest:
            return mean
        inside = (regions > TOUCH)[:, :, None]
        least = torch.zeros((), dtype=maps.dtype, device=maps.device)  # maps are rectified
        most = torch.where(inside, maps[:, None], least).amax((3, 4))
        return torch.cat([mean, most], 2)


def lungs_of(image: Tensor) -> Tensor:
    """Where an exam is not black, with the dark pixels between: (S, 1, H, W) of 0 and 1."""
    return F.max_pool2d((image > 0).to(image.dtype), 3, stride=1, padding=1)


def side_at(scale: float, side: int) -> int:
    """The side of a slice at a scale, a multiple of the encoder's step."""
    return max(2, round(side * scale / STEP)) * STEP


def viewed(image: Tensor, side: int, mirrored: bool = False) -> Tensor:
    """Slices (S, 1, H, W) as the encoder is shown them: (S, 1, side, side)."""
    if image.shape[-2:] != (side, side):
        image = F.interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)
    return image.flip(-1) if mirrored else image


def regions_of(masks: Tensor, side: int) -> Tensor:
    """Lungs and lesions (S, 2, H, W) -> lung, lesion and rest on the map, as shares of its cells."""
    small = F.interpolate(masks, (side // STEP, side // STEP), mode="area")
    lung, lesion = small[:, :1], small[:, 1:]
    return torch.cat([lung, lesion, (lung - lesion).clamp_min(0)], 1)


def over_scan(each: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """Slices of one scan (K, R, F') with areas (K, R) -> means by area (R F'), and which are known."""
    total = area.sum(0)
    mean = (each * area[..., None]).sum(0) / total.clamp_min(1e-3)[:, None]
    known = (total > EMPTY)[:, None].expand(mean.shape)
    return mean.flatten(), known.flatten()


def _pairs(first: Tensor, second: Tensor, counts: list[int]) -> list[tuple[Tensor, Tensor]]:
    ends = torch.tensor([0, *counts]).cumsum(0).tolist()
    return [(first[start:stop], second[start:stop]) for start, stop in pairwise(ends)]


def loss(model: LesionNet, batch: ExamBatch) -> dict[str, Tensor]:
    """Cross-entropy, or the focal loss; terms as `nn.focal.scan_loss` says."""
    logits = model(batch.image, batch.lesion, batch.scan)
    return scan_loss(logits, batch.label, model.config.gamma, (0.5, 0.5))


def players(model: LesionNet) -> list[Player]:
    """One Adam with weight decay; of the linear layer alone where the encoder is frozen."""
    learning = model.head if model.config.frozen else model
    return [
        Player(
            name="lesionnet",
            parameters=list(learning.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=model.config.lr,
            weight_decay=model.config.weight_decay,
            clip_total_norm=1.0,
        )
    ]
