"""Diagnosis: how likely the finding is by a classifier, how far to believe it, and where its reasons lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glasslung.data.preview import Preview
from glasslung.report import charts, figures, tables
from glasslung.report import diagnosiswords as words
from glasslung.report.markup import Html, joined, tag
from glasslung.report.scan import day_told, tile
from glasslung.report.wording import NOTHING, listing, number, sentence
from glasslung.types import Answer, Diagnosis, Explanation, Findings, RelevanceShare, Standing, Story

_ANSWER_CHIPS = {Answer.LIKELY: "care", Answer.UNLIKELY: "note"}
_TIMES = "\u00d7"
_MAP_KEY = (
    "Left the slice, right the same with what spoke for (warm) and against (cool) the finding, smoothed, so "
    "that it reaches a little over the lungs' edge; the white line is the edge of the lesions that the "
    "classifier was shown. The map says where this network found its reasons, not where the disease is."
)
_SHARES_KEY = (
    "Relevance: share of all that spoke for the finding. Lungs: share of their volume. Where the first is "
    "much larger than the second, the answer rests on that region. What lies outside the lungs was black to "
    "the network: relevance there hangs on the outline of the lungs."
)


def diagnosis_section(
    story: Story, previews: Mapping[str, Preview | None], times: charts.Times
) -> Html | None:
    """What classifiers say of the scans; why none was asked; nothing in stories that know no classifiers."""
    asked = [scan for scan in story.scans if scan.diagnosis is not None]
    silent = [scan for scan in story.scans if scan.diagnosis is None and scan.unasked]
    if not asked and not silent:
        return None
    told = asked[0].diagnosis if asked else None
    parts: list[Html | None] = [tag("h2", f"Is it {told.finding}?" if told else "Which disease is it?")]
    parts += [tag("p", text, class_="quiet") for text in _unasked(silent, bool(asked))]
    for diagnosis in {d.classifier: d for scan in asked if (d := scan.diagnosis)}.values():
        parts.append(_about(diagnosis))
    if len(asked) > 1:
        parts.append(_over_time(story, times))
    parts += [_of_scan(scan, n, previews[scan.scan]) for n, scan in enumerate(story.scans) if scan.diagnosis]
    return tag("section", *parts, id="diagnosis")


def _unasked(silent: Sequence[Findings], others: bool) -> list[str]:
    """Why nobody was asked, each reason once."""
    told = []
    for why in dict.fromkeys(scan.unasked for scan in silent):
        scans = [scan.scan for scan in silent if scan.unasked == why]
        where = f" about {listing(scans)}" if others else ""
        told.append(f"No classifier was asked{where}: {why}.")
    return told


def _about(told: Diagnosis) -> Html:
    """That it is no clinical instrument, who was asked and what it learned from: before any figure."""
    return tag(
        "div",
        tag("p", tag("strong", words.instrument_words(told))),
        tag("p", words.learned_words(told)),
        class_="refusal",
    )


def _over_time(story: Story, times: charts.Times) -> Html:
    """The probability of each scan; no line between them, because it has no course."""
    found = [scan.diagnosis for scan in story.scans]
    values = tuple(None if one is None else 100.0 * one.probability for one in found)
    doubted = tuple(one is not None and _doubted(one) for one in found)
    line = charts.Series("", "score", values, doubted)
    finding = next(one.finding for one in found if one is not None)
    panel = charts.points_panel(f"Probability of {finding} by scan, %", "%", times, line, 100.0)
    note = (
        "Each scan was asked about by itself. A probability that falls says nothing of recovery: the "
        "classifier answers which disease it sees, not how much of it."
    )
    hollow = " Hollow points: unlike what the classifier learned from." if any(doubted) else ""
    return joined(tag("div", panel, class_="panels"), tag("p", f"{note}{hollow}", class_="quiet"))


def _doubted(told: Diagnosis) -> bool:
    far = told.percentile is not None and told.percentile > words.FAR
    return far or told.standing is Standing.NEITHER


def _of_scan(scan: Findings, n: int, preview: Preview | None) -> Html:
    """One scan's answer, why to believe it or not, and its reasons."""
    told = scan.diagnosis
    assert told is not None
    heading = tag(
        "h3", tag("a", scan.scan, href=f"#{tables.scan_id(scan)}"), day_told(scan), " ", *_chips(told)
    )
    answer = tag(
        "div",
        tag(
            "div",
            tag(
                "p",
                tag("strong", words.share(told.probability)),
                f" probability of {told.finding}",
                class_="odds",
            ),
            charts.probability_bar(told.probability, told.threshold, f"probability of {told.finding}"),
        ),
        _grounds(told),
        class_="answer",
    )
    return tag("div", heading, answer, *_reasons(told, n, preview, scan), class_="told")


