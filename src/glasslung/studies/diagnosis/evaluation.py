"""Score a trained classifier on the scans of a cohort, as the product would answer for each.

Every scan is made an exam as the classifier's operating.json asks for, and answered at the operating point
stored there: nothing is fitted on these scans. Where the table has a part 'test', that part is scored and
the others are left out, unless another part is asked for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.exams import ExamSet, label_of
from glasslung.errors import DataError, UsageError
from glasslung.files import write_whole
from glasslung.measure.calibration import (
    brier_score,
    calibration_error,
    calibration_error_by_luck,
    negative_log_likelihood,
    reliability,
)
from glasslung.measure.conformal import Conformal, measure_coverage
from glasslung.measure.decisions import FIGURES, calls_at
from glasslung.measure.ranking import auc_interval
from glasslung.measure.roccurves import false_alarms_interval
from glasslung.measure.statistics import Interval
from glasslung.predict.diagnosing import Classifier, diagnose, open_classifier
from glasslung.predict.exams import read_exams
from glasslung.predict.folds import FoldsFolder, is_folds, read_folds
from glasslung.predict.trained import TRAINING, Trained
from glasslung.studies.diagnosis.folds import FoldsElsewhere, score_elsewhere
from glasslung.studies.diagnosis.papers import PRINTED, Printed, printed_rows
from glasslung.studies.diagnosis.source import source_only_auc
from glasslung.studies.diagnosis.training import DIGITS, SCANS, TRAIN, VAL, making_for
from glasslung.studies.folder import part_of
from glasslung.studies.trained import input_hashes, told_of
from glasslung.train.rundir import hash_input
from glasslung.types import Diagnosis, Progress, Remark, Severity

PREDICTIONS = "predictions.csv"
COLUMNS = (
    "scan",
    "patient",
    "part",
    "label",
    "log_odds",
    "probability",
    "answer",
    "standing",
    "farther_than_percent",
)
TEST, ALL, UNNAMED = "test", "all", "unnamed"
SENSITIVITY = 0.95  # at which the paper counts false alarms


class Scored(NamedTuple):
    """What was found: plain values, the table a person reads, remarks, and the lines of predictions.csv."""

    figures: dict[str, Any]
    table: str
    remarks: tuple[Remark, ...]
    rows: list[dict[str, Any]]


def evaluate_classifier(
    trained: Trained,
    which: str | Path,
    cohort: Cohort,
    seed: int = 0,
    progress: Progress | None = None,
    part: str = "",
) -> Scored:
    """Score a classifier on the labelled scans of a cohort.

    part  'train', 'val', 'test' or 'all'; '': 'test' where the table has such a part, else all
    DataError where there are not scans of both kinds, or fewer than two patients of one.
    """
    classifier = open_classifier(which)
    folder = Path(which)
    cohort, remark = chosen(cohort, part)
    read = classifier.operating
    making = making_for(read.lesions_by, classifier.size, read.frame)
    exams = read_exams(cohort, None, making, part_of(progress, 0.0, 0.8))
    said = _ask(classifier, exams, part_of(progress, 0.8, 1.0))
    figures = figures_of(classifier, exams, said, np.random.default_rng(seed))
    whole = {
        "about": told_of(trained) | {"temperature": read.temperature, "threshold": read.threshold},
        "data": {"name": cohort.name, "scans": len(exams), "patients": len(set(exams.patients))},
        "figures": figures,
        "beside": {"validation": asdict(read.validation), "printed": printed_rows()},
    }
    remarks, table = (remark, *seen_remarks(trained, cohort)), table_of(figures, classifier, exams)
    if is_folds(folder):
        each = score_elsewhere(read_folds(folder), exams, seed)
        whole["folds"] = each.told()
        table += folds_table(each, read_folds(folder))
    return Scored(whole, table, remarks, rows_of(exams, said))


def folds_table(found: FoldsElsewhere, folds: FoldsFolder) -> str:
    """What the folds do one by one, beside all as one."""
    together, best = (_words(asdict(one)) for one in (found.together, found.best))
    return (
        f"{len(found.each)} folds, one by one: mean AUC {found.mean:.2f} (SD {found.sd:.2f}), from "
        f"{min(found.each):.2f} to {max(found.each):.2f}\n"
        f"  best on its own fold ({folds.best.name})  {best}\n  all as one                    {together}\n"
    )


def write_predictions(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """predictions.csv: a line for each scan."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / PREDICTIONS, text.getvalue())


