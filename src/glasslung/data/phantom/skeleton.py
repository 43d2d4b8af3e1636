"""Bones: ribs that curve and slant, the spine with its canal, breastbone, collar bones, shoulder blades.

Each function paints Hounsfield units into `hu` in place: the canvas of `tissue.py`.
"""

from __future__ import annotations

import numpy as np

from glasslung.data.phantom.anatomy import Body, Frame, profile
from glasslung.data.phantom.shapes import Tube, occupancy, tubes, window_around
from glasslung.data.phantom.texture import field
from glasslung.data.phantom.thorax import LungShape, spine_x

MARROW_HU, CORTEX_HU, DISC_HU, CORD_HU, CARTILAGE_HU = 130.0, 640.0, 85.0, 32.0, 110.0
RIB_PITCH_MM = 23.5  # from one rib to the next, as from one vertebra to the next
RIB_FIRST_MM = 92.0  # height of the first rib at the spine
_MARROW = 21
# How far a rib has fallen below its own vertebra at shares of the way from spine (0) to breastbone (1)
_WAY = (0.0, 0.10, 0.3, 0.5, 0.7, 0.84, 1.0)
_FALL_MM = (0.0, 5.0, 28.0, 52.0, 74.0, 84.0, 64.0)
# Share of the way to the breastbone at which each of the twelve ribs turns into cartilage, and at which it
# ends
_BONE_TO = np.array([0.80, 0.78, 0.78, 0.78, 0.77, 0.76, 0.75, 0.72, 0.68, 0.64, 0.45, 0.28], np.float32)
_ENDS = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.92, 0.88, 0.84, 0.47, 0.30], np.float32)


def blend(hu: np.ndarray, share: np.ndarray, value: np.ndarray | float) -> None:
    """Lay a tissue over the canvas, as opaque as its share of each voxel."""
    hu += share * (value - hu)


def bone_hu(distance: np.ndarray, cortex_mm: float, density: float, marrow: np.ndarray | float) -> np.ndarray:
    """HU inside a bone: a bright shell of `cortex_mm` around marrow."""
    shell = np.clip(1 + (distance + cortex_mm) * np.float32(1 / cortex_mm), 0, 1)
    core = (MARROW_HU + 60 * marrow) * density
    return core + shell * (CORTEX_HU * density - core)


