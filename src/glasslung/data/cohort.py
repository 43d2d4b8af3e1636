"""A cohort is a table: one row per scan, `cohort.csv`, and splits of it that never part a patient.

Columns
    patient,scan,image,intensity    needed in every row; patient and scan together are unique
    day,event_day                   numbers, days on the cohort's own time axis
    event                           1 or 0
    split                           train, val or test
    site,label                      text
    lungs,lobes,lesions             paths of masks
An empty field means "not known". Any further column is kept as text in `Case.extra`; one whose name ends in
`_path` is a path like the others. Paths are relative to the folder of the table, or absolute.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from glasslung.data.splits import deal
from glasslung.errors import DataError, LeakError, UsageError
from glasslung.files import write_whole
from glasslung.types import Case, Intensity

TABLE_NAME = "cohort.csv"
COLUMNS = (
    *("patient", "scan", "day", "site", "label", "event", "event_day", "split"),
    *("image", "lungs", "lobes", "lesions", "intensity"),
)
NEEDED = ("patient", "scan", "image", "intensity")
PATHS = ("image", "lungs", "lobes", "lesions")
SPLITS = ("train", "val", "test")
YES_NO = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": None}
DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}
ROUNDING = 1e-6  # 1 - 0.7 - 0.3 is not 0 in floating point
DEFAULT_STRATA = ("label", "site")  # as far as they vary: what a score is read against, and what shifts it


@dataclass(frozen=True)
class Cohort:
    """The scans of a study and where they came from.

    name    short, for tables and figures
    folder  what the paths of the cases are relative to
    cases   one per scan, in the order of the table
    note    source, licence and what to beware of; '' if nobody wrote it down
    """

    name: str
    folder: Path
    cases: tuple[Case, ...]
    note: str = ""

    def path(self, path: Path) -> Path:
        """Where a path of a case lies on this machine."""
        return self.folder / path

    def part(self, split: str) -> Cohort:
        """The cases of one split; DataError names the splits there are."""
        cases = tuple(case for case in self.cases if case.split == split)
        if not cases:
            there = sorted({case.split for case in self.cases} - {""})
            raise DataError(
                f"{self.name} has no scan in split {split!r}; it has {there or 'no split at all'}"
            )
        return replace(self, cases=cases)

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients' names in the cohort, sorted, each once."""
        return tuple(sorted({case.patient for case in self.cases}))


def read_cohort(path: Path) -> Cohort:
    """Read a cohort table: `path` is the csv file or the folder that holds `cohort.csv`.

    DataError names file, row (the header is row 1) and column of the first thing that is wrong. Whether the
    files it names exist is not looked at here: `glasslung check` does that for all rows at once.
    """
    path = Path(path)
    table = path / TABLE_NAME if path.is_dir() else path
    rows = _table_rows(table)
    header = _checked_header(table, rows)
    cases = tuple(_case(table, number, header, row) for number, row in enumerate(rows[1:], start=2))
    if not cases:
        raise DataError(f"{table} has a header and no rows; add one row per scan")
    _refuse_repeats(table, cases)
    name, note = _read_origin(table)
    return Cohort(name, table.parent, cases, note)


def write_cohort(cohort: Cohort, path: Path) -> Path:
    """Write the cohort as csv (`path`: file or folder) and return the file; `read_cohort` reads it back.

    Paths inside the csv's folder are written relative to it, all others absolute. Name and note go into
    `<csv name>.source.json` beside it. Both files are written whole or not at all.
    """
    path = Path(path)
    table = path if path.suffix.lower() == ".csv" else path / TABLE_NAME
    extra = sorted({column for case in cohort.cases for column in case.extra})
    base = table.parent.absolute()
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *extra])
    writer.writerows(_row(cohort, base, case, extra) for case in cohort.cases)
    write_whole(table, text.getvalue())
    origin = {"name": cohort.name, "note": cohort.note}
    write_whole(_origin_path(table), json.dumps(origin, indent=1) + "\n")
    return table


def check_disjoint(parts: Mapping[str, Iterable[Case]]) -> None:
    """LeakError if a patient stands in two of the named parts ('train' -> its cases, ...)."""
    seen: dict[str, set[str]] = {}
    for name, cases in parts.items():
        patients = {case.patient for case in cases}
        for other, others in seen.items():
            if shared := sorted(patients & others):
                raise LeakError(shared, other, name)
        seen[name] = patients


