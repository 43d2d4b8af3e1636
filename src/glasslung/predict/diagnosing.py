"""What a trained classifier says of one scan, and how far to believe it.

1. the network gives log-odds of the finding
2. temperature and bias, fitted on validation scans, make them a probability that holds there
3. the operating point, chosen there too, makes it an answer: likely or unlikely
4. the conformal answer keeps what is not too unusual: one of the two, both ('cannot tell'), or neither
5. the distance of its features from the training scans says whether all this may be believed

Weights that ship are named `diagnosis-hu` and `diagnosis-8bit`; `predict.operating` tells the file beside
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from glasslung.data.exambatches import whole
from glasslung.data.exams import Exam
from glasslung.errors import UsageError
from glasslung.predict.folds import is_folds, read_folds
from glasslung.predict.opening import FOLDER, NONE, identity_of
from glasslung.predict.operating import OPERATING, TENSORS, Operating, read_operating, sigmoid
from glasslung.predict.trained import open_trained
from glasslung.types import Answer, Diagnosis, Intensity

if TYPE_CHECKING:
    from torch import nn

SHIPPED = {Intensity.HU: "diagnosis-hu", Intensity.DISPLAY8: "diagnosis-8bit"}
"""The weights that are asked where none are named."""
FAR_PERCENT = 95.0  # a scan farther from the training scans than this share of the validation's is doubted

__all__ = [
    "NONE",
    "Classifier",
    "Opinion",
    "classifier_identity",
    "diagnose",
    "open_classifier",
    "operating_of",
    "shipped_classifier",
]


class Opinion(NamedTuple):
    """What the network says of a scan: log-odds of the finding, and the numbers (F,) that these rest on."""

    log_odds: float
    features: np.ndarray


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier of scans that can be asked.

    name       what a person calls it: a shipped name, or the last part of the run's folder
    method     the name it is built by
    intensity  hu or display8: what the scans must be
    size       side in pixels of the slices it wants
    digest     first 16 hex digits of the SHA-256 of its weights and of how they are read
    about      what its folder says of it
    operating  how its log-odds are read, and what it did on its validation scans
    """

    model: nn.Module
    name: str
    method: str
    intensity: Intensity
    size: int
    digest: str
    about: Mapping[str, Any]
    operating: Operating

    def ask(self, exam: Exam) -> float:
        """Log-odds of the finding."""
        return self.opinion(exam).log_odds

    def opinion(self, exam: Exam) -> Opinion:
        """Log-odds, and the features they rest on. DataError where no slice of the exam shows lung."""
        import torch

        check_exam(self, exam)
        batch = whole(exam)
        with torch.no_grad():
            features = self.model.features(batch.image, batch.lesion, batch.scan)  # type: ignore[operator]
            log_odds = self.model.read(features)[0]  # type: ignore[operator]
        return Opinion(float(log_odds), np.asarray(features[0].float().numpy()))


def shipped_classifier(intensity: Intensity) -> str | None:
    """The name of the classifier that comes with the package for such grey values; None where none does."""
    name = SHIPPED[intensity]
    return name if (FOLDER / name / "settings.json").is_file() else None


def classifier_identity(which: str) -> str:
    """A text that changes with the weights that `which` names and with how they are read.

    Loads no network. UsageError or DataError where there is no such run.
    """
    folder = Path(which) if Path(which).is_dir() else FOLDER / which
    if is_folds(folder):
        parts = [identity_of(str(run)) for run in read_folds(folder).runs]
        return f"{folder.resolve().name} {' '.join(parts)} {_digest(*_reading(folder))}"
    return f"{identity_of(which)} {_digest(*_reading(folder))}"


def operating_of(which: str | Path) -> Operating:
    """How a classifier is read, by its run's folder or shipped name; loads no network."""
    folder = Path(which) if Path(which).is_dir() else FOLDER / which
    beside = folder / "weights"
    return read_operating(beside if (beside / OPERATING).is_file() else folder)


def open_classifier(which: str | Path) -> Classifier:
    """Open a classifier by the folder of its run, of the folds of a cross-validation, or by a shipped name.

    Folds answer as one (`nn.ensemble`). A text without a folder of that name is taken as a shipped name.
    UsageError for a model that classifies no scans, DataError where there is no such run, it is damaged, or
    nothing says how it is read.
    """
    if is_folds(Path(which)):
        return _open_folds(Path(which))
    trained = open_trained(which, _check_method)
    operating = operating_of(trained.folder)
    return Classifier(
        model=trained.model.eval(),
        name=trained.name,
        method=trained.method,
        intensity=operating.intensity,
        size=operating.size,
        digest=_digest(trained.weights, *_reading(trained.folder)),
        about=trained.about,
        operating=operating,
    )


