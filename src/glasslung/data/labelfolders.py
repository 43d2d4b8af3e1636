"""Reading labelled slices: a plain folder of pictures and masks, or a cohort's table.

A plain folder
    img/N.jpg          8-bit slices, any picture suffix
    multiclass/N.png   0 none, 1 ground glass, 2 consolidation, 3 crazy paving: the numbers of a palette
                       picture or of a grey one, read without converting
    lesion/N.png       0 and 255 (or 1); may be left out. Where it is there it must be multiclass > 0:
                       masks of two slices, or other numbers for the classes, show here
Below `labelled/train` or `labelled/test` it is found too. A cohort's slices are labelled where its table has
`lesions`, healthy where its label says so, and unlabelled otherwise; a stack is a folder of pictures. Masks
that another model guessed (`pseudo_path`) are never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_fill_holes

from glasslung.data.cohort import Cohort
from glasslung.data.labelled import UNKNOWN, Kind, LabelledSlices, SliceOrigin, Window, join, unknown_like
from glasslung.data.lungs.pictures import BLACK, cut_out
from glasslung.data.slices import read_picture
from glasslung.data.sliceviews import View, tell_view, upright
from glasslung.data.slicewindows import tell_window
from glasslung.errors import DataError, ShapeError
from glasslung.types import Case, Intensity, Lesion, Remark, Severity

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
MOST_DISAGREEING = 0.001  # of the pixels: an outline redrawn by a pixel, not another lesion


# ------------------------------------------------------------------------------------------- plain folders


def read_labelled_folder(folder: Path, view: View | None = None) -> LabelledSlices:
    """Slices and masks of a folder with img/ and multiclass/ (and lesion/), itself or below labelled/.

    view  how the pictures lie; told from them where it is not given
    DataError names the first file that is missing, unreadable, of another shape or with unknown values.
    """
    there = _labelled_part(Path(folder))
    pictures = _by_stem(there / "img")
    if not pictures:
        raise DataError(f"{there / 'img'} holds no picture; put the slices there, one file each")
    masks, infected = _by_stem(there / "multiclass"), _by_stem(there / "lesion")
    _check_partners(there, pictures, masks)
    read = [_read(pictures[stem], masks[stem], infected.get(stem)) for stem in pictures]
    names = [f"{there.name}-{stem}" for stem in pictures]
    return _labelled_set(read, names, names, view)


def _labelled_part(folder: Path) -> Path:
    """The folder that holds img/: this one, or the only one of labelled/train and labelled/test."""
    if (folder / "img").is_dir():
        return folder
    parts = [folder / "labelled" / split for split in ("train", "test")]
    there = [part for part in parts if (part / "img").is_dir()]
    if len(there) == 2:
        raise DataError(f"{folder} has labelled/train and labelled/test; give one of these two folders")
    if not there:
        raise DataError(
            f"{folder} holds no labelled slices: it needs img/ and multiclass/, itself or in labelled/train"
        )
    return there[0]


def _by_stem(folder: Path) -> dict[str, Path]:
    """Pictures of a folder by their name without suffix, numbers in order; DataError where two share one."""
    found: dict[str, Path] = {}
    files = folder.iterdir() if folder.is_dir() else ()
    for path in sorted(files, key=lambda path: (len(path.stem), path.name)):
        if path.suffix.lower() not in PICTURE_SUFFIXES or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(
                f"{folder}: {found[path.stem].name} and {path.name} may be one slice twice; keep one"
            )
        found[path.stem] = path
    return found


def _check_partners(folder: Path, pictures: dict[str, Path], masks: dict[str, Path]) -> None:
    if not masks:
        raise DataError(
            f"{folder} has no mask in multiclass/, so no slice is labelled; add N.png for img/N.jpg"
        )
    for stem, path in pictures.items():
        if stem not in masks:
            raise DataError(
                f"{path.name} in {folder / 'img'} has no mask multiclass/{stem}.png; add it, or take the "
                "picture out"
            )
    for stem, path in masks.items():
        if stem not in pictures:
            raise DataError(f"{path} has no picture in img/; add it, or take the mask out")


# -------------------------------------------------------------------------------------------------- cohorts


def read_labelled_cohort(cohort: Cohort, unlabelled: bool = True, every: int = 1) -> LabelledSlices:
    """The 8-bit slices of a cohort: labelled, healthy and (unless turned off) unlabelled ones.

    every  takes each n-th slice of unlabelled stacks: neighbours are nearly the same
    Slices of one stack, and single slices of one site, are taken to lie alike.
    DataError where a scan is not 8-bit pictures, a file is wrong, or nothing is left.
    """
    deep = [case.scan for case in cohort.cases if case.intensity is not Intensity.DISPLAY8]
    if deep:
        raise DataError(
            f"{len(deep)} scan(s) are not 8-bit pictures, first {deep[0]!r}; give slices, or use a model "
            "of volumes"
        )
    labelled = [case for case in cohort.cases if case.lesions]
    healthy = [case for case in cohort.cases if not case.lesions and case.label == "healthy"]
    others = [case for case in cohort.cases if not case.lesions and case.label != "healthy"]
    sets = [_cohort_labelled(cohort, cases) for cases in _lying_alike(cohort, labelled)]
    sets += [_without_masks(cohort, cases, Kind.HEALTHY, 1) for cases in _lying_alike(cohort, healthy)]
    if unlabelled:
        groups = _lying_alike(cohort, others)
        sets += [_without_masks(cohort, cases, Kind.UNLABELLED, every) for cases in groups]
    if not sets:
        raise DataError(f"{cohort.name} has no labelled slice: no row of its table names a lesion mask")
    return join(*sets)


def _lying_alike(cohort: Cohort, cases: Sequence[Case]) -> list[list[Case]]:
    """Cases whose pictures lie alike: each stack by itself, single pictures site by site."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        stack = cohort.path(case.image).is_dir()
        groups.setdefault(f"stack {case.image}" if stack else f"site {case.site}", []).append(case)
    return list(groups.values())


