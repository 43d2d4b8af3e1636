"""The ledger as files a person or a program reads: one table, what was set aside, manifest, summary.

    scans.csv, scans.parquet  one row per scan of the cohort, in its order, also for scans without a result
    set-aside.csv             cases without a result, and why
    manifest.json             what was asked, by which versions, how much was done
    summary.txt               the same in words, with totals

The table says nothing of when or how fast something was done, so the same cohort gives the same bytes
whoever did it. Columns are those of the cohort and of the cases, in order of first appearance; a column's
type is the same in every row. Rows are read from the ledger one case at a time.
"""

from __future__ import annotations

import csv
import datetime as dt
import math
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.archive.cases import PatientCase
from glasslung.archive.ledger import ASIDE, DONE, Ledger, Outcome
from glasslung.archive.rows import Row
from glasslung.data.cohort import Cohort
from glasslung.files import whole_file, write_json, write_whole
from glasslung.types import DISCLAIMER, Case

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_CSV, TABLE_PARQUET = "scans.csv", "scans.parquet"
ASIDE_CSV, MANIFEST, SUMMARY = "set-aside.csv", "manifest.json", "summary.txt"
FILES = (TABLE_CSV, TABLE_PARQUET, ASIDE_CSV, MANIFEST, SUMMARY)
FIRST = (
    *(
        "patient",
        "scan",
        "site",
        "label",
        "split",
        "state",
        "reason",
        "case",
        "story_scan",
        "scans_of_patient",
    ),
)
GROUP_ROWS = 10_000  # of a Parquet file at a time: some 20 MB
WAITING = "not done"


def write_tables(cohort: Cohort, cases: Sequence[PatientCase], ledger: Ledger, out: Path) -> dict[str, int]:
    """All files, each whole or not at all; returns how many scans are in which state."""
    kinds = _columns(cases, ledger)
    with whole_file(out / TABLE_CSV) as part:
        _write_csv(part, kinds, _rows(cases, ledger))
    with whole_file(out / TABLE_PARQUET) as part:
        _write_parquet(part, kinds, _rows(cases, ledger))
    _write_aside(cases, ledger, out / ASIDE_CSV)
    counts = Counter(row["state"] for row in _rows(cases, ledger))
    _write_manifest(cohort, cases, ledger, dict(counts), out / MANIFEST)
    return dict(counts)


def _rows(cases: Sequence[PatientCase], ledger: Ledger) -> Iterator[Row]:
    """Every scan of the cohort, patient by patient."""
    for case in cases:
        outcome = ledger.outcome(case.key)
        for n, scan in enumerate(case.rows):
            yield _row(case, scan, n, outcome)


def _row(case: PatientCase, scan: Case, n: int, outcome: Outcome | None) -> Row:
    about = {"patient": scan.patient, "scan": scan.scan, "site": scan.site, "label": scan.label}
    about |= {"split": scan.split, "case": case.key}
    known: Row = {name: text for name, text in about.items() if text}
    known["scans_of_patient"] = len(case.rows)
    if outcome is None:
        return {**known, "state": WAITING}
    reason = {"reason": outcome.reason} if outcome.reason else {}
    measured = outcome.rows[n] if outcome.state == DONE else {}
    return {**known, "state": outcome.state, **reason, **measured}


def _columns(cases: Sequence[PatientCase], ledger: Ledger) -> dict[str, type]:
    """Column -> bool, int, float or str: what all its values are."""
    kinds: dict[str, type] = dict.fromkeys(FIRST, str)
    kinds["scans_of_patient"] = int
    for row in _rows(cases, ledger):
        for name, value in row.items():
            kinds[name] = _wider(kinds.get(name, type(value)), type(value))
    return kinds


def _wider(one: type, other: type) -> type:
    if one is other:
        return one
    return float if {one, other} == {int, float} else str


def _write_csv(path: Path, kinds: Mapping[str, type], rows: Iterator[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kinds)
        writer.writerows([_cell(row.get(name)) for name in kinds] for row in rows)


def _cell(value: Any) -> str:
    """As text; '' where nothing is known. A float has ten digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, ".10g") if isinstance(value, float) else str(value)


def _write_parquet(path: Path, kinds: Mapping[str, type], rows: Iterator[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    arrow = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    schema = pa.schema([(name, arrow[kind]) for name, kind in kinds.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        group: list[Row] = []
        for row in rows:
            group.append(row)
            if len(group) == GROUP_ROWS:
                writer.write_table(_arrow(group, kinds, schema))
                group = []
        writer.write_table(_arrow(group, kinds, schema))


def _arrow(rows: Sequence[Row], kinds: Mapping[str, type], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    def cell(row: Row, name: str, kind: type) -> Any:
        value = row.get(name)
        return value if value is None or isinstance(value, kind) else kind(value)

    return pa.table(
        {name: [cell(row, name, kind) for row in rows] for name, kind in kinds.items()}, schema=schema
    )


def _write_aside(cases: Sequence[PatientCase], ledger: Ledger, path: Path) -> None:
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["patient", "case", "scans", "kind", "reason"])
        for case in cases:
            found = ledger.outcome(case.key)
            if found is not None and found.state == ASIDE:
                writer.writerow([case.rows[0].patient, case.key, len(case.rows), found.kind, found.reason])


# --- manifest and summary ---------------------------------------------------------------------------------


def _write_manifest(
    cohort: Cohort, cases: Sequence[PatientCase], ledger: Ledger, scans: Mapping[str, int], path: Path
) -> None:
    from glasslung.train.rundir import library_versions

    outcomes = [found for case in cases if (found := ledger.outcome(case.key)) is not None]
    done = [found for found in outcomes if found.state == DONE]
    told = {
        "disclaimer": DISCLAIMER,
        "cohort": cohort.name,
        "note": cohort.note,
        "asked": ledger.asked(),
        "command": shlex.join(["glasslung", *sys.argv[1:]]),
        "written": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": library_versions(),
        "patients": len(cases),
        "scans": scans,
        "set_aside": dict(Counter(found.kind for found in outcomes if found.state == ASIDE)),
        "took": {
            "seconds_of_workers": round(math.fsum(found.seconds for found in outcomes), 1),
            "cpu_seconds": round(math.fsum(found.cpu_seconds for found in outcomes), 1),
            "most_memory_mb": round(max((found.memory_mb for found in done), default=0.0), 1),
        },
    }
    write_json(path, told)
    write_whole(path.with_name(SUMMARY), summary_text(told))


def summary_text(told: Mapping[str, Any]) -> str:
    """A manifest in a few lines."""
    scans, aside, took = told["scans"], told["set_aside"], told["took"]
    lines = [
        f"{told['cohort']}: {sum(scans.values())} scans of {told['patients']} patients",
        *(f"  {count} {state}" for state, count in sorted(scans.items())),
        *(f"  patients set aside, {kind}: {count}" for kind, count in sorted(aside.items())),
        f"work: {took['cpu_seconds']:.0f} s of processors in {took['seconds_of_workers']:.0f} s of workers",
        f"the largest worker held {took['most_memory_mb']:.0f} MB",
        told["disclaimer"],
    ]
    return "\n".join(lines) + "\n"