def paint_ribs(hu: np.ndarray, body: Body, frame: Frame, lungs: LungShape) -> None:
    """Twelve pairs of ribs and their cartilages, just outside the rib cage's inner face."""
    flat = np.flatnonzero((lungs.cavity_mm > -2) & (lungs.cavity_mm < 17) & (frame.z < 112))
    if flat.size == 0:
        return
    z = frame.z.ravel()[flat // (frame.y.size * frame.x.size)]
    out = lungs.cavity_mm.ravel()[flat]
    way = np.arccos(np.clip(-lungs.turn.ravel()[flat], -1, 1)) * np.float32(1 / np.pi)
    slant = np.clip(0.55 + (100 - z) / 160, 0.55, 1.0)
    order = (RIB_FIRST_MM - z - slant * np.interp(way, _WAY, _FALL_MM).astype(np.float32)) / RIB_PITCH_MM
    number = np.clip(np.rint(order), 0, 11).astype(np.int64)
    tall = np.where(number < 2, 6.0, 6.6).astype(np.float32)
    across = np.square((order - number) * RIB_PITCH_MM / tall) + np.square((out - 7) / 4.3)
    distance = (np.sqrt(across) - 1) * 4.3
    distance = np.maximum(distance, (way - _ENDS[number]) * 110)
    x = frame.x.ravel()[flat % frame.x.size] - spine_x(body, z)
    distance = np.maximum(distance, np.float32(30) - np.abs(x))
    share = occupancy(distance, frame.pixel_mm)
    kept = share > 0
    flat, share, distance, way, number = flat[kept], share[kept], distance[kept], way[kept], number[kept]
    bone = bone_hu(distance, 1.15, body.bone, 0.0)
    value = np.where(way > _BONE_TO[number], np.float32(CARTILAGE_HU), bone)
    canvas = hu.reshape(-1)
    canvas[flat] += share * (value - canvas[flat])


def paint_spine(hu: np.ndarray, body: Body, frame: Frame) -> None:
    """Vertebrae with discs between them, the canal, arches, spinous and transverse processes."""
    window = window_around(frame, (-400, 0, -62), (400, 150, 62))
    if window is None:
        return
    part = frame.window(*window)
    canvas = hu[window]
    x = part.x - spine_x(body, part.z)
    y = part.y - profile("spine_back", part.z)
    level = (part.z - 4) / RIB_PITCH_MM
    off = np.abs(level - np.rint(level))  # 0 in the middle of a vertebra, 0.5 in the middle of a disc
    edge = part.pixel_mm
    rough = field((body.seed, _MARROW), 3.5).on(part.z.ravel(), part.y.ravel(), part.x.ravel())
    waist = 1 - 0.07 * np.cos(off * np.float32(2 * np.pi))
    around = 16 * (np.sqrt(np.square(x / (18.5 * waist)) + np.square(y / (14.5 * waist))) - 1)
    ends = np.float32(RIB_PITCH_MM) * (off - 0.40)
    blend(canvas, occupancy(around, edge), DISC_HU)
    vertebra = np.maximum(around, ends)
    blend(canvas, occupancy(vertebra, edge), bone_hu(vertebra, 1.5, 0.85 * body.bone, rough))
    canal = 9 * (np.sqrt(np.square(x / 10.5) + np.square((y - 23) / 8.5)) - 1)
    arch = np.maximum(np.maximum(np.abs(canal - 2.6) - 2.4, 10 - y), RIB_PITCH_MM * (off - 0.43))
    blend(canvas, occupancy(np.maximum(np.abs(canal - 2.5) - 2.5, 12 - y), edge), 55.0)
    low = part.z + 0.75 * np.maximum(y - 32, 0)
    below = np.abs(low / RIB_PITCH_MM - 4 / RIB_PITCH_MM - np.rint((low - 4) / RIB_PITCH_MM))
    crest = np.maximum(
        np.maximum(np.abs(x) - 2.2 - 0.09 * np.maximum(y - 46, 0), np.abs(y - 44) - 13),
        RIB_PITCH_MM * (below - 0.36),
    )
    wing_y = y - 22 - 0.35 * (np.abs(x) - 14)
    wing = np.maximum(
        np.maximum(np.abs(wing_y) - 4.2, np.abs(np.abs(x) - 24) - 13), RIB_PITCH_MM * (off - 0.27)
    )
    process = np.minimum(np.minimum(arch, crest), wing)
    blend(canvas, occupancy(process, edge), bone_hu(process, 1.8, 0.9 * body.bone, rough))
    blend(canvas, occupancy(canal, edge), CORD_HU)


def paint_front(hu: np.ndarray, body: Body, frame: Frame) -> None:
    """The breastbone: handle above, body below."""
    window = window_around(frame, (-112, -140, -45), (64, 0, 45))
    if window is None:
        return
    part = frame.window(*window)
    y = part.y - profile("cavity_front", part.z) + 9
    half = 16 + 11 / (1 + np.exp(-(part.z - 28) / 5))
    around = 5.5 * (np.sqrt(np.square(part.x / half) + np.square(y / 5.5)) - 1)
    around = np.maximum(around, np.maximum(part.z - 58, -104 - part.z))
    blend(hu[window], occupancy(around, part.pixel_mm), bone_hu(around, 1.6, 0.75 * body.bone, 0.0))


def paint_shoulders(hu: np.ndarray, body: Body, frame: Frame, lungs: LungShape) -> None:
    """Collar bones, shoulder blades and upper arm bones of a patient whose arms are up."""
    for side in (-1, 1):
        collar = tubes(
            [(62, -66, 14 * side), (82, -60, 58 * side), (104, -34, 100 * side), (118, -12, 132 * side)],
            [7, 5.5, 5, 6],
        )
        arm = [
            Tube((98, 8, 148 * side), (108, 4, 150 * side), 19, 18),
            Tube((108, 4, 150 * side), (175, -12, 158 * side), 14, 12),
        ]
        for bone in [*collar, *arm]:
            window = bone.window(frame, 6)
            if window is not None:
                distance = bone.distance(frame.window(*window))
                blend(hu[window], occupancy(distance, frame.pixel_mm), bone_hu(distance, 2.2, body.bone, 0.0))
    reach = np.clip((frame.z + 62) / 150, 0, 1)  # the blade is a triangle: its tip below, its spine above
    low, high = -0.78 + 0.10 * (1 - reach), -0.78 + 0.95 * reach
    plate = np.abs(lungs.cavity_mm - 25 - 5 * reach) - (2.2 + 2.5 * (reach > 0.92))
    outside = np.maximum(low - lungs.turn, lungs.turn - high) * 90
    blade = np.maximum(np.maximum(plate, outside), np.maximum(-62 - frame.z, frame.z - 96))
    blend(hu, occupancy(blade, frame.pixel_mm), bone_hu(blade, 1.6, body.bone, 0.0))
