"""Tables of the diagnosis study's page: the paper beside ours, figures, strata, tests, costs, relevance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.markup import Child, Html, tag
from glasslung.report.studypage import figures_table, interval, note
from glasslung.report.wording import NOTHING, SPACE, number, signed
from glasslung.studies.diagnosis.papers import ABLATION, CORADS_NOTE, COSTS, FULL, printed_rows
from glasslung.studies.diagnosis.verdict import first_part

Found = Mapping[str, Any]
CALLS = ("sensitivity", "specificity", "f1")
HEADS = {"sensitivity": "sensitivity", "specificity": "specificity", "f1": "F1", "ppv": "PPV", "npv": "NPV"}
PAPER_PARTS = {"test": "test", "external": "independent"}  # ours -> the paper's
RIGHT = "\u2009\u2192\u2009"


def ablation_table(numbers: Found) -> list[Html]:
    """The paper's ablation beside ours, at a threshold of 0.5, on the first part."""
    part = first_part(numbers)
    found, pairs = numbers["parts"][part], numbers.get("ablation") or {}
    printed = {row["name"]: row for row in printed_rows() if row["part"] == "ablation"}
    full = found["methods"].get(pairs.get(FULL))
    rows: list[tuple[str, list[Child]]] = []
    strong = []
    for name in ABLATION:
        ours = found["methods"].get(pairs.get(name))
        if name == FULL:
            strong.append(len(rows))
        cells: list[Child] = [interval(printed[name][one]) for one in CALLS]
        cells += [interval(ours["at_half"][one] if ours else None) for one in CALLS]
        cells.append(interval(ours["auc"] if ours else None))
        cells.append(_step(ours, full, name))
        label = name if ours is None else f"{name}{RIGHT}{pairs[name]}"
        rows.append((label, cells))
    head = ["model, and ours of that kind"]
    head += [f"paper: {HEADS[one]}" for one in CALLS] + [f"ours: {HEADS[one]}" for one in CALLS]
    head += ["ours: AUC", "ours: AUC against the whole model"]
    table = figures_table("Ablation at a threshold of 0.5", head, rows, strong)
    words = note(
        f"The paper: 66 scans of two hospitals, 23 with COVID-19; limits are exact ones of its counts. Ours: "
        f"{found['scans']} scans, {found['with']} with COVID-19."
    )
    return [table, words]


def _step(ours: Found | None, full: Found | None, name: str) -> Child:
    if ours is None or full is None or name == FULL:
        return Html(NOTHING)
    return signed(ours["auc"][0] - full["auc"][0], 2)


def area_table(numbers: Found, part: str) -> list[Html]:
    """AUC of every method beside what is reached without looking at a lung, and calls at the threshold."""
    found = numbers["parts"][part]
    bar = found["source_only"]
    rows: list[tuple[str, list[Child]]] = []
    strong = []
    for name, one in found["methods"].items():
        if name == found["reference"]:
            strong.append(len(rows))
        cells: list[Child] = [interval(one["auc"]), _delong(one), interval(bar)]
        cells.append(interval(one["false_alarms_at_95"]))
        cells += [interval(one["at_youden"][figure]) for figure in (*CALLS, "ppv", "npv")]
        cells.append(_spread(one["seeds"].get("auc")))
        rows.append((name, cells))
    for row in printed_rows():
        if row["part"] == PAPER_PARTS.get(part):
            cells = [interval(row["auc"]), Html(NOTHING), Html(NOTHING), interval(row["false_alarms_at_95"])]
            cells += [interval(row[figure]) for figure in CALLS] + [Html(NOTHING)] * 3
            rows.append((f"the paper, {row['with'] + row['without']} scans", cells))
    head = ["method", "AUC", "AUC, limits by DeLong", "AUC without looking into the lungs"]
    head += ["FPR at 95 % TPR", *(HEADS[one] for one in (*CALLS, "ppv", "npv")), "AUC over seeds"]
    words = note(
        f"{found['scans']} scans of {found['patients']} patients, {found['with']} with COVID-19. Calls at "
        "the threshold that is best on validation scans (Youden); the paper\u2019s at its own. 95 % "
        "intervals by resampling patients; exact ones where all or none were right."
    )
    tables = [figures_table("Every method", head, rows, strong), words]
    return [*tables, *_other_bars(found), *_half(found)]


def _delong(one: Found) -> Html:
    return interval([one["delong"][name] for name in ("value", "low", "high")])


def _spread(found: Mapping[str, Any] | None) -> str:
    if not found or found["deviation"] is None:
        return NOTHING
    return f"{number(found['mean'], 2)} \u00b1 {number(found['deviation'], 2)} ({found['seeds']})"


def _other_bars(found: Found) -> list[Html]:
    """Every kind of facts that tell a label without a diagnosis, where there is more than one."""
    if len(found["source"]) < 2:
        return []
    rows: list[tuple[str, list[Child]]] = [(kind, [interval(bar)]) for kind, bar in found["source"].items()]
    return [figures_table("How well the label is told by facts about the pictures", ["facts", "AUC"], rows)]


def _half(found: Found) -> list[Html]:
    rows: list[tuple[str, list[Child]]] = [
        (name, [interval(one["at_half"][figure]) for figure in HEADS])
        for name, one in found["methods"].items()
    ]
    return [figures_table("The same at a threshold of 0.5", ["method", *HEADS.values()], rows)]


