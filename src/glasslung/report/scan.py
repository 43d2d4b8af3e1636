"""Scan: everything about one scan, pictures first, then figures."""

from __future__ import annotations

from glasslung.data.preview import Preview, View
from glasslung.report import charts, figures, tables
from glasslung.report.markup import Html, joined, tag
from glasslung.report.wording import SPACE, ml, mm, number, percent, sentence
from glasslung.types import Findings, Geometry, Intensity, Lung

_BANDS_AND_OPACITY = (
    "Per cent is of the region's lung volume. The density bands hold every voxel of that density, vessels "
    "and airway walls included; opacity leaves those out, so the two do not add up to each other."
)
_TWO_METHODS = (
    "Lesions by the network rest on what lesions look like, opacity on density alone: two methods, which "
    "agree on plain disease and differ on vessels, collapse, tumour and faint haze. Per cent is of the "
    "region's lung volume."
)
_ONE_METHOD = "Per cent is of the region's lung volume."
_TIMES = "\u00d7"


def scan_section(scan: Findings, n: int, preview: Preview | None) -> Html:
    """Everything about the n-th scan: what it is, pictures, figures."""
    heading = tag("h2", scan.scan, tag("span", day_told(scan), class_="day"), " ", tables.verdict_chip(scan))
    refused = tables.refusal(scan)
    parts = [
        heading,
        _facts(scan),
        tag("p", tag("strong", "No density figures. "), refused, class_="refusal") if refused else None,
        _pictures(scan, n, preview),
        _measures(scan, preview),
    ]
    return tag("section", *parts, id=tables.scan_id(scan), class_="scan")


def _facts(scan: Findings) -> Html:
    """The scan's grid and key figures in one line each."""
    d, h, w = scan.shape
    grid = f"{d} {_TIMES} {h} {_TIMES} {w} voxels"
    if scan.geometry is Geometry.MEASURED:
        grid += f" of {f' {_TIMES} '.join(mm(s) for s in scan.spacing_mm)}{SPACE}mm"
    else:
        grid += "; spacing not in the file"
    grey = "Hounsfield units" if scan.intensity is Intensity.HU else "8-bit display values"
    pairs = []
    both = scan.regions[0] if scan.regions else None
    if both is not None and both.ml is not None:
        pairs.append(("Lungs", ml(both.ml)))
    if scan.involvement is not None:
        pairs.append(("Involvement", percent(scan.involvement)))
    if both is not None and both.all_lesions is not None:
        pairs.append(("Lesions", percent(both.all_lesions.percent)))
    if scan.severity is not None:
        pairs.append(("Severity", f"{scan.severity.points} of {scan.severity.most}"))
    shown = [tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs]
    plain = tag("div", tag("dt", "Scan"), tag("dd", f"{grid}, {grey}, read from {scan.kind}"), class_="plain")
    return tag("dl", *shown, plain, class_="strip")


def plane_key(n: int, at: int) -> str:
    """The id of a picture: scan and view."""
    return f"p{n}-{at}"


def _pictures(scan: Findings, n: int, preview: Preview | None) -> Html:
    """Axial planes from head to feet, then the plane with most lesion and the reformats."""
    if preview is None:
        return tag("p", "No pictures were kept of this scan.", class_="quiet")
    tiles = [
        tile(figures.picture(view, preview.windows, plane_key(n, at)), view, big=True)
        for at, view in enumerate(preview.views)
    ]
    height, width = preview.views[0].grey.shape
    return joined(
        tag("h3", "Pictures"),
        _legend(preview),
        tag(
            "div",
            *tiles,
            class_="montage",
            data_scan=scan.scan,
            data_kind="planes",
            style=f"--shape: {width} / {height}",
        ),
    )


def tile(drawing: Html, view: View, big: bool = False) -> Html:
    """A plane with its caption; the one with most lesion or opacity says so."""
    what, where = figures.caption(view)
    thing = "opacity" if view.lesions is None else "lesion"
    most = tag("b", f"most {thing}", class_="most") if view.most else None
    caption = tag("figcaption", most, tag("b", what), tag("span", where) if where else None)
    return tag("figure", drawing, caption, class_="tile big" if big else "tile")


