"""One scan from voxels to a finished folder: masks, measures, pictures, findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from glasslung.analyze.masks import GivenPaths, ScanMasks, Segmenters, make_masks
from glasslung.types import Findings, Intensity, Lesion, Progress, Remark, Volume

# Share of one scan's time, so that the bar moves evenly (benchmarks/analyze_stages.py measures it).
SHARES = {"lungs": 0.38, "lesions": 0.17, "opacities": 0.25, "measures": 0.05, "pictures": 0.05, "masks": 0.1}


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


def examine(
    volume: Volume,
    gate: tuple[Remark, ...],
    file: str,
    given: GivenPaths,
    labels: Mapping[int, Lesion],
    segmenters: Segmenters,
    work: Path,
    stages: Stages,
) -> Findings:
    """Everything about one scan, its files written into `work`; RefusedError where no lung is found.

    gate  what the input gate said of it;  file  its name, for that error
    """
    from glasslung.data.gate import inspect_lungs, most_serious_first, refuse
    from glasslung.data.preview import make_preview, write_preview
    from glasslung.measure.opacity import opacities
    from glasslung.measure.regions import measure_scan

    made = make_masks(volume, given, labels, segmenters, stages.go_on)
    lungs = made.lungs
    gate = most_serious_first((*gate, *inspect_lungs(volume, lungs)))
    refuse(gate, file)
    stages.begin("opacities")
    dense = opacities(volume, lungs) if volume.intensity is Intensity.HU else None
    stages.begin("measures")
    regions, severity, involvement = measure_scan(volume, lungs, dense, made.lobes, made.lesions)
    both = regions[0]
    stages.begin("pictures")
    drawn = None if made.lesions is None else made.lesions.mask
    write_preview(make_preview(volume, lungs, dense, drawn), work / "preview.npz")
    stages.begin("masks")
    files = write_masks(made, volume, work)
    if dense is not None:
        from glasslung.data.formats import write_mask

        write_mask(dense, volume, work / "opacities.nii.gz")
        files["opacities"] = "opacities.nii.gz"
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
        lesion_quality=made.lesion_quality(both.all_lesions, both.affected),
        origin=made.origin,
    )


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
