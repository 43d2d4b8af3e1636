"""Measurements: the figures of one scan as a structured report, TID 1500 in a Comprehensive 3D SR.

One group for each lung and each class of lesion, tied to its segment and to the slices that hold it; the same
figures for sides and thirds; the severity score; a classifier's probability with all that stands against
believing it; and what limits all of them, in sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glasslung.data.formats.dicom_origin import Origin
from glasslung.report.dicom import codes
from glasslung.report.dicom.equipment import MAKER, RESEARCH, Maker
from glasslung.report.dicom.segments import OPACITY_NAME, Segment
from glasslung.types import DISCLAIMER, Amount, Diagnosis, Findings, Lesion, RegionMeasures

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

REPORT_SERIES = 9002


@dataclass(frozen=True, eq=False)
class Drawn:
    """A scan's Segmentation, and which of its segments is which.

    seg       the object;  segments: in the order of their numbers
    """

    seg: Any
    segments: tuple[Segment, ...]

    def number(self, name: str, region: str) -> int | None:
        """The number of the segment that is this finding, all of it, in this region; None where none is."""
        itself = name == region.capitalize()
        if region != "both lungs" and not itself:
            return None
        lungs = [n for n, one in enumerate(self.segments, 1) if one.mask == "lungs"]
        if region == "both lungs" and itself:
            return lungs[0] if len(lungs) == 1 else None  # sides that were not told apart are one segment
        names = [one.name for one in self.segments]
        return names.index(name) + 1 if name in names else None


def measurement_report(scan: Findings, origin: Origin, drawn: Drawn, maker: Maker) -> Any:
    """The structured report of one scan; complete, never verified: no person has looked at it."""
    from highdicom.sr import Comprehensive3DSR, MeasurementReport

    content = (origin.series_uid, str(drawn.seg.SOPInstanceUID), repr(scan))
    told = MeasurementReport(
        observation_context=_observer(maker),
        procedure_reported=codes.procedure(),
        imaging_measurements=list(_groups(scan, origin, drawn, maker)),
    )
    told[0].ContentSequence.append(_evaluations(scan))
    made = Comprehensive3DSR(
        evidence=[*origin.headers, drawn.seg],
        content=told[0],
        series_instance_uid=maker.uid("SR series", *content),
        series_number=REPORT_SERIES,
        sop_instance_uid=maker.uid("SR", *content),
        instance_number=1,
        is_complete=True,
        content_qualification=RESEARCH,
        **maker.signature(),
    )
    maker.seal(made, "glasslung measurements (derived, research)")
    return made


def _observer(maker: Maker) -> Any:
    """The device that observed: this version of the program."""
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes as known

    device = DeviceObserverIdentifyingAttributes(
        uid=maker.uid("device"),
        name=f"{MAKER} {maker.version}",
        manufacturer_name=MAKER,
        model_name=MAKER,
        serial_number=f"{MAKER}-{maker.version}",
    )
    return ObservationContext(observer_device_context=ObserverContext(known.DCM.Device, device))


def _groups(scan: Findings, origin: Origin, drawn: Drawn, maker: Maker) -> Iterator[Any]:
    """Every group of measurements, from the whole to its parts."""
    write = _GroupWriter(origin, drawn, maker)
    for region in scan.regions:
        yield write.group(region.name.capitalize(), codes.lung(), region, [_volume(region.ml)])
        if region.affected is not None:
            yield write.group(OPACITY_NAME, codes.opacity(), region, _amount(region.affected))
        for kind, amount in (region.lesions or {}).items():
            lesion = Lesion[kind.upper().replace(" ", "_")]
            yield write.group(kind.capitalize(), codes.lesion(lesion), region, _amount(amount))
    if scan.severity is not None:
        yield write.severity(scan)
    if scan.diagnosis is not None:
        yield write.probability(scan.diagnosis)


def _volume(ml: float | None) -> Any:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes as known

    assert ml is not None, "geometry is measured, or there is no DICOM result"
    return Measurement(known.SCT.Volume, float(ml), codes.millilitres())


def _amount(amount: Amount) -> list[Any]:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes as known

    share = Measurement(codes.share_of_lung(), float(amount.percent), known.UCUM.Percent)
    return [_volume(amount.ml), share]


@dataclass(frozen=True, eq=False)
class _GroupWriter:
    """Writes groups of measurements of one scan, each under an identifier that stays the same."""

    origin: Origin
    drawn: Drawn
    maker: Maker

    def group(self, name: str, finding: Code, region: RegionMeasures, measured: Sequence[Any]) -> Any:
        """Figures of one finding in one region; of the whole of a segment, tied to the segment."""
        from highdicom.sr import (
            FindingSite,
            MeasurementsAndQualitativeEvaluations,
            VolumetricROIMeasurementsAndQualitativeEvaluations,
        )

        site, side = codes.site(region.name)
        number = self.drawn.number(name, region.name)
        told: dict[str, Any] = {
            "finding_type": finding,
            "finding_category": codes.anatomy() if finding == codes.lung() else codes.abnormality(),
            "finding_sites": [FindingSite(site, side)],
            "measurements": list(measured),
        }
        if number is None:
            whole = region.name == "both lungs" or name == region.name.capitalize()
            where = name if whole else f"{name}, {region.name}"
            return MeasurementsAndQualitativeEvaluations(self._tracked(where), **told)
        told["referenced_segment"] = self._segment(number)
        return VolumetricROIMeasurementsAndQualitativeEvaluations(
            self._tracked(name, self.drawn.seg.SegmentSequence[number - 1].TrackingUID),
            algorithm_id=self._algorithm(number),
            **told,
        )

    def severity(self, scan: Findings) -> Any:
        """The CT severity score, and the points of each zone, with the definition that was used."""
        from highdicom.sr import FindingSite, Measurement, MeasurementsAndQualitativeEvaluations

        score = scan.severity
        assert score is not None
        points = [Measurement(codes.severity_score(), score.points, codes.points())]
        points += [
            Measurement(
                codes.zone_points(),
                zone.points,
                codes.points(),
                finding_sites=[FindingSite(*codes.site(zone.zone))],
            )
            for zone in score.zones
        ]
        group = MeasurementsAndQualitativeEvaluations(
            self._tracked("CT severity score"),
            finding_type=codes.opacity(),
            finding_sites=[FindingSite(*codes.site("both lungs"))],
            measurements=points,
        )
        return _with_comments(group, [f"Of {score.most} points at most. {score.definition}"])

    def probability(self, told: Diagnosis) -> Any:
        """A classifier's probability, never without what stands against believing it."""
        from highdicom.sr import AlgorithmIdentification, Measurement, MeasurementsAndQualitativeEvaluations
        from pydicom.sr.codedict import codes as known

        group = MeasurementsAndQualitativeEvaluations(
            self._tracked(f"Probability of {told.finding}"),
            finding_type=codes.suspicion(told.finding),
            algorithm_id=AlgorithmIdentification(
                f"{MAKER} classifier {told.classifier}",
                self.maker.version,
                parameters=[f"weights sha256 {told.digest}", f"method {told.method}"],
                family=known.DCM.ArtificialIntelligence,
                manufacturer=MAKER,
            ),
            measurements=[Measurement(known.DCM.Probability, told.probability, known.UCUM.NoUnits)],
        )
        return _with_comments(group, caveats(told))

    def _tracked(self, name: str, uid: str | None = None) -> Any:
        from highdicom.sr import TrackingIdentifier

        return TrackingIdentifier(uid or self.maker.uid("group", self.origin.series_uid, name), name)

    def _algorithm(self, number: int) -> Any:
        from highdicom.sr import AlgorithmIdentification

        drawn = self.drawn.segments[number - 1]
        weights = [f"weights sha256 {drawn.weights}"] if drawn.weights else None
        return AlgorithmIdentification(drawn.drawn_by, self.maker.version, weights, manufacturer=MAKER)

    def _segment(self, number: int) -> Any:
        """A segment, and the slices that hold some of it."""
        from highdicom.sr import ReferencedSegment, SourceImageForSegmentation

        seg = self.drawn.seg
        sources = {
            (str(one.ReferencedSOPClassUID), str(one.ReferencedSOPInstanceUID)): one
            for frame in seg.PerFrameFunctionalGroupsSequence
            if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
            for derived in frame.DerivationImageSequence
            for one in derived.SourceImageSequence
        }
        return ReferencedSegment(
            str(seg.SOPClassUID),
            str(seg.SOPInstanceUID),
            number,
            source_images=[SourceImageForSegmentation(*key) for key in sources],
        )


