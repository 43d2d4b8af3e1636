"""Rendering: a patient on a day, as a scan with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import Body, Frame, frame_of
from glasslung.data.phantom.disease import NEVER_DAY, Spread, ill_on, spread_of
from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.lungtree import lung_map
from glasslung.data.phantom.patient import Patient
from glasslung.data.phantom.scanner import (
    HIGHEST_HU,
    LOWEST_HU,
    Site,
    average_slices,
    noise,
    paint_table,
    scan_grid,
    sharpen,
)
from glasslung.data.phantom.shapes import occupancy
from glasslung.data.phantom.texture import field
from glasslung.data.phantom.thorax import LungShape, draw_lungs
from glasslung.data.phantom.tissue import AIR_HU, WALL_HU, draw_tissue
from glasslung.data.phantom.vessels import fill_share
from glasslung.types import Intensity, Lesion, Lung, Source, Volume

DEFAULT_SHAPE = (96, 192, 192)
REMEMBERED_VOXELS = 6_000_000  # larger anatomies are drawn slab by slab and not kept
DENSE_HU = 20.0  # what fills the air spaces of a consolidated lung
WALL_SHARE = 0.34  # a bronchus's wall against the radius of its lumen
_LOBULE, _CLOUD, _BREATH = 51, 52, 53


@dataclass(frozen=True, eq=False)
class Chest:
    """One rendered scan and its truth, all on the scan's own grid.

    volume   the scan, HU
    lungs    (D, H, W) uint8, labels of `Lung`: parenchyma with the vessels and lesions in it, without the
             windpipe and main bronchi
    lobes    (D, H, W) uint8, labels of `Lobe`: they share out exactly the voxels of `lungs`
    lesions  (D, H, W) uint8, labels of `Lesion`, inside the lungs
    day      days since the first symptom
    """

    volume: Volume
    lungs: np.ndarray
    lobes: np.ndarray
    lesions: np.ndarray
    day: float
    patient: Patient

    def lesion_ml(self) -> dict[str, float]:
        """Millilitres of each class of lesion, by its name in lower case."""
        counts = np.bincount(self.lesions.ravel(), minlength=len(Lesion))
        return {kind.name.lower(): float(counts[kind]) * self.volume.voxel_ml for kind in Lesion if kind}

    def involvement(self) -> float:
        """Share of the lungs that is lesion, 0 to 1."""
        return float(np.count_nonzero(self.lesions) / max(1, int(np.count_nonzero(self.lungs))))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What stays the same from day to day in one frame: HU = fixed + air_space * HU of the lung between
    vessels.

    fixed, air_space, base   (D, H, W) float32; base is the HU of the healthy lung between its vessels
    lungs, lobes             (D, H, W) uint8
    reached                  (D, H, W) float32, day on which the disease reaches a voxel
    """

    fixed: np.ndarray
    air_space: np.ndarray
    base: np.ndarray
    lungs: np.ndarray
    lobes: np.ndarray
    reached: np.ndarray
    frame: Frame


def render(
    patient: Patient,
    day: float,
    *,
    shape: tuple[int, int, int] | None = DEFAULT_SHAPE,
    spacing: tuple[float, float, float] | None = None,
    disease: bool = True,
    breath: float = 0.0,
    grid: Grid | None = None,
) -> Chest:
    """Scan a phantom patient on a day, with masks of lungs, lobes and lesions.

    day      days since the first symptom; any number, before the disease too
    shape    (D, H, W), default 96 x 192 x 192; None: the site's own number of slices of 192 x 192
    spacing  mm along (D, H, W); None: the site's field of view, the whole chest
    disease  False: the counterfactual, the same scan of the same person never ill
    breath   0 full inspiration, 1 full expiration
    grid     a grid of one's own instead of shape and spacing
    Anatomy is the same voxel for voxel on all days; noise follows patient and day, and is the same with and
    without the disease.
    """
    grid = grid or scan_grid(patient.body, patient.site, shape, spacing)
    ill = patient if disease else patient.without_disease()
    voxels = np.empty(grid.shape, np.int16)
    lungs, lobes, lesions = (np.zeros(grid.shape, np.uint8) for _ in range(3))
    halo = _halo(grid, patient.site)
    for rows in grid.slabs():
        wide = slice(max(0, rows.start - halo), min(grid.shape[0], rows.stop + halo))
        keep = slice(rows.start - wide.start, rows.stop - wide.start)
        hu, anatomy, lesion = _draw_slab(ill, day, grid, wide, breath)
        hu = average_slices(hu, abs(grid.step[0]), patient.site.thickness_mm)[keep]
        hu = sharpen(hu, patient.site.boost)
        hu += noise(_scan_seed(patient, day), range(rows.start, rows.stop), grid, patient.site)
        voxels[rows] = _finish(hu, grid, patient.site)
        lungs[rows], lobes[rows], lesions[rows] = anatomy.lungs[keep], anatomy.lobes[keep], lesion[keep]
    volume = Volume(voxels, grid.affine, Intensity.HU, _source(patient))
    return Chest(volume, lungs, lobes, lesions, float(day), ill)


