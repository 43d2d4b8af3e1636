"""Patientcourse: what several scans of one patient say together, in the order in which it is read."""

from __future__ import annotations

import math
from collections.abc import Mapping

from glasslung.data.preview import Preview
from glasslung.report import coursechart, followed, outlook, serialsheet
from glasslung.report.markup import Html, section, tag
from glasslung.report.wording import sentence
from glasslung.types import Diagnosis, Story, Trajectory


def course_panel(story: Story) -> Html | None:
    """Burden and s(t) over the days, side by side; None in stories without a trajectory."""
    burden, score = burden_of(story), score_of(story)
    panels = []
    if burden is not None:
        who = "opacity by density" if burden.measure == "involvement" else f"lesions by {burden.of}"
        title = f"Burden: {who}, % of the lungs"
        panels.append(coursechart.trajectory_panel(title, burden, coursechart.places_of(burden)))
    if score is not None:
        last = next(scan.diagnosis for scan in reversed(story.scans) if scan.diagnosis is not None)
        title = f"s(t): log-odds of {last.finding} by {score.of}"
        level = coursechart.Mark(threshold_log_odds(last), "operating point")
        panels.append(coursechart.trajectory_panel(title, score, coursechart.places_of(score), [level]))
    if not panels:
        return None
    laws = [one for one in (burden, score) if one is not None and one.curve is not None]
    note = sentence(laws[0].notes[0]) if laws else ""
    if len(laws) > 1:
        note += f" s(t) by {laws[1].law}."
    if score is not None:
        note += " s(t) says which disease the classifier sees, not how much of it."
    said = tag("p", note.strip(), class_="quiet") if note else None
    return tag("div", tag("div", *panels, class_="panels"), said, class_="opening")


def burden_of(story: Story) -> Trajectory | None:
    """The burden that is told first: involvement by density, or else the lesions that most scans have."""
    dense = [one for one in story.trajectory if one.measure == "involvement"]
    drawn = sorted(
        (one for one in story.trajectory if one.measure == "lesions"), key=lambda one: -len(one.values)
    )
    return next(iter([*dense, *drawn]), None)


def score_of(story: Story) -> Trajectory | None:
    """s(t); None where no classifier was asked."""
    return next((one for one in story.trajectory if one.measure == "log-odds"), None)


def threshold_log_odds(told: Diagnosis) -> float:
    """The log-odds from which the classifier calls a scan likely."""
    share = min(max(told.threshold, 1e-6), 1 - 1e-6)
    return (math.log(share / (1 - share)) - told.bias) * told.temperature


def followed_section(story: Story) -> Html | None:
    """What became of the lesions from scan to scan."""
    body = followed.changes_of_lesions(story)
    return None if body is None else section("followed", "Change since the scan before", body)


def serial_section(story: Story, sheets: Mapping[str, Preview]) -> Html | None:
    """All scans beside each other at matched levels."""
    body = serialsheet.serial_rows(story, sheets)
    return None if body is None else section("serial", "Serial sheet", body)


def outlook_section(story: Story) -> Html | None:
    """What may become of the patient."""
    told = outlook.prognosis_section(story)
    return None if told is None else section("prognosis", told[0], told[1])