def chosen(cohort: Cohort, part: str = "") -> tuple[Cohort, Remark]:
    """The labelled scans of the part that is scored, and a remark which part that is."""
    counts: dict[str, int] = {}
    for case in cohort.cases:
        counts[case.split or UNNAMED] = counts.get(case.split or UNNAMED, 0) + 1
    if part not in ("", ALL, *counts):
        raise UsageError(f"--part {part!r}: the table has {', '.join(sorted(counts))}, or give {ALL!r}")
    wanted = part or (TEST if TEST in counts else ALL)
    cases = tuple(case for case in cohort.cases if wanted == ALL or (case.split or UNNAMED) == wanted)
    labelled = tuple(case for case in cases if case.label)
    if {label_of(case.label) for case in labelled} != {0, 1}:
        raise DataError(
            f"{cohort.name} needs scans labelled 'covid' and scans labelled otherwise to be scored; among "
            f"{len(cases)} scan(s) of part {wanted!r} there is one kind or none"
        )
    others = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()) if name != wanted)
    text = f"Scored: {len(labelled)} scans, part {wanted!r} of the table."
    if wanted != ALL and others:
        text += f" Left out: {others}."
    if len(labelled) < len(cases):
        text += f" {len(cases) - len(labelled)} scan(s) have no label and are not scored."
    return replace(cohort, cases=labelled), Remark("part-scored", Severity.NOTE, text)


def seen_remarks(trained: Trained, cohort: Cohort) -> tuple[Remark, ...]:
    """Whether the classifier was trained on, or chosen by, some of these very files."""
    seen = trained.about["settings"].get(TRAINING, {}).get(SCANS)
    remedy = "Read these figures as those of training, or score scans that it never saw."
    if not isinstance(seen, Mapping):
        text = (
            "Whether the classifier was trained on some of these scans is not known; its folder does not say."
        )
        if any(hash_input(cohort.path(case.image)) in input_hashes(trained.about) for case in cohort.cases):
            text = "The classifier was trained on one of these very scans."
        return (Remark("training-unknown", Severity.NOTE, text),)
    here = [hash_input(cohort.path(case.image))[:DIGITS] for case in cohort.cases]
    found = []
    for part, words in ((TRAIN, "trained on"), (VAL, "chosen and calibrated on")):
        known = set(seen.get(part, ()))
        if count := sum(one in known for one in here):
            text = f"The classifier was {words} {count} of these {len(here)} scans."
            found.append(Remark("trained-on-these", Severity.WARN, text, remedy))
    return tuple(found)


def _ask(classifier: Classifier, exams: ExamSet, progress: Progress | None) -> list[Diagnosis]:
    said = []
    for number, exam in enumerate(exams.exams):
        if progress:
            progress("classifying", number / len(exams))
        said.append(diagnose(classifier, exam))
    return said


def figures_of(
    classifier: Classifier, exams: ExamSet, said: Sequence[Diagnosis], rng: np.random.Generator
) -> dict[str, Any]:
    """Everything measured, as plain values; intervals by resampling patients, 95 %."""
    read, truth = classifier.operating, exams.label == 1
    score = np.array([one.log_odds for one in said])
    probability = np.array([one.probability for one in said])
    patients = exams.patients
    calls = calls_at(truth, probability, read.threshold, patients, rng=rng)
    conformal = Conformal(read.level, tuple(read.with_finding.tolist()), tuple(read.without.tolist()))
    cover = measure_coverage(conformal, truth, probability, patients, rng=rng)
    luck = calibration_error_by_luck(probability, rng=rng)
    bins = reliability(truth, probability, patients)
    return {
        "source": _source(exams, rng),
        "auc": _told(auc_interval(truth, score, patients, rng=rng)),
        "false_alarms": {
            "at_sensitivity": SENSITIVITY,
            **_told(false_alarms_interval(truth, score, patients, sensitivity=SENSITIVITY, rng=rng)),
        },
        "threshold": read.threshold,
        "counts": dict(zip(("tp", "fn", "fp", "tn"), calls.counts, strict=True)),
        "at_threshold": {name: _told(calls.figures[name]) for name in FIGURES},
        "calibration": {
            "ece": calibration_error(truth, probability),
            "ece_by_luck": {"median": luck[0], "most": luck[1]},
            "brier": brier_score(truth, probability),
            "surprise_nats": negative_log_likelihood(truth, probability),
            "reliability": [asdict(one) for one in bins],
        },
        "conformal": {
            "level": read.level,
            "coverage": _told(cover.coverage),
            "coverage_with": _told(cover.coverage_with),
            "coverage_without": _told(cover.coverage_without),
            "answers": {str(name): share for name, share in cover.shares.items()},
            "right_where_certain": _told(cover.right),
        },
    }


