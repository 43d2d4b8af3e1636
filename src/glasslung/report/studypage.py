"""Studypage: a study as one self-contained page: what was found, in tables and figures, and how.

Nothing is fetched when it is opened. Verdicts stand on top, methods and the command at the bottom. A table
that is wider than the page scrolls in its own box; on paper it is set smaller.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np

from glasslung import __version__
from glasslung.errors import ShapeError
from glasslung.files import write_whole
from glasslung.report import tables
from glasslung.report.checklists import METHODS, SHEET, Facts, write_checklists
from glasslung.report.markup import Child, Html, joined, tag
from glasslung.report.wording import MINUS, NOTHING, number
from glasslung.types import DISCLAIMER

GAP = 2  # black pixels between two pictures of a strip


@dataclass(frozen=True)
class Chapter:
    """A part of the page: where it can be jumped to, its heading, and what stands in it."""

    anchor: str
    heading: str
    content: tuple[Html | None, ...]


@dataclass(frozen=True)
class StudyPage:
    """What a page says, in the order in which it is read.

    verdicts    sentences: what follows from the figures
    cautions    sentences: why they may not be believed; shown above the verdicts
    methods     (name, text) how it was done
    provenance  (name, value) command, versions, seeds, hashes
    facts       what the study states of itself, for reporting checklists
    """

    title: str
    lead: str
    verdicts: Sequence[str]
    chapters: Sequence[Chapter]
    methods: Sequence[tuple[str, str]]
    provenance: Sequence[tuple[str, str]]
    facts: Facts
    cautions: Sequence[str] = field(default=())


def write_study_page(page: StudyPage, path: Path) -> Path:
    """Write the page and, beside it, the study's checklists and methods; each is there whole or not at all.

    Returns the page's path.
    """
    write_checklists(page, path.parent)
    write_whole(path, render(page))
    return path


def render(page: StudyPage) -> str:
    """The whole page as text."""
    style = "".join(
        (files("glasslung.report") / name).read_text("utf-8") for name in ("page.css", "study.css")
    )
    head = joined(
        tag("meta", charset="utf-8"),
        tag(
            "meta",
            http_equiv="Content-Security-Policy",
            content="default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        ),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{page.title} \u00b7 glasslung"),
        tag("style", Html(style)),
    )
    chapters = [
        tag("section", tag("h2", chapter.heading), *chapter.content, id=chapter.anchor)
        for chapter in page.chapters
    ]
    main = tag("main", _opening(page), *chapters, _methods(page), _provenance(page))
    body = joined(_bar(page), main, _footer())
    return (
        f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body, class_='study'), lang='en')}\n"
    )


def _bar(page: StudyPage) -> Html:
    links = [("found", "Found"), *((one.anchor, one.heading) for one in page.chapters)]
    links += [("methods", "Methods"), ("provenance", "Provenance")]
    nav = tag("nav", *(tag("a", text, href=f"#{anchor}") for anchor, text in links), aria_label="Sections")
    return tag("header", tag("span", "glasslung", class_="brand"), nav, class_="top")


def _opening(page: StudyPage) -> Html:
    warning = joined(tag("strong", "Research use only."), f" {DISCLAIMER.partition('. ')[2]}")
    cautions = [tag("div", sentences(page.cautions), class_="refusal")] if page.cautions else []
    return tag(
        "section",
        tag("p", warning, class_="banner", role="note"),
        tag("h1", page.title),
        tag("p", page.lead, class_="lead"),
        *cautions,
        sentences(page.verdicts, "verdicts"),
        id="found",
    )


def _methods(page: StudyPage) -> Html:
    paragraphs = [tag("p", tag("strong", f"{name}. "), text) for name, text in page.methods]
    beside = note(
        f"Beside this page: {METHODS}, to begin a methods section with; {SHEET}: TRIPOD+AI and CLAIM, filled."
    )
    return tag("section", tag("h2", "Methods"), tag("div", *paragraphs, class_="prose"), beside, id="methods")


def _provenance(page: StudyPage) -> Html:
    pairs = [(name, tag("code", value) if name == "Command" else value) for name, value in page.provenance]
    return tag("section", tag("h2", "Provenance"), tables.facts(pairs), id="provenance")


def _footer() -> Html:
    return tag("footer", tag("p", tag("strong", DISCLAIMER)), tag("p", f"Drawn by glasslung {__version__}."))


# --------------------------------------------------------------------------------------- what stands in it


def sentences(texts: Sequence[str], style: str = "") -> Html | None:
    """Sentences as a list; None where there is none."""
    if not texts:
        return None
    return tag("ul", *(tag("li", text) for text in texts), class_=f"sentences {style}".strip())


def note(text: str) -> Html:
    """A quiet paragraph under a table or figure."""
    return tag("p", text, class_="quiet")


def figures_table(
    caption: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[Child]]], strong: Sequence[int] = ()
) -> Html:
    """A table of figures: the first column names the row, the others stand to the right.

    rows    (name, cells): text, or Html from `interval`
    strong  rows that stand out, by number
    """
    for name, cells in rows:
        if len(cells) != len(head) - 1:
            raise ShapeError(f"row {name!r} has {len(cells)} cells for {len(head) - 1} columns")
    top = [tag("th", head[0], scope="col")]
    top += [tag("th", word, scope="col", class_="num") for word in head[1:]]
    made = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(tag("td", cell, class_="num") for cell in cells),
            class_="strong" if number in strong else None,
        )
        for number, (name, cells) in enumerate(rows)
    ]
    return joined(tag("h3", caption), tables.table(caption, top, made, "figures"))


def interval(found: Mapping[str, float | None] | Sequence[float] | None, digits: int = 2) -> Html:
    """A figure with its limits below it; a dash where there is none.

    found  {'value', 'low', 'high'} or (value, low, high); limits may be missing or infinite
    """
    if found is None:
        return Html(NOTHING)
    values = (
        [found.get(name) for name in ("value", "low", "high")] if isinstance(found, Mapping) else list(found)
    )
    shown = [figure_told(value, digits) for value in values]
    known = len(shown) == 3 and any(value is not None for value in values[1:])
    limits = tag("small", f"{shown[1]} to {shown[2]}") if known else None
    return joined(shown[0], limits)


def figure_told(value: float | None, digits: int = 2) -> str:
    """A figure in words; a dash for none, the sign of infinity where there is no limit."""
    if value is None or np.isnan(value):
        return NOTHING
    if np.isinf(value):
        return f"{MINUS if value < 0 else ''}\u221e"
    return number(value, digits)


def drawing(svg: str, words: str, caption: str = "") -> Html:
    """An SVG as a picture of its own, on white: its styles and names stay inside."""
    data = base64.b64encode(svg.encode()).decode()
    return _figure(f"data:image/svg+xml;base64,{data}", words, caption, "drawing")


def _figure(source: str, words: str, caption: str, style: str) -> Html:
    text = tag("figcaption", caption) if caption else None
    return tag("figure", _img(source, words), text, class_=style)


def _img(source: str, words: str, style: str = "") -> Html:
    """A picture; HTML has no end tag for it."""
    return Html(tag("img", src=source, alt=words, class_=style or None).removesuffix("</img>"))


def strips(caption: str, rows: Sequence[tuple[str, np.ndarray]], words: str = "") -> Html:
    """Rows of small pictures, one row per name: each (N, S, S), or (N, S, S, 3) in colour, in [0, 1]."""
    made = [
        tag("tr", tag("th", name, scope="row"), tag("td", strip(pictures, f"{caption}: {name}")))
        for name, pictures in rows
    ]
    shown = tag("table", tag("caption", caption), tag("tbody", *made), class_="strips")
    return joined(tag("h3", caption), note(words) if words else None, tag("div", shown, class_="scroll"))


def strip(pictures: np.ndarray, words: str) -> Html:
    """Pictures (N, S, S), or (N, S, S, 3) in colour, in [0, 1] beside each other, as one PNG in the page."""
    from PIL import Image

    grey_or_rgb = pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[-1] == 3)
    if not grey_or_rgb or not len(pictures):
        raise ShapeError(f"a strip needs pictures (N, S, S) or (N, S, S, 3), got {pictures.shape}")
    grey = np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
    padded = np.pad(grey, ((0, 0), (0, 0), (0, GAP), *[(0, 0)] * (grey.ndim - 3)))
    made = io.BytesIO()
    Image.fromarray(np.concatenate(list(padded), 1)[:, :-GAP]).save(made, "PNG", optimize=True)
    data = base64.b64encode(made.getvalue()).decode()
    return _img(f"data:image/png;base64,{data}", words, "strip-picture")
