"""Lungs and lesions of one scan: a segmenter of slices and the rules for lungs together.

1. the rules' lungs say where to look
2. the network reads that box (`predict.reading`)
3. both outlines of the lungs are weighed (`predict.lungs`): the network adds and removes what is more than
   an edge where the two agree on the whole; else the rules' outline stands
4. a voxel of the lungs is lesion where the probability of all lesions together is 0.5 or more, and of the
   kind that is likeliest there
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glasslung.data import boxgrid
from glasslung.data.lungs.pictures import assumed_spacing_mm
from glasslung.data.lungs.quality import TRUST
from glasslung.data.lungs.settings import DEFAULT
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import ShapeError, UsageError
from glasslung.predict.lungs import LUNG, Weighed, nearest_side, weigh
from glasslung.predict.opening import Segmenter
from glasslung.predict.reading import Reading, read_pictures, read_scan
from glasslung.types import Intensity, Lungs, MaskQuality, Progress, Volume

STEPS = 200  # of the kept map of infection: half a per cent each, finer than it is calibrated
LESION = 0.5  # probability of all lesions together from which a voxel is one
UNSURE = (0.25, 0.75)  # probabilities between these are neither lesion nor none
SLAB = 16  # slices of the scan brought back at a time
LEAST_NOTED = 0.001  # of the lungs: less is not worth a sentence
ASTRAY = 0.05  # of the lungs, taken for lung where none can be: the scan is foreign to the network
WORSE = 0.6  # what is left of the confidence in lungs on which the network and the rules do not agree


@dataclass(frozen=True)
class Doubts:
    """How sure the network was, and what stood against it.

    entropy    mean entropy of the classes inside its lesions, 0 to 1
    unsure     lung of which it is not sure, as a share of its lesions
    foreign    what in the scan is unlike what it learned from, a sentence each
    """

    entropy: float
    unsure: float
    foreign: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Lungs and lesions of a scan, on its own grid.

    lungs      the outline that stands, and how far to trust it
    lesions    (D, H, W) uint8, labels of `Lesion`; 0 outside the lungs
    infection  (D, H, W) uint8, 0 to STEPS: probability of any lesion times STEPS; 0 outside the lungs
    agreement  Dice of the network's lungs and the rules'; None from a network without a lung output, of
               which only the lesions that hang on the lungs can tell of more lung
    learned    whether the network had a say in the lungs
    doubts     how sure the network was
    notes      what was done about the lungs, a sentence each
    """

    lungs: Lungs
    lesions: np.ndarray
    infection: np.ndarray
    agreement: float | None
    learned: bool
    doubts: Doubts
    notes: tuple[str, ...] = ()


def segment_scan(
    volume: Volume,
    segmenter: Segmenter,
    classical: Lungs,
    keep_lungs: bool = False,
    progress: Progress | None = None,
) -> Segmentation:
    """What a segmenter finds in the lungs of one scan, and the lungs that it and the rules agree on.

    classical   the lungs by rules (`data.lungs.segment_lungs`), or others
    keep_lungs  True: these lungs are the truth, drawn by somebody; the network has no say in them
    UsageError where the network does not read such grey values, ShapeError for lungs of another grid.
    """
    _check(volume, segmenter, classical)
    orientation = orientation_of(volume)
    sides = to_upright(classical.mask, orientation)
    hu = volume.intensity is Intensity.HU
    grey = to_upright(volume.voxels, orientation)
    measured = volume.has_ml or hu
    spacing = upright_spacing_mm(volume, orientation) if measured else assumed_spacing_mm(grey, DEFAULT)

    read = read_scan if hu else read_pictures
    reading = read(segmenter, volume, sides > 0, spacing, progress) if sides.any() else None
    if reading is None:
        nothing = np.zeros(volume.shape, np.uint8)
        return Segmentation(classical, nothing, nothing.copy(), None, False, Doubts(0.0, 0.0, ()))
    low = boxgrid.labels_to_grid(sides, reading.grid)
    weighed = None
    if not keep_lungs:
        if reading.lung is None:  # then only what it calls lesion can tell of more lung
            told = np.where(low > 0, np.float16(1.0), reading.infection)
            reading = replace(reading, lung=told)
        assert reading.lung is not None
        weighed = weigh(low, reading.lung, reading.spacing_mm, volume.has_ml, reading.hu)
    out = [np.zeros(volume.shape, np.uint8) for _ in range(3)]
    _bring_back(reading, weighed, sides, low, [to_upright(one, orientation) for one in out])
    mask, lesions, infection = out
    changed = weighed is not None and bool(weighed.added.any() or weighed.removed.any())
    notes, quality = _told(weighed, classical.quality, low, reading.spacing_mm if measured else None)
    return Segmentation(
        Lungs(mask if changed else classical.mask, quality),
        lesions,
        infection,
        round(weighed.dice, 4) if weighed is not None and segmenter.finds_lungs else None,
        weighed is not None and weighed.agree and (segmenter.finds_lungs or changed),
        _doubts(reading, low, weighed),
        notes,
    )


