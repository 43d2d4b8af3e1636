"""Score a model of critical illness on patients it never saw: nothing is fitted on them.

Slices are read from a folder in the layout of the CAGE set, or a cohort table. Rows of healthy people, rows
whose endpoint is not known, and pictures that show no cut-out lungs are left out and counted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.errors import DataError
from glasslung.files import write_whole
from glasslung.measure.calibration import brier_score, calibration_error, calibration_error_by_luck
from glasslung.measure.concordance import c_difference, c_interval, harrells_c_weighted, unos_c_weighted
from glasslung.measure.decisions import FIGURES, calls_at
from glasslung.studies.critical.courses import AGE_SEX, BOTH, HORIZON, IMAGE, at_landmark, split_at_median
from glasslung.studies.critical.ground import CriticalGround, critical_ground
from glasslung.studies.critical.keeping import Kept, open_kept
from glasslung.studies.critical.nested import CHOSEN
from glasslung.studies.critical.scores import BINS, score_table
from glasslung.studies.critical.sight import SEGMENTER, see, stacked
from glasslung.studies.trained import picture_digest
from glasslung.types import Progress, Remark, Severity

PREDICTIONS = "predictions.csv"
COLUMNS = ("patient", "critical_illness", "log_odds", "probability", "age_sex_probability", "cox_risk")
THRESHOLD = 0.5
DRAWS = 2000


class Scored(NamedTuple):
    """Plain values, the table a person reads first, remarks, and the lines of predictions.csv."""

    figures: dict[str, Any]
    table: str
    remarks: tuple[Remark, ...]
    rows: list[dict[str, str]]


def evaluate_critical(
    which: str | Path, cohort: Cohort, seed: int = 0, progress: Progress | None = None, draws: int = DRAWS
) -> Scored:
    """Everything of a cohort that a model of critical illness can be judged by.

    DataError where fewer than eight patients became critically ill, or did not.
    """
    kept = open_kept(which)
    ground, tables, digests, remarks = _read(cohort, progress)
    rng = np.random.default_rng(seed)
    scores = {name: model.log_odds(tables)[:, None] for name, model in kept.models.items()}
    probability = kept.models[CHOSEN].probability(tables)
    figures: dict[str, Any] = {
        "about": {"name": kept.name, "model": kept.about["models"][CHOSEN]["candidate"]},
        "data": {"name": ground.name, "patients": len(ground), "left_out": ground.left_out},
        "ranking": score_table(ground.event, scores, ground.patients, tuple(kept.models), CHOSEN, rng, draws),
        "strata": _strata(ground, scores, rng, draws),
        "probabilities": _probabilities(ground, probability, rng, draws),
    }
    image = scores[CHOSEN][:, 0]
    columns = {"image": image, "age": ground.age / 10, "male": ground.male}
    figures["course"] = _course(ground, kept, columns, rng, draws)
    remarks = (*remarks, *_seen(kept, digests))
    risk = kept.risk(BOTH, columns)
    beside = kept.models[AGE_SEX].probability(tables)
    rows = [
        {
            "patient": str(ground.patients[row]),
            "critical_illness": str(int(ground.event[row])),
            "log_odds": f"{image[row]:.6g}",
            "probability": f"{probability[row]:.6g}",
            "age_sex_probability": f"{beside[row]:.6g}",
            "cox_risk": f"{risk[row]:.6g}",
        }
        for row in range(len(ground))
    ]
    return Scored(figures, _table(figures), remarks, rows)


def write_predictions(rows: list[dict[str, str]], folder: Path) -> None:
    """predictions.csv: a line for each patient."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(folder / PREDICTIONS, text.getvalue())


def _read(
    cohort: Cohort, progress: Progress | None
) -> tuple[CriticalGround, dict[str, np.ndarray], list[str], tuple[Remark, ...]]:
    """The patients, what their slices show, the pictures' digests, and who was left out."""
    from glasslung.predict.opening import open_segmenter

    ground = critical_ground(cohort)
    segmenter, seen, digests, kept = open_segmenter(SEGMENTER), [], [], []
    for row in range(len(ground)):
        if progress:
            progress(f"slice {row + 1} of {len(ground)}", row / len(ground))
        try:
            picture = ground.picture(row)
            seen.append(see(picture, segmenter))
        except DataError:
            continue  # counted below
        digests.append(picture_digest(picture))
        kept.append(row)
    if missing := len(ground) - len(kept):
        ground = ground.take(np.array(kept, int), {"no picture of cut-out lungs": missing})
    tables = stacked(seen) | {"clinic": np.stack([ground.age, ground.male], 1)}
    told = [
        Remark("rows-left-out", Severity.NOTE, f"{count} row(s) left out: {reason}.")
        for reason, count in ground.left_out.items()
    ]
    for name, column in (("age", ground.age), ("sex", ground.male)):
        if unknown := int(np.isnan(column).sum()):
            text = (
                f"The {name} of {unknown} patient(s) is not known; the middle of those trained on stands in."
            )
            told.append(Remark("clinical-unknown", Severity.NOTE, text))
    return ground, tables, digests, tuple(told)


