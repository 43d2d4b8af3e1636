"""Pictures of any size and mode as small grey squares: what is shown, and what a network reads.

Each file goes through the one door for pictures, `data.formats.pictures`: transparency is laid over black,
colour becomes luma, more than 8 bits are stretched from the picture's own lowest to its highest value. A file
that is no picture, is damaged or holds several pages is left out with its reason, and the others are shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.data.formats.intensities import stretch_to_display8
from glasslung.data.formats.pictures import read_pictures
from glasslung.data.slices import pad_square
from glasslung.errors import DataError
from glasslung.types import Progress
from glasslung.web.explorer.listing import Entry, LeftOut, Listing, check_count

Frame = Callable[[np.ndarray], np.ndarray]
"""frame(grey (H, W) uint8) -> (S, S) float32 in [0, 1]."""
THUMB = 64  # side of a thumbnail in pixels: 4096 of them fill a texture that every graphics chip can hold
LEAST = 3  # pictures, below which nothing is near or far
HANDLED = {
    "alpha": "had transparent parts, which were laid over black",
    "coloured-marks": "had coloured marks or a tint, turned into grey",
    "coloured-picture": "were coloured all over (photographs, colour maps?), turned into grey",
    "scaled-to-8-bit": "had more than 8 bits: each was stretched from its own lowest to its highest value, "
    "so "
    "their brightness cannot be compared",
}


@dataclass(frozen=True, eq=False)
class Collection:
    """N pictures in memory with what is known of each; all fields have N rows in the same order.

    thumbs    (N, THUMB, THUMB) uint8, padded to a square and averaged down: what is shown
    squares   (N, S, S) float32 in [0, 1]: what a network reads
    columns   facts by name, text, '' unknown
    sizes     (height, width) of each file
    left_out  what is not here, and why; notes  what was done to some, and what the collection says of itself
    """

    name: str
    entries: tuple[Entry, ...]
    thumbs: np.ndarray
    squares: np.ndarray
    columns: dict[str, tuple[str, ...]]
    sizes: tuple[tuple[int, int], ...]
    codes: np.ndarray | None
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def patients(self) -> np.ndarray:
        """Whose picture each is, (N,) text; where nobody knows, each stands for itself."""
        return np.array([entry.patient or f"\0{row}" for row, entry in enumerate(self.entries)])


def grey_of(entry: Entry) -> tuple[np.ndarray, set[str]]:
    """One picture as (H, W) uint8 with the codes of what was done to it; DataError where it cannot be
    read.
    """
    if entry.pixels is not None:
        return _eight_bits(entry.pixels)
    assert entry.path is not None
    volume = read_pictures([entry.path], entry.name)
    if len(volume.voxels) != 1:
        raise DataError(f"{entry.name}: has {len(volume.voxels)} pages; save the slice that is meant alone")
    return np.asarray(volume.voxels[0], np.uint8), {remark.code for remark in volume.source.remarks}


def _eight_bits(pixels: np.ndarray) -> tuple[np.ndarray, set[str]]:
    """Pixels of an array: whole 0 to 255 and fractions of 1 as they are meant, all else stretched."""
    if pixels.dtype == np.uint8:
        return pixels, set()
    low, high = float(pixels.min()), float(pixels.max())
    if pixels.dtype.kind == "f" and low >= 0 and high <= 1:
        return np.rint(pixels * 255).astype(np.uint8), set()
    return stretch_to_display8(pixels, low, high), {"scaled-to-8-bit"}


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """(H, W) uint8 -> (THUMB, THUMB) uint8: padded to a square, averaged over each pixel's area."""
    from PIL import Image

    square = Image.fromarray(pad_square(grey))
    return np.asarray(square.resize((THUMB, THUMB), Image.Resampling.LANCZOS), np.uint8)


def read_listing(listing: Listing, frame: Frame, progress: Progress | None = None) -> Collection:
    """Read all pictures of a listing; `frame` makes of each what a network reads.

    DataError where fewer than three can be read (the message says how many were left out and why), or there
    are too many.
    """
    check_count(len(listing.entries), listing.name)
    kept, thumbs, squares, sizes = [], [], [], []
    left = list(listing.left_out)
    handled: Counter[str] = Counter()
    told_every = max(1, len(listing.entries) // 20)
    for row, entry in enumerate(listing.entries):
        if progress and row % told_every == 0:
            progress(f"reading picture {row + 1} of {len(listing.entries)}", row / len(listing.entries))
        try:
            grey, done = grey_of(entry)
        except DataError as problem:
            left.append(LeftOut(entry.name, _plainly(problem, entry)))
            continue
        handled.update(done & HANDLED.keys())
        kept.append(row)
        thumbs.append(thumbnail(grey))
        squares.append(frame(grey))
        sizes.append((int(grey.shape[0]), int(grey.shape[1])))
    if len(kept) < LEAST:
        raise DataError(_too_few(listing, len(kept), left))
    entries = tuple(listing.entries[row] for row in kept)
    notes = [f"{count} picture(s) {HANDLED[code]}." for code, count in sorted(handled.items())]
    if len(set(sizes)) > 1:
        notes.append(f"The pictures have {len(set(sizes))} sizes; each was padded to a square and scaled.")
    return Collection(
        listing.name,
        entries,
        np.stack(thumbs),
        np.stack(squares),
        columns_of(entries),
        tuple(sizes),
        None if listing.codes is None else listing.codes[kept],
        tuple(left),
        (*listing.notes, *notes),
    )


def _plainly(problem: DataError, entry: Entry) -> str:
    """The reason alone: the picture's name stands beside it."""
    text = str(problem)
    for start in (entry.name, "" if entry.path is None else entry.path.name, str(entry.path)):
        if start:
            text = text.removeprefix(f"{start}: ").removeprefix(f"{start} ")
    return text


def _too_few(listing: Listing, count: int, left: Sequence[LeftOut]) -> str:
    first = f"; {len(left)} left out, first {left[0].name!r}: {left[0].why}" if left else ""
    return (
        f"{listing.name} gives {count} picture(s), and with fewer than {LEAST} there is nothing to lay "
        f"out{first}. "
        "Give more pictures."
    )


def columns_of(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    """All facts that at least one picture has, by column, in the order in which they first appear."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.facts))
    table = {name: tuple(entry.facts.get(name, "") for entry in entries) for name in names}
    return {name: texts for name, texts in table.items() if any(texts)}
