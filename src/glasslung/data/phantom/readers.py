"""Simulated readers of phantoms. No human being has read these scans: whatever is drawn from them says so.

A simulated reader sees the true burden of a scan (share of the lungs that is lesion, per cent) through noise
of their own, and calls from a cut of their own. They stand where a table of real readers would, so that a
study's figures of readers can be tried and tested on phantoms; they tell nothing about radiologists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.data.readers import TASKS, Readings, Scale
from glasslung.errors import ShapeError

NAME = "simulated reader"
DIAGNOSIS, ONE_SCAN, TWO_SCANS = TASKS


@dataclass(frozen=True)
class Eyes:
    """How well a simulated reader sees.

    noise   deviation of the perceived log burden, and of the perceived kind of disease
    lean    how readily this reader calls: above 0 more often yes
    """

    noise: float
    lean: float


READERS = (Eyes(0.5, 0.3), Eyes(0.7, -0.3))
"""Two, as in the COVID3D paper: one careful who calls readily, one noisier who holds back."""
PLAIN = 5.0  # per cent of the lungs: from about here on a pneumonia shows its kind
KIND = 1.5  # how far, in units of noise 1, covid and other pneumonias look apart once they are plain
TREND = 1.0  # weight of the change of log burden per week beside the log burden itself


def simulate_readers(
    patients: Sequence[str],
    scans: Sequence[str],
    covid: np.ndarray,
    burden: np.ndarray,
    rng: np.random.Generator,
    prior: np.ndarray | None = None,
    days_between: np.ndarray | None = None,
    eyes: Sequence[Eyes] = READERS,
) -> dict[str, Readings]:
    """What simulated readers say of N phantom scans, by task, as yes or no.

    covid    (N,) bool: the true disease is COVID-19
    burden   (N,) true share of the lungs that is lesion, per cent, 0 to 100
    prior, days_between  (N,) the same of the scan before, and days since; NaN where there is none. Without
             them, and for such scans, nobody reads two scans
    Prognosis is called 'high risk' where the perceived log burden, and with two scans its trend, exceeds its
    own median over these scans, moved by the reader's lean.
    """
    burden = np.asarray(burden, float)
    if not len(patients) == len(scans) == len(burden) == len(covid):
        raise ShapeError(
            f"{len(patients)} patients, {len(scans)} scans and {len(burden)} burdens must be alike"
        )
    names = tuple(f"{NAME} {n + 1}" for n in range(len(eyes)))
    log = np.log1p(burden)
    said: dict[str, list[np.ndarray]] = {task: [] for task in TASKS}
    for one in eyes:
        shows = burden / (burden + PLAIN)
        kind = KIND * shows * np.where(covid, 1.0, -1.0) + rng.normal(0, one.noise, len(burden))
        said[DIAGNOSIS].append((kind + one.lean > 0).astype(float))
        seen = log + rng.normal(0, one.noise, len(burden))
        said[ONE_SCAN].append((seen > np.median(seen) - one.lean).astype(float))
        if prior is not None and days_between is not None:
            weeks = np.maximum(np.asarray(days_between, float), 1.0) / 7
            before = np.log1p(np.asarray(prior, float)) + rng.normal(0, one.noise, len(burden))
            both = (seen + before) / 2 + TREND * (seen - before) / weeks / 2
            known = ~np.isnan(both)
            cut = np.median(both[known]) - one.lean if known.any() else 0.0
            said[TWO_SCANS].append(np.where(known, both > cut, np.nan))
    rows = tuple(range(2, 2 + len(scans)))
    return {
        task: Readings(task, Scale.YES_NO, tuple(patients), tuple(scans), names, np.stack(columns, 1), rows)
        for task, columns in said.items()
        if columns and not np.isnan(np.stack(columns, 1)).all()
    }
