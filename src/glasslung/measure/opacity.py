"""Affected tissue by density and shape: ground glass and consolidation, vessels and airway walls taken out.

A first measure, by thresholds and geometry alone; a learned segmentation is to replace it. How it sees:

1. The scan is averaged to voxels of about 1.5 mm, which calms noise.
2. Healthy parenchyma is found as the peak of the lung's histogram, with its spread from the emptier half of
   the peak (disease sits in the other half), and a slow rise from front to back (weight of blood and tissue:
   dependent density). What is clearly denser is suspicious.
3. Thick vessels go first: dense tissue slimmer than 12 mm in healthy surroundings, with its blurred rim.
4. Suspicious tissue counts where a ball of 7 mm fits into it: vessels, walls and the blurred rim of the lung
   are thinner. It grows back to its own border; a part that is nowhere 10 mm thick, or is smaller than
   0.2 ml, is dropped.

What it cannot do: tell disease from atelectasis, tumour or scar (all are dense); see lesions that are nowhere
10 mm thick; separate a central vessel of 12 mm or more, if the lung mask holds it, from consolidation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.orientation import from_upright, orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import DataError, ShapeError
from glasslung.types import Intensity, Lesion, Lungs, Volume

Spacing = tuple[float, ...]
THICK_VOXEL_MM = 2.5  # a voxel this thick at the lung's edge is half chest wall or liver
SURROUNDINGS_MM = 15.0  # what a vessel runs through
HEALTHY_AROUND = (
    0.5  # less than this share of the surroundings suspicious: a vessel, not the core of a lesion
)


@dataclass(frozen=True)
class Settings:
    """What counts as opacity."""

    grid_mm: float = 1.5  # two to three voxels across the thinnest lesion that is looked for
    over_healthy_sd: float = (
        3.0  # this many spreads above healthy lung: 1 voxel in 700 by chance, before shape
    )
    over_healthy_hu: float = 100.0  # and at least this much: below it ground glass cannot be told from breath
    ground_glass_hu: tuple[float, float] = (-780.0, -550.0)  # where the threshold may lie, whatever the lung
    consolidation_hu: float = -300.0  # as the bands have it
    nodule_mm: float = 2.1  # radius: consolidation thinner than 4 mm is a vessel or a wall in ground glass
    dependent_hu: float = 80.0  # how much denser the back may be than the whole, by weight alone
    ball_mm: float = 3.5  # radius: peripheral vessels and walls, blurred, are thinner than 7 mm
    seed_mm: float = 5.0  # radius: each part must somewhere be this thick; branching vessels seldom are
    grow: float = 1.5  # in radii of the ball: how far from its core a lesion reaches
    vessel_mm: float = 6.0  # radius: central vessels inside a lung mask are thinner than 12 mm
    vessel_rim_mm: float = 2.0  # a vessel's edge is blurred over about a voxel and a half
    least_ml: float = 0.2  # a lesion of 7 mm; smaller ones are mostly branching vessels


@dataclass(frozen=True)
class Healthy:
    """The healthy parenchyma of one scan: its most common density and the spread around it, HU."""

    level_hu: float
    sd_hu: float


def opacities(volume: Volume, lungs: Lungs, settings: Settings | None = None) -> np.ndarray:
    """Where the lung is abnormally dense: (D, H, W) uint8 labels of `Lesion` on the scan's own grid.

    1 ground glass, 2 consolidation, 0 elsewhere and outside the lungs. What it misses: see above.
    DataError for 8-bit input: it has no densities, and none are invented.
    """
    if volume.intensity is not Intensity.HU:
        raise DataError(
            "affected tissue is measured by density, and 8-bit grey values have none; give the scan in HU"
        )
    if lungs.mask.shape != volume.shape:
        raise ShapeError(
            f"the lung mask is {lungs.mask.shape}, the scan {volume.shape}; give the scan's own mask"
        )
    settings = settings or Settings()
    orientation = orientation_of(volume)
    mask = to_upright(lungs.mask, orientation) > 0
    found = np.zeros(mask.shape, np.uint8)
    if mask.any():
        spacing_mm = upright_spacing_mm(volume, orientation)
        factors = tuple(max(1, round(settings.grid_mm / mm)) for mm in spacing_mm)
        box = box_around(mask, margin=factors)
        hu = to_upright(volume.voxels, orientation)[box]
        found[box] = _in_box(hu, mask[box], spacing_mm, factors, settings)
    return np.ascontiguousarray(from_upright(found, orientation))


def box_around(mask: np.ndarray, margin: tuple[int, ...]) -> tuple[slice, ...]:
    """The bounding box of a mask and so many voxels more on each side, as far as the array goes."""
    tight = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, side.start - more), min(size, side.stop + more))
        for side, more, size in zip(tight, margin, mask.shape, strict=True)
    )


def _in_box(
    hu: np.ndarray, lung: np.ndarray, spacing_mm: Spacing, factors: tuple[int, ...], settings: Settings
) -> np.ndarray:
    """Labels of `Lesion` in the lungs' bounding box, upright."""
    coarse_lung = block_mean(lung, factors) >= 0.5
    if not coarse_lung.any():
        return np.zeros(lung.shape, np.uint8)
    coarse_hu = block_mean(np.clip(hu, -1024, 200), factors, weight=lung)
    coarse_mm = tuple(mm * factor for mm, factor in zip(spacing_mm, factors, strict=True))
    healthy = healthy_parenchyma(coarse_hu[coarse_lung])
    threshold_hu = _threshold(coarse_hu, coarse_lung, healthy, settings)
    affected = _shaped(coarse_hu, coarse_lung, threshold_hu, coarse_mm, settings)
    dense = affected & opened(coarse_hu > settings.consolidation_hu, coarse_mm, settings.nodule_mm)
    labels = np.where(dense, Lesion.CONSOLIDATION, np.where(affected, Lesion.GROUND_GLASS, Lesion.NONE))
    return np.where(lung, expand(labels.astype(np.uint8), factors, lung.shape), 0).astype(np.uint8)


