"""Risk models: columns of numbers and stays in, a risk and a chance by each day out.

    logistic    long stay (7 days or more) or not, as the paper's classes
    cox         the hazard of critical illness; discharge only ends observation. Or of the stay's end
    competing   two such hazards, of critical illness and of discharge, put together to a chance
    hazards     both hazards in intervals of days at once (`nn.hazards`), linear in the columns

All standardise their columns by the training patients and shrink the coefficients; how strongly is chosen
by leaving out groups of training patients in turn. Whoever lacks a column or the endpoint is for the caller
to leave out (`usable`): a fit refuses gaps. A higher risk is worse: ill sooner, or longer in hospital.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from glasslung.data.stays import CRITICAL, DISCHARGE, LONG_STAY_DAYS, Stays
from glasslung.errors import DataError, UsageError
from glasslung.measure.statistics import patient_codes
from glasslung.measure.survival import Cox, competing_incidence
from glasslung.studies.prognosis.hazardlaw import Scale, fit_law, law_likelihood

Columns = Mapping[str, np.ndarray]
ILL, LONG, STAY = "critical illness", "long stay", "stay"
"""Endpoints: the event; 7 days or more; the days to the stay's end."""
HORIZON = 14.0  # days: by then four of five events of the phantoms have happened
FOLDS = 5
LOGISTIC_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of scikit-learn's C: higher shrinks less
COX_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of lifelines' penalizer: higher shrinks more
HAZARD_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of the squared weights against the summed likelihood


class RiskModel(Protocol):
    """A fitted model: what it is of, which columns it reads, how strongly it was shrunk."""

    names: tuple[str, ...]
    endpoint: str
    strength: float

    def risk(self, columns: Columns) -> np.ndarray:
        """(N,), higher is worse; no unit."""

    def chance(self, columns: Columns, days: Sequence[float]) -> np.ndarray:
        """Chance of the endpoint by each day, (N, T) in [0, 1]; of a stay, of being still in hospital."""


def usable(columns: Columns, stays: Stays, endpoint: str) -> np.ndarray:
    """(N,) bool: scans with all columns, whose endpoint lies ahead and is known."""
    known = {
        ILL: np.isfinite(stays.event_days),
        LONG: stays.long_stay >= 0,
        STAY: np.isfinite(stays.stay),
    }
    if endpoint not in known:
        raise UsageError(f"endpoints are {', '.join(known)}, not {endpoint!r}")
    return np.logical_and.reduce([known[endpoint], *(np.isfinite(column) for column in columns.values())])


def fit(
    kind: str,
    columns: Columns,
    stays: Stays,
    endpoint: str = ILL,
    *,
    rng: np.random.Generator,
    strengths: Sequence[float] | None = None,
) -> RiskModel:
    """Fit one of `KINDS` to training patients.

    columns    name -> (N,), without gaps
    endpoint   of logistic always the long stay; of competing critical illness; of the others that or the stay
    rng        deals the patients who are left out in turn
    strengths  to choose from; one alone is taken as it is. None: those of the kind
    DataError for gaps, where nobody meets the endpoint (all are censored), or everybody is of one class.
    """
    if kind not in KINDS:
        raise UsageError(f"risk models are {', '.join(KINDS)}, not {kind!r}")
    make, known, usual = KINDS[kind]
    endpoint = LONG if kind == "logistic" else endpoint
    if endpoint not in known:
        raise UsageError(f"a {kind} model is of {' or '.join(known)}, not of {endpoint!r}")
    if not columns:
        raise UsageError("a risk model needs a column at least")
    _check(columns, stays, endpoint)
    tried = tuple(strengths or usual)
    best = tried[0]
    if len(tried) > 1:
        folds = _folds(stays, endpoint, rng)
        worth = [_left_out(make, columns, stays, endpoint, one, folds) for one in tried]
        best = tried[int(np.argmax(worth))]
    return make(columns, stays, endpoint, best)


# ------------------------------------------------------------------------------------------------ the models


