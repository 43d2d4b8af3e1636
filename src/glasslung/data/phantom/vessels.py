"""Vessel and airway trees that fill the lungs: grown by halving, drawn as what they take up of each voxel.

Growing: a branch runs part of the way to the middle of the tissue it must reach; there it forks, and each
fork takes one half of that tissue, until a branch reaches one point (the volume-filling way of Tawhai,
Pullan and Hunter, Ann Biomed Eng 2000, level by level for all branches at once). A branch's radius
grows with a power of the tissue that it feeds: the cube root would be Murray's law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.phantom.anatomy import Frame

LAST_RADIUS_MM = 0.34  # radius of a vessel that feeds one point of tissue
TAPER = 0.30  # a little less than Murray's third: with a third, the segmental arteries come out too thick
TURN_SLOWLY = 0.35  # how much a branch keeps its parent's heading
BAND_MARGIN_MM = 12.0  # how far a branch may stray beyond its tissue
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


def grow(
    tissue: np.ndarray,
    root: np.ndarray,
    roots: np.ndarray,
    seed: int,
    band: tuple[float, float] | None = None,
) -> Tree:
    """A tree from several roots that reaches every point of the tissue.

    tissue  (N, 3) points to reach, mm; root (N,) which root feeds each; roots (R, 3) where the roots stand
    seed    chance follows a branch's place in the tree, so what is left out changes nothing elsewhere
    band    (low, high): only the branches that may come between these heights are grown
    """
    points = np.ascontiguousarray(tissue.T, np.float32)  # (3, N): one row per axis, for speed
    node, name = root.astype(np.int64), np.arange(len(roots)) + 1  # a name is a path through the tree
    start = np.ascontiguousarray(roots.T, np.float32)
    heading = np.zeros_like(start)
    pieces: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    while points.shape[1]:
        count = np.bincount(node, minlength=len(name))
        used = count > 0
        if band is not None and len(name) > 16:
            used &= _may_reach(node, points[0], start[0], band)
        if not used.all():
            kept = used[node]
            node, points = (np.cumsum(used) - 1)[node[kept]], points[:, kept]
            start, heading, name, count = start[:, used], heading[:, used], name[used], count[used]
        if not len(count):
            break
        some = slice(None, None, max(1, min(8, len(node) // (64 * len(name)))))  # of plenty, a part will do
        tissue_of, part = node[some], np.ascontiguousarray(points[:, some])
        middle = _middle(tissue_of, part, start)
        end = _branch_end(start, heading, middle, count, name, seed)
        pieces.append((start, end, count))
        heading = end - start
        cut, offset = _cut(tissue_of, part, middle, heading, _chance(name, seed + 7))
        if (count == 1).any():
            alive = count[node] > 1
            node, points = node[alive], points[:, alive]
        node = 2 * node + (_dot(points, cut[:, node]) > offset[node])
        start, heading, name = (np.repeat(part, 2, axis=-1) for part in (end, heading, 2 * name))
        name[1::2] += 1
    if not pieces:
        return Tree(
            np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), np.zeros(0, np.float32), np.zeros(0)
        )
    first, last, fed = (np.concatenate(parts, axis=-1) for parts in zip(*pieces, strict=True))
    radius = (LAST_RADIUS_MM * np.power(fed, TAPER)).astype(np.float32)
    return Tree(np.ascontiguousarray(first.T), np.ascontiguousarray(last.T), radius, fed)


def _may_reach(
    node: np.ndarray, height: np.ndarray, start: np.ndarray, band: tuple[float, float]
) -> np.ndarray:
    """Which branches may come into a band of heights: their tissue and start are not all on one side."""
    low, high = band[0] - BAND_MARGIN_MM, band[1] + BAND_MARGIN_MM
    not_below = np.bincount(node, weights=height > low, minlength=len(start)) + (start > low)
    not_above = np.bincount(node, weights=height < high, minlength=len(start)) + (start < high)
    return (not_below > 0) & (not_above > 0)


def _sums(node: np.ndarray, points: np.ndarray, n: int) -> np.ndarray:
    """Sum of the columns of (3, N) that belong to each of n branches -> (3, n) float32."""
    return np.stack([np.bincount(node, weights=row, minlength=n) for row in points]).astype(np.float32)


def _middle(node: np.ndarray, points: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Middle of each branch's tissue, (3, n); where none of it was looked at, the branch's start."""
    count = np.bincount(node, minlength=start.shape[1]).astype(np.float32)
    return np.where(count > 0, _sums(node, points, start.shape[1]) / np.maximum(count, 1), start)


def _chance(name: np.ndarray, seed: int) -> np.ndarray:
    """(3, n) numbers from -1 to 1 that follow from each branch's name alone (splitmix64)."""
    with np.errstate(over="ignore"):
        x = name.astype(np.uint64)[None] * np.uint64(3) + np.arange(3, dtype=np.uint64)[:, None]
        x = (x + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - 1).astype(np.float32)


def _branch_end(
    start: np.ndarray, heading: np.ndarray, middle: np.ndarray, count: np.ndarray, name: np.ndarray, seed: int
) -> np.ndarray:
    """Where each branch ends: part of the way to the middle of its tissue, not turning too sharply."""
    way = middle - start
    length = _length(way)
    forked = count > 1
    bent = way + forked * np.float32(TURN_SLOWLY) * length * heading / (_length(heading) + np.float32(1e-6))
    bent *= length / (_length(bent) + np.float32(1e-6))
    stretch = np.where(forked, np.float32(FIRST_STRETCH), np.float32(0.92))
    return start + stretch * bent + np.float32(0.08) * length * _chance(name, seed)


def _length(rows: np.ndarray) -> np.ndarray:
    """Length of each column of (3, n)."""
    return np.sqrt(rows[0] * rows[0] + rows[1] * rows[1] + rows[2] * rows[2])


def _cut(
    node: np.ndarray, points: np.ndarray, middle: np.ndarray, way: np.ndarray, chance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The plane that halves each branch's tissue: across its longest side, as seen by the branch.

    Returns the normals (3, n) and how far each plane lies along its normal (n,).
    """
    along = way / (_length(way) + np.float32(1e-6))
    rel = points - middle[:, node]
    there = along[:, node]
    rel -= np.float32(0.8) * _dot(rel, there) * there
    axis = chance
    for _ in range(3):  # power iteration
        axis = _sums(node, rel * _dot(rel, axis[:, node]), middle.shape[1])
        axis /= _length(axis) + np.float32(1e-6)
    normal = axis - np.float32(0.8) * _dot(axis, along) * along
    return normal, _dot(normal, middle)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products of the columns of two (3, n)."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def beside(tree: Tree, away: float) -> Tree:
    """The same tree moved aside by a multiple of each branch's radius: the artery beside its bronchus."""
    push = np.array([0.35, -0.55, 0.75], np.float32) * np.float32(away)
    outward = np.sign(tree.end[:, 2:3])
    shift = np.concatenate(
        [np.full_like(outward, push[0]), np.full_like(outward, push[1]), push[2] * outward], axis=1
    )
    parent = (LAST_RADIUS_MM * np.power(2 * tree.points, TAPER)).astype(np.float32)
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