def healthy_parenchyma(lung_hu: np.ndarray) -> Healthy:
    """The healthy lung of this scan: the peak of its voxels' histogram, (N,) HU, and the spread below.

    The spread is that of a normal curve fitted to the emptier half, as disease only adds to the denser one
    (the idea of Berta et al., Phys Med 2021;82:28-39). Looked for where aerated lung can be, -950 to -600 HU,
    so that a lung that is mostly consolidated is still measured against air-filled tissue.
    """
    histogram = np.bincount(np.clip(lung_hu + 1024, 0, 1223).astype(np.intp), minlength=1224).astype(float)
    smooth = ndimage.gaussian_filter1d(histogram, 10.0)
    peak = int(np.argmax(smooth[74:425])) + 74
    below = peak - 1024 - lung_hu[lung_hu < peak - 1024]
    sd = float(np.median(below)) / 0.6745 if below.size else 0.0
    return Healthy(float(peak - 1024), min(max(sd, 10.0), 60.0))


def _threshold(hu: np.ndarray, lung: np.ndarray, healthy: Healthy, settings: Settings) -> np.ndarray:
    """Above which density each row (front to back) is suspicious, (1, Y, 1) HU."""
    base = healthy.level_hu + max(settings.over_healthy_sd * healthy.sd_hu, settings.over_healthy_hu)
    rise = np.clip(dependent_rise(hu, lung, healthy), 0.0, settings.dependent_hu)
    return np.clip(base + rise, *settings.ground_glass_hu)[None, :, None].astype(np.float32)


def dependent_rise(hu: np.ndarray, lung: np.ndarray, healthy: Healthy) -> np.ndarray:
    """How much denser healthy lung is in each row than in the whole lung, HU, (Y,): a line front to back.

    Fitted to the rows' medians of the voxels that can be healthy, so a patch of disease at the back does not
    pass for weight.
    """
    can_be = lung & (hu > healthy.level_hu - 3 * healthy.sd_hu) & (hu < healthy.level_hu + 120.0)
    counts = can_be.sum(axis=(0, 2))
    rows = np.flatnonzero(counts >= max(30, 0.1 * counts.max()))
    if len(rows) < 5:
        return np.zeros(hu.shape[1])
    medians = np.array([np.median(hu[:, row][can_be[:, row]]) for row in rows])
    slope, start = np.polyfit(rows, medians, 1, w=np.sqrt(counts[rows]))
    return start + slope * np.arange(hu.shape[1]) - healthy.level_hu


