"""Simulated stays whose hazards are known."""

from __future__ import annotations

import numpy as np

from glasslung.data.stays import Stays


def simulated(n=300, seed=0, effect=1.0, each=1):
    """Columns and stays: critical illness and discharge compete; `burden` drives both, `noise` nothing."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n // each), each)
    burden, noise = rng.normal(30, 10, n), rng.normal(0, 3, n)
    risk = effect * (burden - 30) / 10
    ill, home = rng.exponential(20 * np.exp(-risk)), rng.exponential(9 * np.exp(0.7 * risk))
    event_days = np.maximum(np.minimum(ill, home), 0.05)
    event = np.where(ill < home, 1, 2)
    stay = np.where(event == 1, event_days + rng.exponential(8, n), event_days)
    blank = np.full(n, np.nan)
    stays = Stays(
        tuple(f"p{one}" for one in patients),
        tuple(f"s{row}" for row in range(n)),
        ("a",) * n,
        np.full(n, -1),
        np.zeros(n),
        blank,
        blank,
        stay,
        np.ones(n, bool),
        event,
        event_days,
        np.zeros(n, bool),
    )
    return {"burden": burden, "noise": noise}, stays
