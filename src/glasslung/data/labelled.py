"""Slices in memory with what experts drew on them: few labelled ones beside many that nobody looked at.

All slices stand upright here (front at the top, the patient's right on the left), whatever their files show;
`native` turns a mask back to how its file lies. Sizes differ from slice to slice and are kept: what feeds a
network (`data.labelbatches`) frames them alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from glasslung.data.nearcopies import near_copies
from glasslung.data.sliceviews import View, as_it_lay
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Lesion, Remark

UNKNOWN = -1
"""In a mask: nobody looked at this pixel."""


class Kind(StrEnum):
    """Where a slice's lesion mask comes from."""

    LABELLED = "labelled"  # an expert drew it
    HEALTHY = "healthy"  # of a healthy person: no lesion anywhere
    PSEUDO = "pseudo"  # a model of ours guessed it: to learn from, never to be scored against
    UNLABELLED = "unlabelled"  # there is none


class Window(StrEnum):
    """Of which family the grey values are."""

    LUNG = "lung"  # lung window: soft tissue is nearly white
    WIDE = "wide"  # soft tissue is grey, bone white
    CUT_OUT = "cut out"  # everything outside the lungs was painted black
    UNKNOWN = ""


@dataclass(frozen=True)
class SliceOrigin:
    """Where one slice comes from.

    name    of the slice, unique in its set: 'labelled-train-7', 'coronacases_001-012'
    case    patient, or what stands in for one: slices of a case are never parted by a split
    kind    where its lesion mask comes from
    window  family of its grey values
    view    how its file lies; pictures and masks in memory are upright
    """

    name: str
    case: str
    kind: Kind
    window: Window = Window.UNKNOWN
    view: View = View.UPRIGHT


