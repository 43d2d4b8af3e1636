"""Preview: the few planes of a scan that a report shows, small enough to keep beside the story.

A report is drawn from previews alone, so it can be drawn again without the scan. Every plane stands upright
as a radiologist hangs it: axial and coronal with the patient's right on the picture's left, sagittal with the
front on the picture's left, the head at the top. Pixels are square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from PIL import Image

from glasslung.data.orientation import Orientation, orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import DataError, ShapeError
from glasslung.types import Geometry, Intensity, Lung, Lungs, Volume

LEVELS = 8  # axial planes spread over the lungs: two rows of four
MAX_SIDE_PX = (
    420  # a plane's longer side: sharp at the size it is printed, small enough to keep four scans in a page
)
MARGIN_MM = 25.0  # chest wall left around the lungs
FEWEST_SLICES_FOR_REFORMATS = 8  # below this a coronal plane is a few stripes and a profile a few points
FEWEST_SLICES_FOR_THIRDS = 10  # as the measures: fewer slices with lung are not cut into thirds
HEAT_LEVELS = 4  # axial planes with a map of relevance: two rows of pairs
HEAT_APART_MM = 20.0  # two of them show different lung
HEAT_TOP = 127  # of a map of relevance as int8
FAINT_SHARE = 0.02  # slices with less than this share of the largest lung area do not set the lungs' extent


class Plane(StrEnum):
    """The three ways to cut a chest."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


@dataclass(frozen=True)
class Window:
    """A display window: grey values from level - width/2 (black) to level + width/2 (white)."""

    name: str
    level: float
    width: float


LUNG_WINDOW = Window("lung", -600.0, 1500.0)
SOFT_TISSUE_WINDOW = Window("soft tissue", 40.0, 400.0)
AS_STORED = Window("grey values as stored", 127.5, 255.0)


@dataclass(frozen=True, eq=False)
class View:
    """One plane through the scan, upright, with square pixels.

    plane        axial, coronal or sagittal
    grey         (H, W) int16 HU, or uint8 for display8
    lungs        (H, W) uint8, labels of `Lung`
    opacities    (H, W) uint8, labels of `Lesion`, by density; None where opacities were not measured
    lesions      likewise, by a network or made elsewhere; None where there are none
    pixel_mm     side of a pixel; None where the spacing is not known
    position_mm  where the plane lies along its normal, mm in LPS; None where not known
    number       number of the plane in the file, counted from 1 along the file's own axis
    count        how many planes the file has along that axis
    where        'upper', 'middle' or 'lower' third of the lungs' volume, 'right lung', 'left lung', or ''
    most         True for the axial plane with most opacity
    heat         (H, W) int8, -127 to 127: relevance for (above 0) and against what a classifier was asked
                 about, as a share of what is drawn in full colour; None elsewhere
    change       (H, W) uint8, labels of `measure.followup.Tissue`, against the scan before; None elsewhere
    """

    plane: Plane
    grey: np.ndarray
    lungs: np.ndarray
    opacities: np.ndarray | None
    pixel_mm: float | None
    position_mm: float | None
    number: int
    count: int
    where: str
    most: bool = False
    lesions: np.ndarray | None = None
    heat: np.ndarray | None = None
    change: np.ndarray | None = None

    def __post_init__(self) -> None:
        layers = {
            "lungs": self.lungs,
            "opacities": self.opacities,
            "lesions": self.lesions,
            "heat": self.heat,
            "change": self.change,
        }
        for name, layer in layers.items():
            if layer is not None and layer.shape != self.grey.shape:
                raise ShapeError(f"{name} {layer.shape} do not lie on the picture {self.grey.shape}")


@dataclass(frozen=True, eq=False)
class Profile:
    """How much lung, and how much of it is lesion or opacity, each slice holds, from the feet to the head.

    lung, affected  (Z,) float64, cm2 per slice; affected is of the lesions of a network or made elsewhere,
                    where there are any, else of the opacities by density; None where there are neither
    position_mm     (Z,) float64, LPS z of each slice
    """

    position_mm: np.ndarray
    lung: np.ndarray
    affected: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Preview:
    """What the pictures of one scan are drawn from.

    views    axial planes from head to feet, the one with most opacity if it is not among them, then coronal
             and sagittal right and left where they can be made
    windows  the display windows that make sense for these grey values, the one to show first first
    profile  None where the spacing is not known or there are too few slices
    reasons  axial planes with a map of relevance, those with most of it, from head to feet; () without one
    """

    intensity: Intensity
    geometry: Geometry
    windows: tuple[Window, ...]
    views: tuple[View, ...]
    profile: Profile | None
    reasons: tuple[View, ...] = ()


