"""What a classifier says of one scan: who is asked, what stands against believing it, and why it says so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glasslung.analyze.masks import GIVEN, NOBODY, ScanMasks
from glasslung.errors import UsageError
from glasslung.types import (
    Answer,
    Diagnosis,
    Explanation,
    Intensity,
    MaskOrigin,
    MaskQuality,
    Progress,
    Remark,
    Severity,
    Volume,
)

if TYPE_CHECKING:
    from glasslung.analyze.explaining import Reasons
    from glasslung.predict.diagnosing import Classifier

UNTRUSTED_LUNGS = "lung-mask-untrusted"  # the gate's own remark on what is told here already
MOST_OUTSIDE = (
    0.5  # of the relevance: with more outside the lungs, their outline decided and not their inside
)
NOBODY_WANTED = "no classifier was to be asked"
_GREY_WORDS = {Intensity.HU: "Hounsfield units", Intensity.DISPLAY8: "8-bit grey values"}


class Classifiers:
    """The classifiers that are asked, each opened when it is first needed.

    named    a run's folder, a shipped name, 'none', or '' for what ships for a scan's grey values
    explain  whether it is also asked for its reasons
    """

    def __init__(self, named: str = "", explain: bool = True) -> None:
        self.named, self.explain = named, explain
        self._open: dict[str, Classifier] = {}

    def identity(self) -> str:
        """A text that changes with what would be asked; nothing heavy is loaded."""
        if self.named == NOBODY:
            return NOBODY
        from glasslung.predict.diagnosing import classifier_identity, shipped_classifier

        names = [self.named] if self.named else [shipped_classifier(intensity) for intensity in Intensity]
        told = "; ".join(classifier_identity(name) for name in names if name)
        return f"{told}, {'with' if self.explain else 'without'} reasons" if told else NOBODY

    def check(self) -> None:
        """UsageError or DataError at once where a named classifier is not there, or classifies no scans."""
        if self.named and self.named != NOBODY:
            self._opened(self.named)

    def fitting(self, intensity: Intensity, lesions: bool) -> Classifier | str:
        """The classifier for such grey values, or why none is asked.

        lesions  whether somebody draws lesions. UsageError where a named classifier is of the other kind, or
                 goes by lesions that nobody draws.
        """
        if self.named == NOBODY:
            return NOBODY_WANTED
        from glasslung.predict.diagnosing import operating_of, shipped_classifier

        name = self.named or shipped_classifier(intensity)
        if name is None:
            return f"no classifier for scans in {_GREY_WORDS[intensity]} comes with this version"
        if not self.named and not lesions and operating_of(name).lesions_by != NOBODY:
            return f"the classifier {name} goes by lesions, and nobody drew them"
        classifier = self._opened(name)
        if classifier.intensity is not intensity:
            raise UsageError(
                f"--classifier {name} reads {classifier.intensity.value}, and a scan's grey values are "
                f"{intensity.value}: leave it out to have each scan read by the one that ships for it"
            )
        if not lesions and classifier.operating.lesions_by != NOBODY:
            raise UsageError(
                f"--classifier {name} goes by lesions, and nobody draws them: leave out --segmenter none, or "
                "give the lesions"
            )
        return classifier

    def _opened(self, name: str) -> Classifier:
        from glasslung.predict.diagnosing import open_classifier

        if name not in self._open:
            self._open[name] = open_classifier(name)
        return self._open[name]


@dataclass(frozen=True, eq=False)
class Told:
    """What a classifier says of a scan.

    reasons  what each voxel did for the log-odds of the finding; None where nobody asked
    """

    diagnosis: Diagnosis
    reasons: Reasons | None = None

    def heat(self) -> np.ndarray | None:
        """The map of relevance as pictures show it, (D, H, W) int8; None where there is none."""
        from glasslung.data.preview import heat_of

        return None if self.reasons is None else heat_of(self.reasons.relevance, self.reasons.full)


def diagnose_scan(
    volume: Volume,
    made: ScanMasks,
    classifier: Classifier,
    explain: bool,
    about: tuple[tuple[Remark, ...], MaskQuality | None],
    tell: Progress | None = None,
) -> Told:
    """Ask a classifier about a scan whose masks are known.

    about  the gate's remarks, and how far to trust the lesions; they become doubts of the answer
    """
    from glasslung.predict.diagnosing import diagnose
    from glasslung.predict.exams import make_exam

    say = tell or (lambda what, done: None)
    say("diagnosis", 0.0)
    lesions = np.zeros(volume.shape, np.uint8) if made.lesions is None else made.lesions.mask
    read = classifier.operating
    exam = make_exam(volume, made.lungs.mask, lesions, classifier.size, read.frame)
    found = diagnose(classifier, exam)
    doubts = _doubts(volume, made, classifier.operating.lesions_by, about)
    if classifier.operating.lesions_by != NOBODY and not exam.lesions.any():
        doubts += _without_lesions(made.origin, found)
    found = replace(found, doubts=(*doubts, *found.doubts))
    if not explain:
        return Told(found)
    from glasslung.analyze.explaining import reasons_of

    say("reasons", 0.0)
    reasons = reasons_of(classifier, exam, volume)
    doubts = (
        (*found.doubts, *_doubts_of(reasons.told, read.frame.masked))
        if found.answer is Answer.LIKELY
        else found.doubts
    )
    return Told(replace(found, doubts=doubts, explanation=reasons.told), reasons)


def _without_lesions(origin: MaskOrigin, found: Diagnosis) -> tuple[str, ...]:
    """What to make of an answer to a scan in which no lesion is marked: healthy lungs have none."""
    if origin.lesions == GIVEN:
        return ("the mask of lesions that was given is empty, and the classifier goes by lesions",)
    return ("no lesion is marked in it, and yet it is called likely",) * (found.answer is Answer.LIKELY)


def _doubts_of(told: Explanation, masked: bool) -> tuple[str, ...]:
    """What of its reasons stands against believing an answer."""
    from glasslung.explain.ledger import OUTSIDE

    outside = sum(one.relevance for one in told.shares if one.region == OUTSIDE)
    share = f"{100 * outside:.0f} %"
    where = (
        "lies outside the lungs, of which only the outline was shown" if masked else "lies outside the lungs"
    )
    said = f"{share} of what spoke for it {where}"
    return (said,) if outside > MOST_OUTSIDE else ()


def _doubts(
    volume: Volume,
    made: ScanMasks,
    learned_with: str,
    about: tuple[tuple[Remark, ...], MaskQuality | None],
) -> tuple[str, ...]:
    """What of the scan and its masks stands against believing an answer."""
    gate, quality = about
    doubts = []
    if not made.lungs.quality.trusted:
        doubts.append("it was shown lungs whose outline is not trusted")
    if quality is not None and not quality.trusted:
        doubts.append("it was shown lesions that are not trusted")
    if learned_with != NOBODY and (other := _other_lesions(made.origin, learned_with)):
        doubts.append(other)
    if volume.intensity is Intensity.HU:  # what the gate warns of in pictures, a classifier of pictures knows
        warned = [r for r in gate if r.severity is Severity.WARN and r.code != UNTRUSTED_LUNGS]
        doubts += [remark.text.rstrip(".") for remark in warned]
    return tuple(doubts)


def _other_lesions(origin: MaskOrigin, learned_with: str) -> str:
    """Where its lesions were drawn by another hand than in training."""
    drawn = origin.network or origin.lesions
    if drawn == learned_with:
        return ""
    who = "given by hand or another program" if origin.lesions == GIVEN else f"drawn by {drawn}"
    theirs = "given ones" if learned_with == GIVEN else f"those of {learned_with}"
    return f"the lesions were {who}, and it learned with {theirs}"
