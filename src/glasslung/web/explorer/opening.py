"""From what a person names to an explorer: a run, folders, or a table become one scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.files import read_json
from glasslung.types import Progress
from glasslung.web.explorer.codes import reader_of
from glasslung.web.explorer.layout import check_layout
from glasslung.web.explorer.listing import Entry, Listing, list_place
from glasslung.web.explorer.pictures import read_listing
from glasslung.web.explorer.scene import KIND, MADE, REAL, Scene, make_scene

RUN_FILE = "settings.json"


@dataclass(frozen=True)
class Wish:
    """What a person asked for.

    place   a run's folder, a folder of pictures, a cohort, or a table
    model   who makes the codes: a run's folder, a shipped name, 'pixels', 'texture', or 'auto'
    made    further places, whose pictures are made ones; all others are real then
    layout  one of `web.explorer.layout.LAYOUTS`
    """

    place: Path
    model: str = "auto"
    made: tuple[Path, ...] = ()
    layout: str = "pca"
    seed: int = 0

    def __post_init__(self) -> None:
        check_layout(self.layout)


def open_explorer(wish: Wish, progress: Progress | None = None) -> Scene:
    """Read the pictures, make their codes, lay them out. UsageError, DataError: in one line what is wrong."""
    place, model = wish.place, wish.model
    if is_run(place):
        if model != "auto":
            raise UsageError(f"{place} is a run; give a folder of pictures to be read by {model}")
        model, place = str(place), cohort_of_run(place)
    listing = list_place(place)
    if wish.made:
        listing = joined(marked(listing, REAL), [marked(list_place(one), MADE) for one in wish.made])
    reader = reader_of(model, listing.codes)
    collection = read_listing(listing, reader.frame, progress)
    if progress:
        progress("making codes", 0.0)
    return make_scene(collection, reader.read(collection), wish.layout, wish.seed, progress)


def is_run(place: Path) -> bool:
    """Whether a folder is one that `glasslung train` filled."""
    return place.is_dir() and (place / RUN_FILE).is_file() and "model" in read_json(place / RUN_FILE)


def cohort_of_run(run: Path) -> Path:
    """What the run was trained on, where it still lies."""
    about = read_json(run / RUN_FILE)
    told = about.get("inputs", {}).get("cohort", {}).get("path", "")
    if not told or not Path(told).exists():
        raise DataError(
            f"the run {run} was trained on {told or 'something it does not name'}, which is not there; name "
            f"a folder "
            f"of pictures: `glasslung explore FOLDER --model {run}`"
        )
    return Path(told)


def marked(listing: Listing, kind: str) -> Listing:
    """The listing with a column that says whether its pictures are real or made."""

    def mark(entry: Entry) -> Entry:
        patient = f"{kind}\0{entry.patient}" if entry.patient else ""
        return replace(entry, facts={**entry.facts, KIND: kind}, patient=patient)

    return replace(listing, entries=tuple(mark(entry) for entry in listing.entries))


def joined(first: Listing, others: Sequence[Listing]) -> Listing:
    """Several places as one. Codes of tables must all be there and have one width: DataError."""
    every = [first, *others]
    with_codes = [one for one in every if one.codes is not None]
    if with_codes and len(with_codes) < len(every):
        without = next(one for one in every if one.codes is None)
        raise DataError(
            f"{with_codes[0].name} brings codes of its own and {without.name} brings none; give codes for "
            f"both, or "
            "pictures for both and a model"
        )
    widths = [one.codes.shape[1] for one in with_codes if one.codes is not None]
    if len(set(widths)) > 1:
        told = ", ".join(f"{one.name}: {width}" for one, width in zip(with_codes, widths, strict=True))
        raise DataError(f"codes of different width cannot be laid beside each other ({told})")
    codes = [one.codes for one in every if one.codes is not None]
    return Listing(
        first.name,
        first.folder,
        tuple(entry for one in every for entry in one.entries),
        np.concatenate(codes) if codes else None,
        first.columns,
        tuple(out for one in every for out in one.left_out),
        tuple(dict.fromkeys(note for one in every for note in one.notes)),
    )
