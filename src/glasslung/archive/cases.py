"""A cohort's rows as cases: one case is one patient with all scans, so that courses are told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.data.cohort import YES_NO, Cohort
from glasslung.data.formats.identity import one_way_key
from glasslung.errors import DataError
from glasslung.types import Case

Job = dict[str, Any]
"""What a worker is told of a case, as JSON values: it may sit on another machine."""

_MALE = {"m": True, "male": True, "f": False, "female": False}
OLDEST_YEARS = 125.0


@dataclass(frozen=True)
class PatientCase:
    """All scans of one patient, in the order of the table.

    key   a one-way key of the patient: what folders are called by
    rows  of the cohort
    """

    key: str
    rows: tuple[Case, ...]

    @property
    def folder(self) -> Path:
        """Where its story lies, relative to the output folder; in parts, for a million is too many."""
        return Path("cases", self.key[:2], self.key)

    def signature(self) -> str:
        """Changes when a row of this patient changes in anything that decides the result."""
        told = [
            [row.scan, *map(str, (row.image, row.lungs, row.lesions)), row.day, row.intensity.value]
            for row in self.rows
        ]
        text = json.dumps([told, *_person(self.rows)])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def job(self, cohort: Cohort, out: Path, given_masks: bool) -> Job:
        """What a worker needs to know, with paths as they lie on this machine."""
        days = [row.day for row in self.rows]
        greys = {row.intensity.value for row in self.rows}
        age, male = _person(self.rows)
        return {
            "key": self.key,
            "folder": str((out / self.folder).absolute()),
            "root": str(cohort.folder.absolute()),
            "out": str(out.absolute()),
            "scans": [_place(cohort, row.image) for row in self.rows],
            "lungs": _masks(cohort, [row.lungs for row in self.rows]) if given_masks else [],
            "lesions": _masks(cohort, [row.lesions for row in self.rows]) if given_masks else [],
            "days": [] if None in days else days,
            "intensity": greys.pop() if len(greys) == 1 else None,
            "age": age,
            "male": male,
        }


def cases_of(cohort: Cohort) -> tuple[PatientCase, ...]:
    """The patients of a cohort in the order in which the table first names them."""
    rows: dict[str, list[Case]] = {}
    for row in cohort.cases:
        rows.setdefault(row.patient, []).append(row)
    cases = tuple(PatientCase(one_way_key("patient", patient), tuple(own)) for patient, own in rows.items())
    if len({case.key for case in cases}) < len(cases):
        raise DataError(f"{cohort.name}: two patients differ in spaces alone; give each one name")
    return cases


def _place(cohort: Cohort, path: Path) -> str:
    return str(cohort.path(path).absolute())


def _masks(cohort: Cohort, masks: list[Path | None]) -> list[str]:
    """The masks of all scans; none where a scan has none, for a story's scans are to be comparable."""
    there = [mask for mask in masks if mask is not None]
    return [_place(cohort, mask) for mask in there] if len(there) == len(masks) else []


def _person(rows: Iterable[Case]) -> tuple[float | None, bool | None]:
    """Age and sex by the last row that tells them, from the columns `age` and `sex` or `male`."""
    age: float | None = None
    male: bool | None = None
    for row in rows:
        told = {name.lower(): text.strip().lower() for name, text in row.extra.items()}
        age = _years(told.get("age", ""), age)
        male = _MALE.get(told.get("sex", ""), YES_NO.get(told.get("male", "")) if told.get("male") else male)
    return age, male


def _years(text: str, otherwise: float | None) -> float | None:
    """An age that can be one; else what was known before."""
    try:
        years = float(text)
    except ValueError:
        return otherwise
    return years if 0 <= years <= OLDEST_YEARS else otherwise
