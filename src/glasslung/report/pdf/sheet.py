"""Sheets of A4 that fill from the top with text, tables, pictures and charts; a new page when one is full.

Lengths are points (1/72 inch). Drawn with matplotlib, without a display and without the time of day, so that
the same content gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

WIDTH, HEIGHT = 595.28, 841.89  # A4
MARGIN = 45.0
TEXT_WIDTH = WIDTH - 2 * MARGIN
BOTTOM = 52.0  # the footer stands below
LEADING = 1.36  # of the letters' size, from line to line
BODY_PT, SMALL_PT, HEADING_PT, TITLE_PT = 8.8, 7.4, 11.5, 18.0
INK, QUIET, RULE, WARN, WARN_PAPER = "#1b2430", "#5b6573", "#c9d0d8", "#8a3b00", "#fff3e6"
CELL_PAD = 6.0
# A font that comes with matplotlib, embedded, so that every reader shows the same.
FAMILY = "DejaVu Sans"
EMBEDDED: Any = {"font.family": FAMILY, "pdf.fonttype": 42}


class Sheets:
    """Pages in the making; `y` is how far down the next thing stands."""

    def __init__(self, footer: str) -> None:
        self.footer = footer
        self.pages: list[Any] = []
        self.y = 0.0
        self.new_page()

    def new_page(self) -> None:
        """Begin a page."""
        from matplotlib.figure import Figure

        self.pages.append(Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72))
        self.y = MARGIN

    def room_for(self, height: float) -> None:
        """Begin a page where the rest of this one is too short."""
        if self.y + height > HEIGHT - BOTTOM and self.y > MARGIN:
            self.new_page()

    def space(self, height: float) -> None:
        """Leave some paper white."""
        self.y += height

    # --- words ----------------------------------------------------------------------------------------------

    def title(self, text: str, under: str) -> None:
        """The title of the whole, and a line under it."""
        self._lines([text], TITLE_PT, weight="bold")
        self._lines(self.wrapped(under, SMALL_PT), SMALL_PT, colour=QUIET)
        self.space(6)

    def heading(self, text: str, keep: float = 60.0) -> None:
        """A heading that stays with at least `keep` of what follows."""
        self.space(8)
        self.room_for(HEADING_PT * LEADING + 4 + keep)
        self._lines([text], HEADING_PT, weight="bold")
        self._rule()
        self.space(5)

    def banner(self, text: str) -> None:
        """A warning in a box across the page."""
        lines = self.wrapped(text, BODY_PT, TEXT_WIDTH - 20, weight="bold")
        height = len(lines) * BODY_PT * LEADING + 10
        self.room_for(height)
        self._box(MARGIN, self.y, TEXT_WIDTH, height, WARN_PAPER, WARN)
        self.y += 4
        self._lines(lines, BODY_PT, MARGIN + 10, weight="bold", colour=WARN)
        self.y += 12

    def paragraph(self, text: str, size: float = BODY_PT, colour: str = INK) -> None:
        """Text that wraps, and goes on on the next page where it must."""
        self._lines(self.wrapped(text, size), size, colour=colour)
        self.space(3)

    def point(self, text: str, size: float = BODY_PT, colour: str = INK) -> None:
        """One item of a list."""
        lines = self.wrapped(text, size, TEXT_WIDTH - 12)
        self.room_for(size * LEADING * min(len(lines), 2))
        self._write(MARGIN + 2, self.y + size, "\u2022", size, colour=colour)
        self._lines(lines, size, MARGIN + 12, colour=colour)
        self.space(1.5)

    def wrapped(self, text: str, size: float, width: float = TEXT_WIDTH, weight: str = "normal") -> list[str]:
        """Text in lines of at most this width; a word that is longer is cut."""
        lines, line, reached = [], "", 0.0
        gap = length_of(" ", size, weight)
        for word in _printable(text).split(" "):
            for part in _cut(word, size, width, weight):
                long = length_of(part, size, weight)
                if line and reached + gap + long > width:
                    lines.append(line)
                    line, reached = part, long
                else:
                    line, reached = (f"{line} {part}", reached + gap + long) if line else (part, long)
        return [*lines, line]

    def _lines(
        self,
        lines: Sequence[str],
        size: float,
        x: float = MARGIN,
        weight: str = "normal",
        colour: str = INK,
    ) -> None:
        for line in lines:
            self.room_for(size * LEADING)
            self._write(x, self.y + size, line, size, weight=weight, colour=colour)
            self.y += size * LEADING

    def _write(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        weight: str = "normal",
        colour: str = INK,
        align: str = "left",
    ) -> None:
        """One line of text whose foot stands at y, measured from the top."""
        self.pages[-1].text(
            *(x / WIDTH, 1 - y / HEIGHT, _printable(text)),
            fontsize=size,
            fontweight=weight,
            color=colour,
            ha=align,
            va="baseline",
            parse_math=False,
        )

    # --- figures --------------------------------------------------------------------------------------------

    def table(
        self, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], strong: int = -1
    ) -> None:
        """A table whose first column is left, all others right; `strong` is a column in bold.

        widths  shares of the page; texts that are too long for their cell wrap
        """
        scale = TEXT_WIDTH / sum(widths)
        columns = [width * scale for width in widths]
        self._row(head, columns, "bold", QUIET, SMALL_PT)
        self._rule()
        for row in rows:
            self._row(row, columns, "normal", INK, BODY_PT, strong)
        self.space(6)

    def _row(
        self,
        cells: Sequence[str],
        columns: Sequence[float],
        weight: str,
        colour: str,
        size: float,
        strong: int = -1,
    ) -> None:
        wrapped = [
            self.wrapped(cell, size, width - CELL_PAD, weight)
            for cell, width in zip(cells, columns, strict=True)
        ]
        height = max(map(len, wrapped)) * size * LEADING + 3
        self.room_for(height)
        x = MARGIN
        for n, (lines, width) in enumerate(zip(wrapped, columns, strict=True)):
            for m, line in enumerate(lines):
                at = x if n == 0 else x + width
                heavy = "bold" if n == strong else weight
                align = "left" if n == 0 else "right"
                foot = self.y + size + m * size * LEADING + 1
                self._write(at, foot, line, size, heavy, colour, align)
            x += width
        self.y += height

    def pictures(self, rows: Sequence[Sequence[tuple[np.ndarray, str]]], height: float) -> None:
        """Rows of pictures (H, W, 3) uint8 with a caption each, as tall as `height` or as the row allows."""
        for row in rows:
            gap = 6.0
            wide = (TEXT_WIDTH - gap * (len(row) - 1)) / len(row)
            tall = min(height, max(wide * pic.shape[0] / pic.shape[1] for pic, _ in row))
            self.room_for(tall + 2 * SMALL_PT * LEADING)
            for n, (picture, caption) in enumerate(row):
                self._picture(picture, MARGIN + n * (wide + gap), wide, tall, caption)
            self.y += tall + SMALL_PT * LEADING + 7

    def _picture(self, picture: np.ndarray, x: float, wide: float, tall: float, caption: str) -> None:
        axes = self._axes(x, self.y, wide, tall)
        axes.set_facecolor("black")
        axes.imshow(picture, interpolation="antialiased", aspect="equal")
        axes.set_anchor("C")
        axes.axis("off")
        self._box(x, self.y, wide, tall, "black", "black", -1)
        self._write(x, self.y + tall + SMALL_PT + 2, caption, SMALL_PT, colour=QUIET)

    @contextmanager
    def charts(self, count: int, height: float) -> Iterator[list[Any]]:
        """Axes beside each other to draw charts into; the row stands on one page."""
        self.room_for(height)
        gap, left, foot = 22.0, 26.0, 24.0
        wide = (TEXT_WIDTH - gap * (count - 1)) / count
        yield [
            self._axes(MARGIN + n * (wide + gap) + left, self.y + 14, wide - left, height - 14 - foot)
            for n in range(count)
        ]
        self.y += height + 4

    def _axes(self, x: float, y: float, width: float, height: float) -> Any:
        return self.pages[-1].add_axes((x / WIDTH, 1 - (y + height) / HEIGHT, width / WIDTH, height / HEIGHT))

    def _box(
        self, x: float, y: float, width: float, height: float, paper: str, line: str, order: int = 0
    ) -> None:
        from matplotlib.patches import Rectangle

        place = (x / WIDTH, 1 - (y + height) / HEIGHT)
        self.pages[-1].add_artist(
            Rectangle(
                place,
                width / WIDTH,
                height / HEIGHT,
                facecolor=paper,
                edgecolor=line,
                linewidth=0.6,
                zorder=order,
                transform=self.pages[-1].transFigure,
            )
        )

    def _rule(self) -> None:
        self._box(MARGIN, self.y, TEXT_WIDTH, 0.01, RULE, RULE)
        self.y += 1.5

    # --- the file -------------------------------------------------------------------------------------------

    def pdf(self, name: str) -> bytes:
        """All pages, each with its footer and number, as the bytes of a PDF."""
        from matplotlib import rc_context
        from matplotlib.backends.backend_pdf import PdfPages

        written = io.BytesIO()
        # No date: the same content is the same file.
        about = {"Title": name, "Creator": "glasslung", "Producer": "matplotlib", "CreationDate": None}
        with rc_context(EMBEDDED), PdfPages(written, metadata=about) as file:
            for n, page in enumerate(self.pages, 1):
                self._foot(page, n)
                file.savefig(page)
        return written.getvalue()

    def _foot(self, page: Any, number: int) -> None:
        numbered = f"page {number} of {len(self.pages)}"
        for x, text, align in ((MARGIN, self.footer, "left"), (WIDTH - MARGIN, numbered, "right")):
            page.text(
                *(x / WIDTH, 30 / HEIGHT, text),
                fontsize=SMALL_PT,
                color=QUIET,
                ha=align,
                parse_math=False,
            )


@cache
def length_of(word: str, size: float, weight: str) -> float:
    """How long a word is, in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FAMILY, size=size, weight=weight)
    # One letter more and taken off again, for a space by itself has no length.
    whole, bar = (
        float(text_to_path.get_text_width_height_descent(text, font, False)[0]) for text in (f"{word}|", "|")
    )
    return whole - bar


def _cut(word: str, size: float, width: float, weight: str) -> list[str]:
    """A word in pieces of at most this width."""
    parts = []
    while length_of(word, size, weight) > width:
        fits = max(1, int(len(word) * width / length_of(word, size, weight)) - 1)
        parts.append(word[:fits])
        word = word[fits:]
    return [*parts, word]


def _printable(text: str) -> str:
    """Text with what no font has taken out, and spaces that do not break as spaces that do not break."""
    kept = "".join(char if char.isprintable() or char in " \u00a0\u202f" else " " for char in text)
    return kept.replace("\u202f", "\u00a0").replace("\u2011", "-")
