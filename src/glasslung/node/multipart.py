"""Messages of several files, as DICOMweb sends them: multipart/related (RFC 2387, framing of RFC 2046).

Files are streamed on both ways: a study is never in memory as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Protocol

from glasslung.errors import GlasslungError

DICOM = "application/dicom"
PIECE = 1 << 16
MOST_HEADER = 1 << 14  # bytes of a part's header lines
MOST_BOUNDARY = 70  # characters, RFC 2046 section 5.1.1


class BrokenMessage(GlasslungError):
    """A message whose parts cannot be told apart, or that ends too early."""


class Readable(Protocol):
    """Whatever bytes are read from: an HTTP answer, a file."""

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""


def boundary_of(content_type: str) -> bytes:
    """What parts are separated by; BrokenMessage where the message is not of several parts."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    told = boundary if isinstance(boundary, str) else ""
    if message.get_content_maintype() != "multipart" or not 0 < len(told) <= MOST_BOUNDARY:
        raise BrokenMessage("the answer is no message of several parts")
    return told.encode("latin-1", "replace")


def read_parts(stream: Readable, boundary: bytes) -> Iterator[Iterator[bytes]]:
    """The content of each part, in pieces; what is left of one when the next is asked for is passed over."""
    feed = _Feed(stream)
    delimiter = b"\r\n--" + boundary
    _pass_over(feed.until(delimiter))  # what stands before the first part
    while not _is_end(feed):
        _skip_header(feed)
        content = feed.until(delimiter)
        yield content
        _pass_over(content)


def write_part(path: Path, boundary: str) -> tuple[int, Iterator[bytes]]:
    """A message with one DICOM file: its length in bytes, and its pieces."""
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    return len(head) + path.stat().st_size + len(tail), _pieces(head, path, tail)


def _pieces(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield tail


def _pass_over(content: Iterator[bytes]) -> None:
    for _ in content:
        pass


def _is_end(feed: _Feed) -> bool:
    """What follows a delimiter: two dashes after the last part, else the end of the line."""
    line = feed.take(2)
    if line == b"--":
        return True
    while not line.endswith(b"\r\n"):
        if line.strip(b" \t\r"):
            raise BrokenMessage("a boundary of the answer is followed by something else")
        line += feed.take(1)
    return False


def _skip_header(feed: _Feed) -> None:
    """Pass over a part's header lines: all parts asked for are DICOM, and are checked as such."""
    seen, line = 0, b""
    while line != b"\r\n":
        line = feed.take(2)
        while not line.endswith(b"\r\n"):
            line += feed.take(1)
            if seen + len(line) > MOST_HEADER:
                raise BrokenMessage("a part of the answer has an endless header")
        seen += len(line)


class _Feed:
    """Bytes of a stream, looked at before they are taken."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._held = bytearray(b"\r\n")  # so that the first delimiter may stand at the very beginning

    def _more(self) -> None:
        piece = self._stream.read(PIECE)
        if not piece:
            raise BrokenMessage("the answer ends too early")
        self._held += piece

    def take(self, count: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._held) < count:
            self._more()
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def until(self, mark: bytes) -> Iterator[bytes]:
        """What comes before a mark, in pieces; the mark is taken too."""
        while (at := self._held.find(mark)) < 0:
            sure = len(self._held) - len(mark) + 1  # a mark may begin in what is left
            if sure > 0:
                yield self.take(sure)
            self._more()
        if at:
            yield self.take(at)
        self.take(len(mark))
