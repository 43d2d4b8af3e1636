"""Wording: figures as a report prints them, the same everywhere.

Millilitres have no decimals, per cents one. Thousands stand apart by a thin space, units by a space that does
not break, and a minus is a minus sign. What was not measured is an en dash, never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence

THIN = "\u202f"
SPACE = "\u00a0"
MINUS = "\u2212"
NOTHING = "\u2013"

_COUNTS = (
    "No",
    "One",
    "Two",
    "Three",
    "Four",
    "Five",
    "Six",
    "Seven",
    "Eight",
    "Nine",
    "Ten",
    "Eleven",
    "Twelve",
)


def number(value: float | None, decimals: int = 0) -> str:
    """12345.6 -> '12 346'; None -> an en dash."""
    if value is None:
        return NOTHING
    text = f"{abs(value):,.{decimals}f}".replace(",", THIN)
    return MINUS + text if value < 0 and float(f"{value:.{decimals}f}") != 0 else text


def signed(value: float, decimals: int = 0) -> str:
    """A difference with its sign: '+3', '−3', '0' where it rounds to nothing."""
    return ("+" if float(f"{value:.{decimals}f}") > 0 else "") + number(value, decimals)


def ml(value: float | None) -> str:
    """4812.3 -> '4 812 ml'."""
    return NOTHING if value is None else f"{number(value)}{SPACE}ml"


def percent(value: float | None) -> str:
    """31.24 -> '31.2 %'; something too little for the decimal is '< 0.1 %', not zero."""
    if value is None:
        return NOTHING
    return f"<{SPACE}0.1{SPACE}%" if 0 < value < 0.05 else f"{number(value, 1)}{SPACE}%"


def amount(value: float, unit: str) -> str:
    """A measure in the unit that the story names: 'ml', 'percent' or 'points'."""
    if unit == "ml":
        return ml(value)
    return percent(value) if unit == "percent" else number(value)


def difference(value: float, unit: str) -> str:
    """A change in that unit; between two per cents it is in percentage points."""
    if unit == "percent":
        return f"{signed(value, 1)}{SPACE}pp"
    return f"{signed(value)}{SPACE}ml" if unit == "ml" else signed(value)


def rate(value: float, unit: str) -> str:
    """A change per day in that unit."""
    text = {"percent": f"{signed(value, 1)}{SPACE}pp", "ml": f"{signed(value)}{SPACE}ml"}
    return f"{text.get(unit, signed(value, 1))} / day"


def mm(value: float) -> str:
    """A length: '0.75', '5', at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def day(value: float) -> str:
    """'day 9'."""
    return f"day\u00a0{value:g}"


def days(value: float) -> str:
    """'1 day', '16 days'."""
    return f"{value:g}\u00a0day{'' if value == 1 else 's'}"


def count(many: int, noun: str) -> str:
    """'Four scans', '13 scans'."""
    word = _COUNTS[many] if many < len(_COUNTS) else str(many)
    return f"{word} {noun}{'' if many == 1 else 's'}"


def listing(items: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def sentence(text: str) -> str:
    """Text that begins with a capital and ends with a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".!?" else ".")


def in_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of texts as lines for a terminal or a text file, each column as wide as its widest text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