def _draw_slab(
    patient: Patient, day: float, grid: Grid, rows: slice, breath: float
) -> tuple[np.ndarray, Anatomy, np.ndarray]:
    """HU of some slices before averaging and noise, their anatomy, and their lesion labels."""
    remember = grid.voxels <= REMEMBERED_VOXELS
    draw = _remembered_anatomy if remember else draw_anatomy
    anatomy = draw(
        patient.body, patient.disease, patient.course, patient.site, grid, (rows.start, rows.stop), breath
    )
    illness = ill_on(day, patient.course, patient.seed, anatomy.reached, anatomy.frame)
    air = anatomy.base.copy().reshape(-1)
    air[illness.where] += illness.lost * (np.float32(DENSE_HU) - air[illness.where])
    hu = anatomy.fixed + anatomy.air_space * air.reshape(anatomy.base.shape)
    lesion = np.zeros(anatomy.lungs.size, np.uint8)
    lesion[illness.where] = illness.label
    lesion = lesion.reshape(anatomy.lungs.shape) * (anatomy.lungs > 0)
    return hu, anatomy, lesion


def draw_anatomy(
    body: Body, disease: str, course: object, site: Site, grid: Grid, rows: tuple[int, int], breath: float
) -> Anatomy:
    """Everything of some slices that does not change from day to day."""
    part = grid.window(slice(*rows), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
    frame = frame_of(body, part, max(site.thickness_mm, abs(grid.step[0])), breath)
    edge = Frame(frame.z, frame.y, frame.x, frame.pixel_mm * site.blur, frame.slice_mm, frame.apart_mm)
    lungs = draw_lungs(body, frame)
    hu, _ = draw_tissue(body, edge, lungs, site.blood_hu)
    paint_table(hu, body, part, site)
    share = occupancy(-lungs.inside_mm, edge.pixel_mm)
    tubes = _tubes(body, frame, lungs)
    fixed, air_space = _fill(hu, share, tubes, site)
    inside = lungs.inside_mm > 0
    sides = np.where(lungs.right, np.uint8(Lung.RIGHT), np.uint8(Lung.LEFT)) * inside
    reached = np.full(frame.shape, NEVER_DAY, np.float32)
    if disease != "healthy":
        spread: Spread = spread_of(body, disease, course)
        reached = spread.day_reached(frame, lungs)
    return Anatomy(
        fixed, air_space, _healthy_air(body, frame, lungs), sides, lungs.lobe * inside, reached, frame
    )


_remembered_anatomy = lru_cache(maxsize=16)(draw_anatomy)


def _tubes(body: Body, frame: Frame, lungs: LungShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of each voxel taken up by vessels, by bronchi with their walls, and by bronchi's air."""
    inner = lung_map(body)
    vessels = np.minimum(fill_share(inner.arteries, frame) + fill_share(inner.veins, frame), 1)
    lumen = fill_share(inner.bronchi, frame)
    wall = np.maximum(fill_share(inner.bronchi, frame, widen_mm=0.9), lumen)
    return vessels, wall, lumen


def _fill(
    hu: np.ndarray, share: np.ndarray, tubes: tuple[np.ndarray, np.ndarray, np.ndarray], site: Site
) -> tuple[np.ndarray, np.ndarray]:
    """Put the lungs with their vessels and bronchi into the chest: the fixed part, and room for air."""
    vessels, wall, lumen = tubes
    free = 1 - wall
    solid = vessels * free * np.float32(site.blood_hu - 5) + (wall - lumen) * np.float32(WALL_HU)
    fixed = hu * (1 - share) + share * (solid + lumen * np.float32(AIR_HU + 10))
    return fixed, share * free * (1 - vessels)


def _healthy_air(body: Body, frame: Frame, lungs: LungShape) -> np.ndarray:
    """HU of the healthy lung between its vessels: denser at the back, mottled, fissures as faint sheets."""
    axes = frame.z.ravel(), frame.y.ravel(), frame.x.ravel()
    hu = np.float32(body.lung_hu) + np.float32(body.gravity_hu / 190) * (frame.y - 10)
    hu = hu + 11 * field((body.seed, _LOBULE), 4.2).on(*axes) + 9 * field((body.seed, _CLOUD), 19.0).on(*axes)
    back = np.exp(-np.maximum(lungs.depth_mm, 0) / 4) * np.clip(-lungs.turn, 0, 1)
    hu += np.float32(0.6 * body.gravity_hu) * back
    sheet = np.minimum(
        np.abs(lungs.major), np.where(lungs.right & (lungs.major > 0), np.abs(lungs.minor), 99)
    )
    width = max(1.0, 0.5 * frame.pixel_mm)
    return hu + np.float32(330 / width) * 0.6 * np.exp(-np.square(sheet / np.float32(width)))


def _halo(grid: Grid, site: Site) -> int:
    """How many neighbouring slices a slice averages over, on each side."""
    return int(np.ceil(max(0.0, site.thickness_mm / abs(grid.step[0]) - 1) / 2))


def _finish(hu: np.ndarray, grid: Grid, site: Site) -> np.ndarray:
    """Round to whole HU within the scanner's range, and cut out the reconstructed circle."""
    voxels = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
    if site.padding_hu is not None:
        _, y, x = grid.axes
        middle = (y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2
        outside = (
            np.square(y[:, None] - middle[0]) + np.square(x[None, :] - middle[1]) > (site.fov_mm / 2) ** 2
        )
        voxels[:, outside] = np.int16(site.padding_hu)
    return voxels


def _scan_seed(patient: Patient, day: float) -> tuple[int, ...]:
    """What the noise of one scan is drawn from: person, site and day, to a thousandth of a day."""
    return (
        patient.seed,
        sum(ord(c) << (8 * k) for k, c in enumerate(patient.site.name[:3])),
        round(day * 1000) + 1_000_000,
    )


def _source(patient: Patient) -> Source:
    return Source("phantom", modality="CT", body_part="CHEST", kernel=patient.site.kernel)
