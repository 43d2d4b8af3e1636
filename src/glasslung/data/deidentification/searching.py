"""The last check: no original identifier in any file of the result, nor in its name.

Every file is read as a stranger would: its bytes, and what a reader makes of them (a gzip's content, a
header's values). Each word and number in it is looked up among all that the source files said.
"""

from __future__ import annotations

import datetime as dt
import gzip
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.data.deidentification.identifiers import Identifiers, tokens
from glasslung.errors import DataError

PIECE_BYTES = 1 << 22
IN_PIXELS = 6  # characters; shorter texts turn up among packed pixels by chance
_COMPACT = re.compile(r"(\d{8})(?:\d{2,6})?(?:\.\d+)?")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Leak:
    """An identifier that was found: where, and of what sort; never which."""

    file: str
    where: str
    sort: str


class Sought:
    """What one patient's results must not hold: his own texts and days, and everybody's names and UIDs."""

    def __init__(
        self, own: Identifiers, everybody: Identifiers, moved: Iterable[dt.date], closed: Closed
    ) -> None:
        self.texts = {
            **{words: "text" for words in own.weak if not closed.has(words)},
            **{words: "name or number" for words in everybody.strong if not closed.has_term(words)},
        }
        self.lengths = frozenset(map(len, self.texts))
        self.first = frozenset(words[0] for words in self.texts)
        self.uids = everybody.uids
        self.dates = own.dates - set(moved)
        spelled = (spelling for day in self.dates for spelling in _spellings(day))
        self.days = frozenset(spelled)
        self.long = {
            "".join(words).encode("utf-8"): sort
            for words, sort in self.texts.items()
            if len(words) == 1
            and len(words[0]) >= IN_PIXELS
            and not words[0].isdigit()
            and "." not in words[0]
        }

    def in_words(self, words: Words) -> str | None:
        """The sort of the first identifier among words in order; None where there is none."""
        for at, word in enumerate(words):
            if word in self.uids:
                return "UID"
            found = _COMPACT.fullmatch(word)
            if found and self._is_day(found[1]):
                return "date"
            if word in self.first or word in self.days:
                for length in self.lengths:
                    if (sort := self.texts.get(words[at : at + length])) is not None:
                        return sort
                if word in self.days or " ".join(words[at : at + 3]) in self.days:
                    return "date"
            elif len(word) == 4 and " ".join(words[at : at + 3]) in self.days:
                return "date"
        return None

    def in_bytes(self, content: bytes) -> str | None:
        """The sort of an identifier that stands in bytes as it is written, in capitals or not."""
        small = content.lower()
        return next((sort for text, sort in self.long.items() if text in small), None)

    def _is_day(self, digits: str) -> bool:
        try:
            return dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) in self.dates
        except ValueError:
            return False


class Closed:
    """Texts that may stand in the result because they come from closed lists, and all runs of their words.

    terms  words of the standard and of this package; they stand even where a person is called so
    told   all texts that were kept
    """

    def __init__(self, terms: Iterable[str], told: Iterable[str] = ()) -> None:
        self._terms = set(_runs(terms))
        self._told = self._terms | set(_runs(told))

    def has(self, words: Words) -> bool:
        return words in self._told

    def has_term(self, words: Words) -> bool:
        return words in self._terms


def _runs(texts: Iterable[str]) -> Iterator[Words]:
    for text in texts:
        words = tokens(text)
        for start in range(len(words)):
            for end in range(start + 1, len(words) + 1):
                yield words[start:end]


def _spellings(day: dt.date) -> Iterator[str]:
    """A day as its words stand in a text: 2020-01-31, 2020.01.31, 31.01.2020, 01/31/2020."""
    y, m, d = f"{day.year:04d}", f"{day.month:02d}", f"{day.day:02d}"
    yield from (
        f"{y} {m} {d}",
        f"{y}.{m}.{d}",
        f"{d}.{m}.{y}",
        f"{m}.{d}.{y}",
        f"{d} {m} {y}",
        f"{m} {d} {y}",
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
            leaks.append(Leak(_number_of(relative), "its name", sort))
        if path.is_file():
            leaks += search_file(path, mine, relative.as_posix())
    return leaks


def _number_of(relative: Path) -> str:
    return f"a file or folder {len(relative.parts)} level(s) deep"  # a name that leaks is not printed


def search_file(path: Path, sought: Sought, name: str) -> list[Leak]:
    """Leaks in one file: in a header's values and bytes, in pixels, in a gzip's content."""
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return _search_dicom(path, sought, name)
    content = gzip.decompress(path.read_bytes()) if start[:2] == b"\x1f\x8b" else path.read_bytes()
    if path.suffix in (".csv", ".json", ".txt"):
        return _leak(name, "its text", sought.in_words(tokens(content.decode("utf-8"))))
    return _leak(name, "its header", sought.in_words(tokens(content[:4096].decode("latin-1")))) or _leak(
        name, "its bytes", sought.in_bytes(content)
    )


def _search_dicom(path: Path, sought: Sought, name: str) -> list[Leak]:
    import pydicom

    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        header_end = file.tell()
        for element in _all_elements(dataset):
            if sort := sought.in_words(tokens(_as_text(element.value))):
                return [Leak(name, str(element.keyword or element.tag), sort)]
        for element in dataset.file_meta:
            if sort := sought.in_words(tokens(_as_text(element.value))):
                return [Leak(name, str(element.keyword or element.tag), sort)]
        file.seek(0)
        head = file.read(header_end)
        sort = sought.in_words(tokens(head.decode("latin-1"))) or sought.in_bytes(head)
        if sort:
            return [Leak(name, "its header's bytes", sort)]
        while piece := file.read(PIECE_BYTES):
            if sort := sought.in_bytes(piece):
                return [Leak(name, "its pixels", sort)]
    return []


def _all_elements(dataset: Any) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _all_elements(item)
        else:
            yield element


def _as_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return str(value)
    return " | ".join(map(str, value))


def _leak(name: str, where: str, sort: str | None) -> list[Leak]:
    return [] if sort is None else [Leak(name, where, sort)]


def refuse_leaks(leaks: list[Leak]) -> None:
    """Raise DataError when anything was found, saying what sort of thing and where, not which."""
    if leaks:
        told = "; ".join(f"a {leak.sort} in {leak.where} of {leak.file}" for leak in leaks[:5])
        more = f" and {len(leaks) - 5} more" if len(leaks) > 5 else ""
        raise DataError(
            f"the last check found original identifiers: {told}{more}; nothing was written; please report it"
        )
