"""Course: what all scans of a story say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from glasslung.data.preview import LEVELS, Plane, Preview, View
from glasslung.measure.course import comparison_remarks
from glasslung.report import charts, figures, patientcourse, tables
from glasslung.report.markup import Html, section, tag
from glasslung.report.scan import day_told, plane_key, tile
from glasslung.report.summary import cannot_say, comparable, paragraph, title
from glasslung.report.wording import listing
from glasslung.types import DISCLAIMER, Findings, Story

_SIDE_BY_SIDE = ((1, "upper"), (4, "middle"), (6, "lower"))  # which of the LEVELS stand beside each other


def opening(story: Story) -> Html:
    """What the page says first: of several scans their course, of one what was measured on it."""
    several = len(story.scans) > 1
    return tag(
        "section",
        tag(
            "p",
            tag("strong", "Research use only."),
            f" {DISCLAIMER.partition('. ')[2]}",
            class_="banner",
            role="note",
        ),
        tag("h1", title(story)),
        tag("p", paragraph(story), class_="lead"),
        patientcourse.course_panel(story) if several else None,
        tables.glance(story),
        None if several else _limits(story),
        id="summary",
    )


def _limits(story: Story) -> Html:
    limits = [tag("li", tag("strong", limit.what), " ", limit.why) for limit in cannot_say(story)]
    return tag("div", tag("h2", "What this report cannot say"), tag("ul", *limits), class_="limits")


def trust(story: Story) -> Html:
    """Scan by scan, and of several scans what cannot be said."""
    limits = _limits(story) if len(story.scans) > 1 else None
    told = [tables.trust(scan) for scan in story.scans]
    return section("trust", "Can the figures be trusted?", *told, limits)


def times_of(story: Story) -> charts.Times:
    """Where the scans stand on the time axis: by day where all days are known and differ, else in order."""
    days = [scan.day for scan in story.scans]
    known = [day for day in days if day is not None]
    if len(known) == len(days) and len(set(known)) == len(known):
        return charts.Times(tuple(known), tuple(f"day {day:g}" for day in known), True)
    return charts.Times(tuple(map(float, range(len(days)))), tuple(s.scan for s in story.scans), False)


def over_time(story: Story) -> Html | None:
    """The course over time as small charts of one size."""
    times, scans = times_of(story), story.scans
    hollow = tuple(not comparable(scan) for scan in scans)
    panels = []
    first = patientcourse.burden_of(story)  # it stands at the top of the page, with its curve
    shown = "" if first is None else first.measure
    if shown != "involvement" and any(scan.involvement is not None for scan in scans):
        values = tuple(scan.involvement for scan in scans)
        line = charts.Series("", "involvement", values, hollow)
        panels.append(
            charts.course_panel("Involvement by density, % of lung volume", "%", times, [line], decimals=1)
        )
    lesions = tuple(_lesion_percent(scan) for scan in scans)
    if shown != "lesions" and any(value is not None for value in lesions):
        doubt = tuple(h or _lesions_doubted(scan) for h, scan in zip(hollow, scans, strict=True))
        line = charts.Series("", "involvement", lesions, doubt)
        title_ = "Lesions by the network or mask, % of lung volume"
        panels.append(charts.course_panel(title_, "%", times, [line], decimals=1))
    scores = [scan.severity for scan in scans if scan.severity is not None]
    if scores and len({score.most for score in scores}) == 1:
        points = tuple(None if s.severity is None else float(s.severity.points) for s in scans)
        line, most = charts.Series("", "score", points, hollow), scores[0].most
        panels.append(
            charts.course_panel(f"CT severity score, 0 to {most} points", "", times, [line], float(most))
        )
    sides = [
        charts.Series(_short(name), _short(name), _volumes(story, name), hollow) for name in _sides(story)
    ]
    if sides:
        panels.append(charts.course_panel("Lung volume, ml", "ml", times, sides))
    bands = [scan.regions[0].bands if scan.regions else None for scan in scans]
    if any(bands):
        panels.append(charts.bands_panel(times, bands, hollow))
    if not panels:
        return None
    note = (
        tag(
            "p",
            "Hollow points and pale columns: not to be trusted, or not of the whole lungs.",
            class_="quiet",
        )
        if any(hollow)
        else None
    )
    heading = "Course over time" if first is None else "Other measures over time"
    return section("course", heading, tag("div", *panels, class_="panels"), note)


def _lesion_percent(scan: Findings) -> float | None:
    found = scan.regions[0].all_lesions if scan.regions else None
    return None if found is None else found.percent


def _lesions_doubted(scan: Findings) -> bool:
    return scan.lesion_quality is not None and not scan.lesion_quality.trusted


def _short(name: str) -> str:
    return name.split()[0]


def _sides(story: Story) -> list[str]:
    """Right and left where any scan tells them apart, else both lungs together; only with volumes in ml."""
    names = {region.name for scan in story.scans for region in scan.regions if region.ml is not None}
    return [n for n in ("right lung", "left lung") if n in names] or [
        n for n in ("both lungs",) if n in names
    ]


def _volumes(story: Story, name: str) -> tuple[float | None, ...]:
    return tuple(next((r.ml for r in scan.regions if r.name == name), None) for scan in story.scans)


def _levels(preview: Preview | None) -> list[tuple[int, View]]:
    """The axial planes that are spread over the lungs, with their place among the views; [] if too few."""
    views = preview.views if preview is not None else ()
    axial = [
        (n, view) for n, view in enumerate(views) if view.plane is Plane.AXIAL and view.pixel_mm is not None
    ]
    return axial[:LEVELS] if len(axial) >= LEVELS else []


class Column(NamedTuple):
    """One scan of the side-by-side view: its number and its levels."""

    n: int
    scan: Findings
    levels: list[tuple[int, View]]


def side_by_side(story: Story, previews: Mapping[str, Preview | None]) -> Html | None:
    """The same level of the lungs in each scan, side by side: one row a level, one column a scan.

    A scan whose lungs are not trusted, cut to a slab or without positions has no levels: it is named as
    missing.
    """
    columns = [Column(n, scan, _levels(previews[scan.scan])) for n, scan in enumerate(story.scans)]
    shown = [column for column in columns if column.levels and comparable(column.scan)]
    if len(shown) < 2:
        return None
    told = (
        "Planes at the same share of the lungs' height, drawn at one scale. Breath and posture move the "
        "lungs, so the planes match only roughly."
    )
    missing = [column.scan.scan for column in columns if column not in shown]
    if missing:
        told += f" Not shown, for want of lungs to go by: {listing(missing)}."
    frame = _frame_mm(shown)
    heads = [
        tag("th", tag("a", scan.scan, href=f"#{tables.scan_id(scan)}"), day_told(scan), scope="col")
        for _, scan, _ in shown
    ]
    rows = [_level_row(name, place, shown, frame) for place, name in _SIDE_BY_SIDE]
    table = tag(
        "table",
        tag("thead", tag("tr", tag("td"), *heads)),
        tag("tbody", *rows),
        class_="beside",
        style=f"--scans: {len(shown)}",
    )
    return section(
        "beside", "Side by side", tag("p", told, class_="quiet"), tag("div", table, class_="scroll")
    )


def _frame_mm(shown: Sequence[Column]) -> tuple[float, float]:
    """The height and width that hold every plane."""
    sizes = [figures.size_mm(view) for column in shown for _, view in column.levels]
    return max(height for height, _ in sizes), max(width for _, width in sizes)


def _level_row(name: str, place: int, shown: Sequence[Column], frame: tuple[float, float]) -> Html:
    cells = []
    for column in shown:
        at, view = column.levels[place]
        again = figures.same_again(view, plane_key(column.n, at), frame)
        cells.append(tag("td", tile(again, view)))
    return tag("tr", tag("th", name, scope="row"), *cells)


def changes(story: Story) -> Html | None:
    """The changes, and which comparisons were not made and why."""
    remarks = comparison_remarks(story.scans)
    if not story.changes and not remarks:
        return None
    table = tables.changes_table(story.changes) if story.changes else None
    return section(
        "changes", "Change from scan to scan", table, tables.remark_list(remarks) if remarks else None
    )
