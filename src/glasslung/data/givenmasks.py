"""Masks made elsewhere: lungs and lesions that another program or a person drew, on a scan of ours.

Numbers of lungs that are understood
    0, 1             lung, without sides (TotalSegmentator's or any binary mask)
    0, 1, 2 (, 3)    1 right, 2 left, 3 lung without side: glasslung's own, and lungmask's R231
    0 to 4 or 5      lobes as lungmask numbers them (LTRCLobes): 1 left upper, 2 left lower, 3 right upper,
                     4 right middle, 5 right lower
Lesions are numbered as `Lesion` has them, or by a table such as "1=ground glass,2=consolidation".

A mask on the scan's own grid is taken voxel by voxel. One on another grid that lies in the same place is
brought over, the nearest voxel's label; the remark says so. What cannot be placed is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasslung.data.formats.reading import read_labels, read_mask
from glasslung.data.lungs.quality import Evidence, judge
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Geometry, Lesion, Lobe, Lung, Lungs, Volume

LEAST_INSIDE = 0.5  # of a mask's labelled voxels: less inside the scan is another patient, or another room
RIGHT_LOBES = (Lobe.RIGHT_UPPER, Lobe.RIGHT_MIDDLE, Lobe.RIGHT_LOWER)
OWN_LABELS: dict[int, Lesion] = {int(lesion): lesion for lesion in Lesion}


@dataclass(frozen=True, eq=False)
class GivenLungs:
    """Lungs that were drawn elsewhere, on the scan's grid; lobes (D, H, W) where the mask tells them."""

    lungs: Lungs
    lobes: np.ndarray | None
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class GivenLesions:
    """Lesions that were drawn elsewhere, (D, H, W) uint8 labels of `Lesion`, and the kinds they tell."""

    mask: np.ndarray
    kinds: tuple[Lesion, ...]
    notes: tuple[str, ...]


def given_lungs(path: Path, volume: Volume) -> GivenLungs:
    """Read lungs made elsewhere; DataError where its numbers, or the sides they mean, cannot be right."""
    labels, notes = _on_scan(path, volume, "lungs")
    there = np.unique(labels)
    most = int(there[-1])
    if most == 0:
        raise DataError(f"{path.name}: holds no lung voxel; give the mask of this scan's lungs")
    lobes = None
    if most > max(Lobe):
        raise DataError(
            f"{path.name}: holds the labels {_listed(there)}; lungs are 1, or 1 right and 2 left, or lobes "
            "1 to 5 as lungmask numbers them: write them so"
        )
    if most == 1:
        mask = np.where(labels == 1, np.uint8(Lung.UNSIDED), np.uint8(0))
        notes += ("the lung mask does not tell sides",)
    elif most <= max(Lung):
        mask = labels
    else:
        lobes = labels
        sides = np.zeros(max(Lobe) + 1, np.uint8)
        for lobe in Lobe:
            if lobe:
                sides[lobe] = Lung.RIGHT if lobe in RIGHT_LOBES else Lung.LEFT
        mask = sides[labels]
        notes += ("the lung mask tells lobes, numbered as by lungmask",)
    _check_sides(path, mask, volume)
    orientation = orientation_of(volume)
    measured = volume.geometry is Geometry.MEASURED
    spacing = upright_spacing_mm(volume, orientation)
    # what was drawn elsewhere is not judged by its greys
    evidence = Evidence(to_upright(mask, orientation), spacing, measured, hounsfield=True)
    return GivenLungs(Lungs(mask, judge(evidence)), lobes, notes)


def given_lesions(path: Path, volume: Volume, names: Mapping[int, Lesion] | None = None) -> GivenLesions:
    """Read lesions made elsewhere.

    names  what each label means; by default the labels of `Lesion`
    DataError for a label without a name: it names the labels found and the flag.
    """
    labels, notes = _on_scan(path, volume, "lesions")
    table = dict(OWN_LABELS if names is None else names) | {0: Lesion.NONE}
    there = [int(label) for label in np.unique(labels)]
    if strange := [label for label in there if label not in table]:
        raise DataError(
            f"{path.name}: holds the labels {_listed(there)}, and nothing says what {_listed(strange)} "
            f'means; say it: --lesion-labels "{_example(there)}"'
        )
    lookup = np.zeros(256, np.uint8)
    for label, lesion in table.items():
        lookup[label] = lesion
    kinds = tuple(lesion for lesion in Lesion if lesion and lesion in table.values())
    return GivenLesions(lookup[labels], kinds, notes)


