"""Critical illness from one slice, told in order: does the picture know who becomes critically ill?

run_critical(cohort, out, plan=FULL, progress=None) -> path of the page

cohort  a folder in the layout of the CAGE set with labels.csv, or a cohort table with the columns
        critical_illness (or event), progression_days, age and sex
out     folder of the study; a study there goes on
plan    FULL or QUICK
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glasslung.types import Progress


@dataclass(frozen=True)
class Plan:
    """How much of everything: what a quick and the full study differ in."""

    quick: bool
    deals: int  # outer divisions of the patients into folds, each with every choice made anew
    folds: int
    draws: int  # resamples behind an interval


FULL = Plan(False, 5, 5, 2000)
QUICK = Plan(True, 1, 3, 500)


def run_critical(cohort: Path, out: Path, plan: Plan = FULL, progress: Progress | None = None) -> Path:
    """The whole study, from slices to the page; returns the page's path."""
    raise NotImplementedError
