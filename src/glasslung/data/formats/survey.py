"""What lies here: the kind of a file by its content, and the scan that a file or folder holds.

Extensions are never believed: DICOM files usually have none, and a third of the pictures people send are
JPEGs called `.png`.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glasslung.data.formats.damage import LIMITS, told_plainly
from glasslung.errors import DataError

HEAD_BYTES = 4096
PATHS_SHOWN = 6  # of folders to choose from, in a message


class Kind(StrEnum):
    """What a file is, by its content."""

    DICOM = "DICOM"
    DICOMDIR = "DICOMDIR"
    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META = "MHA"
    PICTURE = "picture"
    ZIP = "zip"
    OTHER = "other"


GRIDS = (Kind.NIFTI, Kind.NRRD, Kind.META)
PICTURE_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"II*\x00",
    b"MM\x00*",
    b"GIF8",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
)
DICOMDIR_CLASS = b"1.2.840.10008.1.3.10\x00"  # Media Storage Directory
# Group 0002 or 0008, little endian, at the very start: DICOM without preamble, as old exports write it.
BARE_DICOM = re.compile(rb"[\x02\x08]\x00[\x00-\x20]\x00(?:[A-Z]{2}|[\x00-\xff]\x00\x00\x00)", re.DOTALL)
# Two letters alone would take a note that starts with "BM" or "P1 ..." for a picture.
BITMAP_START = re.compile(rb"BM.{4}\x00{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL)
PORTABLE_START = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*\d+\s")
META_START = re.compile(rb"\s*(ObjectType|NDims|Comment|ID|ObjectSubType)\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class Survey:
    """The scan that was found: its kind, its files, and how many files beside it were left alone."""

    kind: Kind
    files: tuple[Path, ...]
    ignored: int = 0


def kind_of(path: Path) -> Kind:
    """What a file is, by its first bytes."""
    with (
        told_plainly(path, "the file cannot be opened", "check that you may read it"),
        path.open("rb") as file,
    ):
        head = file.read(HEAD_BYTES)
    if head[:2] == b"\x1f\x8b":
        return Kind.NIFTI if _is_nifti(_gunzip_head(head)) else Kind.OTHER
    return _kind_of_head(head)


def _kind_of_head(head: bytes) -> Kind:
    if head[128:132] == b"DICM":
        return Kind.DICOMDIR if DICOMDIR_CLASS in head[:512] else Kind.DICOM
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return Kind.ZIP
    if head.startswith(b"NRRD0"):
        return Kind.NRRD
    if head.startswith(PICTURE_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return Kind.PICTURE
    if BITMAP_START.match(head) or PORTABLE_START.match(head):
        return Kind.PICTURE
    if _is_nifti(head):
        return Kind.NIFTI
    if META_START.match(head) and re.search(rb"NDims\s*=", head):
        return Kind.META
    return Kind.DICOM if BARE_DICOM.match(head) and len(head) > 32 else Kind.OTHER


def _is_nifti(head: bytes) -> bool:
    if head[:4] in (b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"):  # 348, the size of a NIfTI-1 header
        return head[344:347] in (b"n+1", b"ni1")
    return head[4:7] in (b"n+2", b"ni2")


def _gunzip_head(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def survey(path: Path) -> Survey:
    """Find the one scan that a file or folder holds.

    A folder may hold DICOM files (any order, any depth), the pictures of one stack, or one volume file.
    Hidden files, DICOMDIR and files that are no scan are left alone. Raises DataError, saying what was found
    and what to pass, when there is nothing, or more than one thing.
    """
    path = path if path.name else path.resolve()
    if not path.exists():
        raise DataError(f"{path.name}: there is no such file or folder; check the path")
    if path.is_dir():
        return _survey_folder(path)
    if not path.is_file():
        raise DataError(f"{path.name}: is neither a file nor a folder; pass a scan")
    kind = kind_of(path)
    if kind is Kind.DICOMDIR:
        raise DataError(f"{path.name}: is only the index of a DICOM disc; pass the folder it lies in")
    if kind is Kind.OTHER:
        raise DataError(
            f"{path.name}: {_unknown(path)}; pass DICOM, NIfTI, NRRD, MHA, PNG or JPEG, or a zip of them"
        )
    return Survey(kind, (path,))


def _unknown(path: Path) -> str:
    size = path.stat().st_size
    return "the file is empty" if not size else f"its {size} bytes are no format that is read here"


def _survey_folder(folder: Path) -> Survey:
    found: dict[Kind, list[Path]] = {kind: [] for kind in Kind}
    for file in _files_below(folder):
        found[kind_of(file)].append(file)
    grids = [file for kind in GRIDS for file in found[kind]]
    dicom, pictures, zips = found[Kind.DICOM], found[Kind.PICTURE], found[Kind.ZIP]
    if found[Kind.DICOMDIR] and dicom:
        # A disc as hospitals burn it: the pictures on it are its viewer's buttons.
        pictures = []
    ignored = sum(map(len, found.values())) - len(dicom or grids or pictures)
    kinds = [bool(dicom), bool(grids), bool(pictures)]
    if sum(kinds) > 1:
        raise DataError(
            f"{folder.name}: holds {_counts(found)}; pass the one file or subfolder that is the scan"
        )
    if dicom:
        return Survey(Kind.DICOM, tuple(dicom), ignored)
    if grids:
        return Survey(kind_of(_only(folder, grids)), (grids[0],), ignored)
    if pictures:
        return Survey(Kind.PICTURE, tuple(_one_folder_of(folder, pictures)), ignored)
    if zips:
        raise DataError(
            f"{folder.name}: holds only zip files ({len(zips)}); pass one of them, such as {zips[0].name}"
        )
    what = f"{_counts(found)}, none of them a scan" if any(found.values()) else "no files"
    raise DataError(f"{folder.name}: the folder holds {what}; pass a folder with a scan in it")


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files below a folder in a fixed order; links to folders are not followed, so nothing loops."""
    count = 0
    for here, folders, names in os.walk(folder, onerror=_stop):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            file = Path(here, name)
            if name.startswith(".") or name == "Thumbs.db" or not _is_regular(file):
                continue
            count += 1
            if count > LIMITS.folder_files:
                raise DataError(
                    f"{folder.name}: holds more than {LIMITS.folder_files} files; pass the scan's own folder"
                )
            yield file


