"""A cohort of whole scans with masks of lungs and lesions -> scans on a network's grid, to learn from.

    image      HU or 8-bit grey (display8) in DICOM, NIfTI, NRRD, MHA, a zip of these, or a folder of pictures
    lungs      a mask on the scan's own grid with the labels of `Lung`, or 255 for both; else `lobes` tells
    lesions    likewise, with the labels of `Lesion`
    label      'healthy': there is no lesion, also without a mask

What is missing is unknown, not healthy: a scan without a lesion mask teaches lungs alone, one without a lung
mask lesions alone, one without either (and not healthy) is left out. Lesions count as lung, also where the
lung mask leaves them out, as masks by threshold do with consolidation. A mask of another shape or grid, an
unknown label, a lung mask without a voxel, lesions of which most lie outside the lungs, or no labelled scan:
DataError. What is doubtful is a remark: a kind of lesion that no scan has, labels that look exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasslung.data.boxgrid import BoxGrid, Triple, box_around, grid_over, labels_to_grid, to_grid
from glasslung.data.cohort import Cohort
from glasslung.data.lungs.pictures import assumed_spacing_mm
from glasslung.data.lungs.settings import DEFAULT
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.data.volumebatches import IN_LUNG, NO_LESION, Scan, Settings
from glasslung.errors import DataError, ShapeError
from glasslung.types import Case, Geometry, Intensity, Lesion, Lung, Progress, Remark, Severity, Volume

HEALTHY = "healthy"  # what a table calls people without lesions
DRAWN = 255  # what programs write for 'inside' where a mask has one label
MOST_OUTSIDE = 0.5  # of the lesions: beyond it the two masks are not of one scan, or one is mirrored
NOTED_OUTSIDE = 0.05  # worth a remark; outlines of two people differ by a voxel, which is less
GRID_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".zip")


@dataclass(frozen=True, eq=False)
class Labelled:
    """A scan and what is known of it, on its own grid.

    lungs    (D, H, W) bool, lesions counted in; None where nobody drew them
    lesions  (D, H, W) uint8 with the labels of `Lesion`; None where nobody looked
    outside  share of the lesions that lies outside the lung mask; NaN where one of the two is missing
    """

    case: Case
    volume: Volume
    lungs: np.ndarray | None
    lesions: np.ndarray | None
    outside: float = float("nan")


@dataclass(frozen=True, eq=False)
class VolumeSet:
    """The labelled scans of a cohort on a network's grid.

    names, digests  of each scan: as the table has it, and SHA-256 of its file
    remarks         what to beware of
    """

    scans: tuple[Scan, ...]
    names: tuple[str, ...]
    digests: tuple[str, ...]
    remarks: tuple[Remark, ...] = ()

    def __len__(self) -> int:
        return len(self.scans)


def holds_volumes(cohort: Cohort) -> bool:
    """Whether a cohort's scans are whole volumes and not slices or stacks of pictures."""
    return any(
        case.intensity is Intensity.HU or case.image.name.lower().endswith(GRID_ENDINGS)
        for case in cohort.cases
    )


def is_labelled(case: Case) -> bool:
    """Whether anything is known of where its lungs or lesions are."""
    return case.label == HEALTHY or any(mask is not None for mask in (case.lungs, case.lobes, case.lesions))


def labelled_cases(cohort: Cohort) -> tuple[Case, ...]:
    """The cases with a mask; DataError where there is none."""
    found = tuple(case for case in cohort.cases if is_labelled(case))
    if not found:
        raise DataError(
            f"{cohort.name} has no labelled scan: no row of its table names a mask in the columns lungs, "
            "lobes or lesions"
        )
    return found


def read_volume_cohort(cohort: Cohort, settings: Settings, progress: Progress | None = None) -> VolumeSet:
    """The labelled scans of a cohort on the settings' grid, in a box around the lungs.

    Where no lung mask is given the whole scan is kept. One scan at a time is held on its own grid.
    """
    cases = labelled_cases(cohort)
    scans, digests, seen = [], [], []
    for number, case in enumerate(cases):
        if progress:
            progress(f"reading scans: {case.scan}", number / len(cases))
        labelled = read_labelled_scan(cohort, case)
        scans.append(on_cohort_grid(labelled, settings))
        digests.append(labelled.volume.source.sha256)
        seen.append(labels_of(labelled))
    names = tuple(case.scan for case in cases)
    remarks = (*_told_of(cohort, cases), *label_remarks(seen))
    return VolumeSet(tuple(scans), names, tuple(digests), remarks)


# ------------------------------------------------------------------------------------------------ one scan


