"""What goes with the label and the outcome that is not the disease: site, split, day, and every other column.

A model may learn the site for the label or the day for the outcome; a table shows it before any training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from glasslung.audit.record import AuditSettings, Check, ColumnTell, Part, Table
from glasslung.audit.shortcuts import Target, patients_of_kinds, target_of
from glasslung.data.cohort import case_value
from glasslung.measure.ranking import auc_interval, errors_from_chance
from glasslung.measure.statistics import cramers_v_interval
from glasslung.types import Case, Remark, Severity

FIXED_COLUMNS = ("site", "split", "day", "intensity", "label", "event", "event_day")
MOST_CATEGORIES = 20  # a column with more different texts is free text or a name, not a category
FEW_NUMBERS = 6  # numbers with fewer different values are categories (0/1, grades)
DAY_BANDS = 3
NAMED_COLUMNS = 8  # in a remark; all of them are in the audit
WHAT = {"label": "label", "event": "outcome"}


def audit_confounding(cases: Sequence[Case], settings: AuditSettings) -> Part:
    """Columns against the label and against the outcome, with the tables a person needs to judge them."""
    parts = [_audit_target(cases, target_of(cases, name), settings) for name in ("label", "event")]
    return Part(
        remarks=tuple(x for part in parts for x in part.remarks),
        checks=tuple(x for part in parts for x in part.checks),
        columns=tuple(x for part in parts for x in part.columns),
        tables=tuple(x for part in parts for x in part.tables),
    )


def contingency(title: str, first: Sequence[str], second: Sequence[str]) -> Table:
    """Scans by two columns of texts, values sorted; an empty text reads 'unknown'."""
    counts = Counter(zip(first, second, strict=True))
    rows, columns = sorted(set(first)), sorted(set(second))
    scans = tuple(tuple(counts[row, column] for column in columns) for row in rows)
    return Table(title, tuple(r or "unknown" for r in rows), tuple(c or "unknown" for c in columns), scans)


def day_bands(days: np.ndarray, bands: int = DAY_BANDS) -> list[str]:
    """Each day's band, of about equal numbers of scans: '1: day 0 to 3', ...; the texts sort by day."""
    edges = np.unique(np.quantile(days, np.linspace(0, 1, bands + 1)[1:-1], method="lower"))
    number = np.searchsorted(edges, days, side="left")
    names = {
        band: f"{band + 1}: day {days[number == band].min():g} to {days[number == band].max():g}"
        for band in np.unique(number)
    }
    return [names[band] for band in number]


def _audit_target(cases: Sequence[Case], target: Target, settings: AuditSettings) -> Part:
    name = f"confounded with the {WHAT[target.name]}"
    groups = target.groups(settings.fewest) if len(target.rows) else ()
    if not groups:
        why = f"needs two kinds of {target.name} with at least {settings.fewest} patients each"
        return Part(checks=(Check(name, "skipped", why),))
    known = [cases[row] for row in target.rows]
    names = _columns(known, target.name)
    columns = [tell for column in names for tell in _tells(known, column, target, settings)]
    remarks = [
        *_day_remarks(known, columns, target, settings),
        *_column_remarks(columns, target, settings),
    ]
    looked_at = ", ".join(dict.fromkeys(tell.column for tell in columns)) or "no column varies"
    check = Check(name, "found" if remarks else "clear", f"{len(known)} scans; {looked_at}")
    return Part(tuple(remarks), (check,), columns=tuple(columns), tables=tuple(_tables(known, target)))


def _columns(cases: Sequence[Case], target: str) -> tuple[str, ...]:
    """Columns that may go with the target: not itself, no paths, and for the outcome not its own day."""
    own = {target, "event_day"} if target == "event" else {target}
    extra = sorted({name for case in cases for name in case.extra if not name.endswith("_path")})
    return tuple(name for name in (*FIXED_COLUMNS, *extra) if name not in own)


def _tells(
    cases: Sequence[Case], column: str, target: Target, settings: AuditSettings
) -> Iterator[ColumnTell]:
    """Whether the column is filled, and what it says where it is."""
    values = np.array([case_value(case, column) for case in cases])
    filled = values != ""
    if filled.any() and not filled.all():
        yield _category_tell(column, "filled", filled, target, np.ones(len(cases), bool), settings)
    numbers = _numbers(values[filled])
    if len(np.unique(values[filled])) < 2 or len(np.unique(target.values[filled])) < 2:
        return
    if numbers is not None:
        yield from _number_tells(column, numbers, target, filled, settings)
    elif len(np.unique(values[filled])) <= MOST_CATEGORIES:
        yield _category_tell(column, "value", values[filled], target, filled, settings)


