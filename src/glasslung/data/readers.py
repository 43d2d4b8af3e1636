"""What human readers said of scans: a table with one line per reading, `readers.csv`.

Columns
    reader          who read; a pseudonym, the same in every row
    task            'diagnosis', 'prognosis one scan' or 'prognosis two scans'
    rating          0 or 1; or whole numbers of an ordered scale; or a probability from 0 to 1: one kind for
                    each task. Higher always means: more likely to have it, or to fare badly
    patient, scan   as in the cohort's table: both, or one of them where that names the scan alone. Of two
                    scans it is the later one
A reading that was not made is left out. Further columns are not read.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.files import write_whole

TASKS = ("diagnosis", "prognosis one scan", "prognosis two scans")
TABLE_NAME = "readers.csv"
NEEDED = ("reader", "task", "rating")
EVEN = 0.5  # of a probability: from here on it says yes


class Scale(StrEnum):
    """What ratings mean."""

    YES_NO = "yes or no"
    ORDERED = "ordered"
    PROBABILITY = "probability"


@dataclass(frozen=True, eq=False)
class Readings:
    """What R readers said of N scans in one task.

    patients, scans  (N,) names; '' where the table did not give one
    readers          (R,) names
    rating           (N, R) float64, NaN where a reader did not read a scan
    rows             (N,) row of the table in which a scan is first named, the header is row 1
    """

    task: str
    scale: Scale
    patients: tuple[str, ...]
    scans: tuple[str, ...]
    readers: tuple[str, ...]
    rating: np.ndarray
    rows: tuple[int, ...]

    def says_yes(self, cut: float | None = None) -> np.ndarray:
        """Ratings as calls: 1 from `cut` on, 0 below, NaN not read; (N, R).

        None: 1 of yes or no, one half of a probability; UsageError for an ordered scale, whose cut must be
        given.
        """
        if cut is None:
            if self.scale is Scale.ORDERED:
                raise UsageError(
                    f"{self.task}: ratings on an ordered scale need a cut from which they mean yes"
                )
            cut = 1.0 if self.scale is Scale.YES_NO else EVEN
        return np.where(np.isnan(self.rating), np.nan, self.rating >= cut)

    def of(self, patients: Sequence[str], scans: Sequence[str]) -> Readings:
        """The same for these scans (M,) in their order, NaN for scans that nobody read.

        DataError for a reading of a patient with several scans that does not name the scan, for a scan's
        name that two patients have, or where none of these scans was read.
        """
        rating = np.full((len(scans), len(self.readers)), np.nan)
        rows = [0] * len(scans)
        for n, (patient, scan) in enumerate(zip(self.patients, self.scans, strict=True)):
            there = [
                m
                for m in range(len(scans))
                if (not scan or scans[m] == scan) and (not patient or patients[m] == patient)
            ]
            if len(there) > 1:
                what = f"scan {scan!r}" if scan else f"patient {patient!r}"
                raise DataError(
                    f"row {self.rows[n]} of the readers' table: {what} stands for {len(there)} scans here; "
                    "name patient and scan"
                )
            for m in there:
                rating[m], rows[m] = self.rating[n], self.rows[n]
        if np.isnan(rating).all():
            raise DataError(
                f"none of these {len(scans)} scans was read for {self.task!r}; the table's names of patients "
                "and scans must be those of the cohort"
            )
        return Readings(
            self.task, self.scale, tuple(patients), tuple(scans), self.readers, rating, tuple(rows)
        )


def read_readers(path: Path) -> dict[str, Readings]:
    """Read a table of readings: task -> what was said; `path` is the file or the folder that holds it.

    DataError names file and row of the first thing that is wrong, and the remedy.
    """
    table = path / TABLE_NAME if path.is_dir() else path
    lines = _lines(table)
    found: dict[str, Readings] = {}
    for task in TASKS:
        mine = [(row, line) for row, line in lines if line["task"] == task]
        if mine:
            found[task] = _readings(table, task, mine)
    return found


def write_readers(readings: Mapping[str, Readings] | Sequence[Readings], path: Path) -> Path:
    """Write readings as a table that `read_readers` reads; returns the file."""
    file = path if path.suffix.lower() == ".csv" else path / TABLE_NAME
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["patient", "scan", "reader", "task", "rating"])
    for one in readings.values() if isinstance(readings, Mapping) else readings:
        for n, (patient, scan) in enumerate(zip(one.patients, one.scans, strict=True)):
            for r, reader in enumerate(one.readers):
                if not math.isnan(one.rating[n, r]):
                    writer.writerow([patient, scan, reader, one.task, f"{one.rating[n, r]:.6g}"])
    write_whole(file, text.getvalue())
    return file


def _lines(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(row, fields) of every reading; each field stripped, tasks known, nothing needed empty."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise DataError(
            f"{table} cannot be read ({problem}); give a table in comma-separated UTF-8"
        ) from None
    header = [name.strip().lower() for name in rows[0]] if rows else []
    for name in NEEDED:
        if header.count(name) != 1:
            raise DataError(f"{table} needs the column {name!r} once; its first row must hold {_wanted()}")
    if not {"patient", "scan"} & set(header):
        raise DataError(f"{table} names no scans; its first row must hold {_wanted()}")
    lines = []
    for number, row in enumerate(rows[1:], start=2):
        where = f"{table}, row {number}"
        if not any(field.strip() for field in row):
            continue
        if len(row) != len(header):
            raise DataError(f"{where} has {len(row)} fields for {len(header)} columns; mend that row")
        line = {"patient": "", "scan": "", **dict(zip(header, (one.strip() for one in row), strict=True))}
        if not line["reader"]:
            raise DataError(f"{where}, column reader: is empty; give every reader a name of their own")
        if not line["patient"] and not line["scan"]:
            raise DataError(f"{where} names neither patient nor scan; fill one in, or delete the row")
        if line["task"] not in TASKS:
            raise DataError(f"{where}, column task: {line['task']!r} is none of {', '.join(TASKS)}")
        lines.append((number, line))
    if not lines:
        raise DataError(f"{table} has a header and no readings; add one row per reading")
    return lines


def _wanted() -> str:
    return ", ".join(NEEDED) + " and patient, scan or both"


def _readings(table: Path, task: str, lines: Sequence[tuple[int, Mapping[str, str]]]) -> Readings:
    readers = tuple(dict.fromkeys(line["reader"] for _, line in lines))
    first: dict[tuple[str, str], int] = {}
    for row, line in lines:
        first.setdefault((line["patient"], line["scan"]), row)
    places = {key: n for n, key in enumerate(first)}
    rating = np.full((len(first), len(readers)), np.nan)
    seen: dict[tuple[str, str, str], int] = {}
    for row, line in lines:
        key = (line["patient"], line["scan"], line["reader"])
        if (before := seen.setdefault(key, row)) != row:
            raise DataError(
                f"{table}, rows {before} and {row}: {line['reader']!r} reads the same scan twice for "
                f"{task!r}; keep one of them"
            )
        rating[places[key[:2]], readers.index(line["reader"])] = _rating(table, row, line["rating"])
    patients, scans = (tuple(key[part] for key in first) for part in (0, 1))
    scale = _scale(table, task, lines, rating)
    return Readings(task, scale, patients, scans, readers, rating, tuple(first.values()))


def _rating(table: Path, row: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DataError(
            f"{table}, row {row}, column rating: {text!r} is no rating; write 0 or 1, a whole number of an "
            "ordered scale, or a probability, and leave out what was not read"
        )
    return value


def _scale(
    table: Path, task: str, lines: Sequence[tuple[int, Mapping[str, str]]], rating: np.ndarray
) -> Scale:
    values = rating[~np.isnan(rating)]
    if np.isin(values, (0, 1)).all():
        return Scale.YES_NO
    if (values == np.rint(values)).all():
        return Scale.ORDERED
    if (values <= 1).all():
        return Scale.PROBABILITY
    row, line = next((row, line) for row, line in lines if not _fits(float(line["rating"]), values))
    raise DataError(
        f"{table}, row {row}, column rating: {line['rating']} does not go with the other ratings of "
        f"{task!r}; one task has whole numbers, or probabilities from 0 to 1"
    )


def _fits(value: float, values: np.ndarray) -> bool:
    """Whether a rating is of the kind that most are."""
    whole = (values == np.rint(values)).mean() >= 0.5
    return value == round(value) if whole else value <= 1
