"""From a scan and its masks to what a classifier sees, and from maps on that back to the scan's grid.

How a scan in Hounsfield units is cut its `Frame` says. `LUNGS`: window -1000 to 400 HU, everything outside
the lungs black, the square around both lungs and a margin, slices of 3 mm (thicker ones stay as they are).
`BODY`: window -1350 to 150 HU, the square around the body, all its slices, of 2 mm, nothing black but what
lies outside the picture; lungs and lesions stand beside it all the same. Plain pictures are standardised so
that what told their source is gone: one channel, frames and borders cut away with all else that is not lung,
turned upright, seen through one window, the lungs framed alike, one size (`standardised`); they have no
`BODY`.

An all-zero lesion mask is an answer, not a mistake: nothing was found. A scan without lung is refused.
`read_exams` makes the exams of a cohort with the masks that the product draws itself, because what a
classifier learns from must be made like what it is asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data import boxgrid
from glasslung.data.boxgrid import Box, BoxGrid, Triple
from glasslung.data.cohort import Cohort
from glasslung.data.exams import BODY, FRAMES, LUNGS, Exam, ExamSet, Frame, label_of
from glasslung.data.examstore import ExamStore
from glasslung.data.lungs.pictures import assumed_spacing_mm
from glasslung.data.lungs.settings import DEFAULT
from glasslung.data.orientation import from_upright, orientation_of, to_upright, upright_spacing_mm
from glasslung.data.sliceviews import View, as_it_lay, upright
from glasslung.data.standardpictures import stand_in_lungs, standardised, view_of_pictures
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.nn.memory import check_fits
from glasslung.types import Case, Geometry, Intensity, Progress, Volume

if TYPE_CHECKING:
    from glasslung.predict.opening import Segmenter

SIZE = 128  # pixels of a slice's side: lungs of 30 cm in pixels of 2.5 mm, in which ground glass is plain
WINDOW_HU = LUNGS.window_hu
SLICE_MM = LUNGS.slice_mm
MARGIN = 0.03  # of the longer side, all round
BODY_MM = 5.0  # of the copy on which the body's box is sought: a table is thin, a body is not
LEAST_SIZE = 16  # pixels: below this nothing is left of a lesion
LEAST_LUNG = 0.03  # of a picture: what is smaller is no section of a lung that could be read
OUTLINE = "outline"
"""The extra column of an `ExamSet` that says who drew the lungs."""
DRAWN, PIPELINE, STAND_IN = "drawn", "rules and network", "stand-in"


__all__ = [
    "BODY",
    "FRAMES",
    "LUNGS",
    "ExamMaking",
    "Frame",
    "MaskMaker",
    "exam_map_to_scan",
    "make_exam",
    "naming",
    "read_exams",
    "read_masked",
]


def make_exam(
    volume: Volume, lungs: np.ndarray, lesions: np.ndarray, size: int = SIZE, frame: Frame = LUNGS
) -> Exam:
    """One scan as a classifier sees it.

    lungs    (D, H, W) whole numbers, labels of `Lung`, on the scan's own grid
    lesions  (D, H, W) likewise, labels of `Lesion`; all zero where nothing was found
    size     side of the slices in pixels
    frame    how it is cut; UsageError where one that shows more than lungs is asked of plain pictures
    ShapeError for masks of another grid, DataError for masks that are not whole numbers or without a lung.
    A volume of one slice gives an exam of one slice.
    """
    _check(volume, {"lungs": lungs, "lesions": lesions}, size, frame)
    orientation = orientation_of(volume)
    grey, inside, sick = (to_upright(one, orientation) for one in (volume.voxels, lungs, lesions))
    hounsfield = volume.intensity is Intensity.HU
    measured = volume.has_ml or hounsfield
    spacing = upright_spacing_mm(volume, orientation) if measured else assumed_spacing_mm(grey, DEFAULT)
    plain = volume.geometry is Geometry.ASSUMED and not hounsfield
    view = view_of_pictures(grey, inside) if plain else View.UPRIGHT
    framed = inside if frame.box == "lungs" else _body(grey, spacing) | (inside > 0)
    box, side_mm = _square_box(framed, spacing)
    count = box[0].stop - box[0].start
    thin = measured and spacing[0] < frame.slice_mm
    slices = max(1, round(count * spacing[0] / frame.slice_mm)) if thin else count
    grid = BoxGrid(box, (slices, size, size))
    shown = _windowed(grey[box[0]], frame.window_hu) if hounsfield else standardised(grey[box[0]])
    if frame.masked:
        shown = np.where(inside[box[0]] > 0, shown, 0).astype(np.uint8)
    picture, lung, lesion = (
        _cut(one, (slice(0, count), *box[1:])) for one in (shown, inside[box[0]], sick[box[0]])
    )
    depth, height, width = picture.shape
    local = BoxGrid((slice(0, depth), slice(0, height), slice(0, width)), grid.shape)
    kept = boxgrid.labels_to_grid(lung, local).astype(np.uint8)
    image = np.rint(boxgrid.to_grid(picture, local)).astype(np.uint8)
    if frame.masked:
        image = np.where(kept > 0, image, 0).astype(np.uint8)
    found = np.where(kept > 0, boxgrid.labels_to_grid(lesion, local), 0).astype(np.uint8)
    mm = (count * spacing[0] / slices, side_mm / size, side_mm / size)
    image, kept, found = (np.stack([upright(one, view) for one in stack]) for stack in (image, kept, found))
    return Exam(image, kept, found, mm, grid, volume.intensity, view, frame)


def exam_map_to_scan(values: np.ndarray, exam: Exam, volume: Volume) -> np.ndarray:
    """A map on an exam's slices (S, H, W), of relevance for example, on the scan's own grid.

    Returns (D, H, W) float32, interpolated between the exam's pixels, 0 outside its box. Values are kept,
    not their sum. ShapeError where the map is not the exam's or the exam not the scan's.
    """
    if values.shape != exam.image.shape:
        raise ShapeError(
            f"the map is {values.shape} and the exam {exam.image.shape}; give one for each slice"
        )
    orientation = orientation_of(volume)
    out = np.zeros(volume.shape, np.float32)
    whole = to_upright(out, orientation)
    box = exam.grid.box
    z, y, x = (_overlap(part, length) for part, length in zip(box, whole.shape, strict=True))
    if z.start != box[0].start or z.stop != box[0].stop or y.stop <= y.start or x.stop <= x.start:
        raise ShapeError(f"the exam was not made of this scan: its box {box} lies outside {whole.shape}")
    laid = np.ascontiguousarray(as_it_lay(values, exam.view), np.float32)[None]
    rows, columns = (
        slice(part.start - own.start, part.stop - own.start)
        for part, own in zip((y, x), box[1:], strict=True)
    )
    for run in boxgrid.slabs(exam.grid.size[0], 16):
        part = boxgrid.maps_from_grid(laid, exam.grid, run)[0]
        whole[z.start + run.start : z.start + run.stop, y, x] = part[:, rows, columns]
    return np.ascontiguousarray(from_upright(whole, orientation))


def _check(volume: Volume, masks: dict[str, np.ndarray], size: int, frame: Frame) -> None:
    if size < LEAST_SIZE:
        raise UsageError(f"the side of a slice must be {LEAST_SIZE} pixels or more, got {size}")
    if not frame.masked and volume.intensity is not Intensity.HU:
        raise UsageError(
            f"the frame {frame.name!r} needs Hounsfield units: nobody knows the window of an 8-bit picture, "
            f"nor what lies around its body; use the frame {LUNGS.name!r}"
        )
    for name, mask in masks.items():
        if mask.shape != volume.shape:
            raise ShapeError(
                f"the mask of {name} is {mask.shape}, the scan {volume.shape}; give its own mask"
            )
        if mask.dtype.kind not in "bui":
            raise DataError(f"the mask of {name} holds {mask.dtype}; give whole numbers, one label per voxel")
    if not masks["lungs"].any():
        raise DataError(
            "no lung was found in this scan, so there is nothing to classify; look at the picture, or give "
            "the lungs with --lungs"
        )


def _body(hu: np.ndarray, spacing_mm: Triple) -> np.ndarray:
    """The patient without table and room, upright (Z, Y, X) bool, as blocks of some millimetres."""
    from glasslung.data.lungs.coarse import coarsen, spread
    from glasslung.data.lungs.thorax import find_thorax

    coarse = coarsen(hu, spacing_mm, BODY_MM)
    return np.asarray(spread(find_thorax(coarse).body, coarse.factors, hu.shape), bool)


def _square_box(mask: np.ndarray, spacing_mm: Triple) -> tuple[Box, float]:
    """The mask's slices, and the square around it in millimetres; it may reach beyond the scan."""
    box = boxgrid.box_around(mask, spacing_mm, 0.0)
    assert box is not None
    longest = max((part.stop - part.start) * mm for part, mm in zip(box[1:], spacing_mm[1:], strict=True))
    side = longest * (1 + 2 * MARGIN)
    parts = []
    for part, mm in zip(box[1:], spacing_mm[1:], strict=True):
        count = max(1, round(side / mm))
        start = part.start - (count - (part.stop - part.start)) // 2
        parts.append(slice(start, start + count))
    return (box[0], parts[0], parts[1]), side