@dataclass(frozen=True, eq=False)
class LabelledSlices:
    """N upright slices at their own sizes, with lesions and lungs as far as they are known.

    pictures  (H, W) uint8 each
    lesions   (H, W) int8 each, labels of `Lesion`, -1 where unknown
    lungs     (H, W) int8 each, 1 inside, 0 outside (lesions are inside), -1 where unknown
    origins   where each comes from
    remarks   what a reader of these slices should know
    """

    pictures: tuple[np.ndarray, ...]
    lesions: tuple[np.ndarray, ...]
    lungs: tuple[np.ndarray, ...]
    origins: tuple[SliceOrigin, ...]
    remarks: tuple[Remark, ...] = ()

    def __post_init__(self) -> None:
        if not self.pictures:
            raise DataError("there is not a single slice; check the folder or the cohort's table")
        counts = {len(field) for field in (self.pictures, self.lesions, self.lungs, self.origins)}
        if len(counts) != 1:
            raise ShapeError(f"slices, masks and origins differ in number: {sorted(counts)}")
        for picture, lesion, lung, origin in self.rows():
            check_slice(picture, lesion, lung, origin.name)
        if twice := [name for name, times in Counter(self.names).items() if times > 1]:
            raise DataError(f"two slices are called {twice[0]!r}; name every slice differently")

    def __len__(self) -> int:
        return len(self.pictures)

    def rows(self) -> zip[tuple[np.ndarray, np.ndarray, np.ndarray, SliceOrigin]]:
        """Each slice with its masks and origin."""
        return zip(self.pictures, self.lesions, self.lungs, self.origins, strict=True)

    def of_kind(self, *kinds: Kind) -> np.ndarray:
        """Indices of the slices of these kinds, in order."""
        return np.array([n for n, origin in enumerate(self.origins) if origin.kind in kinds], np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Of each slice."""
        return tuple(origin.name for origin in self.origins)

    @property
    def cases(self) -> tuple[str, ...]:
        """Patient, or what stands in for one, of each slice."""
        return tuple(origin.case for origin in self.origins)

    def take(self, rows: Sequence[int] | np.ndarray) -> LabelledSlices:
        """Some of the slices, by index or mask, in that order."""
        some = np.arange(len(self))[np.asarray(rows, bool if np.asarray(rows).dtype == bool else np.int64)]
        return LabelledSlices(
            tuple(self.pictures[n] for n in some),
            tuple(self.lesions[n] for n in some),
            tuple(self.lungs[n] for n in some),
            tuple(self.origins[n] for n in some),
            self.remarks,
        )

    def with_lesions(self, masks: Mapping[int, np.ndarray], kind: Kind = Kind.PSEUDO) -> LabelledSlices:
        """The same slices with other lesion masks: index -> (H, W) upright, labels of `Lesion` or -1."""
        lesions, origins = list(self.lesions), list(self.origins)
        for row, mask in masks.items():
            lesions[row], origins[row] = mask.astype(np.int8), replace(origins[row], kind=kind)
        return replace(self, lesions=tuple(lesions), origins=tuple(origins))

    def with_lungs(self, lungs: Sequence[np.ndarray]) -> LabelledSlices:
        """The same slices with these lung masks, (H, W) upright each, one per slice."""
        return replace(self, lungs=tuple(np.asarray(lung, np.int8) for lung in lungs))

    def native(self, mask: np.ndarray, row: int) -> np.ndarray:
        """A mask or map (..., H, W) of a slice, turned to how the slice's file lies."""
        if mask.shape[-2:] != self.pictures[row].shape:
            raise ShapeError(
                f"{self.origins[row].name} is {self.pictures[row].shape} upright, the mask {mask.shape[-2:]}"
            )
        return np.ascontiguousarray(as_it_lay(mask, self.origins[row].view))


def check_slice(picture: np.ndarray, lesion: np.ndarray, lung: np.ndarray, name: str) -> None:
    """DataError that names the slice where picture and masks do not belong together."""
    if picture.ndim != 2 or picture.dtype != np.uint8 or picture.size == 0:
        raise ShapeError(f"{name}: a slice must be (H, W) uint8, got {picture.shape} {picture.dtype}")
    for what, mask, most in (("lesion", lesion, max(Lesion)), ("lung", lung, 1)):
        if mask.shape != picture.shape:
            raise ShapeError(
                f"{name}: the {what} mask has {mask.shape} pixels and the picture {picture.shape}; "
                "use the mask of this picture"
            )
        if mask.dtype != np.int8 or mask.min() < UNKNOWN or mask.max() > most:
            raise DataError(
                f"{name}: the {what} mask holds {mask.min()} to {mask.max()} ({mask.dtype}); "
                f"it must be int8 from -1 (unknown) to {int(most)}"
            )


def unknown_like(picture: np.ndarray) -> np.ndarray:
    """A mask of which nothing is known, (H, W) int8, in no memory of its own."""
    return np.broadcast_to(np.int8(UNKNOWN), picture.shape)


def join(*sets: LabelledSlices) -> LabelledSlices:
    """Several sets as one: labelled slices of one place beside unlabelled ones of another.

    A name that an earlier set has used already is told apart by the number of its set: 's10 (2)'. Cases stay:
    who is called alike in two sets is never parted by a split.
    """
    origins: list[SliceOrigin] = []
    for number, one in enumerate(sets, 1):
        taken = {origin.name for origin in origins}
        origins += [
            replace(origin, name=f"{origin.name} ({number})") if origin.name in taken else origin
            for origin in one.origins
        ]
    return LabelledSlices(
        tuple(picture for one in sets for picture in one.pictures),
        tuple(lesion for one in sets for lesion in one.lesions),
        tuple(lung for one in sets for lung in one.lungs),
        tuple(origins),
        tuple(dict.fromkeys(remark for one in sets for remark in one.remarks)),
    )


# ---------------------------------------------------------------------------------------- cross-validation


@dataclass(frozen=True, eq=False)
class Fold:
    """One turn of cross-validation over the labelled slices: indices to learn from, and to be scored on."""

    train: np.ndarray
    test: np.ndarray


def fold_groups(slices: LabelledSlices, by_picture: bool = True) -> np.ndarray:
    """Which labelled slices must stay together, (labelled,) int: of one case, or near copies of each other.

    Equal numbers stay together, in the order of `of_kind(LABELLED)`. Near copies are told by the pictures
    (`data.nearcopies`), since slices of unknown patients carry no key; not so where `by_picture` is False,
    for people who are all known, phantoms say.
    """
    rows = slices.of_kind(Kind.LABELLED)
    alike = near_copies([slices.pictures[row] for row in rows]) if by_picture else []
    same_case = [
        (a, b) for a in range(len(rows)) for b in range(a) if slices.cases[rows[a]] == slices.cases[rows[b]]
    ]
    return connected(len(rows), [*alike, *same_case])


def connected(count: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """(count,) numbers, equal where a chain of pairs joins two: the smallest index of each chain."""
    group = np.arange(count)
    for a, b in pairs:
        low, high = sorted((group[a], group[b]))
        group[group == high] = low
    return group


def folds(slices: LabelledSlices, k: int = 5, seed: int = 0, by_picture: bool = True) -> tuple[Fold, ...]:
    """k turns of cross-validation: every labelled slice is scored once, near copies and cases never parted.

    Slices with consolidation are spread evenly as far as groups allow. Only slices that experts labelled
    take part; healthy, pseudo-labelled and unlabelled ones belong to no fold. DataError where there are
    fewer groups than folds.
    """
    if k < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, got {k}")
    rows, groups = slices.of_kind(Kind.LABELLED), fold_groups(slices, by_picture)
    if len(set(groups)) < k:
        raise DataError(
            f"{len(rows)} labelled slices fall into {len(set(groups))} groups of near copies, too few for "
            f"{k} folds; ask for fewer folds"
        )
    dense = np.array([(slices.lesions[row] == Lesion.CONSOLIDATION).any() for row in rows])
    side = _deal_groups(groups, dense, k, np.random.default_rng(seed))
    return tuple(Fold(rows[side != fold], rows[side == fold]) for fold in range(k))


def _deal_groups(groups: np.ndarray, dense: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(N,) fold of each slice: large groups first, dense ones before others, each to the emptiest fold."""
    side = np.full(len(groups), -1)
    lots = rng.permutation(np.unique(groups))
    has_dense = {group: bool(dense[groups == group].any()) for group in lots}
    sizes = {group: int((groups == group).sum()) for group in lots}
    for group in sorted(lots, key=lambda group: (not has_dense[group], -sizes[group])):
        counted = dense if has_dense[group] else np.ones(len(groups), bool)
        filled = [(int((counted & (side == fold)).sum()), int((side == fold).sum())) for fold in range(k)]
        side[groups == group] = filled.index(min(filled))
    return side


def few_labels(slices: LabelledSlices, rows: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """`count` of the labelled slices `rows`, as a study with few labels has them.

    Nested: for one seed, 5 labels are among the 10. As soon as two are drawn both ground glass and
    consolidation are among them, where `rows` has them. DataError where there are fewer rows.
    """
    if not 0 < count <= len(rows):
        raise DataError(f"{count} labelled slices were asked for, there are {len(rows)}")
    order = list(np.random.default_rng(seed).permutation(np.sort(np.asarray(rows, np.int64))))
    for place, wanted in enumerate((Lesion.CONSOLIDATION, Lesion.GROUND_GLASS)):
        if any((slices.lesions[row] == wanted).any() for row in order[: place + 1]):
            continue
        with_it = [row for row in order[place:] if (slices.lesions[row] == wanted).any()]
        if with_it:
            order.remove(with_it[0])
            order.insert(place, with_it[0])
    return np.array(order[:count], np.int64)
