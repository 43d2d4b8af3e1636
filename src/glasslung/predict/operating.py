"""What lies beside a classifier's weights: operating.json, fitted on its validation scans after training.

finding      what it was asked about
temperature, bias   calibrated probability = sigmoid(log-odds / temperature + bias)
threshold, rule     of the calibrated probability: from here on 'likely', and how that was chosen
conformal    level, and the nonconformity of the validation scans with ('covid') and without ('other') the
             finding: one minus the calibrated probability of what they are
validation   what it did there, see `types.Validation`
familiar     mean, directions, spreads, rest and distances (`predict.familiar`), here or as tensors in
             operating.safetensors; null where nothing is kept
reads        intensity, size, spacing_mm, lesions_by, frame ('lungs' where it does not say): the exam it wants
trained_on, limits  a sentence each
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from glasslung.data.exams import FRAMES, LUNGS, Frame
from glasslung.errors import DataError
from glasslung.files import read_json
from glasslung.predict.familiar import Familiar, read_familiar
from glasslung.types import Intensity, Standing, Validation

OPERATING, TENSORS = "operating.json", "operating.safetensors"


@dataclass(frozen=True, eq=False)
class Operating:
    """How a classifier's log-odds are read, and what it did on its validation scans.

    with_finding, without   nonconformity of the validation scans, rising
    lesions_by              whose lesions it learned with: a shipped segmenter, 'given', or 'none'
    """

    finding: str
    temperature: float
    bias: float
    threshold: float
    rule: str
    level: float
    with_finding: np.ndarray
    without: np.ndarray
    validation: Validation
    familiar: Familiar | None
    intensity: Intensity
    size: int
    spacing_mm: float
    lesions_by: str
    trained_on: str
    limits: str
    frame: Frame = LUNGS

    def probability(self, log_odds: float) -> float:
        """Calibrated, 0 to 1."""
        return sigmoid(log_odds / self.temperature + self.bias)

    def chances(self, probability: float) -> tuple[float, float]:
        """Conformal p-values: how usual this scan would be with the finding, and without it."""
        return _p_value(1.0 - probability, self.with_finding), _p_value(probability, self.without)

    def standing(self, chances: tuple[float, float]) -> Standing:
        """What is left when each answer goes whose p-value is not above 1 - level."""
        finding, other = (chance > 1.0 - self.level + 1e-9 for chance in chances)
        if finding and other:
            return Standing.EITHER
        if finding:
            return Standing.FINDING
        return Standing.OTHER if other else Standing.NEITHER


def sigmoid(log_odds: float) -> float:
    """The probability that log-odds say, without overflow."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    small = math.exp(log_odds)
    return small / (1.0 + small)


def _p_value(score: float, scores: np.ndarray) -> float:
    """Share of calibration scans at least as odd, this scan itself among them (Vovk; split conformal)."""
    odder = len(scores) - int(np.searchsorted(scores, score, side="left"))
    return (1 + odder) / (len(scores) + 1)


def read_operating(folder: Path) -> Operating:
    """The operating.json of a folder; DataError where it is missing, or a field is missing or wrong."""
    path = folder / OPERATING
    if not path.is_file():
        raise DataError(
            f"{folder} has no {OPERATING}, so nobody knows how to read what it says: "
            "let its training end, or train it again"
        )
    told = read_json(path)
    try:
        return _operating(told, folder)
    except (KeyError, TypeError, ValueError) as problem:
        words = f"{problem.args[0]!r} is missing" if isinstance(problem, KeyError) else str(problem)
        raise DataError(f"{path} is damaged ({words}); train the classifier again") from problem


def _operating(told: Mapping[str, Any], folder: Path) -> Operating:
    conformal, reads = told["conformal"], told["reads"]
    return Operating(
        finding=_text(told, "finding"),
        temperature=_number(told, "temperature", 1e-6, 1e6),
        bias=_number(told, "bias", -1e3, 1e3),
        threshold=_number(told, "threshold", 0.0, 1.0),
        rule=_text(told, "rule"),
        level=_number(conformal, "level", 0.0, 1.0),
        with_finding=_scores(conformal, "covid"),
        without=_scores(conformal, "other"),
        validation=_validation(told["validation"]),
        familiar=_familiar(told.get("familiar"), folder),
        intensity=Intensity(reads["intensity"]),
        size=int(_number(reads, "size", 8, 4096)),
        spacing_mm=_number(reads, "spacing_mm", 1e-3, 1e3),
        lesions_by=_text(reads, "lesions_by"),
        trained_on=_text(told, "trained_on"),
        limits=_text(told, "limits"),
        frame=_frame(reads),
    )


def _frame(reads: Mapping[str, Any]) -> Frame:
    name = reads.get("frame", LUNGS.name)
    if name not in FRAMES:
        raise ValueError(f"frame is {name!r}, and must be one of {', '.join(FRAMES)}")
    return FRAMES[name]


def _validation(told: Mapping[str, Any]) -> Validation:
    bins = []
    for row in told["reliability"]:
        low, high, mean, share, count = row
        if count:  # an empty bin tells nothing, and has no mean
            bins.append((float(low), float(high), float(mean), float(share), int(count)))
    return Validation(
        scans=int(_number(told, "scans", 1, 1e9)),
        patients=int(_number(told, "patients", 1, 1e9)),
        auc=_interval(told, "auc"),
        ece=_number(told, "ece", 0.0, 1.0),
        sensitivity=_interval(told, "sensitivity"),
        specificity=_interval(told, "specificity"),
        reliability=tuple(bins),
    )


def _familiar(told: Any, folder: Path) -> Familiar | None:
    """From the JSON and the tensors beside it; what is in both is the JSON's."""
    kept: dict[str, Any] = {}
    if (folder / TENSORS).is_file():
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            kept = dict(load_file(folder / TENSORS))
        except (OSError, SafetensorError) as problem:
            raise DataError(f"{folder / TENSORS} is damaged ({problem}); train again") from problem
    kept |= {key: value for key, value in (told or {}).items() if value is not None}
    return read_familiar(kept, folder.name) if kept else None


def _text(told: Mapping[str, Any], key: str) -> str:
    if isinstance(told[key], str):
        return cast(str, told[key])
    raise ValueError(f"{key} is {told[key]!r}, and must be text")


def _number(told: Mapping[str, Any], key: str, least: float, most: float) -> float:
    value = told[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{key} is {value!r}, and must be {least:g} to {most:g}")
    return float(value)


def _interval(told: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    value, low, high = (float(one) for one in told[key])
    if not 0.0 <= low <= high <= 1.0 or not 0.0 <= value <= 1.0:
        raise ValueError(f"{key} is {told[key]!r}, and must be a share and its interval")
    return value, low, high


def _scores(told: Mapping[str, Any], key: str) -> np.ndarray:
    scores = np.sort(np.asarray(told[key], np.float64))
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"conformal {key} must be numbers, one at least")
    return scores