class Logistic:
    """Chance of a long stay by logistic regression (scikit-learn), the paper's binary endpoint."""

    def __init__(self, columns: Columns, stays: Stays, endpoint: str, strength: float) -> None:
        from sklearn.linear_model import LogisticRegression

        self.scale, self.endpoint, self.strength = Scale.of(columns), endpoint, strength
        self.names = self.scale.names
        self._fitted: Any = LogisticRegression(C=strength, max_iter=1000)
        self._fitted.fit(self.scale.matrix(columns), stays.long_stay)

    def risk(self, columns: Columns) -> np.ndarray:
        """Log-odds of a long stay, (N,)."""
        return np.asarray(self._fitted.decision_function(self.scale.matrix(columns)), float)

    def chance(self, columns: Columns, days: Sequence[float]) -> np.ndarray:
        """Chance of a long stay, (N, 1): it knows day 7 alone, UsageError for others."""
        if tuple(days) != (LONG_STAY_DAYS,):
            raise UsageError(f"a logistic model knows day {LONG_STAY_DAYS:g} alone; ask for another kind")
        return 1 / (1 + np.exp(-self.risk(columns)))[:, None]

    def worth(self, columns: Columns, stays: Stays) -> float:
        """Mean log-likelihood of other patients."""
        risk, long = self.risk(columns), stays.long_stay == 1
        return float(-np.logaddexp(0, np.where(long, -risk, risk)).mean())


class CoxRisk:
    """One Cox model (lifelines): of critical illness, everything else only ending observation; or of the
    stay's end, whose hazard is turned round: who leaves later has the higher risk."""

    def __init__(self, columns: Columns, stays: Stays, endpoint: str, strength: float) -> None:
        self.scale, self.endpoint, self.strength = Scale.of(columns), endpoint, strength
        self.names = self.scale.names
        self.cox = Cox(self.scale.columns(columns), *_times(stays, endpoint), ridge=strength)

    def risk(self, columns: Columns) -> np.ndarray:
        """Log hazard of critical illness; minus that of the stay's end, (N,)."""
        found = self.cox.risk(self.scale.columns(columns))
        return -found if self.endpoint == STAY else found

    def chance(self, columns: Columns, days: Sequence[float]) -> np.ndarray:
        """Of critical illness if nobody went home; of being still in hospital, (N, T)."""
        kept = np.exp(-self.cox.cumulative_hazard(self.scale.columns(columns), days))
        return kept if self.endpoint == STAY else 1 - kept

    def worth(self, columns: Columns, stays: Stays) -> float:
        """Log partial likelihood of other patients; NaN where nobody among them met the endpoint."""
        days, event = _times(stays, self.endpoint)
        return self.cox.likelihood(self.scale.columns(columns), days, event) if event.any() else np.nan


class Competing:
    """Cause-specific Cox models of critical illness and of discharge, and the chance that follows from both.

    Prentice et al., Biometrics 1978;34:541-54.
    """

    def __init__(self, columns: Columns, stays: Stays, endpoint: str, strength: float) -> None:
        self.scale, self.endpoint, self.strength = Scale.of(columns), endpoint, strength
        self.names = self.scale.names
        table = self.scale.columns(columns)
        self.causes = tuple(
            Cox(table, stays.event_days, stays.event == kind, ridge=strength)
            for kind in (CRITICAL, DISCHARGE)
            if (stays.event == kind).any()
        )
        self.times = np.unique(stays.event_days[stays.event > 0])

    def risk(self, columns: Columns) -> np.ndarray:
        """Chance of critical illness by day 14, (N,)."""
        return self.chance(columns, [HORIZON])[:, 0]

    def chance(self, columns: Columns, days: Sequence[float]) -> np.ndarray:
        """Chance of critical illness by each day when discharge may come first, (N, T)."""
        table = self.scale.columns(columns)
        hazards = np.stack([cause.cumulative_hazard(table, list(self.times)) for cause in self.causes])
        known = competing_incidence(np.maximum.accumulate(hazards, 2), 1)
        known = np.concatenate([np.zeros_like(known[:, :1]), known], 1)
        return np.asarray(known[:, np.searchsorted(self.times, np.asarray(days), side="right")])

    def worth(self, columns: Columns, stays: Stays) -> float:
        """Log partial likelihoods of other patients, of both causes; NaN where one has no event there."""
        table, kinds = self.scale.columns(columns), (CRITICAL, DISCHARGE)[: len(self.causes)]
        if not all((stays.event == kind).any() for kind in kinds):
            return np.nan
        return sum(
            cause.likelihood(table, stays.event_days, stays.event == kind)
            for cause, kind in zip(self.causes, kinds, strict=True)
        )