def _open_folds(folder: Path) -> Classifier:
    """All folds of a folder as one classifier."""
    from glasslung.nn.ensemble import Ensemble

    folds, operating = read_folds(folder), operating_of(folder)
    members = [open_trained(run, _check_method) for run in folds.runs]
    return Classifier(
        model=Ensemble([member.model for member in members]).eval(),
        name=folder.resolve().name,
        method=f"{len(members)} folds of {folds.method}",
        intensity=operating.intensity,
        size=operating.size,
        digest=_digest(*(member.weights for member in members), *_reading(folder)),
        about={**members[0].about, "folds": folds.about},
        operating=operating,
    )


def check_exam(classifier: Classifier, exam: Exam) -> None:
    """UsageError where a classifier does not read such an exam."""
    check_intensity(classifier, exam.intensity)
    if exam.frame != classifier.operating.frame:
        raise UsageError(
            f"the classifier {classifier.name} reads scans in the frame {classifier.operating.frame.name!r}, "
            f"and this exam is in {exam.frame.name!r}: make it in that frame"
        )
    if exam.image.shape[1:] != (classifier.size, classifier.size):
        raise UsageError(
            f"the classifier {classifier.name} reads slices of {classifier.size} pixels, and this exam has "
            f"{exam.image.shape[1]} x {exam.image.shape[2]}: make it at that size"
        )


def check_intensity(classifier: Classifier, intensity: Intensity) -> None:
    """UsageError where a classifier reads other grey values."""
    if classifier.intensity is not intensity:
        remedy = (
            "choose one for 8-bit slices, or give the scan in Hounsfield units"
            if intensity is Intensity.DISPLAY8
            else "choose one for Hounsfield units"
        )
        raise UsageError(
            f"the classifier {classifier.name} reads {classifier.intensity.value}, and the scan's grey "
            f"values are {intensity.value}: {remedy}"
        )


def diagnose(classifier: Classifier, exam: Exam) -> Diagnosis:
    """What a classifier says of one exam: probability, answer, and how far to believe them.

    UsageError where the classifier reads other grey values or another size, DataError where no slice of the
    exam shows lung.
    """
    read, opinion = classifier.operating, classifier.opinion(exam)
    probability = read.probability(opinion.log_odds)
    chances = read.chances(probability)
    percentile = None if read.familiar is None else read.familiar.percentile(opinion.features)
    return Diagnosis(
        finding=read.finding,
        log_odds=opinion.log_odds,
        raw=sigmoid(opinion.log_odds),
        probability=probability,
        temperature=read.temperature,
        bias=read.bias,
        answer=Answer.LIKELY if probability >= read.threshold else Answer.UNLIKELY,
        threshold=read.threshold,
        rule=read.rule,
        standing=read.standing(chances),
        level=read.level,
        chances=chances,
        percentile=percentile,
        doubts=_doubts(exam, percentile),
        classifier=classifier.name,
        method=classifier.method,
        digest=classifier.digest,
        validation=read.validation,
        trained_on=read.trained_on,
        limits=read.limits,
        shown=_shown(read),
    )


def _shown(read: Operating) -> str:
    """What of a scan the network sees, in words."""
    if read.frame.masked:
        return "the slices through the lungs with all else black, and the lesions beside them"
    low, high = read.frame.window_hu
    return f"the whole body between {low:g} and {high:g} HU, without lungs or lesions marked"


def _doubts(exam: Exam, percentile: float | None) -> tuple[str, ...]:
    """What of the exam itself stands against believing the answer."""
    doubts = []
    if percentile is not None and percentile > FAR_PERCENT:
        than = "every" if percentile >= 100 else f"{percentile:.0f} % of the"
        noun = "scan" if percentile >= 100 else "scans"
        doubts.append(f"it lies farther from the training scans than {than} validation {noun}")
    if exam.intensity is Intensity.HU and len(exam) == 1:
        doubts.append("it is one slice, and the classifier learned from whole scans")
    return tuple(doubts)


def _check_method(method: str) -> None:
    """UsageError for a model that does not classify scans."""
    from glasslung.models import TABLE
    from glasslung.nn.batches import ExamBatch

    able = [name for name, entry in TABLE.items() if entry.batch is ExamBatch]
    if method not in able:
        raise UsageError(f"a {method!r} classifies no scans; {', '.join(able)} do")


def _reading(folder: Path) -> list[Path]:
    """The files that say how weights are read, of a shipped folder, a run's, or its weights'."""
    places = (folder, folder / "weights")
    return [place / name for place in places for name in (OPERATING, TENSORS) if (place / name).is_file()]


def _digest(*files: Path) -> str:
    told = hashlib.sha256()
    for file in files:
        told.update(file.read_bytes())
    return told.hexdigest()[:16]
