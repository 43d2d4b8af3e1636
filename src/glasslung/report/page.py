"""Page: one self-contained report.html, drawn from the story, its previews and its forecast alone.

Nothing is fetched when it is opened: pictures, styles and the few lines of script are inside, and a content
security policy forbids the browser to ask for more. Drawn twice from one folder, it is the same
page, byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from glasslung import __version__
from glasslung.data.preview import Preview
from glasslung.data.previewfile import read_preview
from glasslung.data.story import read_story
from glasslung.errors import DataError
from glasslung.files import write_whole
from glasslung.forecast.outlook import Forecast, read_outlook
from glasslung.report import course, figures, patientcourse, tables
from glasslung.report.diagnosis import diagnosis_section
from glasslung.report.likely import likely_next
from glasslung.report.markup import Html, joined, section, tag
from glasslung.report.methods import methods
from glasslung.report.scan import scan_section
from glasslung.report.summary import title
from glasslung.report.wording import NOTHING
from glasslung.types import DISCLAIMER, Findings, Intensity, Story

REPORT_FILE = "report.html"

Previews = dict[str, Preview | None]


def write_report(folder: Path) -> Path:
    """Draw report.html into the folder of an analysis; returns its path.

    Reads story.json, the previews it names and a forecast where there is one, nothing else. Raises DataError
    when one of them is missing or damaged. The file is written whole or not at all.
    """
    story = read_story(folder)
    previews = {scan.scan: read_pictures(scan, folder) for scan in story.scans}
    sheets = {}
    if story.serial is not None:
        pairs = zip(story.serial.scans, story.serial.files, strict=True)
        sheets = {scan: _pictures_in(file, scan, folder) for scan, file in pairs}
    path = folder / REPORT_FILE
    write_whole(path, render(story, previews, read_outlook(folder), sheets))
    return path


def read_pictures(scan: Findings, folder: Path) -> Preview | None:
    """The pictures of a scan; None where none were kept."""
    return None if scan.preview is None else _pictures_in(scan.preview, scan.scan, folder)


def _pictures_in(file: str, scan: str, folder: Path) -> Preview:
    """Pictures that a story names. A path that leads out of the folder is refused."""
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(f"the pictures of {scan} lie outside {folder}: run `glasslung analyze` anew")
    return read_preview(path)


def render(
    story: Story,
    previews: Previews,
    outlook: tuple[Forecast, bytes] | None = None,
    sheets: Mapping[str, Preview] | None = None,
) -> str:
    """The whole page as text; outlook: a forecast and its strip as PNG; sheets: planes at matched levels."""
    style, script = _asset("page.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = joined(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="robots", content="noindex"),
        tag("title", f"{title(story)} \u00b7 glasslung"),
        tag("style", Html(style)),
    )
    next_up = None if outlook is None else likely_next(*outlook)
    body = joined(
        _bar(story, previews, next_up is not None),
        tag("main", *_sections(story, previews, next_up, sheets or {})),
        _footer(story),
        _enlarged(),
    )
    page = tag("html", tag("head", head), tag("body", body, tag("script", Html(script))), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _asset(name: str) -> str:
    return (files("glasslung.report") / name).read_text(encoding="utf-8")


def _sections(
    story: Story, previews: Previews, next_up: Html | None, sheets: Mapping[str, Preview]
) -> list[Html]:
    """The page from top to bottom, in the order in which it is read: of several scans the course first."""
    several = len(story.scans) > 1
    made: list[Html | None] = [course.opening(story)]
    if several:
        made += [patientcourse.followed_section(story), patientcourse.serial_section(story, sheets)]
    made += [patientcourse.outlook_section(story), course.trust(story)]
    made.append(diagnosis_section(story, previews, course.times_of(story)))
    if several:
        beside = None if story.serial is not None and sheets else course.side_by_side(story, previews)
        made += [course.over_time(story), beside, course.changes(story)]
    made.append(next_up)
    made += [scan_section(scan, n, previews[scan.scan]) for n, scan in enumerate(story.scans)]
    made += [_methods(story), _provenance(story)]
    return [section for section in made if section is not None]


def _bar(story: Story, previews: Previews, forecast: bool) -> Html:
    """What stays at the top of the screen: where to go, and how the pictures are shown. Not printed."""
    links = [("summary", "Course" if len(story.scans) > 1 else "Summary")]
    links += [("followed", "Change")] if story.comparisons else []
    links += [("serial", "Serial")] if story.serial is not None else []
    links += [("prognosis", "Prognosis")] if story.prognosis is not None else []
    links += [("trust", "Trust")]
    links += [("diagnosis", "Diagnosis")] if any(s.diagnosis or s.unasked for s in story.scans) else []
    links += [("course", "Measures")] if len(story.scans) > 1 else []
    links += [("next", "Next")] if forecast else []
    links += [(tables.scan_id(scan), scan.scan) for scan in story.scans] + [("methods", "Methods")]
    nav = tag("nav", *(tag("a", text, href=f"#{anchor}") for anchor, text in links), aria_label="Sections")
    return tag("header", tag("span", "glasslung", class_="brand"), nav, _controls(previews), class_="top")


def _controls(previews: Previews) -> Html:
    """Window, outline and overlay; they do nothing without script, so script shows them."""
    shown = [preview for preview in previews.values() if preview is not None]
    windows = list(
        dict.fromkeys(w for preview in shown for w in preview.windows if preview.intensity is Intensity.HU)
    )
    choices = [
        tag(
            "label",
            tag("input", type="radio", name="window", value=figures.window_key(w), checked=not n),
            w.name,
        )
        for n, w in enumerate(windows)
    ]
    parts = []
    if len(choices) > 1:
        parts.append(tag("fieldset", tag("legend", "Window"), *choices, class_="segments"))
    parts.append(_switch("outline", "Outline"))
    if any(figures.lesions_in(preview) or preview.reasons for preview in shown):
        slider = tag(
            "input",
            type="range",
            id="overlay-strength",
            min="0",
            max="100",
            value="45",
            aria_label="Overlay strength",
        )
        parts += [*_choice_of_overlay(shown), _switch("overlay", "Overlay"), slider]
    return tag("div", *parts, class_="controls", hidden=True)


def _choice_of_overlay(shown: Sequence[Preview]) -> list[Html]:
    """Which overlay: lesions, or opacity by density; nothing where there is one alone."""
    if not any(figures.two_overlays(preview) for preview in shown):
        return []
    choices = [
        tag("label", tag("input", type="radio", name="layer", value=value, checked=not n), text)
        for n, (value, text) in enumerate((("lesions", "lesions"), ("density", "by density")))
    ]
    return [tag("fieldset", tag("legend", "Show"), *choices, class_="segments")]


def _switch(name: str, text: str) -> Html:
    return tag("label", tag("input", type="checkbox", id=f"show-{name}", checked=True), text)


def _footer(story: Story) -> Html:
    return tag(
        "footer",
        tag("p", tag("strong", DISCLAIMER)),
        tag("p", f"Drawn by glasslung {__version__} from story.json of {story.provenance.created}."),
    )


def _enlarged() -> Html:
    """The enlarged view that script opens over the page."""
    button = [
        tag("button", text, type="button", id=f"big-{name}", aria_label=label)
        for name, text, label in (
            ("before", "←", "Previous picture"),
            ("after", "→", "Next picture"),
            ("close", "\u00d7", "Close"),
        )
    ]
    head = tag("div", tag("p", id="big-caption"), tag("div", *button, class_="buttons"), class_="big-head")
    hint = tag(
        "p",
        "← → picture · ↑ ↓ same picture in another scan · W window · O overlay · M which overlay · Esc close",
        class_="hint",
    )
    return tag("dialog", head, tag("div", id="big-picture"), hint, id="big", aria_label="Enlarged picture")


def _methods(story: Story) -> Html:
    paragraphs = [tag("p", tag("strong", f"{name}. "), text) for name, text in methods(story)]
    return section("methods", "Methods", tag("div", *paragraphs, class_="prose"))


def _provenance(story: Story) -> Html:
    """Versions, settings and hashes: enough to make the result again."""
    made = story.provenance
    pairs: list[tuple[str, Html | str]] = [
        ("Command", tag("code", made.command)),
        ("Measured", f"{made.created} by glasslung {made.glasslung}, Python {made.python}, {made.platform}"),
        ("Libraries", ", ".join(f"{name} {version}" for name, version in sorted(made.libraries.items()))),
        (
            "Settings",
            "; ".join(f"{name} = {value or NOTHING}" for name, value in made.settings.items()) or NOTHING,
        ),
        ("Days", story.days_known),
        ("Schema", story.schema),
    ]
    rows = [
        tag(
            "tr",
            tag("th", scan.scan, scope="row"),
            tag("td", tag("code", scan.sha256 or NOTHING)),
            tag("td", *_file_names(scan)),
        )
        for scan in story.scans
    ]
    head = [tag("th", name, scope="col") for name in ("Scan", "SHA-256 of the input", "Masks and maps")]
    return section(
        "provenance", "Provenance", tables.facts(pairs), tables.table("Inputs and masks", head, rows, "files")
    )


def _file_names(scan: Findings) -> Sequence[Html]:
    told = scan.diagnosis.explanation if scan.diagnosis is not None else None
    paths = [*scan.masks.values(), *([told.map] if told is not None and told.map else [])]
    return [tag("code", path) for path in paths] or [Html(NOTHING)]
