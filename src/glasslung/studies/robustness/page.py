"""The page of a classifier's robustness to windows, from numbers.json and the table of scans alone."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glasslung.report.classifiercharts import StressDrawing, draw_stress
from glasslung.report.markup import Child, Html, tag
from glasslung.report.studypage import (
    Chapter,
    StudyPage,
    drawing,
    figures_table,
    interval,
    note,
    write_study_page,
)
from glasslung.report.windowcharts import CloudDrawing, SpreadDrawing, draw_cloud, draw_spread
from glasslung.report.wording import number, signed
from glasslung.studies.folder import PAGE
from glasslung.studies.robustness.facts import facts
from glasslung.studies.robustness.figures import SCANS_TABLE

Found = Mapping[str, Any]
PRINTED = ((0.78, 0.01, "B"), (0.84, 0.02, "C"))
"""The paper's AUCs of two hospitals with what it gives as bounds: over 100 windows (table 1)."""


def write_page(numbers: Found, folder: Path) -> Path:
    """Write index.html into a folder, whole or not at all; returns its path."""
    page = StudyPage(
        title="Through other windows",
        lead=_lead(numbers),
        verdicts=verdicts(numbers),
        chapters=[
            Chapter("curves", "Level and width", (_curves(numbers),)),
            Chapter("draws", "Windows at random", (_cloud(numbers), *_table(numbers))),
            Chapter("scans", "Scan by scan", (_spread(numbers, folder),)),
        ],
        methods=_methods(numbers),
        provenance=_provenance(numbers),
        facts=facts(numbers),
        cautions=cautions(numbers),
    )
    return write_study_page(page, folder / PAGE)


def verdicts(numbers: Found) -> list[str]:
    """What follows from the figures, in sentences."""
    centre, told = numbers["centre"], []
    told.append(f"Unshifted, the AUC is {_limits(centre)}.")
    for deviation, one in numbers["draws"].items():
        change = one["change"]
        moved = "no change" if change[1] <= 0 <= change[2] else "a change"
        told.append(
            f"Through {len(one['windows'])} windows drawn with a deviation of {deviation} HU: mean AUC "
            f"{number(one['mean'][0], 3)}, deviation {number(one['sd'], 3)}, worst "
            f"{number(one['worst'], 3)}; in the mean {signed(change[0], 3)} "
            f"[{number(change[1], 3)}, {number(change[2], 3)}], {moved} that patients tell from 0. "
            f"The log-odds of the middle scan deviate by {number(one['spread']['median'], 2)}, of the "
            f"farthest by {number(one['spread']['most'], 2)}; {number(100 * one['turned'], 1)} % of the "
            "answers turn."
        )
    last = list(numbers["draws"].values())[-1]
    half = (centre[2] - centre[1]) / 2
    if half > 0:
        which = "less" if last["sd"] < half else "no less"
        told.append(
            f"The choice of window moves the AUC {which} than the choice of patients: deviation "
            f"{number(last['sd'], 3)} over windows, {number(half, 3)} half the width of the patients\u2019 "
            "interval."
        )
    else:
        told.append(
            "The scans are in perfect order, so an AUC can only fall and its interval says nothing: read how "
            "far log-odds move."
        )
    return told


def cautions(numbers: Found) -> list[str]:
    """Why the figures may not be believed."""
    about = numbers["about"]
    told = []
    if not about["window"]["known"]:
        told.append(
            "These are 8-bit pictures: their window was never written down. A shift is a change of "
            "brightness and contrast as if 255 steps were 1400 HU, and each picture is then standardised as "
            "any other, which takes much of it back."
        )
    if about["data"]["patients"] < 40:
        told.append(
            f"{about['data']['patients']} patients: intervals are wide, and too narrow still below 20."
        )
    return told


def _lead(numbers: Found) -> str:
    about, data = numbers["about"], numbers["about"]["data"]
    low, high = about["window"]["low"], about["window"]["high"]
    window = (
        f"{number(low)} to {number(high)}\u00a0HU"
        if about["window"]["known"]
        else "unknown, as of any 8-bit picture"
    )
    return (
        f"{about['name']} ({about['method']}) asked of {data['scans']} scans of {data['patients']} patients, "
        f"{data['with']} with {about['finding']}, of {data['name']}, as if each had been shown through "
        f"another window than its own ({window})."
    )