def _windowed(hu: np.ndarray, window_hu: tuple[float, float]) -> np.ndarray:
    """HU -> uint8: 0 at the low end of the window, 255 at its high end; slice by slice, to save memory."""
    low, high = window_hu
    out = np.empty(hu.shape, np.uint8)
    for z, one in enumerate(hu):
        out[z] = np.rint((one.astype(np.float32) - low) * (255 / (high - low))).clip(0, 255)
    return out


def _cut(array: np.ndarray, box: Box) -> np.ndarray:
    """A box of an array that may reach beyond it; zero there."""
    parts = [_overlap(part, length) for part, length in zip(box, array.shape, strict=True)]
    beyond = [(mine.start - part.start, part.stop - mine.stop) for part, mine in zip(box, parts, strict=True)]
    return np.pad(array[tuple(parts)], beyond)


def _overlap(part: slice, length: int) -> slice:
    return slice(max(0, part.start), min(length, part.stop))


# ------------------------------------------------------------------------------------------------ cohorts


@dataclass(frozen=True)
class ExamMaking:
    """How the exams of a cohort are made.

    size       side of the slices in pixels
    segmenter  who draws the lesions: a run's folder, a shipped name, 'none', or '' for what ships
    drawn      True: lungs and lesions that the cohort's table names, a phantom's truth for example; a scan
               labelled 'healthy' needs no lesions. DataError for a scan without
    frame      how scans in Hounsfield units are cut
    """

    size: int = SIZE
    segmenter: str = ""
    drawn: bool = False
    frame: Frame = LUNGS

    def told(self) -> dict[str, Any]:
        """What decides how an exam looks, as plain values; the usual frame is not told, as it never was."""
        known = asdict(self)
        if self.frame == LUNGS:
            del known["frame"]
        return known