def _check(volume: Volume, segmenter: Segmenter, lungs: Lungs) -> None:
    if volume.intensity is not segmenter.intensity:
        remedy = (
            "choose one for 8-bit slices, or give the scan in Hounsfield units"
            if volume.intensity is Intensity.DISPLAY8
            else "choose one for Hounsfield units"
        )
        raise UsageError(
            f"the segmenter {segmenter.name} reads {segmenter.intensity.value}, and the scan's grey values "
            f"are {volume.intensity.value}: {remedy}"
        )
    if lungs.mask.shape != volume.shape:
        raise ShapeError(f"the lung mask is {lungs.mask.shape}, the scan {volume.shape}; give its own mask")


def _bring_back(
    reading: Reading, weighed: Weighed | None, sides: np.ndarray, low: np.ndarray, out: list[np.ndarray]
) -> None:
    """Fills upright lungs, lesions and infection in place, slab by slab."""
    lungs, lesions, infection = out
    grid, same = reading.grid, reading.grid.size == reading.grid.shape
    lungs[:] = sides
    soft = [reading.infection]
    if weighed is not None and reading.lung is not None and (weighed.added.any() or weighed.removed.any()):
        soft.append(reading.lung)
        near = nearest_side(low, weighed.added, reading.spacing_mm)
    for run in boxgrid.slabs(grid.size[0], SLAB):
        at = (slice(grid.box[0].start + run.start, grid.box[0].start + run.stop), *grid.box[1:])
        maps = (
            [m[run].astype(np.float32) for m in soft]
            if same
            else boxgrid.maps_from_grid(np.stack(soft) if len(soft) > 1 else soft[0][None], grid, run)
        )
        if weighed is not None and len(soft) > 1:
            added, removed, side = (
                boxgrid.labels_from_grid(one, grid, run) for one in (weighed.added, weighed.removed, near)
            )
            part = lungs[at]
            take = added & (maps[1] >= LUNG) & (part == 0)
            part[take] = side[take]
            part[removed & (maps[1] < LUNG)] = 0
        inside = lungs[at] > 0
        kinds = boxgrid.labels_from_grid(reading.kinds, grid, run)
        lesions[at] = np.where(inside & (maps[0] >= LESION), kinds, 0)
        infection[at] = np.where(inside, np.rint(maps[0].clip(0, 1) * STEPS), 0)


def _doubts(reading: Reading, low: np.ndarray, weighed: Weighed | None) -> Doubts:
    """How sure the network was inside the lungs that stand, counted on its own grid."""
    inside, foreign = low > 0, reading.foreign
    if weighed is not None:
        if np.count_nonzero(weighed.refused) > ASTRAY * np.count_nonzero(inside):
            foreign += ("the network takes tissue far from the lungs for lung",)
        inside = (inside | weighed.added) & ~weighed.removed
    chance = reading.infection
    lesion = inside & (chance >= LESION)
    found = int(np.count_nonzero(lesion))
    if not found:
        return Doubts(0.0, 0.0, foreign)
    grey = int(np.count_nonzero(inside & (chance > UNSURE[0]) & (chance < UNSURE[1])))
    return Doubts(float(reading.doubt[lesion].mean(dtype=np.float64)), grey / found, foreign)


def _told(
    weighed: Weighed | None, quality: MaskQuality, low: np.ndarray, spacing_mm: boxgrid.Triple | None
) -> tuple[tuple[str, ...], MaskQuality]:
    """What was done about the lungs, in sentences, and what that means for the trust in them."""
    if weighed is None:
        return (), quality
    if not weighed.agree:
        why = (
            f"the network outlines other lungs than the rules do (they agree to {weighed.dice:.2f} of 1): "
            "the rules' outline stands"
        )
        confidence = round(quality.confidence * WORSE, 3)
        return (why,), replace(
            quality,
            trusted=quality.trusted and confidence >= TRUST,
            confidence=confidence,
            reasons=(*quality.reasons, why),
        )
    lung = int(np.count_nonzero(low))
    notes = []
    for cells, said in (
        (weighed.added, "dense lung that the rules had left out ({}) was taken in by the network"),
        (weighed.removed, "what the rules had taken for lung ({}) was left out by the network"),
        (weighed.refused, "what the network takes for lung where no lung can be ({}) was left out"),
    ):
        share = int(np.count_nonzero(cells)) / lung
        if share >= LEAST_NOTED:
            size = "" if spacing_mm is None else f"{share * lung * np.prod(spacing_mm) / 1000:.0f} ml, "
            notes.append(said.format(f"{size}{100 * share:.1f} % of the lungs"))
    return tuple(notes), quality
