"""The paper's bounds: the AUC through a hundred windows that differ a little from the usual one.

Level and width are moved by normal draws, the same for all scans of a draw, and the exam is seen anew from
its Hounsfield units (`predict.windowed`). The paper gives mean and deviation of the AUC over its draws; it
does not say how far windows were moved. `glasslung robustness` tells more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.exams import BODY
from glasslung.measure.ranking import auc
from glasslung.predict.windowed import Windowed, draw_windows, windowed_scan
from glasslung.studies.prognosis.ground import PrognosisGround
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

DEVIATIONS = (100.0,)  # HU: a fifteenth of the window's width
WINDOW_STREAM = 7


def through_windows(
    ground: PrognosisGround,
    model: nn.Module,
    part: str,
    scans: int,
    draws: int,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """AUC of a network on some scans of a part, one of a patient, through many windows.

    scans  of each kind, at most
    -> {'scans', 'with', 'usual': AUC, 'deviations': [{'hu', 'mean', 'deviation', 'least', 'most', 'areas'}]}
    """
    rows = _some(ground, part, scans)
    truth = ground.exams.label[rows] == 1
    seen = [_windowed(ground, int(row)) for row in rows]
    told: dict[str, Any] = {"scans": len(rows), "with": int(truth.sum()), "deviations": []}
    told["usual"] = auc(truth, _asked(model, seen, (0.0, 0.0)))
    for number, deviation in enumerate(DEVIATIONS):
        rng = np.random.default_rng([seed, WINDOW_STREAM, number])
        areas = []
        for draw, (level, width) in enumerate(draw_windows(draws, deviation, BODY.window_hu, rng)):
            if progress:
                done = (number + draw / draws) / len(DEVIATIONS)
                progress(f"windows at {part}: draw {draw + 1} of {draws}, {deviation:g} HU", done)
            areas.append(auc(truth, _asked(model, seen, (float(level), float(width)))))
        told["deviations"].append(
            {
                "hu": deviation,
                "mean": float(np.mean(areas)),
                "deviation": float(np.std(areas)),
                "least": float(np.min(areas)),
                "most": float(np.max(areas)),
                "areas": [round(one, 4) for one in areas],
            }
        )
    return told


def _some(ground: PrognosisGround, part: str, scans: int) -> np.ndarray:
    """Scans of a part on which the diagnosis is asked, as many of each kind as wanted."""
    here = ground.rows(part) & ground.diagnosed
    kinds = [np.flatnonzero(here & (ground.exams.label == label))[:scans] for label in (0, 1)]
    return np.sort(np.concatenate(kinds))


def _windowed(ground: PrognosisGround, row: int) -> Windowed:
    volume, lungs = ground.volume(row)
    return windowed_scan(volume, lungs, ground.exams.exams[row])


def _asked(model: nn.Module, seen: Sequence[Windowed], window: tuple[float, float]) -> np.ndarray:
    """Log-odds of scans through one window, (N,)."""
    import torch

    from glasslung.data.exambatches import whole
    from glasslung.nn.borrow import evaluating

    said = []
    with evaluating(model), torch.no_grad():
        for one in seen:
            batch = whole(one.at(*window))
            said.append(float(model.scores(batch.image, batch.lesion, batch.scan)[0]))  # type: ignore[operator]
    return np.array(said)
