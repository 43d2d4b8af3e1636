"""The chest's inner shape: rib cage, diaphragm, mediastinum, and the lungs and lobes they leave free."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import Body, Frame, profile, ripple, warped
from glasslung.data.phantom.shapes import Ball, Tube, join, meet, tubes
from glasslung.data.phantom.texture import field
from glasslung.types import Lobe

FAR_MM = 99.0
SEPTUM_MM = 3.2  # half the thinnest tissue between the two lungs
_CAVITY, _HEART = 11, 12  # which random field roughens which surface


@dataclass(frozen=True)
class Organ:
    """A soft organ of the mediastinum: its parts, how much fat lies between it and the lung, what it holds.

    holds   'blood', 'muscle', 'air' (an airway: `wall` mm thick) or 'gullet'
    """

    name: str
    parts: tuple[Tube | Ball, ...]
    holds: str
    margin_mm: float = 2.5
    wall_mm: float = 0.0


@lru_cache(maxsize=64)
def organs(body: Body) -> tuple[Organ, ...]:
    """Heart, great vessels, gullet and large airways of one body, each where this body has it."""
    return tuple(
        replace(organ, parts=tuple(_moved(body, part) for part in organ.parts))
        for organ in _atlas_organs(body)
    )


def _moved(body: Body, part: Tube | Ball) -> Tube | Ball:
    """One part of an organ, moved from its place in the atlas to its place in this body."""
    if isinstance(part, Ball):
        return replace(part, centre=warped(body, part.centre))
    return replace(part, start=warped(body, part.start), end=warped(body, part.end))


def _atlas_organs(body: Body) -> tuple[Organ, ...]:
    """The organs in atlas mm (z, y, x)."""
    h = body.heart
    aorta = [(-48, -25, 0), (-15, -30, -14), (8, -26, -11), (24, -4, 3), (22, 20, 18), (4, 36, 25)]
    aorta += [(-22, 43, 24), (-70, 47, 21), (-130, 47, 12), (-215, 38, 4)]
    wide = [15, 15, 14.5, 13.5, 13, 12.5, 12, 11.5, 11, 10]
    trunk = tubes([(-42, -42, 14), (-20, -40, 18), (-10, -22, 18)], [13 * h, 13, 12])
    left = tubes([(-10, -22, 18), (-8, 0, 34), (-16, 14, 46), (-40, 22, 46)], [11, 10, 8.5, 7])
    right = tubes([(-12, -20, 14), (-20, -10, -14), (-22, -2, -36), (-44, 12, -44)], [10, 9.5, 9, 7])
    cava = tubes([(62, -16, -24), (10, -17, -25), (-40, -14, -26)], [8, 9, 10])
    below = tubes([(-90, 2, -22), (-128, 8, -24), (-215, 20, -22)], [11, 11, 10])
    heads = tubes([(26, -12, -4), (60, -8, -14), (98, 2, -26)], [6.5, 6, 5])
    heads += tubes([(28, 0, 6), (98, -2, 16)], [4.5, 4]) + tubes(
        [(26, 12, 16), (70, 8, 24), (98, 4, 44)], [5.5, 5, 5]
    )
    veins = tubes([(46, -24, -22), (52, -36, 8), (72, -26, 34)], [6.5, 6, 6])
    veins += tubes([(60, -20, -24), (90, -14, -38)], [7, 6])
    long = np.array([-0.50, -0.46, 0.73])
    across = np.cross(long, (0.0, 1.0, 0.0))
    across /= np.linalg.norm(across)
    rows = tuple(tuple(float(v) for v in row) for row in (long, across, np.cross(long, across)))
    heart = (
        Ball((-72, -26, 29), (67 * h, 46 * h, 43 * h), rows),  # type: ignore[arg-type]
        Ball((-62, -28, -14), (40 * h, 33 * h, 27 * h)),
        Ball((-48, 10, 4), (21 * h, 17 * h, 36 * h)),
    )
    vein_roots = tuple(
        tube
        for points in (
            [(-44, 8, -24), (-36, 2, -42)],
            [(-56, 12, -24), (-62, 18, -42)],
            [(-40, 4, 28), (-32, 0, 44)],
            [(-52, 12, 26), (-60, 18, 46)],
        )
        for tube in tubes(points, [7, 6])  # type: ignore[arg-type]
    )
    gullet = tubes(
        [(160, 8, 4), (98, 12, 4), (20, 30, 5), (-30, 33, 3), (-80, 33, 7), (-150, 22, 16)], [7.5] * 6
    )
    return (
        Organ("heart", heart, "blood", 3.5),
        Organ("aorta", tuple(tubes(aorta, wide)), "blood", 2.0),  # type: ignore[arg-type]
        Organ("pulmonary arteries", tuple(trunk + left + right), "blood", 2.0),
        Organ("cava", tuple(cava + below), "blood", 2.0),
        Organ("arch vessels", tuple(heads + veins), "blood", 3.0),
        Organ("pulmonary veins", vein_roots, "blood", 1.5),
        Organ("gullet", tuple(gullet), "gullet", 2.0),
        Organ("airways", airways(body), "air", 1.2, 1.7),
    )


def airways(body: Body) -> tuple[Tube, ...]:
    """Windpipe, main bronchi and the first lobar stems: lumen only."""
    w = 1.08 if body.male else 0.92
    windpipe = tubes([(165, -18, 0), (100, -7, 0), (50, 4, -1), (2, 11, -2)], [8.8 * w] * 3 + [9.4 * w])
    right = tubes(
        [(2, 11, -3), (-14, 14, -21), (-22, 16, -30), (-46, 20, -37)], [7.4 * w, 7 * w, 6.2 * w, 5.4 * w]
    )
    upper = tubes([(-14, 14, -21), (-10, 13, -46)], [5.2 * w, 4.2 * w])
    left = tubes([(2, 11, -1), (-16, 15, 20), (-32, 19, 38)], [6.6 * w, 6.2 * w, 5.6 * w])
    stems = tubes([(-32, 19, 38), (-28, 10, 50)], [4.8 * w, 4.0 * w])
    stems += tubes([(-32, 19, 38), (-48, 27, 44)], [5.2 * w, 4.4 * w])
    return tuple(windpipe + right + upper + left + stems)


def cavity_distance(body: Body, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance to the inner face of the rib cage, and where around it a point lies.

    Returns distance (mm, negative inside), radius (mm from the cavity's middle line) and the turn: -1 at the
    back, 0 at the side, +1 at the front.
    """
    half, front, back = (profile(name, frame.z) for name in ("cavity_half", "cavity_front", "cavity_back"))
    half = half * (1 + 0.035 * ripple(body, 0, frame.z))
    half = half * np.where(
        frame.x > 0, np.float32(0.985), np.float32(1.005)
    )  # the right lung is the larger one
    front, back = front * (1 + 0.05 * ripple(body, 1, frame.z)), back + 2.5 * ripple(body, 2, frame.z)
    middle, depth = (front + back) / 2, (back - front) / 2
    y, x = frame.y - middle, frame.x - spine_x(body, frame.z)
    u = np.square(x / (half * (0.955 + 0.085 * np.clip(y / depth, -1, 1))))  # narrower in front than behind
    v = np.square(y / depth)
    power = u * np.sqrt(np.sqrt(u)) + v * np.sqrt(np.sqrt(v))  # superellipse of exponent 2.5
    radius = np.sqrt(np.square(x) + np.square(y)) + np.float32(1e-3)
    distance = radius * (1 - np.power(power + np.float32(1e-9), np.float32(-0.4)))
    rough = field((body.seed, _CAVITY), 42.0).on(frame.z.ravel(), frame.y.ravel(), frame.x.ravel())
    return distance + np.float32(1.8) * rough, radius, -y / radius