def tests_table(found: Found) -> list[Html]:
    """Every method against the reference: areas by DeLong, calls by McNemar."""
    if not found["tests"]:
        return []
    rows: list[tuple[str, list[Child]]] = []
    for name, test in found["tests"].items():
        delong, alone = test["delong"], test["mcnemar"]
        limits = tag("small", f"{signed(delong['low'], 2)} to {signed(delong['high'], 2)}")
        rows.append(
            (
                name,
                [
                    Html(signed(delong["difference"], 2) + limits),
                    _p(delong["p"]),
                    str(alone["only_method"]),
                    str(alone["only_reference"]),
                    _p(alone["p"]),
                ],
            )
        )
    head = ["method", "AUC difference", "p, DeLong", "only it right", "only the other right", "p, McNemar"]
    words = note(
        "DeLong compares areas; McNemar counts patients whom one method alone calls right at its threshold. "
        "No correction for the number of comparisons."
    )
    return [figures_table(f"Against {found['reference']}", head, rows), words]


def _p(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else number(value, 3)


def strata_tables(found: Found) -> list[Html]:
    """The reference method by site, severity, kind and CO-RADS."""
    content = []
    strata = found["methods"][found["reference"]]["strata"]
    words = {
        "site": "scans of the site alone",
        "severity": "scans with COVID-19 of that severity, and all without",
        "kind": "scans of that kind, and all with COVID-19",
    }
    for name, rows in strata.items():
        made: list[tuple[str, list[Child]]] = [
            (
                stratum,
                [
                    str(one["with"]),
                    str(one["without"]),
                    *(interval(one[figure]) for figure in ("auc", "sensitivity", "specificity")),
                    one["note"] or NOTHING,
                ],
            )
            for stratum, one in rows.items()
        ]
        head = [name, "patients with", "without", "AUC", "sensitivity", "specificity", "remark"]
        content.append(figures_table(f"By {name}: {words.get(name, 'scans of that rating')}", head, made))
    if any(name == "CO-RADS" for name in strata):
        content.append(note(CORADS_NOTE))
    return content


def calibration_table(found: Found) -> Html:
    """Temperature and what the probabilities are worth, method by method."""
    rows: list[tuple[str, list[Child]]] = []
    for name, one in found["methods"].items():
        told = one["calibration"]
        luck = f"{number(told['ece_by_luck'][0], 2)} ({number(told['ece_by_luck'][1], 2)})"
        figures = [told[key] for key in ("temperature", "ece_raw", "ece", "ece_width")]
        cells: list[Child] = [number(value, 2) for value in figures]
        rows.append((name, [*cells, luck, number(told["brier"], 3), number(told["nll"], 3)]))
    head = [
        "method",
        "temperature",
        "ECE before",
        "ECE after",
        "ECE, bins of equal width",
        "ECE by luck: median (95 %)",
        "Brier score",
        "negative log-likelihood",
    ]
    return figures_table("Calibration", head, rows)


def conformal_table(found: Found) -> Html:
    """Coverage and share of answers of the conformal sets, method by method."""
    rows: list[tuple[str, list[Child]]] = []
    for name, one in found["methods"].items():
        told = one["conformal"]
        shares = [told["shares"][answer] for answer in ("cannot tell", "unfamiliar")]
        rows.append(
            (
                name,
                [
                    interval(told["coverage_with"]),
                    interval(told["coverage_without"]),
                    *(_percent(share) for share in (*shares, told["certain"])),
                    interval(told["right"]),
                ],
            )
        )
    level = next(iter(found["methods"].values()))["conformal"]["level"]
    head = [
        "method",
        "kept, with",
        "kept, without",
        "cannot tell",
        "unfamiliar",
        "one answer",
        "of these right",
    ]
    caption = f"Conformal answers that keep the true class of {number(100 * level)} % of each class"
    return figures_table(caption, head, rows)


def _percent(share: float) -> str:
    return f"{number(100 * share)}{SPACE}%"


def complexity_table(numbers: Found) -> list[Html]:
    """What each method costs, and the paper's table below."""
    rows: list[tuple[str, list[Child]]] = [
        (
            row["method"],
            [
                _millions(row["parameters"]),
                number(row["gflops"], 2 if (row["gflops"] or 0) < 100 else 0),
                number(row["seconds"], 2),
            ],
        )
        for row in numbers.get("complexity") or []
    ]
    rows += [
        (
            f"the paper: {cost.method.lower()}",
            [
                number(cost.parameters, 2),
                number(cost.gflops, 2 if cost.gflops < 100 else 0),
                number(cost.seconds, 1),
            ],
        )
        for cost in COSTS
    ]
    words = note(
        "A multiplication and an addition are two operations; the paper does not say how it counts, nor for "
        "how many slices. Ours: one thread of this machine, no accelerator. The paper: a Titan Xp."
    )
    head = ["step", "parameters, millions", "GFLOPs a scan", "seconds a scan"]
    return [figures_table("Costs", head, rows), words]


def _millions(parameters: float | None) -> str:
    return NOTHING if parameters is None else number(parameters / 1e6, 2)


def relevance_table(rows: Sequence[Found]) -> Html:
    """Where relevance lies, beside chance and randomised weights."""
    made: list[tuple[str, list[Child]]] = [
        (
            f"{row['method']}: {row['region']}",
            [interval(row["share"]), number(row["chance"], 2), interval(row.get("randomised"))],
        )
        for row in rows
    ]
    head = ["explanation and region", "share of relevance", "share of the lungs", "shuffled weights"]
    return figures_table("Explanations, measured", head, made)
