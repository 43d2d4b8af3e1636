"""What a large archive takes: storage, throughput and cost, from figures measured on one scan.

    python benchmarks/scale_plan.py [--scans 1000000] [--per-patient 2] [--days 30] [--price 0.04] ...

Every default is a figure that was measured elsewhere: see docs/scale.md for the command that gave it. With
your own: `took` in the manifest.json of a first thousand scans has processor seconds and memory.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

DAY_SECONDS = 86400.0
MB, GB, TB = 1e6, 1e9, 1e12


@dataclass(frozen=True)
class Measured:
    """Of one scan of 300 x 512 x 512 voxels, all networks asked, reasons drawn.

    cpu_seconds   processor seconds of a scan
    pair_seconds  of laying it on the one before
    memory_gb     most that a worker held
    scan_mb, story_mb, report_mb   the scan; its masks, maps and pictures; story.json, tables and report
    ledger_kb, csv_kb, parquet_kb  a scan's share of these
    ledger_ms     one case written to the ledger by the process that leads, wall
    """

    cpu_seconds: float = 42.0
    pair_seconds: float = 34.0
    memory_gb: float = 1.9
    scan_mb: float = 99.5
    story_mb: float = 45.4
    report_mb: float = 1.3
    ledger_kb: float = 12.3
    csv_kb: float = 2.8
    parquet_kb: float = 1.7
    ledger_ms: float = 33.0


@dataclass(frozen=True)
class Plan:
    """How many scans, how many of a patient, in how many days, and what things cost.

    price     of one core for an hour;  storage  of one TB for a month
    busy      share of the time in which cores really work: reading, waiting for the last ones
    """

    scans: float = 1e6
    per_patient: float = 2.0
    days: float = 30.0
    price: float = 0.04
    storage: float = 20.0
    busy: float = 0.8


def lines(one: Measured, plan: Plan) -> list[tuple[str, str]]:
    """The table: what, and how much."""
    pairs = plan.scans * (1 - 1 / plan.per_patient)
    cpu = plan.scans * one.cpu_seconds + pairs * one.pair_seconds
    core_hours = cpu / 3600 / plan.busy
    cores = core_hours / 24 / plan.days
    rate = plan.scans / plan.days / DAY_SECONDS
    kept = {
        "everything": one.story_mb + one.report_mb,
        "reports": one.report_mb,
        "figures": 0.0,
    }
    most = 1000 / one.ledger_ms * plan.per_patient
    return [
        ("patients", f"{plan.scans / plan.per_patient:,.0f}"),
        ("scans laid on an earlier one", f"{pairs:,.0f}"),
        (
            "processor time",
            f"{cpu / 3600:,.0f} core hours, {core_hours:,.0f} with cores {plan.busy:.0%} busy",
        ),
        (f"cores for {plan.days:g} days", f"{cores:,.0f}"),
        ("memory of that many workers", f"{cores * one.memory_gb:,.0f} GB"),
        (
            "reading the scans",
            f"{plan.scans * one.scan_mb * MB / TB:,.0f} TB, {rate * one.scan_mb:,.0f} MB/s",
        ),
        *[
            (f"stories, --keep {what}", f"{plan.scans * mb * MB / TB:,.1f} TB, {rate * mb:,.1f} MB/s")
            for what, mb in kept.items()
        ],
        ("ledger", f"{plan.scans * one.ledger_kb * 1e3 / GB:,.1f} GB"),
        ("scans.csv", f"{plan.scans * one.csv_kb * 1e3 / GB:,.1f} GB"),
        ("scans.parquet", f"{plan.scans * one.parquet_kb * 1e3 / GB:,.2f} GB"),
        ("the ledger takes at most", f"{most:,.0f} scans/s, {most / rate:,.0f} times what is needed"),
        ("cores cost", f"{core_hours * plan.price:,.0f}"),
        (
            "a year of stories costs, --keep everything",
            f"{plan.scans * kept['everything'] * MB / TB * plan.storage * 12:,.0f}",
        ),
    ]


def main() -> None:
    """Read figures from the command line, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind in (Plan, Measured):
        for field in fields(kind):
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=field.default)
    asked = vars(parser.parse_args())
    one, plan = (
        kind(**{field.name: asked[field.name] for field in fields(kind)}) for kind in (Measured, Plan)
    )
    told = lines(one, plan)
    width = max(len(what) for what, _ in told)
    print(f"{plan.scans:,.0f} scans, {plan.per_patient:g} of a patient")
    for what, much in told:
        print(f"{what:{width}}  {much}")


if __name__ == "__main__":
    main()