def lesion_labels(text: str) -> dict[int, Lesion]:
    """'1=ground glass,2=consolidation' -> {1: GROUND_GLASS, 2: CONSOLIDATION}; '' gives {}."""
    known = {lesion.words: lesion for lesion in Lesion}
    found: dict[int, Lesion] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        number, _, name = (side.strip() for side in part.partition("="))
        words = name.lower().replace("-", " ").replace("_", " ")
        if not number.isdecimal() or not 0 <= int(number) <= 255 or words not in known:
            raise UsageError(
                f"--lesion-labels {part!r}: write NUMBER=NAME with commas between them, the names are "
                f"{', '.join(known)}; like 1=ground glass,2=consolidation"
            )
        if int(number) in found:
            raise UsageError(f"--lesion-labels names {number} twice; name every label once")
        found[int(number)] = known[words]
    return found


def _example(there: list[int]) -> str:
    names = ("ground glass", "consolidation", "crazy paving")
    return ",".join(f"{label}={name}" for label, name in zip(filter(None, there), names, strict=False))


def _listed(labels: np.ndarray | list[int]) -> str:
    shown = [str(int(label)) for label in labels[:12]]
    return ", ".join(shown) + (", ..." if len(labels) > 12 else "")


def _check_sides(path: Path, mask: np.ndarray, volume: Volume) -> None:
    """DataError where the right lung lies on the patient's left: its labels are swapped."""
    if volume.geometry is not Geometry.MEASURED:
        return
    upright = to_upright(mask, orientation_of(volume))
    columns = [np.count_nonzero(upright == side, axis=(0, 1)) for side in (Lung.RIGHT, Lung.LEFT)]
    if not all(column.any() for column in columns):
        return
    right, left = (float(np.average(np.arange(column.size), weights=column)) for column in columns)
    if right > left:
        raise DataError(
            f"{path.name}: what it calls the right lung lies on the patient's left; its labels are swapped, "
            "or it was mirrored: write 1 for the right lung and 2 for the left"
        )


def _on_scan(path: Path, volume: Volume, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (D, H, W) uint8 on the scan's grid, and what was done to bring them there."""
    try:
        return read_mask(path, volume), ()
    except ShapeError:
        if path.is_dir() or volume.geometry is not Geometry.MEASURED:
            raise
    labels, affine = read_labels(path)
    if _plain(affine):
        raise ShapeError(
            f"{path.name}: the mask has {labels.shape} voxels and no geometry of its own, the scan "
            f"{volume.shape}; give a mask that says where it lies"
        )
    return _brought_over(path, labels, affine, volume, what)


def _plain(affine: np.ndarray) -> bool:
    """Whether an affine says nothing: 1 mm, no place, as programs write that know none."""
    return bool(np.allclose(np.abs(affine[:3, :3]).sum(0), 1) and np.allclose(affine[:3, 3], 0))


def _brought_over(
    path: Path, labels: np.ndarray, affine: np.ndarray, volume: Volume, what: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels on another grid of the same place -> on the scan's grid, the nearest voxel's."""
    from scipy import ndimage

    found = np.argwhere(labels > 0)
    if not len(found):
        raise DataError(f"{path.name}: holds no label above 0; give the mask of this scan's {what}")
    some = found[:: max(1, len(found) // 20_000)]
    into = np.linalg.inv(volume.affine) @ affine
    places = np.c_[some, np.ones(len(some))] @ into.T
    inside = np.all((places[:, :3] >= -0.5) & (places[:, :3] < np.array(volume.shape) - 0.5), axis=1).mean()
    if inside < LEAST_INSIDE:
        raise ShapeError(
            f"{path.name}: lies on another grid ({labels.shape} voxels, the scan {volume.shape}), and only "
            f"{inside:.0%} of it inside the scan; give the mask that was made from this scan"
        )
    back = np.linalg.inv(into)
    moved = ndimage.affine_transform(
        labels, back[:3, :3], back[:3, 3], output_shape=volume.shape, order=0, mode="constant", cval=0
    )
    return moved, (
        f"the mask of the {what} lay on another grid and was brought to the scan's, nearest voxel",
    )
