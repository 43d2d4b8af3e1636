"""Public collections as cohorts: each adapter reads one folder layout and says what to beware of.

An adapter takes any folder of its layout, not one certain folder: it reads the collection's own table where
there is one and lists the files that are there; without the table it walks the folders and gives what their
names tell. None of these collections holds HU: everything here is `display8`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from glasslung.data import storycohort
from glasslung.data.cohort import NEEDED, SPLITS, TABLE_NAME, Cohort, read_cohort
from glasslung.errors import DataError
from glasslung.types import Case, Intensity

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")

CAGE_NOTE = (
    "CAGE set: middle slices of CC-CCII (Zhang et al., Cell 2020; listed as CC BY 3.0 CN), 8 bit, lungs cut "
    "out. Caution: 'day' is CC-CCII's progression_days, rounded, and looks like a time to critical illness "
    "cut off at 14 days rather than a time since admission: it and critical_illness are confounded, "
    "severity falls with day. Healthy and COVID scans differ in mean grey value, in cropping edges and in "
    "scanner; controls have no day, and several of them have more than one scan. Age 0 is read as unknown. "
    "Sex is 0/1 as at the source (presumably 1 male)."
)
SEMISEG_NOTE = (
    "COVID-SemiSeg (Fan et al., Inf-Net; non-commercial use only): MedSeg slices with human masks, and "
    "stacks of the 20-case COVID-19-CT-Seg set (CC BY-NC-SA 4.0). 8 bit. Caution: the labelled slices name "
    "no patient, so each is its own stand-in patient here, yet several may share one, also across splits "
    "(slices 10 and 43, and 5 and 46, of labelled/train are near copies): intervals by patient are too "
    "narrow, and an audit by patient cannot see such leaks. They lie on their side (rotated by 90 "
    "degrees). Stacks hold the slices with lesions only, each cropped on its own, spacing unknown; "
    "radiopaedia stacks show the other left-right side than coronacases. The stacks' pseudo masks "
    "(pseudo_path) are a network's output, never truth."
)
UCSD_NOTE = (
    "UCSD COVID-CT: slices cut out of papers and web pages (owners keep the copyright; research use only), "
    "8 bit, white borders, letters and windows of all kinds. Caution: covid and other pictures come from "
    "different places, so files and borders tell the label. Days count from different starts: compare them "
    "only where day_reference agrees. covid_128 to covid_139 are one patient by the captions and are one "
    "here, which puts that patient on two sides of the official split."
)


def cage(folder: Path) -> Cohort:
    """Middle slices of 8-bit CT of healthy controls and COVID patients with a day and a severity (CAGE set).

    Layout: healthy/<patient>/<scan>/<slice>.jpg and ncp/day<N>/<patient>/<scan>/<slice>.jpg; labels.csv, and
    cc_ccii_clinical.csv, where there. label healthy/covid; event = critical_illness; site unknown.
    Beware: 'day' is progression_days, most likely a time to critical illness cut off at 14, not days since
    admission; day and severity are confounded and severity falls with day; healthy and COVID pictures differ
    in mean grey value, cropping edges, size and scanner; some controls have several scans; age 0 is unknown.
    DataError where the folder holds no scan of this layout.
    """
    folder = _checked_folder("cage", folder)
    rows = _rows("cage", folder / "labels.csv", CAGE_COLUMNS) or _walk_cage(folder)
    return _cohort("cage", folder, (_cage_case(row) for row in rows), CAGE_NOTE)


def covid_semiseg(folder: Path) -> Cohort:
    """COVID slices with human lesion masks, and stacks without (COVID-SemiSeg of Inf-Net). 8 bit.

    Layout: labelled/<train|test>/{img,lesion,multiclass}/N.* and series/<case>/{img,pseudo}/KKK.*.
    One case per labelled slice (lesions = the multiclass palette picture) and one per stack (image = its
    folder of slices; pseudo_path = a network's masks, never truth).
    Beware: a labelled slice's patient is unknown: each gets a stand-in patient of its own ('slice-train-7'),
    though several slices may share a patient, also across train and test, so that an audit by patient cannot
    see such leaks (slices 10 and 43, and 5 and 46, are near copies). Stacks of one case have one
    patient: radiopaedia-29_86490_1 and _86491_1, radiopaedia-10_85902_1 and _3. No days, no spacing.
    DataError where the folder holds no scan of this layout.
    """
    folder = _checked_folder("covid_semiseg", folder)
    rows = _rows("covid_semiseg", folder / "index.csv", ("image",))
    pictures = sorted({row["image"] for row in rows} or _pictures(folder, "labelled/*/img/*"))
    stacks = sorted(str(path.relative_to(folder).as_posix()) for path in folder.glob("series/*/img"))
    labelled = (_semiseg_slice(folder, picture) for picture in pictures if picture.startswith("labelled/"))
    cases = [*labelled, *(_semiseg_stack(folder, stack) for stack in stacks)]
    return _cohort("covid_semiseg", folder, cases, SEMISEG_NOTE)


def ucsd_covid_ct(folder: Path) -> Cohort:
    """Slices from papers and web pages, COVID against other findings and normal (UCSD COVID-CT). 8 bit.

    Layout: CT_COVID/ and CT_NonCOVID/, labels.csv and splits/*.txt where there. label covid/other; split is
    the official one; day with extra day_reference (onset, hospital, ...). Rows with included 0 are left out.
    covid_128 to covid_139 become one patient, as their captions say. Without labels.csv the patient is
    unknown: pictures of one paper (COVID) or one number (others) count as one patient, who may be several.
    Beware: days of different reference must not be compared; files and borders tell the label.
    DataError where the folder holds no scan of this layout.
    """
    folder = _checked_folder("ucsd_covid_ct", folder)
    rows = _rows("ucsd_covid_ct", folder / "labels.csv", UCSD_COLUMNS) or _walk_ucsd(folder)
    kept = (row for row in rows if row.get("included", "1") != "0")
    return _cohort("ucsd_covid_ct", folder, (_ucsd_case(row) for row in kept), UCSD_NOTE)


def stories(folder: Path) -> Cohort:
    """Stories of `glasslung analyze` with corrected lesions; see `storycohort`."""
    folder = _checked_folder("stories", folder)
    if not _has_layout(folder, "stories"):
        raise _no_scan("stories", folder)
    return storycohort.stories(folder)


SOURCES: dict[str, Callable[[Path], Cohort]] = {
    "cage": cage,
    "covid_semiseg": covid_semiseg,
    "ucsd_covid_ct": ucsd_covid_ct,
    "stories": stories,
}
LAYOUTS = {
    "cage": ("healthy/*/*/*.jpg", "ncp/day*/*/*/*.jpg"),
    "covid_semiseg": ("labelled/*/img/*", "series/*/img/*"),
    "ucsd_covid_ct": ("CT_COVID/*", "CT_NonCOVID/*"),
    "stories": storycohort.LAYOUT,
}


def detect_source(folder: Path) -> str:
    """Which collection a folder holds, judged by its layout: a name in SOURCES; DataError if none fits."""
    folder = _existing_folder(folder)
    for name in LAYOUTS:
        if _has_layout(folder, name):
            return name
    known = "; ".join(f"{name}: {' or '.join(patterns)}" for name, patterns in LAYOUTS.items())
    raise DataError(
        f"{folder} holds none of the known layouts ({known}); write a cohort.csv for it, one row per scan, "
        f"with at least the columns {','.join(NEEDED)}"
    )


def _existing_folder(folder: Path) -> Path:
    folder = Path(folder)
    if not folder.exists():
        raise DataError(f"there is no folder {folder}; check the path")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; name the folder that holds the scans")
    return folder


def _has_layout(folder: Path, name: str) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in LAYOUTS[name])


def _checked_folder(name: str, folder: Path) -> Path:
    """The folder, unless it is none, or its layout is plainly that of another collection: DataError."""
    folder = _existing_folder(folder)
    if not _has_layout(folder, name):
        for other in LAYOUTS:
            if _has_layout(folder, other):
                raise DataError(
                    f"{folder} does not look like {name} ({' or '.join(LAYOUTS[name])}); "
                    f"it looks like {other}: read it as that"
                )
    return folder


# Rows of each collection -> cases --------------------------------------------------------------------------

CAGE_COLUMNS = ("path", "patient", "scan", "days", "critical_illness")
CAGE_EXTRA = (
    *("group", "age", "sex", "progression_days", "slice", "scan_slices", "liver_function", "lung_function"),
)


def _cage_case(row: dict[str, str]) -> Case:
    extra = {name: row.get(name, "") for name in CAGE_EXTRA}
    if extra["age"] == "0":
        extra["age"] = ""
    event = row.get("critical_illness", "")
    return Case(
        patient=row["patient"],
        scan=row["scan"],
        image=Path(row["path"]),
        intensity=Intensity.DISPLAY8,
        day=_day(row, "days"),
        label="healthy" if row["path"].startswith("healthy/") else "covid",
        event=event == "1" if event else None,
        extra=extra,
    )


def _walk_cage(folder: Path) -> Iterator[dict[str, str]]:
    """What the folder names tell, and the clinical table where it is; scan_slices stays unknown."""
    clinical = {
        (row["scan_id"], row["patient_id"]): row
        for row in _rows("cage", folder / "cc_ccii_clinical.csv", ("patient_id", "scan_id"))
    }
    for path in _pictures(folder, "healthy/*/*/*"):
        _, patient, scan, slice_ = path.split("/")
        yield {"path": path, "group": "t0", "patient": patient, "scan": scan, "slice": _digits(slice_)}
    for path in _pictures(folder, "ncp/day[0-9]*/*/*/*"):
        _, day, patient, scan, slice_ = path.split("/")
        days = _digits(day)
        # The clinical table's first two names are swapped: scan_id holds the patient, patient_id the scan.
        told = clinical.get((patient, scan), {})
        yield {
            "path": path,
            "group": f"t{min(3, int(days) // 5 + 1)}",
            "days": days,
            "patient": patient,
            "scan": scan,
            "slice": _digits(slice_),
            "progression_days": told.get("Progression (Days)", ""),
            "critical_illness": told.get("Critical_illness", ""),
            "age": told.get("Age", ""),
            "sex": told.get("Sex", ""),
            "liver_function": told.get("Liver_function", ""),
            "lung_function": told.get("Lung_function", ""),
        }


def _semiseg_slice(folder: Path, picture: str) -> Case:
    _, split, _, name = picture.split("/")
    stem = Path(name).stem
    classes, lesion = (f"labelled/{split}/{kind}/{stem}.png" for kind in ("multiclass", "lesion"))
    return Case(
        patient=f"slice-{split}-{stem}",
        scan=f"slice-{split}-{stem}",
        image=Path(picture),
        intensity=Intensity.DISPLAY8,
        site="medseg",
        label="covid",
        split=split if split in SPLITS else "",
        lesions=Path(classes) if (folder / classes).is_file() else None,
        extra={"kind": "slice", "lesion_path": lesion if (folder / lesion).is_file() else ""},
    )


def _semiseg_stack(folder: Path, stack: str) -> Case:
    name = stack.split("/")[1]
    pseudo = f"series/{name}/pseudo"
    return Case(
        patient=_case_of_stack(name),
        scan=name,
        image=Path(stack),
        intensity=Intensity.DISPLAY8,
        site=re.split(r"[-_]", name)[0],
        label="covid",
        extra={
            "kind": "stack",
            "slices": str(len(_pictures(folder, f"{stack}/*"))),
            "pseudo_path": pseudo if (folder / pseudo).is_dir() else "",
        },
    )


def _case_of_stack(name: str) -> str:
    """'radiopaedia-29_86490_1' (case_study_series) -> 'radiopaedia-29'; 'coronacases_001' stays."""
    return name.split("_")[0] if re.fullmatch(r"[^_]+-\d+(_\d+)+", name) else name


UCSD_COLUMNS = ("path", "patient", "split", "day", "included")
UCSD_EXTRA = (
    *("age", "gender", "time_text", "day_onset", "day_hospital", "day_reference"),
    *("source_format", "source_mode", "serial_patient"),
)
UCSD_ONE_PATIENT = {f"covid_{number}": "covid_128" for number in range(128, 140)}


def _ucsd_case(row: dict[str, str]) -> Case:
    patient = row["patient"]
    return Case(
        patient=UCSD_ONE_PATIENT.get(patient, patient),
        scan=row["path"].replace("/", "-"),
        image=Path(row["path"]),
        intensity=Intensity.DISPLAY8,
        day=_day(row, "day"),
        label="covid" if row["path"].startswith("CT_COVID/") else "other",
        split=row.get("split", ""),
        extra={name: row.get(name, "") for name in UCSD_EXTRA},
    )


def _walk_ucsd(folder: Path) -> Iterator[dict[str, str]]:
    """What names and split lists tell: 'CT_COVID/2020.02.10.20021584-p6-52%0.png' is of one paper."""
    splits = {}
    for listing in sorted(folder.glob("splits/*.txt")):
        split = re.sub(r"CT_(Non)?COVID$", "", listing.stem)
        kind = "CT_NonCOVID" if "NonCOVID" in listing.stem else "CT_COVID"
        for name in listing.read_text(encoding="utf-8").split("\n"):
            splits[f"{kind}/{name.strip()}"] = split
    for path in [*_pictures(folder, "CT_COVID/*"), *_pictures(folder, "CT_NonCOVID/*")]:
        kind, name = path.split("/")
        paper = re.split(r"-p\d|%", Path(name).stem)[0]
        yield {"path": path, "patient": f"{kind}-{paper}", "split": splits.get(path, "")}


# Files -----------------------------------------------------------------------------------------------------


def _cohort(name: str, folder: Path, cases: Iterable[Case], note: str) -> Cohort:
    """The cases whose file is there; what table and folder do not agree on is added to the note."""
    listed = list(cases)
    there = tuple(case for case in listed if (folder / case.image).exists())
    if not there:
        told = f"; its table lists {len(listed)} scans, none of them there" if listed else ""
        raise _no_scan(name, folder, told)
    if absent := len(listed) - len(there):
        note += f" {absent} of {len(listed)} scans that the collection's table lists have no file here."
    known = {case.image.as_posix() for case in listed}
    pictures = (Path(picture) for pattern in LAYOUTS[name] for picture in _pictures(folder, pattern))
    others = [p for p in pictures if not {p.as_posix(), p.parent.as_posix()} & known]
    if others:
        note += f" {len(others)} pictures of the folder are left out, as its table does not list them."
    return Cohort(name, folder.absolute(), there, note)


def _no_scan(name: str, folder: Path, told: str = "") -> DataError:
    return DataError(f"{folder} holds no scan in the layout of {name} ({' or '.join(LAYOUTS[name])}){told}")


def _rows(name: str, table: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a collection's own table, [] where it is not there; DataError where it is damaged.

    A table of that name in a folder without the layout may be anybody's: no word of deleting it then.
    """
    if not table.is_file():
        return []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, restval="")
            rows = [{k: v.strip() for k, v in row.items() if k} for row in reader]
    except (csv.Error, UnicodeDecodeError) as problem:
        if not _has_layout(table.parent, name):
            raise _no_scan(name, table.parent) from None
        raise DataError(f"{table} cannot be read ({problem}); fetch it again, or delete it") from None
    for column in needed:
        if rows and column not in rows[0]:
            if not _has_layout(table.parent, name):
                raise _no_scan(name, table.parent)
            raise DataError(f"{table} has no column {column!r}; fetch it again, or delete it")
    return rows


def _day(row: dict[str, str], column: str) -> float | None:
    text = row.get(column, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise DataError(
            f"{row['path']}: the {column} {text!r} in the collection's table is no number"
        ) from None


def _pictures(folder: Path, pattern: str) -> list[str]:
    """Pictures that match, relative to the folder, sorted."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.glob(pattern)
        if path.suffix.lower() in PICTURE_SUFFIXES
    )


def _digits(text: str) -> str:
    """'day11' -> '11', '0029.jpg' -> '29'."""
    found = re.search(r"\d+", text)
    return str(int(found.group())) if found else ""


def open_cohort(path: Path) -> Cohort:
    """A cohort from its table, from the folder the table lies in, or from a folder of a known layout.

    DataError where there is neither.
    """
    path = Path(path)
    if path.is_dir() and not (path / TABLE_NAME).is_file():
        return SOURCES[detect_source(path)](path)
    return read_cohort(path)