def _legend(preview: Preview) -> Html:
    """Window, colours and conventions of the pictures."""
    hu = preview.intensity is Intensity.HU
    windows = [
        tag(
            "span",
            f"{w.name} window, level {number(w.level)}, width {number(w.width)}{SPACE}HU" if hu else w.name,
            class_=f"shows-{figures.window_key(w)}",
        )
        for w in preview.windows
    ]
    keys = []
    if any((view.lungs != Lung.NONE).any() for view in preview.views):
        keys.append(tag("span", tag("i", class_="swatch line-key"), "lung outline"))
    if any((view.lungs == Lung.UNSIDED).any() for view in preview.views):
        keys.append(tag("span", tag("i", class_="swatch line-key dashed"), "lung, side unknown"))
    for lesion in figures.lesions_in(preview):
        style = f"swatch lesion-{lesion.name.lower().replace('_', '-')}"
        keys.append(tag("span", tag("i", class_=style), figures.LESION_NAMES[lesion]))
    keys += _overlay_told(preview)
    told = "R and L are the patient's sides."
    if preview.geometry is Geometry.ASSUMED:
        told = "No side marks and no scale bar: the file carries neither position nor spacing."
    return tag("p", *windows, *keys, tag("span", told), class_="legend")


def _overlay_told(preview: Preview) -> list[Html]:
    """Whose lesions the colours show, where there is a choice."""
    if not figures.two_overlays(preview):
        return []
    return [
        tag("span", "coloured: lesions by the network or mask", class_="shows-lesions"),
        tag("span", "coloured: opacity by density", class_="shows-density"),
    ]


def _measures(scan: Findings, preview: Preview | None) -> Html:
    """Regions, severity and profile."""
    if not scan.regions:
        return tag("p", "No lung was found, so nothing was measured.", class_="quiet")
    parts: list[Html | None] = [tag("h3", "Regions"), tables.regions_table(scan)]
    if scan.regions[0].bands and scan.regions[0].affected:
        parts.append(tag("p", _BANDS_AND_OPACITY, class_="quiet"))
    parts += _lesions(scan)
    columns = []
    if scan.severity is not None:
        columns.append(tag("div", tag("h3", "CT severity score"), tables.zones_table(scan.severity)))
    if preview is not None and preview.profile is not None:
        chart = charts.profile_chart(preview.profile)
        keys = [tag("span", tag("i", class_="swatch lung-area"), "lung")]
        if preview.profile.affected is not None:
            lesions = scan.regions[0].lesions is not None
            name = "lesions" if lesions else "opacity"
            keys.append(tag("span", tag("i", class_="swatch affected"), name))
        columns.append(
            tag(
                "div", tag("h3", "From apex to base, area per slice"), chart, tag("p", *keys, class_="legend")
            )
        )
    parts.append(tag("div", *columns, class_="columns") if columns else None)
    return joined(*parts)


def _lesions(scan: Findings) -> list[Html | None]:
    """What a network, or a mask made elsewhere, calls lesions, and how far to trust it."""
    origin, quality = scan.origin, scan.lesion_quality
    if origin is None or not scan.regions or scan.regions[0].lesions is None:
        return []
    who = f"by the network {origin.network}" if origin.network else "from the mask that was given"
    chip = None if quality is None else tables.quality_chip(quality)
    heading = tag("div", tag("h3", f"Lesions, {who}"), chip, class_="lesions-head")
    why = None
    if quality is not None and quality.reasons:
        why = tag("ul", *(tag("li", sentence(reason)) for reason in quality.reasons), class_="why")
    told = _TWO_METHODS if scan.regions[0].affected is not None else _ONE_METHOD
    return [heading, why, tables.lesions_table(scan), tag("p", told, class_="quiet")]


def day_told(scan: Findings) -> str:
    """' · day 9', or nothing where the day is not known."""
    return "" if scan.day is None else f" \u00b7 day {scan.day:g}"