def spine_x(body: Body, z: np.ndarray) -> np.ndarray:
    """How far the spine stands to the left at heights z: a slight bend that everyone has."""
    return np.float32(body.scoliosis_mm) * np.sin((z + 60) * np.float32(np.pi / 150))


def dome_height(body: Body, frame: Frame) -> np.ndarray:
    """Height of the diaphragm over each point of the plane -> (1, H, W): two domes that fall to the ribs."""
    x, y = frame.x, frame.y
    right = np.float32(-98 + body.dome_mm + body.dome_gap_mm / 2)
    left = np.float32(-98 + body.dome_mm - body.dome_gap_mm / 2)
    side = 1 / (1 + np.exp(-x / 9))
    peak = right + (left - right) * side
    outward = np.maximum(np.abs(x) - 50, 0) / 84
    backward = np.maximum(y + 26, 0) / 116
    forward = np.maximum(-y - 14, 0) / 92
    rho = np.square(outward) + np.square(backward) + np.square(forward)
    fall = 1 - np.sqrt(np.maximum(1 - rho, np.float32(1e-4)))
    ripple = field((body.seed, 13), (40.0, 30.0, 30.0)).on(np.zeros(1, np.float32), y.ravel(), x.ravel())
    return peak - 88 * fall + 2.2 * ripple


