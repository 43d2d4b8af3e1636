"""Vessel and airway trees that fill the lungs: grown by halving, drawn as what they take up of each voxel.

Growing: a branch runs part of the way to the middle of the tissue it must reach; there it forks, and each
fork takes one half of that tissue, until a branch reaches one point (the volume-filling way of Tawhai,
Pullan and Hunter, Ann Biomed Eng 2000, level by level for all branches at once). A branch is as thick as the
cube root of the tissue it feeds (Murray's law).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.phantom.anatomy import Frame

LAST_RADIUS_MM = 0.42  # radius of a vessel that feeds one point of tissue
FIRST_STRETCH = 0.46  # share of the way to the middle of its tissue that a branch runs


@dataclass(frozen=True, eq=False)
class Tree:
    """Straight pieces of vessel.

    start, end  (N, 3) float32, (z, y, x) atlas mm
    radius      (N,) float32 mm
    points      (N,) int: how many points of tissue each piece feeds
    """

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray
    points: np.ndarray

    def near(self, frame: Frame, margin: float) -> Tree:
        """The pieces that come near a frame."""
        kept = np.ones(len(self.radius), bool)
        for axis, line in enumerate((frame.z, frame.y, frame.x)):
            low, high = float(line.min()) - margin, float(line.max()) + margin
            ends = self.start[:, axis], self.end[:, axis]
            kept &= (np.maximum(*ends) > low) & (np.minimum(*ends) < high)
        return Tree(self.start[kept], self.end[kept], self.radius[kept], self.points[kept])


def grow(tissue: np.ndarray, root: np.ndarray, roots: np.ndarray, rng: np.random.Generator) -> Tree:
    """A tree from several roots that reaches every point of the tissue.

    tissue (N, 3) points to reach; root (N,) which root feeds each; roots (R, 3) where the roots stand. All
    mm.
    """
    node, start = root.astype(np.int64), roots.astype(np.float32)
    points = tissue.astype(np.float32)
    heading = np.zeros_like(start)
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while len(points):
        node, start, heading, count, middle = _gather(node, points, start, heading)
        way = middle - start
        stretch = np.where(count == 1, np.float32(0.92), np.float32(FIRST_STRETCH))[:, None]
        end = start + stretch * way
        wobble = rng.standard_normal(end.shape, dtype=np.float32)
        end += wobble * (0.05 * np.linalg.norm(way, axis=1, keepdims=True))
        pieces.append((start, end, count))
        alive = count[node] > 1
        node, points = node[alive], points[alive]
        if len(points) == 0:
            break
        side = _halve(node, points, middle, end - start, rng)
        heading = np.repeat(end - start, 2, axis=0)
        start, node = np.repeat(end, 2, axis=0), 2 * node + side
    first, last, fed = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Tree(first, last, (LAST_RADIUS_MM * np.cbrt(fed)).astype(np.float32), fed)


def _gather(
    node: np.ndarray, points: np.ndarray, start: np.ndarray, heading: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Drop branches without tissue, renumber the rest; count and middle of each one's tissue."""
    count = np.bincount(node, minlength=len(start))
    used = count > 0
    renumber = np.cumsum(used) - 1
    node, count = renumber[node], count[used]
    sums = [np.bincount(node, weights=points[:, axis], minlength=len(count)) for axis in range(3)]
    middle = (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)
    return node, start[used], heading[used], count, middle


