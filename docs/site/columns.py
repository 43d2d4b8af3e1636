"""Columns of our docstrings as lists, so that names and their meanings do not run together on a page.

    cohort   folder or table of 8-bit slices;
             None: phantoms
    seeds    trainings of every cell

Lines that part into a name and a meaning by two spaces or more, and what is indented under a meaning, belong
together.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROW = re.compile(r"^(?P<name>\S(?:.*?\S)?) {2,}(?P<meaning>\S.*)$")
DEEP = 2  # spaces from which a line goes on with the meaning above it


def rows_of(lines: list[str]) -> list[tuple[str, str]] | None:
    """(name, meaning) of lines in columns; None where they are prose."""
    rows: list[tuple[str, str]] = []
    for line in lines:
        found = ROW.match(line)
        if line.startswith(" " * DEEP):
            if not rows:
                return None
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
        elif found:
            rows.append((found["name"], found["meaning"]))
        else:
            return None
    return rows or None


def parts_of(text: str) -> list[str | list[tuple[str, str]]]:
    """A docstring as paragraphs of prose and tables of (name, meaning), in order."""
    parts: list[str | list[tuple[str, str]]] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        lines = [line.rstrip() for line in paragraph.splitlines()]
        prose: list[str] = []
        while lines:
            longest = next((n for n in range(len(lines), 0, -1) if rows_of(lines[:n])), 0)
            if longest:
                parts += ["\n".join(prose)] * bool(prose)
                prose = []
                parts.append(rows_of(lines[:longest]) or [])
                lines = lines[longest:]
            else:
                prose.append(lines.pop(0))
        parts += ["\n".join(prose)] * bool(prose)
    return parts


def as_markdown(text: str) -> str:
    """A docstring whose columns are lists."""
    told = []
    for part in parts_of(text):
        if isinstance(part, str):
            told.append(part)
        else:
            told.append("\n".join(f"- `{name}`: {meaning}" for name, meaning in part))
    return "\n\n".join(told)


class Columns(griffe.Extension):
    """Reads every docstring once it is known."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
