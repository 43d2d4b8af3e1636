"""What makes one body differ from the next, and the atlas that all of them are drawn from.

The atlas is an average adult on the back, arms up, in full inspiration. Positions are LPS millimetres from
the carina: x to the patient's left, y to the back, z to the head. A patient is the atlas stretched along its
axes, with its own fat, heart, domes and irregularities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.grid import Grid

ANATOMY_STREAM = 1  # keeps anatomy's random numbers apart from those of disease, outcome and noise


@dataclass(frozen=True)
class Body:
    """The fixed part of a patient: everything that a disease does not change.

    seed           of all random fields that belong to this body
    male           breasts and size differ
    scale          (z, y, x) stretch of the atlas: small women 0.86, tall men 1.1
    fat_mm         subcutaneous fat at the side of the chest
    muscle         thickness of the chest wall's muscles against the average
    heart          size of the heart against the average
    dome_mm        how much higher (+) or lower (-) the diaphragm stands
    dome_gap_mm    how much higher the right dome stands than the left
    scoliosis_mm   largest sideways bend of the spine
    fissure_mm     height of the fissures against the average
    lung_hu        mean of healthy parenchyma between the vessels: deep breath and age make it darker
    gravity_hu     difference between the front and the back of the lungs
    bone           density of bone against the average: falls with age
    """

    seed: int
    male: bool
    scale: tuple[float, float, float]
    fat_mm: float
    muscle: float
    heart: float
    dome_mm: float
    dome_gap_mm: float
    scoliosis_mm: float
    fissure_mm: float
    lung_hu: float
    gravity_hu: float
    bone: float


def draw_body(seed: int, male: bool, age: float) -> Body:
    """A body at random: size, fat, heart, diaphragm, lung and bone density."""
    rng = np.random.default_rng([seed, ANATOMY_STREAM])
    size = rng.normal(1.0 if male else 0.92, 0.03)
    scale = tuple(float(np.clip(size * rng.normal(1, 0.025), 0.82, 1.12)) for _ in range(3))
    return Body(
        seed=seed,
        male=male,
        scale=scale,  # type: ignore[arg-type]
        fat_mm=float(np.clip(rng.gamma(4.0, 3.6 if male else 4.6), 4, 42)),
        muscle=float(np.clip(rng.normal(1.05 if male else 0.85, 0.12), 0.6, 1.4)),
        heart=float(np.clip(rng.normal(0.97 + 0.001 * (age - 55), 0.05), 0.84, 1.14)),
        dome_mm=float(np.clip(rng.normal(0, 7), -16, 16)),
        dome_gap_mm=float(np.clip(rng.normal(6, 4), 0, 16)),
        scoliosis_mm=float(rng.normal(0, 3)),
        fissure_mm=float(rng.normal(0, 6)),
        lung_hu=float(np.clip(rng.normal(-868 - 0.2 * (age - 55), 12), -905, -825)),
        gravity_hu=float(np.clip(rng.normal(70, 15), 35, 115)),
        bone=float(np.clip(rng.normal(1.1 - 0.006 * (age - 50), 0.1), 0.65, 1.35)),
    )


# z of the rows below, from the upper abdomen to the neck
_LEVELS_MM = (-210, -170, -120, -80, -40, 0, 40, 65, 85, 98, 108, 125, 160)
_PROFILES = {
    # inner face of the rib cage: half width, front, back
    "cavity_half": (128, 136, 140, 140, 138, 132, 119, 103, 80, 54, 20, 6, 4),
    "cavity_front": (-82, -88, -95, -94, -88, -79, -65, -51, -35, -19, -2, 8, 6),
    "cavity_back": (86, 91, 96, 97, 97, 96, 91, 83, 71, 57, 36, 20, 14),
    # outer face of the muscles (fat comes on top): half width, front, back
    "wall_half": (143, 149, 152, 154, 157, 163, 175, 184, 180, 170, 158, 148, 140),
    "wall_front": (-98, -104, -110, -110, -105, -97, -87, -77, -67, -58, -54, -52, -52),
    "wall_back": (118, 123, 128, 131, 132, 133, 131, 126, 117, 106, 98, 90, 82),
    "spine_back": (60, 63, 66, 67, 65, 60, 52, 45, 38, 33, 30, 25, 18),  # centre of the vertebral bodies
    "filler_half": (18, 19, 20, 22, 26, 28, 28, 27, 28, 30, 32, 34, 36),  # mediastinal fat around the organs
}


@lru_cache(maxsize=1)
def _dense() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The atlas tables at every millimetre, without kinks."""
    from scipy.interpolate import PchipInterpolator

    z = np.arange(_LEVELS_MM[0], _LEVELS_MM[-1] + 1, dtype=np.float64)
    return z, {name: PchipInterpolator(_LEVELS_MM, row)(z) for name, row in _PROFILES.items()}


