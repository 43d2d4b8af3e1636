"""The same method among some of the scans: each hospital, each severity, each kind of disease, CO-RADS.

A stratum is scored by what it holds. A site, or a CO-RADS rating, holds scans with and without the finding. A
severity is one of those with it, and stands beside everybody without; a kind ('healthy', 'bacterial') is one
of those without, and stands beside everybody with. Severities that are numbers are dealt into thirds.

    {'site' | 'severity' | 'kind' | 'CO-RADS': {stratum: {
        'with', 'without': patients; 'auc', 'sensitivity', 'specificity': [value, low, high] or null
        'note': why a figure is missing, or ''}}}

Sensitivity and specificity are those of the operating point that the validation scans gave.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.measure.ranking import auc_interval
from glasslung.measure.statistics import share_by_patient

if TYPE_CHECKING:
    from glasslung.studies.diagnosis.scores import Scans

LEAST = 5  # patients of a class in a stratum: with fewer an interval spans almost everything
THIRDS = 3
CORADS = "CO-RADS"
LADDER = ("none", "mild", "moderate", "severe", "critical")  # as severities are read, not by the alphabet


def score_strata(
    scans: Scans,
    score: np.ndarray,
    probability: np.ndarray,
    threshold: float,
    *,
    seed: int = 0,
    draws: int = 2000,
) -> dict[str, dict[str, Any]]:
    """Every stratum of the scans, by site, severity, kind and CO-RADS, as far as these are known."""
    truth, everybody = np.asarray(scans.truth, dtype=bool), np.full(len(scans), True)
    called = probability >= threshold

    def stratum(rows: np.ndarray) -> dict[str, Any]:
        return _stratum(truth[rows], score[rows], called[rows], np.asarray(scans.patients)[rows], seed, draws)

    found: dict[str, dict[str, Any]] = {}
    for name, words, among, beside in (
        ("site", scans.sites, everybody, ~everybody),
        ("severity", _levels(scans.severity, truth), truth, ~truth),
        ("kind", scans.words, ~truth, truth),
        (CORADS, _corads(scans), everybody, ~everybody),
    ):
        values = np.asarray(words, dtype=object)
        names = sorted({str(word) for word in values[among] if word}, key=_rank) if len(values) else []
        if len(names) > 1 or (names and name in (CORADS, "kind")):
            found[name] = {one: stratum((among & (values == one)) | beside) for one in names}
    return found


def _stratum(
    truth: np.ndarray, score: np.ndarray, called: np.ndarray, patients: np.ndarray, seed: int, draws: int
) -> dict[str, Any]:
    counts = {name: len(set(patients[kind])) for name, kind in (("with", truth), ("without", ~truth))}
    few = [f"{many} {name} the finding" for name, many in counts.items() if many < LEAST]

    def share(kind: np.ndarray, name: str, hits: np.ndarray) -> list[float] | None:
        if counts[name] < LEAST:
            return None
        found = share_by_patient(hits[kind], patients[kind], rng=np.random.default_rng(seed), draws=draws)
        return [found.value, found.low, found.high]

    area = None
    if not few:
        area = auc_interval(truth, score, patients, rng=np.random.default_rng(seed), draws=draws)
    return {
        **counts,
        "auc": [area.value, area.low, area.high] if area else None,
        "sensitivity": share(truth, "with", called),
        "specificity": share(~truth, "without", ~called),
        "note": f"too few patients: {', '.join(few)}" if few else "",
    }


def _rank(word: str) -> tuple[int, str]:
    return (LADDER.index(word), "") if word in LADDER else (len(LADDER), word)


def _levels(severity: Sequence[str], truth: np.ndarray) -> Sequence[str]:
    """Severities as words; numbers are dealt into thirds of the scans with the finding."""
    if not len(severity):
        return severity
    try:
        values = np.array([float(text) if text else np.nan for text in severity])
    except ValueError:
        return severity
    known = truth & ~np.isnan(values)
    if not known.any():
        return [""] * len(severity)
    edges = np.quantile(values[known], np.linspace(0, 1, THIRDS + 1))
    numbers = np.clip(np.searchsorted(edges[1:-1], values, side="right"), 0, THIRDS - 1)
    names = [f"{low:.2f} to {high:.2f}" for low, high in itertools.pairwise(edges)]
    return [names[n] if one else "" for n, one in zip(numbers, ~np.isnan(values), strict=True)]


def _corads(scans: Scans) -> Sequence[str]:
    """The column called CO-RADS, however it is written; empty where there is none."""
    for name, column in scans.extra.items():
        if re.sub(r"[^a-z]", "", name.lower()) == "corads":
            return column
    return ()
