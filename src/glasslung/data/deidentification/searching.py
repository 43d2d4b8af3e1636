"""The last check: no original identifier in any file of the result, nor in its name.

Every file is read as a stranger would: its bytes, and what a reader makes of them (a gzip's content, a
header's values). Each word and number in it is looked up among all that the source files said.
"""

from __future__ import annotations

import datetime as dt
import gzip
import re
from collections.abc import Iterable, Iterator, Mapping, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.data.deidentification.identifiers import Identifiers, tokens
from glasslung.errors import DataError

PIECE_BYTES = 1 << 22
OVERLAP_BYTES = 256  # of one piece that are read again with the next, longer than any name
IN_PIXELS = 6  # characters; shorter texts turn up among packed pixels by chance
SHOWN = 5  # leaks that a message tells
REPORTS = (".csv", ".json")
_COMPACT = re.compile(r"(\d{8})(?:\d{2,6})?(?:\.\d+)?")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """An identifier that was found: where, and of what sort; never which."""

    file: str
    where: str
    sort: str


class Closed:
    """Texts that may stand in the result because they come from closed lists, and all runs of their words.

    terms  words of the standard and of this package; they stand even where a person is called so
    told   all texts that were kept
    """

    def __init__(self, terms: Iterable[str], told: Iterable[str] = ()) -> None:
        self._terms = set(_runs(terms))
        self._told = self._terms | set(_runs(told))

    def has(self, words: Words) -> bool:
        """Whether the words are a term or part of a text that was kept."""
        return words in self._told

    def has_term(self, words: Words) -> bool:
        """Whether the words are a term."""
        return words in self._terms


def _runs(texts: Iterable[str]) -> Iterator[Words]:
    for text in texts:
        words = tokens(text)
        for start in range(len(words)):
            for end in range(start + 1, len(words) + 1):
                yield words[start:end]


class Texts:
    """Many texts at once, found wherever they begin in a row of words."""

    def __init__(self, texts: Iterable[Words]) -> None:
        self._lengths: dict[str, set[int]] = {}
        self._texts = set(texts)
        for words in self._texts:
            self._lengths.setdefault(words[0], set()).add(len(words))

    def begin_at(self, words: Words, at: int) -> bool:
        """Whether one of the texts begins with the word at this place."""
        lengths = self._lengths.get(words[at], ())
        return any(words[at : at + length] in self._texts for length in lengths)


@dataclass(frozen=True)
class Everybody:
    """What no result may hold, whosever it is: names and numbers, UIDs."""

    names: Texts
    uids: frozenset[str]

    @classmethod
    def of(cls, known: Iterable[Identifiers], closed: Closed) -> Everybody:
        names: set[Words] = set()
        uids: set[str] = set()
        for one in known:
            names |= {words for words in one.strong if not closed.has_term(words)}
            uids |= one.uids
        return cls(Texts(names), frozenset(uids))


class Sought:
    """What the results of one patient must not hold.

    moved  the days that stand in them instead of the true ones; one may be another of the patient's true days
    """

    def __init__(
        self, own: Identifiers, everybody: Everybody, moved: Iterable[dt.date], closed: Closed
    ) -> None:
        self._everybody = everybody
        self._own = Texts(words for words in own.weak if not closed.has(words))
        self._dates = own.dates - set(moved)
        self._days = Texts(tokens(spelling) for day in self._dates for spelling in _spellings(day))
        names = (words[0] for words in own.strong if len(words) == 1 and not closed.has_term(words))
        long = [name for name in names if len(name) >= IN_PIXELS and not name.replace(".", "").isdigit()]
        self._long = {name.encode(coding, "ignore") for name in long for coding in ("utf-8", "latin-1")}

    def in_words(self, words: Words) -> str | None:
        """The sort of the first identifier among words in order; None where there is none."""
        for at, word in enumerate(words):
            if word in self._everybody.uids:
                return "UID"
            if self._everybody.names.begin_at(words, at):
                return "name or number"
            if self._days.begin_at(words, at) or self._is_day(word):
                return "date"
            if self._own.begin_at(words, at):
                return "text that was taken away"
        return None

    def in_bytes(self, content: bytes) -> str | None:
        """The sort of a name that stands in bytes, in capitals or not, inside another word or not."""
        small = content.lower()
        return "name or number" if any(name in small for name in self._long) else None

    def _is_day(self, word: str) -> bool:
        found = _COMPACT.fullmatch(word)
        try:
            return bool(found) and dt.datetime.strptime(found[1], "%Y%m%d").date() in self._dates  # type: ignore[index]
        except ValueError:
            return False