def _named(cohort: Cohort, case: Case, stem: str) -> str:
    """A slice's name: its scan's, with the patient's where another one has a scan of that name."""
    shared = sum(other.scan == case.scan for other in cohort.cases) > 1
    scan = f"{case.patient}-{case.scan}" if shared else case.scan
    return f"{scan}-{stem}" if cohort.path(case.image).is_dir() else scan


def _cohort_labelled(cohort: Cohort, cases: Sequence[Case]) -> LabelledSlices:
    read, names, keys = [], [], []
    for case in cases:
        pictures, masks = _files(cohort.path(case.image)), _files(cohort.path(case.lesions or Path()))
        told = case.extra.get("lesion_path", "")
        infected = _files(cohort.path(Path(told))) if told else {}
        if len(pictures) == 1 and len(masks) == 1:
            masks = dict(zip(pictures, masks.values(), strict=True))
            infected = dict(zip(pictures, infected.values(), strict=False))
        _check_partners(cohort.path(case.image), pictures, masks)
        read += [_read(pictures[stem], masks[stem], infected.get(stem)) for stem in pictures]
        names += [_named(cohort, case, stem) for stem in pictures]
        keys += [case.patient] * len(pictures)
    return _labelled_set(read, names, keys, None)


def _without_masks(cohort: Cohort, cases: Sequence[Case], kind: Kind, every: int) -> LabelledSlices:
    """Healthy slices have no lesion, of others nothing is known; lungs that were cut out are known."""
    files = [(case, stem, path) for case in cases for stem, path in _taken(cohort, case, every)]
    pictures = [read_picture(path) for _, _, path in files]
    if not pictures:
        raise DataError(f"{cohort.path(cases[0].image)} holds no picture; check the cohort's table")
    stack, view = cohort.path(cases[0].image).is_dir(), tell_view(pictures)
    stand = tuple(np.ascontiguousarray(upright(picture, view)) for picture in pictures)
    lungs = _cut_lungs(stand)
    windows = [tell_window(pictures)] * len(files) if stack else [tell_window([one]) for one in pictures]
    known = np.int8(0 if kind is Kind.HEALTHY else UNKNOWN)
    return LabelledSlices(
        stand,
        tuple(np.broadcast_to(known, picture.shape) for picture in stand),
        tuple(
            unknown_like(picture) if lung is None else lung
            for picture, lung in zip(stand, lungs, strict=True)
        ),
        tuple(
            SliceOrigin(
                _named(cohort, case, stem),
                case.patient,
                kind,
                window if lung is None else Window.CUT_OUT,
                view,
            )
            for (case, stem, _), window, lung in zip(files, windows, lungs, strict=True)
        ),
    )


def _taken(cohort: Cohort, case: Case, every: int) -> list[tuple[str, Path]]:
    return list(_files(cohort.path(case.image)).items())[::every]


def _cut_lungs(pictures: Sequence[np.ndarray]) -> list[np.ndarray | None]:
    """The lungs (H, W) int8 of pictures that show nothing else; None for others.

    Where most of a set were cut out all were: lungs that touch fill their outline as a whole picture does.
    """
    found = [cut_out(picture[None]) for picture in pictures]
    all_cut = 2 * sum(lungs is not None for lungs in found) > len(found)
    masks: list[np.ndarray | None] = [None if lungs is None else lungs[0].astype(np.int8) for lungs in found]
    if not all_cut:
        return masks
    return [
        binary_fill_holes(picture > BLACK).astype(np.int8) if mask is None else mask
        for picture, mask in zip(pictures, masks, strict=True)
    ]


def _files(path: Path) -> dict[str, Path]:
    return {path.stem: path} if not path.is_dir() else _by_stem(path)


# --------------------------------------------------------------------------------------------- one slice