def _halve(
    node: np.ndarray, points: np.ndarray, middle: np.ndarray, way: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Which half of its branch's tissue each point belongs to: cut across its longest side."""
    rel = points - middle[node]
    along = way / (np.linalg.norm(way, axis=1, keepdims=True) + np.float32(1e-6))
    rel -= np.sum(rel * along[node], axis=1, keepdims=True) * along[node] * np.float32(0.8)
    axis = rng.standard_normal(middle.shape, dtype=np.float32)
    for _ in range(3):  # power iteration: the longest direction of each branch's tissue
        reach = np.sum(rel * axis[node], axis=1)
        sums = [np.bincount(node, weights=reach * rel[:, k], minlength=len(axis)) for k in range(3)]
        axis = np.stack(sums, axis=1).astype(np.float32)
        axis /= np.linalg.norm(axis, axis=1, keepdims=True) + np.float32(1e-6)
    side = np.sum(rel * axis[node], axis=1) > 0
    return side.astype(np.int64)


def beside(tree: Tree, away: float) -> Tree:
    """The same tree moved aside by a multiple of each branch's radius: the artery beside its bronchus."""
    push = np.array([0.35, -0.55, 0.75], np.float32) * np.float32(away)
    outward = np.sign(tree.end[:, 2:3])
    shift = np.concatenate(
        [np.full_like(outward, push[0]), np.full_like(outward, push[1]), push[2] * outward], axis=1
    )
    parent = np.cbrt(2 * tree.points).astype(np.float32) * LAST_RADIUS_MM
    return Tree(
        tree.start + shift * parent[:, None],
        tree.end + shift * tree.radius[:, None],
        tree.radius,
        tree.points,
    )


def fill_share(tree: Tree, frame: Frame, widen_mm: float = 0.0) -> np.ndarray:
    """Share of each voxel that the tree takes up, (D, H, W) float32 in 0 to 1.

    Each piece is cut into beads (and thick ones into strands) no larger than about half a voxel; a bead's
    volume is shared among the eight voxels around it. So a vessel thinner than a voxel is as faint as in a
    real scan.
    """
    near = tree.near(frame, 8.0 + frame.slice_mm)
    shape = frame.shape
    if len(near.radius) == 0:
        return np.zeros(shape, np.float32)
    step = (frame.apart_mm, frame.pixel_mm, frame.pixel_mm)
    beads, volume = _beads(near, widen_mm, 0.55 * frame.pixel_mm, 0.5 * min(step))
    share = np.zeros((shape[0] + 2) * (shape[1] + 2) * (shape[2] + 2))
    place = [
        _index_of(beads[:, axis], line.ravel(), step[axis])
        for axis, line in enumerate((frame.z, frame.y, frame.x))
    ]
    kept = np.ones(len(beads), bool)
    for where, n in zip(place, shape, strict=True):
        kept &= (where > 0) & (where < n + 1)
    whole = [np.floor(where[kept]).astype(np.int64) for where in place]
    part = [where[kept] - cell for where, cell in zip(place, whole, strict=True)]
    volume = volume[kept] / np.float32(step[0] * step[1] * step[2])
    rows, columns = shape[1] + 2, shape[2] + 2
    for dz in (0, 1):
        wz = (part[0] if dz else 1 - part[0]) * volume
        for dy in (0, 1):
            wy = wz * (part[1] if dy else 1 - part[1])
            line = ((whole[0] + dz) * rows + whole[1] + dy) * columns + whole[2]
            share += np.bincount(line, weights=wy * (1 - part[2]), minlength=share.size)
            share += np.bincount(line + 1, weights=wy * part[2], minlength=share.size)
    full = share.reshape(shape[0] + 2, rows, columns)[1:-1, 1:-1, 1:-1]
    return np.minimum(full, 1.0).astype(np.float32)


def _index_of(where: np.ndarray, line: np.ndarray, step: float) -> np.ndarray:
    """Position along an axis in voxels, the first voxel being 1; 0 and n + 1 are just outside."""
    if line.size == 1:
        return np.clip((where - line[0]) / np.float32(step) + 1, 0, 2)
    sign = np.float32(1 if line[-1] > line[0] else -1)
    outer = np.concatenate([[2 * line[0] - line[1]], line, [2 * line[-1] - line[-2]]]) * sign
    if np.ptp(np.diff(outer)) < 1e-3 * step:
        place = (where * sign - outer[0]) / np.float32((outer[-1] - outer[0]) / (line.size + 1))
        return np.clip(place, 0, line.size + 1)
    return np.interp(where * sign, outer, np.arange(line.size + 2)).astype(np.float32)


def _beads(tree: Tree, widen_mm: float, strand_mm: float, step_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Beads along every strand of every piece: positions (N, 3) and volumes (N,) mm3."""
    along = tree.end - tree.start
    length = np.linalg.norm(along, axis=1) + np.float32(1e-3)
    radius = tree.radius + np.float32(widen_mm)
    strands = np.maximum(1, np.ceil(np.pi * np.square(radius / strand_mm))).astype(np.int64)
    cuts = np.maximum(1, np.ceil(length / step_mm)).astype(np.int64)
    total = strands * cuts
    piece = np.repeat(np.arange(len(radius)), total)
    order = np.arange(len(piece)) - np.repeat(np.cumsum(total) - total, total)
    strand, cut = np.divmod(order, cuts[piece])
    t = ((cut + 0.5) / cuts[piece]).astype(np.float32)
    volume = (np.pi * np.square(radius) * length / total).astype(np.float32)[piece]
    beads = tree.start[piece] + t[:, None] * along[piece]
    thick = strands[piece] > 1
    if thick.any():
        beads[thick] += _sunflower(along, length, radius, strands, piece[thick], strand[thick])
    return beads, volume


def _sunflower(
    along: np.ndarray,
    length: np.ndarray,
    radius: np.ndarray,
    strands: np.ndarray,
    piece: np.ndarray,
    strand: np.ndarray,
) -> np.ndarray:
    """Where the strands of thick pieces lie across them: evenly, in a sunflower's order."""
    forward = along / length[:, None]
    helper = np.where(
        np.abs(forward[:, :1]) < 0.8, np.array([[1, 0, 0]], np.float32), np.array([[0, 1, 0]], np.float32)
    )
    first = np.cross(forward, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(forward, first)
    out = radius[piece] * np.sqrt((strand + 0.5) / strands[piece])
    angle = strand * np.float32(2.399963)
    a, b = (out * np.cos(angle)).astype(np.float32), (out * np.sin(angle)).astype(np.float32)
    return a[:, None] * first[piece] + b[:, None] * second[piece]