def _numbers(texts: np.ndarray) -> np.ndarray | None:
    """The column as numbers, or None where it holds categories."""
    try:
        numbers = texts.astype(np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() and len(np.unique(numbers)) > FEW_NUMBERS else None


def _category_tell(
    column: str,
    aspect: str,
    values: np.ndarray,
    target: Target,
    chosen: np.ndarray,
    settings: AuditSettings,
) -> ColumnTell:
    strength = cramers_v_interval(
        values,
        target.values[chosen],
        target.patients[chosen],
        rng=np.random.default_rng(settings.seed),
        draws=settings.draws,
        level=settings.level,
    )
    return ColumnTell(target.name, column, aspect, "Cramer's V", strength)


def _number_tells(
    column: str, numbers: np.ndarray, target: Target, filled: np.ndarray, settings: AuditSettings
) -> Iterator[ColumnTell]:
    patients = target.patients[filled]
    for group in target.groups(settings.fewest):
        truth = target.values[filled] == group
        with_it, without = patients_of_kinds(truth, patients)
        if min(with_it, without) < settings.fewest:
            continue  # hardly anybody on one side has the column at all: 'filled' tells that
        rng = np.random.default_rng(settings.seed)
        strength = auc_interval(truth, numbers, patients, rng=rng, draws=settings.draws, level=settings.level)
        errors = errors_from_chance(strength.value, with_it, without)
        yield ColumnTell(target.name, column, "value", "AUC", strength, group, errors)


def _strong(tell: ColumnTell, settings: AuditSettings) -> bool:
    if tell.errors is not None and tell.errors < settings.beyond_chance:
        return False
    return tell.direct > (settings.strong_auc if tell.measure == "AUC" else settings.strong_v)


def _day_remarks(
    cases: Sequence[Case], tells: Sequence[ColumnTell], target: Target, settings: AuditSettings
) -> Iterator[Remark]:
    what = WHAT[target.name]
    for tell in (tell for tell in tells if tell.column == "day" and _strong(tell, settings)):
        if tell.aspect == "filled":
            yield Remark(
                f"day-known-tells-{target.name}",
                Severity.WARN,
                f"Whether a day is known goes with the {what} (Cramer's V {tell.strength}): "
                f"{_filled(cases, target)}.",
                "Do not give a model the day, nor whether there is one.",
            )
        else:
            falls = tell.strength.value < 0.5
            auc = f"AUC {tell.strength}, {'falling' if falls else 'rising'} with day"
            yield Remark(
                f"day-tells-{target.name}",
                Severity.WARN,
                f"The day alone tells {tell.group!r} ({auc}): {_by_day(cases, target, tell.group)}. The two "
                "are confounded, and the day may itself be counted from or up to the outcome.",
                "Do not use the day as a feature; compare patients of the same day; find out what it counts.",
            )


def _column_remarks(tells: Sequence[ColumnTell], target: Target, settings: AuditSettings) -> Iterator[Remark]:
    """One line for all columns but the day that go with the target, strongest first."""
    what = WHAT[target.name]
    strong = [tell for tell in tells if tell.column != "day" and _strong(tell, settings)]
    strong.sort(key=lambda tell: -(2 * tell.direct - 1 if tell.measure == "AUC" else tell.direct))
    site = [tell for tell in strong if tell.column == "site"]
    others = [tell for tell in strong if tell.column != "site"]
    if site:
        yield Remark(
            f"site-tells-{target.name}",
            Severity.WARN,
            f"Site and {what} go together (Cramer's V {site[0].strength}): a model may learn the site "
            "instead.",
            "Compare within a site, or test on a site that was not trained on.",
        )
    if others:
        told = "; ".join(_told(tell) for tell in others[:NAMED_COLUMNS])
        rest = f"; and {len(others) - NAMED_COLUMNS} more" if len(others) > NAMED_COLUMNS else ""
        yield Remark(
            f"columns-tell-{target.name}",
            Severity.WARN,
            f"Columns of the table go with the {what}: {told}{rest}.",
            "Do not give them to a model as features without asking why they do.",
        )


def _told(tell: ColumnTell) -> str:
    aspect = f"whether {tell.column} is filled" if tell.aspect == "filled" else tell.column
    group = f" for {tell.group!r}" if tell.group else ""
    measure = "AUC" if tell.measure == "AUC" else "V"
    return f"{aspect} ({measure} {tell.strength}{group})"


def _filled(cases: Sequence[Case], target: Target) -> str:
    """'known in 240 of 240 scans of 'covid', 0 of 828 of 'healthy''."""
    parts = []
    for value in sorted(set(target.values.tolist())):
        there = [case.day is not None for case, own in zip(cases, target.values, strict=True) if own == value]
        parts.append(f"{sum(there)} of {len(there)} scans of {value!r}")
    return "known in " + ", ".join(parts)


def _by_day(cases: Sequence[Case], target: Target, group: str) -> str:
    """'88 of 92 scans on day 0 to 4, 20 of 71 on day 5 to 9, ...'."""
    days, has_it = _days(cases, target, group)
    bands = np.array(day_bands(days))
    parts = [
        f"{has_it[bands == band].sum()} of {(bands == band).sum()} on {band.split(': ')[1]}"
        for band in np.unique(bands)
    ]
    return ", ".join(parts)


def _days(cases: Sequence[Case], target: Target, group: str) -> tuple[np.ndarray, np.ndarray]:
    known = [number for number, case in enumerate(cases) if case.day is not None]
    days = np.array([cases[number].day for number in known], dtype=np.float64)
    return days, target.values[known] == group


def _tables(cases: Sequence[Case], target: Target) -> Iterator[Table]:
    """Target by site, split, whether the day is known, and day bands; those of one column are left out."""
    what, values = WHAT[target.name], target.values.tolist()
    for field in ("site", "split", "label", "intensity"):
        others = [case_value(case, field) for case in cases]
        if field != target.name and len(set(others)) > 1:
            yield contingency(f"{what} by {field}", values, others)
    there = ["day known" if case.day is not None else "day unknown" for case in cases]
    if len(set(there)) > 1:
        yield contingency(f"{what} by whether the day is known", values, there)
    known = [number for number, case in enumerate(cases) if case.day is not None]
    if len({values[number] for number in known}) > 1:
        bands = day_bands(np.array([cases[number].day for number in known], dtype=np.float64))
        yield contingency(f"{what} by day", [values[number] for number in known], bands)
