"""What may become of a patient after a scan, by a model of many stays, and how far to believe it.

A prognosis is plain JSON (`prognosis.json`): for each endpoint some laws (`predict.risklaw`), of which the
one is taken that reads most of what is known: the scan alone, or the scan and the one before it, each with
or without age and sex. How sure a curve is, is told by the same law fitted to resampled patients.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.stays import CHANGE, LOG_DAYS, PRIOR
from glasslung.errors import DataError, UsageError
from glasslung.files import read_json
from glasslung.predict.opening import FOLDER
from glasslung.predict.outlook import Outlook, as_floats, words_for
from glasslung.types import Findings, Intensity, Lesion, Prognosis, RiskCurve

FILE, FORMAT = "prognosis.json", "glasslung-prognosis/1"
SHIPPED = {Intensity.HU: "prognosis-hu"}
MEASURES = ("affected_percent", "consolidation_percent", "severity_points", "log_odds")
"""Columns of one scan; each also with `_prior` and `_change`."""
PERSON = ("age", "male")
LEAST_GAIN = 0.02  # of C, over age and sex alone: less is no gain that a patient would notice


__all__ = [
    "Outlook",
    "PrognosisModel",
    "columns_of",
    "open_prognosis",
    "paired_columns",
    "shipped_prognosis",
    "told_of",
    "words_for",
]


@dataclass(frozen=True, eq=False)
class PrognosisModel:
    """A prognosis that can be asked.

    name, digest  what a person calls it; first 16 hex digits of the SHA-256 of its file
    intensity     grey values of the scans its columns were measured on
    outlooks      of each endpoint those that read most come first
    doubts        what always stands against believing it
    """

    name: str
    digest: str
    intensity: Intensity
    outlooks: tuple[Outlook, ...]
    trained_on: str
    limits: str
    doubts: tuple[str, ...]

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What can be foretold, the main one first."""
        return tuple(dict.fromkeys(outlook.endpoint for outlook in self.outlooks))

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it cannot do without: those of the law that reads least."""
        return min((outlook.law.names for outlook in self.outlooks), key=len)

    @property
    def reads(self) -> tuple[str, ...]:
        """All columns it can make use of."""
        return tuple(dict.fromkeys(name for outlook in self.outlooks for name in outlook.law.names))

    @property
    def wants_prior(self) -> bool:
        """Whether it makes use of the scan before, where there is one."""
        return any(outlook.paired for outlook in self.outlooks)

    def foresee(
        self,
        columns: Mapping[str, float],
        scans: Sequence[str],
        endpoint: str = "",
        intensity: Intensity | None = None,
    ) -> Prognosis:
        """What may become of a patient after the last scan.

        columns    what is known; more than a law reads is no harm, what is not known is NaN or left out
        scans      names of the scans the columns are of: the last, or the prior and the last
        endpoint   one of `endpoints`; '' for the first
        intensity  grey values of these scans, if they are to be looked at
        DataError where a column that every law needs is missing.
        """
        outlook = self._fitting(columns, len(scans), endpoint)
        known = {name: float(columns[name]) for name in outlook.law.names}
        days = tuple(float(day) for day in outlook.law.edges)
        by_horizon = float(outlook.chances(known, [outlook.horizon])[0, 0])
        low, high = outlook.limits(known, [*days, outlook.horizon])
        chance = outlook.chances(known, days)[0]
        higher = by_horizon >= outlook.cut
        return Prognosis(
            endpoint=outlook.endpoint,
            scans=tuple(scans) if outlook.paired else tuple(scans)[-1:],
            columns=known,
            horizon=outlook.horizon,
            chance=by_horizon,
            interval=(float(low[-1]), float(high[-1])),
            percentile=100 * float(np.searchsorted(outlook.risks, by_horizon)) / max(1, len(outlook.risks)),
            group=outlook.groups[-1 if higher else 0].name,
            curve=RiskCurve(
                "this patient", days, as_floats(chance), as_floats(low[:-1]), as_floats(high[:-1])
            ),
            groups=outlook.groups,
            marks=outlook.marks,
            score=outlook.score,
            worth=outlook.worth,
            plain=outlook.plain,
            doubts=(*self.doubts, *self._doubts(outlook, known, columns, scans, intensity)),
            model=self.name,
            digest=self.digest,
            trained_on=self.trained_on,
            limits=self.limits,
            gain=outlook.gain,
            groups_by=outlook.groups_by,
        )

    def _fitting(self, columns: Mapping[str, float], scans: int, endpoint: str) -> Outlook:
        """The law that reads most of what is known."""
        wanted = endpoint or self.endpoints[0]
        mine = [one for one in self.outlooks if one.endpoint == wanted and (scans > 1 or not one.paired)]
        if not mine:
            raise UsageError(f"{self.name} foretells {', '.join(self.endpoints)}, not {wanted!r}")
        fitting = [outlook for outlook in mine if outlook.fits(columns)]
        near = [outlook for outlook in fitting if not outlook.gap_is_far(columns)]
        if fitting:
            return (near or fitting)[0]
        least = min(mine, key=lambda one: len(one.law.names)).law.names
        missing = [name for name in least if not math.isfinite(columns.get(name, math.nan))]
        raise DataError(f"no prognosis without {', '.join(map(words_for, missing))}: not known of this scan")

    def _doubts(
        self,
        outlook: Outlook,
        known: Mapping[str, float],
        columns: Mapping[str, float],
        scans: Sequence[str],
        intensity: Intensity | None,
    ) -> list[str]:
        told = []
        if intensity is not None and intensity is not self.intensity:
            told.append(
                f"the scan's grey values are {intensity.value}, and the model learned from scans in "
                f"{self.intensity.value}"
            )
        if len(scans) > 1 and self.wants_prior and not outlook.paired:
            told.append(f"the scan before was not used: {self._why_alone(outlook.endpoint, columns)}")
        if set(PERSON) & set(self.reads) and not set(PERSON) & set(outlook.law.names):
            told.append("age and sex are not known, so the scan alone was used")
        if outlook.worth[0] < outlook.plain[0] + LEAST_GAIN:
            told.append("on patients it never saw, age and sex alone foretold about as well")
        return told + outlook.outside(known)

    def _why_alone(self, endpoint: str, columns: Mapping[str, float]) -> str:
        """Why no law that reads two scans was asked."""
        if not math.isfinite(columns.get(LOG_DAYS, math.nan)):
            return "the days between the scans are not known"
        paired = [one for one in self.outlooks if one.endpoint == endpoint and one.paired]
        if far := [one for one in paired if one.fits(columns) and one.gap_is_far(columns)]:
            low, high = (math.expm1(end) for end in far[0].ranges[LOG_DAYS])
            gap = math.expm1(columns[LOG_DAYS])
            return f"{gap:.3g} days lie between the two, and the model learned from {low:.3g} to {high:.3g}"
        return "a measure of it is not known"


def shipped_prognosis(intensity: Intensity) -> str | None:
    """The name of the prognosis that comes with the package for such grey values; None where none does."""
    name = SHIPPED.get(intensity)
    return name if name and (FOLDER / name / FILE).is_file() else None


def open_prognosis(which: str | Path) -> PrognosisModel:
    """Open a prognosis by its folder, its file, or a shipped name.

    UsageError where there is none, DataError where its file is damaged or of another format.
    """
    folder = Path(which)
    if not folder.exists():
        folder = FOLDER / str(which)
    file = folder / FILE if folder.is_dir() else folder
    if not file.is_file():
        raise UsageError(
            f"there is no prognosis {str(which)!r}: give a folder with {FILE}, or a shipped name"
        )
    told = read_json(file)
    if told.get("format") != FORMAT:
        raise DataError(f"{file} is no prognosis of this version ({FORMAT}); make it again")
    try:
        return PrognosisModel(
            told["name"],
            hashlib.sha256(file.read_bytes()).hexdigest()[:16],
            Intensity(told["intensity"]),
            tuple(Outlook.of(one) for one in told["outlooks"]),
            told["trained_on"],
            told["limits"],
            tuple(told["doubts"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise DataError(f"{file} is damaged ({problem!r}); make it again or install anew") from problem


def told_of(model: PrognosisModel) -> dict[str, Any]:
    """A prognosis as the plain values of its file."""
    return {
        "format": FORMAT,
        "name": model.name,
        "intensity": model.intensity.value,
        "trained_on": model.trained_on,
        "limits": model.limits,
        "doubts": list(model.doubts),
        "outlooks": [outlook.told() for outlook in model.outlooks],
    }


def columns_of(findings: Findings) -> dict[str, float]:
    """The columns that one scan's findings give; what was not measured is left out."""
    both = next((region for region in findings.regions if region.name == "both lungs"), None)
    found: dict[str, float] = {}
    if both is not None and both.affected is not None:
        found["affected_percent"] = both.affected.percent
    if both is not None and both.lesions and Lesion.CONSOLIDATION.words in both.lesions:
        found["consolidation_percent"] = both.lesions[Lesion.CONSOLIDATION.words].percent
    if findings.severity is not None:
        found["severity_points"] = float(findings.severity.points)
    if findings.diagnosis is not None:
        found["log_odds"] = findings.diagnosis.log_odds
    return found


def paired_columns(
    now: Mapping[str, float], prior: Mapping[str, float], days: float | None
) -> dict[str, float]:
    """The columns of a scan with those of the one before it, `days` earlier (None: not known).

    UsageError for days of 0 or below: the scans are in the wrong order, or one.
    """
    if days is not None and not days > 0:
        raise UsageError(f"the prior scan must lie before the last one, got {days:g} days between them")
    out = dict(now)
    for name in MEASURES:
        if name in now and name in prior:
            out[name + PRIOR], out[name + CHANGE] = prior[name], now[name] - prior[name]
    if days is not None:
        out[LOG_DAYS] = math.log1p(days)
    return out
