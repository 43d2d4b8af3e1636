"""Messages of several files: framing, and what does not keep to it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glasslung.node.multipart import BrokenMessage, boundary_of, read_parts, write_part


class Dripping:
    """A stream that hands out little at a time, as a network does."""

    def __init__(self, content: bytes, step: int) -> None:
        self._file, self._step = io.BytesIO(content), step

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._step))


def message(
    parts: list[bytes], boundary: bytes = b"xYz", preamble: bytes = b"", epilogue: bytes = b""
) -> bytes:
    framed = b"".join(
        b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts
    )
    return preamble + framed + b"--" + boundary + b"--" + epilogue


def read(content: bytes, step: int = 7) -> list[bytes]:
    return [b"".join(part) for part in read_parts(Dripping(content, step), b"xYz")]


@given(
    st.lists(st.binary(max_size=60).filter(lambda part: b"--xYz" not in part), max_size=4),
    st.integers(1, 40),
)
def test_parts_come_back_whatever_the_pieces(parts, step):
    assert read(message(parts), step) == parts


def test_content_that_looks_almost_like_a_boundary_is_content():
    parts = [b"\r\n--xY", b"--\r\n\r\n--", b"\r\n-", b""]
    assert read(message(parts), 1) == parts


def test_what_stands_before_and_after_is_passed_over():
    assert read(message([b"a"], preamble=b"hello\r\n", epilogue=b"\r\nbye")) == [b"a"]


def test_a_part_without_header_and_blanks_after_a_boundary_are_allowed():
    assert read(b"--xYz \t\r\n\r\nabc\r\n--xYz--") == [b"abc"]


def test_a_part_that_nobody_reads_is_passed_over():
    parts = read_parts(Dripping(message([b"a" * 100, b"b"]), 9), b"xYz")
    next(parts)
    assert b"".join(next(parts)) == b"b"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"--xYz\r\n",
        b"--xYz\r\n\r\nabc",
        b"--xYz\r\n\r\nabc\r\n--xYzt\r\n\r\n\r\n--xYz--",
        b"--xYz\r\n" + b"a: b\r\n" * 9000,
        b"--xYz\r\n" + b"a" * 99000,
    ],
)
def test_a_broken_message_is_told(content):
    with pytest.raises(BrokenMessage):
        read(content, 4096)


def test_the_boundary_is_read_from_the_header():
    assert boundary_of('multipart/related; type="application/dicom"; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Related; BOUNDARY=abc; type=x") == b"abc"
    for other in ("application/dicom", "multipart/related", "", f"multipart/related; boundary={'x' * 71}"):
        with pytest.raises(BrokenMessage):
            boundary_of(other)


def test_what_is_written_is_read_again(tmp_path):
    file = tmp_path / "one"
    file.write_bytes(bytes(range(256)) * 600)
    length, pieces = write_part(file, "xYz")
    content = b"".join(pieces)
    assert len(content) == length
    assert read(content, 1000) == [file.read_bytes()]
