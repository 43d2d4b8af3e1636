"""A NIfTI file without what it says in words: description, database names, extensions, the packer's notes."""

from __future__ import annotations

import gzip
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.data.formats.damage import COPY_AGAIN, check_promise, told_plainly
from glasslung.errors import DataError

REMOVED_FROM_VOLUMES = TEXT, EXTENSION, TAIL = "header text", "header extension", "bytes behind the voxels"
EXTENSION_BYTES = 1 << 20  # of extensions that are read to know their texts
TAIL_BYTES = 1 << 16
NO_EXTENSIONS = bytes(4)
SAFE_INTENTS = (b"label",)
_PRINTABLE = re.compile(rb"[\x20-\x7e\xa0-\xff]{4,}")


@dataclass(frozen=True)
class _Layout:
    """Where a header of one version has what, in bytes.

    texts   data_type, db_name (NIfTI-1 alone), descrip, aux_file, intent_name
    unused  extents to regular (NIfTI-1), the padding at the end (NIfTI-2)
    """

    size: int
    magic: tuple[int, bytes]
    texts: tuple[tuple[int, int], ...]
    unused: tuple[int, int]
    shape: tuple[int, str]
    bits: int
    start: tuple[int, str]


LAYOUTS = (
    _Layout(
        348,
        (344, b"n+1"),
        ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16)),
        (32, 7),
        (40, "8h"),
        72,
        (108, "f"),
    ),
    _Layout(540, (4, b"n+2"), ((240, 80), (320, 24), (508, 16)), (525, 15), (16, "8q"), 14, (168, "q")),
)


@dataclass(frozen=True)
class _Header:
    content: bytes
    layout: _Layout
    order: str
    start: int
    data_bytes: int


def clean_nifti(source: Path) -> tuple[bytes, list[str]]:
    """A NIfTI file anew (gzip) with its voxels and geometry as they are, and nothing else.

    Returns its bytes and the names of what was taken away. Raises DataError where the file is no whole NIfTI
    file.
    """
    with told_plainly(source, "it is no readable NIfTI file"), _opened(source) as file:
        header = _read_header(source, file)
        size = header.layout.size
        beside = file.read(header.start - size)
        voxels = file.read(header.data_bytes)
        tail = file.read(TAIL_BYTES)
    if len(voxels) < header.data_bytes:
        raise DataError(f"{source.name}: was cut short; {COPY_AGAIN}")
    removed = [TEXT] * bool(_texts_of(header)) + [EXTENSION] * bool(beside.strip(b"\0"))
    made = _blank(header) + NO_EXTENSIONS + voxels
    return gzip.compress(made, 1, mtime=0), removed + [TAIL] * bool(tail.strip(b"\0"))


def nifti_texts(source: Path) -> list[str]:
    """All that a NIfTI file says in words, in its header and its extensions."""
    with told_plainly(source, "it is no readable NIfTI file"), _opened(source) as file:
        header = _read_header(source, file)
        beside = file.read(min(header.start - header.layout.size, EXTENSION_BYTES))
    return [text.decode("latin-1") for text in (*_texts_of(header), *_PRINTABLE.findall(beside))]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield gzip.GzipFile(fileobj=raw) if packed else raw


def _read_header(source: Path, file: Any) -> _Header:
    content = file.read(LAYOUTS[0].size)
    for layout in LAYOUTS:
        content += file.read(layout.size - len(content))
        place, magic = layout.magic
        for order in "<>":
            if (
                content[place : place + 3] == magic
                and struct.unpack_from(f"{order}i", content)[0] == layout.size
            ):
                return _header(source, content, layout, order)
    raise DataError(f"{source.name}: is no NIfTI file in one piece; join .hdr and .img first")


def _header(source: Path, content: bytes, layout: _Layout, order: str) -> _Header:
    shape = struct.unpack_from(order + layout.shape[1], content, layout.shape[0])
    bits = struct.unpack_from(f"{order}h", content, layout.bits)[0]
    start = int(struct.unpack_from(order + layout.start[1], content, layout.start[0])[0])
    count = math.prod(max(1, length) for length in shape[1 : 1 + max(0, min(7, shape[0]))])
    check_promise(source, count * bits // 8)
    if not layout.size <= start <= layout.size + EXTENSION_BYTES:
        raise DataError(f"{source.name}: its header is damaged; {COPY_AGAIN}")
    return _Header(content, layout, order, start, count * bits // 8)


def _texts_of(header: _Header) -> list[bytes]:
    texts = (header.content[at : at + length].strip(b"\0 ") for at, length in header.layout.texts)
    return [text for text in texts if text and text not in SAFE_INTENTS]


def _blank(header: _Header) -> bytes:
    """The header without its words, saying that the voxels follow at once."""
    made, layout = bytearray(header.content), header.layout
    for at, length in layout.texts:
        if bytes(made[at : at + length]).strip(b"\0 ") not in SAFE_INTENTS:
            made[at : at + length] = bytes(length)
    at, length = layout.unused
    made[at : at + length] = bytes(length)
    begins = layout.size + len(NO_EXTENSIONS)
    struct.pack_into(header.order + layout.start[1], made, layout.start[0], begins)
    return bytes(made)
