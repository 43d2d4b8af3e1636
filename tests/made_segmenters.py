"""Segmenters whose answers a person can foresee: they look at grey values, and need no training."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.predict.opening import KINDS, Segmenter
from glasslung.train.rundir import RunDir
from glasslung.types import Intensity

GLASS, DENSE = 0.2, 0.5  # of the window -1000 to 400 HU: -720 and -300 HU


class GreyNet(nn.Module):
    """None below GLASS, ground glass above, consolidation above DENSE; lung below DENSE if it is asked."""

    def __init__(self, glass: float = GLASS, dense: float = DENSE, sure: float = 200.0) -> None:
        super().__init__()
        self.config = SimpleNamespace()
        self.glass, self.dense, self.sure = glass, dense, sure
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: Tensor) -> SimpleNamespace:
        self.seen.append(tuple(image.shape))
        grey = nn.functional.avg_pool2d(image, 3, 1, 1)
        middle = (self.glass + self.dense) / 2
        half = (self.dense - self.glass) / 2
        hazy = self.sure * (half - (grey - middle).abs())
        lesion = torch.cat([self.sure * (self.glass - grey), hazy, self.sure * (grey - self.dense)], 1)
        return SimpleNamespace(lesion=lesion, lung=self.sure * (self.dense - grey))

    def probabilities(self, image: Tensor) -> Tensor:
        return self(image).lesion.softmax(1)

    def opinions(self, image: Tensor) -> tuple[Tensor, Tensor]:
        answer = self(image)
        return answer.lesion.softmax(1), answer.lung[:, 0].sigmoid()


def grey_segmenter(intensity: Intensity = Intensity.HU, model: nn.Module | None = None, **more) -> Segmenter:
    """A segmenter that reads scans at 4 mm, or pictures of 96 pixels."""
    known = {
        "name": "grey",
        "method": "unet",
        "classes": KINDS[:3],
        "intensity": intensity,
        "spacing_mm": (4.0, 4.0, 4.0),
        "window_hu": (-1000.0, 400.0),
        "size": 96,
        "one_window": False,
        "finds_lungs": False,
        "temperature": 1.0,
        "digest": "0" * 16,
        "about": {},
    }
    return Segmenter(model or GreyNet(), **(known | more))


def write_run(folder: Path, reads: dict[str, object] | None = None, method: str = "unet", **settings) -> Path:
    """A run of a tiny network with weights as they are drawn, as `glasslung train` leaves one."""
    from glasslung.models import build

    chosen = {"width": 4, "steps": 1} | settings if method == "unet" else settings
    kept = {**chosen, "training": {"size": 96, "one_window": False, **({"reads": reads} if reads else {})}}
    run = RunDir.create(folder, "segmentation", method, kept, 0)
    with run.writing():
        run.save(method, build(method, 0, **chosen))
    return folder


def lesion_share(mask: np.ndarray, lungs: np.ndarray) -> float:
    """Per cent of the lungs."""
    return 100.0 * np.count_nonzero(mask[lungs > 0]) / np.count_nonzero(lungs)
