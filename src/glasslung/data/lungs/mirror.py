"""The chest's other half: where a lung should be, judged by the lung of the other side.

Behind the heart and above it the halves of a chest mirror each other; in front and below they do not (the
heart lies left, the liver's dome stands higher on the right), so nothing is said there. Beside the spine
the descending aorta takes the left lung's place, so nothing is said there either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs.morphology import Spacing, dilate
from glasslung.data.lungs.settings import Settings
from glasslung.types import Lung

BACK_PART = {Lung.RIGHT: 0.5, Lung.LEFT: 0.62}  # of the lungs' depth: behind this lies no heart
UPPER_PART = 0.62  # of the lungs' height: above this only great vessels lie between the lungs
AORTA_MM = 45.0  # from the middle to the left flank of a wide descending aorta
BRONCHOGRAM_MM = 30.0  # a segment is about that wide: no part of it is farther from its bronchus
PLANE_MM = 35.0  # the mirror plane is sought this far from half-way between the lungs' flanks


@dataclass(frozen=True, eq=False)
class Mirrored:
    """What the other lung, seen in the mirror plane, says about this one, (z, y, x) each.

    ghost   bool: the mirrored lung where mirroring can be trusted
    says    float32: 0 at the mirrored lung's rim to 1 deep inside, 0 where it cannot be trusted
    deep    bool: inside the mirrored lung and not at its rim, where it can be trusted and, on the right,
            also in front: a normal lung would be aerated here
    """

    ghost: np.ndarray
    says: np.ndarray
    deep: np.ndarray


def mirror_lung(
    lungs: dict[int, np.ndarray], side: int, bronchi: np.ndarray, spacing_mm: Spacing, settings: Settings
) -> Mirrored:
    """Where the other lung says that this lung should be.

    lungs maps `Lung.RIGHT` and `Lung.LEFT` to bool masks on one upright grid; bronchi (bool) are air tubes
    in dense tissue. In front on the right, where the mirrored lung may meet a high liver, it is trusted
    only near bronchi: the air bronchogram is what tells dense lung from liver.
    """
    own, other = lungs[side], lungs[3 - side]
    nothing = np.zeros(own.shape, bool)
    if not own.any() or not other.any():
        return Mirrored(nothing, nothing.astype(np.float32), nothing)
    both = own | other
    trusted = _symmetric_part(both, Lung(side))
    columns = np.flatnonzero(both.any(axis=(0, 1)))
    if side == Lung.RIGHT:
        trusted |= dilate(bronchi, BRONCHOGRAM_MM, spacing_mm)
    else:
        trusted[:, :, : int((columns[0] + columns[-1]) / 2 + AORTA_MM / spacing_mm[2])] = False
    ghost = mirror_image(own, other, spacing_mm)
    depth = ndimage.distance_transform_edt(ghost, sampling=spacing_mm)
    ramp = (depth - settings.mirror_from_mm) / (settings.mirror_full_mm - settings.mirror_from_mm)
    deep = (ramp > 0.0) & (trusted | (side == Lung.RIGHT))
    return Mirrored(ghost & trusted, np.where(trusted, np.clip(ramp, 0, 1), 0).astype(np.float32), deep)


def mirror_image(own: np.ndarray, other: np.ndarray, spacing_mm: Spacing) -> np.ndarray:
    """The other lung laid over this one in the plane that fits best, (z, y, x) bool; neither may be empty."""
    columns = np.flatnonzero((own | other).any(axis=(0, 1)))
    return _flip(other, _plane(own, other, int(columns[0] + columns[-1]), spacing_mm))


def _symmetric_part(both: np.ndarray, side: Lung) -> np.ndarray:
    z, y = np.flatnonzero(both.any(axis=(1, 2))), np.flatnonzero(both.any(axis=(0, 2)))
    part = np.zeros(both.shape, bool)
    part[int(z[0] + UPPER_PART * (z[-1] - z[0])) :] = True
    part[:, int(y[0] + BACK_PART[side] * (y[-1] - y[0])) :] = True
    return part


def _plane(own: np.ndarray, other: np.ndarray, centre: int, spacing_mm: Spacing) -> int:
    """Twice the mirror plane's column: the one that lays the other lung best over this lung, off itself."""
    reach = int(PLANE_MM / spacing_mm[2])

    def fit(twice: int) -> float:
        ghost = _flip(other, twice)
        return float(np.count_nonzero(ghost & own) - 0.5 * np.count_nonzero(ghost & other))

    return max(range(centre - reach, centre + reach + 1), key=fit)


def _flip(mask: np.ndarray, twice: int) -> np.ndarray:
    """Column x goes to column `twice` - x."""
    x = np.arange(mask.shape[2])
    from_x = twice - x
    on_grid = (from_x >= 0) & (from_x < mask.shape[2])
    out = np.zeros_like(mask)
    out[:, :, x[on_grid]] = mask[:, :, from_x[on_grid]]
    return out