def profile(name: str, z: np.ndarray) -> np.ndarray:
    """One of the atlas's tables at heights z (mm), same shape as z, float32."""
    heights, rows = _dense()
    return np.interp(z, heights, rows[name]).astype(np.float32)


WARP_MM = 3.6  # how far an organ stands from its place in the atlas
WARP_STREAM = 2


@lru_cache(maxsize=64)
def _waves(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Wave vectors (3, 4, 3) and phases (3, 4) of one body's own displacement of its organs."""
    rng = np.random.default_rng([seed, ANATOMY_STREAM, WARP_STREAM])
    long = rng.normal(size=(3, 4, 3))
    long *= (2 * np.pi / rng.uniform(130, 300, (3, 4, 1))) / np.linalg.norm(long, axis=2, keepdims=True)
    return long, rng.uniform(0, 2 * np.pi, (3, 4))


def warped(body: Body, point: tuple[float, float, float]) -> tuple[float, float, float]:
    """Where a point (z, y, x) of the atlas lies in this body: neighbours move alike, organs stay joined."""
    long, phase = _waves(body.seed)
    shift = WARP_MM / np.sqrt(2) * np.sin(long @ np.asarray(point, float) + phase).sum(axis=1)
    z, y, x = np.asarray(point, float) + shift
    return float(z), float(y), float(x)


def ripple(body: Body, row: int, z: np.ndarray) -> np.ndarray:
    """A slow random curve along the body, about -1 to 1: no two rib cages have the same outline."""
    long, phase = _waves(body.seed)
    turns = np.sin(z[..., None] * np.linalg.norm(long[row], axis=1) + 2 * phase[row])
    return (turns.sum(axis=-1) / np.sqrt(2) / 2).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Frame:
    """A grid seen in atlas space: open axes that broadcast to (D, H, W), and the voxel's size there.

    z, y, x     (D, 1, 1), (1, H, 1), (1, 1, W) float32, atlas mm
    pixel_mm    in-plane size of a voxel
    slice_mm    thickness of a slice
    apart_mm    distance from one slice to the next
    """

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    pixel_mm: float
    slice_mm: float
    apart_mm: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        return self.z.size, self.y.size, self.x.size

    def window(self, z: slice, y: slice, x: slice) -> Frame:
        """The part of the frame inside three index ranges."""
        return Frame(self.z[z], self.y[:, y], self.x[:, :, x], self.pixel_mm, self.slice_mm, self.apart_mm)


BREATH_Z = 0.10  # breathing out fully (breath = 1) shortens the chest below the carina by a tenth
BREATH_Y = 0.03  # and makes it this much flatter


def frame_of(body: Body, grid: Grid, thick_mm: float, breath: float = 0.0) -> Frame:
    """A grid of the patient seen in the atlas: the body's stretch and its breath undone.

    breath  0 full inspiration, 1 full expiration; thick_mm is the thickness of a slice.
    """
    z, y, x = (axis / np.float32(scale) for axis, scale in zip(grid.axes, body.scale, strict=True))
    z = np.where(z < 0, z / np.float32(1 - BREATH_Z * breath), z)
    y = (y - 60) / np.float32(1 - BREATH_Y * breath) + 60
    dz, _, dx = (abs(step) / scale for step, scale in zip(grid.step, body.scale, strict=True))
    return Frame(z[:, None, None], y[None, :, None], x[None, None, :], dx, thick_mm / body.scale[0], dz)
