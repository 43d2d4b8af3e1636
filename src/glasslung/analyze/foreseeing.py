"""What becomes of the patient: a model of many stays is asked with the last scan, and with its prior.

A prognosis reads figures, not pictures: how much of the lungs is affected, points of severity, the log-odds
of a diagnosis, how these changed since the prior scan and in how many days, and age and sex where they are
known. Age and sex are inputs of the model and nothing else: they are kept with the prognosis that read them,
in years and as a number, and nowhere besides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from glasslung.analyze.masks import NOBODY
from glasslung.analyze.settings import PrognosisSettings
from glasslung.errors import DataError
from glasslung.types import Findings, Prognosis

NOBODY_WANTED = "no prognosis was to be made"
NONE_SHIPS = "no model of prognosis for such scans comes with this version"
LAST_COLUMNS = ("affected_percent", "consolidation_percent", "severity_points", "log_odds")
WORDS = {
    "affected_percent": "how much of the lungs is affected",
    "consolidation_percent": "how much of the lungs is consolidated",
    "severity_points": "a CT severity score",
    "log_odds": "the log-odds of the diagnosis",
    "age": "the patient's age (--age)",
    "male": "the patient's sex (--sex)",
    "log_days": "the days between two scans",
}


class Foreseen(NamedTuple):
    """A prognosis, or why there is none."""

    told: Prognosis | None
    why_not: str


def foreseen_by(settings: PrognosisSettings) -> str:
    """Who would be asked, and what was given of the patient, without the figures: for a story's settings."""
    given = [name for name, value in (("age", settings.age), ("sex", settings.male)) if value is not None]
    return " ".join([Path(settings.model).name or "shipped", *(f"({name} given)" for name in given)])


def check_prognosis(settings: PrognosisSettings) -> None:
    """UsageError or DataError at once where a named model is not there, or foresees nothing."""
    if settings.model and settings.model != NOBODY:
        from glasslung.predict.prognosis import open_prognosis

        open_prognosis(settings.model)


def foresee(
    findings: Sequence[Findings], settings: PrognosisSettings, person: tuple[float | None, bool | None]
) -> Foreseen:
    """Ask with the last scan and its prior.

    findings  in order of time;  person  age in years and whether male, by the header; the settings go first
    """
    if settings.model == NOBODY:
        return Foreseen(None, NOBODY_WANTED)
    try:
        from glasslung.predict.prognosis import open_prognosis, shipped_prognosis
    except ModuleNotFoundError:
        return Foreseen(None, NONE_SHIPS)
    last = findings[-1]
    name = settings.model or shipped_prognosis(last.intensity)
    if name is None:
        return Foreseen(None, NONE_SHIPS)
    model = open_prognosis(name)
    prior = prior_of(findings) if model.wants_prior else None
    if model.wants_prior and prior is None:
        return Foreseen(None, f"{name} reads two scans of known days, and there is no prior of the last one")
    columns = columns_of(last, prior, _person(settings, person))
    if missing := [column for column in model.columns if column not in columns]:
        return Foreseen(None, f"{name} needs {_named(missing)}, which this story does not have")
    try:
        scans = (last.scan,) if prior is None else (prior.scan, last.scan)
        read = {column: columns[column] for column in model.columns}
        return Foreseen(model.foresee(read, scans), "")
    except DataError as problem:
        return Foreseen(None, f"{name} was not asked: {problem}")


def prior_of(findings: Sequence[Findings]) -> Findings | None:
    """The scan before the last one on an earlier, known day; None where there is none."""
    last = findings[-1]
    earlier = [
        scan
        for scan in findings[:-1]
        if scan.day is not None and last.day is not None and scan.day < last.day
    ]
    return earlier[-1] if earlier else None


def columns_of(
    last: Findings, prior: Findings | None, person: tuple[float | None, bool | None]
) -> dict[str, float]:
    """Every figure that a story has and a prognosis may read, by name; what is not known is left out."""
    now = _figures(last)
    columns = dict(now)
    if prior is not None and last.day is not None and prior.day is not None:
        then = _figures(prior, last)
        columns |= {f"{name}_prior": value for name, value in then.items()}
        columns |= {f"{name}_change": now[name] - value for name, value in then.items() if name in now}
        columns["log_days"] = math.log1p(last.day - prior.day)
    age, male = person
    columns |= {} if age is None else {"age": float(age)}
    columns |= {} if male is None else {"male": float(male)}
    return columns


def _figures(scan: Findings, beside: Findings | None = None) -> dict[str, float]:
    """Burden, severity and log-odds of one scan; `beside`: the scan with which they are to be compared."""
    known: dict[str, float | None] = dict.fromkeys(LAST_COLUMNS)
    both = scan.regions[0] if scan.regions else None
    if both is not None and scan.lung_quality.trusted:
        known["affected_percent"] = scan.involvement
        trusted = scan.lesion_quality is None or scan.lesion_quality.trusted
        if both.lesions is not None and trusted and "consolidation" in both.lesions:
            known["consolidation_percent"] = both.lesions["consolidation"].percent
    if scan.severity is not None and scan.lung_quality.trusted:
        known["severity_points"] = float(scan.severity.points)
    told, other = scan.diagnosis, beside.diagnosis if beside is not None else scan.diagnosis
    if told is not None and other is not None and told.digest == other.digest:
        known["log_odds"] = told.log_odds
    return {name: value for name, value in known.items() if value is not None}


def _person(
    settings: PrognosisSettings, header: tuple[float | None, bool | None]
) -> tuple[float | None, bool | None]:
    age = settings.age if settings.age is not None else header[0]
    return age, settings.male if settings.male is not None else header[1]


def _named(columns: Sequence[str]) -> str:
    """The columns in words, each once."""
    roots = [column.removesuffix("_prior").removesuffix("_change") for column in columns]
    words = list(dict.fromkeys(WORDS.get(root, root) for root in roots))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
