"""The attributes that a de-identified CT image may have, and how each value is made safe: an allow-list.

Table E.1-1 says what to take away and cannot know what makers will add. So the direction is turned round:
an attribute stays only when it is listed in kept_attributes.txt, and its value only when it follows the rule
given there. No free text passes: words must be terms of the standard or of a maker's list, numbers must be
numbers.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path

from glasslung.data.deidentification.actions import Need


class Rule(StrEnum):
    """How a value is made safe."""

    NUMBER = "number"
    TERMS = "terms"  # terms of kept_words.txt, each value for itself
    UID = "uid"
    DATE = "date"
    TIME = "time"
    MOMENT = "moment"
    ITEMS = "items"  # a sequence, cleaned item by item
    EMPTY = "empty"  # stays as an empty attribute, because the image must have it
    PSEUDONYM = "pseudonym"
    MODALITY = "modality"
    BODY_PART = "body part"
    KERNEL = "kernel"
    MAKER = "maker"
    DEVICE = "device"  # kept with `device` alone, and only where it holds no identifier
    AGE = "age"  # kept with `characteristics` alone
    SEX = "sex"
    WORDS = "words"  # kept with `descriptions` alone, word by word from a list


_ATTRIBUTES = Path(__file__).with_name("kept_attributes.txt")
_WORDS = Path(__file__).with_name("kept_words.txt")

# Makers of CT scanners by the word their files begin with, in capitals -> what is written.
MAKERS = {
    "GE": "GE MEDICAL SYSTEMS",
    "SIEMENS": "SIEMENS",
    "PHILIPS": "Philips",
    "TOSHIBA": "TOSHIBA",
    "CANON": "CANON",
    "HITACHI": "HITACHI",
    "FUJIFILM": "FUJIFILM",
    "NEUSOFT": "NEUSOFT",
    "UIH": "UIH",
    "SHIMADZU": "SHIMADZU",
    "PICKER": "PICKER",
    "MARCONI": "MARCONI",
    "ELSCINT": "ELSCINT",
    "IMATRON": "IMATRON",
    "SAMSUNG": "SAMSUNG",
    "GLASSLUNG": "glasslung",
}


@cache
def kept_attributes() -> dict[str, tuple[Need, Rule]]:
    """Keyword -> what the image needs of the attribute, and how its value is made safe."""
    found: dict[str, tuple[Need, Rule]] = {}
    for line in _ATTRIBUTES.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            head, keywords = line.split(": ", 1)
            need, rule = head.split(" ", 1)
            found |= dict.fromkeys(keywords.split(), (Need(need), Rule(rule)))
    return found


@cache
def kept_words(section: str) -> frozenset[str]:
    """Words that may stay: 'terms' of coded attributes, or those of 'descriptions'."""
    text = _WORDS.read_text(encoding="ascii")
    own = text.split(f"[{section}]\n", 1)[1].split("[", 1)[0]
    return frozenset(word.strip() for word in own.replace("\n", " ").split(";"))


def allowed(keyword: str) -> tuple[Need, Rule] | None:
    """What the image needs of an attribute and how its value is made safe; None for one that is removed."""
    return kept_attributes().get(keyword)
