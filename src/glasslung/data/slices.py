"""Single slices, square and small, in memory: what U-SVAE and CAGE are trained on.

Resizing as the released code does it, because it moves the score: the picture is padded with black to a
square (the odd pixel at the bottom or right) and resized bilinearly *without* anti-aliasing, as OpenCV does.
Pillow's or any anti-aliased resize blurs the black border: about 4 % fewer pixels are exactly 0, which costs
0.4 to 0.6 nats per pixel in the units of the paper's table.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glasslung.data.cohort import Cohort, check_disjoint
from glasslung.errors import DataError, ShapeError
from glasslung.files import whole_file, write_whole
from glasslung.types import Case, Intensity

if TYPE_CHECKING:
    from glasslung.nn.batches import SliceBatch

PAPER_SIZE = 64
# Part of the cache's key: change it with the code.
ANOTHER_PICTURE = "give a whole copy of it, or leave it out"  # fits a single picture and one of a cohort
RECIPE = "pad square, bilinear without anti-aliasing, whole grey values"
GROUP_NAMES = ("t0", "t1", "t2", "t3")  # healthy; days 0 to 4; 5 to 9; 10 to 14
DAYS_PER_GROUP = 5


def pad_square(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (S, S), S the longer side: black on both sides, an odd pixel at the bottom or right."""
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side), image.dtype)
    square[top : top + height, left : left + width] = image
    return square


def resize_bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """(H, W) -> (size, size) float32, bilinear between pixel centres, no anti-aliasing, edges repeated.

    The same grid as OpenCV's INTER_LINEAR and torch's interpolate(antialias=False, align_corners=False);
    unlike OpenCV on 8-bit pictures the result is not rounded to whole grey values.
    """
    rows = _between(image.shape[0], size)
    columns = _between(image.shape[1], size)
    image = image.astype(np.float32)
    tall = image[rows[0]] * (1 - rows[2])[:, None] + image[rows[1]] * rows[2][:, None]
    return tall[:, columns[0]] * (1 - columns[2]) + tall[:, columns[1]] * columns[2]


