"""How a trained classifier is to be read, fitted on its validation scans: operating.json beside its weights.

Temperature, threshold, conformal scores, what it did there, and how far from the training scans the
validation scans lie. What each field means: `predict.operating`. All of it comes from the same validation
scans on which the weights were chosen, so it flatters a little; another cohort tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.exams import ExamSet
from glasslung.errors import DataError
from glasslung.files import whole_file, write_json
from glasslung.measure.calibration import calibration_error, fit_calibration, reliability
from glasslung.measure.conformal import fit_conformal
from glasslung.measure.decisions import calls_at, youden_threshold
from glasslung.measure.ranking import auc_interval
from glasslung.measure.statistics import Interval
from glasslung.predict.familiar import Familiar, fit_familiar
from glasslung.predict.operating import OPERATING, TENSORS
from glasslung.studies.diagnosis.learning import Answers, answers_of

if TYPE_CHECKING:
    from torch import nn

FINDING = "COVID-19"
LEVEL = 0.9
RULE = "Youden on validation"
FEW = 20  # patients of a kind: below this, intervals and the threshold are told to be rough


@dataclass(frozen=True, eq=False)
class Point:
    """operating.json as plain values, and what goes into operating.safetensors."""

    told: Mapping[str, Any]
    familiar: Familiar


def fit_point(
    model: nn.Module, training: ExamSet, validation: ExamSet, lesions_by: str, trained_on: str, seed: int = 0
) -> Point:
    """Ask a trained classifier about training and validation scans, and say how it is to be read.

    DataError where the validation scans have fewer than two patients of a kind.
    """
    known = validation.labelled()
    return point_of(
        answers_of(model, training), answers_of(model, known), known, lesions_by, trained_on, seed
    )


def point_of(
    training: Answers, said: Answers, validation: ExamSet, lesions_by: str, trained_on: str, seed: int = 0
) -> Point:
    """The same from answers: those to training scans, and to validation scans with known labels."""
    truth, rng = validation.label == 1, np.random.default_rng(seed)
    calibration = fit_calibration(truth, said.log_odds)
    probability = calibration.probability(said.log_odds)
    threshold = youden_threshold(truth, probability)
    calls = calls_at(truth, probability, threshold, validation.patients, rng=rng)
    bins = reliability(truth, probability, validation.patients)
    figures = calls.figures
    told = {
        "finding": FINDING,
        "temperature": calibration.temperature,
        "bias": calibration.bias,
        "threshold": threshold,
        "rule": RULE,
        "conformal": fit_conformal(truth, probability, LEVEL).to_json(),
        "validation": {
            "scans": len(truth),
            "patients": len(set(validation.patients)),
            "auc": _three(auc_interval(truth, said.log_odds, validation.patients, rng=rng)),
            "ece": calibration_error(truth, probability),
            "reliability": [[b.low, b.high, b.mean, b.share, b.count] for b in bins],
            "sensitivity": _three(figures["sensitivity"]),
            "specificity": _three(figures["specificity"]),
        },
        "familiar": None,
        "reads": {
            "intensity": _intensity(validation),
            "size": validation.size,
            "spacing_mm": round(float(np.median([exam.spacing_mm[0] for exam in validation.exams])), 3),
            "lesions_by": lesions_by,
            "frame": _frame(validation),
        },
        "trained_on": trained_on,
        "limits": _limits(validation),
    }
    return Point(told, fit_familiar(training.features, said.features))


def write_point(point: Point, folder: Path) -> None:
    """operating.json and operating.safetensors in a run's folder, the JSON last."""
    from safetensors.numpy import save_file

    with whole_file(folder / TENSORS) as part:
        save_file(point.familiar.tensors(), part)
        part.chmod(0o644)  # safetensors lets nobody but the owner read: a run may be shared
    write_json(folder / OPERATING, dict(point.told))


def _three(interval: Interval | None) -> list[float]:
    assert interval is not None, "sensitivity and specificity are defined where both kinds are there"
    values = asdict(interval)
    return [values["value"], min(values["low"], values["value"]), max(values["high"], values["value"])]


def _intensity(exams: ExamSet) -> str:
    kinds = sorted({exam.intensity.value for exam in exams.exams})
    if len(kinds) > 1:
        raise DataError(
            f"these scans are {' and '.join(kinds)}: a classifier reads one kind; train one for each"
        )
    return kinds[0]


def _frame(exams: ExamSet) -> str:
    names = sorted({exam.frame.name for exam in exams.exams})
    if len(names) > 1:
        raise DataError(f"these scans are cut as {' and '.join(names)}: a classifier reads one frame")
    return names[0]


def _limits(validation: ExamSet) -> str:
    few = min(
        len({p for p, one in zip(validation.patients, validation.label, strict=True) if one == kind})
        for kind in (0, 1)
    )
    said = (
        "Weights, threshold and calibration were chosen on one set of validation scans, whose figures flatter"
    )
    said += f"; only {few} patients of the rarer kind were among them." if few < FEW else "."
    return f"{said} Other hospitals and other scanners were not asked. No clinical instrument."
