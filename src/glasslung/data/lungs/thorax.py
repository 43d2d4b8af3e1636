"""Air inside the body: the room and the table are left out, with or without a full field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.coarse import Coarse
from glasslung.data.lungs.settings import Settings

TABLE_HALF_MM = 4.0  # a table's shell and a blanket's fold are thinner than twice this, a chest wall is not
SLIVER_MM = 15.0  # air along the picture's border that is no deeper than this is the room, not a cropped lung
CROP_RIM_AIR = 0.35  # of the picture's border: a whole body is framed by air
WIDE_HU = -500.0  # between any lung and any soft tissue, for the first look
_CROSS = ndimage.generate_binary_structure(2, 1)[None]  # the skin's partial volume, in each slice


@dataclass(frozen=True, eq=False)
class Thorax:
    """What is body and what is not, (z, y, x) bool each on the coarse grid.

    body  the patient's tissue, without table and blankets
    room  the air round the patient, and whatever lies in it
    """

    body: np.ndarray
    room: np.ndarray


def find_thorax(coarse: Coarse) -> Thorax:
    """Body and room, slice by slice.

    A region of not-body is the room when it holds a corner of the picture or lies along its border as a
    sliver; a lung that the field of view cuts is deep and holds no corner, so it stays.
    """
    air = coarse.hu < WIDE_HU
    body = ~air if _is_crop(air) else body_of(~air, coarse)
    depth = SLIVER_MM / coarse.spacing_mm[1]
    room = np.stack([_room_of_slice(~section, depth) for section in body])
    skin = ndimage.binary_dilation(room, _CROSS, iterations=2, mask=room | ~air)
    return Thorax(body, room | skin)


def edge_hu(thorax: Thorax, coarse: Coarse, settings: Settings) -> float:
    """The lung's edge: half-way between this scan's own aerated lung and soft tissue, HU.

    The scan's lung is the median of the interior air; -860 where there is none worth the name.
    """
    air = interior_air(thorax, coarse, WIDE_HU)
    core = mm.erode(air, 3.0, coarse.spacing_mm)
    sample = coarse.hu[core] if core.any() else coarse.hu[air]
    lung = float(np.clip(np.median(sample), -930.0, -700.0)) if sample.size else -860.0
    return (lung + settings.tissue_hu) / 2.0


def interior_air(thorax: Thorax, coarse: Coarse, below_hu: float) -> np.ndarray:
    """Voxels darker than `below_hu` that lie inside the body: lungs, airways, bowel gas."""
    return (coarse.hu < below_hu) & ~thorax.room


def body_of(tissue: np.ndarray, coarse: Coarse) -> np.ndarray:
    """The patient without table, wires and blankets: the thick tissue, then what hangs on to it."""
    thick = mm.open_(tissue, TABLE_HALF_MM, mm.flat(coarse.spacing_mm))
    labels, sizes = mm.pieces(thick)
    keep = sizes >= max(0.05 * sizes.max(initial=0), 1)
    body = keep[labels]
    return tissue & mm.dilate(body, 2 * TABLE_HALF_MM, mm.flat(coarse.spacing_mm))


def _is_crop(air: np.ndarray) -> bool:
    """Whether the picture was cut inside the body: then no table is in view, and thin walls must stay."""
    rim = np.concatenate([air[:, 0].ravel(), air[:, -1].ravel(), air[:, :, 0].ravel(), air[:, :, -1].ravel()])
    return bool(rim.mean() < CROP_RIM_AIR)


def _room_of_slice(not_body: np.ndarray, depth: float) -> np.ndarray:
    labels, count = ndimage.label(not_body)
    if count == 0:
        return not_body
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    contact = np.bincount(rim, minlength=count + 1)
    room = (contact > 0) & (sizes / np.maximum(contact, 1) < depth)
    room[labels[[0, 0, -1, -1], [0, -1, 0, -1]]] = True
    room[0] = False
    return room[labels]
