"""One law of a prognosis: a patient's curve with its limits, the groups beside it, and what it was worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glasslung.data.stays import CHANGE, LOG_DAYS, PRIOR
from glasslung.errors import DataError
from glasslung.predict.risklaw import RiskLaw, rounded
from glasslung.types import RiskCurve

LEVEL = (0.025, 0.975)
KAPLAN, INCIDENCE = "Kaplan-Meier", "cumulative incidence (Aalen-Johansen)"
BEYOND = 0.05  # of a column's range: so far outside it is still what was learned
FAR = (
    0.5  # of the range of gaps, in logarithms: a scan from longer ago is no part of a trend that was learned
)
WORDS = {
    "affected_percent": "affected lung (%)",
    "consolidation_percent": "consolidation (% of the lungs)",
    "severity_points": "CT severity score",
    "log_odds": "log-odds of the diagnosis",
    "age": "age",
    "male": "sex",
    LOG_DAYS: "the number of days between the scans",
}


@dataclass(frozen=True, eq=False)
class Outlook:
    """One law of one endpoint, and what it was worth.

    endpoint   in words
    law        of all training patients; `members` of resampled ones: base (M, K, C) and weights (M, F, C)
    cause      which of its causes the endpoint is; still: the endpoint is that it has NOT happened yet
    horizon    days to which chances refer
    marks      days at which numbers at risk are told
    ranges     column -> lowest and highest value in training
    risks      (101,) per cents of the training patients' chances at the horizon
    cut        chance at the horizon from which a patient belongs to the higher risk
    groups     of patients it never learned from, lower risk first
    score, worth, plain, gain  as in `types.Prognosis`
    """

    endpoint: str
    law: RiskLaw
    members: tuple[np.ndarray, np.ndarray]
    cause: int
    still: bool
    horizon: float
    marks: tuple[float, ...]
    ranges: Mapping[str, tuple[float, float]]
    risks: tuple[float, ...]
    cut: float
    groups: tuple[RiskCurve, ...]
    score: str
    worth: tuple[float, float, float]
    plain: tuple[float, float, float]
    gain: tuple[float, float, float] | None = None

    def chances(self, columns: Mapping[str, Any], days: Sequence[float]) -> np.ndarray:
        """Chance of the endpoint by each day, (N, T); of one that is still to end, on each day."""
        found = self.law.chance(columns, days, self.cause)
        return 1 - found if self.still else found

    def limits(self, columns: Mapping[str, Any], days: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """95 % limits of one patient's chances, (T,) each."""
        drawn = np.stack(
            [
                replace(self, law=replace(self.law, base=base, weights=weights)).chances(columns, days)[0]
                for base, weights in zip(*self.members, strict=True)
            ]
        )
        low, high = np.quantile(drawn, LEVEL, axis=0)
        return low, high

    def fits(self, columns: Mapping[str, float]) -> bool:
        """Whether all its columns are known."""
        return all(math.isfinite(columns.get(name, math.nan)) for name in self.law.names)

    def gap_is_far(self, columns: Mapping[str, float]) -> bool:
        """Whether the scan before lies far longer ago, or far less long, than any that it learned from."""
        if LOG_DAYS not in self.law.names:
            return False
        low, high = self.ranges[LOG_DAYS]
        return not low - FAR * (high - low) <= columns[LOG_DAYS] <= high + FAR * (high - low)

    @property
    def groups_by(self) -> str:
        """How the groups' curves were counted: another event may come first, or none can."""
        return KAPLAN if self.still or self.law.base.shape[1] == 1 else INCIDENCE

    @property
    def paired(self) -> bool:
        """Whether it reads a prior scan."""
        return any(name == LOG_DAYS or name.endswith((PRIOR, CHANGE)) for name in self.law.names)

    def outside(self, columns: Mapping[str, float]) -> list[str]:
        """A doubt for each column that lies outside what it learned from."""
        told = []
        for name in self.law.names:
            low, high = self.ranges[name]
            slack = BEYOND * (high - low)
            if not low - slack <= columns[name] <= high + slack:
                as_told = math.expm1 if name == LOG_DAYS else float
                value, low, high = (as_told(one) for one in (columns[name], low, high))
                told.append(
                    f"{words_for(name)} is {value:.3g}, and the model learned from {low:.3g} to {high:.3g}"
                )
        return told

    def told(self) -> dict[str, Any]:
        """As plain values."""
        base, weights = self.members
        return {
            "endpoint": self.endpoint,
            "law": self.law.told(),
            "members": {"base": rounded(base), "weights": rounded(weights)},
            "cause": self.cause,
            "still": self.still,
            "horizon": self.horizon,
            "marks": list(self.marks),
            "ranges": {name: rounded(np.asarray(ends)) for name, ends in self.ranges.items()},
            "risks": rounded(np.asarray(self.risks)),
            "cut": self.cut,
            "groups": [_curve_told(curve) for curve in self.groups],
            "score": self.score,
            "worth": rounded(np.asarray(self.worth)),
            "plain": rounded(np.asarray(self.plain)),
            "gain": None if self.gain is None else rounded(np.asarray(self.gain)),
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Outlook:
        """An outlook out of its plain values."""
        members = tuple(np.asarray(told["members"][name], float) for name in ("base", "weights"))
        law = RiskLaw.of(told["law"])
        if members[0].shape[1:] != law.base.shape or members[1].shape[1:] != law.weights.shape:
            raise DataError("a law's resampled members do not fit it; make the prognosis again")
        return cls(
            told["endpoint"],
            law,
            (members[0], members[1]),
            int(told["cause"]),
            bool(told["still"]),
            float(told["horizon"]),
            tuple(told["marks"]),
            {name: (float(ends[0]), float(ends[1])) for name, ends in told["ranges"].items()},
            tuple(told["risks"]),
            float(told["cut"]),
            tuple(_curve_of(curve) for curve in told["groups"]),
            told["score"],
            _three(told["worth"]),
            _three(told["plain"]),
            _three(told["gain"]) if told.get("gain") else None,
        )


def words_for(column: str) -> str:
    """A column as a person says it."""
    for ending, words in ((PRIOR, "{} of the scan before"), (CHANGE, "change of {}")):
        if column.endswith(ending):
            return words.format(words_for(column.removesuffix(ending)))
    return WORDS.get(column, column)


def _curve_told(curve: RiskCurve) -> dict[str, Any]:
    arrays = {name: rounded(np.asarray(getattr(curve, name))) for name in ("days", "chance", "low", "high")}
    return {"name": curve.name, **arrays, "patients": curve.patients, "at_risk": list(curve.at_risk)}


def _curve_of(told: Mapping[str, Any]) -> RiskCurve:
    days, chance, low, high = (as_floats(told[name]) for name in ("days", "chance", "low", "high"))
    return RiskCurve(told["name"], days, chance, low, high, int(told["patients"]), tuple(told["at_risk"]))


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    value, low, high = values
    return float(value), float(low), float(high)


def as_floats(array: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    """Plain floats, for a curve of `types`."""
    return tuple(float(value) for value in array)
