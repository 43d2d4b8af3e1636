"""Dense lung: consolidation and tumour given back to the lung that they belong to.

Density cannot tell a consolidated lobe from liver or heart, so position must. Each dense voxel inside the
chest wall looks along thirteen lines through it, both ways. A line speaks for lung when it meets aerated
lung of the same side on both ends and, less, when it meets aerated lung on one and the chest wall on the
other. An enclosed tumour gets all lines, a consolidation against the ribs most, the dome of the liver or
the heart's border, which lung covers from one side only, half at most. Where the chest's halves mirror
each other the other lung has a say too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.cage import find_cage
from glasslung.data.lungs.coarse import Coarse, coarsen, spread
from glasslung.data.lungs.mirror import Mirrored, mirror_lung
from glasslung.data.lungs.morphology import Spacing
from glasslung.data.lungs.settings import Settings
from glasslung.types import Lung

FAT_HU = (-150.0, -40.0)
RIM_MM = 5.0  # thinner than twice this along wall or heart is partial volume, pleura or extrapleural fat
LEAST_ML = 3.0  # a smaller inferred part is noise of the vote
TUBE_HU = -250.0  # a bronchus of 3 mm, averaged with its wall
TUBE_HALF_MM = 3.0
TUBE_MOST_ML = 5.0
TUBE_SHARE = 0.05  # of a vote voxel
NOTHING, LUNG, WALL = np.uint8(0), np.uint8(1), np.uint8(2)  # what a look meets first
LINES = tuple(d for d in product((-1, 0, 1), repeat=3) if d > (0, 0, 0))


@dataclass(frozen=True, eq=False)
class Recovered:
    """Dense parts on the coarse grid.

    added           (z, y, x) uint8 labels of `Lung`: dense tissue given back to a lung, 0 elsewhere
    unexplained_ml  dense tissue where the other lung says lung should be, and that was not given back
    """

    added: np.ndarray
    unexplained_ml: float


def recover(
    sides: np.ndarray, air: np.ndarray, airways: np.ndarray, coarse: Coarse, settings: Settings
) -> Recovered:
    """Dense parts that belong to a lung.

    sides (z, y, x) uint8, the aerated lungs with their vessels filled; air bool, all that is darker than
    TUBE_HU in the body but the airways; airways bool, windpipe and main bronchi.
    """
    small = coarsen(coarse.hu, coarse.spacing_mm, settings.vote_mm)

    def shrink(mask: np.ndarray, share: float = 0.5) -> np.ndarray:
        return coarsen(mask.astype(np.float32), coarse.spacing_mm, settings.vote_mm).hu > share

    lungs = {int(side): shrink(sides == side) for side in (Lung.RIGHT, Lung.LEFT)}
    room = ~lungs[1] & ~lungs[2] & ~shrink(airways) & _can_be_dense_lung(small, settings)
    bronchi = room & shrink(_bronchi_in_dense(air, coarse), TUBE_SHARE)
    mirrors = {side: mirror_lung(lungs, side, bronchi, small.spacing_mm, settings) for side in lungs}
    found = {side: lung.copy() for side, lung in lungs.items()}
    for _ in range(settings.vote_rounds):
        scores = {side: _score(found, side, room, mirrors[side], small, settings) for side in lungs}
        for side in lungs:
            won = (scores[side] >= settings.vote_share) & (scores[side] >= scores[3 - side])
            found[side] |= _solid(won, small)
    added = np.zeros(sides.shape, np.uint8)
    for side in lungs:
        given = _smooth_up(found[side] & ~lungs[side], small.factors, sides.shape)
        added[given & (sides == 0)] = side
    left_out = room & ~found[1] & ~found[2] & (mirrors[1].deep | mirrors[2].deep)
    return Recovered(added, float(np.count_nonzero(left_out)) * small.voxel_ml)


def vote(
    lung: np.ndarray, wall: np.ndarray, asked: np.ndarray, spacing_mm: Spacing, settings: Settings
) -> np.ndarray:
    """Share of the lines through each asked voxel that speak for this lung, 0 to 1, (z, y, x) float32.

    asked  (z, y, x) bool: the others are not looked at and get 0
    Lines that meet the wall both ways are not counted.
    """
    field = Field.of(lung, wall, asked, spacing_mm, settings.reach_mm)
    yes = np.zeros(field.places.shape, np.float32)
    counted = np.zeros(field.places.shape, np.float32)
    for line in LINES:
        ahead, behind = field.look(line), field.look(tuple(-n for n in line))
        lung_a, lung_b, wall_a, wall_b = ahead == LUNG, behind == LUNG, ahead == WALL, behind == WALL
        yes += lung_a & lung_b
        yes += settings.wall_weight * ((lung_a & wall_b) | (wall_a & lung_b))
        counted += ~(wall_a & wall_b)
    shares = np.zeros(lung.shape, np.float32)
    shares[asked] = yes / np.maximum(counted, 1.0)
    return shares


@dataclass(frozen=True, eq=False)
class Field:
    """What can be met around the asked voxels, laid out so that a step in any direction is one addition.

    met     flat uint8: NOTHING, LUNG or WALL, with an empty margin as wide as anybody looks
    shape   of the grid with its margin
    places  flat index of each asked voxel
    """

    met: np.ndarray
    shape: tuple[int, ...]
    places: np.ndarray
    spacing_mm: Spacing
    reach_mm: float

    @classmethod
    def of(
        cls, lung: np.ndarray, wall: np.ndarray, asked: np.ndarray, spacing_mm: Spacing, reach_mm: float
    ) -> Field:
        """Lay out a grid: lung, wall and asked (z, y, x) bool."""
        margin = [int(reach_mm / mm_) + 1 for mm_ in spacing_mm]
        met = np.pad(np.where(lung, LUNG, np.where(wall, WALL, NOTHING)), [(m, m) for m in margin])
        inner = [index + m for index, m in zip(np.nonzero(asked), margin, strict=True)]
        places = np.ravel_multi_index(inner, met.shape)
        return cls(met.ravel(), met.shape, places, spacing_mm, reach_mm)

    def look(self, direction: tuple[int, ...]) -> np.ndarray:
        """What each asked voxel meets first in a direction: NOTHING, LUNG or WALL, (N,) uint8."""
        seen = np.zeros(self.places.shape, np.uint8)
        looking = np.arange(len(seen))
        _, rows, columns = self.shape
        for z, y, x in _steps(direction, self.spacing_mm, self.reach_mm):
            found = self.met[self.places[looking] + (z * rows + y) * columns + x]
            seen[looking] = found
            looking = looking[found == NOTHING]
        return seen


def _steps(direction: tuple[int, ...], spacing_mm: Spacing, reach_mm: float) -> list[tuple[int, ...]]:
    """Voxel offsets along a direction in the patient, nearest first."""
    step_mm = min(spacing_mm[1:])
    unit = np.array(direction) / np.linalg.norm(direction)
    n = np.arange(1, int(reach_mm / step_mm) + 1)[:, None]
    offsets = np.rint(unit * n * step_mm / np.array(spacing_mm)).astype(int)
    return [o for o in dict.fromkeys(tuple(row) for row in offsets.tolist()) if any(o)]


def _score(
    found: dict[int, np.ndarray],
    side: int,
    room: np.ndarray,
    mirror: Mirrored,
    small: Coarse,
    settings: Settings,
) -> np.ndarray:
    """The vote plus what the other lung adds; 0 where there is no room for dense lung of this side."""
    if not found[side].any():
        return np.zeros(room.shape, np.float32)
    cage = find_cage(found[side] | mirror.ghost, found[1] | found[2], small.hu, small.spacing_mm, settings)
    asked = room & cage.inside
    score = vote(found[side], cage.wall, asked, small.spacing_mm, settings)
    score += settings.mirror_weight * mirror.says
    return np.where(asked, score, 0.0).astype(np.float32)


def _bronchi_in_dense(air: np.ndarray, coarse: Coarse) -> np.ndarray:
    """Thin air tubes in dense tissue: small pieces of air that are not as thick as bowel gas."""
    labels, sizes = mm.pieces(air)
    small = (sizes * coarse.voxel_ml < TUBE_MOST_ML)[labels]
    thick = mm.erode(air, TUBE_HALF_MM, coarse.spacing_mm)
    return air & small & ~mm.dilate(thick, 2 * TUBE_HALF_MM, coarse.spacing_mm)


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
