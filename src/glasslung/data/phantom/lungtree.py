"""The inside of one body's lungs: its tissue, and the arteries, veins and bronchi that reach it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import ANATOMY_STREAM, Body, Frame, warped
from glasslung.data.phantom.thorax import LungShape, draw_lungs
from glasslung.data.phantom.vessels import Tree, beside, grow
from glasslung.types import Lobe

TISSUE_MM = 6.8  # spacing of the points that the trees reach: about the size of a small secondary lobule
BARE_MM = 3.0  # no vessel is seen in the outermost rind of a healthy lung
BRONCHUS_RADIUS_MM = 1.05  # bronchi thinner than this have walls too thin to see
BRONCHUS_SHARE = 0.62  # radius of a bronchus's lumen against the artery beside it
# Where the branches of each lobe leave the hilum (z, y, x), in the order of Lobe 1 to 5
_AIRWAY_ROOTS = ((-26, 9, 52), (-50, 28, 45), (-9, 13, -47), (-44, 6, -48), (-50, 27, -46))
_VEIN_ROOTS = ((-40, -1, 45), (-60, 18, 47), (-36, 1, -43), (-40, -2, -43), (-62, 18, -43))


@dataclass(frozen=True, eq=False)
class LungMap:
    """A coarse map of one body's lungs; everything in atlas mm.

    frame, where  the coarse grid and the flat indices (N,) of the tissue points in it
    points     (N, 3) z, y, x of the tissue points, all inside a lung
    lobes      (N,) label of `Lobe`
    depth_mm   (N,) below the rib cage or diaphragm
    inside_mm  (N,) below the pleura
    """

    frame: Frame
    where: np.ndarray
    points: np.ndarray
    lobes: np.ndarray
    depth_mm: np.ndarray
    inside_mm: np.ndarray


@dataclass(frozen=True, eq=False)
class Trees:
    """Arteries, veins and bronchi (lumen) of one body's lungs."""

    arteries: Tree
    veins: Tree
    bronchi: Tree


@lru_cache(maxsize=16)
def lung_map(body: Body) -> LungMap:
    """The map of one body's lungs, made once and remembered."""
    frame, shape = coarse_lungs(body)
    flat = np.flatnonzero(shape.inside_mm > 0)
    d, h, w = np.unravel_index(flat, shape.inside_mm.shape)
    points = np.stack([frame.z.ravel()[d], frame.y.ravel()[h], frame.x.ravel()[w]], axis=1)
    fields = (part.ravel()[flat] for part in (shape.lobe, shape.depth_mm, shape.inside_mm))
    return LungMap(frame, flat, points, *fields)


@lru_cache(maxsize=4)
def lung_trees(body: Body, band: tuple[float, float] | None = None) -> Trees:
    """The trees of one body's lungs; given a band of heights (atlas mm), those that may come into it."""
    airway, vein = (_tree(body, roots, side, band) for side, roots in enumerate((_AIRWAY_ROOTS, _VEIN_ROOTS)))
    wide = airway.radius > BRONCHUS_RADIUS_MM / BRONCHUS_SHARE
    parts = airway.start, airway.end, BRONCHUS_SHARE * airway.radius, airway.points
    return Trees(beside(airway, 1.45), vein, Tree(*(part[wide] for part in parts)))


def coarse_lungs(body: Body) -> tuple[Frame, LungShape]:
    """The lungs on a grid as coarse as the tissue points."""
    z, y, x = (
        np.arange(low, high, TISSUE_MM, dtype=np.float32)
        for low, high in ((-216, 114), (-108, 110), (-144, 144))
    )
    frame = Frame(z[:, None, None], y[None, :, None], x[None, None, :], TISSUE_MM, TISSUE_MM, TISSUE_MM)
    return frame, draw_lungs(body, frame)


def _tree(body: Body, roots: tuple, which: int, band: tuple[float, float] | None) -> Tree:
    """One tree to all lobes; the tissue points are moved about, so that no lattice shows."""
    lungs = lung_map(body)
    kept = lungs.inside_mm > BARE_MM
    rng = np.random.default_rng([body.seed, ANATOMY_STREAM, 10 + which])
    shift = (rng.random((int(kept.sum()), 3), dtype=np.float32) - np.float32(0.5)) * np.float32(TISSUE_MM)
    root = lungs.lobes[kept].astype(np.int64) - int(Lobe.LEFT_UPPER)
    at = np.array([warped(body, place) for place in roots], np.float32)
    return grow(lungs.points[kept] + shift, root, at, 2 * body.seed + which, band)