@dataclass(frozen=True, eq=False)
class _Chest:
    """A scan stood upright, (Z, Y, X), with what is needed to cut it."""

    volume: Volume
    orientation: Orientation
    grey: np.ndarray
    lungs: np.ndarray
    opacities: np.ndarray | None
    lesions: np.ndarray | None
    spacing_mm: tuple[float, float, float]
    box: tuple[slice, slice, slice]
    lung_area: np.ndarray
    affected_area: np.ndarray | None
    heat: np.ndarray | None = None
    change: np.ndarray | None = None


def make_preview(
    volume: Volume,
    lungs: Lungs,
    opacities: np.ndarray | None,
    lesions: np.ndarray | None = None,
    heat: np.ndarray | None = None,
) -> Preview:
    """Pick and cut the planes that a reader needs to judge the scan and its masks.

    opacities (by density) and lesions (by a network, or made elsewhere) are (D, H, W) with the labels of
    `Lesion` on the volume's own grid, or None where there are none. The plane with most is that of the
    lesions, or else of the opacities. heat is a map of relevance likewise, int8 as `heat_of` makes it. Raises
    ShapeError when a mask does not lie on the volume's grid.
    """
    masks = {"lung mask": lungs.mask, "opacity mask": opacities, "lesion mask": lesions, "map": heat}
    for name, mask in masks.items():
        if mask is not None and mask.shape != volume.shape:
            raise ShapeError(f"the {name} {mask.shape} does not lie on the scan's grid {volume.shape}")
    chest = _stand_up(volume, lungs, opacities, lesions)
    if heat is not None:
        chest = replace(chest, heat=to_upright(heat, chest.orientation))
    views = _axial_views(chest)
    whole = volume.has_ml and chest.grey.shape[0] >= FEWEST_SLICES_FOR_REFORMATS
    if whole:
        views += _reformats(chest)
    windows = (LUNG_WINDOW, SOFT_TISSUE_WINDOW) if volume.intensity is Intensity.HU else (AS_STORED,)
    return Preview(
        volume.intensity,
        volume.geometry,
        windows,
        tuple(views),
        _profile(chest) if whole else None,
        tuple(_reason_views(chest)),
    )


def cut_levels(
    volume: Volume,
    lungs: Lungs,
    lesions: np.ndarray | None,
    levels: Sequence[int],
    maps: Mapping[str, np.ndarray],
) -> Preview:
    """The axial planes of a scan at given levels, for scans side by side.

    lesions  (D, H, W) labels of `Lesion`, or None;  levels  upright slice numbers from the feet
    maps     'change' and 'heat' on the scan's own grid, (D, H, W), where there are any
    ShapeError for maps of another grid.
    """
    for name, layer in maps.items():
        if layer.shape != volume.shape:
            raise ShapeError(f"the map {name} {layer.shape} does not lie on the scan's grid {volume.shape}")
    chest = _stand_up(volume, lungs, None, lesions)
    upright = {name: to_upright(layer, chest.orientation) for name, layer in maps.items()}
    chest = replace(chest, heat=upright.get("heat"), change=upright.get("change"))
    views = [_cut(chest, Plane.AXIAL, z, _third(chest, z), heat=True) for z in levels]
    windows = (LUNG_WINDOW,) if volume.intensity is Intensity.HU else (AS_STORED,)
    return Preview(volume.intensity, volume.geometry, windows, tuple(views), None)


def heat_of(relevance: np.ndarray, full: float) -> np.ndarray:
    """A map of relevance (D, H, W) as int8: -127 to 127, where it is `full` or more of either sign."""
    if not full > 0 or not np.isfinite(relevance).all():
        raise DataError("a map of relevance must be finite, and its full colour above 0")
    out = np.zeros(relevance.shape, np.int8)
    for z, plane in enumerate(relevance):
        out[z] = np.rint(np.clip(plane / full, -1, 1) * HEAT_TOP)
    return out


