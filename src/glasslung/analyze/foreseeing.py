"""What becomes of the patient: a model of many stays is asked with the last scan, and with its prior.

A prognosis reads figures, not pictures: how much of the lungs is affected, points of severity, the log-odds
of a diagnosis, how these changed since the prior scan and in how many days, and age and sex where they are
known. Age and sex are inputs of the model and nothing else: they are kept with the prognosis that read them,
in years and as a number, and nowhere besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from glasslung.analyze.masks import NOBODY
from glasslung.analyze.settings import PrognosisSettings
from glasslung.errors import DataError
from glasslung.types import Findings, Prognosis

NOBODY_WANTED = "no prognosis was to be made"
NONE_SHIPS = "no model of prognosis for such scans comes with this version"
UNTRUSTED = "the lung outline of {} is not trusted, and every figure that was read rests on it"


class Foreseen(NamedTuple):
    """A prognosis, or why there is none; and what the same model expects of its other endpoints."""

    told: Prognosis | None
    why_not: str
    further: tuple[Prognosis, ...] = ()


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
    from glasslung.predict.prognosis import open_prognosis, shipped_prognosis

    last = findings[-1]
    name = settings.model or shipped_prognosis(last.intensity)
    if name is None:
        return Foreseen(None, NONE_SHIPS)
    model = open_prognosis(name)
    prior = prior_of(findings) if model.wants_prior else None
    read = [last] if prior is None else [prior, last]
    columns, names = columns_with(last, prior, _person(settings, person)), [scan.scan for scan in read]
    try:
        told = [model.foresee(columns, names, endpoint, last.intensity) for endpoint in model.endpoints]
    except DataError as problem:
        return Foreseen(None, f"{model.name} was not asked: {problem}")
    bad = [UNTRUSTED.format(scan.scan) for scan in read if not scan.lung_quality.trusted]
    first, *further = (replace(one, doubts=(*bad, *one.doubts)) for one in told)
    return Foreseen(first, "", tuple(further))


def prior_of(findings: Sequence[Findings]) -> Findings | None:
    """The scan before the last one on an earlier, known day; None where there is none."""
    last = findings[-1]
    earlier = [
        scan
        for scan in findings[:-1]
        if scan.day is not None and last.day is not None and scan.day < last.day
    ]
    return earlier[-1] if earlier else None


def columns_with(
    last: Findings, prior: Findings | None, person: tuple[float | None, bool | None]
) -> dict[str, float]:
    """Every figure that a story has and a prognosis may read, by name; what is not known is left out.

    Log-odds of two classifiers are not compared.
    """
    from glasslung.predict.prognosis import columns_of, paired_columns

    columns = columns_of(last)
    if prior is not None and last.day is not None and prior.day is not None:
        then = columns_of(prior)
        if _asked(prior) != _asked(last):
            then.pop("log_odds", None)
        columns = paired_columns(columns, then, last.day - prior.day)
    age, male = person
    columns |= {} if age is None else {"age": float(age)}
    columns |= {} if male is None else {"male": float(male)}
    return columns


def _asked(scan: Findings) -> str:
    return "" if scan.diagnosis is None else scan.diagnosis.digest


def _person(
    settings: PrognosisSettings, header: tuple[float | None, bool | None]
) -> tuple[float | None, bool | None]:
    age = settings.age if settings.age is not None else header[0]
    return age, settings.male if settings.male is not None else header[1]
