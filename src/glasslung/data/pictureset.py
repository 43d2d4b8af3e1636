"""Plain pictures of any size and kind as one set of squares: what a generative network is trained on.

They come from a cohort's table, a collection of a known layout, or a folder of pictures without a table. Each
is read at its own depth (`greyranges`), made square and resized with anti-aliasing, since figures cut from
papers are up to ten times larger than what is trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from glasslung.data.cohort import DEFAULT_FRACTIONS, TABLE_NAME, Cohort, split_by_patient
from glasslung.data.greyranges import check_greys, read_unit_grey
from glasslung.data.prepare import MANIFEST, read_prepared
from glasslung.data.slices import GROUP_NAMES, SliceSet, group_of, pad_square
from glasslung.data.sources import detect_source, open_cohort
from glasslung.errors import DataError, UsageError
from glasslung.types import Case, Intensity, Progress

PICTURE_SIZE = 128  # the paper's
FRAMINGS = ("stretch", "pad")  # to a square: the paper's, which bends shapes; or with black beside
CONDITIONS = ("none", "class", "age")
CLASSES = {"covid": 1}  # of condition 'class'; every other label is 0
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".pgm", ".ppm", ".gif")
LEAST_PICTURES = 8  # fewer are no distribution: a network could only give them back


def square_unit(unit: np.ndarray, size: int, framing: str = "stretch") -> np.ndarray:
    """(H, W) in [0, 1] -> (size, size) float32 in [0, 1], bicubic with anti-aliasing.

    framing  'stretch': height and width are scaled apart, as in the paper; 'pad': black beside the shorter
    """
    from PIL import Image

    if framing not in FRAMINGS:
        raise UsageError(f"framing {framing!r} is unknown; choose one of {', '.join(FRAMINGS)}")
    whole = pad_square(unit) if framing == "pad" else unit
    picture = Image.fromarray(np.ascontiguousarray(whole, np.float32), "F")
    resized = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC), np.float32)
    clipped: np.ndarray = resized.clip(0, 1)  # bicubic overshoots at edges
    return clipped


def open_pictures(path: Path) -> Cohort:
    """A cohort of pictures: from its table, a known collection, or the pictures of a plain folder.

    Without a table every picture counts as a patient of its own, for nothing better is known.
    """
    path = Path(path)
    if not path.is_dir() or (path / TABLE_NAME).is_file():
        return open_cohort(path)
    try:
        detect_source(path)
    except DataError:
        return _plain_folder(path)
    return open_cohort(path)


def _plain_folder(folder: Path) -> Cohort:
    files = sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
    if not files:
        raise DataError(f"{folder} holds neither a {TABLE_NAME} nor pictures; give a folder with pictures")
    cases = tuple(
        Case(name, name, Path(name), Intensity.DISPLAY8)
        for name in (one.relative_to(folder).as_posix() for one in files)
    )
    return Cohort(folder.name, folder, cases, "pictures without a table: each counts as a patient of its own")


def read_picture_set(
    cohort: Cohort,
    size: int = PICTURE_SIZE,
    condition: str = "none",
    framing: str = "stretch",
    white: float | None = None,
    progress: Progress | None = None,
) -> SliceSet:
    """Every picture of a cohort as a square, with the group it is to be made for.

    condition  'none': all of group 0; 'class': 1 COVID-19, 0 anything else; 'age': the age of the disease
    white      see `unit_grey`; only for pictures of more than 8 bits
    DataError names the first picture that cannot be read and counts the others; nothing is passed over.
    """
    group = _grouping(condition)
    images, bad = [], []
    for number, case in enumerate(cohort.cases):
        if progress:
            progress("reading pictures", number / len(cohort.cases))
        try:
            images.append(square_unit(read_unit_grey(cohort.path(case.image), white), size, framing))
        except DataError as problem:
            bad.append(str(problem))
    if bad:
        raise DataError(
            f"{len(bad)} of {len(cohort.cases)} pictures of {cohort.name} cannot be used, first {bad[0]} "
            "(or take them out of the table or folder)"
        )
    if not images:
        raise DataError(f"{cohort.name} holds no picture; check its table and its paths")
    stack = np.stack(images)
    check_greys(stack, f"the pictures of {cohort.name}")
    return _as_slices(cohort, stack, group)


def _grouping(condition: str) -> Callable[[Case], int]:
    if condition == "age":
        return group_of
    if condition == "class":
        return lambda case: CLASSES.get(case.label, 0)
    if condition == "none":
        return lambda case: 0
    raise UsageError(f"condition {condition!r} is unknown; choose one of {', '.join(CONDITIONS)}")


def _as_slices(cohort: Cohort, images: np.ndarray, group: Callable[[Case], int]) -> SliceSet:
    number = {name: index for index, name in enumerate(cohort.patients)}
    cases = cohort.cases
    return SliceSet(
        images,
        np.array([group(case) for case in cases], np.int64),
        np.array([np.nan if case.day is None else case.day for case in cases], np.float32),
        np.array([number[case.patient] for case in cases], np.int64),
        cohort.patients,
        tuple(case.scan for case in cases),
    )


def picture_parts(
    path: Path,
    size: int = PICTURE_SIZE,
    condition: str = "none",
    labels: Sequence[str] = (),
    split_seed: int = 0,
    framing: str = "stretch",
    progress: Progress | None = None,
) -> dict[str, SliceSet]:
    """Pictures to train on and pictures no training sees, by patient: {'train': ..., 'val': ..., ...}.

    path    as for `open_pictures`, or a folder that `glasslung prepare` wrote, whose size must fit
    labels  only cases of these labels ('covid'); empty: all
    The table's own split counts where it has one; else patients are dealt.
    """
    prepared = Path(path).is_dir() and (Path(path) / MANIFEST).is_file()
    cohort = read_prepared(Path(path))[0] if prepared else open_pictures(path)
    if labels:
        cases = tuple(case for case in cohort.cases if case.label in labels)
        if not cases:
            there = sorted({case.label for case in cohort.cases} - {""})
            raise DataError(f"{cohort.name} has no picture labelled {', '.join(labels)}; it has {there}")
        cohort = replace(cohort, cases=cases)
    if len(cohort.cases) < LEAST_PICTURES:
        raise DataError(
            f"{cohort.name} has {len(cohort.cases)} picture(s); {LEAST_PICTURES} is the least that a network "
            "can learn to make others from, and some hundred are better. Add pictures"
        )
    if not any(case.split for case in cohort.cases):
        cohort = split_by_patient(cohort, DEFAULT_FRACTIONS, split_seed)
    cohort = without_shared_patients(cohort)
    slices = read_picture_set(cohort, size, condition, framing, progress=progress)
    split = np.array([case.split for case in cohort.cases])
    return {name: slices.take(split == name) for name in sorted(set(split.tolist()) - {""})}


def without_shared_patients(cohort: Cohort) -> Cohort:
    """The cohort without training pictures of patients who are held out as well; the note counts them.

    The published split of the UCSD collection parts one patient whom it lists under twelve names.
    """
    held_out = {case.patient for case in cohort.cases if case.split not in ("", "train")}
    kept = tuple(case for case in cohort.cases if case.split != "train" or case.patient not in held_out)
    if (gone := len(cohort.cases) - len(kept)) == 0:
        return cohort
    told = f" {gone} training picture(s) are left out: their patients are held out as well."
    return replace(cohort, cases=kept, note=cohort.note + told)


def group_names(condition: str) -> tuple[str, ...]:
    """What the groups of a condition are called, in order."""
    _grouping(condition)
    return {"none": ("all",), "class": ("other", "covid"), "age": GROUP_NAMES}[condition]