def _stand_up(
    volume: Volume, lungs: Lungs, opacities: np.ndarray | None, lesions: np.ndarray | None
) -> _Chest:
    """Turn scan and masks upright and find the part worth showing."""
    orientation = orientation_of(volume)
    mask = to_upright(lungs.mask, orientation).astype(np.uint8, copy=False)
    dense, drawn = (
        None if layer is None else to_upright(layer, orientation).astype(np.uint8, copy=False)
        for layer in (opacities, lesions)
    )
    counted = dense if drawn is None else drawn
    spacing = upright_spacing_mm(volume, orientation)
    inside = mask != Lung.NONE
    # A mask that is not trusted must be seen whole, so it does not choose the frame.
    box = _box(inside, spacing) if lungs.quality.trusted else _whole(mask.shape)
    return _Chest(
        volume=volume,
        orientation=orientation,
        grey=to_upright(volume.voxels, orientation),
        lungs=mask,
        opacities=dense,
        lesions=drawn,
        spacing_mm=spacing,
        box=box,
        lung_area=inside.sum(axis=(1, 2)).astype(np.float64),
        affected_area=None if counted is None else (counted != 0).sum(axis=(1, 2)).astype(np.float64),
    )


def _whole(shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """The frame that shows everything."""
    z, y, x = (slice(0, n) for n in shape)
    return z, y, x


def _box(inside: np.ndarray, spacing_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """The frame around the lungs plus a margin of chest wall; everything where there are no lungs."""
    if not inside.any():
        return _whole(inside.shape)
    cuts = []
    for axis, spacing in enumerate(spacing_mm):
        others = tuple(n for n in range(3) if n != axis)
        found = np.flatnonzero(inside.any(axis=others))
        margin = round(MARGIN_MM / spacing)
        cuts.append(slice(max(0, found[0] - margin), min(inside.shape[axis], found[-1] + 1 + margin)))
    return cuts[0], cuts[1], cuts[2]


def _extent(chest: _Chest) -> tuple[int, int]:
    """First and last upright slice of the lungs; all slices where there are no lungs."""
    area = chest.lung_area
    found = np.flatnonzero(area > FAINT_SHARE * area.max()) if area.max() > 0 else np.arange(area.size)
    return int(found[0]), int(found[-1])


def levels_of(first: int, last: int, levels: int = LEVELS) -> list[int]:
    """Slices at the same shares of the lungs' height in every scan, from the head down."""
    count = last - first + 1
    if count <= levels:
        return list(range(last, first - 1, -1))
    return [last - int((n + 0.5) * count / levels) for n in range(levels)]


def _axial_views(chest: _Chest) -> list[View]:
    """The axial planes, head first; the one with most opacity is marked, and comes last if not among them."""
    levels = levels_of(*_extent(chest))
    affected = chest.affected_area
    most = int(np.argmax(affected)) if affected is not None and affected.any() else None
    shown = levels if most is None or most in levels else [*levels, most]
    return [_cut(chest, Plane.AXIAL, z, _third(chest, z), most=z == most) for z in shown]


def _reason_views(chest: _Chest) -> list[View]:
    """The axial planes with most relevance, for the finding or against it, not too near each other."""
    if chest.heat is None:
        return []
    load = np.array([np.abs(plane.astype(np.int16)).sum() for plane in chest.heat], np.float64)
    slices = int(np.count_nonzero(chest.lung_area))
    apart = math.ceil(HEAT_APART_MM / chest.spacing_mm[0]) if chest.volume.has_ml else max(1, slices // 12)
    picked: list[int] = []
    while load.any() and len(picked) < HEAT_LEVELS:
        z = int(np.argmax(load))
        picked.append(z)
        load[max(0, z - apart + 1) : z + apart] = 0
    return [_cut(chest, Plane.AXIAL, z, _third(chest, z), heat=True) for z in sorted(picked, reverse=True)]


def _third(chest: _Chest, z: int) -> str:
    """Which third of the lungs' volume a slice lies in, as the measures cut them; '' where there are none."""
    if not chest.volume.has_ml or np.count_nonzero(chest.lung_area) < FEWEST_SLICES_FOR_THIRDS:
        return ""
    share = (chest.lung_area[:z].sum() + chest.lung_area[z] / 2) / chest.lung_area.sum()
    return ("lower", "middle", "upper")[min(int(3 * share), 2)]


def _reformats(chest: _Chest) -> list[View]:
    """One coronal plane where both lungs are broadest, one sagittal plane through the middle of each lung."""
    inside = chest.lungs != Lung.NONE
    y = _broadest(inside, axis=1)
    views = [_cut(chest, Plane.CORONAL, y, "")]
    for side, name in ((Lung.RIGHT, "right lung"), (Lung.LEFT, "left lung")):
        lung = chest.lungs == side
        if lung.any():
            views.append(_cut(chest, Plane.SAGITTAL, _broadest(lung, axis=2), name))
    return views


def _broadest(mask: np.ndarray, axis: int) -> int:
    """The plane across `axis` that cuts most of the mask; the middle one where the mask is empty."""
    area = mask.sum(axis=tuple(n for n in range(3) if n != axis))
    return int(np.argmax(area)) if area.any() else mask.shape[axis] // 2


def _cut(chest: _Chest, plane: Plane, index: int, where: str, most: bool = False, heat: bool = False) -> View:
    """One plane as a picture with square pixels, head up, front up or left; with the map of relevance or not.

    That map comes without opacities by density, which would hide it."""
    axis = (Plane.AXIAL, Plane.CORONAL, Plane.SAGITTAL).index(plane)
    rows, cols = (n for n in range(3) if n != axis)
    take: list[slice | int] = list(chest.box)
    take[axis] = index
    shape = [chest.box[n].stop - chest.box[n].start for n in (rows, cols)]
    extent = [shape[0] * chest.spacing_mm[rows], shape[1] * chest.spacing_mm[cols]]
    pixel = max(min(chest.spacing_mm[rows], chest.spacing_mm[cols]), max(extent) / MAX_SIDE_PX)
    size = (max(1, round(extent[0] / pixel)), max(1, round(extent[1] / pixel)))
    head_up = slice(None, None, -1 if plane is not Plane.AXIAL else 1)

    def layer(array: np.ndarray) -> np.ndarray:
        return array[tuple(take)][head_up]

    number, count = _number_in_file(chest, axis, index)
    return View(
        plane=plane,
        grey=_resize(layer(chest.grey), size),
        lungs=_resize_labels(layer(chest.lungs), size),
        opacities=None if chest.opacities is None or heat else _resize_labels(layer(chest.opacities), size),
        pixel_mm=float(pixel) if chest.volume.has_ml else None,
        position_mm=_position_mm(chest, axis, index) if chest.volume.has_ml else None,
        number=number,
        count=count,
        where=where,
        most=most,
        lesions=None if chest.lesions is None else _resize_labels(layer(chest.lesions), size),
        heat=_resize(layer(chest.heat), size) if heat and chest.heat is not None else None,
        change=None if chest.change is None else _resize_labels(layer(chest.change), size),
    )


def _number_in_file(chest: _Chest, axis: int, index: int) -> tuple[int, int]:
    """The plane's number along the file's own axis, from 1, and how many there are."""
    count = chest.grey.shape[axis]
    return (count - index if chest.orientation.flips[axis] else index + 1), count


def _position_mm(chest: _Chest, axis: int, index: int) -> float:
    """Where the middle of a plane lies along the patient axis that it cuts, mm LPS."""
    number, _ = _number_in_file(chest, axis, index)
    place = [(n - 1) / 2 for n in chest.volume.shape] + [1.0]
    place[chest.orientation.axes[axis]] = number - 1
    return float((chest.volume.affine @ np.array(place))[2 - axis])


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grey values on `size` (H, W) pixels: interpolated when enlarged, averaged when made smaller."""
    image = Image.fromarray(np.ascontiguousarray(picture, dtype=np.float32))
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
    limits = np.iinfo(picture.dtype)
    return np.clip(np.rint(resized), limits.min, limits.max).astype(picture.dtype)


def _resize_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Labels on `size` (H, W) pixels: each pixel takes the label at its middle, none is invented."""
    image = Image.fromarray(np.ascontiguousarray(labels, dtype=np.uint8))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.NEAREST)).copy()


def _profile(chest: _Chest) -> Profile:
    """Lung and affected area of every slice, cm2, feet to head."""
    pixel_cm2 = chest.spacing_mm[1] * chest.spacing_mm[2] / 100.0
    heights = np.array([_position_mm(chest, 0, z) for z in range(chest.grey.shape[0])])
    affected = None if chest.affected_area is None else chest.affected_area * pixel_cm2
    return Profile(heights, chest.lung_area * pixel_cm2, affected)