def _chips(told: Diagnosis) -> list[Html]:
    """Answer, conformal answer and familiarity: none of them alone."""
    familiar, grave = words.familiarity_chip(told)
    level = f"at {words.part(told.level)} confidence"
    standing = {
        Standing.FINDING: ("care", f"{told.finding} {level}"),
        Standing.OTHER: ("note", f"not {told.finding} {level}"),
        Standing.EITHER: ("care", f"cannot tell {level}"),
        Standing.NEITHER: ("bad", Standing.NEITHER.value),
    }[told.standing]
    chips = [(_ANSWER_CHIPS[told.answer], told.answer.value), standing, (grave, familiar)]
    return [joined(tag("span", text, class_=f"chip {style}"), " ") for style, text in chips]


def _grounds(told: Diagnosis) -> Html:
    """How far to believe it, sentence by sentence; what stands against it first."""
    doubts = [
        tag("li", tag("span", "Doubt", class_="chip warn"), tag("span", sentence(doubt)))
        for doubt in told.doubts
    ]
    known = [
        ("Does the figure hold?", words.reliability_words(told)),
        ("At the operating point.", words.answer_words(told)),
        (f"At {words.part(told.level)} confidence.", words.standing_words(told)),
        ("Is the scan familiar?", words.familiarity_words(told)),
        ("Calibration.", words.calibration_words(told)),
    ]
    said = [tag("li", tag("b", f"{name} "), text) for name, text in known]
    lists = [tag("ul", *doubts, class_="remarks")] if doubts else []
    return tag("div", *lists, tag("ul", *said, class_="grounds"))


def _reasons(told: Diagnosis, n: int, preview: Preview | None, scan: Findings) -> list[Html | None]:
    """Pictures with the map, and the shares of relevance by region."""
    if told.explanation is None:
        return [tag("p", "Its reasons were not asked for.", class_="quiet")]
    title = tag("h4", "Where it found its reasons")
    text = words.reasons_words(told.explanation, told.finding)
    if told.log_odds < 0:
        text = f"What spoke for {told.finding} was outweighed by what spoke against it. {text}"
    said = tag("p", text, class_="quiet")
    return [title, said, _maps(n, preview, scan), _shares(told.explanation, scan)]


def _maps(n: int, preview: Preview | None, scan: Findings) -> Html | None:
    if preview is None or not preview.reasons:
        return tag("p", "No slice holds any relevance.", class_="quiet") if preview is not None else None
    tiles = []
    for at, view in enumerate(preview.reasons):
        plain, mapped = figures.reasons(view, preview.windows, f"r{n}-{at}")
        tiles += [tile(plain, view, big=True), _mapped_tile(mapped, figures.caption(view)[0])]
    height, width = preview.reasons[0].grey.shape
    return joined(
        tag("p", *_legend(), class_="legend"),
        tag(
            "div",
            *tiles,
            class_="montage pairs",
            data_scan=scan.scan,
            data_kind="reasons",
            style=f"--shape: {width} / {height}",
        ),
        tag("p", _MAP_KEY, class_="quiet"),
    )


def _mapped_tile(mapped: Html, what: str) -> Html:
    caption = tag("figcaption", tag("b", "Map of relevance"), tag("span", what.lower()))
    return tag("figure", mapped, caption, class_="tile big")


def _legend() -> list[Html]:
    return [
        tag("span", tag("i", class_="swatch ramp-for"), "for the finding, little to most"),
        tag("span", tag("i", class_="swatch ramp-against"), "against it"),
        tag("span", tag("i", class_="swatch line-key lesion-key"), "edge of the lesions"),
    ]


def _shares(told: Explanation, scan: Findings) -> Html:
    """The ledger: relevance beside volume, region by region."""
    head = [
        tag("th", "Region", scope="col"),
        tag("th", "Relevance", scope="col", class_="num"),
        tag("th", "Lungs", scope="col", class_="num"),
        tag("th", "Relevance above, lungs below", scope="col", class_="wide"),
        tag("th", "Ratio", scope="col", class_="num"),
    ]
    rows = [_share_row(one) for one in told.shares]
    caption = f"Relevance by region of {scan.scan}"
    return joined(tables.table(caption, head, rows, "regions shares"), tag("p", _SHARES_KEY, class_="quiet"))


def _share_row(one: RelevanceShare) -> Html:
    volume = NOTHING if one.volume is None else words.part(one.volume)
    ratio = f"{number(one.relevance / one.volume, 1)}{_TIMES}" if one.volume else NOTHING
    return tag(
        "tr",
        tag("th", one.region, scope="row"),
        tag("td", tag("strong", words.part(one.relevance)), class_="num"),
        tag("td", volume, class_="num"),
        tag("td", charts.pair_bar(one.relevance, one.volume, one.region), class_="wide"),
        tag("td", ratio, class_="num"),
        class_="third" if one.region.endswith("third") else "whole",
    )
