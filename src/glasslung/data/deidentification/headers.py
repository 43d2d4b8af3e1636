"""One DICOM file's header, made anew from what may stay: nothing is copied that is not allowed by name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from glasslung.data.deidentification.actions import Action, Need, profile_action, resolved
from glasslung.data.deidentification.identifiers import (
    DEEPEST,
    Identifiers,
    holds,
    is_of_the_standard,
    tokens,
)
from glasslung.data.deidentification.kept import MAKERS, Rule, allowed, kept_words
from glasslung.data.deidentification.keys import Secret
from glasslung.data.deidentification.moments import Clock
from glasslung.data.formats.header_words import BODY_PARTS, known_body_part, known_kernel, known_modality
from glasslung.errors import DataError

PIXEL_GROUP = 0x7FE0
METHOD = "glasslung; DICOM PS3.15 basic profile; allow-list for CT"
SMALLEST, LARGEST = 1e-12, 1e8  # of binary numbers that a CT header can mean, whatever the unit
MANY = 64  # values of an attribute that may have any number of them
LONG_WORD = 5  # letters or digits; shorter ones are inside other words by chance
OLDEST_TOLD = 89  # years; older patients are few enough to be found, so all of them are told as 90
PROFILE = (("113100", "Basic Application Confidentiality Profile"),)
DATES = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
CHARACTERISTICS = ("113108", "Retain Patient Characteristics Option")
DEVICE = ("113109", "Retain Device Identity Option")
DESCRIPTIONS = ("113105", "Clean Descriptors Option")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_AGE = re.compile(r"\d{3}[DWMY]")

Count = Counter[tuple[str, str]]


class UnsafeError(DataError):
    """An attribute that the picture needs is damaged or holds an identifier."""


@dataclass(frozen=True)
class Options:
    """What may stay beside what a picture needs.

    characteristics  age (90 and above as 90) and sex: many studies need them, and they narrow down who it is
    device           model, software, serial number: for questions about scanners; they name a place
    descriptions     words of study, series and protocol names that are on a list; off, because free text is
                     where names hide
    """

    characteristics: bool = False
    device: bool = False
    descriptions: bool = False


@dataclass(frozen=True)
class Person:
    """How one patient's file is told: new name, clock of the study, and what must not pass."""

    pseudonym: str
    clock: Clock
    secret: Secret
    strong: frozenset[tuple[str, ...]]
    lengths: frozenset[int]

    @classmethod
    def of(cls, pseudonym: str, clock: Clock, secret: Secret, known: Identifiers) -> Person:
        return cls(pseudonym, clock, secret, frozenset(known.strong), frozenset(map(len, known.strong)))

    def has_number(self, text: str) -> bool:
        """Whether a number is one of the patient's, as a whole."""
        return holds(tokens(text), self.strong, self.lengths)

    def is_named_in(self, text: str) -> bool:
        """Whether a text holds a name or number of the patient, a long one also inside a word."""
        if holds(tokens(text), self.strong, self.lengths):
            return True
        small = text.casefold()
        return any(
            len(words) == 1 and len(words[0]) >= LONG_WORD and words[0] in small for words in self.strong
        )


@dataclass
class _Cleaning:
    person: Person
    options: Options
    signed: bool
    count: Count
    told: set[str]


def clean_header(
    source: Any, person: Person, options: Options, burnt_in: bool
) -> tuple[Any, Count, set[str]]:
    """A new data set with what may stay, how often what was done, and the words that stayed.

    source    a pydicom data set; it is not changed
    burnt_in  whether the picture may hold burnt-in text
    Returns the data set without pixels and file meta. Raises DataError when something that the picture needs
    cannot stay.
    """
    count: Count = Counter()
    cleaning = _Cleaning(person, options, bool(source.get("PixelRepresentation") or 0), count, set())
    dataset = _clean_items(source, cleaning, 0)
    _mark(dataset, options, burnt_in)
    return dataset, count, cleaning.told


def _clean_items(source: Any, cleaning: _Cleaning, depth: int) -> Any:
    from pydicom.dataset import Dataset

    if depth > DEEPEST:
        raise DataError("nests its sequences deeper than any image does")
    made = Dataset()
    for tag in sorted(int(each) for each, _ in source.items()):
        if tag >> 16 != PIXEL_GROUP:
            _clean_attribute(source, tag, made, cleaning, depth)
    return made


