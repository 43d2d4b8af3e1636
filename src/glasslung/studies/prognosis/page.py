"""The page of the prognosis study, from its figures alone; the case's picture lies beside numbers.json."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.measure.survival import CalibrationGroup
from glasslung.report.classifiercharts import RocDrawing, draw_roc
from glasslung.report.markup import Html, tag
from glasslung.report.studypage import Chapter, StudyPage, drawing, note, write_study_page
from glasslung.report.survivalcharts import (
    CalibrationPanel,
    ForestRow,
    draw_calibration_by_day,
    draw_curves,
    draw_forest,
    kaplan_line,
)
from glasslung.report.wording import number
from glasslung.studies.folder import PAGE
from glasslung.studies.prognosis import tables
from glasslung.studies.prognosis.columns import AGE_SEX, BURDEN, FEATURES, WHOLE
from glasslung.studies.prognosis.coursechart import draw_courses
from glasslung.studies.prognosis.facts import facts
from glasslung.studies.prognosis.foretelling import MODELS, NETWORK, TRUE_LAW
from glasslung.studies.prognosis.papers import CALLS, COVID3D
from glasslung.studies.prognosis.risks import STAY
from glasslung.studies.prognosis.verdict import cautions, groups_told, verdicts

Found = Mapping[str, Any]
MARKS = (0.0, 3.0, 7.0, 10.0, 14.0, 21.0)
PAPER_MODEL = "logistic"  # the paper asks for a long stay, yes or no
CURVES = (FEATURES[1].name, FEATURES[0].name, BURDEN[1].name, BURDEN[0].name, AGE_SEX, WHOLE[1].name)
"""Whose Kaplan-Meier curves are drawn, where they were asked."""


def write_page(numbers: Found, folder: Path) -> Path:
    """Write index.html into a folder, whole or not at all; returns its path."""
    chapters = [
        Chapter("prognosis", "One scan or two", tuple(_prognosis(numbers))),
        Chapter("curves", "High risk and low (figure 3)", tuple(_curves(numbers))),
        *_diagnosis(numbers),
        *_course(numbers),
        *_case(numbers, folder),
        Chapter("ground", "Who was asked", (tables.ground_table(numbers),)),
    ]
    page = StudyPage(
        title="The course of a patient: diagnosis, serial scans, prognosis",
        lead=_lead(numbers),
        verdicts=verdicts(numbers),
        chapters=chapters,
        methods=[*HOW, *_untuned(numbers)],
        provenance=_provenance(numbers),
        facts=facts(numbers),
        cautions=cautions(numbers),
    )
    return write_study_page(page, folder / PAGE)


def _lead(numbers: Found) -> str:
    ground, asked = numbers["ground"], numbers["prognosis"]["asked"]
    first, *others = (part["part"] for part in ground["parts"])
    learned = numbers["prognosis"]["learned"]
    return (
        f"COVID3D on {ground['name']}: learned at {first}, asked at {' and '.join(others)}. "
        f"{ground['scans']} scans; the stay is learned from {learned['landmarks']} scans of "
        f"{learned['patients']} patients in hospital and asked of {asked['patients']} others, one scan each; "
        f"{asked['long']} of these stayed seven days or more, {asked['critical']} fell critically ill."
    )


# ------------------------------------------------------------------------------------------------ prognosis


def _prognosis(numbers: Found) -> list[Html | None]:
    return [
        _forest(numbers),
        *tables.pairs_table(numbers),
        *tables.stay_table(numbers),
        _calibration(numbers),
        *tables.ill_table(numbers),
    ]


def _forest(numbers: Found) -> Html:
    """Harrell's C of every set by every model, beside the best that could be reached."""
    blocks: dict[str, list[ForestRow]] = {}
    for model in (*MODELS[STAY], NETWORK):
        rows = []
        for name, models in numbers["prognosis"]["stay"].items():
            found = models[model]["harrell"] if model in models else None
            if found:
                value, low, high = found
                rows.append(ForestRow(name, (value, low, high), strong="two" in name))
        if rows:
            blocks[model] = rows
    lines = [(0.5, "coin toss")]
    ceiling = numbers["prognosis"]["ceiling"]
    if ceiling:
        lines.append((ceiling["stay"][TRUE_LAW]["harrell"][0], "best reachable"))
    svg = draw_forest(blocks, label="Harrell's C of the length of stay, 95 % interval", lines=lines)
    caption = (
        "Patients of the hospitals that were not learned from. Full dots see two scans. The best reachable C "
        "is that of the law from which the phantoms' stays were drawn."
        if ceiling
        else "Patients that were not learned from. Full dots see two scans."
    )
    return drawing(svg, "Harrell's C of every set of columns and every model", caption)