def _told(interval: Interval | None) -> dict[str, Any]:
    return {"value": None} if interval is None else asdict(interval)


def rows_of(exams: ExamSet, said: Sequence[Diagnosis]) -> list[dict[str, Any]]:
    """The lines of predictions.csv, in the order of the table."""
    return [
        {
            "scan": exams.scans[row],
            "patient": exams.patients[row],
            "part": exams.split[row],
            "label": exams.words[row],
            "log_odds": f"{one.log_odds:.6g}",
            "probability": f"{one.probability:.6g}",
            "answer": one.answer.value,
            "standing": one.standing_words,
            "farther_than_percent": "" if one.percentile is None else f"{one.percentile:.1f}",
        }
        for row, one in enumerate(said)
    ]


def table_of(figures: Mapping[str, Any], classifier: Classifier, exams: ExamSet) -> str:
    """What a person reads first."""
    sick = int((exams.label == 1).sum())
    calls, held = figures["at_threshold"], figures["calibration"]
    cover, counts, luck = figures["conformal"], figures["counts"], held["ece_by_luck"]
    lines = [
        f"{len(exams)} scans of {len(set(exams.patients))} patients, {sick} with COVID-19",
        f"AUC                        {_words(figures['auc'])}",
        f"false alarms at {SENSITIVITY:.0%} found  {_words(figures['false_alarms'])}",
        f"at the stored threshold, {figures['threshold']:.3f} ({classifier.operating.rule}):",
        *(f"  {name:<24} {_words(calls[name])}" for name in FIGURES),
        "  " + ", ".join(f"{name.upper()} {count}" for name, count in counts.items()),
        f"calibration error          {held['ece']:.3f} (by luck up to {luck['most']:.3f})",
        f"answers that promise {cover['level']:.0%}   hold the truth in {_words(cover['coverage'])}",
        f"  cannot tell              {cover['answers']['cannot tell']:.0%}",
        _source_line(figures["source"]),
        *(_printed_line(row) for row in PRINTED if row.part != "ablation"),
    ]
    return "\n".join(lines) + "\n"


def _source_line(source: Mapping[str, Any]) -> str:
    if source["value"] is None:
        return f"told by the lungs' outline alone: not measured ({source['reason']})"
    return f"told by outline alone, AUC {_words(source)}: what a score has to clear"


def _printed_line(row: Printed) -> str:
    value, low, high = row.auc or (0.0, 0.0, 0.0)
    return (
        f"the paper, {row.part:<13}    AUC {value:.2f} [{low:.2f}, {high:.2f}], sensitivity "
        f"{row.sensitivity:.2f}, specificity {row.specificity:.2f}"
    )


def _source(exams: ExamSet, rng: np.random.Generator) -> dict[str, Any]:
    """How well trees that see outlines alone tell the label, cross-validated on these scans; or why not."""
    try:
        return _told(source_only_auc(exams, rng))
    except (DataError, UsageError) as problem:  # too few patients for folds: said, not hidden
        return {"value": None, "reason": str(problem)}


def _words(interval: Mapping[str, Any]) -> str:
    if interval["value"] is None:
        return "not defined"
    return f"{interval['value']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"
