"""A story on paper, from its folder alone: figures, course, pictures, and how far to trust them.

The same sentences and figures as the page in a browser; nothing is said here that is not said there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.heatsheet import heat_rgba
from glasslung.data.montage import Tile, coloured, windowed
from glasslung.data.preview import Plane, Preview, View
from glasslung.data.story import read_story
from glasslung.files import write_whole
from glasslung.report.coursechart import places_of, words_of
from glasslung.report.diagnosiswords import (
    answer_words,
    familiarity_words,
    instrument_words,
    learned_words,
    reasons_words,
    share,
    standing_words,
)
from glasslung.report.figures import caption
from glasslung.report.followed import headline
from glasslung.report.outlook import by_when
from glasslung.report.page import read_pictures
from glasslung.report.patientcourse import threshold_log_odds
from glasslung.report.pdf.sheet import BODY_PT, INK, QUIET, SMALL_PT, WARN, Sheets
from glasslung.report.summary import cannot_say, paragraph, title, verdict
from glasslung.report.tables import glance_figures
from glasslung.report.wording import NOTHING, listing, number, percent, sentence
from glasslung.types import DISCLAIMER, Diagnosis, Findings, Lesion, Story, Trajectory

MOST_IN_ROWS = 4  # scans whose pictures stand below each other: the first, the last, and two between
CHART_PT, PICTURES_PT = 130.0, 140.0
LINE, BAND = "#0072b2", "#0072b233"
COLOUR_WORDS = {  # of `data.montage.LESION_RGB`
    Lesion.GROUND_GLASS: "orange",
    Lesion.CONSOLIDATION: "purple",
    Lesion.CRAZY_PAVING: "green",
}
LEVELS_SHOWN = (1, 4, 6)  # of the axial planes, as the page shows them beside each other


def write_pdf(folder: Path, path: Path) -> Path:
    """Write the report of a story as a PDF, whole or not at all; DataError where the story is damaged."""
    write_whole(path, pdf_of_story(folder))
    return path


def pdf_of_story(folder: Path) -> bytes:
    """The report of the story in a folder as the bytes of a PDF; the same folder gives the same bytes."""
    story = read_story(folder)
    previews = {scan.scan: read_pictures(scan, folder) for scan in story.scans}
    made = dt.datetime.fromisoformat(story.provenance.created)
    version = story.provenance.glasslung
    sheets = Sheets(f"glasslung {version} \u00b7 {DISCLAIMER}")
    sheets.banner(DISCLAIMER)
    sheets.title(title(story), f"Made by glasslung {version} on {made:%d %B %Y}. Nobody has verified it.")
    _findings(sheets, story)
    _course(sheets, story)
    _zones(sheets, story.scans[-1])
    _pictures(sheets, story, previews)
    _likelihood(sheets, story, previews)
    _foreseen(sheets, story)
    _trust(sheets, story)
    _methods(sheets, story)
    return sheets.pdf(f"{title(story)}, research use only")


# --- what was found -----------------------------------------------------------------------------------------


def _findings(sheets: Sheets, story: Story) -> None:
    sheets.paragraph(paragraph(story), BODY_PT + 0.8)
    sheets.heading("The scans at a glance")
    rows = [glance_figures(scan, "Lung volume") for scan in story.scans]
    names = list(dict.fromkeys(name for row in rows for name in row))
    kept = [name for name in names if any(row.get(name, NOTHING) != NOTHING for row in rows)]
    table = [
        [scan.scan, *(row.get(name, NOTHING) for name in kept), verdict(scan).value]
        for scan, row in zip(story.scans, rows, strict=True)
    ]
    strong = kept.index("Involvement") + 1 if "Involvement" in kept else -1
    widths = [1.1, *(0.7 if name == "Day" else 1.15 for name in kept), 1.2]
    sheets.table(["Scan", *kept, "To be trusted?"], table, widths, strong)


def _zones(sheets: Sheets, scan: Findings) -> None:
    """Where it lies in the last scan, or the only one: sides and thirds."""
    if not scan.regions or all(one.affected is None and one.lesions is None for one in scan.regions):
        return
    kinds = list(scan.regions[0].lesions or {})
    points = {zone.zone: zone.points for zone in scan.severity.zones} if scan.severity else {}
    sheets.heading(f"Where it lies: {scan.scan}", keep=120)
    head = ["Region", "Lung, ml", "Opacity by density", *(kind.capitalize() for kind in kinds)]
    rows = []
    for region in scan.regions:
        row = [region.name.capitalize(), number(region.ml)]
        row.append(NOTHING if region.affected is None else percent(region.affected.percent))
        row += [percent(amount.percent) for amount in (region.lesions or {}).values()]
        rows.append([*row, str(points.get(region.name, ""))])
    sheets.table([*head, "Severity points"], rows, [1.6, *[1.0] * (len(head) - 1), 1.0])


def _course(sheets: Sheets, story: Story) -> None:
    told = [one for one in story.trajectory if len(one.values) > 1][:3]
    if not told:
        return
    sheets.heading("Course", keep=CHART_PT + 30)
    with sheets.charts(len(told), CHART_PT) as axes:
        for place, one in zip(axes, told, strict=True):
            _draw_course(place, one, story)
    for one in told:
        said = " ".join(words_of(one))
        if said:
            sheets.paragraph(f"{_course_name(one)}: {said}", SMALL_PT, QUIET)
    for pair in story.comparisons[-1:]:
        sheets.paragraph(f"{pair.scan_before} to {pair.scan_after}. {headline(pair)}")


def _course_name(told: Trajectory) -> str:
    if told.measure == "log-odds":
        return f"Log-odds by {told.of}"
    return "Opacity by density, % of lungs" if told.measure == "involvement" else "Lesions, % of lungs"


def _draw_course(axes: Any, told: Trajectory, story: Story) -> None:
    times = places_of(told)
    if told.curve is not None:
        axes.fill_between(told.curve.days, told.curve.low, told.curve.high, color=BAND, linewidth=0)
        axes.plot(told.curve.days, told.curve.middle, color=LINE, linewidth=1.2)
    else:
        axes.plot(times.places, told.values, color=LINE, linewidth=0.8, linestyle=":")
    faces = [LINE if trusted else "white" for trusted in told.trusted]
    axes.scatter(
        times.places, told.values, s=22, c=faces, edgecolors=LINE, linewidths=1.1, zorder=3, clip_on=False
    )
    if told.measure == "log-odds":
        last = next((scan.diagnosis for scan in reversed(story.scans) if scan.diagnosis is not None), None)
        if last is not None:
            axes.axhline(threshold_log_odds(last), color=WARN, linewidth=0.8, linestyle="--")
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(_course_name(told), fontsize=SMALL_PT, loc="left", color=INK)
    axes.set_xticks(times.places, times.labels, fontsize=SMALL_PT - 1, color=QUIET)
    axes.tick_params(labelsize=SMALL_PT - 1, colors=QUIET, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)


# --- pictures -----------------------------------------------------------------------------------------------


def _pictures(sheets: Sheets, story: Story, previews: dict[str, Preview | None]) -> None:
    shown = [(scan, preview) for scan in story.scans if (preview := previews[scan.scan]) is not None]
    if not shown:
        return
    sheets.heading("Pictures", keep=170)
    sheets.paragraph(_legend(shown), SMALL_PT, QUIET)
    if len(shown) == 1:
        sheets.pictures(_plates(shown[0][1]), 190)
        return
    spread = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), MOST_IN_ROWS)).astype(int))
    for scan, preview in (shown[n] for n in spread):
        sheets.room_for(PICTURES_PT + 30)
        sheets.paragraph(scan.scan if scan.day is None else f"{scan.scan}, day {scan.day:g}", SMALL_PT)
        sheets.pictures([_row_of(preview)], PICTURES_PT)


def _legend(shown: Sequence[tuple[Findings, Preview]]) -> str:
    """Which colour is what, and where it comes from."""
    kinds = {
        Lesion(int(kind))
        for _, preview in shown
        for view in preview.views
        for kind in np.unique(_drawn(view))
        if kind
    }
    told = ", ".join(f"{kind.words} {COLOUR_WORDS[kind]}" for kind in sorted(kinds))
    drawn = any(view.lesions is not None for _, preview in shown for view in preview.views)
    whose = "drawn as `How it was made` says" if drawn else "by density"
    window = shown[0][1].windows[0]
    told = f"; {told} ({whose})" if told else "; no lesion or opacity in these planes"
    return (
        f"Window: {window.name} (level {window.level:g}, width {window.width:g}). Lungs outlined in light "
        f"blue{told}. The patient's right is on the left."
    )


def _drawn(view: View) -> np.ndarray:
    """What is coloured on a plane: lesions, or where there are none opacities by density."""
    laid = view.opacities if view.lesions is None else view.lesions
    return np.zeros_like(view.lungs) if laid is None else laid


def _picture(view: View, preview: Preview) -> np.ndarray:
    grey = windowed(view.grey, preview.windows[0])
    return coloured(Tile(grey, view.lungs, _drawn(view)))


def _plates(preview: Preview) -> list[list[tuple[np.ndarray, str]]]:
    """Six axial planes and a coronal one of one scan, in rows."""
    axial = [view for view in preview.views if view.plane is Plane.AXIAL]
    rest = [view for view in preview.views if view.plane is not Plane.AXIAL][:3]
    spread = np.unique(np.linspace(0, len(axial) - 1, min(len(axial), 6)).astype(int))
    views = [axial[n] for n in spread]
    rows = [views[:3], views[3:], rest]
    return [[(_picture(view, preview), _told(view)) for view in row] for row in rows if row]


def _row_of(preview: Preview) -> list[tuple[np.ndarray, str]]:
    """Three axial planes and a coronal one, head first."""
    axial = [view for view in preview.views if view.plane is Plane.AXIAL and not view.most]
    views = [axial[n] for n in LEVELS_SHOWN if n < len(axial)] or axial[:3]
    views += [view for view in preview.views if view.plane is Plane.CORONAL][:1]
    return [(_picture(view, preview), _told(view)) for view in views]


def _told(view: View) -> str:
    what, _ = caption(view)
    return f"{what}, {view.where}" if view.plane is Plane.AXIAL and view.where else what


# --- likelihood, outlook ------------------------------------------------------------------------------------


def _likelihood(sheets: Sheets, story: Story, previews: dict[str, Preview | None]) -> None:
    asked = [scan for scan in story.scans if scan.diagnosis is not None]
    if not asked:
        why = next((scan.unasked for scan in reversed(story.scans) if scan.unasked), "")
        if why:
            sheets.heading("How likely")
            sheets.paragraph(sentence(why))
        return
    scan = asked[-1]
    told = scan.diagnosis
    assert told is not None
    sheets.heading(f"How likely {told.finding} is: {scan.scan}", keep=150)
    sheets.paragraph(
        f"{share(told.probability)} by the classifier {told.classifier}: {told.answer.value} at its "
        f"operating point. With {told.level:.0%} confidence: {told.standing_words}.",
        BODY_PT + 1,
    )
    for text in (answer_words(told), standing_words(told), familiarity_words(told)):
        sheets.paragraph(text)
    for doubt in told.doubts:
        sheets.point(f"To doubt it: {sentence(doubt)}", colour=WARN)
    sheets.paragraph(instrument_words(told), colour=WARN)
    _reasons(sheets, told, previews[scan.scan])


def _reasons(sheets: Sheets, told: Diagnosis, preview: Preview | None) -> None:
    if told.explanation is None:
        return
    sheets.paragraph(reasons_words(told.explanation, told.finding))
    views = preview.reasons[:4] if preview is not None else ()
    if preview is None or not views:
        return
    sheets.pictures([[(_heated(view, preview), _told(view)) for view in views]], 130)
    sheets.paragraph(
        f"Red to yellow spoke for {told.finding}, blue against it; what is not coloured had little to say.",
        SMALL_PT,
        QUIET,
    )


def _heated(view: View, preview: Preview) -> np.ndarray:
    assert view.heat is not None, "only a plane with a map of relevance has reasons to show"
    grey = np.repeat(windowed(view.grey, preview.windows[0])[..., None].astype(np.float32), 3, axis=2)
    rgba = heat_rgba(view.heat).astype(np.float32)
    strength = rgba[..., 3:] / 255
    return np.rint(grey * (1 - strength) + rgba[..., :3] * strength).astype(np.uint8)


def _foreseen(sheets: Sheets, story: Story) -> None:
    told = story.prognosis
    if told is None:
        return
    low, high = told.interval
    sheets.heading("What may come")
    sheets.paragraph(
        f"Chance of {told.endpoint} {by_when(told)} the last scan: {share(told.chance)} (95 % limits "
        f"{share(low)} to {share(high)}) by {told.model}."
    )
    for doubt in told.doubts:
        sheets.point(f"To doubt it: {sentence(doubt)}", colour=WARN)


# --- how far to trust ---------------------------------------------------------------------------------------


def _trust(sheets: Sheets, story: Story) -> None:
    sheets.heading("How far to trust the figures")
    for scan in story.scans:
        lines = _remarks(scan)
        sheets.paragraph(f"{scan.scan}: {verdict(scan).value}." + ("" if lines else " Nothing was remarked."))
        for line in lines:
            sheets.point(line, SMALL_PT)
        sheets.space(3)
    sheets.heading("What this report cannot say")
    for limit in cannot_say(story):
        sheets.point(f"{limit.what} {limit.why}", SMALL_PT)


def _remarks(scan: Findings) -> list[str]:
    lines = [f"{remark.severity.value.capitalize()}: {sentence(remark.text)}" for remark in scan.gate]
    if not scan.lung_quality.trusted:
        lines.append("Lung outline not trusted: " + "; ".join(scan.lung_quality.reasons))
    if scan.lesion_quality is not None:
        word = "trusted" if scan.lesion_quality.trusted else "not trusted"
        lines += [f"Lesions {word}: {sentence(reason)}" for reason in scan.lesion_quality.reasons]
    return list(dict.fromkeys(lines))


def _drawn_by(story: Story) -> dict[str, list[str]]:
    """Who drew lungs and lesions -> the scans where they did."""
    told: dict[str, list[str]] = {}
    for scan in story.scans:
        if scan.origin is not None:
            lungs = "given masks" if scan.origin.lungs == "given" else scan.origin.lungs
            lesions = {"none": "not drawn", "given": "by given masks"}.get(
                scan.origin.lesions, f"by the network {scan.origin.network}"
            )
            told.setdefault(f"lungs by {lungs}, lesions {lesions}", []).append(scan.scan)
    return told


def _methods(sheets: Sheets, story: Story) -> None:
    sheets.heading("How it was made")
    for who, scans in _drawn_by(story).items():
        sheets.paragraph(f"{listing(scans)}: {who}.", SMALL_PT, QUIET)
    last = story.scans[-1]
    if last.severity is not None:
        sheets.paragraph(f"CT severity score: {last.severity.definition}", SMALL_PT, QUIET)
    asked = next((scan.diagnosis for scan in reversed(story.scans) if scan.diagnosis is not None), None)
    if asked is not None:
        sheets.paragraph(learned_words(asked), SMALL_PT, QUIET)
