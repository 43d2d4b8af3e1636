"""What must not be found in the result: every text that a source file says, sorted by how sure it points at a
person.

strong  names and their parts, identity numbers, institutions, accession numbers: never in the result
dates   true days of the patient, in the spellings people use
uids    true UIDs
weak    all other texts that were taken away; a weak text is no leak where the same words come from a closed
        list ('CHEST' in a private tag, and BodyPartExamined CHEST)
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, MutableSequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

from glasslung.data.deidentification.actions import profile_action
from glasslung.data.deidentification.kept import Rule, allowed
from glasslung.data.deidentification.moments import read_date

SHORTEST = 3  # letters or digits; shorter texts would be found by chance everywhere
SHORTEST_NUMBER = 6  # digits: shorter ones are in every header as counts and sizes
LONGEST = 12  # words of a removed text that are remembered: enough to know it by
DEEPEST = 64  # sequences within sequences; nobody nests deeper, attackers do
TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
BYTES = frozenset({"OB", "UN"})
LARGEST_BYTES = 1 << 20  # of binary values that are searched for texts
# Of the table's attributes, those that describe and do not name.
_DESCRIBES = re.compile(
    r"Description$|^ProtocolName$|Comments?$|^ContrastBolusAgent$|^Context|Occupation|Smoking"
)
_PRINTABLE = re.compile(rb"[\x20-\x7e\xa0-\xff]{4,}")
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
# A number keeps its dots, so that no part of one is taken for an identity number: 228.800003, and UIDs.
_WORD = re.compile(r"(?<![^\W_])[0-9]+(?:\.[0-9]+)+(?![^\W_])|[^\W_]+")
_UID = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")
_DECIMAL = re.compile(r"\d+\.\d+")


def tokens(text: str) -> tuple[str, ...]:
    """A text as its words and numbers in small letters: what spelling, signs and spaces do not change."""
    return tuple(_WORD.findall(text.casefold()))


@dataclass
class Identifiers:
    """The texts of one patient's files, as tokens; `dates` as days and `uids` as they are written."""

    strong: set[tuple[str, ...]] = field(default_factory=set)
    weak: set[tuple[str, ...]] = field(default_factory=set)
    dates: set[dt.date] = field(default_factory=set)
    uids: set[str] = field(default_factory=set)

    def add_name(self, text: str) -> None:
        """A person's name, whole and in its parts."""
        words = tokens(text)
        self._add(self.strong, words)
        for word in words:
            self._add(self.strong, (word,))

    def add_strong(self, text: str) -> None:
        """An identity number, an institution: the whole text."""
        self._add(self.strong, tokens(text))

    def add_weak(self, text: str) -> None:
        """Any other text; UIDs in it count as such, and decimal numbers as nothing."""
        words = tokens(text)
        if not all(_DECIMAL.fullmatch(word) or (word.isdigit() and len(words) > 1) for word in words):
            self._add(self.weak, words[:LONGEST])
        self.uids.update(uid for uid in _UID.findall(text) if not is_of_the_standard(uid))

    def add_date(self, text: str) -> None:
        """A DICOM date, or a date-time's day."""
        day = read_date(text.strip()[:10]) or read_date(text.strip()[:8])
        if day is not None:
            self.dates.add(day)

    def add_path(self, relative: PurePath) -> None:
        """The names of a file and of the folders above it."""
        for name in (*relative.parts[:-1], relative.name, relative.stem):
            if any(letter.isalpha() for letter in name):
                self.add_weak(name)

    def update(self, other: Identifiers) -> None:
        """Take in what another file of the patient says."""
        for mine, theirs in zip(self._sets(), other._sets(), strict=True):
            mine |= theirs

    def _sets(self) -> tuple[set[Any], ...]:
        return (self.strong, self.weak, self.dates, self.uids)

    @staticmethod
    def _add(to: set[tuple[str, ...]], words: tuple[str, ...]) -> None:
        length = sum(map(len, words))
        number = all(word.replace(".", "").isdigit() for word in words)
        if words and length >= (SHORTEST_NUMBER if number else SHORTEST):
            to.add(words)


def is_of_the_standard(uid: str) -> bool:
    """Whether a UID names a class or a coding of the standard, and not one thing of somebody's."""
    from pydicom.uid import UID_dictionary

    return uid in UID_dictionary


def holds(words: tuple[str, ...], sought: Collection[tuple[str, ...]], lengths: frozenset[int]) -> bool:
    """Whether any run of `words` is one of the texts sought; `lengths` are how many words these have."""
    return any(
        words[at : at + length] in sought for length in lengths for at in range(len(words) - length + 1)
    )


def identifiers_of(dataset: Any) -> Identifiers:
    """All that one DICOM file says, its private and nested attributes included."""
    found = Identifiers()
    meta = getattr(dataset, "file_meta", None)
    for source in (meta, dataset):
        for element in _elements(source, 0):
            _collect(element, found)
    preamble = getattr(dataset, "preamble", None) or b""
    for run in _PRINTABLE.findall(preamble):
        found.add_weak(run.decode("latin-1"))
    return found


def _elements(dataset: Any, depth: int) -> Iterator[Any]:
    if depth > DEEPEST or dataset is None:
        return
    for tag in dataset.keys():  # noqa: SIM118 - a data set gives its elements, not their tags
        if int(tag) in _PIXELS:
            continue
        element = _read(dataset, tag)
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item, depth + 1)
        else:
            yield element


class _Damaged(NamedTuple):
    """An attribute whose value cannot be read, as the bytes it has."""

    tag: int
    value: bytes
    VR: str = "UN"
    keyword: str = ""


def _read(dataset: Any, tag: Any) -> Any:
    try:
        return dataset[tag]
    except Exception:  # pydicom raises anything on damaged values
        raw = getattr(dataset.get_item(tag), "value", b"")
        return _Damaged(int(tag), raw if isinstance(raw, bytes) else b"")


def _collect(element: Any, found: Identifiers) -> None:
    tag, vr = int(element.tag), element.VR
    for text in _texts(element):
        if vr == "PN":
            found.add_name(text)
        elif vr == "UI" and is_of_the_standard(text.strip()):
            continue
        elif vr in ("DA", "DT"):
            found.add_date(text)
        elif vr in TEXTS and _names(tag, element.keyword):
            found.add_strong(text)
        elif vr in TEXTS or vr in BYTES or vr == "UI":
            found.add_weak(text)


def _names(tag: int, keyword: str) -> bool:
    """Whether a text attribute names or numbers a person or a place, by the standard's table."""
    if tag >> 16 & 1 or profile_action(tag) is None or _DESCRIBES.search(keyword):
        return False
    listed = allowed(keyword)
    return listed is None or listed[1] not in (Rule.DEVICE, Rule.WORDS)  # what options may keep


def _texts(element: Any) -> list[str]:
    value = element.value
    if value is None:
        return []
    if isinstance(value, bytes):
        runs = _PRINTABLE.findall(value[:LARGEST_BYTES])
        return [run.decode("latin-1") for run in runs]
    return [str(each) for each in value] if isinstance(value, MutableSequence) else [str(value)]