@dataclass(frozen=True, eq=False)
class _Pair:
    """A picture and its lesion mask, as their files lie."""

    picture: np.ndarray
    lesion: np.ndarray


def _read(picture: Path, mask: Path, infected: Path | None) -> _Pair:
    grey, lesion = read_picture(picture), read_label_picture(mask)
    if lesion.shape != grey.shape:
        raise ShapeError(
            f"{mask} has {lesion.shape} pixels and its picture {grey.shape}; use the mask of this picture"
        )
    if infected is not None:
        _check_infection(lesion, infected, mask)
    return _Pair(grey, lesion)


def read_label_picture(path: Path) -> np.ndarray:
    """Lesion classes of a palette or grey picture, (H, W) int8 with the labels of `Lesion`; never converted.

    DataError where it is coloured (then its numbers are lost) or holds a number that is no class.
    """
    values = _values(path)
    known = [int(kind) for kind in Lesion]
    if strange := sorted(set(np.unique(values).tolist()) - set(known)):
        raise DataError(
            f"{path} holds the label(s) {', '.join(map(str, strange[:5]))}; known are 0 none, 1 ground "
            "glass, 2 consolidation, 3 crazy paving. Save the class numbers themselves, not grey or colour"
        )
    return values.astype(np.int8)


def _values(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode not in ("P", "L", "1"):
                raise DataError(f"{path} has mode {picture.mode}; a mask needs one channel (palette or grey)")
            return np.asarray(picture).astype(np.uint8)
    except (OSError, UnidentifiedImageError, ValueError) as problem:
        raise DataError(f"{path} cannot be read as a mask ({problem}); save it again as PNG") from problem


def _check_infection(lesion: np.ndarray, infected: Path, mask: Path) -> None:
    values = _values(infected)
    if values.shape != lesion.shape:
        raise ShapeError(
            f"{infected} has {values.shape} pixels and {mask} {lesion.shape}; both must be of one slice"
        )
    if strange := sorted(set(np.unique(values).tolist()) - {0, 1, 255}):
        raise DataError(
            f"{infected} holds the value {strange[0]}; a drawn lesion is 0 and 255, is this a soft map?"
        )
    wrong = float(np.mean((values > 0) != (lesion > 0)))
    if wrong > MOST_DISAGREEING:
        raise DataError(
            f"{infected} and {mask} disagree on {wrong:.1%} of the pixels: lesion must be multiclass > 0; "
            "labels may be swapped, or the masks be of two slices"
        )


def _labelled_set(
    read: Sequence[_Pair], names: Sequence[str], cases: Sequence[str], view: View | None
) -> LabelledSlices:
    view = view or tell_view([pair.picture for pair in read])
    pictures = tuple(np.ascontiguousarray(upright(pair.picture, view)) for pair in read)
    lesions = tuple(np.ascontiguousarray(upright(pair.lesion, view)) for pair in read)
    origins = tuple(
        SliceOrigin(name, case, Kind.LABELLED, tell_window([picture]), view)
        for name, case, picture in zip(names, cases, pictures, strict=True)
    )
    lungs = tuple(unknown_like(picture) for picture in pictures)
    return LabelledSlices(pictures, lesions, lungs, origins, label_remarks(pictures, lesions))


# --------------------------------------------------------------------------------------------- the whole set


def label_remarks(pictures: Sequence[np.ndarray], lesions: Sequence[np.ndarray]) -> tuple[Remark, ...]:
    """What the labels of a set make doubtful: classes that are absent, or look exchanged."""
    remarks = [
        _absent(kind)
        for kind in (Lesion.GROUND_GLASS, Lesion.CONSOLIDATION)
        if not any((m == kind).any() for m in lesions)
    ]
    darker, both = _consolidation_darker(pictures, lesions)
    if both and darker > both / 2:
        text = (
            f"Consolidation is darker than ground glass on {darker} of the {both} slices that have both: "
            "the two labels may be exchanged."
        )
        remarks.append(
            Remark("labels-swapped", Severity.WARN, text, "Check that 1 is ground glass and 2 consolidation.")
        )
    return tuple(remarks)


def _absent(kind: Lesion) -> Remark:
    name = kind.name.lower().replace("_", " ")
    text = f"No slice has {name}: nothing can be learned of it, and its scores mean nothing."
    return Remark("class-absent", Severity.NOTE, text)


def _consolidation_darker(pictures: Sequence[np.ndarray], lesions: Sequence[np.ndarray]) -> tuple[int, int]:
    """On how many slices consolidation is darker than ground glass on average, of how many with both."""
    darker = both = 0
    for picture, lesion in zip(pictures, lesions, strict=True):
        glass, dense = lesion == Lesion.GROUND_GLASS, lesion == Lesion.CONSOLIDATION
        if glass.any() and dense.any():
            both += 1
            darker += int(picture[dense].mean() < picture[glass].mean())
    return darker, both