def _between(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each target pixel: the source pixel before it, the one after it, and the weight of the latter."""
    centre = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, None)
    before = np.minimum(np.floor(centre).astype(int), length - 1)
    return before, np.minimum(before + 1, length - 1), (centre - before).astype(np.float32)


def square_slice(image: np.ndarray, size: int = PAPER_SIZE) -> np.ndarray:
    """One 8-bit picture (H, W) as the paper feeds it: padded, resized, (size, size) float32 in [0, 1].

    Grey values are rounded to whole ones, as OpenCV does with 8-bit pictures: kept fractions would leave
    about 1.5 % fewer pixels exactly 0, and a discrete likelihood needs whole values.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise ShapeError(f"a slice must be (H, W) uint8, got {image.shape} {image.dtype}")
    return np.rint(resize_bilinear(pad_square(image), size)) / np.float32(255)


def read_picture(path: Path) -> np.ndarray:
    """One picture file as (H, W) uint8; DataError when it is missing, damaged or not of one grey channel."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            if picture.mode not in ("L", "RGB"):
                raise DataError(
                    f"{path} has mode {picture.mode}; a slice must be an 8-bit grey picture: "
                    "give it as one, or leave it out"
                )
            return np.asarray(picture.convert("L"))
    except UnidentifiedImageError as problem:
        raise DataError(f"{path} is no picture, or a damaged one; {ANOTHER_PICTURE}") from problem
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise DataError(f"{path} cannot be read as a picture ({why}); {ANOTHER_PICTURE}") from problem


# ---------------------------------------------------------------------------------------- a set of slices


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Slices in memory with what is known about each; all arrays have N rows in the same order.

    images    (N, S, S) float32 in [0, 1]
    group     (N,) int64      age of the disease: 0 healthy, 1 .. 3
    day       (N,) float32    days on the cohort's own axis, NaN if unknown (healthy)
    patient   (N,) int64      index into `patients`
    patients  names inside the cohort
    scans     (N,) names inside the cohort
    """

    images: np.ndarray
    group: np.ndarray
    day: np.ndarray
    patient: np.ndarray
    patients: tuple[str, ...]
    scans: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.images)
        if count == 0:
            raise DataError("there is not a single slice; check the cohort's table and its paths")
        lengths = {len(field) for field in (self.group, self.day, self.patient, self.scans)}
        if self.images.ndim != 3 or lengths != {count}:
            raise ShapeError(
                f"{count} slices of shape {self.images.shape[1:]} do not fit {sorted(lengths)} labels"
            )
        if not np.isfinite(self.images).all():
            bad = int(np.flatnonzero(~np.isfinite(self.images).all((1, 2)))[0])
            raise DataError(f"slice {bad} holds NaN or infinite grey values; leave it out")
        if self.images.min() < 0 or self.images.max() > 1:
            raise DataError(
                f"grey values must lie in [0, 1], found [{self.images.min():.3g}, {self.images.max():.3g}]"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the slices in pixels."""
        return int(self.images.shape[1])

    def take(self, rows: np.ndarray) -> SliceSet:
        """Some of the slices, by index or mask; patients keep their numbers."""
        rows = np.arange(len(self))[rows]
        return replace(
            self,
            images=self.images[rows],
            group=self.group[rows],
            day=self.day[rows],
            patient=self.patient[rows],
            scans=tuple(self.scans[row] for row in rows),
        )

    def joined(self, other: SliceSet) -> SliceSet:
        """These slices, then others of the same cohort."""
        if other.patients != self.patients:
            raise ShapeError("slices of two cohorts cannot be joined: their patients have other numbers")
        return replace(
            self,
            images=np.concatenate([self.images, other.images]),
            group=np.concatenate([self.group, other.group]),
            day=np.concatenate([self.day, other.day]),
            patient=np.concatenate([self.patient, other.patient]),
            scans=self.scans + other.scans,
        )

    def of_group(self, group: int) -> SliceSet:
        """The slices of one age; DataError names the ages there are."""
        if not (self.group == group).any():
            raise DataError(f"no slice is of group {group}; there are {sorted(set(self.group.tolist()))}")
        return self.take(self.group == group)

    def batch(self, rows: np.ndarray) -> SliceBatch:
        """Some of the slices as a batch for a model."""
        import torch

        from glasslung.nn.batches import SliceBatch

        return SliceBatch(
            torch.from_numpy(self.images[rows][:, None]),
            torch.from_numpy(self.group[rows]),
            torch.from_numpy(self.day[rows]),
            torch.from_numpy(self.patient[rows]),
        )

    def batches(self, size: int) -> list[SliceBatch]:
        """All slices once, in order, in batches of at most `size`: for evaluation."""
        return [
            self.batch(np.arange(start, min(start + size, len(self)))) for start in range(0, len(self), size)
        ]


def group_of(case: Case) -> int:
    """The age of the disease of one scan: 0 healthy, 1 for days 0 to 4, 2 for 5 to 9, 3 for 10 to 14.

    A column `group` of the cohort (t0 .. t3) decides where there is one. DataError when neither it nor the
    day helps.
    """
    told = case.extra.get("group", "")
    if told in GROUP_NAMES:
        return GROUP_NAMES.index(told)
    if case.label == "healthy":
        return 0
    if case.day is None or not 0 <= case.day < DAYS_PER_GROUP * (len(GROUP_NAMES) - 1):
        raise DataError(
            f"scan {case.scan!r} has neither a group nor a day from 0 to 14 (day: {case.day}); give the "
            "cohort a column 'group' with t0 (healthy), t1, t2 or t3, or leave the scan out"
        )
    return 1 + int(case.day // DAYS_PER_GROUP)


def read_slices(cohort: Cohort, size: int = PAPER_SIZE) -> SliceSet:
    """Every picture of a cohort of single 8-bit slices, padded and resized: see the head of this file."""
    cases = cohort.cases
    wrong = [case.scan for case in cases if case.intensity is not Intensity.DISPLAY8]
    if wrong:
        raise DataError(
            f"{len(wrong)} scan(s) are not 8-bit pictures, first {wrong[0]!r}; `glasslung prepare` makes them"
        )
    stacks = [case.scan for case in cases if cohort.path(case.image).is_dir()]
    if stacks:
        raise DataError(
            f"{len(stacks)} scan(s) of {cohort.name} are folders of slices, first {stacks[0]!r}; a single "
            "slice of each is asked for: `glasslung prepare` cuts it out"
        )
    images = [square_slice(read_picture(cohort.path(case.image)), size) for case in cases]
    patients = cohort.patients
    number = {name: index for index, name in enumerate(patients)}
    return SliceSet(
        images=np.stack(images) if images else np.zeros((0, size, size), np.float32),
        group=np.array([group_of(case) for case in cases], np.int64),
        day=np.array([np.nan if case.day is None else case.day for case in cases], np.float32),
        patient=np.array([number[case.patient] for case in cases], np.int64),
        patients=patients,
        scans=tuple(case.scan for case in cases),
    )


def split_slices(slices: SliceSet, cohort: Cohort) -> dict[str, SliceSet]:
    """The slices of each split of the cohort they were read from: {'train': ..., 'test': ...}.

    LeakError when a patient stands in two of them.
    """
    names = sorted({case.split for case in cohort.cases} - {""})
    check_disjoint({name: cohort.part(name).cases for name in names})
    splits = np.array([case.split for case in cohort.cases])
    return {name: slices.take(splits == name) for name in names}


# --------------------------------------------------------------------------------------------- the cache

MAKE_AGAIN = "delete that folder, and they are made again from the pictures"
DAMAGE = (DataError, LookupError, TypeError, ValueError, csv.Error)  # DataError where arrays do not fit


def cache_key(cohort: Cohort, size: int) -> str:
    """What a cache was made of: the recipe, the size, and every file with its row of the table."""
    whole = hashlib.sha256(f"{RECIPE}\n{size}\n".encode())
    for case in cohort.cases:
        path = cohort.path(case.image)
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as problem:
            raise DataError(
                f"{path} cannot be read ({problem.strerror}); check the cohort's table"
            ) from problem
        row = [case.patient, case.scan, str(case.day), case.label, case.extra.get("group", ""), digest]
        whole.update((json.dumps(row) + "\n").encode())
    return whole.hexdigest()


def cached_slices(cohort: Cohort, folder: Path, size: int = PAPER_SIZE, anew: bool = False) -> SliceSet:
    """As `read_slices`, but kept in `folder` as plain arrays, and read from there while the pictures are the
    same.

    images.npy  (N, size, size) float32; slices.csv  one row each; key.json  hash of recipe and inputs
    anew        read the pictures in any case, and keep what they give
    """
    key = cache_key(cohort, size)
    folder = Path(folder)
    if not anew and _has_key(folder, key):
        return _read_cache(folder)
    slices = read_slices(cohort, size)
    _write_cache(slices, folder, key)
    return slices


def _has_key(folder: Path, key: str) -> bool:
    try:
        return bool(json.loads((folder / "key.json").read_text(encoding="utf-8")).get("sha256") == key)
    except (OSError, ValueError, AttributeError):
        return False


def _write_cache(slices: SliceSet, folder: Path, key: str) -> None:
    """The key is emptied first and comes last, so that a half-written cache has none."""
    write_whole(folder / "key.json", json.dumps({"sha256": "", "recipe": RECIPE}) + "\n")
    with whole_file(folder / "images.npy") as part:
        np.save(part, slices.images, allow_pickle=False)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["scan", "patient", "group", "day"])
    for scan, patient, group, day in zip(slices.scans, slices.patient, slices.group, slices.day, strict=True):
        writer.writerow([scan, slices.patients[patient], group, "" if np.isnan(day) else repr(float(day))])
    write_whole(folder / "slices.csv", table.getvalue())
    write_whole(folder / "key.json", json.dumps({"sha256": key, "recipe": RECIPE}) + "\n")


def _read_images(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except OSError:
            raise
        except Exception as problem:  # numpy reads the head as Python: whatever may come out of that
            raise DataError(f"{path} is damaged") from problem


def _read_cache(folder: Path) -> SliceSet:
    try:
        images = _read_images(folder / "images.npy")
        with (folder / "slices.csv").open(newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        patients = tuple(sorted({row["patient"] for row in rows}))
        number = {name: index for index, name in enumerate(patients)}
        return SliceSet(
            images,
            np.array([int(row["group"]) for row in rows], np.int64),
            np.array([float(row["day"] or "nan") for row in rows], np.float32),
            np.array([number[row["patient"]] for row in rows], np.int64),
            patients,
            tuple(row["scan"] for row in rows),
        )
    except OSError as problem:
        why = problem.strerror or "it ends too early"
        raise DataError(f"the kept slices in {folder} cannot be read ({why}); {MAKE_AGAIN}") from problem
    except DAMAGE as problem:
        raise DataError(f"the kept slices in {folder} are damaged; {MAKE_AGAIN}") from problem