def _stop(error: OSError) -> None:
    name = Path(str(error.filename)).name
    raise DataError(f"{name}: the folder cannot be opened; check that you may read it") from error


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:  # a link that leads nowhere
        return False


def _counts(found: dict[Kind, list[Path]]) -> str:
    many = Counter({kind: len(files) for kind, files in found.items() if files})
    return ", ".join(f"{count} {kind.value} file{'s' if count > 1 else ''}" for kind, count in many.items())


def _only(folder: Path, grids: list[Path]) -> Path:
    if len(grids) > 1:
        names = ", ".join(file.name for file in grids[:4]) + (", ..." if len(grids) > 4 else "")
        raise DataError(f"{folder.name}: holds {len(grids)} volumes ({names}); pass one of them")
    return grids[0]


def _one_folder_of(folder: Path, pictures: list[Path]) -> list[Path]:
    homes = Counter(file.parent for file in pictures)
    if len(homes) > 1:
        # A folder with another stack below it would be refused in its turn.
        stacks = [home for home in sorted(homes) if not any(home in other.parents for other in homes)]
        paths = " or ".join(f"{home} ({homes[home]})" for home in stacks[:PATHS_SHOWN])
        more = f" or one of {len(stacks) - PATHS_SHOWN} more" if len(stacks) > PATHS_SHOWN else ""
        raise DataError(
            f"{folder.name}: holds pictures in {len(homes)} folders; pass one of them: {paths}{more}"
        )
    return sorted(pictures, key=natural_key)


def natural_key(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Order names as a person does: slice2 before slice10."""
    parts = [part for part in re.split(r"([0-9]+)", path.stem.lower()) if part]
    return (*((0, int(part)) if "0" <= part[0] <= "9" else (1, part) for part in parts), (1, path.suffix))
