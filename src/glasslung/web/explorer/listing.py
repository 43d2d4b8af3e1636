"""Which pictures lie in a place, and what is known of each: a folder, a cohort's table, or a table of codes.

A place is looked at in this order
    a table         .csv, .parquet or .npz with codes of the user's own (see `codetables`), or a
                    cohort's table
    a cohort        a folder with cohort.csv, or of a collection that `data.sources` knows
    plain pictures  any other folder: all pictures below it; the folder that a picture lies in is its label
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from glasslung.data.cohort import NEEDED, TABLE_NAME, Cohort
from glasslung.data.slices import GROUP_NAMES
from glasslung.data.sources import LAYOUTS, open_cohort
from glasslung.errors import DataError
from glasslung.types import Case, Intensity
from glasslung.web.explorer.codetables import CodeTable, header_of, read_codes

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jp2", ".pgm", ".ppm")
TABLES = (".csv", ".parquet", ".npz")
STAGES = dict(zip(GROUP_NAMES, ("healthy", "days 0 to 4", "days 5 to 9", "days 10 to 14"), strict=True))
MOST = 20_000  # pictures: every one is compared with every other, and the page holds all thumbnails
NO_SLICE = "its grey values are HU of a whole scan; `glasslung prepare` cuts slices out"


@dataclass(frozen=True, eq=False)
class Entry:
    """One picture that is to be shown.

    name     what a person calls it: its path in the folder, or its row
    root     the opened folder, which it must not lead out of
    path     its file, absolute; None where `pixels` holds it
    facts    what is known, by column; '' unknown
    patient  whose picture it is; '' unknown
    pixels   (H, W) of a table that holds its pictures itself
    """

    name: str
    root: Path
    path: Path | None
    facts: dict[str, str] = field(default_factory=dict)
    patient: str = ""
    pixels: np.ndarray | None = None


@dataclass(frozen=True)
class LeftOut:
    """A picture that is not shown, and why."""

    name: str
    why: str


@dataclass(frozen=True, eq=False)
class Listing:
    """The pictures of a place before they are read.

    codes    (N, D) of the user's own table, row for row with `entries`; None where there are none
    notes    what a reader should know of the collection
    """

    name: str
    folder: Path
    entries: tuple[Entry, ...]
    codes: np.ndarray | None = None
    columns: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def list_place(place: Path) -> Listing:
    """The pictures of a folder or a table; DataError where there is none."""
    place = Path(place)
    if not place.exists():
        raise DataError(f"there is no {place}; give a run, a folder of pictures, or a table of codes")
    if place.is_file():
        if place.suffix.lower() not in TABLES:
            raise DataError(
                f"{place} is no table ({', '.join(TABLES)}); give a folder of pictures, a run, or a table"
            )
        if place.suffix.lower() == ".csv" and set(NEEDED) <= set(header_of(place)):
            return of_cohort(open_cohort(place))
        return of_codes(place, read_codes(place))
    known = any(next(place.glob(one), None) for patterns in LAYOUTS.values() for one in patterns)
    if (place / TABLE_NAME).is_file() or known:
        return of_cohort(open_cohort(place))
    return of_folder(place)


def of_folder(folder: Path) -> Listing:
    """All pictures below a folder, in the order of their names; hidden ones are none of ours."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    paths = [path for path in paths if not any(p.startswith(".") for p in path.relative_to(folder).parts)]
    if not paths:
        raise DataError(f"{folder} holds no picture ({', '.join(ENDINGS)}); give a folder of slices")
    entries: list[Entry] = []
    left: list[LeftOut] = []
    for path in paths:
        found = admitted(path.relative_to(folder).as_posix(), folder, path)
        if isinstance(found, LeftOut):
            left.append(found)
            continue
        above = path.parent.relative_to(folder).as_posix()
        entries.append(replace(found, facts={} if above == "." else {"folder": above}))
    return Listing(folder.resolve().name, folder, tuple(entries), left_out=tuple(left))


