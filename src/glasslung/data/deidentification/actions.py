"""What DICOM's basic confidentiality profile does with an attribute, and what that means for a CT image.

Source: DICOM PS3.15, Annex E, table E.1-1, kept in attribute_actions.txt. Where the table leaves a choice
(X/Z/D), section E.1 resolves it by the attribute's type in the image: remove what is optional, empty what may
be empty, replace what must have a value.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("attribute_actions.txt")
CURVES, OVERLAYS = 0x5000, 0x6000  # groups 50xx and 60xx, whose even groups repeat
OVERLAY_DATA, OVERLAY_COMMENTS = 0x3000, 0x4000


class Action(StrEnum):
    """What was done with an attribute."""

    REMOVED = "X"
    EMPTIED = "Z"
    REPLACED = "D"
    NEW_UID = "U"
    CLEANED = "C"


class Need(StrEnum):
    """How much an image needs an attribute: its type in the standard's modules (1C and 2C as 1 and 2)."""

    VALUE = "1"
    PRESENCE = "2"
    NONE = "3"


@cache
def table() -> dict[int, str]:
    """Tag (group << 16 | element) -> action as the standard prints it, for every tag listed one by one."""
    found: dict[int, str] = {}
    for line in _TABLE.read_text(encoding="ascii").splitlines():
        if not line.startswith("#"):
            action, group, elements = line.split(None, 2)
            found |= {int(group[:-1] + element, 16): action for element in elements.split()}
    return found


def profile_action(tag: int) -> str | None:
    """The table's action for a tag, 'X/Z/D' where it leaves a choice; None where it says nothing."""
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2:
        return "X"  # private attributes
    if group & 0xFF00 == CURVES or (
        group & 0xFF00 == OVERLAYS and element in (OVERLAY_DATA, OVERLAY_COMMENTS)
    ):
        return "X"
    return table().get(tag)


def resolved(action: str, need: Need) -> Action:
    """One action out of 'X/Z/D', by what the image needs of the attribute (section E.1).

    Of the actions that satisfy the need, the one that leaves least: X before Z before D.
    """
    choices = [Action(letter) for letter in action.split("/")]
    enough = {
        Need.NONE: (Action.REMOVED, Action.EMPTIED, Action.REPLACED, Action.NEW_UID),
        Need.PRESENCE: (Action.EMPTIED, Action.REPLACED, Action.NEW_UID),
        Need.VALUE: (Action.REPLACED, Action.NEW_UID),
    }[need]
    fitting = [each for each in enough if each in choices]
    return fitting[0] if fitting else choices[-1]
