"""Tables: findings, remarks and changes as HTML tables; no cell is empty without a reason beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from glasslung.report.charts import band_class, share_bar, stacked_bar
from glasslung.report.diagnosiswords import share
from glasslung.report.markup import Child, Html, joined, tag
from glasslung.report.summary import Verdict, slab, verdict
from glasslung.report.wording import NOTHING, SPACE, amount, difference, ml, number, percent, rate, sentence
from glasslung.types import (
    Amount,
    Change,
    Findings,
    Intensity,
    MaskQuality,
    RegionMeasures,
    Remark,
    Severity,
    SeverityScore,
    Story,
)

VERDICT_CLASS = {Verdict.GOOD: "good", Verdict.CARE: "care", Verdict.BAD: "bad", Verdict.REFUSED: "bad"}
_MASK_CODE = "lung-mask-untrusted"  # the gate's own remark on a mask that is not trusted
_SEVERITY_WORDS = {Severity.REFUSE: "Refused", Severity.WARN: "Warning", Severity.NOTE: "Note"}

# By definition the same figure under two names; one row tells both.
_TWICE = ("involvement", "affected, both lungs")

_th = partial(tag, "th", scope="col")


def _num(*children: Child, class_: str = "num") -> Html:
    return tag("td", *children, class_=class_)


def table(caption: str, head: Sequence[Child], rows: Sequence[Html], style: str = "") -> Html:
    """A table with a caption for those who cannot see where it stands, in a frame that scrolls if it must."""
    made = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *head)),
        tag("tbody", *rows),
        class_=style or None,
    )
    return tag("div", made, class_="scroll")


def verdict_chip(scan: Findings) -> Html:
    """The scan's verdict as a small label; colour is never alone."""
    word = verdict(scan)
    return tag("span", word.value, class_=f"chip {VERDICT_CLASS[word]}")


def quality_chip(quality: MaskQuality) -> Html:
    """Whether a mask is trusted, as a small label."""
    word, style = ("trusted", "good") if quality.trusted else ("not trusted", "bad")
    return tag("span", f"{word}, {number(quality.confidence, 2)} of 1", class_=f"chip {style}")


def glance(story: Story) -> Html:
    """One row per scan: the figures looked for first, and whether to trust them; no column without any."""
    volume = "Lung scanned" if any(slab(scan) for scan in story.scans) else "Lung volume"
    rows = [glance_figures(scan, volume) for scan in story.scans]
    names = dict.fromkeys(name for row in rows for name in row)
    kept = [name for name in names if any(row.get(name, NOTHING) != NOTHING for row in rows)]
    head = [_th("Scan"), *(_th(name, class_="num") for name in kept), _th("Can it be trusted?")]
    made = []
    for scan, row in zip(story.scans, rows, strict=True):
        figures = [
            _num(tag("strong", row[name]) if name == "Involvement" else row.get(name, NOTHING))
            for name in kept
        ]
        name = tag("th", tag("a", scan.scan, href=f"#{scan_id(scan)}"), scope="row")
        doubt = verdict(scan) in (Verdict.BAD, Verdict.REFUSED)
        made.append(
            tag("tr", name, *figures, tag("td", verdict_chip(scan)), class_="doubt" if doubt else None)
        )
    return table("The scans at a glance", head, made, "glance")


def glance_figures(scan: Findings, volume: str) -> dict[str, str]:
    both = scan.regions[0] if scan.regions else None
    affected = both.affected if both else None
    lesions = both.all_lesions if both else None
    score = scan.severity
    return {
        "Day": NOTHING if scan.day is None else f"{scan.day:g}",
        volume: ml(both.ml if both else None),
        "Involvement": percent(scan.involvement),
        "Opacity": ml(affected.ml if affected else None),
        "Lesions": percent(lesions.percent if lesions else None),
        "Severity": NOTHING if score is None else f"{score.points} of {score.most}",
        **_odds(scan),
    }


def _odds(scan: Findings) -> dict[str, str]:
    """What a classifier says, under the finding's name."""
    told = scan.diagnosis
    return {} if told is None else {told.finding: f"{share(told.probability)}, {told.answer.value}"}


def scan_id(scan: Findings) -> str:
    """The anchor of a scan's section."""
    return "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in scan.scan)


