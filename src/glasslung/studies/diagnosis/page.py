"""The page of the diagnosis study, from its figures alone.

numbers.json {
  'ground': {'name': words, 'sha256': text, 'parts': {part: {'scans', 'patients', 'with'}}}
  'reference': the method that the others are tested against
  'parts': {part: `scores.score_part`}: 'test' first, then 'external', or any other names
  'ablation': {row of the paper (`papers.ABLATION`): our method}
  'complexity': [{'method', 'parameters', 'gflops', 'seconds'}], parameters as a count; may be empty
  'stress': `stress.stress_curves`, or null
  'explanations', 'faithfulness', 'conservation': lists as `explained` gives them; may be missing
  'cautions': [sentence], 'methods': [[name, text]]: beside what is written here; may be missing
  'plan': {'quick': bool, 'seconds': of training each}, 'seeds_trained': [seed]
  'command', 'created', 'versions': of `folder.about_run`
}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glasslung.report.classifiercharts import (
    BenefitDrawing,
    RelevanceDrawing,
    ReliabilityDrawing,
    RocDrawing,
    StressDrawing,
    draw_benefit,
    draw_relevance,
    draw_reliability,
    draw_roc,
    draw_stress,
)
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
from glasslung.report.wording import number
from glasslung.studies.diagnosis import tables
from glasslung.studies.diagnosis.facts import facts
from glasslung.studies.diagnosis.papers import printed_points
from glasslung.studies.diagnosis.verdict import cautions, first_part, verdicts
from glasslung.studies.folder import PAGE

Found = Mapping[str, Any]
HEADINGS = {"test": "Held-out patients", "external": "A hospital never trained on"}


def write_page(numbers: Found, folder: Path) -> Path:
    """Write index.html into a folder, whole or not at all; returns its path."""
    page = StudyPage(
        title="COVID-19 or not, and why",
        lead=_lead(numbers),
        verdicts=verdicts(numbers),
        chapters=[
            Chapter("ablation", "The paper beside ours", tuple(tables.ablation_table(numbers))),
            *(_part(numbers, part) for part in numbers["parts"]),
            *_stress(numbers),
            *_relevance(numbers),
            Chapter("costs", "Costs", tuple(tables.complexity_table(numbers))),
        ],
        methods=_methods(numbers),
        provenance=_provenance(numbers),
        facts=facts(numbers),
        cautions=cautions(numbers),
    )
    return write_study_page(page, folder / PAGE)


def _lead(numbers: Found) -> str:
    ground = numbers["ground"]
    parts = "; ".join(
        f"{part}: {found['scans']} scans of {found['patients']} patients, {found['with']} with COVID-19"
        for part, found in ground["parts"].items()
    )
    many = len(numbers["parts"][first_part(numbers)]["methods"])
    return f"{many} classifiers of whole scans on {ground['name']}: {parts}. No patient is in two parts."


# ---------------------------------------------------------------------------------------------- chapters


def _part(numbers: Found, part: str) -> Chapter:
    found = numbers["parts"][part]
    content = [
        tag("h3", "Sick found for well called sick"),
        _roc(found, part),
        *tables.area_table(numbers, part),
        *tables.tests_table(found),
        *tables.strata_tables(found),
        tag("h3", "Whether probabilities mean what they say"),
        _reliability(found),
        tables.calibration_table(found),
        tables.conformal_table(found),
        tag("h3", "Whether acting on them does more good than harm"),
        _benefit(found),
    ]
    return Chapter(part, HEADINGS.get(part, part), tuple(content))


def _roc(found: Found, part: str) -> Html:
    wanted = f"paper, {tables.PAPER_PARTS.get(part, '')}"
    points = [point for point in printed_points() if point[0] == wanted]
    curves = [
        RocDrawing(
            name,
            one["roc"]["false"],
            one["roc"]["true"],
            one["roc"]["low"],
            one["roc"]["high"],
            one["auc"],
            points if name == found["reference"] else (),
        )
        for name, one in found["methods"].items()
    ]
    caption = (
        "Pointwise 95 % bands by resampling patients (2000 draws by default); other methods in grey. The "
        "square: where the paper\u2019s classifier works, on its own patients."
    )
    return drawing(draw_roc(curves), "ROC curves of every method with bands", caption)


def _reliability(found: Found) -> Html:
    made = [
        ReliabilityDrawing(
            name, one["calibration"]["reliability"], one["calibration"]["bars"], one["calibration"]["ece"]
        )
        for name, one in found["methods"].items()
    ]
    caption = (
        "Bins of equal mass; bars are Wilson\u2019s 95 % limits counted in patients, grey heights the number "
        "of scans. Temperature from validation scans."
    )
    return drawing(draw_reliability(made), "Reliability diagrams of every method", caption)


def _benefit(found: Found) -> Html:
    names = ("thresholds", "model", "low", "high", "everybody")
    curves = [
        BenefitDrawing(name, *(one["benefit"][line] for line in names))
        for name, one in found["methods"].items()
    ]
    caption = (
        "Net benefit: true positives per scan less false ones, at the exchange that the threshold stands "
        "for. It speaks of this mixture of patients."
    )
    return drawing(draw_benefit(curves), "Decision curves of every method", caption)


def _stress(numbers: Found) -> list[Chapter]:
    stress = numbers.get("stress")
    if not stress:
        return []
    panels = [
        StressDrawing(kind[:1].upper() + kind[1:], one["label"], one["usual"], one["curves"])
        for kind, one in stress["kinds"].items()
    ]
    caption = (
        f"{stress['scans']} scans, {stress['with']} with COVID-19; masks of lungs and lesions stay those of "
        "the unaltered scan. Bars: 95 % by resampling patients. The grey line: nothing altered."
    )
    picture = drawing(draw_stress(panels), "AUC against alterations of the scans", caption)
    return [Chapter("stress", "Stress", (picture,))]


def _relevance(numbers: Found) -> list[Chapter]:
    rows = numbers.get("explanations") or []
    content: list[Html | None] = []
    if rows:
        names = list(dict.fromkeys(row["method"] for row in rows))
        panels = [_regions(name, [row for row in rows if row["method"] == name]) for name in names]
        caption = (
            "Share of the positive relevance in each region, mean over scans; regions overlap. Black: the "
            "region\u2019s share of the lungs, which a map that knows nothing would give. Diamond: the same "
            "network with shuffled weights, where that was measured."
        )
        content = [
            drawing(draw_relevance(panels), "Share of relevance by region", caption),
            tables.relevance_table(rows),
        ]
    content += _faithfulness(numbers) + _conservation(numbers)
    return [Chapter("explanations", "Why", tuple(content))] if content else []


def _regions(name: str, rows: list[Found]) -> RelevanceDrawing:
    return RelevanceDrawing(
        name,
        {row["region"]: row["share"] for row in rows},
        {row["region"]: row["chance"] for row in rows if row["chance"] is not None},
        {row["region"]: row["randomised"] for row in rows if row.get("randomised")},
    )


def _faithfulness(numbers: Found) -> list[Html]:
    rows: list[tuple[str, list[Child]]] = [
        (f"{row['method']}: {row['figure']}", [interval(row["value"]), interval(row.get("random"))])
        for row in numbers.get("faithfulness") or []
    ]
    head = ["explanation and figure", "found", "a map that knows nothing"]
    return [figures_table("Whether the maps point at what the network uses", head, rows)] if rows else []


def _conservation(numbers: Found) -> list[Html]:
    rows: list[tuple[str, list[Child]]] = [
        (f"{row['network']}: {row['rule']}", [f"{number(100 * row['error'], 3)} %"])
        for row in numbers.get("conservation") or []
    ]
    if not rows:
        return []
    head = ["network and rules", "lost or made, share of the logit"]
    words = note("Relevance of the input and the biases together, against the logit that it explains.")
    return [figures_table("Whether relevance adds up", head, rows), words]


# ------------------------------------------------------------------------------------------ how it was done


HOW = (
    (
        "Parts",
        (
            "By patient. Weights, temperature, threshold and conformal scores come from validation scans; "
            "the scans that are scored here were asked once."
        ),
    ),
    (
        "Intervals",
        (
            "95 %, by resampling patients with all their scans, each class keeping its number. Where all or "
            "none were right: Clopper and Pearson, counted in patients. DeLong\u2019s variance, for patients "
            "with several scans Obuchowski\u2019s."
        ),
    ),
    (
        "Without looking into the lungs",
        (
            "The AUC that trees reach, cross-validated by patient, from what the pictures tell besides the "
            "disease. An AUC counts for what it has beyond that."
        ),
    ),
    (
        "Probabilities",
        (
            "Temperature scaling by likelihood with softened targets; expected calibration error (ECE) over "
            "ten bins of equal mass, beside the error that true probabilities would show by luck."
        ),
    ),
    (
        "Cannot tell",
        (
            "Class-conditional split conformal prediction: both classes kept is \u201ccannot tell\u201d, "
            "none \u201cunfamiliar\u201d."
        ),
    ),
)


def _methods(numbers: Found) -> list[tuple[str, str]]:
    seconds = (numbers.get("plan") or {}).get("seconds")
    told = list(HOW)
    if seconds:
        told.insert(1, ("Time", f"{seconds:g} s of one core for each training, all that it needs included."))
    return [*told, *((str(name), str(text)) for name, text in numbers.get("methods") or [])]


def _provenance(numbers: Found) -> list[tuple[str, str]]:
    ground = numbers["ground"]
    scans = ground["name"] + (f", SHA-256 {ground['sha256'][:16]}" if ground.get("sha256") else "")
    pairs = [
        ("Command", numbers.get("command", "")),
        ("Made", numbers.get("created", "")),
        ("Seeds", ", ".join(str(seed) for seed in numbers.get("seeds_trained") or [])),
        ("Scans", scans),
        (
            "Versions",
            ", ".join(f"{name} {version}" for name, version in (numbers.get("versions") or {}).items()),
        ),
    ]
    return [(name, value) for name, value in pairs if value]
