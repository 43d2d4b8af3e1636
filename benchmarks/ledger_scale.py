"""What the ledger and the tables of a large archive take: rows of a real one, written again and again.

    python benchmarks/ledger_scale.py ARCHIVE FOLDER [--scans 3000]

ARCHIVE is a folder that `glasslung analyze-cohort` filled; its first finished case is written under as many
keys as are asked for, one transaction each, as a run does it, and then the tables are made.
"""

from __future__ import annotations

import argparse
import json
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from glasslung.archive.cases import cases_of
from glasslung.archive.ledger import LEDGER, Outcome, open_ledger
from glasslung.archive.rows import Row
from glasslung.archive.tables import write_tables
from glasslung.data.cohort import Cohort
from glasslung.types import Case, Intensity


def first_done(archive: Path) -> Outcome:
    """A finished case of an archive."""
    with sqlite3.connect(archive / LEDGER) as ledger:
        (rows,) = ledger.execute("SELECT rows FROM outcomes WHERE state = 'done' LIMIT 1").fetchone()
    return Outcome("", "done", rows=tuple(json.loads(rows)))


def other(rows: tuple[Row, ...], rng: np.random.Generator) -> tuple[Row, ...]:
    """The same rows with other figures: equal ones would take no room in Parquet."""
    return tuple(
        {name: v * rng.uniform(0.5, 1.5) if isinstance(v, float) else v for name, v in row.items()}
        for row in rows
    )


@contextmanager
def timed(what: str, scans: int) -> Iterator[None]:
    """Tell what a step took for each scan."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    print(f"{what:24} {1e3 * wall / scans:8.2f} ms wall, {1e3 * cpu / scans:6.2f} ms CPU a scan")


def main() -> None:
    """Write, make tables, tell times and sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=3000)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    outcome, rng = first_done(asked.archive), np.random.default_rng(0)
    each = len(outcome.rows)
    rows = tuple(
        Case(f"p{n // each}", f"s{n}", Path(f"{n}.nii.gz"), Intensity.HU)
        for n in range(asked.scans // each * each)
    )
    cohort = Cohort("made", asked.folder, rows)
    cases = cases_of(cohort)
    with open_ledger(asked.folder) as ledger:
        with timed("ledger, each case synced", len(rows)):
            for case in cases:
                ledger.write(replace(outcome, key=case.key, rows=other(outcome.rows, rng)), case.signature())
        with timed("all tables", len(rows)):
            write_tables(cohort, cases, ledger, asked.folder)
    for name in (LEDGER, "scans.csv", "scans.parquet"):
        print(f"{name:24} {(asked.folder / name).stat().st_size / len(rows) / 1e3:8.2f} kB a scan")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