def caveats(told: Diagnosis) -> list[str]:
    """What must stand beside a probability: its standing, its doubts, and what the classifier is."""
    auc, low, high = told.validation.auc
    lines = [
        f"Probability of {told.finding} by the classifier {told.classifier}; no diagnosis. {DISCLAIMER}",
        f"With {told.level:.0%} confidence it says: {told.standing_words}.",
        f"At its operating point ({told.rule}, {told.threshold:.3f}): {told.answer.value}.",
        f"AUC on {told.validation.scans} validation scans: {auc:.2f}, 95 % interval {low:.2f} to {high:.2f}.",
        *(f"To doubt it: {doubt}." for doubt in told.doubts),
    ]
    lines += [f"Trained on {told.trained_on}."] if told.trained_on else []
    return [*lines, told.limits] if told.limits else lines


def _with_comments(group: Any, lines: Sequence[str]) -> Any:
    group[0].ContentSequence.extend(_text(codes.comment(), line) for line in lines)
    return group


def _evaluations(scan: Findings) -> Any:
    """What limits every figure of the report, in sentences: TID 1500, row 10."""
    from highdicom.sr import ContainerContentItem, RelationshipTypeValues

    box = ContainerContentItem(
        name=codes.evaluations(),
        relationship_type=RelationshipTypeValues.CONTAINS,
        is_content_continuous=False,
    )
    trusted = "trusted" if scan.lung_quality.trusted else "not trusted"
    lines = [DISCLAIMER, "Made by a program; no person has verified it.", f"Lung outline: {trusted}."]
    lines += [f"Lung outline: {reason}" for reason in scan.lung_quality.reasons]
    if scan.lesion_quality is not None:
        lines.append("Lesions: " + ("trusted." if scan.lesion_quality.trusted else "not trusted."))
        lines += [f"Lesions: {reason}" for reason in scan.lesion_quality.reasons]
    if scan.origin is not None:
        lines += [f"Masks: {note}" for note in scan.origin.notes]
    lines += [f"Input, {remark.severity.value}: {remark.text}" for remark in scan.gate]
    box.ContentSequence = [_text(codes.comment(), line) for line in lines]
    return box


def _text(name: Code, value: str) -> Any:
    from highdicom.sr import RelationshipTypeValues, TextContentItem

    return TextContentItem(name=name, value=value, relationship_type=RelationshipTypeValues.CONTAINS)
