"""The canvas of one frame: everything that a disease of the lung leaves as it is, in Hounsfield units."""

from __future__ import annotations

import numpy as np

from glasslung.data.phantom.anatomy import Body, Frame, profile
from glasslung.data.phantom.shapes import Ball, join, meet, occupancy
from glasslung.data.phantom.skeleton import blend, paint_front, paint_ribs, paint_shoulders, paint_spine
from glasslung.data.phantom.texture import field
from glasslung.data.phantom.thorax import LungShape, organs, spine_x

AIR_HU, FAT_HU, MUSCLE_HU, SKIN_HU, LIVER_HU, SPLEEN_HU = -1000.0, -102.0, 52.0, 15.0, 58.0, 48.0
WALL_HU = 25.0
_SOFT, _STRANDS, _OUTLINE, _GUT = 31, 32, 33, 34


def draw_tissue(body: Body, frame: Frame, lungs: LungShape, blood_hu: float) -> np.ndarray:
    """HU of the chest with its lungs still empty, (D, H, W) float32."""
    axes = frame.z.ravel(), frame.y.ravel(), frame.x.ravel()
    soft = field((body.seed, _SOFT), 6.0).on(*axes)
    strands = field((body.seed, _STRANDS), (24.0, 15.0, 15.0)).on(*axes)
    skin = skin_distance(body, frame)
    fat = FAT_HU + 7 * soft
    hu = np.full(frame.shape, AIR_HU, np.float32)
    blend(hu, occupancy(skin, frame.pixel_mm), SKIN_HU)
    blend(hu, occupancy(skin + 2.0, frame.pixel_mm), fat)
    muscle = MUSCLE_HU + 9 * soft
    blend(hu, muscle_share(body, frame, lungs, skin, strands), muscle)
    paint_abdomen(hu, body, frame, lungs, fat, soft)
    paint_mediastinum(hu, body, frame, blood_hu, soft)
    paint_shoulders(hu, body, frame, lungs)
    paint_ribs(hu, body, frame, lungs)
    paint_front(hu, body, frame)
    paint_spine(hu, body, frame)
    return hu


def skin_distance(body: Body, frame: Frame) -> np.ndarray:
    """Distance to the body's outline: muscles, fat and breasts of a patient on the back, arms up."""
    half = profile("wall_half", frame.z) + body.fat_mm
    front = profile("wall_front", frame.z) - 0.7 * body.fat_mm
    back = profile("wall_back", frame.z) + 0.45 * body.fat_mm
    middle, depth = (front + back) / 2, (back - front) / 2
    y = frame.y - middle
    u, v = np.square(frame.x / half), np.square(y / depth)
    power = u * np.sqrt(np.sqrt(u)) + v * np.sqrt(np.sqrt(v))
    radius = np.sqrt(np.square(frame.x) + np.square(y))
    distance = radius * (1 - np.power(power + np.float32(1e-9), np.float32(-0.4)))
    distance = meet(distance, frame.y - back + 5, 14)  # the back lies flat on the table
    distance += 2.5 * field((body.seed, _OUTLINE), 60.0).on(frame.z.ravel(), frame.y.ravel(), frame.x.ravel())
    if body.male:
        return distance
    size = 0.75 + 0.02 * body.fat_mm
    for side in (-1, 1):
        breast = Ball((-66, -92 - 0.5 * body.fat_mm, 88 * side), (52 * size, 34 * size, 58 * size))
        window = breast.window(frame, 45)
        if window is not None:
            near = breast.distance(frame.window(*window))
            distance[window] = join(distance[window], near, 34)
    return distance