def admitted(name: str, root: Path, path: Path) -> Entry | LeftOut:
    """A file as an entry, unless it is not there or lies outside the opened folder."""
    if not path.is_file():
        return LeftOut(name, "there is no such file")
    if not path.resolve().is_relative_to(root.resolve()):
        return LeftOut(name, "it lies outside the opened folder; open a folder that holds it")
    return Entry(name, root, path.resolve())


def of_cohort(cohort: Cohort) -> Listing:
    """The slices of a cohort; a scan that is a folder of slices gives all of them."""
    entries: list[Entry] = []
    left: list[LeftOut] = []
    for case in cohort.cases:
        if case.intensity is not Intensity.DISPLAY8:
            left.append(LeftOut(case.scan, NO_SLICE))
            continue
        for name, path in _files_of(case, cohort):
            found = admitted(name, cohort.folder, path)
            if isinstance(found, LeftOut):
                left.append(found)
            else:
                entries.append(replace(found, facts=facts_of(case), patient=case.patient))
    if not entries:
        first = f", first {left[0].name!r}: {left[0].why}" if left else ""
        raise DataError(f"{cohort.name} holds no slice that can be shown{first}")
    notes = (cohort.note,) if cohort.note else ()
    return Listing(cohort.name, cohort.folder, tuple(entries), left_out=tuple(left), notes=notes)


def _files_of(case: Case, cohort: Cohort) -> Iterator[tuple[str, Path]]:
    path = cohort.path(case.image)
    if not path.is_dir():
        yield case.scan, path
        return
    for each in sorted(path.iterdir()):
        if each.suffix.lower() in ENDINGS:
            yield f"{case.scan}/{each.name}", each


def facts_of(case: Case) -> dict[str, str]:
    """What a cohort's table tells of a scan, by column, in the order in which a person asks for it."""
    stage = case.extra.get("group", "")
    event = "" if case.event is None else ("yes" if case.event else "no")
    facts = {
        "label": case.label,
        "stage": STAGES.get(stage, stage),
        "day": _number(case.day),
        "source": case.site,
        "split": case.split,
        "patient": case.patient,
        "scan": case.scan,
        "event": event,
        "event day": _number(case.event_day),
    }
    extra = {key: text for key, text in case.extra.items() if key != "group" and not key.endswith("_path")}
    return facts | {key.replace("_", " "): text for key, text in extra.items() if key not in facts}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def of_codes(place: Path, table: CodeTable) -> Listing:
    """The rows of a table of codes; their pictures lie in the table's folder or in the table itself."""
    check_count(len(table.codes), place.name)
    root = place.parent
    entries: list[Entry] = []
    left = [LeftOut(*one) for one in table.left_out]
    kept = []
    for row in range(len(table.codes)):
        facts = {key: texts[row] for key, texts in table.facts.items()}
        patient = facts.get("patient", "")
        if table.images is not None:
            entries.append(Entry(table.names[row], root, None, facts, patient, table.images[row]))
            kept.append(row)
            continue
        found = admitted(table.names[row], root, root / table.names[row])
        if isinstance(found, LeftOut):
            left.append(found)
        else:
            entries.append(replace(found, facts=facts, patient=patient))
            kept.append(row)
    if not entries:
        first = f", first {left[0].name!r}: {left[0].why}" if left else ""
        raise DataError(f"{place} names no picture that can be shown{first}")
    notes = (f"Codes are those of {place.name}: {table.told}.", *_repeated(entries))
    return Listing(place.stem, root, tuple(entries), table.codes[kept], table.columns, tuple(left), notes)


def _repeated(entries: Sequence[Entry]) -> list[str]:
    """What to say of pictures that more than one row names: each row is shown, since codes may differ."""
    twice = [name for name, count in Counter(entry.name for entry in entries).items() if count > 1]
    if not twice:
        return []
    return [f"{len(twice)} picture(s) are named by several rows, first {twice[0]}; every row is shown."]


def check_count(count: int, name: str) -> None:
    """DataError where there are more pictures than can be laid out."""
    if count > MOST:
        raise DataError(
            f"{name} has {count:,} pictures, and the explorer lays out {MOST:,} at most; give a part of them"
        )