def _calibration(numbers: Found) -> Html | None:
    panels = []
    for name in (FEATURES[1].name, BURDEN[1].name, WHOLE[1].name):
        one = numbers["prognosis"]["stay"].get(name, {}).get(PAPER_MODEL)
        if one and one["calibration"]:
            groups = tuple(
                CalibrationGroup(int(patients), predicted, observed, low, high)
                for predicted, observed, low, high, patients in one["calibration"]
            )
            value, low, high = one["brier"]
            panels.append(CalibrationPanel(name, groups, (value, low, high)))
    if not panels:
        return None
    svg = draw_calibration_by_day(panels, 7.0)
    return drawing(svg, "Chances of a long stay, told and seen", "Chance of a stay of seven days or more.")


# --------------------------------------------------------------------------------------------------- curves


def _curves(numbers: Found) -> list[Html | None]:
    """Kaplan-Meier of high and low risk: models, then readers."""
    found = numbers["prognosis"]["stay"]
    content: list[Html | None] = []
    for name in CURVES:
        if name in found:
            one = found[name][PAPER_MODEL]
            content.append(_kaplan(one, f"{name} ({PAPER_MODEL})"))
    ceiling = numbers["prognosis"]["ceiling"]
    if ceiling:
        content.append(_kaplan(ceiling["stay"][TRUE_LAW], "what could be reached: the true law"))
    kind = "simulated: no human being has read these scans" if numbers["simulated readers"] else "readers"
    read = [
        _kaplan(one, f"{one['reader']}, {one['task']} ({kind})") for one in numbers["readers"]["prognosis"]
    ]
    return [*content, *read, *tables.readers_table(numbers)]


def _kaplan(one: Found, heading: str) -> Html | None:
    groups, told = one["groups"], one["log_rank"]
    days, seen, high = (np.array(groups[name]) for name in ("days", "seen", "high"))
    if not len(days) or high.all() or not high.any():
        return note(f"{heading}: all patients are called alike; there are no two groups to draw.")
    lines = [
        kaplan_line(name, days[rows], seen[rows].astype(bool), MARKS)
        for name, rows in (("high risk", high.astype(bool)), ("low risk", ~high.astype(bool)))
    ]
    svg = draw_curves(lines, marks=MARKS, up="still in hospital", note=f"log-rank {groups_told(told)}")
    return tag("div", tag("h3", heading), drawing(svg, f"Kaplan-Meier curves: {heading}"))


# ------------------------------------------------------------------------------------------------ diagnosis


def _diagnosis(numbers: Found) -> list[Chapter]:
    if not numbers["diagnosis"]:
        return []
    content = [*tables.area_table(numbers), *tables.days_table(numbers), *tables.windows_table(numbers)]
    for part, found in numbers["diagnosis"].items():
        content.append(_roc(numbers, part, found))
    content += tables.calls_table(numbers)
    return [Chapter("diagnosis", "The diagnosis elsewhere (tables 1 and 2)", tuple(content))]


def _roc(numbers: Found, part: str, found: Found) -> Html:
    readers = [(one["reader"], 1 - one["specificity"][0], one["sensitivity"][0]) for one in found["readers"]]
    paper = [
        (f"paper {one.who}", 1 - one.specificity, one.sensitivity)
        for one in CALLS
        if one.hospital == part and one.who == COVID3D
    ]
    curves = []
    for name, one in found["methods"].items():
        roc = one["roc"]
        value, low, high = one["auc"]
        points = [*paper, *readers] if name.startswith("I3D") else []
        curves.append(
            RocDrawing(name, roc["false"], roc["true"], roc["low"], roc["high"], (value, low, high), points)
        )
    caption = (
        f"Hospital {part}: {found['scans']} patients, {found['with']} with COVID-19. Marks: the paper's "
        "network on its own patients"
    )
    caption += ", and simulated readers." if numbers["simulated readers"] else ", and readers."
    return drawing(draw_roc(curves), f"ROC curves at hospital {part}", caption)


# ------------------------------------------------------------------------------------------- course and case