def remark_list(remarks: Sequence[Remark]) -> Html:
    """Remarks as a list: how serious, the fact, the remedy."""
    items = []
    for remark in remarks:
        word = tag("span", _SEVERITY_WORDS[remark.severity], class_=f"chip {remark.severity.value}")
        remedy = tag("span", sentence(remark.remedy), class_="remedy") if remark.remedy else None
        items.append(tag("li", word, tag("span", sentence(remark.text), " ", remedy)))
    return tag("ul", *items, class_="remarks")


def trust(scan: Findings) -> Html:
    """What the input gate and the lung mask's own check said about one scan."""
    told = not scan.regions or any(remark.code == _MASK_CODE for remark in scan.gate)
    quality = scan.lung_quality
    level = Severity.NOTE if quality.trusted else Severity.WARN
    outline = Remark(
        "lung-outline",
        level,
        f"Lung outline {'trusted' if quality.trusted else 'not trusted'} "
        f"(rule-based score {number(quality.confidence, 2)} of 1)"
        + (
            f": {'; '.join(reason.strip().rstrip('.') for reason in quality.reasons)}"
            if quality.reasons
            else ""
        ),
        "" if quality.trusted else "Look at the pictures before using any figure of this scan.",
    )
    remarks = [*scan.gate] if told else [*scan.gate, outline]
    remarks += _about_masks(scan)
    heading = tag("h3", tag("a", scan.scan, href=f"#{scan_id(scan)}"), verdict_chip(scan))
    return tag("section", heading, remark_list(remarks), class_="trust")


def _about_masks(scan: Findings) -> list[Remark]:
    """What was done about the lungs, and whether the lesions of a network can be trusted."""
    origin, quality = scan.origin, scan.lesion_quality
    if origin is None:
        return []
    known = set(scan.lung_quality.reasons)
    said = [Remark("masks", Severity.NOTE, sentence(note)) for note in origin.notes if note not in known]
    if quality is None:
        return said
    why = "; ".join(reason.strip().rstrip(".") for reason in quality.reasons)
    text = (
        f"Lesions by {origin.network} {'trusted' if quality.trusted else 'not trusted'} (rule-based score "
        f"{number(quality.confidence, 2)} of 1){f': {why}' if why else ''}"
    )
    remedy = "" if quality.trusted else "Look at the pictures before using any figure of these lesions."
    return [*said, Remark("lesions", Severity.NOTE if quality.trusted else Severity.WARN, text, remedy)]


def lesions_table(scan: Findings) -> Html:
    """Lesions of every region by kind, all of them first."""
    kinds = list(dict.fromkeys(kind for region in scan.regions for kind in region.lesions or {}))
    head = [_th("Region"), _th("All lesions", class_="num")]
    head += [
        _th(tag("i", class_=f"swatch lesion-{kind.replace(' ', '-')}"), kind, class_="num") for kind in kinds
    ]
    rows = []
    for region in scan.regions:
        amounts = [(region.lesions or {}).get(kind) for kind in kinds]
        cells = [_amount_cell(region.all_lesions, strong=True), *map(_amount_cell, amounts)]
        depth = "third" if region.name.endswith(("third", "lobe")) else "whole"
        rows.append(tag("tr", tag("th", region.name, scope="row"), *cells, class_=depth))
    return table(f"Lesions of {scan.scan}", head, rows, "regions lesions")


def regions_table(scan: Findings) -> Html:
    """Volumes, bands and opacity of every region; without HU only what does not need them."""
    bands = list(dict.fromkeys(name for region in scan.regions for name in region.bands or {}))
    measured = any(region.affected is not None for region in scan.regions)
    in_ml = any(region.ml is not None for region in scan.regions)
    head = [_th("Region"), _th("Lung", class_="num") if in_ml else None]
    head += [_th("Voxels", class_="num")] if not in_ml else []
    head += [_th("Density", class_="wide")] if bands else []
    head += [_th(swatch(name), name, class_="num") for name in bands]
    head += [_th("Opacity", class_="num")] if measured else []
    rows = [_region_row(region, bands, measured, in_ml) for region in scan.regions]
    return table(f"Regions of {scan.scan}", head, rows, "regions" if bands else "regions few")


def swatch(band: str) -> Html:
    """The band's colour as a small square before its name."""
    return tag("i", class_=f"swatch {band_class(band)}")