def _clean_attribute(source: Any, tag: int, made: Any, cleaning: _Cleaning, depth: int) -> None:
    from pydicom import config
    from pydicom.datadict import dictionary_VR, keyword_for_tag
    from pydicom.dataelem import DataElement

    keyword = "" if tag >> 16 & 1 else keyword_for_tag(tag)
    listed = allowed(keyword)
    name = keyword or _tag_name(tag)
    if listed is None:
        cleaning.count[name, Action.REMOVED] += 1
        return
    need, rule = listed
    vr = dictionary_VR(tag)
    before, after = _value(source, tag), None
    if vr == "SQ":
        items = before if rule is Rule.ITEMS and before is not None else []
        made.add_new(tag, "SQ", [_clean_items(item, cleaning, depth + 1) for item in _sequence(items)])
        return
    after = _safe(before, rule, _most_values(tag), cleaning)
    if after is None:
        after = _without_value(tag, keyword, need, depth)
        cleaning.count[name, Action.REMOVED if after is None else Action.EMPTIED] += 1
    elif action := _done(rule, before, after):
        cleaning.count[name, action] += 1
    if after is not None:
        made.add(DataElement(tag, _plain(vr, source, tag, cleaning), after, validation_mode=config.IGNORE))


def _plain(vr: str, source: Any, tag: int, cleaning: _Cleaning) -> str:
    """One VR where the dictionary leaves a choice: the file's own, else by the pixels' sign."""
    if vr != "US or SS":
        return vr
    own = source[tag].VR
    return own if own in ("US", "SS") else "SS" if cleaning.signed else "US"


def _most_values(tag: int) -> int:
    """How many values an attribute may have."""
    from pydicom.datadict import dictionary_VM

    most = dictionary_VM(tag).rpartition("-")[2]
    return int(most) if most.isdigit() else MANY


def _tag_name(tag: int) -> str:
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2 and element >= 0x1000:  # the block a maker was given changes from file to file
        return f"private ({group:04X},xx{element & 0xFF:02X})"
    return f"private creator ({group:04X})" if group % 2 else f"({group:04X},{element:04X})"


def _sequence(value: Any) -> list[Any]:
    return list(value) if type(value).__name__ == "Sequence" else []


def _value(source: Any, tag: int) -> Any:
    try:
        return source[tag].value
    except Exception:  # pydicom raises anything on damaged values, which are not kept
        return None


def _without_value(tag: int, keyword: str, need: Need, depth: int) -> Any:
    """What stands in the place of a value that may not stay: nothing, or an empty attribute."""
    if need is Need.VALUE and depth == 0:
        raise UnsafeError(f"needs {keyword}, whose value is damaged or holds an identifier")
    action = resolved(profile_action(tag) or "X/Z", need)
    return None if action is Action.REMOVED or need is Need.VALUE else ""


def _done(rule: Rule, before: Any, after: Any) -> Action | None:
    if rule is Rule.UID:
        return Action.NEW_UID if before != after else None
    if rule in (Rule.DATE, Rule.TIME, Rule.MOMENT):
        return Action.CLEANED
    if rule is Rule.PSEUDONYM:
        return Action.REPLACED
    if rule is Rule.EMPTY:
        return Action.EMPTIED
    return Action.CLEANED if [str(a) for a in _many(before)] != [str(a) for a in _many(after)] else None


def _many(value: Any) -> list[Any]:
    if value is None or isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return [value]
    return list(value)


def _safe(value: Any, rule: Rule, most: int, cleaning: _Cleaning) -> Any:
    """A value made safe by its rule; None where nothing of it may stay."""
    person, options = cleaning.person, cleaning.options
    if rule is Rule.PSEUDONYM:
        return person.pseudonym
    if rule is Rule.EMPTY:
        return ""
    texts = [str(each).strip() for each in _many(value) if each is not None]
    if not any(texts):
        return "" if value is not None else None
    if rule is Rule.NUMBER:
        return _numbers(value, texts, person) if len(texts) <= most else None
    if rule in (Rule.UID, Rule.DATE, Rule.TIME, Rule.MOMENT):
        return _moved(texts[0], rule, person)
    told = _words(texts, rule, options)
    if told is None or (rule in (Rule.DEVICE, Rule.KERNEL) and any(map(person.is_named_in, _many(told)))):
        return None
    cleaning.told.update(map(str, _many(told)))
    return told


