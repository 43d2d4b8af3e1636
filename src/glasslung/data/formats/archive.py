"""A zip of a scan, unpacked where it can do no harm, and cleared away afterwards."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from glasslung.data.formats.damage import LIMITS, told_plainly
from glasslung.errors import DataError

CHUNK_BYTES = 1 << 20
ENCRYPTED = 0x1  # bit 0 of an entry's general purpose flags


@dataclass(frozen=True)
class ZipLimits:
    """How much a zip may unfold to before it is taken for a bomb."""

    entries: int = 20_000  # the largest studies have some thousand slices
    total_bytes: int = LIMITS.volume_bytes + (
        1 << 30
    )  # the largest volume that is read, and what lies beside it
    ratio: float = 200.0  # scans shrink 2 to 5 times, masks up to about 100
    ratio_counts_from_bytes: int = 64 << 20  # below this a high ratio harms nobody


@contextmanager
def unpacked(path: Path, limits: ZipLimits | None = None) -> Iterator[Path]:
    """A temporary folder holding what the zip holds; removed when done, whatever happens.

    Refused with a DataError: entries with absolute or climbing paths, links, encrypted entries, too many
    entries, too many bytes, a compression ratio that no scan reaches.
    """
    limits = limits or ZipLimits()
    folder = Path(tempfile.mkdtemp(prefix="glasslung-"))
    try:
        with told_plainly(path, "the zip is damaged", "make the zip again"), zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_entries(path, entries, limits)
            for entry in entries:
                _extract(archive, entry, folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_entries(path: Path, entries: list[zipfile.ZipInfo], limits: ZipLimits) -> None:
    if not entries:
        raise DataError(f"{path.name}: the zip is empty; pass a zip that holds a scan")
    if len(entries) > limits.entries:
        raise DataError(
            f"{path.name}: the zip has {len(entries)} entries, more than {limits.entries}; zip one scan"
        )
    seen: set[str] = set()
    for entry in entries:
        _check_entry(path, entry, seen)
    total, packed = sum(e.file_size for e in entries), max(1, sum(e.compress_size for e in entries))
    if total > limits.total_bytes or (
        total > limits.ratio_counts_from_bytes and total / packed > limits.ratio
    ):
        raise DataError(
            f"{path.name}: looks like a zip bomb: {packed} bytes would unfold to {total}; "
            "unpack it by hand if you trust it"
        )


def _check_entry(path: Path, entry: zipfile.ZipInfo, seen: set[str]) -> None:
    name = entry.filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if (
        not parts
        or parts[0].startswith("/")
        or ".." in parts
        or ":" in parts[0]
        or "\x00" in entry.orig_filename
    ):
        raise DataError(
            f"{path.name}: an entry of the zip points outside it (path escape); make the zip again"
        )
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise DataError(f"{path.name}: an entry of the zip is a link; zip the files themselves")
    if entry.flag_bits & ENCRYPTED:
        raise DataError(f"{path.name}: the zip is encrypted; unpack it with its password and pass the folder")
    if name in seen:
        raise DataError(f"{path.name}: two entries of the zip have the same name; make the zip again")
    seen.add(name)


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    """Unfold one entry in pieces; zipfile stops at the declared size and checks the sum (CRC)."""
    target = folder.joinpath(*PurePosixPath(entry.filename.replace("\\", "/")).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as packed, target.open("xb") as file:
        while chunk := packed.read(CHUNK_BYTES):
            file.write(chunk)
