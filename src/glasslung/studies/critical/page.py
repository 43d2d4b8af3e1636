"""The page of the study of critical illness, from its figures and the slices it shows.

numbers.json {
  'ground': `study.ground_told`
  'all', 'strata': {name}: `scores.score_table`; 'answers': `scores.answers_of`
  'chosen': [{'deal', 'fold', 'model', 'inner'}]
  'course': `courses.courses`, or {'refused': sentence}
  'plan', 'command', 'created', 'versions'
}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.report.classifiercharts import (
    BenefitDrawing,
    ReliabilityDrawing,
    RocDrawing,
    draw_benefit,
    draw_reliability,
    draw_roc,
)
from glasslung.report.markup import Child, Html
from glasslung.report.studypage import (
    Chapter,
    StudyPage,
    drawing,
    figures_table,
    interval,
    note,
    strips,
    write_study_page,
)
from glasslung.report.survivalcharts import draw_curves, kaplan_line
from glasslung.report.wording import number, signed
from glasslung.studies.critical.facts import facts
from glasslung.studies.critical.nested import AGE_SEX, CHOSEN, FOREST
from glasslung.studies.folder import PAGE

Found = Mapping[str, Any]
MARKS = (0, 2, 4, 6, 8, 10, 12, 13)  # days after day 1
NAMES = {CHOSEN: "chosen inside the folds"}
LENGTH = "scan's length alone"


def write_page(numbers: Found, slices: Mapping[str, np.ndarray], folder: Path) -> Path:
    """Write index.html into a folder, whole or not at all; returns its path."""
    page = StudyPage(
        title="Who becomes critically ill, from one slice",
        lead=_lead(numbers),
        verdicts=verdicts(numbers),
        chapters=[_ranking(numbers), _scanner(numbers), _meaning(numbers), _course(numbers), _shown(slices)],
        methods=HOW,
        provenance=_provenance(numbers),
        facts=facts(numbers),
        cautions=cautions(numbers),
    )
    return write_study_page(page, folder / PAGE)


def _lead(numbers: Found) -> str:
    ground = numbers["ground"]
    left = "; ".join(f"{count} rows: {reason}" for reason, count in ground["left_out"].items())
    return (
        f"{ground['patients']} patients of {ground['name']} with one slice each, {ground['events']} of whom "
        f"became critically ill. Left out: {left or 'nobody'}."
    )


# ----------------------------------------------------------------------------------------------- words


def verdicts(numbers: Found) -> list[str]:
    """What follows from the figures, in words."""
    table = numbers["all"]
    told = [f"The slice tells who becomes critically ill with an AUC of {limits(table['auc'][CHOSEN])}."]
    told += [_gain_told(name, table["gain"][name]) for name in (AGE_SEX, FOREST) if name in table["gain"]]
    told += _scanner_told(numbers)
    course = numbers["course"]
    if "refused" in course:
        return [*told, f"When it comes was not asked: {course['refused']}."]
    for name, row in course["risks"].items():
        told.append(f"From day {course['landmark']:g} on, {name}: Harrell\u2019s C {limits(row['harrell'])}.")
    split = course["split"]["image alone"]
    told.append(
        f"The half with the higher risk meets the event earlier (log-rank p {p_value(split['p'])})."
        if split["p"] < 0.05
        else f"Halves of higher and lower risk do not differ (log-rank p {p_value(split['p'])})."
    )
    return told


def _gain_told(name: str, gain: Found) -> str:
    amount = f"{signed(gain['value'], 2)} [{number(gain['low'], 2)}, {number(gain['high'], 2)}]"
    if gain["low"] > 0:
        return f"It is better than {name}: {amount}."
    if gain["high"] < 0:
        return f"It is worse than {name}: {amount}."
    return f"Over {name} no gain is shown: {amount}."


def _scanner_told(numbers: Found) -> list[str]:
    told = []
    if LENGTH in numbers["all"]["auc"]:
        alone = numbers["all"]["auc"][LENGTH]
        told.append(f"The length of the scan, which is no disease, tells {limits(alone)} by itself.")
    near = numbers["strata"].get("scans of the usual length")
    if near:
        told.append(
            f"Among the {near['patients']} scans of the usual length, where it tells little, the slice has "
            f"{limits(near['auc'][CHOSEN])}: that much the length of the scan does not tell."
        )
    return told


def cautions(numbers: Found) -> list[str]:
    """Why the figures may not be believed."""
    ground, course = numbers["ground"], numbers["course"]
    told = [
        (
            f"{ground['patients']} patients of one collection and one slice each, in a window that nobody "
            "wrote down. No other hospital was asked."
        ),
        (
            "Hospitals, scanners and croppings differ between those who became ill and the others; a "
            "part of the AUC over all patients is theirs."
        ),
        (
            "progression_days is not defined at its source; it looks like the time to critical illness, cut "
            "off at 14 days. Why observation ended early in the others is not known."
        ),
    ]
    if "refused" not in course:
        told.append(
            f"{course['before']} of {ground['events']} events fall on day {course['landmark']:g} or before: "
            "they are seen rather than foreseen. The course has "
            f"{course['events']} events among {course['patients']} patients."
        )
    if (numbers.get("plan") or {}).get("quick"):
        told.insert(0, "A quick study: one deal, few resamples; enough for a look.")
    return told


def limits(found: Found) -> str:
    """0.87 [0.82, 0.91]."""
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def p_value(p: float) -> str:
    """'< 0.001' or '0.034'."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