def muscle_share(
    body: Body, frame: Frame, lungs: LungShape, skin: np.ndarray, strands: np.ndarray
) -> np.ndarray:
    """Share of each voxel that is chest wall muscle: thick behind and at the shoulders."""
    turn, out = lungs.turn, lungs.cavity_mm
    high = 1 / (1 + np.exp(-(frame.z - 15) / 20))
    front = np.clip(turn, 0, 1)
    behind = np.clip(
        -turn * (1.7 + turn), 0, 1
    )  # greatest between side and back, where the shoulder blade lies
    thick = 13 + 13 * high - 3 * front + 10 * high * front + behind * (22 + 26 * high)
    thick = thick * np.float32(body.muscle) + 2.2 * strands
    edge = np.maximum(out - thick, skin + 0.45 * np.float32(body.fat_mm) * (1 - 0.4 * behind) + 3)
    planes = np.minimum(
        np.abs(out - 14 - 2.5 * strands), np.abs(out - 26 - 6.0 * strands) + 0.4 * np.clip(strands, 0, 1)
    )
    planes = np.maximum(planes - 0.7 - 0.5 * np.clip(strands, -1, 1), (20 - thick) * 0.3)
    x = np.abs(frame.x - spine_x(body, frame.z))
    y = frame.y - profile("spine_back", frame.z)
    erector = 20 * (np.sqrt(np.square((x - 31) / 30) + np.square((y - 46) / 21)) - 1)
    muscle = np.minimum(np.maximum(edge, -planes), erector)
    for side in (-1, 1):
        shoulder = Ball((100, 22, 118 * side), (52, 52, 54))
        window = shoulder.window(frame, 3)
        if window is not None:
            lump = shoulder.distance(frame.window(*window)) + 6 * strands[window]
            muscle[window] = np.minimum(muscle[window], lump)
    muscle = np.maximum(np.maximum(muscle, skin + 4), -out)
    return occupancy(muscle, frame.pixel_mm)


def paint_abdomen(
    hu: np.ndarray, body: Body, frame: Frame, lungs: LungShape, fat: np.ndarray, soft: np.ndarray
) -> None:
    """What lies inside the rib cage: fat first, then liver, spleen and stomach beneath the diaphragm."""
    inside = occupancy(lungs.cavity_mm + 1, frame.pixel_mm)
    blend(hu, inside, fat - 4)
    if float(frame.z.min()) > -60:
        return
    under = lungs.dome_mm
    room = np.maximum(under + 2.5, lungs.cavity_mm + 2)
    blend(hu, occupancy(np.maximum(under, lungs.cavity_mm), frame.slice_mm + 1) * inside, MUSCLE_HU)
    gut = field((body.seed, _GUT), 14.0).on(frame.z.ravel(), frame.y.ravel(), frame.x.ravel())
    blend(hu, occupancy(room, frame.slice_mm + 1), fat + 45 * np.clip(gut - 0.4, 0, 2))
    edge = frame.pixel_mm + 0.5
    liver = np.maximum(0.8 * (frame.x - 26 + 0.55 * (frame.y + 10) + 0.25 * (frame.z + 130)) + 5 * gut, room)
    blend(hu, occupancy(liver, edge), LIVER_HU + 8 * soft)
    spleen = np.maximum(Ball((-168, 46, 84), (46, 48, 34)).distance(frame) + 2 * gut, room)
    blend(hu, occupancy(spleen, edge), SPLEEN_HU + 8 * soft)
    stomach = np.maximum(Ball((-158, -22, 62), (46, 50, 46)).distance(frame) + 3 * gut, room)
    blend(hu, occupancy(stomach, edge), 42 + 8 * soft)
    level = -34 + 4 * np.float32(np.sin(body.seed))  # air rises to the front of a patient on the back
    held = np.where(frame.y < level, np.float32(-985), 18 + 30 * np.clip(soft, -1, 2))
    blend(hu, occupancy(stomach + 4, edge), held)


def paint_mediastinum(hu: np.ndarray, body: Body, frame: Frame, blood_hu: float, soft: np.ndarray) -> None:
    """Heart, vessels, gullet and the large airways, in the fat between the lungs."""
    edge = frame.pixel_mm
    for organ in organs(body):
        for part in organ.parts:
            window = part.window(frame, organ.wall_mm + 3)
            if window is None:
                continue
            distance = part.distance(frame.window(*window))
            value = MUSCLE_HU if organ.holds == "gullet" else blood_hu
            if organ.holds == "air":
                value = WALL_HU
            uneven = 1.6 * soft[window] if organ.name == "heart" else 0
            blend(hu[window], occupancy(distance - organ.wall_mm + uneven, edge), value + 7 * soft[window])
    carve_airways(hu, body, frame)


def carve_airways(hu: np.ndarray, body: Body, frame: Frame) -> None:
    """Air in the windpipe, the bronchi and, now and then, the gullet: last, so that no wall closes them."""
    for organ in organs(body):
        if organ.holds not in ("air", "gullet"):
            continue
        for part in organ.parts:
            window = part.window(frame, 3)
            if window is None:
                continue
            distance = part.distance(frame.window(*window))
            if organ.holds == "gullet":  # collapsed, but for a bubble here and there
                distance = distance + 7.2 + 3 * np.sin(frame.z[window[0]] / 9 + np.float32(body.seed % 7))
            blend(hu[window], occupancy(distance, frame.pixel_mm), AIR_HU + 8)
