"""The tables of the prognosis study's page: the paper's figures beside ours, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.markup import Child, Html
from glasslung.report.studypage import figures_table, interval, note
from glasslung.report.wording import NOTHING, number
from glasslung.studies.prognosis.columns import PAIRS
from glasslung.studies.prognosis.diagnosed import BEST, ENSEMBLE
from glasslung.studies.prognosis.folded import I3D, RESNET
from glasslung.studies.prognosis.papers import AREAS, CALLS, INNER, LOG_RANK
from glasslung.studies.prognosis.verdict import p_told

Found = Mapping[str, Any]
Row = tuple[str, Sequence[Child]]
PAPER_HOSPITALS = ("B", "C")


def area_table(numbers: Found) -> list[Html | None]:
    """Table 1: AUC at the hospitals that were not learned from."""
    parts = list(numbers["diagnosis"])
    rows: list[Row] = []
    if set(parts) == set(PAPER_HOSPITALS):
        rows += [(f"paper: {one.method}", [_deviation(one.at_b), _deviation(one.at_c)]) for one in AREAS]
    strong = []
    for name in (I3D, RESNET):
        for way in (BEST, ENSEMBLE):
            cells: list[Child] = [
                interval(numbers["diagnosis"][part]["methods"].get(f"{name}, {way}", {}).get("auc"))
                for part in parts
            ]
            if name in numbers["inner"]:
                strong += [len(rows)] if (name, way) == (I3D, BEST) else []
                rows.append((f"{name}, {way}", cells))
        if name in numbers["inner"]:
            means: list[Child] = [
                interval(numbers["diagnosis"][part]["methods"][f"{name}, {ENSEMBLE}"]["mean of folds"])
                for part in parts
            ]
            rows.append((f"{name}, mean of folds", means))
    outline: list[Child] = [interval(numbers["diagnosis"][part]["outline"]) for part in parts]
    rows.append(("outlines of the lungs alone", outline))
    day: list[Child] = [interval(numbers["diagnosis"][part]["day"]) for part in parts]
    rows.append(("day of the scan alone", day))
    head = ["AUC of COVID-19 against another pneumonia", *(f"hospital {part}" for part in parts)]
    words = (
        "The paper's figures are means and deviations over windows; ours have 95 % intervals by resampling "
        f"patients. On validation folds of the first hospital: paper {_deviation(INNER)}, {_inner(numbers)}."
    )
    return [figures_table("Table 1: the diagnosis elsewhere", head, rows, strong), note(words)]


def _inner(numbers: Found) -> str:
    return "; ".join(
        f"{name} {_deviation((one['mean'], one['deviation']))} over {len(one['folds'])} folds"
        for name, one in numbers["inner"].items()
    )


def _deviation(pair: tuple[float, float]) -> str:
    return f"{number(pair[0], 2)} \u00b1 {number(pair[1], 2)}"


def days_table(numbers: Found) -> list[Html | None]:
    """The AUC on early and on late scans."""
    rows: list[Row] = [
        (
            f"day {number(one['days'][0], 1)} to {number(one['days'][1], 1)}",
            [str(one["scans"]), str(one["with"]), interval(one["auc"])],
        )
        for one in numbers["by day"]
    ]
    if not rows:
        return []
    head = ["all hospitals that were not learned from", "scans", "COVID-19", "AUC, I3D ensemble"]
    return [figures_table("The diagnosis early and late", head, rows)]


def windows_table(numbers: Found) -> list[Html | None]:
    """The AUC through other windows."""
    rows: list[Row] = [
        (
            f"hospital {part}: {found['scans']} scans, {number(one['hu'])} HU",
            [
                number(found["usual"], 2),
                _deviation((one["mean"], one["deviation"])),
                f"{number(one['least'], 2)} to {number(one['most'], 2)}",
                str(len(one["areas"])),
            ],
        )
        for part, found in numbers["windows"].items()
        for one in found["deviations"]
    ]
    if not rows:
        return []
    head = ["the paper's bounds, I3D best fold", "usual window", "other windows", "range", "draws"]
    words = "Level and width are moved by normal draws of that deviation, alike for all scans of a draw."
    return [figures_table("Through other windows", head, rows), note(words)]


def calls_table(numbers: Found) -> list[Html | None]:
    """Table 2: sensitivity and specificity beside readers."""
    rows: list[Row] = []
    if set(numbers["diagnosis"]) == set(PAPER_HOSPITALS):
        rows += [
            (f"paper, {one.hospital}: {one.who}", [_percent(one.sensitivity), _percent(one.specificity)])
            for one in CALLS
        ]
    strong = []
    for part, found in numbers["diagnosis"].items():
        for name in (f"{I3D}, {BEST}", f"{I3D}, {ENSEMBLE}"):
            one = found["methods"][name]
            strong.append(len(rows))
            rows.append((f"{part}: {name}", [_percents(one["sensitivity"]), _percents(one["specificity"])]))
        rows += [
            (f"{part}: {one['reader']}", [_percents(one["sensitivity"]), _percents(one["specificity"])])
            for one in found["readers"]
        ]
    words = "Cuts by Youden on the validation patients of the first hospital, never on these."
    head = ["who", "sensitivity, %", "specificity, %"]
    return [figures_table("Table 2: beside readers", head, rows, strong), note(words)]


def _percent(value: float | None) -> str:
    return NOTHING if value is None else number(100 * value)


def _percents(found: Sequence[float] | None) -> Html:
    return interval(None if found is None else [100 * value for value in found], 0)


# --------------------------------------------------------------------------------------------------- course


def peak_table(numbers: Found) -> list[Html | None]:
    """Whether courses peak when the lungs are fullest."""
    rows: list[Row] = []
    for name, words in (("s", "s(t)"), ("burden", "measured burden")):
        peaks = (numbers["course"].get(name) or {}).get("peaks")
        if not peaks:
            continue
        for one in peaks["within"]:
            near = f"within {number(one['days'])} days" if one["days"] else "in these days"
            rows.append((f"{words}: {near}", [_percents(one["course"]), _percents(one["guess"])]))
        rows.append((f"{words}: its 95 % limits reach these days", [_percents(peaks["held"]), NOTHING]))
        rows.append(
            (
                f"{words}: days off, mean",
                [number(peaks["error"], 1), number(peaks["error of the guess"], 1)],
            )
        )
    if not rows:
        return []
    head = [
        "patients whose course peaks when their lungs are fullest, %",
        "their own course",
        "one day for all",
    ]
    words = (
        "Lungs are fullest from the furthest spread to the first clearing. Patients outside the hospital "
        "that was learned from, with three scans or more. One day for all: the peak of the common course."
    )
    return [figures_table("Peaks beside the truth", head, rows), note(words)]


# ------------------------------------------------------------------------------------------------ prognosis


def stay_table(numbers: Found) -> list[Html | None]:
    """Every set of columns and every model of the stay."""
    rows: list[Row] = []
    strong = []
    for name, models in numbers["prognosis"]["stay"].items():
        for model, one in models.items():
            strong += [len(rows)] if model == "logistic" and name == PAIRS[0][1].name else []
            rows.append((f"{name}: {model}", _stay_cells(one)))
    for name, one in (numbers["prognosis"]["ceiling"] or {"stay": {}})["stay"].items():
        strong.append(len(rows))
        rows.append((f"what could be reached: {name}", _stay_cells(one)))
    head = [
        "looks at: model",
        "Harrell's C",
        "Uno's C",
        "AUC, 7 days or more",
        "Brier",
        "log-rank p",
    ]
    words = (
        "Log-rank p in the paper: "
        + ", ".join(f"{name} {p:g}" for name, p in LOG_RANK.items())
        + ". Groups here by the median risk of the hospital that was learned from. Reversed: those of high "
        "risk left sooner, which a log-rank test alone would not tell."
    )
    return [figures_table("The stay from nothing, one scan, two", head, rows, strong), note(words)]


def _stay_cells(one: Found) -> list[Child]:
    return [
        interval(one["harrell"]),
        interval(one["uno"]),
        interval(one["auc"]),
        interval(one["brier"], 3),
        _p(one["log_rank"]),
    ]


def _p(test: Found) -> str:
    """A log-rank p in a cell."""
    if test["p"] is None:
        return NOTHING
    short = p_told(test["p"]).removeprefix("p ").removeprefix("= ")
    return f"{short}, reversed" if test["reversed"] else short


def ill_table(numbers: Found) -> list[Html | None]:
    """Every set and model of critical illness."""
    rows: list[Row] = []
    for name, models in numbers["prognosis"]["ill"].items():
        rows += [(f"{name}: {model}", _ill_cells(one)) for model, one in models.items()]
    if not rows:
        return []
    strong = []
    for name, one in (numbers["prognosis"]["ceiling"] or {"ill": {}})["ill"].items():
        strong.append(len(rows))
        rows.append((f"what could be reached: {name}", _ill_cells(one)))
    first = next(iter(next(iter(numbers["prognosis"]["ill"].values())).values()))
    head = [
        "looks at: model",
        "Harrell's C",
        "AUC by day 14",
        "Brier",
        "chance told, mean %",
        "happened, %",
    ]
    words = (
        f"{first['events']} of {first['patients']} patients fell critically ill. A Cox model of critical "
        "illness alone takes patients who went home for such who might still fall ill there, so its chances "
        "are too high; competing risks and hazards count discharge."
    )
    return [figures_table("Critical illness after the scan", head, rows, strong), note(words)]


def _ill_cells(one: Found) -> list[Child]:
    return [
        interval(one["harrell"]),
        interval(one["auc"]),
        interval(one["brier"], 3),
        _percent(one["predicted"]),
        _percent(one.get("observed")),
    ]


def pairs_table(numbers: Found) -> list[Html | None]:
    """Two scans less one."""
    rows: list[Row] = [
        (f"{row['two']}: {row['model']}, {row['endpoint']}", [interval(row["difference"], 3)])
        for row in numbers["prognosis"]["pairs"]
    ]
    left = numbers["prognosis"]["left out"]
    why = "; ".join(f"{name}: {reason}" for name, reason in left.items())
    words = "Both meet the same resamples of patients. An interval without 0 speaks for a true difference."
    parts: list[Html | None] = [note(f"Not asked. {why}.")] if why else []
    if not rows:
        return parts
    head = ["two scans less one: model, endpoint", "difference in Harrell's C"]
    return [figures_table("Two scans against one", head, rows), note(words), *parts]


# -------------------------------------------------------------------------------------------------- readers


def readers_table(numbers: Found) -> list[Html | None]:
    """Readers' prognosis, and how far they agree."""
    found = numbers["readers"]
    rows: list[Row] = [
        (
            f"{one['reader']}, {one['task']}",
            [
                _percent(one["sensitivity"]),
                _percent(one["specificity"]),
                f"{one['log_rank']['high']} / {one['log_rank']['low']}",
                _p(one["log_rank"]),
            ],
        )
        for one in found["prognosis"]
    ]
    content: list[Html | None] = []
    if rows:
        head = ["reader", "long stays called, %", "short stays called, %", "high / low risk", "log-rank p"]
        content.append(figures_table("Readers' prognosis", head, rows))
    agreed: list[Row] = []
    for one in found["agreement"]:
        agreed += [
            (
                f"{one['task']}: {pair['first']}, {pair['second']}",
                [_percents(pair["agree"]), interval(pair["kappa"]), interval(one["alpha"])],
            )
            for pair in one["pairs"]
        ]
    if agreed:
        head = ["task and readers", "agree, %", "Cohen's kappa", "Krippendorff's alpha"]
        content.append(figures_table("How far readers agree", head, agreed))
    return content


def ground_table(numbers: Found) -> Html:
    """Who was learned from and who was asked."""
    parts = numbers["ground"]["parts"]
    names = [name for name in parts[0] if name != "part"]
    rows: list[Row] = [(f"{name}", [str(part[name]) for part in parts]) for name in names]
    return figures_table("Patients and scans", ["", *(part["part"] for part in parts)], rows)


def case_table(numbers: Found) -> Html:
    """The days of the case."""
    days = numbers["case"]["days"]
    rows: list[Row] = [
        (
            f"day {number(one['day'], 1)}",
            [
                number(one["s"], 2),
                number(one["affected_percent"], 1),
                number(one["true percent"], 1),
                _percent(one["in lesions"]),
                _percent(one["lesions"]),
            ],
        )
        for one in days
    ]
    head = ["", "s(t)", "affected, %", "truly, %", "of the map in lesions, %", "lesions of the lungs, %"]
    return figures_table("The case, day by day", head, rows)