def _curves(numbers: Found) -> Html:
    name = numbers["about"]["name"]
    panels = [
        StressDrawing(
            f"{kind[:1].upper()}{kind[1:]} alone",
            f"{kind} of the window, HU from where it belongs",
            0.0,
            {name: [tuple(row) for row in rows]},
        )
        for kind, rows in numbers["curves"].items()
    ]
    caption = (
        "Bars: 95 % by resampling patients, the same draws at every shift. The grey line: the true window."
    )
    return drawing(draw_stress(panels), "AUC against a shift of level and of width", caption)


def _cloud(numbers: Found) -> Html:
    panels = [
        CloudDrawing(f"Deviation {deviation} HU", [tuple(row) for row in one["windows"]])
        for deviation, one in numbers["draws"].items()
    ]
    caption = (
        "Each dot is one window, the same for all scans; colour is the AUC through it. Right: a higher "
        "level, so a darker picture; up: a wider window, so less contrast."
    )
    return drawing(draw_cloud(panels), "AUC of every window by its level and width", caption)


def _table(numbers: Found) -> list[Html]:
    head = [
        "windows",
        "mean AUC",
        "less unshifted",
        "deviation",
        "worst",
        "best",
        "log-odds move by",
        "answers turned",
    ]
    rows: list[tuple[str, list[Child]]] = [
        (
            f"{deviation} HU",
            [
                interval(one["mean"], 3),
                interval(one["change"], 3),
                number(one["sd"], 3),
                number(one["worst"], 3),
                number(one["best"], 3),
                f"{number(one['spread']['median'], 2)} (at most {number(one['spread']['most'], 2)})",
                f"{number(100 * one['turned'], 1)} %",
            ],
        )
        for deviation, one in numbers["draws"].items()
    ]
    printed = "; ".join(f"hospital {name} {auc:.2f} \u00b1 {sd:.2f}" for auc, sd, name in PRINTED)
    return [
        figures_table("What the draws do", head, rows),
        note(
            "Limits: 95 % by resampling patients. Log-odds: deviation of a scan over the windows, the median "
            f"scan and the farthest. The COVID3D paper prints {printed} over 100 windows within one standard "
            "deviation of HU, on its own patients and with its own network; how many HU that is it does not "
            "say."
        ),
    ]


def _spread(numbers: Found, folder: Path) -> Html:
    with (folder / SCANS_TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    panels = [
        SpreadDrawing(
            f"Deviation {one} HU",
            [
                (
                    float(row["log_odds"]),
                    float(row[f"lowest_{one}"]),
                    float(row[f"highest_{one}"]),
                    row["with_finding"] == "1",
                )
                for row in rows
            ],
            numbers["threshold"],
        )
        for one in numbers["draws"]
    ]
    caption = (
        "Dashed: from here on the stored operating point says \u201clikely\u201d. Bars: lowest to highest."
    )
    return tag("div", drawing(draw_spread(panels), "Log-odds of every scan over the windows", caption))


def _methods(numbers: Found) -> list[tuple[str, str]]:
    about, plan = numbers["about"], numbers["plan"]
    known = about["window"]["known"]
    windows = (
        "Hounsfield units are brought to the classifier\u2019s grid once and windowed there, which departs "
        "from windowing first by a quarter of a grey level in the mean at 100 HU; unshifted, the stored exam "
        "is asked."
        if known
        else "Pictures are made brighter or darker, with more or less contrast, cut off at black and white, "
        "and made an exam again."
    )
    drawn = (
        f"{plan['draws']} shifts of level and width for each deviation, each from a normal law, the same for "
        f"all scans; seed {plan['seed']}. {windows}"
    )
    masks = (
        f"Lungs and lesions are {about['masks']} at the true window and stay: what is tested is the "
        "classifier, not the drawing of masks."
    )
    intervals = (
        "95 %, by resampling patients with all their scans, each class keeping its number; "
        f"{plan['resamples']} draws."
    )
    return [
        ("Windows", drawn),
        ("Masks", masks),
        ("Intervals", intervals),
        ("Scans", about["data"]["part"]),
    ]


def _provenance(numbers: Found) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in numbers["versions"].items())
    return [
        ("Command", numbers["command"]),
        ("Made", numbers["created"]),
        ("Classifier", f"{numbers['about']['name']}, {numbers['about']['digest']}"),
        ("Tables", "scans.csv, windows.csv and numbers.json beside this page"),
        ("Versions", versions),
    ]


def _limits(found: Any) -> str:
    value, low, high = found
    return f"{number(value, 3)} [{number(low, 3)}, {number(high, 3)}]"