def read_exams(
    cohort: Cohort,
    folder: Path | None = None,
    making: ExamMaking | None = None,
    progress: Progress | None = None,
) -> ExamSet:
    """The exams of all scans of a cohort, in its order.

    folder  kept there (`data.examstore`): what is there already with the same settings is not made again;
            None keeps nothing
    Lungs and lesions are those of the product (`data.lungs`, `predict.masks`). In a picture without a lung
    that can be found, a stand-in takes its place (`stand_in_lungs`): column `outline` of the set's extra. In
    a scan in HU that is a DataError, which names the scan, as are a missing file and a damaged one.
    """
    from glasslung.data.formats.identity import file_digest

    making = making or ExamMaking()
    masks = MaskMaker(making)
    store = ExamStore(folder, making.told() | {"masks by": masks.identity()})
    exams: list[Exam] = []
    outlines, sources = [], []
    for number, case in enumerate(cohort.cases):
        if progress:
            progress(f"reading {case.scan}", number / max(len(cohort.cases), 1))
        source = " ".join(_digests(cohort, case, file_digest, making.drawn))
        exam = store.kept(source)
        if exam is None:
            exam, outline = _made(cohort, case, making, masks)
            store.keep(source, exam, outline)
        else:
            outline = store.note(source)
        if not exams:
            images = 3 * exam.image.nbytes * len(cohort.cases)
            check_fits(images, f"{len(cohort.cases)} scans", "lower the size, or give fewer scans")
        exams.append(exam)
        outlines.append(outline)
        sources.append(source)
    found = _as_set(cohort, tuple(exams), tuple(outlines))
    store.finish(found, sources)
    return found


