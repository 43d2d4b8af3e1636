"""Classifiers whose answers a person can foresee, and runs of tiny ones, as a training leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.files import write_json
from glasslung.nn.scoring import ScanClassifier
from glasslung.predict.diagnosing import Classifier
from glasslung.predict.operating import OPERATING, read_operating
from glasslung.train.rundir import RunDir
from glasslung.types import Intensity

SIZE = 32


class LesionShare(ScanClassifier):
    """Log-odds grow with the share of lung that is lesion: -4 without any, 0 at `middle` of it."""

    def __init__(self, middle: float = 0.1) -> None:
        super().__init__()
        self.middle = middle
        self.head = nn.Linear(2, 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[4.0 / middle, 0.0]]))
            self.head.bias.fill_(-4.0)

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """(V, 2): share of lesion, mean grey of the lungs."""
        lung = image > 0
        rows = []
        for one in range(int(scan.max()) + 1):
            here = scan == one
            inside = lung[here].sum().clamp_min(1)
            rows.append(torch.stack([lesion[here].sum() / inside, image[here].sum() / inside]))
        return torch.stack(rows)


def told(**more: Any) -> dict[str, Any]:
    """What stands in an operating.json, of 20 + 20 validation scans."""
    rising = np.linspace(0.01, 0.6, 20).tolist()
    known: dict[str, Any] = {
        "finding": "COVID-19",
        "temperature": 2.0,
        "bias": 0.0,
        "threshold": 0.6,
        "rule": "Youden on validation",
        "conformal": {"level": 0.9, "covid": rising, "other": rising},
        "validation": {
            "scans": 40,
            "patients": 38,
            "auc": [0.91, 0.84, 0.97],
            "ece": 0.06,
            "reliability": [[0.0, 0.5, 0.21, 0.18, 20], [0.5, 1.0, 0.83, 0.85, 20]],
            "sensitivity": [0.9, 0.75, 0.98],
            "specificity": [0.8, 0.64, 0.92],
        },
        "familiar": {
            "mean": [0.1, 0.2],
            "directions": [[1.0], [0.0]],
            "spreads": [0.1],
            "rest": 0.1,
            "distances": np.linspace(0.1, 2.0, 40).tolist(),
        },
        "reads": {"intensity": "hu", "size": SIZE, "spacing_mm": 3.0, "lesions_by": "lesions-hu"},
        "trained_on": "phantom chests",
        "limits": "it has never seen a patient",
    }
    for key, value in more.items():
        known[key] = {**known[key], **value} if isinstance(value, dict) else value
    return known


def lesion_classifier(folder: Path, intensity: Intensity = Intensity.HU, **more: Any) -> Classifier:
    """A classifier that goes by the share of lesions; `more` as for `told`, except `name` and `middle`."""
    name, middle = more.pop("name", "by-lesions"), more.pop("middle", 0.1)
    more["reads"] = {"intensity": intensity.value, **more.get("reads", {})}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / OPERATING, told(**more))
    read = read_operating(folder)
    return Classifier(LesionShare(middle), name, "netvlad", intensity, read.size, "0" * 16, {}, read)


def write_classifier(
    folder: Path, method: str = "slicewise", settings: dict | None = None, **more: Any
) -> Path:
    """A run of a tiny network with weights as they are drawn, as a training leaves one."""
    from glasslung.models import build

    tiny = {"slicewise": {"width": 4, "stages": 2}, "netvlad": {"width": 8, "clusters": 2}}
    chosen = tiny.get(method, {}) | {"size": SIZE} | (settings or {})
    run = RunDir.create(folder, "diagnosis", method, {**chosen, "training": {}}, 0)
    with run.writing():
        model = build(method, 0, **chosen)
        run.save(method, model)
    write_json(folder / "weights" / OPERATING, told(**{"familiar": None, **more}))
    return folder