def read_labelled_scan(cohort: Cohort, case: Case) -> Labelled:
    """A case's scan and masks, checked against each other; see the head of this file for what is refused."""
    try:
        volume = _read_volume(cohort, case)
        lungs, lesions = _read_lungs(cohort, case, volume), _read_lesions(cohort, case, volume)
    except DataError as problem:
        kind = ShapeError if isinstance(problem, ShapeError) else DataError
        raise kind(f"scan {case.scan!r}: {problem}") from problem
    outside = float("nan")
    if lungs is not None and lesions is not None and lesions.any():
        outside = _share_outside(case, lungs, lesions)
    if lungs is not None and lesions is not None:
        lungs |= lesions > 0
    return Labelled(case, volume, lungs, lesions, outside)


def _read_volume(cohort: Cohort, case: Case) -> Volume:
    """As the file says; where it is silent the table's word on HU or grey is taken."""
    from glasslung.data.formats import read_scan

    path = cohort.path(case.image)
    if not path.exists():
        raise DataError(f"{path} is not there; check the column image")
    try:
        volume = read_scan(path)
    except DataError:
        volume = read_scan(path, intensity=case.intensity)
    if volume.intensity is not case.intensity:
        raise DataError(
            f"{path} holds {volume.intensity.value} and the table says {case.intensity.value}; correct the "
            "column intensity"
        )
    if volume.shape[0] < 2:
        raise DataError(f"{path} is a single slice; give whole scans, or use a model of slices such as unet")
    return volume


def _read_lungs(cohort: Cohort, case: Case, volume: Volume) -> np.ndarray | None:
    """(D, H, W) bool; None where neither lungs nor lobes are drawn."""
    given = case.lungs or case.lobes
    if given is None:
        return None
    known = [*Lung, DRAWN] if case.lungs else range(DRAWN + 1)
    mask = _read_mask(cohort.path(given), volume, known, "0, 1 right, 2 left, 3 or 255 lung")
    if not mask.any():
        raise DataError(
            f"{cohort.path(given)} has no lung in it; leave the table's field empty where nobody drew them"
        )
    return np.asarray(mask > 0)


def _read_lesions(cohort: Cohort, case: Case, volume: Volume) -> np.ndarray | None:
    """(D, H, W) uint8 with the labels of `Lesion`; None where nobody looked."""
    if case.lesions is None:
        return np.zeros(volume.shape, np.uint8) if case.label == HEALTHY else None
    words = "0 none, 1 ground glass, 2 consolidation, 3 crazy paving"
    return _read_mask(cohort.path(case.lesions), volume, [*Lesion], words)


def _read_mask(path: Path, volume: Volume, known: Sequence[int], words: str) -> np.ndarray:
    from glasslung.data.formats import read_mask

    if not path.exists():
        raise DataError(f"the mask {path} is not there; correct the table, or leave the field empty")
    mask = read_mask(path, volume)
    there = np.sum([np.bincount(part.ravel(), minlength=DRAWN + 1) for part in mask], 0)  # slice by slice
    if strange := sorted(set(np.flatnonzero(there).tolist()) - set(known)):
        raise DataError(
            f"{path} holds the label(s) {', '.join(map(str, strange[:5]))}; known are {words}. Save the "
            "class numbers themselves"
        )
    return mask


def _share_outside(case: Case, lungs: np.ndarray, lesions: np.ndarray) -> float:
    """Share of the lesions that is not in the lung mask; DataError where it is most of them."""
    all_of_them = int(np.count_nonzero(lesions))
    share = int(np.count_nonzero((lesions > 0) & ~lungs)) / all_of_them
    if share > MOST_OUTSIDE:
        raise DataError(
            f"scan {case.scan!r}: {share:.0%} of the lesions in {case.lesions} lie outside the lungs; the "
            "two masks may be of two scans, or one of them mirrored: give both as drawn on this scan"
        )
    return share


# ---------------------------------------------------------------------------------- on the network's grid


def on_cohort_grid(labelled: Labelled, settings: Settings) -> Scan:
    """A scan and what is known of it on the network's grid, upright."""
    volume = labelled.volume
    orientation = orientation_of(volume)
    voxels = to_upright(volume.voxels, orientation)
    spacing = scan_spacing_mm(volume)
    lungs, lesions = (
        None if mask is None else to_upright(mask, orientation) for mask in (labelled.lungs, labelled.lesions)
    )
    box = None if lungs is None else box_around(lungs, spacing, settings.margin_mm)
    if box is None:
        z, y, x = voxels.shape
        box = slice(0, z), slice(0, y), slice(0, x)
    grid = grid_over(box, spacing, settings.spacing_mm)
    values = np.rint(to_grid(voxels, grid)).astype(np.int16)
    return Scan(values, _labels(lungs, lesions, grid), settings.spacing_mm, volume.intensity)