def _shaped(
    hu: np.ndarray, lung: np.ndarray, threshold_hu: np.ndarray, mm: Spacing, settings: Settings
) -> np.ndarray:
    """The suspicious tissue that is thick enough, with vessels out and grown back to its border."""
    suspicious = lung & (hu > threshold_hu)
    evidence = suspicious & _inside(lung, mm) & ~_vessels(hu, lung, suspicious, mm, settings)
    ball_mm = max(settings.ball_mm, 1.01 * sorted(mm)[1])  # on coarse scans at least three voxels across
    if evidence.all():  # no border to measure a depth from
        return evidence
    depth_mm = ndimage.distance_transform_edt(evidence, sampling=mm)
    core = depth_mm > ball_mm
    if not core.any():
        return core
    # back to the border that the ball left, and half as far again for the rim that was no evidence
    grown = suspicious & (ndimage.distance_transform_edt(~core, sampling=mm) <= settings.grow * ball_mm)
    labels, count = ndimage.label(grown)
    ml = np.bincount(labels.ravel(), minlength=count + 1) * (np.prod(mm) / 1000.0)
    thick = depth_mm > max(settings.seed_mm, ball_mm)
    keep = (ml >= settings.least_ml) & np.isin(np.arange(count + 1), labels[thick])
    keep[0] = False
    return keep[labels]


def _inside(lung: np.ndarray, mm: Spacing) -> np.ndarray:
    """The lung without its outermost voxel along axes of thick voxels: pleura and diaphragm blur in."""
    inside = lung.copy()
    for axis, step_mm in enumerate(mm):
        if step_mm >= THICK_VOXEL_MM:
            line = np.ones([3 if n == axis else 1 for n in range(3)], bool)
            inside &= ndimage.binary_erosion(lung, line, border_value=1)
    return inside


def _vessels(
    hu: np.ndarray, lung: np.ndarray, suspicious: np.ndarray, mm: Spacing, settings: Settings
) -> np.ndarray:
    """Slim dense tissue in healthy surroundings, with its blurred rim: vessels too thick for the ball."""
    dense = lung & (hu > settings.consolidation_hu)
    slim = dense & ~opened(dense, mm, max(settings.vessel_mm, 1.01 * sorted(mm)[1]))
    if not slim.any():
        return slim
    around = lung & ~widened(dense, mm, settings.vessel_rim_mm)
    size = [max(3, round(SURROUNDINGS_MM / step)) for step in mm]
    near = ndimage.uniform_filter(around.astype(np.float32), size, mode="constant")
    ill = ndimage.uniform_filter((around & suspicious).astype(np.float32), size, mode="constant")
    vessel = slim & (ill < HEALTHY_AROUND * near)
    return widened(vessel, mm, settings.vessel_rim_mm)


def opened(mask: np.ndarray, mm: Spacing, radius_mm: float) -> np.ndarray:
    """The part of a mask that a ball of this radius can reach from inside (a morphological opening).

    The mask is taken to go on beyond the edge of the array: where a scan ends, nobody knows what follows.
    """
    if not mask.any():
        return mask.copy()
    if mask.all():
        return mask.copy()
    eroded = ndimage.distance_transform_edt(mask, sampling=mm) > radius_mm
    if not eroded.any():
        return eroded
    return mask & (ndimage.distance_transform_edt(~eroded, sampling=mm) <= radius_mm)


def widened(mask: np.ndarray, mm: Spacing, radius_mm: float) -> np.ndarray:
    """All voxels within a short distance of a mask (a dilation by a ball, for a few voxels at most)."""
    reach = [int(radius_mm / step) for step in mm]
    lines = [np.arange(-n, n + 1) * step for n, step in zip(reach, mm, strict=True)]
    apart_mm = np.linalg.norm(np.meshgrid(*lines, indexing="ij"), axis=0)
    return ndimage.binary_dilation(mask, apart_mm <= radius_mm)


def block_mean(values: np.ndarray, factors: tuple[int, ...], weight: np.ndarray | None = None) -> np.ndarray:
    """Means of blocks of `factors` voxels, float32; ragged blocks at the end count what they have.

    weight (bool, like values): only those voxels count; a block without any is -1024.
    """
    counted = np.ones(values.shape, bool) if weight is None else weight
    total = _block_sum(np.where(counted, values, 0).astype(np.float32), factors)
    count = _block_sum(counted.astype(np.float32), factors)
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(-1024.0))


def _block_sum(values: np.ndarray, factors: tuple[int, ...]) -> np.ndarray:
    """Sums of blocks: the first, second, ... voxels of all blocks are added; a missing one counts 0."""
    for axis, factor in enumerate(factors):
        lines = np.moveaxis(values, axis, 0)
        total = lines[::factor].copy()
        for offset in range(1, factor):
            part = lines[offset::factor]
            total[: len(part)] += part
        values = np.moveaxis(total, 0, axis)
    return values


def expand(labels: np.ndarray, factors: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Blocks back to voxels: each voxel gets its block's label."""
    for axis, factor in enumerate(factors):
        labels = np.repeat(labels, factor, axis)
    return labels[tuple(slice(size) for size in shape)]
