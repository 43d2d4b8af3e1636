"""I3D: a whole scan as one film, its slices the frames; the classifier of COVID3D.

Paper: the COVID3D paper, task 1. Inception-v1 inflated to 3D (`nn.inception3d`), the mean over all places,
one linear layer, binary cross-entropy, Adam. The score over serial scans, s(t), is its logit.

Departs   1. Any depth and size: slices are brought to `depth` x `size` x `size` inside the model, and the
             mean is taken over whatever places are left; the published network pools a fixed 2 x 7 x 7.
          2. One grey channel. Weights for three colours are summed over them: three equal channels would
             answer the same.
          3. Learning rates, batch size and length of training are not stated. The trunk's is a tenth of the
             head's where it begins with weights from elsewhere: these are near their place already.
          4. `width` takes a share of the channels, for training without a GPU.
          5. A trained network is asked in the number format that is quickest here (`inception3d.quickest`).
          6. Scans that do not fit memory are told what to lower.

Notation  V scans, S slices of all of them; T, H, W the edges a scan is brought to
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.inception3d import Inception3D, bytes_kept, quickest
from glasslung.nn.memory import check_fits
from glasslung.nn.player import Player
from glasslung.nn.scoring import ScanClassifier, trunk_and_head

SMALLEST = 32  # a side below it leaves a single place of five halvings
PASS = 4  # times what the first layer answers: a trained network's pass holds as much at most
STEP = 1.25  # times what is kept for the gradients, which take its place as they go back; measured
STATES = 5  # of each weight: itself, its gradient, Adam's two moments, its average
SURPLUS = 2**26  # bytes that libraries take whatever the scan


@dataclass(frozen=True)
class Config:
    """Settings of one I3D."""

    size: int = 224  # as the published network reads
    depth: int = 64  # slices a scan is brought to: the least the published films have
    width: float = 1.0  # share of the published channels: a quarter learns on two cores
    dropout: float = 0.5  # before the linear layer, as published
    lr: float = 1e-3  # of Adam, for the head; 1e-4 where the trunk begins with weights from elsewhere
    lr_trunk: float = 1e-3  # 1e-5 there: it is near its place already
    momentum: float = 0.1  # of running means; the published 0.01 needs a thousand steps to forget the start
    weight_decay: float = 1e-4  # some hundred scans against twelve million weights

    def __post_init__(self) -> None:
        if self.size < SMALLEST or self.depth < 2:
            raise UsageError(f"an I3D reads sides of {SMALLEST} pixels or more and a depth of 2 or more")
        if not (min(self.lr, self.lr_trunk) > 0 and self.weight_decay >= 0 and 0 <= self.dropout < 1):
            raise UsageError("lr and lr_trunk must be positive, weight_decay not negative, dropout below 1")
        if not (0 < self.width <= 4 and 0 < self.momentum <= 1):
            raise UsageError("width lies above 0 and is 4 at most, momentum above 0 and is 1 at most")


class I3D(ScanClassifier):
    """The trunk and a linear layer; its score of the scan of day t is s(t) of the paper."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.trunk = Inception3D(1, rng, config.width, config.momentum)
        self.head = nn.Linear(self.trunk.features, 1)
        self.exact = False  # True: 32 bit also where fewer are quicker
        self._kept: int | None = None
        nn.init.normal_(self.head.weight, std=self.trunk.features**-0.5, generator=rng)
        nn.init.zeros_(self.head.bias)

    def films(self, image: Tensor, scan: Tensor) -> Tensor:
        """Slices (S, 1, h, w) in [0, 1] of V scans, one after another -> (V, 1, T, H, W) in [-1, 1]."""
        if image.ndim != 4 or image.shape[1] != 1 or len(image) != len(scan) or not len(scan):
            raise ShapeError(f"an I3D reads slices (S, 1, H, W) of scans, got {tuple(image.shape)}")
        edges = (self.config.depth, self.config.size, self.config.size)
        lengths = torch.bincount(scan).tolist()
        self._check_memory(len(lengths), image)
        films = [
            F.interpolate(one.transpose(0, 1)[None], edges, mode="trilinear", align_corners=False)
            for one in image.split(lengths)
        ]
        return 2.0 * torch.cat(films) - 1.0

    def maps(self, image: Tensor, scan: Tensor) -> Tensor:
        """What the trunk sees at each place, (V, F, t, h, w): for class activation maps."""
        films = self.films(image, scan).contiguous(memory_format=torch.channels_last_3d)
        if self.training or torch.is_grad_enabled() or self.exact:
            maps: Tensor = self.trunk(films)
            return maps
        # one after another: more at once need more memory and are not quicker
        answers = [self.trunk(film.to(quickest(film.device))).float() for film in films.split(1)]
        return torch.cat(answers)

    def needs(self, scans: int, training: bool) -> int:
        """Bytes of memory that a pass over so many scans takes, or a step of training on them."""
        size, depth = self.config.size, self.config.depth
        weights = sum(part.numel() * part.element_size() for part in self.parameters())
        if not training:
            first = self.trunk.first.conv.out_channels * -(-depth // 2) * (-(-size // 2)) ** 2
            return PASS * first * torch.float32.itemsize + weights + SURPLUS
        if self._kept is None:
            self._kept = bytes_kept(self.trunk, (2, 1, depth, size, size)) // 2  # one has no variance
        return round(STEP * scans * self._kept) + STATES * weights + SURPLUS

    def _check_memory(self, scans: int, image: Tensor) -> None:
        """UsageError, and not a killed process, where a pass would not fit."""
        training = torch.is_grad_enabled()
        what = f"a {'training step' if training else 'pass'} of i3d over {scans} scan(s)"
        remedy = "lower size, depth or width" + ", or the scans of a batch" * training
        free = None
        if image.device.type == "cuda":
            unused = torch.cuda.memory_reserved(image.device) - torch.cuda.memory_allocated(image.device)
            free = torch.cuda.mem_get_info(image.device)[0] + unused
        check_fits(self.needs(scans, training), what, remedy, free)

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """What stands before the linear layer, (V, F). It is shown no lesions: `lesion` is not read."""
        return self.maps(image, scan).mean((2, 3, 4))


def players(model: I3D) -> list[Player]:
    """Adam on everything, as the paper; the trunk at its own rate."""
    return [trunk_and_head("i3d", model)]
