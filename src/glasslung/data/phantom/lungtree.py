"""The inside of one body's lungs: its tissue, and the arteries, veins and bronchi that reach it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import ANATOMY_STREAM, Body, Frame
from glasslung.data.phantom.thorax import LungShape, draw_lungs
from glasslung.data.phantom.vessels import Tree, beside, grow
from glasslung.types import Lobe

TISSUE_MM = 6.8  # spacing of the points that the trees reach: about the size of a small secondary lobule
BARE_MM = 3.0  # no vessel is seen in the outermost rind of a healthy lung
BRONCHUS_RADIUS_MM = 1.05  # bronchi thinner than this have walls too thin to see
# Where the branches of each lobe leave the hilum (z, y, x), in the order of Lobe 1 to 5
_AIRWAY_ROOTS = ((-26, 9, 52), (-50, 28, 45), (-9, 13, -47), (-44, 6, -48), (-50, 27, -46))
_VEIN_ROOTS = ((-40, -1, 45), (-60, 18, 47), (-36, 1, -43), (-40, -2, -43), (-62, 18, -43))


@dataclass(frozen=True, eq=False)
class LungMap:
    """A coarse map of one body's lungs, and its trees; everything in atlas mm.

    frame, where  the coarse grid and the flat indices (N,) of the tissue points in it
    points     (N, 3) z, y, x of the tissue points, all inside a lung
    lobes      (N,) label of `Lobe`
    depth_mm   (N,) below the rib cage or diaphragm
    inside_mm  (N,) below the pleura
    low, high  lowest and highest lung tissue
    arteries, veins, bronchi   the trees
    """

    frame: Frame
    where: np.ndarray
    points: np.ndarray
    lobes: np.ndarray
    depth_mm: np.ndarray
    inside_mm: np.ndarray
    low: np.ndarray
    high: np.ndarray
    arteries: Tree
    veins: Tree
    bronchi: Tree


@lru_cache(maxsize=16)
def lung_map(body: Body) -> LungMap:
    """The map of one body's lungs: 15 ms once, then remembered."""
    frame, shape = coarse_lungs(body)
    flat = np.flatnonzero(shape.inside_mm > 0)
    d, h, w = np.unravel_index(flat, shape.inside_mm.shape)
    points = np.stack([frame.z.ravel()[d], frame.y.ravel()[h], frame.x.ravel()[w]], axis=1)
    inside, lobes = shape.inside_mm.ravel()[flat], shape.lobe.ravel()[flat]
    rng = np.random.default_rng([body.seed, ANATOMY_STREAM, 1])
    airway, vein = (_tree(points, inside, lobes, roots, rng) for roots in (_AIRWAY_ROOTS, _VEIN_ROOTS))
    wide = airway.radius > BRONCHUS_RADIUS_MM / 0.62
    bronchi = Tree(*(part[wide] for part in (airway.start, airway.end, 0.62 * airway.radius, airway.points)))
    return LungMap(
        frame,
        flat,
        points,
        lobes,
        shape.depth_mm.ravel()[flat],
        inside,
        points.min(axis=0),
        points.max(axis=0),
        beside(airway, 1.45),
        vein,
        bronchi,
    )


def coarse_lungs(body: Body) -> tuple[Frame, LungShape]:
    """The lungs on a grid as coarse as the tissue points."""
    z, y, x = (
        np.arange(low, high, TISSUE_MM, dtype=np.float32)
        for low, high in ((-196, 114), (-108, 110), (-144, 144))
    )
    frame = Frame(z[:, None, None], y[None, :, None], x[None, None, :], TISSUE_MM, TISSUE_MM, TISSUE_MM)
    return frame, draw_lungs(body, frame)


def _tree(
    points: np.ndarray, inside: np.ndarray, lobes: np.ndarray, roots: tuple, rng: np.random.Generator
) -> Tree:
    """One tree to all lobes; the tissue points are moved about, so that no lattice shows."""
    kept = inside > BARE_MM
    moved = points[kept] + rng.uniform(-0.5, 0.5, (int(kept.sum()), 3)).astype(np.float32) * np.float32(
        TISSUE_MM
    )
    root = lobes[kept].astype(np.int64) - int(Lobe.LEFT_UPPER)
    return grow(moved, root, np.array(roots, np.float32), rng)