# -------------------------------------------------------------------------------------------- chapters


def _ranking(numbers: Found) -> Chapter:
    table = numbers["all"]
    rows: list[tuple[str, list[Child]]] = [
        (
            NAMES.get(name, name),
            [
                interval(found),
                f"{min(found['deals']):.2f} to {max(found['deals']):.2f}",
                interval(table["gain"].get(name)),
            ],
        )
        for name, found in table["auc"].items()
    ]
    head = ["read by the model", "AUC, out of fold", "single deals", "chosen less this, paired"]
    answers = numbers["answers"]
    auc = next(iter(table["auc"].values()))
    curve = RocDrawing(
        "chosen, first deal",
        answers["roc"]["false"],
        answers["roc"]["true"],
        answers["roc"]["low"],
        answers["roc"]["high"],
        (answers["auc"], auc["low"], auc["high"]),
    )
    picked = Counter(row["model"] for row in numbers["chosen"])
    choices: list[tuple[str, list[Child]]] = [(name, [str(count)]) for name, count in picked.most_common()]
    return Chapter(
        "ranking",
        "Who becomes critically ill",
        (
            figures_table("How well each tells them apart", head, rows, strong=[0]),
            note("95 % intervals by resampling patients; the mean over the deals of every resample."),
            drawing(draw_roc([curve]), "ROC curve with its band", "Pointwise 95 % band."),
            figures_table("What was chosen in how many outer folds", ["model", "folds"], choices),
        ),
    )


def _scanner(numbers: Found) -> Chapter:
    parts = {"all patients": numbers["all"], **numbers["strata"]}
    names = list(numbers["all"]["auc"])
    rows: list[tuple[str, list[Child]]] = [
        (NAMES.get(name, name), [interval(part["auc"].get(name)) for part in parts.values()])
        for name in names
    ]
    head = [
        "read by the model",
        *(f"{name}: {part['events']} of {part['patients']} ill" for name, part in parts.items()),
    ]
    words = note(
        "Usual length: 110 to 155 slices, as three in five scans have; others come from other scanners, and "
        "scans of 60 slices and fewer, or of 160 and more, are nearly all of patients without the event. "
        "The last three rows read no more than the scan's length, the picture's size and the rim of four "
        "pixels: what they reach is not the disease alone."
    )
    return Chapter(
        "scanner", "Disease or scanner", (figures_table("AUC among like scans", head, rows, [0]), words)
    )


