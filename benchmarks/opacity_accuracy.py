"""How near the measured involvement comes to the truth, on phantoms that no setting was tuned on.

    python benchmarks/opacity_accuracy.py [--first-seed 500] [--patients 12]

Each patient is rendered healthy and ill (days 3, 8, 14 and 24) at one of the four sites, and measured twice:
inside the true lung mask, which isolates the opacities, and inside our own, which is what a user gets.
Intervals are 95 %, by resampling patients. Seeds 1 to 499 were used while the method was made.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from glasslung.data.lungs import segment_lungs
from glasslung.data.phantom import SITES, Chest, draw_patient, render
from glasslung.measure.opacity import opacities
from glasslung.measure.overlap import dice
from glasslung.measure.statistics import bootstrap_by_patient
from glasslung.types import Lungs, MaskQuality

DAYS = (3, 8, 14, 24)


def row(chest: Chest, lungs: Lungs) -> tuple[float, float, float]:
    """True and measured involvement in per cent, and the Dice of the lesions."""
    dense = opacities(chest.volume, lungs)
    share = 100 * np.count_nonzero(dense) / max(1, np.count_nonzero(lungs.mask))
    return 100 * chest.involvement(), share, dice(chest.lesions > 0, dense > 0)


def measured(first: int, patients: int) -> dict[str, np.ndarray]:
    """Rows of (patient, ill, true, measured, Dice) for both kinds of lung mask."""
    rows: dict[str, list[tuple[float, ...]]] = {"true lungs": [], "our lungs": []}
    for n in range(patients):
        disease = "bacterial" if n % 4 == 3 else "covid"
        patient = draw_patient(first + n, disease=disease, site=list(SITES)[n % len(SITES)])
        for day in (None, *DAYS):
            chest = render(patient, day or 0, disease=day is not None)
            for name, lungs in (
                ("true lungs", Lungs(chest.lungs, MaskQuality(True, 1.0))),
                ("our lungs", segment_lungs(chest.volume)),
            ):
                rows[name].append((n, day is not None, *row(chest, lungs)))
    return {name: np.array(found, float) for name, found in rows.items()}


def report(name: str, rows: np.ndarray) -> str:
    """One row of the table."""
    rng = np.random.default_rng(0)
    well, ill = rows[rows[:, 1] == 0], rows[rows[:, 1] == 1]

    def interval(statistic, data):  # type: ignore[no-untyped-def]
        return bootstrap_by_patient(statistic, data[:, 0], data[:, 2], data[:, 3], data[:, 4], rng=rng)

    healthy = interval(lambda true, found, _: found.mean(), well)
    ranks = interval(lambda true, found, _: np.corrcoef(true, found)[0, 1], ill)
    error = interval(lambda true, found, _: np.abs(found - true).mean(), ill)
    bias = interval(lambda true, found, _: (found - true).mean(), ill)
    overlap = interval(lambda true, found, lesion: np.nanmean(lesion), ill)
    return f"| {name} | {healthy} | {ranks} | {error} | {bias} | {overlap} |"


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--first-seed", type=int, default=500)
    options.add_argument("--patients", type=int, default=12)
    given = options.parse_args()
    begun = time.perf_counter()
    tables = measured(given.first_seed, given.patients)
    print(
        "| lung mask | healthy: found, % | ill: correlation | absolute error, points | bias | lesion Dice |"
    )
    print("|---|---|---|---|---|---|")
    for name, rows in tables.items():
        print(report(name, rows))
    scans = given.patients * (1 + len(DAYS))
    print(
        f"\n{given.patients} patients, {scans} scans of 96 x 192 x 192, {time.perf_counter() - begun:.0f} s"
    )


if __name__ == "__main__":
    main()