def _labels(lungs: np.ndarray | None, lesions: np.ndarray | None, grid: BoxGrid) -> np.ndarray:
    """What is known of each voxel, (z, y, x) int8: see the labels of `volumebatches`."""
    lung = None if lungs is None else labels_to_grid(lungs, grid)
    lesion = None if lesions is None else labels_to_grid(lesions, grid)
    if lesion is None:
        assert lung is not None  # cases without either are left out
        return np.where(lung, IN_LUNG, 0).astype(np.int8)
    healthy = NO_LESION if lung is None else lung.astype(np.int8)
    return np.where(lesion > 0, lesion.astype(np.int8) + 1, healthy).astype(np.int8)


def scan_spacing_mm(volume: Volume) -> Triple:
    """Upright spacing: as measured; plain pictures are taken to show a chest's width, as in prediction."""
    orientation = orientation_of(volume)
    if volume.geometry is Geometry.ASSUMED and volume.intensity is Intensity.DISPLAY8:
        return assumed_spacing_mm(to_upright(volume.voxels, orientation), DEFAULT)
    return upright_spacing_mm(volume, orientation)


# ------------------------------------------------------------------------------------------- the whole set


def _told_of(cohort: Cohort, cases: Sequence[Case]) -> list[Remark]:
    """What is not known, and what was left out for that."""
    found = []
    if left := len(cohort.cases) - len(cases):
        text = f"{left} of {len(cohort.cases)} scans have no mask and are left out."
        found.append(Remark("scans-unlabelled", Severity.NOTE, text))
    bare = sum(case.lesions is None and case.label != HEALTHY for case in cases)
    if bare:
        text = f"{bare} of {len(cases)} scans have no lesion mask: they tell of lungs alone."
        found.append(Remark("lesions-unknown", Severity.NOTE, text))
    if blind := sum(case.lungs is None and case.lobes is None for case in cases):
        text = f"{blind} of {len(cases)} scans have no lung mask: they tell of lesions alone."
        found.append(Remark("lungs-unknown", Severity.NOTE, text))
    return found


@dataclass(frozen=True)
class Labels:
    """What the masks of one scan hold.

    looked   whether there is a lesion mask; that somebody is healthy needs none
    kinds    those that are there
    darker   whether consolidation is darker than ground glass on average; None unless both are there
    outside  as in `Labelled`
    """

    name: str
    looked: bool
    kinds: frozenset[Lesion]
    darker: bool | None
    outside: float


def labels_of(labelled: Labelled) -> Labels:
    """A summary of a scan's masks, for `label_remarks`."""
    lesions, voxels = labelled.lesions, labelled.volume.voxels
    kinds, darker = frozenset[Lesion](), None
    if lesions is not None:
        kinds = frozenset(kind for kind in Lesion if kind and (lesions == kind).any())
    if lesions is not None and {Lesion.GROUND_GLASS, Lesion.CONSOLIDATION} <= kinds:
        glass, dense = (voxels[lesions == kind] for kind in (Lesion.GROUND_GLASS, Lesion.CONSOLIDATION))
        darker = bool(dense.mean() < glass.mean())
    return Labels(labelled.case.scan, labelled.case.lesions is not None, kinds, darker, labelled.outside)


def label_remarks(seen: Sequence[Labels]) -> tuple[Remark, ...]:
    """What the labels of a set make doubtful: kinds of lesion that no scan has, or that look exchanged."""
    remarks = []
    if any(one.looked for one in seen):
        there = frozenset[Lesion]().union(*(one.kinds for one in seen))
        remarks += [_absent(kind) for kind in Lesion if kind and kind not in there]
    both = [one.darker for one in seen if one.darker is not None]
    if both and sum(both) > len(both) / 2:
        text = (
            f"Consolidation is darker than ground glass in {sum(both)} of the {len(both)} scans that have "
            "both: the two labels may be exchanged."
        )
        remedy = "Check that 1 is ground glass and 2 consolidation."
        remarks.append(Remark("labels-swapped", Severity.WARN, text, remedy))
    if far := [one.name for one in seen if one.outside > NOTED_OUTSIDE]:
        text = (
            f"In {len(far)} scan(s), first {far[0]!r}, more than {NOTED_OUTSIDE:.0%} of the lesions lie "
            "outside the lung mask; they count as lung."
        )
        remedy = "Look at the masks of these scans."
        remarks.append(Remark("lesions-outside-lungs", Severity.WARN, text, remedy))
    return tuple(remarks)


def _absent(kind: Lesion) -> Remark:
    name = kind.name.lower().replace("_", " ")
    text = f"No scan has {name}: nothing can be learned of it, and its scores mean nothing."
    return Remark("class-absent", Severity.NOTE, text)
