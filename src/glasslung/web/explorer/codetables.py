"""Codes of the user's own: a table with a picture's path, its numbers and whatever else is known of it.

CSV, Parquet   one row per picture. `image` (or `path`): its file, relative to the table; or `name`, of a
               PNG beside it or in `pictures/`. The codes: columns of one name that end in numbers, as z0, z1,
               ... or code_00, code_01, ...; all other columns are facts.
NPZ            codes (N, D); images (N, H, W) or paths (N,); any other array of N values is a fact

A row whose code holds NaN, infinity or no number is left out and told of. A row with more or fewer fields
than the table's head stops the reading: it is not known which of its numbers is which.
"""

from __future__ import annotations

import csv
import re
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.errors import DataError

IMAGE_COLUMNS = ("image", "path", "file", "filename")
NAME_COLUMN = "name"  # without ending or folder, as generators export their codes
CODE_COLUMN = re.compile(r"(?P<stem>[A-Za-z_ -]*?)[_ -]?(?P<number>\d+)")
CODE_STEMS = (
    "z",
    "code",
    "codes",
    "latent",
    "latents",
    "k",
    "pc",
    "dim",
    "feature",
    "f",
    "x",
    "umap",
    "tsne",
)
NOT_FINITE = "its code holds NaN, infinity or no number"


@dataclass(frozen=True, eq=False)
class CodeTable:
    """N pictures with their codes.

    codes     (N, D) float32, finite; columns their names
    names     (N,) paths as the table has them, or row numbers
    facts     further columns, text
    images    (N, H, W) or None
    left_out  (name, reason) of rows that are not here
    """

    codes: np.ndarray
    columns: tuple[str, ...]
    names: tuple[str, ...]
    facts: dict[str, tuple[str, ...]]
    images: np.ndarray | None
    left_out: tuple[tuple[str, str], ...]
    told: str


def read_codes(path: Path) -> CodeTable:
    """The codes of a table; DataError names what is wrong with it."""
    if path.suffix.lower() == ".npz":
        return _from_arrays(path)
    rows, head = _csv_rows(path) if path.suffix.lower() == ".csv" else _parquet_rows(path)
    if not rows:
        raise DataError(f"{path} has no rows; give one for each picture")
    image = next((name for name in IMAGE_COLUMNS if name in head), None)
    named = image is None and NAME_COLUMN in head
    if named:
        image = NAME_COLUMN
    if image is None:
        raise DataError(f"{path} has no column {IMAGE_COLUMNS[0]!r} with the pictures' paths; add it")
    columns = code_columns(head)
    if not columns:
        raise DataError(
            f"{path} has no columns of codes; name them z0, z1, z2, ... (it has {', '.join(head[:12])})"
        )
    place = {name: index for index, name in enumerate(head)}
    codes = np.array([[_number(row[place[name]]) for name in columns] for row in rows], np.float64)
    names = [row[place[image]] for row in rows]
    if named:
        names = [_file_of(path.parent, name) for name in names]
    facts = {name: [row[place[name]] for row in rows] for name in head if name not in (*columns, image)}
    return _finite(path, codes, columns, names, facts, None)


def _file_of(folder: Path, name: str) -> str:
    """The file of a picture that is called by its name alone, beside the table or in `pictures/`."""
    tried = [f"{place}{name}{ending}" for place in ("", "pictures/") for ending in (".png", ".jpg", "")]
    return next((one for one in tried if (folder / one).is_file()), name)


def header_of(path: Path) -> list[str]:
    """The names of a csv's columns; DataError where it cannot be read."""
    return _csv_rows(path, only_head=True)[1]