def _region_row(region: RegionMeasures, bands: Sequence[str], measured: bool, in_ml: bool) -> Html:
    cells = [tag("th", region.name, scope="row")]
    cells.append(_num(number(region.ml), SPACE + "ml") if in_ml else _num(number(region.voxels)))
    if bands:
        bar = stacked_bar(region.bands, region.name) if region.bands else NOTHING
        cells.append(tag("td", bar, class_="wide"))
    cells += [_amount_cell((region.bands or {}).get(band)) for band in bands]
    if measured:
        cells.append(_amount_cell(region.affected, strong=True))
    depth = "third" if region.name.endswith(("third", "lobe")) else "whole"
    return tag("tr", *cells, class_=depth)


def _amount_cell(share: Amount | None, strong: bool = False) -> Html:
    """Per cent above, millilitres below."""
    if share is None:
        return _num(NOTHING)
    shown = percent(share.percent)
    return _num(
        tag("strong", shown) if strong else shown,
        tag("small", ml(share.ml)) if share.ml is not None else None,
    )


def zones_table(score: SeverityScore) -> Html:
    """The severity score zone by zone, and its definition."""
    head = [
        _th("Zone"),
        _th("Affected", class_="num"),
        _th("Share", class_="wide"),
        _th("Points", class_="num"),
    ]
    rows = [
        tag(
            "tr",
            tag("th", zone.zone, scope="row"),
            _num(percent(zone.affected_percent)),
            tag("td", share_bar(zone.affected_percent, zone.zone), class_="wide"),
            _num(str(zone.points)),
        )
        for zone in score.zones
    ]
    total = [tag("th", "total", scope="row"), _num(), tag("td"), _num(tag("strong", str(score.points)))]
    rows.append(tag("tr", *total, class_="total"))
    return joined(
        table("CT severity score by zone", head, rows, "zones"),
        tag("p", sentence(score.definition), class_="quiet definition"),
    )


def changes_table(changes: Sequence[Change]) -> Html:
    """Read from left to right like the course itself: a scan's figure, the change, the next scan's figure."""
    pairs = list(dict.fromkeys((change.scan_before, change.scan_after) for change in changes))
    measures = list(dict.fromkeys(change.measure for change in changes if change.measure != _TWICE[0]))
    if _TWICE[1] not in measures:
        measures = list(dict.fromkeys(change.measure for change in changes))
    found = {(c.measure, c.unit, c.scan_before, c.scan_after): c for c in changes}
    head = [_th("Measure")]
    for n, (before, after) in enumerate(pairs):
        head += [_th(before, class_="num")] if n == 0 or pairs[n - 1][1] != before else []
        head += [_th("change", class_="num change"), _th(after, class_="num")]
    rows = []
    for measure in measures:
        cells = [tag("th", f"involvement ({measure})" if measure == _TWICE[1] else measure, scope="row")]
        for n, pair in enumerate(pairs):
            # per cent first where a measure has both units; the one below it is the same thing in ml
            here = [
                found[key] for unit in ("percent", "points", "ml") if (key := (measure, unit, *pair)) in found
            ]
            cells += [_values_cell(here, "before")] if n == 0 or pairs[n - 1][1] != pair[0] else []
            cells += [_change_cell(here), _values_cell(here, "after")]
        rows.append(tag("tr", *cells))
    return table("Change from scan to scan", head, rows, "changes")


def _values_cell(here: Sequence[Change], moment: str) -> Html:
    """A measure on one scan, in each of its units."""
    shown = [amount(getattr(change, moment), change.unit) for change in here] or [NOTHING]
    return _num(shown[0], *(tag("small", text) for text in shown[1:]))


def _change_cell(here: Sequence[Change]) -> Html:
    """The difference in each unit, and its rate where the days are known."""
    shown = [difference(change.difference, change.unit) for change in here] or [NOTHING]
    rates = [rate(change.per_day, change.unit) for change in here[:1] if change.per_day is not None]
    return _num(
        tag("strong", shown[0]), *(tag("small", text) for text in [*shown[1:], *rates]), class_="num change"
    )


def facts(pairs: Sequence[tuple[str, Child]]) -> Html:
    """Names and values as a definition list."""
    return tag("dl", *(joined(tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def refusal(scan: Findings) -> str | None:
    """Why a scan has no density figures, in words instead of empty cells; None where it has them."""
    if scan.intensity is Intensity.HU:
        return None
    return (
        f"{scan.scan} holds 8-bit grey values. They come from a display window that the file does not state, "
        "so one grey value can stand for quite different densities. Hounsfield bands, opacity, involvement "
        "and the severity score are refused rather than guessed. From the original CT series they can be "
        "measured."
    )
