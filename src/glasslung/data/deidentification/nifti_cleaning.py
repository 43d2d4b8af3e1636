"""A NIfTI file without what it says in words: description, database names, extensions, the packer's notes."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

from glasslung.errors import DataError

# Texts of the header, (offset, bytes). NIfTI-1: data_type, db_name, descrip, aux_file, intent_name; NIfTI-2:
# the last three.
TEXTS = {348: ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16)), 540: ((240, 80), (320, 24), (508, 16))}
DATA_STARTS = {348: 352, 540: 544}  # behind the header and four bytes that say: no extensions
VOX_OFFSET = {348: (108, "f"), 540: (168, "q")}
UNUSED = {348: ((32, 7),), 540: ((525, 15),)}  # extents, session_error, regular; padding
REMOVED_FROM_VOLUMES = TEXT, EXTENSION, TAIL = "header text", "header extension", "bytes behind the voxels"
SAFE_INTENTS = (b"label",)


def clean_nifti(source: Path) -> tuple[bytes, list[str]]:
    """A NIfTI file anew (gzip) with its voxels and geometry as they are, and nothing else.

    Returns its bytes and the names of what was taken away. Raises DataError where the file is no whole NIfTI
    file.
    """
    content = source.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    size, order = _size_of(content)
    start = int(struct.unpack_from(order + VOX_OFFSET[size][1], content, VOX_OFFSET[size][0])[0])
    header, removed = bytearray(content[:size]), []
    for offset, length in TEXTS[size]:
        text = bytes(header[offset : offset + length]).strip(b"\0 ")
        if text and text not in SAFE_INTENTS:
            removed.append(TEXT)
        if text not in SAFE_INTENTS:
            header[offset : offset + length] = bytes(length)
    for offset, length in UNUSED[size]:
        header[offset : offset + length] = bytes(length)
    count = _data_bytes(content, size, order)
    if not size <= start <= len(content) - count:
        raise DataError(f"{source.name}: is no whole NIfTI file; copy or export it again from its source")
    if content[size + 4 : start].strip(b"\0"):
        removed.append(EXTENSION)
    if content[start + count :].strip(b"\0"):
        removed.append(TAIL)
    struct.pack_into(order + VOX_OFFSET[size][1], header, VOX_OFFSET[size][0], DATA_STARTS[size])
    made = bytes(header) + bytes(DATA_STARTS[size] - size) + content[start : start + count]
    return gzip.compress(made, 1, mtime=0), removed


def _size_of(content: bytes) -> tuple[int, str]:
    for order in "<>":
        size = struct.unpack_from(order + "i", content.ljust(4, b"\0"))[0]
        magic = content[344:347] if size == 348 else content[4:7]
        if size in TEXTS and magic in (b"n+1", b"n+2"):
            return size, order
    raise DataError("is no NIfTI file in one piece (two-file .hdr and .img must be joined first)")


def _data_bytes(content: bytes, size: int, order: str) -> int:
    if size == 348:
        dim = struct.unpack_from(order + "8h", content, 40)
        bits = struct.unpack_from(order + "h", content, 72)[0]
    else:
        dim = struct.unpack_from(order + "8q", content, 16)
        bits = struct.unpack_from(order + "h", content, 14)[0]
    count = 1
    for length in dim[1 : 1 + max(0, min(7, dim[0]))]:
        count *= max(1, length)
    return count * bits // 8
