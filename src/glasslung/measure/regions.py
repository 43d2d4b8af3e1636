"""All measures of one scan, region by region."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from glasslung.errors import ShapeError
from glasslung.measure.density import BANDS, band_counts
from glasslung.measure.severity import severity_score
from glasslung.measure.zones import Regions, label_counts, lobe_regions, regions_of
from glasslung.types import Amount, Lesion, Lungs, RegionMeasures, SeverityScore, Volume


class LesionMask(NamedTuple):
    """Lesions (D, H, W) uint8, labels of `Lesion`, and the kinds that this mask can tell apart."""

    mask: np.ndarray
    kinds: tuple[Lesion, ...]


def measure_scan(
    volume: Volume,
    lungs: Lungs,
    opacities: np.ndarray | None,
    lobes: np.ndarray | None = None,
    lesions: LesionMask | None = None,
) -> tuple[tuple[RegionMeasures, ...], SeverityScore | None, float | None]:
    """What the scan holds in each region of the lungs, its severity score, and its involvement in per cent.

    opacities (D, H, W) labels of `Lesion`, any of them counts as affected; None: not measured, and then
    neither severity nor involvement is. lobes (D, H, W) labels of `Lobe`, if known: adds the lobes as regions
    (for a score by lobes give their per cents to `severity_score`). lesions: a mask of a network or one made
    elsewhere; severity and involvement stay those of the opacities.

    Involvement is the volume of the affected tissue over the total lung volume, as a per cent: the definition
    of Díaz Berenguer et al., Explainable-by-design Semi-Supervised Representation Learning for COVID-19
    Diagnosis from CT Imaging (section on data), there with a learned segmentation. ml are None where the
    spacing is assumed. Without a lung voxel there are no regions.
    """
    drawn = None if lesions is None else lesions.mask
    given = {"lung mask": lungs.mask, "opacity mask": opacities, "lobe mask": lobes, "lesion mask": drawn}
    for name, mask in given.items():
        if mask is not None and mask.shape != volume.shape:
            raise ShapeError(f"the {name} is {mask.shape}, the scan {volume.shape}; they must share one grid")
    regions = regions_of(volume, lungs)
    measured = _measure(volume, regions, opacities, lesions)
    if lobes is not None:
        measured += _measure(volume, lobe_regions(np.where(lungs.mask > 0, lobes, 0)), opacities, lesions)
    percents = {region.name: region.affected.percent for region in measured if region.affected is not None}
    return measured, severity_score(percents), percents.get("both lungs")


def _measure(
    volume: Volume, regions: Regions, opacities: np.ndarray | None, lesions: LesionMask | None
) -> tuple[RegionMeasures, ...]:
    """The measures of every region of one label volume, in one pass over the scan."""
    voxels = label_counts(regions.labels)
    most = len(voxels) - 1
    bands = band_counts(volume, regions.labels, most)
    affected = None
    if opacities is not None:
        affected = label_counts(regions.labels[opacities > 0], most)
    kinds = None if lesions is None else _kind_counts(regions.labels, lesions, most)
    return tuple(
        _region(volume, name, list(labels), Counts(voxels, bands, affected, kinds))
        for name, labels in regions.members.items()
    )


def _kind_counts(labels: np.ndarray, lesions: LesionMask, most: int) -> dict[str, np.ndarray]:
    """Voxels of each kind of lesion by label, (most + 1,) each."""
    found = lesions.mask > 0
    where, what = labels[found], lesions.mask[found]
    return {kind.words: label_counts(where[what == kind], most) for kind in lesions.kinds}


class Counts(NamedTuple):
    """Voxels by label, (labels,) each; of the bands (labels, bands)."""

    voxels: np.ndarray
    bands: np.ndarray | None
    affected: np.ndarray | None
    kinds: dict[str, np.ndarray] | None


def _region(volume: Volume, name: str, labels: list[int], counts: Counts) -> RegionMeasures:
    """One region's measures from the counts of its labels."""
    voxels, bands, affected, kinds = counts
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
        lesions=None
        if kinds is None
        else {kind: amount(int(count[labels].sum())) for kind, count in kinds.items()},
    )
