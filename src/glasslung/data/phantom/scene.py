"""One view of a patient: anatomy drawn once, then the state of the disease on any day laid into it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import Body, Frame, frame_of
from glasslung.data.phantom.disease import ill_on, spread_of
from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.lungtree import lung_trees
from glasslung.data.phantom.patient import Patient
from glasslung.data.phantom.scanner import Site, paint_table
from glasslung.data.phantom.shapes import occupancy
from glasslung.data.phantom.texture import field
from glasslung.data.phantom.thorax import LungShape, draw_lungs
from glasslung.data.phantom.tissue import AIR_HU, MUSCLE_HU, WALL_HU, draw_tissue
from glasslung.data.phantom.vessels import fill_share
from glasslung.types import Lung

REMEMBERED_SLABS = 12  # two volumes of the default shape: about 200 MB
PLEURA_MM = 2.0  # disease is drawn this far beyond the border, which fades across a voxel
REMEMBERED_VOXELS = 6_000_000  # larger grids are drawn slab by slab and not kept: they would fill the memory
DENSE_HU = 20.0  # what fills the air spaces of a consolidated lung
_LOBULE, _CLOUD = 51, 52


@dataclass(frozen=True)
class View:
    """How a body is looked at: grid, scanner, breath, and whether all is drawn or the lungs alone.

    breath  0 full inspiration, 1 full expiration
    all     False leaves bones and organs away and puts plain soft tissue around the lungs: twice as fast
    """

    grid: Grid
    site: Site
    breath: float = 0.0
    all: bool = True

    @property
    def halo(self) -> int:
        """How many neighbouring slices a slice averages over, on each side."""
        extra = self.site.thickness_mm / abs(self.grid.step[0]) - 1
        return int(np.ceil(max(0.0, extra) / 2))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What stays the same from day to day: HU = fixed + air_space * HU of the lung between its vessels.

    fixed, air_space, base   (D, H, W) float32; base is the HU of the healthy lung between its vessels
    lungs, lobes             (D, H, W) uint8
    tissue                   (D, H, W) uint8, lobes, a little beyond the lungs, for voxels at the border
    depth_mm                 (D, H, W) float32, below the rib cage or diaphragm
    frame                    the grid in the atlas
    """

    fixed: np.ndarray
    air_space: np.ndarray
    base: np.ndarray
    lungs: np.ndarray
    lobes: np.ndarray
    tissue: np.ndarray
    depth_mm: np.ndarray
    frame: Frame


def draw_slices(
    patient: Patient, day: float, view: View, rows: slice
) -> tuple[np.ndarray, np.ndarray, Anatomy]:
    """HU of some slices before averaging and noise, their lesion labels, and their anatomy."""
    remember = view.grid.voxels <= REMEMBERED_VOXELS
    part = rows.start, rows.stop
    anatomy = _kept_anatomy(patient.body, view, part) if remember else draw_anatomy(patient.body, view, part)
    lesion = np.zeros(anatomy.lungs.size, np.uint8)
    if patient.disease == "healthy":
        return anatomy.fixed + anatomy.air_space * anatomy.base, lesion.reshape(anatomy.lungs.shape), anatomy
    reached, fullness = _kept_reach(patient, view, part) if remember else _reach(patient, anatomy)
    illness = ill_on(day, patient.course, patient.seed, reached, fullness, anatomy.frame)
    air = anatomy.base.copy().reshape(-1)
    air[illness.where] += illness.lost * (np.float32(DENSE_HU) - air[illness.where])
    hu = anatomy.fixed + anatomy.air_space * air.reshape(anatomy.base.shape)
    lesion[illness.where] = illness.label
    return hu, lesion.reshape(anatomy.lungs.shape) * (anatomy.lungs > 0), anatomy


def draw_anatomy(body: Body, view: View, rows: tuple[int, int]) -> Anatomy:
    """Everything of some slices that does not change from day to day."""
    grid, site = view.grid, view.site
    part = grid.window(slice(*rows), slice(0, grid.shape[1]), slice(0, grid.shape[2]))
    frame = frame_of(body, part, max(site.thickness_mm, abs(grid.step[0])), view.breath)
    lungs = draw_lungs(body, frame)
    blurred = Frame(frame.z, frame.y, frame.x, frame.pixel_mm * site.blur, frame.slice_mm, frame.apart_mm)
    if view.all:
        hu = draw_tissue(body, blurred, lungs, site.blood_hu)
        paint_table(hu, body, part, site)
    else:
        hu = np.full(frame.shape, MUSCLE_HU, np.float32)
    share = occupancy(-lungs.inside_mm, blurred.pixel_mm)
    fixed, air_space = _fill(hu, share, _tubes(body, frame), site)
    inside = lungs.inside_mm > 0
    sides = np.where(lungs.right, np.uint8(Lung.RIGHT), np.uint8(Lung.LEFT)) * inside
    base = _healthy_air(body, frame, lungs)
    near = lungs.inside_mm > -PLEURA_MM
    return Anatomy(
        fixed, air_space, base, sides, lungs.lobe * inside, lungs.lobe * near, lungs.depth_mm, frame
    )


_kept_anatomy = lru_cache(maxsize=REMEMBERED_SLABS)(draw_anatomy)


def _reach(patient: Patient, anatomy: Anatomy) -> tuple[np.ndarray, np.ndarray]:
    """When and how fully the patient's disease reaches each point."""
    spread = spread_of(patient.body, patient.disease, patient.course)
    return spread.reach(anatomy.frame, anatomy.tissue, anatomy.depth_mm)


@lru_cache(maxsize=REMEMBERED_SLABS)
def _kept_reach(patient: Patient, view: View, rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return _reach(patient, _kept_anatomy(patient.body, view, rows))


def _tubes(body: Body, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of each voxel taken up by vessels, by bronchi with their walls, and by bronchi's air."""
    band = (float(frame.z.min()), float(frame.z.max())) if frame.z.size == 1 else None
    inner = lung_trees(body, band)  # a single slice needs few branches; a volume is drawn from one whole tree
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
    hu = hu + 15 * field((body.seed, _LOBULE), 3.4).on(*axes) + 9 * field((body.seed, _CLOUD), 19.0).on(*axes)
    back = np.exp(-np.maximum(lungs.depth_mm, 0) / 4) * np.clip(-lungs.turn, 0, 1)
    hu += np.float32(0.6 * body.gravity_hu) * back
    sheet = np.minimum(
        np.abs(lungs.major), np.where(lungs.right & (lungs.major > 0), np.abs(lungs.minor), 99)
    )
    width = max(1.0, 0.5 * frame.pixel_mm)
    return hu + np.float32(115 / width) * np.exp(-np.square(sheet / np.float32(width)))