def _course(numbers: Found) -> list[Chapter]:
    course = numbers["course"]
    if "why not" in course:
        return []
    shown = [
        (heading, label, course[name])
        for name, heading, label in (
            ("s", "Score of the diagnosis", "s(t), log-odds"),
            ("burden", "Measured burden", "affected lung, %"),
        )
        if name in course
    ]
    caption = (
        "Above: all serial scans and the course common to all, with 95 % limits; below: patients elsewhere "
        f"with most scans, {shown[0][0].lower()}. Orange: the days on which lungs truly were fullest, where "
        "that is known; above their mean."
    )
    content = [
        drawing(draw_courses(shown), "Courses over the days of the disease", caption),
        *tables.peak_table(numbers),
    ]
    return [Chapter("course", "The score over the days (figure 2)", tuple(content))]


def _case(numbers: Found, folder: Path) -> list[Chapter]:
    case = numbers["case"]
    if not case or not (folder / case["file"]).is_file():
        return []
    data = base64.b64encode((folder / case["file"]).read_bytes()).decode()
    stay = case["stay"]
    words = (
        "Grad-CAM of the best fold's network times |s(t)|, one scale for all days: red speaks for COVID-19, "
        "blue against it. The patient with most scans whose burden changes most, of a hospital that was not "
        "learned from."
    )
    if stay:
        end = "went home or died" if stay["seen"] else "was still in hospital"
        words += f" {number(stay['days'], 1)} days after day {number(stay['day'], 1)} this patient {end}."
    picture = tag("img", src=f"data:image/png;base64,{data}", alt="Where the network looked, day by day")
    shown = tag("figure", picture, tag("figcaption", words), class_="drawing")
    return [Chapter("case", "A case (figure 4)", (shown, tables.case_table(numbers)))]


# ------------------------------------------------------------------------------------------ how it was done

HOW: Sequence[tuple[str, str]] = (
    (
        "Landmarks",
        (
            "A landmark is a scan of a patient with COVID-19 who is in hospital, not critically ill, and has "
            "an earlier scan. Days count from it. Models learn from all landmarks of the first hospital and "
            "are asked about one, the earliest, of each patient elsewhere, since a log-rank test wants "
            "patients. Methods of one scan see the later one."
        ),
    ),
    (
        "Looking",
        (
            "Two scans: the measures, how they changed, and log(1 + days between). I3D features are the "
            "first six principal components of what stands before the best fold's last layer, fitted on the "
            "first hospital. s(t) is from networks that did not learn from the patient; elsewhere the mean "
            "of all folds."
        ),
    ),
    (
        "Models",
        (
            "Logistic regression of a stay of seven days or more (the paper's question), a Cox model of the "
            "stay's end, hazards in intervals of days; of critical illness Cox models, alone and with "
            "discharge as a competing event. The network is one linear layer on all I3D features, with "
            "dropout, as the paper's. All have the same columns and patients; how strongly they are "
            "shrunk is chosen inside the first hospital by leaving out patients in turn."
        ),
    ),
    (
        "C",
        (
            "Harrell's: among pairs of whom it is known who left first, how often the other had the higher "
            "risk. Uno's: the same, freed of how long patients were observed. Of critical illness discharge "
            "ends observation."
        ),
    ),
    (
        "Intervals",
        "95 %, by resampling patients with all their scans; differences meet the same resamples.",
    ),
    (
        "Folds",
        (
            "By patient of one hospital, both diseases in each; networks learn from and are asked about one "
            "scan of each patient, that nearest a day drawn by lot; of all others s(t) is asked. Weights are "
            "those of the best look at the fold's validation patients, so the AUC inside flatters. Every "
            "fold of every method has the same process time of one core; the paper began with weights from "
            "films, ours begin at random."
        ),
    ),
    (
        "Departures",
        (
            "The paper fine-tunes its whole network to the stay; here a model reads the frozen features. Its "
            "patients were not intubated; here landmarks are before critical illness."
        ),
    ),
)


def _untuned(numbers: Found) -> list[tuple[str, str]]:
    if numbers["plan"].get("tuned", True):
        return []
    return [("Quick", "How strongly models are shrunk was not chosen: the middle of those tried is taken.")]


def _provenance(numbers: Found) -> list[tuple[str, str]]:
    plan = numbers["plan"]
    budget = f"{plan['folds']} folds of {number(plan['budget']['seconds'])} s, {plan['size']} pixels"
    pairs = [
        ("Command", numbers.get("command", "")),
        ("Made", numbers.get("created", "")),
        ("Training", budget),
        ("Masks", numbers["ground"]["masks by"]),
        (
            "Versions",
            ", ".join(f"{name} {version}" for name, version in (numbers.get("versions") or {}).items()),
        ),
    ]
    return [(name, value) for name, value in pairs if value]