def split_by_patient(
    cohort: Cohort,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    stratify: Sequence[str] | None = None,
) -> Cohort:
    """Give every scan a split so that no patient is on two sides and each side holds every kind of patient.

    fractions  of the patients, 'train', 'val' and 'test', summing to 1; parts of 0 are left out
    seed       another seed, another split; the same seed and patients give the same split in any row order
    stratify   fields of `Case` or extra columns. The first is balanced exactly (and each part gets each of
               its values, or it is a DataError), the others as far as numbers allow. None: label and site
               where they vary; (): none. A patient with two values ('healthy', later 'covid') counts as
               the rarer one.
    """
    wanted = _checked_fractions(fractions)
    sides = _deal(cohort, wanted, seed, stratify)
    cases = tuple(replace(case, split=sides[case.patient]) for case in cohort.cases)
    check_disjoint({name: [case for case in cases if case.split == name] for name in wanted})
    return replace(cohort, cases=cases)


def folds_by_patient(
    cohort: Cohort, k: int, seed: int = 0, stratify: Sequence[str] | None = None
) -> tuple[Cohort, ...]:
    """k cohorts for cross-validation: in each, another k-th of the patients is 'test' and the rest 'train'.

    Every patient is tested once. seed and stratify as in `split_by_patient`.
    """
    if k < 2:
        raise UsageError(f"cross-validation needs at least 2 folds, got {k}")
    folds = _deal(cohort, {str(fold): 1 / k for fold in range(k)}, seed, stratify)

    def fold_cohort(fold: str) -> Cohort:
        cases = (
            replace(case, split="test" if folds[case.patient] == fold else "train") for case in cohort.cases
        )
        return replace(cohort, cases=tuple(cases))

    return tuple(fold_cohort(str(fold)) for fold in range(k))


def _deal(
    cohort: Cohort, fractions: Mapping[str, float], seed: int, stratify: Sequence[str] | None
) -> dict[str, str]:
    """patient -> part. A patient whose scans carry several values counts as the rarest of them."""
    kinds: dict[str, list[str]] = {patient: [] for patient in cohort.patients}
    for field in _strata_fields(cohort, stratify):
        carried = {(case.patient, case_value(case, field)) for case in cohort.cases}
        patients_with = Counter(value for _, value in carried)
        values: dict[str, list[str]] = {patient: [] for patient in kinds}
        for patient, value in sorted(carried):
            values[patient].append(value)
        for patient, found in values.items():
            kinds[patient].append(min(found, key=patients_with.__getitem__))
    return deal({patient: tuple(kind) for patient, kind in kinds.items()}, fractions, seed)


def _strata_fields(cohort: Cohort, stratify: Sequence[str] | None) -> tuple[str, ...]:
    def varies(field: str) -> bool:
        return len({case_value(case, field) for case in cohort.cases}) > 1

    if stratify is None:
        return tuple(field for field in DEFAULT_STRATA if varies(field))
    known = {*COLUMNS, *(column for case in cohort.cases for column in case.extra)}
    for field in stratify:
        if field not in known:
            raise UsageError(f"{cohort.name} has no column {field!r}; it has {', '.join(sorted(known))}")
        if not varies(field):
            raise DataError(
                f"every scan of {cohort.name} has the same {field}; there is nothing to stratify by"
            )
    return tuple(stratify)


def _checked_fractions(fractions: Mapping[str, float]) -> dict[str, float]:
    if unknown := [name for name in fractions if name not in SPLITS]:
        raise UsageError(f"a split is one of {', '.join(SPLITS)}, not {unknown[0]!r}")
    # A 'test' below 0 was asked by nobody: it is what 'train' and 'val' leave.
    asked = {name: share for name, share in fractions.items() if not (name == "test" and share < 0)}
    for name, share in asked.items():
        if not -ROUNDING <= share <= 1 + ROUNDING:
            raise UsageError(f"the fraction of {name} must lie between 0 and 1, got {share:g}")
    total = sum(asked.values())
    if total > 1 + ROUNDING:
        told = " + ".join(f"{name} {share:g}" for name, share in asked.items())
        raise UsageError(
            f"the fractions sum to more than 1: {told} = {total:g}; lower one so that all sum to 1"
        )
    if fractions.get("test", 0) < -ROUNDING:
        raise UsageError(f"the fraction of test must lie between 0 and 1, got {fractions['test']:g}")
    if total < 1 - ROUNDING:
        raise UsageError(f"the fractions must sum to 1, got {total:g}")
    return {name: fractions[name] for name in SPLITS if fractions.get(name, 0) > ROUNDING}


def case_value(case: Case, field: str) -> str:
    """A field of a case or one of its extra columns, as text; '' where it is not known."""
    value = getattr(case, field) if field in COLUMNS else case.extra.get(field, "")
    if isinstance(value, bool):
        return str(int(value))
    return "" if value is None else str(value)


# Reading and writing rows ----------------------------------------------------------------------------------