def _meaning(numbers: Found) -> Chapter:
    answers = numbers["answers"]
    bins = [
        (one["low"], one["high"], one["mean"], one["share"], one["count"]) for one in answers["reliability"]
    ]
    bars = [(one["share_low"], one["share_high"]) for one in answers["reliability"]]
    reliable = ReliabilityDrawing("chosen, first deal", bins, bars, answers["ece"])
    lines = ("thresholds", "model", "low", "high", "everybody")
    benefit = BenefitDrawing("chosen, first deal", *(answers["benefit"][line] for line in lines))
    rows: list[tuple[str, list[Child]]] = [
        ("calibration error (ECE)", [f"{answers['ece']:.3f}"]),
        ("the same by luck, up to", [f"{answers['ece_by_luck']['most']:.3f}"]),
        ("Brier score", [f"{answers['brier']:.3f}"]),
        ("Brier score of the mere share", [f"{answers['brier_of_share']:.3f}"]),
    ]
    return Chapter(
        "probabilities",
        "Whether probabilities mean what they say",
        (
            drawing(draw_reliability([reliable]), "Reliability diagram", "Bars: Wilson\u2019s 95 % limits."),
            figures_table("In numbers", ["figure", "value"], rows),
            drawing(
                draw_benefit([benefit]),
                "Decision curve",
                "It speaks of this mixture, in which half become critically ill: on a ward far fewer do.",
            ),
        ),
    )


def _course(numbers: Found) -> Chapter:
    course = numbers["course"]
    heading = "When it comes"
    if "refused" in course:
        return Chapter("course", heading, (note(course["refused"]),))
    rows: list[tuple[str, list[Child]]] = [
        (name, [interval(row["harrell"]), interval(row["uno"]), interval(course["gains"].get(name))])
        for name, row in course["risks"].items()
    ]
    near = course.get("like_scans")
    head = ["risk by", "Harrell\u2019s C", "Uno\u2019s C", "less age and sex, paired"]
    if near:
        head.append(f"Harrell\u2019s C, usual length: {near['events']} of {near['patients']}")
        for name, cells in rows:
            cells.append(interval(near["harrell"][name]))
    content: list[Html | None] = [
        figures_table(
            f"From day {course['landmark']:g}: {course['patients']} patients, {course['events']} events",
            head,
            rows,
        )
    ]
    for name, split in course["split"].items():
        lines = [
            kaplan_line(group, np.array(one["days"]), np.array(one["event"]), MARKS)
            for group, one in split["groups"].items()
        ]
        drawn = draw_curves(
            lines,
            marks=MARKS,
            up="without critical illness",
            across=f"days after day {course['landmark']:g}",
            note=f"log-rank p {p_value(split['p'])}",
        )
        caption = f"Split at the median risk by {name}; numbers at risk beneath."
        content.append(drawing(drawn, f"Kaplan-Meier curves by {name}", caption))
    return Chapter("course", heading, tuple(content))


def _shown(slices: Mapping[str, np.ndarray]) -> Chapter:
    words = (
        "By out-of-fold risk. What the model misses and what it fears without cause stand beside its hits."
    )
    rows = list(slices.items())
    return Chapter("slices", "Slices", (strips("Highest and lowest risk", rows, words),))


# ------------------------------------------------------------------------------------- how it was done

HOW = (
    (
        "Nested",
        (
            "Patients are dealt into outer folds; inside the others every candidate (what it reads, how "
            "strongly its weights are held down) is cross-validated, the best is calibrated and learned, and "
            "answers for the fold once. Scales and quantiles come from the training patients of each fold."
        ),
    ),
    (
        "Features",
        (
            "Greys of the lung (percentiles, histogram); lesions by the shipped lesions-8bit: mean, area, "
            "back, front, of ground glass and consolidation; zones; texture; the encoder of lesions-8bit. "
            "Each is brought to normal scores by the training patients\u2019 quantiles and weighed by ridge "
            "logistic regression. Days, group, scan length, slice number and picture size are no features."
        ),
    ),
    (
        "Bar",
        (
            "A random forest of 300 trees on the plain greys of the lung, and logistic regression on age and "
            "sex, in the same folds."
        ),
    ),
    (
        "Landmark",
        (
            "The clock starts at day 1, with patients observed beyond it without the event. Cox models of "
            "out-of-fold image log-odds, age and sex are learned in the other folds. Uno\u2019s C to day 14."
        ),
    ),
)


def _provenance(numbers: Found) -> list[tuple[str, str]]:
    plan = numbers["plan"]
    versions = ", ".join(f"{name} {value}" for name, value in numbers["versions"].items())
    return [
        ("Command", numbers["command"]),
        ("Made", numbers["created"]),
        (
            "Deals",
            f"{plan['deals']} of {plan['folds']} folds, {plan['draws']} resamples, seed {plan['seed']}",
        ),
        ("Versions", versions),
    ]
