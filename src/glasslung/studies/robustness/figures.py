"""What windows do to a classifier, in figures: AUC curves, its spread over draws, and scan by scan."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.files import write_whole
from glasslung.measure.ranking import auc_interval, auc_weighted, truth_strata
from glasslung.measure.statistics import Interval, bootstrap_by_patient, patient_codes
from glasslung.studies.robustness.windows import DRAWN, LEVEL, WIDTH, RobustnessPlan, Windows, drawn_kind
from glasslung.types import Progress

SCANS_TABLE, WINDOWS_TABLE = "scans.csv", "windows.csv"


@dataclass(frozen=True, eq=False)
class Answers:
    """What was said: log-odds (N, K) of N scans through K windows, labels (N,) bool, patients and scans."""

    log_odds: np.ndarray
    truth: np.ndarray
    patients: tuple[str, ...]
    scans: tuple[str, ...]


def figures_of(
    answers: Answers,
    windows: Windows,
    plan: RobustnessPlan,
    threshold: float,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Everything measured, as plain values; intervals are 95 %, by resampling patients.

    {'centre': AUC with no shift, an interval
     'curves': {'level' | 'width': [[shift in HU, AUC, low, high], ...]}
     'draws': {deviation: {
         'mean': AUC, mean over windows, an interval; 'change': that less the centre's, of the same patients
         'sd', 'worst', 'best': over the windows; 'worst_at': [level, width]
         'windows': [[level, width, AUC], ...]
         'spread': {'median', 'most'}: standard deviation of a scan's log-odds over the windows
         'turned': share of scans and windows that the operating point answers otherwise than unshifted}}
     'threshold': log-odds from which the answer is 'likely'}
    """
    if progress:
        progress("measuring", 0.0)

    def interval(row: int) -> list[float]:
        rng = np.random.default_rng([plan.seed, 1])
        found = auc_interval(
            answers.truth, answers.log_odds[:, row], answers.patients, rng=rng, draws=plan.resamples
        )
        return [found.value, found.low, found.high]

    curves = {
        kind: [[float(windows.shifts[row, axis]), *interval(row)] for row in windows.rows(kind)]
        for axis, kind in enumerate((LEVEL, WIDTH))
    }
    return {
        "centre": interval(0),
        "curves": curves,
        "draws": {
            f"{deviation:g}": _drawn_figures(answers, windows, deviation, plan, threshold)
            for deviation in plan.deviations
        },
        "threshold": threshold,
    }


def _drawn_figures(
    answers: Answers, windows: Windows, deviation: float, plan: RobustnessPlan, threshold: float
) -> dict[str, Any]:
    rows = windows.rows(drawn_kind(deviation))
    said, centre = answers.log_odds[:, rows], answers.log_odds[:, 0]
    weights = np.ones((1, len(centre)))
    areas = np.array([auc_weighted(answers.truth, one, weights)[0] for one in said.T])
    worst = int(areas.argmin())
    spread = said.std(1, ddof=1)
    turned = (said >= threshold) != (centre >= threshold)[:, None]
    return {
        "mean": _told(mean_auc_interval(answers, said, plan)),
        "change": _told(mean_auc_interval(answers, said, plan, centre)),
        "sd": float(areas.std(ddof=1)),
        "worst": float(areas[worst]),
        "worst_at": [float(one) for one in windows.shifts[rows[worst]]],
        "best": float(areas.max()),
        "windows": [
            [float(level), float(width), float(area)]
            for (level, width), area in zip(windows.shifts[rows], areas, strict=True)
        ],
        "spread": {"median": float(np.median(spread)), "most": float(spread.max())},
        "turned": float(turned.mean()),
    }


def mean_auc_interval(
    answers: Answers, said: np.ndarray, plan: RobustnessPlan, centre: np.ndarray | None = None
) -> Interval:
    """The mean over windows of the AUC, less that of `centre` where it is given, by resampling patients.

    said (N, K) log-odds; centre (N,)
    """
    codes = patient_codes(answers.patients)

    def mean(truth: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
        total = sum(auc_weighted(truth, one, weights) for one in said.T) / said.shape[1]
        less = 0.0 if centre is None else auc_weighted(truth, centre, weights)
        return np.asarray(total - less)

    rng = np.random.default_rng([plan.seed, 1])
    return bootstrap_by_patient(
        mean,
        codes,
        answers.truth,
        said,
        rng=rng,
        draws=plan.resamples,
        strata=truth_strata(answers.truth, codes),
        weighted=True,
    )


def write_tables(answers: Answers, windows: Windows, numbers: Mapping[str, Any], out: Path) -> None:
    """scans.csv and windows.csv."""
    deviations = list(numbers["draws"])
    groups = {one: windows.rows(f"{DRAWN} {one}") for one in deviations}
    moves = [f"{what}_{one}" for one in deviations for what in ("sd", "lowest", "highest")]
    rows: list[list[object]] = [["scan", "patient", "with_finding", "log_odds", *moves]]
    for n, scan in enumerate(answers.scans):
        line: list[object] = [
            scan,
            answers.patients[n],
            int(answers.truth[n]),
            f"{answers.log_odds[n, 0]:.6g}",
        ]
        for one in deviations:
            said = answers.log_odds[n, groups[one]]
            line += [f"{value:.6g}" for value in (said.std(ddof=1), said.min(), said.max())]
        rows.append(line)
    _write_csv(out / SCANS_TABLE, rows)
    table: list[list[object]] = [["sd_hu", "level_hu", "width_hu", "auc"]]
    for one in deviations:
        table += [[one, *(f"{v:.6g}" for v in row)] for row in numbers["draws"][one]["windows"]]
    _write_csv(out / WINDOWS_TABLE, table)


def _told(found: Interval) -> list[float]:
    return [found.value, found.low, found.high]


def _write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_whole(path, text.getvalue())
