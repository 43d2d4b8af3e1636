"""Markup: HTML and SVG elements whose text is always escaped.

Whatever is not `Html` already is text, and text cannot become an element: a file name or a reconstruction
kernel with angle brackets in it is shown as it is.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Control characters have no place in HTML, nor do halves of a surrogate pair in UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_VOID = frozenset({"meta", "br", "input", "hr", "col", "img"})


class Html(str):
    """Text that is safe markup already."""

    __slots__ = ()


Child = str | None | Iterable["Child"]


def escaped(text: str) -> Html:
    """Text as HTML shows it, letter for letter; unprintable characters become the replacement character."""
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", text), quote=True))


def joined(*children: Child) -> Html:
    """Children one after the other: Html as it is, text escaped, None left out, sequences opened."""
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escaped(child))
        elif child is not None:
            parts.append(joined(*child))
    return Html("".join(parts))


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """One element. `class_` is class, `aria_label` is aria-label; None and False attributes are left out."""
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        assert not children, f"<{name}> holds nothing"
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(*children)}</{name}>")


def section(anchor: str, heading: str, *content: Child) -> Html:
    """A part of the page with its heading and anchor."""
    return tag("section", tag("h2", heading), *content, id=anchor)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    return f' {name}="{escaped(shown)}"'
