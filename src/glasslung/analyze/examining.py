"""One scan from voxels to a finished folder: masks, measures, diagnosis, pictures, findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from glasslung.analyze.diagnosing import Classifiers, Told, diagnose_scan
from glasslung.analyze.masks import GivenPaths, ScanMasks, Segmenters, make_masks
from glasslung.types import Diagnosis, Findings, Intensity, Lesion, MaskQuality, Progress, Remark, Volume

# Share of one scan's time, so that the bar moves evenly (benchmarks/analyze_stages.py measures it, and
# benchmarks/diagnosis_stages.py that of diagnosis and reasons).
SHARES = {
    "lungs": 0.28,
    "lesions": 0.14,
    "opacities": 0.18,
    "measures": 0.04,
    "diagnosis": 0.1,
    "reasons": 0.14,
    "pictures": 0.04,
    "masks": 0.08,
}
RELEVANCE = "relevance.nii.gz"


class Stages:
    """Tells a scan's stages to a progress bar, each with its share of the time."""

    def __init__(self, scan: str, tell: Progress) -> None:
        self.scan, self.tell = scan, tell
        self.begun: list[str] = []

    def begin(self, stage: str) -> None:
        """The next stage begins; one that has begun already goes on."""
        if stage not in self.begun:
            self.tell(f"{self.scan}: {stage}", sum(SHARES[done] for done in self.begun))
            self.begun.append(stage)

    def go_on(self, stage: str, share: float) -> None:
        """So much of a stage is done."""
        self.begin(stage)
        before = sum(SHARES[done] for done in self.begun[:-1])
        self.tell(f"{self.scan}: {stage}", before + SHARES[stage] * share)


class Asked(NamedTuple):
    """The networks that are asked about a scan: for its lesions, and which disease it is."""

    segmenters: Segmenters
    classifiers: Classifiers


def examine(
    volume: Volume,
    gate: tuple[Remark, ...],
    file: str,
    given: GivenPaths,
    labels: Mapping[int, Lesion],
    asked: Asked,
    work: Path,
    stages: Stages,
) -> Findings:
    """Everything about one scan, its files written into `work`; RefusedError where no lung is found.

    gate  what the input gate said of it;  file  its name, for that error
    """
    from glasslung.data.gate import inspect_lungs, most_serious_first, refuse
    from glasslung.measure.opacity import opacities
    from glasslung.measure.regions import measure_scan

    made = make_masks(volume, given, labels, asked.segmenters, stages.go_on)
    lungs = made.lungs
    gate = most_serious_first((*gate, *inspect_lungs(volume, lungs)))
    refuse(gate, file)
    stages.begin("opacities")
    dense = opacities(volume, lungs) if volume.intensity is Intensity.HU else None
    stages.begin("measures")
    regions, severity, involvement = measure_scan(volume, lungs, dense, made.lobes, made.lesions)
    quality = made.lesion_quality(regions[0].all_lesions, regions[0].affected)
    told, unasked = _diagnosed(volume, made, asked.classifiers, (gate, quality), stages)
    files, diagnosis = _write_all(volume, made, dense, told, work, stages)
    return Findings(
        scan=stages.scan,
        day=None,
        kind=volume.source.kind,
        sha256=volume.source.sha256,
        intensity=volume.intensity,
        geometry=volume.geometry,
        shape=volume.shape,
        spacing_mm=volume.spacing_mm,
        gate=gate,
        lung_quality=lungs.quality,
        regions=regions,
        severity=severity,
        involvement=involvement,
        masks=files,
        lesion_quality=quality,
        origin=made.origin,
        diagnosis=diagnosis,
        unasked=unasked,
    )


def _diagnosed(
    volume: Volume,
    made: ScanMasks,
    classifiers: Classifiers,
    about: tuple[tuple[Remark, ...], MaskQuality | None],
    stages: Stages,
) -> tuple[Told | None, str]:
    """What a classifier says of the scan, or why none was asked."""
    classifier = classifiers.fitting(volume.intensity, made.lesions is not None)
    if isinstance(classifier, str):
        return None, classifier
    return diagnose_scan(volume, made, classifier, classifiers.explain, about, stages.go_on), ""


def _write_all(
    volume: Volume, made: ScanMasks, dense: np.ndarray | None, told: Told | None, work: Path, stages: Stages
) -> tuple[dict[str, str], Diagnosis | None]:
    """Pictures, masks and maps into the scan's folder: name -> file, and the diagnosis that knows its map."""
    from glasslung.data.preview import make_preview
    from glasslung.data.previewfile import write_preview

    stages.begin("pictures")
    drawn = None if made.lesions is None else made.lesions.mask
    heat = None if told is None else told.heat()
    write_preview(make_preview(volume, made.lungs, dense, drawn, heat), work / "preview.npz")
    stages.begin("masks")
    files = write_masks(made, volume, work)
    if dense is not None:
        from glasslung.data.formats import write_mask

        write_mask(dense, volume, work / "opacities.nii.gz")
        files["opacities"] = "opacities.nii.gz"
    if told is None:
        return files, None
    return files, write_reasons(told, volume, work)


def write_reasons(told: Told, volume: Volume, folder: Path) -> Diagnosis:
    """The map of relevance, where there is one, into the folder; the diagnosis with that file's name."""
    found = told.diagnosis
    if told.reasons is None:
        return found
    from glasslung.explain.heatmaps import write_relevance

    write_relevance(told.reasons.relevance, volume, folder / RELEVANCE)
    return replace(found, explanation=replace(told.reasons.told, map=RELEVANCE))


def write_masks(made: ScanMasks, volume: Volume, folder: Path) -> dict[str, str]:
    """lungs.nii.gz, and lesions.nii.gz and infection.nii.gz where they are known; name -> file."""
    from glasslung.data.formats import write_map, write_mask

    drawn = {"lungs": made.lungs.mask}
    if made.lesions is not None:
        drawn["lesions"] = made.lesions.mask
    for what, mask in drawn.items():
        write_mask(mask, volume, folder / f"{what}.nii.gz")
    files = {what: f"{what}.nii.gz" for what in drawn}
    if made.infection is not None:
        from glasslung.predict.masks import STEPS

        write_map(made.infection, volume, folder / "infection.nii.gz", STEPS)
        files["infection"] = "infection.nii.gz"
    return files
