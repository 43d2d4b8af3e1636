"""Serialsheet: all scans beside each other at matched levels: lesions, what changed, a classifier's reasons.

One column a day, one group of rows a level. Pictures of one row have one scale; maps of reasons have one
scale of colour over all days.
"""

from __future__ import annotations

from collections.abc import Mapping

from glasslung.data.preview import Preview, View
from glasslung.report import figures, tables
from glasslung.report.markup import Html, joined, tag
from glasslung.report.scan import day_told
from glasslung.report.wording import SPACE, listing, signed
from glasslung.types import Findings, Geometry, SerialSheet, Story

Sheets = Mapping[str, Preview]
_BY_HEIGHT = "share of the lungs' height"


def serial_rows(story: Story, sheets: Sheets) -> Html | None:
    """The sheet with its legend; None where there is none."""
    told = story.serial
    if told is None or not sheets:
        return None
    scans = {scan.scan: scan for scan in story.scans}
    frame = _frame_mm(sheets)
    heads = [_head(scans[name], told, n) for n, name in enumerate(told.scans)]
    groups = [_level(told, row, name, sheets, frame) for row, name in enumerate(told.levels)]
    table = tag(
        "table",
        tag("caption", "Serial sheet: all scans at matched levels"),
        tag("thead", tag("tr", tag("td"), *heads)),
        *groups,
        class_="serial",
        style=f"--scans: {len(told.scans)}",
    )
    return joined(_legend(sheets, told), tag("div", table, class_="scroll"), *_notes(told, story))


def _head(scan: Findings, told: SerialSheet, n: int) -> Html:
    score = told.scores[n]
    name = tag("a", scan.scan, href=f"#{tables.scan_id(scan)}")
    under = None if score is None else tag("small", f"s(t) = {signed(score, 1)}")
    return tag("th", name, tag("span", day_told(scan), class_="day"), under, scope="col")


def _frame_mm(sheets: Sheets) -> tuple[float, float] | None:
    """The height and width that hold every plane; None where a scale is not known of all."""
    views = [view for sheet in sheets.values() for view in sheet.views]
    if any(view.pixel_mm is None for view in views):
        return None
    sizes = [figures.size_mm(view) for view in views]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def _level(told: SerialSheet, row: int, name: str, sheets: Sheets, frame: tuple[float, float] | None) -> Html:
    """The rows of one level: scans, changes, reasons; a row that no scan has is left out."""
    drawn = []
    for n, scan in enumerate(told.scans):
        view = sheets[scan].views[row]
        drawn.append(figures.serial(view, sheets[scan].windows, f"s{n}-{row}", frame))
    views = [sheets[scan].views[row] for scan in told.scans]
    rows = [_row(name, [_cell(one.plain, _where(view)) for one, view in zip(drawn, views, strict=True)])]
    if any(one.change is not None for one in drawn):
        first = "first scan"
        cells = [
            _cell(one.change, "") if one.change is not None else _empty(first if n == 0 else "not registered")
            for n, one in enumerate(drawn)
        ]
        rows.append(_row("change", cells))
    if any(one.heat is not None for one in drawn):
        cells = [_cell(one.heat, "") if one.heat is not None else _empty("no map") for one in drawn]
        rows.append(_row("reasons", cells))
    return tag("tbody", *rows)


def _row(name: str, cells: list[Html]) -> Html:
    return tag("tr", tag("th", name, scope="row"), *cells)


def _cell(drawing: Html, where: str) -> Html:
    caption = tag("figcaption", tag("span", where)) if where else None
    return tag("td", tag("figure", drawing, caption, class_="tile"))


def _empty(why: str) -> Html:
    return tag("td", tag("p", why, class_="none"))


def _where(view: View) -> str:
    what, where = figures.caption(view)
    return ", ".join(part for part in (what.lower(), where) if part)


def _legend(sheets: Sheets, told: SerialSheet) -> Html:
    """What the colours mean."""
    keys = []
    for lesion in dict.fromkeys(one for sheet in sheets.values() for one in figures.lesions_in(sheet)):
        style = f"swatch lesion-{lesion.name.lower().replace('_', '-')}"
        keys.append(tag("span", tag("i", class_=style), figures.LESION_NAMES[lesion]))
    if any(view.change is not None for sheet in sheets.values() for view in sheet.views):
        names = (("appeared", "lesion appeared"), ("cleared", "cleared"), ("stayed", "stayed"))
        keys += [tag("span", tag("i", class_=f"swatch tissue-{key}"), text) for key, text in names]
    if any(told.reasons):
        keys.append(
            tag("span", tag("i", class_="swatch ramp-for"), f"for it, to {told.full:.2g} {told.unit}")
        )
        keys.append(tag("span", tag("i", class_="swatch ramp-against"), "against it, one scale for all days"))
    return tag("p", *keys, class_="legend")


def _notes(told: SerialSheet, story: Story) -> list[Html]:
    """How planes were matched, and what the maps are."""
    by_height = [name for name, how in zip(told.scans, told.matched, strict=True) if how == _BY_HEIGHT]
    notes = [tag("p", _levels_words(told, by_height, story), class_="quiet")]
    methods = [method for method in dict.fromkeys(told.reasons) if method]
    if methods:
        notes.append(tag("p", _map_words(methods[0]), class_="quiet"))
    return notes


def _levels_words(told: SerialSheet, by_height: list[str], story: Story) -> str:
    if any(scan.geometry is Geometry.ASSUMED for scan in story.scans):
        return (
            "Slices at the same share of each stack stand beside each other. The files carry no position: "
            "which end is the head, which side is which, how far apart slices lie and which part of the "
            "lungs they show is not known. They need not show the same lung, and nothing may be compared "
            "place by place."
        )
    said = "The level of each row was chosen in the last scan, where lesion of all scans is largest."
    if len(by_height) < len(told.scans) - 1:
        said += " In the other scans it is where registration says that level lay."
    if by_height:
        said += (
            f" Of {listing(by_height)} it is only the slice at the same share of the lungs' height, because "
            "it could not be registered: the levels match roughly, or not at all."
        )
    return said


def _map_words(method: str) -> str:
    if "Grad-CAM" in method:
        return (
            f"Reasons: {method}, scaled by the absolute log-odds |s(t)| of its day: the strongest places of "
            "a scan have its |s(t)|, and a day near even odds is faint."
        )
    return (
        f"Reasons: {method}, which adds up to the day's log-odds s(t) by itself, so nothing more "
        f"is scaled; per{SPACE}per cent of the lungs' volume, so that voxel size and breath do not count."
    )
