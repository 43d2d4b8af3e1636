"""Dense lung: consolidation and tumour given back to the lung that they belong to.

Density cannot tell a consolidated lobe from liver or heart, so position must. Each dense voxel inside the
chest wall looks along thirteen lines through it, both ways. A line speaks for lung when it meets aerated
lung of the same side on both ends and, less, when it meets aerated lung on one and the chest wall on the
other. An enclosed tumour gets all lines, a consolidation against the ribs most, the dome of the liver or
the heart's border, which lung covers from one side only, half at most. Where the chest's halves mirror
each other the other lung has a say too.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.cage import find_cage
from glasslung.data.lungs.coarse import Coarse, coarsen, spread
from glasslung.data.lungs.mirror import certainty, mirrored
from glasslung.data.lungs.morphology import Spacing
from glasslung.data.lungs.settings import Settings
from glasslung.types import Lung

FAT_HU = (-150.0, -40.0)
RIM_MM = 5.0  # thinner than twice this along wall or heart is partial volume, pleura or extrapleural fat
LEAST_ML = 3.0  # a smaller inferred part is noise of the vote
LINES = tuple(d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0))


def recover(sides: np.ndarray, airways: np.ndarray, coarse: Coarse, settings: Settings) -> np.ndarray:
    """Dense parts that belong to a lung: labels of `Lung` on the coarse grid, 0 where nothing is added.

    sides (z, y, x) uint8, the aerated lungs with their vessels filled; airways bool.
    """
    small = coarsen(coarse.hu, coarse.spacing_mm, settings.vote_mm)

    def shrink(mask: np.ndarray) -> np.ndarray:
        return coarsen(mask.astype(np.float32), coarse.spacing_mm, settings.vote_mm).hu > 0.5

    lungs = {int(side): shrink(sides == side) for side in (Lung.RIGHT, Lung.LEFT)}
    room = ~lungs[1] & ~lungs[2] & ~shrink(airways) & _can_be_dense_lung(small, settings)
    scores = {side: _score(lungs, side, room, small, settings) for side in lungs}
    added = np.zeros(sides.shape, np.uint8)
    for side, score in scores.items():
        won = _solid((score >= settings.vote_share) & (score >= scores[3 - side]), small)
        added[_smooth_up(won, small.factors, sides.shape) & (sides == 0)] = side
    return added


def vote(lung: np.ndarray, wall: np.ndarray, spacing_mm: Spacing, settings: Settings) -> np.ndarray:
    """Share of the lines through each voxel that speak for this lung, 0 to 1, (z, y, x) float32.

    Lines that meet the wall both ways are not counted.
    """
    yes = np.zeros(lung.shape, np.float32)
    asked = np.zeros(lung.shape, np.float32)
    for line in LINES:
        lung_a, wall_a = look(lung, wall, line, spacing_mm, settings.reach_mm)
        lung_b, wall_b = look(lung, wall, tuple(-n for n in line), spacing_mm, settings.reach_mm)
        yes += lung_a & lung_b
        yes += settings.wall_weight * ((lung_a & wall_b) | (wall_a & lung_b))
        asked += ~(wall_a & wall_b)
    return yes / np.maximum(asked, 1.0)


def look(
    lung: np.ndarray, wall: np.ndarray, direction: tuple[int, ...], spacing_mm: Spacing, reach_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """What each voxel meets first in a direction: aerated lung, or the chest wall (two bool arrays)."""
    sees_lung = np.zeros(lung.shape, bool)
    sees_wall = np.zeros(lung.shape, bool)
    for offset in _steps(direction, spacing_mm, reach_mm):
        here, there = _overlap(lung.shape, offset)
        looking = ~(sees_lung[here] | sees_wall[here])
        sees_wall[here] |= looking & wall[there] & ~lung[there]
        sees_lung[here] |= looking & lung[there]
    return sees_lung, sees_wall


def _steps(direction: tuple[int, ...], spacing_mm: Spacing, reach_mm: float) -> list[tuple[int, ...]]:
    """Voxel offsets along a direction in the patient, nearest first."""
    step_mm = min(spacing_mm[1:])
    unit = np.array(direction) / np.linalg.norm(direction)
    n = np.arange(1, int(reach_mm / step_mm) + 1)[:, None]
    offsets = np.rint(unit * n * step_mm / np.array(spacing_mm)).astype(int)
    return [o for o in dict.fromkeys(tuple(row) for row in offsets.tolist()) if any(o)]


def _overlap(shape: tuple[int, ...], offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a grid and its copy moved by `offset` overlap: slices of the voxels, and of what they see."""
    here, there = [], []
    for size, step in zip(shape, offset, strict=True):
        o = max(-size, min(size, step))
        here.append(slice(max(0, -o), min(size, size - o)))
        there.append(slice(max(0, o), min(size, size + o)))
    return tuple(here), tuple(there)


def _score(
    lungs: dict[int, np.ndarray], side: int, room: np.ndarray, small: Coarse, settings: Settings
) -> np.ndarray:
    if not lungs[side].any():
        return np.zeros(room.shape, np.float32)
    ghost = mirrored(lungs, side, small.spacing_mm)
    cage = find_cage(lungs[side] | ghost, lungs[1] | lungs[2], small.hu, small.spacing_mm, settings)
    score = vote(lungs[side], cage.wall, small.spacing_mm, settings)
    score += settings.mirror_weight * certainty(ghost, small.spacing_mm, settings)
    return np.where(room & cage.inside, score, 0.0).astype(np.float32)


def _can_be_dense_lung(small: Coarse, settings: Settings) -> np.ndarray:
    """Neither bone nor a sheet of fat: dense lung lies between."""
    fat = (small.hu > FAT_HU[0]) & (small.hu < FAT_HU[1])
    sheet = ndimage.uniform_filter(fat.astype(np.float32), size=3) > 0.6
    return np.asarray((small.hu < settings.rib_hu) & ~sheet)


def _solid(won: np.ndarray, small: Coarse) -> np.ndarray:
    """Drops rims and crumbs: what stays is thick."""
    thick = mm.open_(won, RIM_MM, small.spacing_mm)
    labels, sizes = mm.pieces(won & mm.dilate(thick, RIM_MM, small.spacing_mm))
    return (sizes * small.voxel_ml >= LEAST_ML)[labels]


def _smooth_up(mask: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    """A mask on the vote's grid, its staircase smoothed, on the coarse grid."""
    if not mask.any():
        return np.zeros(shape, bool)
    d, h, w = shape
    soft = ndimage.gaussian_filter(
        spread(mask.astype(np.float32), factors, (d, h, w)), [0.6 * (f - 1) for f in factors]
    )
    return np.asarray(soft > 0.5)