def _strata(
    ground: CriticalGround, scores: Mapping[str, np.ndarray], rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    near, told = ground.one_scanner(), {}
    for name, rows in (("scans of the usual length", near), ("all other scans", ~near)):
        if min(ground.event[rows].sum(), (~ground.event[rows]).sum()) >= 5:
            part = {model: score[rows] for model, score in scores.items()}
            told[name] = score_table(
                ground.event[rows], part, ground.patients[rows], (AGE_SEX,), CHOSEN, rng, draws
            )
    return told


def _probabilities(
    ground: CriticalGround, probability: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    calls = calls_at(ground.event, probability, THRESHOLD, ground.patients, rng=rng, draws=draws)
    luck = calibration_error_by_luck(probability, rng=rng, bins=BINS)
    return {
        "threshold": THRESHOLD,
        "counts": dict(zip(("tp", "fn", "fp", "tn"), calls.counts, strict=True)),
        "at_threshold": {name: _told(calls.figures[name]) for name in FIGURES},
        "ece": calibration_error(ground.event, probability, BINS),
        "ece_by_luck": {"median": luck[0], "most": luck[1]},
        "brier": brier_score(ground.event, probability),
    }


def _course(
    ground: CriticalGround,
    kept: Kept,
    columns: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    """C from day 1 on of the shipped risks, or why it was not asked."""
    try:
        past = at_landmark(ground)
    except DataError as problem:
        return {"refused": str(problem)}
    mine = {name: column[past.rows] for name, column in columns.items()}
    risks = {IMAGE: mine["image"], **{name: kept.risk(name, mine) for name in (AGE_SEX, BOTH)}}
    who, uno = ground.patients[past.rows], partial(unos_c_weighted, tau=HORIZON - 1.0)
    held: dict[str, Any] = {"rng": rng, "draws": draws}
    return {
        "patients": len(past.rows),
        "events": int(past.event.sum()),
        "risks": {
            name: {
                "harrell": asdict(c_interval(harrells_c_weighted, risk, past.days, past.event, who, **held)),
                "uno": asdict(c_interval(uno, risk, past.days, past.event, who, **held)),
            }
            for name, risk in risks.items()
        },
        "gains": {
            name: asdict(
                c_difference(
                    harrells_c_weighted, risks[AGE_SEX], risks[name], past.days, past.event, who, **held
                )
            )
            for name in (IMAGE, BOTH)
        },
        "log_rank_p": split_at_median(risks[IMAGE], past)["p"],
    }


def _seen(kept: Kept, digests: list[str]) -> tuple[Remark, ...]:
    """Whether the model learned from some of these very pictures."""
    known = set(kept.about.get("pictures", ()))
    if not (count := sum(digest in known for digest in digests)):
        return ()
    text = f"The model was trained on {count} of these {len(digests)} pictures."
    remedy = "Read these figures as those of training, or score patients it never saw."
    return (Remark("trained-on-these", Severity.WARN, text, remedy),)


def _table(figures: Mapping[str, Any]) -> str:
    """What a person reads first."""
    ranking, course = figures["ranking"], figures["course"]
    told = figures["probabilities"]
    lines = [f"{ranking['patients']} patients, {ranking['events']} of whom became critically ill"]
    lines += [f"AUC  {name:<28} {_words(found)}" for name, found in ranking["auc"].items()]
    lines += [f"     chosen less {name:<16} {_words(found)}" for name, found in ranking["gain"].items()]
    for name, part in figures["strata"].items():
        lines.append(
            f"AUC  {name:<28} {_words(part['auc'][CHOSEN])}  ({part['events']} of {part['patients']})"
        )
    lines += [
        f"at {told['threshold']:g}: {name:<25} {_words(told['at_threshold'][name])}" for name in FIGURES
    ]
    lines.append(f"calibration error {told['ece']:.3f} (by luck up to {told['ece_by_luck']['most']:.3f})")
    if "refused" in course:
        return "\n".join([*lines, f"course: {course['refused']}"]) + "\n"
    lines.append(f"from day 1: {course['patients']} patients, {course['events']} events")
    for name, row in course["risks"].items():
        lines.append(f"C    {name:<28} Harrell {_words(row['harrell'])}, Uno {_words(row['uno'])}")
    lines += [f"     {name} less age and sex: {_words(found)}" for name, found in course["gains"].items()]
    lines.append(f"log-rank of the halves by image: p {course['log_rank_p']:.2g}")
    return "\n".join(lines) + "\n"


def _told(interval: Any) -> dict[str, Any]:
    return {"value": None} if interval is None else asdict(interval)


def _words(interval: Mapping[str, Any]) -> str:
    if interval["value"] is None:
        return "not defined"
    return f"{interval['value']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"
