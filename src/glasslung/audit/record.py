"""What an audit says: remarks for a person, and the tables behind them for a page or a machine.

Nothing here names a patient or a scan: a row is the line of the cohort's table, the header being row 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from glasslung.measure.statistics import Interval
from glasslung.types import DISCLAIMER, Remark, Severity

SCHEMA = "glasslung-audit/1"
FIRST_ROW = 2  # the header is row 1


@dataclass(frozen=True)
class AuditSettings:
    """What decides whether something is worth a remark. All of it is stored with the audit."""

    slices: int = (
        15  # looked at per volume or stack, evenly spaced: enough to meet a copy, cheap enough for 300
    )
    coarse: float = 0.9  # correlation at 16 x 16 that makes a pair worth a closer look
    alike: float = (
        0.85  # of the fine detail; 680 000 pairs under different names gave 0.6 at most, copies 0.9
    )
    look: float = 0.75  # from here on a person should look: slices next to each other are this much alike
    folds: int = 5  # of the cross-validation of source-only classifiers
    trees: int = 100  # of each classifier; twice as many change the AUC by less than 0.01
    draws: int = 1000  # resamples of the patients; limits are stable to about 0.01
    level: float = 0.95  # of every interval
    tell: float = 0.6  # an AUC whose lower limit is above this is a warning: chance and luck end below
    strong_auc: float = 0.7  # a single fact or column is named from this lower limit on
    strong_v: float = 0.3  # Cramer's V, lower limit: moderate association and more
    beyond_chance: float = 3.5  # standard errors; dozens of facts are tried at once, and luck makes 3 of one
    fewest: int = 5  # patients of a kind, below which no interval is tried
    seed: int = 0  # of folds, trees and resampling


@dataclass(frozen=True)
class Check:
    """One question: outcome 'clear', 'found' or 'skipped', and what was looked at, or why it was not."""

    name: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Pair:
    """Two scans that are one picture.

    alike   how alike their detail is, 1 for the same pixels;  exact  the same pixels
    turned  how the one was turned into the other: 'as it is', 'turned by 90', 'mirrored', ...
    """

    first_row: int
    second_row: int
    alike: float
    exact: bool
    turned: str
    same_patient: bool
    across_splits: bool
    labels_differ: bool


@dataclass(frozen=True)
class FileProblem:
    """A file that a row names and that is not what it should be; what: 'image', 'lungs', 'lesions', ..."""

    row: int
    what: str
    problem: str


@dataclass(frozen=True)
class Tell:
    """How well a group of scans can be told by facts that never see the lung.

    target    'label' or 'event';  group  the value told from all others: 'covid'
    seen      'file facts', 'borders' or 'both'
    auc       cross-validated by patient;  errors  standard errors that it lies from chance
    """

    target: str
    group: str
    seen: str
    auc: Interval
    errors: float
    scans: int
    patients: int


@dataclass(frozen=True)
class FactTell:
    """How far one fact alone tells a group: AUC of the fact itself, below 0.5 where the group has less of it.

    seen    'file facts', 'borders' or 'picture' (the last one sees the lung)
    errors  standard errors that the AUC lies from chance
    """

    target: str
    group: str
    fact: str
    seen: str
    auc: Interval
    errors: float
    median_in: float
    median_out: float


@dataclass(frozen=True)
class ColumnTell:
    """How strongly a column of the table goes with the target.

    aspect   'value', or 'filled' (whether there is a value at all)
    measure  'AUC' (numbers; of `group` against the rest) or "Cramer's V" (categories)
    errors   standard errors that an AUC lies from chance; None for Cramer's V, which is corrected for it
    """

    target: str
    column: str
    aspect: str
    measure: str
    strength: Interval
    group: str = ""
    errors: float | None = None

    @property
    def direct(self) -> float:
        """The lower limit of the strength whichever way it points: 0.5 no AUC, 0 no V."""
        if self.measure == "AUC":
            return max(self.strength.low, 1.0 - self.strength.high)
        return self.strength.low


@dataclass(frozen=True)
class Table:
    """A contingency table: scans by row value and column value."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scans: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Part:
    """What one part of the audit found; the parts are put together into the Audit."""

    remarks: tuple[Remark, ...] = ()
    checks: tuple[Check, ...] = ()
    files: tuple[FileProblem, ...] = ()
    pairs: tuple[Pair, ...] = ()
    closest: tuple[Pair, ...] = ()
    tells: tuple[Tell, ...] = ()
    facts: tuple[FactTell, ...] = ()
    columns: tuple[ColumnTell, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Audit:
    """The audit of one cohort.

    remarks   for a person, most serious first
    checks    every question that was asked, also those without a finding and those that could not be asked
    files     files that are missing, unreadable or do not fit
    pairs     scans that are copies of one another
    closest   the pairs of different patients that came nearest to being called copies: worth a look
    tells     source-only classifiers;  facts  single facts;  columns  columns of the table;  tables  counts
    """

    schema: str
    disclaimer: str
    cohort: str
    note: str
    scans: int
    patients: int
    remarks: tuple[Remark, ...]
    checks: tuple[Check, ...]
    files: tuple[FileProblem, ...]
    pairs: tuple[Pair, ...]
    closest: tuple[Pair, ...]
    tells: tuple[Tell, ...]
    facts: tuple[FactTell, ...]
    columns: tuple[ColumnTell, ...]
    tables: tuple[Table, ...]
    settings: AuditSettings = field(default_factory=AuditSettings)

    @property
    def serious(self) -> bool:
        """Whether a remark says that a score on this cohort proves nothing as it stands."""
        return any(remark.severity is Severity.REFUSE for remark in self.remarks)

    def as_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, texts and numbers, ready for json.dumps."""
        return asdict(self)


def put_together(
    name: str, note: str, scans: int, patients: int, parts: Iterable[Part], settings: AuditSettings
) -> Audit:
    """One Audit from its parts; remarks most serious first, in the order of the parts otherwise."""
    parts = list(parts)
    order = {severity: rank for rank, severity in enumerate(Severity)}
    remarks = sorted((remark for part in parts for remark in part.remarks), key=lambda r: order[r.severity])
    return Audit(
        schema=SCHEMA,
        disclaimer=DISCLAIMER,
        cohort=name,
        note=note,
        scans=scans,
        patients=patients,
        remarks=tuple(remarks),
        checks=tuple(x for part in parts for x in part.checks),
        files=tuple(x for part in parts for x in part.files),
        pairs=tuple(x for part in parts for x in part.pairs),
        closest=tuple(x for part in parts for x in part.closest),
        tells=tuple(x for part in parts for x in part.tells),
        facts=tuple(x for part in parts for x in part.facts),
        columns=tuple(x for part in parts for x in part.columns),
        tables=tuple(x for part in parts for x in part.tables),
        settings=settings,
    )