def _table_rows(table: Path) -> list[list[str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, strict=True))
    except FileNotFoundError:
        raise DataError(
            f"there is no cohort table at {table}; make one with `glasslung cohort FOLDER`"
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{table} is not UTF-8 text; save it again as 'CSV UTF-8'") from None
    except (csv.Error, OSError) as problem:
        raise DataError(
            f"{table} cannot be read as a csv table ({problem}); save it again as 'CSV UTF-8'"
        ) from None
    while rows and not any(field.strip() for field in rows[-1]):
        rows.pop()
    if not rows:
        raise DataError(f"{table} is empty; its first row must be {','.join(COLUMNS)}")
    return rows


def _checked_header(table: Path, rows: list[list[str]]) -> list[str]:
    header = [name.strip() for name in rows[0]]
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        raise DataError(f"{table} is not separated by commas; save it again as comma-separated 'CSV UTF-8'")
    for name in NEEDED:
        if name not in header:
            raise DataError(f"{table} has no column {name!r}; its first row must hold {', '.join(NEEDED)}")
    for name in header:
        if header.count(name) > 1:
            raise DataError(f"{table} has the column {name!r} twice; leave one out")
    return header


def _case(table: Path, number: int, header: list[str], row: list[str]) -> Case:
    where = f"{table}, row {number}"
    if len(row) != len(header):
        raise DataError(
            f"{where} has {len(row)} fields for {len(header)} columns; put fields that hold a comma in "
            "quotes, delete empty rows"
        )
    fields = dict(zip(header, (field.strip() for field in row), strict=True))
    for name in NEEDED:
        if not fields[name]:
            raise DataError(f"{where}, column {name}: is empty; every scan needs one")
    paths = {name: Path(fields[name]) for name in PATHS if fields.get(name)}
    return Case(
        patient=fields["patient"],
        scan=fields["scan"],
        image=paths.pop("image"),
        intensity=_intensity(where, fields["intensity"]),
        day=_number(where, "day", fields.get("day", "")),
        site=fields.get("site", ""),
        label=fields.get("label", ""),
        event=_yes_no(where, fields.get("event", "")),
        event_day=_number(where, "event_day", fields.get("event_day", "")),
        split=_split(where, fields.get("split", "")),
        lungs=paths.get("lungs"),
        lobes=paths.get("lobes"),
        lesions=paths.get("lesions"),
        extra={name: text for name, text in fields.items() if name not in COLUMNS},
    )


def _intensity(where: str, text: str) -> Intensity:
    try:
        return Intensity(text.lower())
    except ValueError:
        known = " or ".join(kind.value for kind in Intensity)
        raise DataError(f"{where}, column intensity: {text!r} is not known; write {known}") from None


def _number(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}, column {column}: {text!r} is not a number; write days, or leave it empty")
    return number


def _yes_no(where: str, text: str) -> bool | None:
    if text.lower() not in YES_NO:
        raise DataError(f"{where}, column event: {text!r} is neither 1 nor 0; leave it empty if not known")
    return YES_NO[text.lower()]


def _split(where: str, text: str) -> str:
    if text and text not in SPLITS:
        raise DataError(f"{where}, column split: {text!r} is not one of {', '.join(SPLITS)} or empty")
    return text


def _refuse_repeats(table: Path, cases: Sequence[Case]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for number, case in enumerate(cases, start=2):
        first = seen.setdefault((case.patient, case.scan), number)
        if first != number:
            raise DataError(
                f"{table}, rows {first} and {number}: both are scan {case.scan!r} of the same patient; "
                "name every scan differently"
            )


def _row(cohort: Cohort, base: Path, case: Case, extra: Sequence[str]) -> list[str]:
    fields = {name: case_value(case, name) for name in (*COLUMNS, *extra)}
    fields["intensity"] = case.intensity.value
    for name in ("day", "event_day"):
        number = getattr(case, name)
        fields[name] = "" if number is None else f"{number:.15g}"
    for name, text in fields.items():
        if text and (name in PATHS or name.endswith("_path")):
            fields[name] = _told_from(base, cohort.path(Path(text)))
    return list(fields.values())


def _told_from(base: Path, path: Path) -> str:
    """A path as the table writes it: relative to the table's folder where it lies inside, else absolute."""
    whole = path.absolute()  # not resolve(): a link inside the folder stays inside
    return (whole.relative_to(base) if whole.is_relative_to(base) else whole).as_posix()


def _origin_path(table: Path) -> Path:
    return table.with_suffix(".source.json")


def _read_origin(table: Path) -> tuple[str, str]:
    """Name and note from the file beside the table; without one, the folder's name and no note."""
    plain = table.resolve().parent.name if table.name == TABLE_NAME else table.stem
    try:
        told = json.loads(_origin_path(table).read_text(encoding="utf-8"))
        return str(told["name"]), str(told["note"])
    except FileNotFoundError:
        return plain, ""
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise DataError(f"{_origin_path(table)} is damaged ({problem}); delete it or mend it") from None