def _numbers(value: Any, texts: list[str], person: Person) -> Any:
    """Numbers, as they are written; None where one is none, or is a number of the patient."""
    if not all(map(_NUMBER.fullmatch, texts)) or any(map(person.has_number, texts)):
        return None
    numbers = _many(value)
    binary = [isinstance(each, int | float) and not hasattr(each, "original_string") for each in numbers]
    # Letters read as a binary number (eight of them as one double) give values far from any measure.
    if not all(_is_plain(each) for each, is_binary in zip(numbers, binary, strict=True) if is_binary):
        return None
    plain = [
        each if is_binary else text for each, text, is_binary in zip(numbers, texts, binary, strict=True)
    ]
    return plain if len(plain) > 1 else plain[0]


def _is_plain(number: float) -> bool:
    return number == 0 or SMALLEST <= abs(number) <= LARGEST


def _moved(text: str, rule: Rule, person: Person) -> str | None:
    if rule is Rule.UID:
        if not re.fullmatch(r"[0-9.]+", text):
            return None
        return text if is_of_the_standard(text) else person.secret.uid(text)
    tell = {Rule.DATE: person.clock.date, Rule.TIME: person.clock.time, Rule.MOMENT: person.clock.moment}
    return tell[rule](text)


def _words(texts: list[str], rule: Rule, options: Options) -> Any:
    """Words from closed lists; None where none of them is on its list, or the option is off."""
    first = texts[0]
    if rule is Rule.TERMS:
        known = [text for text in texts if _is_term(text.upper())]
        return (known if len(known) > 1 else known[0]) if known else None
    if rule is Rule.KERNEL:
        kernels = [each for each in map(known_kernel, texts) if each]
        return (kernels if len(kernels) > 1 else kernels[0]) if len(kernels) == len(texts) else None
    if rule is Rule.DEVICE:
        return (texts if len(texts) > 1 else first) if options.device and "".join(texts).isascii() else None
    if rule is Rule.AGE:
        return _age(first) if options.characteristics and _AGE.fullmatch(first) else None
    if rule is Rule.SEX:
        return first.upper() if options.characteristics and first.upper() in ("M", "F", "O") else None
    if rule is Rule.WORDS:
        return _described(first) if options.descriptions else None
    return {Rule.MODALITY: known_modality, Rule.BODY_PART: known_body_part, Rule.MAKER: _maker}[rule](first)


def _is_term(text: str) -> bool:
    terms = kept_words("terms")
    return text in terms or all(word in terms for word in text.split())


def _age(text: str) -> str:
    return "090Y" if text.endswith("Y") and int(text[:3]) > OLDEST_TOLD else text


def _maker(text: str) -> str | None:
    first = next(iter(re.findall(r"[A-Z]+", text.upper())), "")
    return MAKERS.get(first)


def _described(text: str) -> str | None:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text.upper()) if word]
    kept = [word for word in words if word in kept_words("descriptions") or word in BODY_PARTS]
    return " ".join(kept) or None


def _mark(dataset: Any, options: Options, burnt_in: bool) -> None:
    """Say in the header what was done, as the profile asks for."""
    from pydicom.dataset import Dataset

    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = METHOD
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.BurnedInAnnotation = "YES" if burnt_in else "NO"
    codes = []
    for value, meaning in claims(options):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
        codes.append(code)
    dataset.DeidentificationMethodCodeSequence = codes


def claims(options: Options) -> list[tuple[str, str]]:
    """The profile and its options that were followed, as codes of DICOM PS3.16, CID 7050."""
    chosen = [
        (options.descriptions, DESCRIPTIONS),
        (True, DATES),
        (options.characteristics, CHARACTERISTICS),
        (options.device, DEVICE),
    ]
    return [*PROFILE, *(code for wanted, code in chosen if wanted)]
