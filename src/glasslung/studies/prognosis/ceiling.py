"""How well anybody could foretell a phantom's stay from the day of a scan: the law it was drawn from.

`data.phantom.outcome` draws two times from the first symptom, to critical illness and to going home, with
hazards that depend on one true log risk; the first happens, and the critically ill stay on for a time that is
drawn too. A patient who is in hospital and not critically ill on the day of a scan has outlived both times up
to then, which changes the odds: the best score at a landmark is the true chance of a long stay given risk and
day. No method can be expected to beat it, and one that sees scans alone does not know the risk.
"""

from __future__ import annotations

import numpy as np

from glasslung.data.phantom.outcome import HAZARD, HazardSettings
from glasslung.data.stays import LONG_STAY_DAYS

STEPS = 400  # of the integral over the day of falling critically ill: a fiftieth of a day each


def chance_of_stay(
    risk: np.ndarray, day: np.ndarray, ahead: float = LONG_STAY_DAYS, hazard: HazardSettings = HAZARD
) -> np.ndarray:
    """True chance of being in hospital `ahead` days after a scan, (N,) in [0, 1].

    risk  (N,) true log hazard; day (N,) of the scan since the first symptom. The patient is in hospital and
          not critically ill on that day.
    """
    risk, day = np.asarray(risk, float), np.asarray(day, float)
    at = day[:, None] + np.linspace(0, ahead, STEPS + 1)  # (N, STEPS + 1)
    free, home = _free(risk[:, None], at, hazard), _not_home(risk[:, None], at, hazard)
    both = free * home / (free[:, :1] * home[:, :1])
    falls = -np.diff(free, axis=1) * (home[:, 1:] + home[:, :-1]) / 2 / (free[:, :1] * home[:, :1])
    middle = (at[:, 1:] + at[:, :-1]) / 2
    in_care = _in_care(risk[:, None], day[:, None] + ahead - middle, hazard)
    return np.asarray(both[:, -1] + (falls * in_care).sum(1))


def chance_of_event(
    risk: np.ndarray, day: np.ndarray, ahead: float, hazard: HazardSettings = HAZARD
) -> np.ndarray:
    """True chance of falling critically ill within `ahead` days of a scan, before going home, (N,)."""
    risk, day = np.asarray(risk, float), np.asarray(day, float)
    at = day[:, None] + np.linspace(0, ahead, STEPS + 1)
    free, home = _free(risk[:, None], at, hazard), _not_home(risk[:, None], at, hazard)
    falls = -np.diff(free, axis=1) * (home[:, 1:] + home[:, :-1]) / 2
    return np.asarray(falls.sum(1) / (free[:, 0] * home[:, 0]))


def _free(risk: np.ndarray, day: np.ndarray, hazard: HazardSettings) -> np.ndarray:
    """Chance of not having fallen critically ill by a day, if nobody went home."""
    return np.asarray(np.exp(-((day / hazard.event_scale) ** hazard.event_shape) * np.exp(risk)))


def _not_home(risk: np.ndarray, day: np.ndarray, hazard: HazardSettings) -> np.ndarray:
    """Chance of not having gone home by a day, if nobody fell critically ill."""
    return np.asarray(np.exp(-((day / hazard.home_scale) ** hazard.home_shape) * np.exp(-hazard.slow * risk)))


def _in_care(risk: np.ndarray, days: np.ndarray, hazard: HazardSettings) -> np.ndarray:
    """Chance that intensive care takes longer than so many days: a gamma law of shape 2."""
    t = days / (hazard.care_days / 2) / np.exp(hazard.care_risk * risk)
    return np.asarray(np.exp(-t) * (1 + t))