class Hazards:
    """Hazards in intervals of days, linear in the columns; both causes at once, no assumption of
    proportional hazards beyond one weight per cause. `law` is its plain form."""

    def __init__(self, columns: Columns, stays: Stays, endpoint: str, strength: float) -> None:
        self.endpoint, self.strength = endpoint, strength
        self.law = fit_law(columns, *times_of(stays, endpoint), strength)
        self.names = self.law.names

    def risk(self, columns: Columns) -> np.ndarray:
        """Chance of critical illness by day 14, or of being in hospital on day 7, (N,)."""
        return self.chance(columns, [LONG_STAY_DAYS if self.endpoint == STAY else HORIZON])[:, 0]

    def chance(self, columns: Columns, days: Sequence[float]) -> np.ndarray:
        """Of critical illness when discharge may come first; of being still in hospital, (N, T)."""
        found = self.law.chance(columns, days, 1)
        return 1 - found if self.endpoint == STAY else found

    def worth(self, columns: Columns, stays: Stays) -> float:
        """Mean log-likelihood of other patients."""
        return float(law_likelihood(self.law, columns, *times_of(stays, self.endpoint)).mean())


Make = Callable[[Columns, Stays, str, float], Any]
KINDS: dict[str, tuple[Make, tuple[str, ...], tuple[float, ...]]] = {
    "logistic": (Logistic, (LONG,), LOGISTIC_STRENGTHS),
    "cox": (CoxRisk, (ILL, STAY), COX_STRENGTHS),
    "competing": (Competing, (ILL,), COX_STRENGTHS),
    "hazards": (Hazards, (ILL, STAY), HAZARD_STRENGTHS),
}
"""Name -> how it is made, its endpoints, strengths to choose from."""


# ------------------------------------------------------------------------------------------ choosing strength


def times_of(stays: Stays, endpoint: str) -> tuple[np.ndarray, np.ndarray]:
    """Days (N,) float64 and kinds (N,) int64 as `nn.hazards` reads them; a stay has one kind of end."""
    if endpoint == STAY:
        return stays.stay.astype(float), stays.seen.astype(np.int64)
    return stays.event_days.astype(float), stays.event.astype(np.int64)


def _times(stays: Stays, endpoint: str) -> tuple[np.ndarray, np.ndarray]:
    """Days and event for one hazard."""
    if endpoint == STAY:
        return stays.stay, stays.seen
    return stays.event_days, stays.event == CRITICAL


def _check(columns: Columns, stays: Stays, endpoint: str) -> None:
    """DataError for gaps, and where there is nothing to learn from."""
    gaps = int((~usable(columns, stays, endpoint)).sum())
    if gaps:
        raise DataError(f"{gaps} scans lack a column or their {endpoint}; leave them out (`usable`), say so")
    if endpoint == LONG:
        if len(np.unique(stays.long_stay)) < 2:
            raise DataError("all stays are long, or all short: there is nothing to tell apart")
        return
    if not _times(stays, endpoint)[1].any():
        what = "critically ill" if endpoint == ILL else "seen to leave"
        raise DataError(f"nobody was {what}, all are censored: no risk can be learned; give more patients")


def _folds(stays: Stays, endpoint: str, rng: np.random.Generator) -> np.ndarray:
    """(N,) the fold of each scan: patients dealt in turn, those who met the endpoint first."""
    codes = patient_codes(stays.patients)
    met = stays.long_stay == 1 if endpoint == LONG else _times(stays, endpoint)[1]
    patients = rng.permutation(codes.max() + 1)
    worst = np.zeros(codes.max() + 1, bool)
    np.logical_or.at(worst, codes, met)
    patients = patients[np.argsort(~worst[patients], kind="stable")]
    fold = np.empty(len(patients), np.int64)
    fold[patients] = np.arange(len(patients)) % min(FOLDS, len(patients))
    return fold[codes]


def _left_out(
    make: Make, columns: Columns, stays: Stays, endpoint: str, strength: float, folds: np.ndarray
) -> float:
    """How well models of some patients fit the others, the mean of all folds that can be asked."""
    found = []
    for fold in np.unique(folds):
        rest, out = folds != fold, folds == fold
        try:
            _check(_rows(columns, rest), stays.take(rest), endpoint)
        except DataError:
            continue  # nobody met the endpoint in what is left: this fold cannot judge
        model = make(_rows(columns, rest), stays.take(rest), endpoint, strength)
        found.append(model.worth(_rows(columns, out), stays.take(out)))
    known = [one for one in found if np.isfinite(one)]
    return float(np.mean(known)) if known else -np.inf


def _rows(columns: Columns, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.asarray(column)[rows] for name, column in columns.items()}