def code_columns(head: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns that are codes: of one stem with numbers behind it, ours first, else the
    longest.
    """
    families: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in head:
        found = CODE_COLUMN.fullmatch(name.strip())
        if found:
            families[found["stem"].strip().lower()].append((int(found["number"]), name))
    ours = {stem: members for stem, members in families.items() if stem in CODE_STEMS and len(members) > 1}
    if not ours:
        return ()
    longest = max(ours.values(), key=len)
    return tuple(name for _, name in sorted(longest))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _csv_rows(path: Path, only_head: bool = False) -> tuple[list[list[str]], list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            head = [name.strip() for name in next(reader, [])]
            rows = [] if only_head else [[text.strip() for text in row] for row in reader if row]
    except (OSError, csv.Error, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as a table ({problem}); save it as CSV in UTF-8") from problem
    repeated = sorted({name for name in head if head.count(name) > 1})
    if repeated:
        raise DataError(f"{path} has the column {repeated[0]!r} twice; keep one")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise DataError(
                f"{path}, row {number}: {len(row)} fields, and the head names {len(head)}; a code of another "
                "width cannot be laid beside the others"
            )
    return rows, head


def _parquet_rows(path: Path) -> tuple[list[list[str]], list[str]]:
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except Exception as problem:  # whatever the library that reads it raises on damage
        raise DataError(
            f"{path} cannot be read as Parquet ({problem}); save it again, or as CSV"
        ) from problem
    head = [str(name) for name in table.columns]
    text = table.astype(object).where(table.notna(), "").astype(str)
    return text.to_numpy().tolist(), head


def _from_arrays(path: Path) -> CodeTable:
    arrays = _arrays(path)
    if "codes" not in arrays:
        raise DataError(
            f"{path} holds no array 'codes' (N, D); it has {', '.join(sorted(arrays)) or 'nothing'}"
        )
    codes = arrays.pop("codes")
    if codes.ndim != 2 or codes.dtype.kind not in "fiu" or 0 in codes.shape:
        raise DataError(f"{path}: codes must be numbers (N, D), got {codes.shape} {codes.dtype}")
    count = len(codes)
    images, paths = arrays.pop("images", None), arrays.pop("paths", None)
    if images is None and paths is None:
        raise DataError(f"{path} holds neither 'images' (N, H, W) nor 'paths' (N,); add one")
    for name, array in {"images": images, "paths": paths, **arrays}.items():
        if array is not None and (array.ndim == 0 or len(array) != count):
            raise DataError(f"{path}: {count} codes and {name!r} of shape {array.shape} do not go together")
    if images is not None and (images.ndim != 3 or images.dtype.kind not in "fiu"):
        raise DataError(f"{path}: images must be (N, H, W) of numbers, got {images.shape} {images.dtype}")
    facts = {name: [_text(value) for value in array] for name, array in arrays.items() if array.ndim == 1}
    names = [str(one) for one in paths] if paths is not None else [f"row {row}" for row in range(count)]
    columns = tuple(f"z{index}" for index in range(codes.shape[1]))
    return _finite(path, codes.astype(np.float64), columns, names, facts, images)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as problem:
        raise DataError(f"{path} cannot be read as arrays ({problem}); save it with numpy.savez") from problem


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, np.floating) else str(value)


def _finite(
    path: Path,
    codes: np.ndarray,
    columns: tuple[str, ...],
    names: list[str],
    facts: dict[str, list[str]],
    images: np.ndarray | None,
) -> CodeTable:
    """The rows whose code is finite; the others by name and reason."""
    good = np.isfinite(codes).all(1) & (np.abs(codes) < np.finfo(np.float32).max).all(1)
    if images is not None:
        bright = np.array([bool(np.isfinite(one).all()) for one in images])
    else:
        bright = np.ones(len(codes), bool)
    reasons = [(names[row], NOT_FINITE) for row in np.flatnonzero(~good)]
    reasons += [(names[row], "its picture holds NaN or infinity") for row in np.flatnonzero(good & ~bright)]
    kept = np.flatnonzero(good & bright)
    if len(kept) == 0:
        raise DataError(
            f"{path}: not one row has a finite code; check the columns {columns[0]} to {columns[-1]}"
        )
    told = f"{len(columns)} numbers, columns {columns[0]} to {columns[-1]}"
    return CodeTable(
        codes[kept].astype(np.float32),
        columns,
        tuple(names[row] for row in kept),
        {name: tuple(texts[row] for row in kept) for name, texts in facts.items()},
        None if images is None else images[kept],
        tuple(reasons),
        told,
    )
