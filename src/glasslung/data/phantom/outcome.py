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

    event_scale   days in which 63 % of patients of risk 0 would meet the event if nobody were discharged
    event_shape   above 1: the hazard of critical illness grows during the first weeks
    stay_scale, stay_shape   likewise for discharge
    severity      log hazard of the event per unit of severity (0 to 1): the main driver
    age           log hazard per ten years
    male          log hazard of men
    slow          how much of the risk's log hazard slows discharge
    bacterial     log hazard of a bacterial pneumonia against COVID-19
    """

    event_scale: float = 26.0
    event_shape: float = 1.5
    stay_scale: float = 13.0
    stay_shape: float = 2.6
    severity: float = 4.5
    age: float = 0.40
    male: float = 0.25
    slow: float = 0.55
    bacterial: float = -0.7


HAZARD = HazardSettings()


@dataclass(frozen=True)
class Outcome:
    """The end of one stay in hospital.

    kind        'critical' (the event), 'discharged', or 'control' for the healthy
    stay_days   days from day 0 to the event or to discharge; None for the healthy
    log_risk    the true log hazard of the event; None for the healthy
    """

    kind: str
    stay_days: float | None
    log_risk: float | None


def log_risk(severity: float, age: float, male: bool, disease: str, hazard: HazardSettings = HAZARD) -> float:
    """True log hazard of the event against a woman of 60 with severity 0.5 and COVID-19."""
    risk = hazard.severity * (severity - 0.5) + hazard.age * (age - 60) / 10 + hazard.male * male
    return float(risk + (hazard.bacterial if disease == "bacterial" else 0.0))


def draw_outcome(seed: int, risk: float, hazard: HazardSettings = HAZARD) -> Outcome:
    """Draw both times and keep the first: the event, or discharge."""
    first, second = np.random.default_rng([seed, OUTCOME_STREAM]).exponential(size=2)
    event = hazard.event_scale * (first * np.exp(-risk)) ** (1 / hazard.event_shape)
    home = hazard.stay_scale * (second * np.exp(hazard.slow * risk)) ** (1 / hazard.stay_shape)
    days = float(min(event, home))
    return Outcome("critical" if event < home else "discharged", round(max(days, 0.1), 1), float(risk))


def c_index(risk: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    """Harrell's C: among pairs of which one is known to meet the event first, how often it had the higher
    risk.

    risk, days (N,) float; event (N,) bool. Equal risks count one half. A pair counts when the shorter time
    ends in the event; of two equal times it counts when exactly one of them does. NaN when no pair counts.
    Harrell, Lee and Mark, Statistics in Medicine 1996, section 5.5.
    """
    risk, days, event = np.asarray(risk, float), np.asarray(days, float), np.asarray(event, bool)
    good, pairs = 0.0, 0
    for i in np.flatnonzero(event):
        later = (days > days[i]) | ((days == days[i]) & ~event)
        good += np.count_nonzero(risk[later] < risk[i]) + 0.5 * np.count_nonzero(risk[later] == risk[i])
        pairs += int(np.count_nonzero(later))
    return good / pairs if pairs else float("nan")