def mediastinum_distance(body: Body, frame: Frame, front: np.ndarray) -> np.ndarray:
    """Distance to all that stands between the lungs: spine, heart, vessels, airways and their fat."""
    x = frame.x - spine_x(body, frame.z)
    spine = profile("spine_back", frame.z)
    behind = frame.y - spine - 4
    behind = behind - np.clip(behind, 0, 60)  # the column's hind parts keep the lungs apart to the very back
    flank = 21 + 0.42 * np.clip(frame.y - spine - 4, 0, 46)  # the heads of the ribs push the lungs aside
    column = 20.5 * (np.sqrt(np.square(x / flank) + np.square(behind / 21.5)) - 1)
    half = profile("filler_half", frame.z)
    middle, depth = (front + spine) / 2, (spine - front) / 2 - 14
    filler = half * (
        np.sqrt(np.square(x / half) + np.square((frame.y - middle - 10) / np.maximum(depth, 12))) - 1
    )
    sheet = np.abs(x + 0.5 - 0.05 * (frame.y - 20)) - np.float32(SEPTUM_MM)
    total = join(column, filler, 10) + total_shape(frame)
    for organ in organs(body):
        for part in organ.parts:
            window = part.window(frame, organ.margin_mm + organ.wall_mm + 18)
            if window is not None:
                near = part.distance(frame.window(*window)) - np.float32(organ.margin_mm + organ.wall_mm)
                total[window] = join(total[window], near, 8)
    rough = field((body.seed, _HEART), 30.0).on(frame.z.ravel(), frame.y.ravel(), frame.x.ravel())
    return join(total + np.float32(1.3) * np.clip(rough, -2, 2), sheet, 9)


def total_shape(frame: Frame) -> np.ndarray:
    """Zeros of the frame's full shape: what broadcasts everything to (D, H, W)."""
    return np.zeros(frame.shape, np.float32)


@dataclass(frozen=True, eq=False)
class LungShape:
    """The two lungs in a frame.

    inside_mm   distance below the pleura: positive in a lung, negative outside it
    depth_mm    distance below the rib cage or the diaphragm: what 'peripheral' means
    cavity_mm   distance to the inner face of the rib cage, negative inside
    turn        -1 at the back, 0 at the side, +1 at the front
    right       whether the point lies on the patient's right
    major, minor  height above the oblique and the horizontal fissure, mm across
    lobe        labels of `Lobe`, not yet cut to the lungs
    dome_mm     height above the diaphragm
    """

    inside_mm: np.ndarray
    depth_mm: np.ndarray
    cavity_mm: np.ndarray
    turn: np.ndarray
    right: np.ndarray
    major: np.ndarray
    minor: np.ndarray
    lobe: np.ndarray
    dome_mm: np.ndarray


def draw_lungs(body: Body, frame: Frame) -> LungShape:
    """Both lungs, their fissures and their lobes in one frame."""
    cavity, _, turn = cavity_distance(body, frame)
    dome = (frame.z - dome_height(body, frame)) * np.float32(0.8)
    inner = meet(cavity, -dome, 5)
    front = profile("cavity_front", frame.z)
    inside = -meet(inner, -mediastinum_distance(body, frame, front), 9)
    right = (frame.x - spine_x(body, frame.z)) < 0.05 * (frame.y - 20) - 0.5
    major, minor = fissures(body, frame, right)
    lobe = np.where(
        right,
        np.where(major < 0, Lobe.RIGHT_LOWER, np.where(minor < 0, Lobe.RIGHT_MIDDLE, Lobe.RIGHT_UPPER)),
        np.where(major < 0, Lobe.LEFT_LOWER, Lobe.LEFT_UPPER),
    ).astype(np.uint8)
    return LungShape(inside, -inner, cavity, turn, right, major, minor, lobe, dome)


def fissures(body: Body, frame: Frame, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance above the oblique fissure of each side and above the right horizontal one, mm."""
    wave = field((body.seed, 14), 55.0).on(frame.z.ravel(), frame.y.ravel(), frame.x.ravel())
    aside = np.abs(frame.x) - 70
    lift = np.float32(body.fissure_mm)
    oblique = -46 + lift + 1.05 * frame.y + 0.0016 * np.square(aside) + np.where(right, -4, 6)
    major = (frame.z - oblique) * np.float32(0.69) + 3 * wave
    minor = frame.z + 22 - lift - 0.10 * frame.y + 0.0022 * np.square(aside) + 3 * wave
    return major, minor
