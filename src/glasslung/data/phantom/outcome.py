"""What becomes of a patient: two hazards that compete, critical illness and discharge, both led by a known
risk.

The true risk is known, so the best C-index that any method could reach is known too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OUTCOME_STREAM = 4


@dataclass(frozen=True)
class HazardSettings:
    """The stated hazards. Weibull in days from day 0, proportional in the risks below.

    event_scale   days in which 63 % of patients of risk 0 would fall critically ill if nobody went home
    event_shape   above 1: the hazard of critical illness grows during the first weeks
    home_scale, home_shape   likewise for going home
    severity      log hazard of the event per unit of severity (0 to 1): the main driver
    age           log hazard per ten years
    male          log hazard of men
    slow          how much of the risk's log hazard slows going home
    bacterial     log hazard of a bacterial pneumonia against COVID-19
    care_days     mean days in intensive care at risk 0; care_risk how its log grows with the risk
    death_odds    log odds of dying of the critically ill at risk 0; death_risk how they grow with the risk
    """

    event_scale: float = 26.0
    event_shape: float = 1.5
    home_scale: float = 10.0
    home_shape: float = 2.6
    severity: float = 4.5
    age: float = 0.40
    male: float = 0.25
    slow: float = 1.0
    bacterial: float = -0.7
    care_days: float = 8.0
    care_risk: float = 0.15
    death_odds: float = -0.9
    death_risk: float = 0.6


HAZARD = HazardSettings()


@dataclass(frozen=True)
class Outcome:
    """The end of one stay in hospital. All is None for the healthy.

    kind        'discharged', 'died', or 'control' for the healthy
    event       whether the patient fell critically ill
    event_day   the day of that, or of discharge, which ends observation
    stay_days   days from day 0 to discharge or death
    log_risk    the true log hazard of the event
    """

    kind: str
    event: bool | None = None
    event_day: float | None = None
    stay_days: float | None = None
    log_risk: float | None = None


NO_OUTCOME = Outcome("control")


def log_risk(severity: float, age: float, male: bool, disease: str, hazard: HazardSettings = HAZARD) -> float:
    """True log hazard of the event against a woman of 60 with severity 0.5 and COVID-19."""
    risk = hazard.severity * (severity - 0.5) + hazard.age * (age - 60) / 10 + hazard.male * male
    return float(risk + (hazard.bacterial if disease == "bacterial" else 0.0))


def draw_outcome(seed: int, risk: float, hazard: HazardSettings = HAZARD) -> Outcome:
    """Draw critical illness and going home: the first happens. The critically ill stay on, and some die."""
    rng = np.random.default_rng([seed, OUTCOME_STREAM])
    first, second = rng.exponential(size=2)
    ill = hazard.event_scale * (first * np.exp(-risk)) ** (1 / hazard.event_shape)
    home = hazard.home_scale * (second * np.exp(hazard.slow * risk)) ** (1 / hazard.home_shape)
    care = rng.gamma(2.0, hazard.care_days / 2) * np.exp(hazard.care_risk * risk)
    dies = rng.random() < 1 / (1 + np.exp(-hazard.death_odds - hazard.death_risk * risk))
    day = round(max(float(min(ill, home)), 0.1), 1)
    if home <= ill:
        return Outcome("discharged", False, day, day, float(risk))
    return Outcome("died" if dies else "discharged", True, day, round(day + float(care), 1), float(risk))


def c_index(risk: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    """Harrell's C: among pairs of which one is known to meet the event first, how often it had the higher
    risk.

    risk, days (N,) float; event (N,) bool. Equal risks count one half. A pair counts when the shorter time
    ends in the event; of two equal times it counts when exactly one of them does. NaN when no pair counts.
    Harrell, Lee and Mark, Statistics in Medicine 1996, section 5.5.
    """
    risk, days, event = np.asarray(risk, float), np.asarray(days, float), np.asarray(event, bool)
    good, pairs = 0.0, 0
    for i in np.flatnonzero(event):  # row by row: memory stays small for thousands of patients
        later = (days > days[i]) | ((days == days[i]) & ~event)
        higher, equal = (risk[later] < risk[i]).sum(), (risk[later] == risk[i]).sum()
        good += float(higher) + 0.5 * float(equal)
        pairs += int(later.sum())
    return good / pairs if pairs else float("nan")
