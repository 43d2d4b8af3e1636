"""`glasslung diagnose`: one scan, one answer, and how far to believe it.

diagnosis.json    the answer with all that it rests on
relevance.nii.gz  where in the scan the classifier found its reasons, on the scan's own grid
overlay.png       the slices with most of them, plain and with the map laid over
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glasslung.analyze.diagnosing import NOBODY_WANTED, Classifiers, Told, diagnose_scan
from glasslung.analyze.masks import GivenPaths, ScanMasks, Segmenters, check_given, make_masks
from glasslung.errors import UsageError
from glasslung.files import replace_folder, whole_folder, write_json, write_whole
from glasslung.types import (
    DISCLAIMER,
    Diagnosis,
    Intensity,
    Lesion,
    MaskQuality,
    Progress,
    Remark,
    Volume,
)

if TYPE_CHECKING:
    from glasslung.predict.diagnosing import Classifier

RECORD, OVERLAY = "diagnosis.json", "overlay.png"
FORMAT = "glasslung-diagnosis/1"
OURS = {RECORD, OVERLAY, "relevance.nii.gz"}
# Share of the time, so that the bar moves evenly (benchmarks/diagnosis_stages.py measures it).
SHARES = {"reading": 0.06, "lungs": 0.2, "lesions": 0.28, "diagnosis": 0.16, "reasons": 0.22, "writing": 0.08}


@dataclass(frozen=True)
class AskSettings:
    """What a user may choose.

    classifier  a run's folder, a shipped name, or '' for what ships for the scan's grey values
    segmenter   who draws the lesions, likewise, or 'none'
    given       masks made elsewhere; labels: what the numbers of given lesions mean, {} for those of `Lesion`
    explain     whether it is asked for its reasons too
    series, intensity  as for `analyze`
    """

    classifier: str = ""
    segmenter: str = ""
    given: GivenPaths = field(default_factory=GivenPaths)
    labels: Mapping[int, Lesion] = field(default_factory=dict)
    explain: bool = True
    series: str | None = None
    intensity: Intensity | None = None


def ask(
    scan: Path,
    out: Path | None = None,
    settings: AskSettings = AskSettings(),
    progress: Progress | None = None,
) -> Diagnosis:
    """What a classifier says of one scan, written into `out` where that is given.

    UsageError for a wrong option, an `out` in use, or where nobody can be asked; DataError for a scan that
    cannot be read, RefusedError where the gate will not let it through.
    """
    tell = _steps(progress)
    asked = (Segmenters(settings.segmenter), Classifiers(settings.classifier, settings.explain))
    _check(scan, out, settings)
    for networks in asked:
        networks.check()
    tell("reading", 0.0)
    volume, made, gate, classifier = _seen(scan, settings, asked, tell)
    told = diagnose_scan(volume, made, classifier, settings.explain, (gate, _quality(made, volume)), tell)
    if out is None:
        return told.diagnosis
    tell("writing", 0.0)
    return _write(told, volume, made, out)


def _check(scan: Path, out: Path | None, settings: AskSettings) -> None:
    if not scan.exists():
        raise UsageError(
            f"{scan} does not exist: give a DICOM folder, a NIfTI, NRRD or MHA file, pictures or a zip"
        )
    for flag, path in (("--lungs", settings.given.lungs), ("--lesions", settings.given.lesions)):
        if path is not None and not path.exists():
            raise UsageError(f"{flag} {path} does not exist: give the mask's file")
    if settings.labels and settings.given.lesions is None:
        raise UsageError("--lesion-labels says what the numbers of a mask mean; give it: --lesions FILE")
    if out is None:
        return
    if scan.is_dir() and out.resolve().is_relative_to(scan.resolve()):
        raise UsageError(f"--out {out} lies inside the scan {scan}: choose a folder outside it")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: choose a folder")
    if out.is_dir() and {path.name for path in out.iterdir()} - OURS:
        raise UsageError(f"--out {out} holds other files: choose an empty or a new folder")


def _seen(
    scan: Path, settings: AskSettings, asked: tuple[Segmenters, Classifiers], tell: Progress
) -> tuple[Volume, ScanMasks, tuple[Remark, ...], Classifier]:
    """The scan through the gate, its masks, what the gate says of both, and who is asked."""
    from glasslung.data.formats import read_scan
    from glasslung.data.gate import inspect, inspect_lungs, most_serious_first, refuse

    volume = read_scan(scan, series=settings.series, intensity=settings.intensity)
    gate = inspect(volume)
    refuse(gate, scan.name)
    check_given(volume, settings.given, settings.labels)
    segmenters, classifiers = asked
    drawn = settings.given.lesions is not None or segmenters.fitting(volume.intensity) is not None
    classifier = classifiers.fitting(volume.intensity, drawn)
    if isinstance(classifier, str):
        remedy = "" if classifier == NOBODY_WANTED else ": name a run by --classifier"
        raise UsageError(f"{classifier}{remedy}")
    made = make_masks(volume, settings.given, settings.labels, segmenters, tell)
    gate = most_serious_first((*gate, *inspect_lungs(volume, made.lungs)))
    refuse(gate, scan.name)
    return volume, made, gate, classifier


def _quality(made: ScanMasks, volume: Volume) -> MaskQuality | None:
    """How far to trust the lesions, without opacity by density beside them: that would take a minute."""
    from glasslung.measure.regions import measure_scan

    regions, _, _ = measure_scan(volume, made.lungs, None, made.lobes, made.lesions)
    return made.lesion_quality(regions[0].all_lesions, None) if regions else None


def _write(told: Told, volume: Volume, made: ScanMasks, out: Path) -> Diagnosis:
    """All files in one folder, which replaces that of an earlier answer."""
    from glasslung.analyze.examining import write_reasons
    from glasslung.data.story import as_json

    part = out.with_name(f".{out.name}.new")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed at the last moment
    with whole_folder(part) as work:
        found = write_reasons(told, volume, work)
        if (heat := told.heat()) is not None:
            write_whole(work / OVERLAY, _overlay(heat, told.diagnosis.finding, volume, made))
        record = {
            "format": FORMAT,
            "scan sha256": volume.source.sha256,
            "intensity": volume.intensity.value,
            "lungs trusted": made.lungs.quality.trusted,
            "lungs by": made.origin.lungs,
            "lesions by": made.origin.network or made.origin.lesions,
            "diagnosis": as_json(found),
            "disclaimer": DISCLAIMER,
        }
        write_json(work / RECORD, record)
    replace_folder(part, out)
    return found


def _overlay(heat: np.ndarray, finding: str, volume: Volume, made: ScanMasks) -> bytes:
    """The slices with most relevance, plain and with the map, as a PNG."""
    from glasslung.data.heatsheet import heat_sheet
    from glasslung.data.preview import make_preview

    lesions = None if made.lesions is None else made.lesions.mask
    return heat_sheet(make_preview(volume, made.lungs, None, lesions, heat), finding)


def _steps(progress: Progress | None) -> Progress:
    """Stages as shares of the whole."""
    if progress is None:
        return lambda what, done: None
    order = list(SHARES)

    def tell(stage: str, share: float) -> None:
        before = sum(SHARES[done] for done in order[: order.index(stage)])
        progress(stage, before + SHARES[stage] * share)

    return tell
