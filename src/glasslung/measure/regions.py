"""All measures of one scan, region by region."""

from __future__ import annotations

import numpy as np

from glasslung.errors import ShapeError
from glasslung.measure.density import BANDS, band_counts
from glasslung.measure.severity import severity_score
from glasslung.measure.zones import Regions, label_counts, lobe_regions, regions_of
from glasslung.types import Amount, Lungs, RegionMeasures, SeverityScore, Volume


def measure_scan(
    volume: Volume, lungs: Lungs, opacities: np.ndarray | None, lobes: np.ndarray | None = None
) -> tuple[tuple[RegionMeasures, ...], SeverityScore | None, float | None]:
    """What the scan holds in each region of the lungs, its severity score, and its involvement in per cent.

    opacities (D, H, W) labels of `Lesion`, any of them counts as affected; None: not measured, and then
    neither severity nor involvement is. lobes (D, H, W) labels of `Lobe`, if known: adds the lobes as regions
    (for a score by lobes give their per cents to `severity_score`).

    Involvement is the volume of the affected tissue over the total lung volume, as a per cent: the definition
    of Díaz Berenguer et al., Explainable-by-design Semi-Supervised Representation Learning for COVID-19
    Diagnosis from CT Imaging (section on data), there with a learned segmentation. ml are None where the
    spacing is assumed. Without a lung voxel there are no regions.
    """
    for name, mask in (("lung mask", lungs.mask), ("opacity mask", opacities), ("lobe mask", lobes)):
        if mask is not None and mask.shape != volume.shape:
            raise ShapeError(f"the {name} is {mask.shape}, the scan {volume.shape}; they must share one grid")
    regions = regions_of(volume, lungs)
    measured = _measure(volume, regions, opacities)
    if lobes is not None:
        measured += _measure(volume, lobe_regions(np.where(lungs.mask > 0, lobes, 0)), opacities)
    percents = {region.name: region.affected.percent for region in measured if region.affected is not None}
    return measured, severity_score(percents), percents.get("both lungs")


def _measure(volume: Volume, regions: Regions, opacities: np.ndarray | None) -> tuple[RegionMeasures, ...]:
    """The measures of every region of one label volume, in one pass over the scan."""
    voxels = label_counts(regions.labels)
    most = len(voxels) - 1
    bands = band_counts(volume, regions.labels, most)
    affected = None
    if opacities is not None:
        affected = label_counts(regions.labels[opacities > 0], most)
    return tuple(
        _region(volume, name, list(labels), voxels, bands, affected)
        for name, labels in regions.members.items()
    )


def _region(
    volume: Volume,
    name: str,
    labels: list[int],
    voxels: np.ndarray,
    bands: np.ndarray | None,
    affected: np.ndarray | None,
) -> RegionMeasures:
    """One region's measures from the counts of its labels."""
    labels = [label for label in labels if label < len(voxels)]
    total = int(voxels[labels].sum())

    def amount(count: int) -> Amount:
        return Amount(count * volume.voxel_ml if volume.has_ml else None, 100.0 * count / total)

    return RegionMeasures(
        name=name,
        ml=total * volume.voxel_ml if volume.has_ml else None,
        voxels=total,
        bands=None
        if bands is None
        else {band.name: amount(int(bands[labels, n].sum())) for n, band in enumerate(BANDS)},
        affected=None if affected is None else amount(int(affected[labels].sum())),
    )
