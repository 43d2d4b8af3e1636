"""Pixels as they are coded, without what hides beside them: comments in JPEG streams, bytes behind the last
pixel, overlays in bits that no pixel uses.

The pixels stay as they are, bit for bit; nothing is decoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from glasslung.errors import DataError

IMPLICIT, EXPLICIT, BIG, DEFLATED = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
NATIVE = (IMPLICIT, EXPLICIT, BIG, DEFLATED)
RLE = "1.2.840.10008.1.2.5"
JPEG = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81))
JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91))

# Markers of ISO/IEC 10918-1 (JPEG), 14495-1 (JPEG-LS) and 15444-1 (JPEG 2000).
SOI, EOI, SOS, COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
RESTARTS = range(0xD0, 0xD8)
APPLICATION = range(0xE0, 0xF0)
KEPT_APPLICATION = {0xE0: b"JFIF\0", 0xEE: b"Adobe"}  # they say how the colours are meant
PLAIN_JFIF = 16  # length of a JFIF segment without a thumbnail
J2K_START, J2K_TILE, J2K_COMMENT, J2K_END = b"\xff\x4f", 0x90, 0x64, b"\xff\xd9"


def clean_pixels(source: Any, syntax: str) -> tuple[bytes, str]:
    """A file's pixel data without anything beside the pixels, and the transfer syntax it is written in.

    source  a pydicom data set with PixelData
    Raises DataError where the coding is not known, or the data is shorter than the header says.
    """
    if "PixelData" not in source:
        raise DataError("holds no pixels")
    if syntax in NATIVE:
        return _native(source, syntax), EXPLICIT
    if syntax not in (*JPEG, *JPEG_2000, RLE):
        raise DataError(
            "its pixels are coded in a way that is not known here; convert it with gdcmconv --raw"
        )
    return _encapsulated(source, syntax), syntax


def _native(source: Any, syntax: str) -> bytes:
    bits = int(source.BitsAllocated)
    samples = int(source.get("SamplesPerPixel") or 1)
    count = int(source.Rows) * int(source.Columns) * samples * int(source.get("NumberOfFrames") or 1)
    size = count * bits // 8
    data = bytes(source.PixelData)
    if bits not in (8, 16) or len(data) < size:
        raise DataError("its pixels are cut short, or of a depth that no CT has")
    data = data[:size]
    if bits == 16:
        values = np.frombuffer(data, dtype=">u2" if syntax == BIG else "<u2")
        data = _without_planes(source, values).astype("<u2").tobytes()
    return data + b"\0" * (len(data) % 2)


def _without_planes(source: Any, values: np.ndarray) -> np.ndarray:
    """Overlay planes in bits above the pixel's own are put out; other files keep every bit."""
    stored = int(source.get("BitsStored") or 16)
    planes = [
        int(element.value or 0)
        for element in source
        if element.tag.group & 0xFF00 == 0x6000
        and element.tag.element == 0x0102
        and not element.tag.group % 2
    ]
    if stored >= 16 or not any(position >= stored for position in planes):
        return values
    kept = values & ((1 << stored) - 1)
    if int(source.get("PixelRepresentation") or 0):
        kept = np.where(kept >> (stored - 1), kept | (0xFFFF & ~((1 << stored) - 1)), kept)
    return kept


def _encapsulated(source: Any, syntax: str) -> bytes:
    from pydicom.encaps import encapsulate, generate_frames

    count = int(source.get("NumberOfFrames") or 1)
    frames = list(generate_frames(source.PixelData, number_of_frames=count))
    if len(frames) != count:
        raise DataError(f"holds {len(frames)} coded slices where its header says {count}")
    if syntax != RLE:
        frames = [_without_comments(frame, syntax) for frame in frames]
    return encapsulate(frames, has_bot=count > 1)


def _without_comments(frame: bytes, syntax: str) -> bytes:
    return _clean_j2k(frame) if syntax in JPEG_2000 else clean_jpeg(frame)


def clean_jpeg(stream: bytes) -> bytes:
    """A JPEG or JPEG-LS stream without comments, application data and whatever follows its end."""
    if stream[:2] != b"\xff\xd8":
        raise DataError("its coded pixels do not start as JPEG does")
    kept, at = [stream[:2]], 2
    while at + 1 < len(stream):
        if stream[at] != 0xFF:
            raise DataError("its JPEG stream is damaged")
        marker = stream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == EOI:
            return b"".join([*kept, b"\xff\xd9"])
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if marker == SOS:
            end = _end_of_scan(stream, end)
        if not (marker == COMMENT or marker in APPLICATION) or _tells_colours(marker, stream[at + 2 : end]):
            kept.append(stream[at:end])
        at = end
    raise DataError("its JPEG stream is cut short")


def _tells_colours(marker: int, segment: bytes) -> bool:
    start = KEPT_APPLICATION.get(marker)
    return start is not None and segment[2:].startswith(start) and len(segment) <= PLAIN_JFIF


def _end_of_scan(stream: bytes, at: int) -> int:
    """Where the next marker stands that is no restart; coded data never holds one."""
    while True:
        at = stream.find(b"\xff", at)
        if at < 0 or at + 1 >= len(stream):
            raise DataError("its JPEG stream is cut short")
        follows = stream[at + 1]
        if follows >= 0xC0 and follows not in RESTARTS and follows != 0xFF:
            return at
        at += 1


def _clean_j2k(stream: bytes) -> bytes:
    """A JPEG 2000 code stream without the comments of its main header and whatever follows its end."""
    if not stream.startswith(J2K_START):
        raise DataError("its JPEG 2000 stream lies in a file format's boxes; convert it with gdcmconv --raw")
    kept, at = [stream[:2]], 2
    while stream[at : at + 1] == b"\xff" and stream[at + 1] != J2K_TILE:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at + 1] != J2K_COMMENT:
            kept.append(stream[at:end])
        at = end
    last = stream.rfind(J2K_END)
    if last < at or stream[at : at + 2] != b"\xff\x90":
        raise DataError("its JPEG 2000 stream is damaged")
    return b"".join([*kept, stream[at : last + 2]])
