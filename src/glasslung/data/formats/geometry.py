"""Geometry of a scan: is it believable, and what is assumed where a file has none."""

from __future__ import annotations

import numpy as np

from glasslung.errors import DataError, ShapeError

SMALLEST_SPACING_MM = 0.01  # micro-CT of a lung sample; nothing of a patient is finer
LARGEST_SPACING_MM = 100.0  # a whole chest in three slices
FARTHEST_MM = 20_000.0  # table coordinates stay within a few metres
LEAST_BOX = (
    0.5  # volume of a voxel over that of an upright box: 0.5 is a shear of 60 degrees, gantries end at 30
)

# Head first, upright, as a radiologist looks at it: the next slice is nearer the feet (-z), the next row
# nearer the back (+y), the next column nearer the patient's left (+x). 1 mm is a convention.
HEAD_FIRST = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
FEET_FIRST = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)


def assumed_affine(feet_first: bool = False) -> np.ndarray:
    """The affine of pictures, which carry none: 1 mm, upright, first slice nearest the head (or the feet)."""
    return (FEET_FIRST if feet_first else HEAD_FIRST).copy()


def check_finite(affine: np.ndarray, name: str) -> None:
    """Refuse an affine that holds NaN or infinite numbers."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise DataError(f"{name}: its geometry holds values that are no numbers; export the scan again")


def check_affine(affine: np.ndarray, name: str) -> np.ndarray:
    """Refuse a geometry that no scanner makes: not finite, absurd spacing, axes that coincide.

    affine (4, 4), index -> LPS mm; name: the file's name, for the message. Returns the affine as float64.
    """
    affine = np.asarray(affine, dtype=np.float64)
    check_finite(affine, name)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < SMALLEST_SPACING_MM or spacing.max() > LARGEST_SPACING_MM:
        raise DataError(
            f"{name}: its voxels would measure {' x '.join(f'{s:.4g}' for s in spacing)} mm, which no "
            "CT has; "
            "the header is damaged or in other units: export the scan again"
        )
    box = abs(np.linalg.det(affine[:3, :3] / spacing))
    if box < LEAST_BOX:
        raise DataError(
            f"{name}: its axes are far from perpendicular (box volume {box:.2f} of 1); "
            "the header's orientation is damaged: export the scan again"
        )
    if np.abs(affine[:3, 3]).max() > FARTHEST_MM:
        raise DataError(
            f"{name}: its origin lies more than 20 m away; the header is damaged: export it again"
        )
    return affine


def shear_of(affine: np.ndarray) -> float:
    """How far an affine's axes are from perpendicular: largest |cosine| between two of them, 0 for a box."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def corners_mm(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(8, 3) LPS mm: centres of the eight corner voxels."""
    index = np.array(
        [[d, h, w, 1] for d in (0, shape[0] - 1) for h in (0, shape[1] - 1) for w in (0, shape[2] - 1)]
    )
    return (index @ affine.T)[:, :3]


def check_same_grid(
    name: str, shape: tuple[int, ...], affine: np.ndarray, like: tuple[tuple[int, ...], np.ndarray]
) -> None:
    """Refuse a mask that does not lie on the scan's own grid: another shape, or corners elsewhere.

    Corners may differ by a fiftieth of the smallest voxel edge, which is what rounding in headers does.
    """
    if tuple(shape) != tuple(like[0]):
        raise ShapeError(
            f"{name}: the mask has {tuple(shape)} voxels and the scan {tuple(like[0])}; "
            "use the mask that was made from this scan"
        )
    off = float(np.abs(corners_mm(affine, shape) - corners_mm(like[1], shape)).max())
    allowed = 0.02 * float(np.linalg.norm(like[1][:3, :3], axis=0).min())
    if off > allowed:
        raise ShapeError(
            f"{name}: mask and scan have shape {tuple(shape)}, but the mask's corners lie up to "
            f"{off:.3g} mm off "
            f"(mask affine {np.round(affine, 3).tolist()}, scan affine {np.round(like[1], 3).tolist()}); "
            "use the mask that was made from this scan"
        )