class MaskMaker:
    """Draws lungs and lesions as the product does; each network is opened once."""

    def __init__(self, making: ExamMaking) -> None:
        self.making = making
        self._open: dict[Intensity, Segmenter | None] = {}

    def identity(self) -> str:
        """A text that changes with the networks that would be asked."""
        from glasslung.predict.opening import NONE, identity_of, shipped_for

        if self.making.drawn:
            return DRAWN
        if self.making.segmenter == NONE:
            return NONE
        names = [self.making.segmenter or shipped_for(one) for one in Intensity]
        return "; ".join(dict.fromkeys(identity_of(name) for name in names if name)) or NONE

    def of(self, volume: Volume) -> tuple[np.ndarray, np.ndarray, str]:
        """Lungs and lesions (D, H, W), and who drew the lungs."""
        from glasslung.data.lungs import segment_lungs
        from glasslung.predict.masks import segment_scan

        rules = segment_lungs(volume)
        segmenter = self._fitting(volume.intensity)
        if rules.mask.any():
            if segmenter is None:
                return rules.mask, np.zeros(volume.shape, np.uint8), "rules"
            found = segment_scan(volume, segmenter, rules)
            if volume.intensity is Intensity.HU or float((found.lungs.mask > 0).mean()) >= LEAST_LUNG:
                return found.lungs.mask, found.lesions, PIPELINE
        if volume.intensity is Intensity.HU:
            return rules.mask, np.zeros(volume.shape, np.uint8), "rules"
        return stand_in_lungs(volume.voxels), np.zeros(volume.shape, np.uint8), STAND_IN

    def _fitting(self, intensity: Intensity) -> Segmenter | None:
        from glasslung.predict.opening import NONE, open_segmenter, shipped_for

        if intensity not in self._open:
            name = self.making.segmenter or shipped_for(intensity)
            self._open[intensity] = None if name in (None, NONE) else open_segmenter(str(name))
        return self._open[intensity]


def read_masked(
    cohort: Cohort, case: Case, making: ExamMaking, masks: MaskMaker
) -> tuple[Volume, np.ndarray, np.ndarray, str]:
    """One scan of a cohort with its lungs and lesions (D, H, W), and who drew the lungs.

    DataError where its file, or a mask that was asked for, is missing or damaged.
    """
    from glasslung.data.formats import read_scan

    path = cohort.path(case.image)
    if not path.exists():
        raise DataError(f"scan {case.scan!r}: {path} is not there; check the column image")
    with naming(case):
        try:
            volume = read_scan(path)
        except DataError:
            volume = read_scan(path, intensity=case.intensity)
        return volume, *(_drawn(cohort, case, volume) if making.drawn else masks.of(volume))


@contextmanager
def naming(case: Case) -> Iterator[None]:
    """What is wrong with a scan names it."""
    try:
        yield
    except DataError as problem:
        kind = ShapeError if isinstance(problem, ShapeError) else DataError
        raise kind(f"scan {case.scan!r}: {problem}") from problem


def _made(cohort: Cohort, case: Case, making: ExamMaking, masks: MaskMaker) -> tuple[Exam, str]:
    volume, lungs, lesions, outline = read_masked(cohort, case, making, masks)
    with naming(case):
        return make_exam(volume, lungs, lesions, making.size, making.frame), outline


def _drawn(cohort: Cohort, case: Case, volume: Volume) -> tuple[np.ndarray, np.ndarray, str]:
    """The masks that the table names."""
    from glasslung.data.givenmasks import given_lesions, given_lungs

    if case.lungs is None or (case.lesions is None and case.label != "healthy"):
        raise DataError("the table names no mask of its lungs and lesions; have them found, or name them")
    lungs = given_lungs(cohort.path(case.lungs), volume).lungs.mask
    if case.lesions is None:
        return lungs, np.zeros(volume.shape, np.uint8), DRAWN
    return lungs, given_lesions(cohort.path(case.lesions), volume).mask, DRAWN


def _digests(cohort: Cohort, case: Case, digest: Callable[[Path], str], drawn: bool) -> list[str]:
    """Of every file that the exam is made from; '' for one that is not there."""
    told = []
    for path in (case.image, case.lungs, case.lesions) if drawn else (case.image,):
        place = None if path is None else cohort.path(path)
        files = [] if place is None else sorted(place.iterdir()) if place.is_dir() else [place]
        told += [digest(file) if file.is_file() else "" for file in files]
    return told


def _as_set(cohort: Cohort, exams: tuple[Exam, ...], outlines: tuple[str, ...]) -> ExamSet:
    cases = cohort.cases
    names = sorted({name for case in cases for name in case.extra})
    extra = {name: tuple(case.extra.get(name, "") for case in cases) for name in names}
    return ExamSet(
        exams,
        np.array([label_of(case.label) for case in cases], np.int64),
        tuple(case.label for case in cases),
        tuple(case.patient for case in cases),
        tuple(case.site for case in cases),
        tuple(case.scan for case in cases),
        tuple(case.split for case in cases),
        {**extra, OUTLINE: outlines},
    )
