"""A cohort of phantoms: who is in it, what became of them, and how well anybody could have foretold it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glasslung.data.phantom.disease import DISEASES
from glasslung.data.phantom.outcome import OUTCOME_STREAM, Outcome, c_index, draw_outcome, log_risk
from glasslung.data.phantom.patient import Patient, draw_patient, draw_person
from glasslung.data.stays import LONG_STAY_DAYS
from glasslung.errors import UsageError

DEFAULT_MIX = {"covid": 0.5, "bacterial": 0.25, "healthy": 0.25}
COHORT_STREAM = 6
MOST_SEEDS = 1_000_000  # patients' seeds, and so their names, have six figures
SIMULATED = 4000  # patients in the simulation of the best C-index: its standard error is then about 0.005


@dataclass(frozen=True)
class Ceiling:
    """The best score that any method could reach, because it is reached by the true risk.

    event   Harrell's C of the true log hazard for critical illness; discharge ends observation
    stay    Harrell's C of the true log hazard for the length of stay: a high risk stays longer; all stays
            have ended
    long_stay_auc   AUC of the true log hazard for a stay of 7 days or longer
    patients        how many ill patients it was computed on
    """

    event: float
    stay: float
    long_stay_auc: float
    patients: int


@dataclass(frozen=True)
class PhantomCohort:
    """Patients drawn together. `ceiling` is of a large simulation of the same mix, `own_ceiling` of these
    patients.

    mix       share of each disease that was asked for
    sites     the sites of each disease
    """

    seed: int
    mix: Mapping[str, float]
    sites: Mapping[str, tuple[str, ...]]
    patients: tuple[Patient, ...]
    ceiling: Ceiling
    own_ceiling: Ceiling


def draw_cohort(
    n: int,
    seed: int = 0,
    mix: Mapping[str, float] | None = None,
    sites: Sequence[str] | Mapping[str, Sequence[str]] = ("a", "b", "c"),
) -> PhantomCohort:
    """Draw n patients of several diseases and sites, and compute how well their fate could be foretold.

    mix    share of each disease, normalised; default half covid, a quarter each bacterial and healthy. The
           numbers are exact to rounding.
    sites  names of sites, dealt evenly within each disease; or {'covid': ('a',), 'healthy': ('b',), ...} to
           tie the label to the scanner on purpose, for the study of shortcuts
    Raises UsageError for unknown diseases or sites, shares that are no shares, a number of patients outside
    1 to a million, or a seed below 0.
    """
    shares = dict(mix or DEFAULT_MIX)
    _check_request(n, seed, shares)
    where = {
        disease: tuple(sites[disease] if isinstance(sites, Mapping) and disease in sites else _listed(sites))
        for disease in shares
    }
    rng = np.random.default_rng([seed, COHORT_STREAM])
    diseases = [name for name, count in _counts(n, shares).items() for _ in range(count)]
    seeds = rng.choice(MOST_SEEDS, size=n, replace=False)
    turn = dict.fromkeys(shares, 0)
    patients = []
    for one, disease in zip(seeds, diseases, strict=True):
        site = where[disease][turn[disease] % len(where[disease])]
        turn[disease] += 1
        patients.append(draw_patient(int(one), disease, site))
    order = rng.permutation(n)
    drawn = tuple(patients[k] for k in order)
    return PhantomCohort(seed, shares, where, drawn, simulate_ceiling(shares, seed), ceiling_of(drawn))


def _check_request(n: int, seed: int, shares: Mapping[str, float]) -> None:
    """UsageError for a cohort that cannot be drawn."""
    if not 1 <= n <= MOST_SEEDS:
        raise UsageError(f"the number of patients (--patients) is 1 to {MOST_SEEDS}, got {n}")
    if seed < 0:
        raise UsageError(f"a phantom's seed is 0 or more, got {seed}")
    if unknown := sorted(set(shares) - set(DISEASES)):
        raise UsageError(f"the phantom knows the diseases {', '.join(DISEASES)}, not {unknown[0]!r}")
    for disease, share in shares.items():
        if not (math.isfinite(share) and share >= 0):
            raise UsageError(f"the share of {disease} is a number of 0 or more, got {share:g}")
    if not sum(shares.values()) > 0:
        raise UsageError("every disease of the mix has a share of 0; give one of them more")


def _listed(sites: Sequence[str] | Mapping[str, Sequence[str]]) -> Sequence[str]:
    if isinstance(sites, Mapping) or not sites:
        raise UsageError(
            "sites must be a list of names, or name at least one site for every disease of the mix"
        )
    return sites


def _counts(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    """n shared out by largest remainder."""
    total = sum(shares.values())
    exact = {name: n * share / total for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    for name in sorted(exact, key=lambda k: counts[k] - exact[k])[: n - sum(counts.values())]:
        counts[name] += 1
    return counts


def ceiling_of(patients: Sequence[Patient]) -> Ceiling:
    """The best scores on these very patients; NaN where there is no pair to compare."""
    return _ceiling([patient.outcome for patient in patients if patient.outcome.log_risk is not None])


def simulate_ceiling(mix: Mapping[str, float], seed: int, n: int = SIMULATED) -> Ceiling:
    """The best scores in a large population of the same mix; no picture is drawn for that."""
    rng = np.random.default_rng([seed, COHORT_STREAM, OUTCOME_STREAM])
    ill = {name: share for name, share in mix.items() if name != "healthy" and share > 0}
    outcomes = []
    for name, count in _counts(n, ill).items() if ill else ():
        for one in rng.integers(2**40, size=count):
            age, male, severity = draw_person(int(one))
            outcomes.append(draw_outcome(int(one), log_risk(severity, age, male, name)))
    return _ceiling(outcomes)


def _ceiling(outcomes: Sequence[Outcome]) -> Ceiling:
    risk, day, stay = (
        np.array([getattr(outcome, name) for outcome in outcomes], float)
        for name in ("log_risk", "event_day", "stay_days")
    )
    event = np.array([outcome.event for outcome in outcomes], bool)
    long = stay >= LONG_STAY_DAYS
    above = (risk[long][:, None] > risk[~long]).mean() if long.any() and not long.all() else np.nan
    ended = np.ones(len(stay), bool)
    return Ceiling(c_index(risk, day, event), c_index(-risk, stay, ended), float(above), len(risk))


def counterfactual(cohort: PhantomCohort) -> PhantomCohort:
    """The same people, never ill: what no hospital has."""
    return replace(cohort, patients=tuple(patient.without_disease() for patient in cohort.patients))