def _spellings(day: dt.date) -> Iterator[str]:
    """A day as people write it: 2020-01-31, 2020.01.31, 31.01.2020, 01/31/2020."""
    y, m, d = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
    yield from (
        f"{y}-{m}-{d}",
        f"{y}.{m}.{d}",
        f"{d}.{m}.{y}",
        f"{m}.{d}.{y}",
        f"{d}-{m}-{y}",
        f"{m}-{d}-{y}",
    )


def search_folder(folder: Path, sought: Mapping[str, Sought], everywhere: Sought) -> list[Leak]:
    """All leaks in a folder of results.

    sought      for each patient's folder (by name), what must not be in it
    everywhere  for all other files
    """
    leaks = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        mine = sought.get(relative.parts[0], everywhere)
        if (sort := mine.in_words(tokens(relative.as_posix()))) is not None:
            hidden = f"a file or folder {len(relative.parts)} level(s) deep"  # a name that leaks is not told
            leaks.append(Leak(hidden, "the name", sort))
        elif path.is_file():
            leaks += search_file(path, mine, relative.as_posix())
    return leaks


def search_file(path: Path, sought: Sought, name: str) -> list[Leak]:
    """The first leak in one file: in a header's values and bytes, in pixels, in a gzip's content."""
    with path.open("rb") as file:
        start = file.read(132)
    places = _dicom_places if start[128:] == b"DICM" else _other_places
    for where, sort in places(path, sought):
        if sort is not None:
            return [Leak(name, where, sort)]
    return []


def _dicom_places(path: Path, sought: Sought) -> Iterator[tuple[str, str | None]]:
    import pydicom

    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        header_end = file.tell()
        for element in (*_elements(dataset), *dataset.file_meta):
            yield str(element.keyword or element.tag), sought.in_words(tokens(_as_text(element.value)))
        file.seek(0)
        head = file.read(header_end)
        yield "the header", sought.in_words(tokens(head.decode("latin-1"))) or sought.in_bytes(head)
        yield from _pixel_places(file, sought)


def _pixel_places(file: Any, sought: Sought) -> Iterator[tuple[str, str | None]]:
    end = b""
    while piece := file.read(PIECE_BYTES):
        yield "the pixels", sought.in_bytes(end + piece)
        end = piece[-OVERLAP_BYTES:]


def _other_places(path: Path, sought: Sought) -> Iterator[tuple[str, str | None]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file: Any = gzip.GzipFile(fileobj=raw) if packed else raw
        head = file.read(PIECE_BYTES if path.suffix in REPORTS else OVERLAP_BYTES * 4)
        yield "the text", sought.in_words(tokens(head.decode("latin-1"))) or sought.in_bytes(head)
        yield from _pixel_places(file, sought)


def _elements(dataset: Any) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)
        else:
            yield element


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    # A person's name is one text, though it can be walked through letter by letter.
    return " | ".join(map(str, value)) if isinstance(value, MutableSequence) else str(value)


def refuse_leaks(leaks: list[Leak]) -> None:
    """Raise DataError when anything was found, saying what sort of thing and where, not which."""
    if leaks:
        told = "; ".join(f"a {leak.sort} in {leak.where} of {leak.file}" for leak in leaks[:SHOWN])
        more = f" and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else ""
        raise DataError(
            f"the last check found original identifiers: {told}{more}; nothing was written; please report it"
        )
