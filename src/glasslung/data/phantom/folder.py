"""A cohort of phantoms on disk: scans, masks, `cohort.csv`, and `truth.json`: what only the maker knows."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glasslung import __version__
from glasslung.data.cohort import DEFAULT_FRACTIONS, Cohort, split_by_patient
from glasslung.data.cohort import write_cohort as write_table
from glasslung.data.formats import DicomLabel, write_mask, write_volume
from glasslung.data.phantom.chest import DEFAULT_SHAPE, Chest, render
from glasslung.data.phantom.cohort import PhantomCohort
from glasslung.data.phantom.outcome import HAZARD
from glasslung.data.phantom.patient import Patient
from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, remove_whole, write_whole
from glasslung.types import Case, Intensity, Progress

DEFAULT_DAYS = (0.0, 4.0, 8.0, 14.0)
FIRST_DAY = dt.datetime(2020, 3, 2, 9, 30)  # local time
TRUTH_NAME = "truth.json"
SCAN_TRUTH = "scan.json"
MASKS = ("lungs", "lobes", "lesions")
MADE_NAME = re.compile(r"p\d{6,}")  # how the names of patients, and so of their scans, begin
FIRST_ALLOWED_DAY, LAST_ALLOWED_DAY = -999.0, 9999.0  # scans' names keep order and sign in that range
FEWEST_TO_SPLIT = 10  # patients; below that a tenth for validation is nobody
BEST_DEFINITION = (
    "Harrell's C of the true log hazard. event: critical illness, discharge ends observation. stay: length "
    "of stay, all of which have ended, a high risk staying longer. long_stay_auc: area under the ROC curve "
    "for a stay of 7 days or longer. No method can be expected to do better. One that sees the scans alone "
    "does not know age and sex, and sees the severity through a course with chance in it, so it falls short."
)


def write_cohort(
    cohort: PhantomCohort,
    out: Path,
    days: Sequence[float] = DEFAULT_DAYS,
    shape: tuple[int, int, int] | None = DEFAULT_SHAPE,
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    progress: Progress | None = None,
) -> Path:
    """Render every patient on every day, and write scans, masks, `cohort.csv` and `truth.json`; returns the
    csv.

    out        folder: out/<patient>/<scan>/image.nii.gz, lungs.nii.gz, lobes.nii.gz, lesions.nii.gz
    days       days since the first symptom
    shape      (D, H, W) of the scans; None: the sites' own numbers of slices
    fractions  of patients in 'train', 'val' and 'test'; default of `split_by_patient`
    progress   told which scan is being drawn, and how much is done
    A scan that is already there, whole and with the same settings, is kept, so the call can be repeated
    after a stop. Raises UsageError for impossible days, DataError where `out` cannot be written.
    """
    out = Path(out)
    days = _checked_days(days)
    make_folder(out)
    work = [(patient, day) for patient in cohort.patients for day in days]
    scans: list[tuple[Patient, float, dict[str, Any]]] = []
    for number, (patient, day) in enumerate(work):
        if progress:
            progress(f"drawing {scan_name(patient, day)}", number / len(work))
        folder = out / patient.name / scan_name(patient, day)
        scans.append((patient, day, write_scan(patient, day, folder, shape)))
    table = Cohort("phantom", out, tuple(_case(patient, day) for patient, day, _ in scans), _note(cohort))
    if len(cohort.patients) >= FEWEST_TO_SPLIT:
        table = split_by_patient(table, fractions, seed=cohort.seed)
    write_whole(out / TRUTH_NAME, json.dumps(_truth(cohort, scans, shape), indent=1, allow_nan=False) + "\n")
    return write_table(table, out)


def write_patient(
    patient: Patient,
    days: Sequence[float],
    out: Path,
    as_dicom: bool = False,
    shape: tuple[int, int, int] | None = DEFAULT_SHAPE,
    progress: Progress | None = None,
) -> list[Path]:
    """Write one patient's scans for a demonstration, one folder or file per scan; returns the scans' paths.

    as_dicom  True: a DICOM series per scan, dated so that the days between scans are right; False: `.nii.gz`
    The truth (masks) goes to out/truth/<scan>/. A scan that is already there with the same settings is kept;
    with other settings, scan and truth are drawn again together.
    Raises UsageError for impossible days. Raises DataError, before anything is made, where `out` cannot be
    written, or holds scans that are not this patient's or that the truth beside them does not own.
    """
    out = Path(out)
    days = _checked_days(days)
    make_folder(out)
    _refuse_others(out, patient, {scan_name(patient, day) for day in days})
    paths = []
    for number, day in enumerate(days, start=1):
        name = scan_name(patient, day)
        if progress:
            progress(f"drawing {name}", (number - 1) / len(days))
        paths.append(_scan_path(out, name, as_dicom))
        other = _scan_path(out, name, not as_dicom)
        settings = _settings(patient, day, shape)
        truth = out / "truth" / name
        if other.exists():  # the same scan twice would count as two
            remove_whole(other)
        if paths[-1].exists():
            if _whole(truth, settings, MASKS):
                continue
            remove_whole(paths[-1])
        chest = render(patient, day, shape=shape)
        _write_truth(chest, truth, settings)  # before the scan, so that no scan is ever without its owner
        write_volume(chest.volume, paths[-1], dicom_label(patient, day, number) if as_dicom else None)
    return paths


def _scan_path(out: Path, name: str, as_dicom: bool) -> Path:
    return out / name if as_dicom else out / f"{name}.nii.gz"


def _refuse_others(out: Path, patient: Patient, wanted: set[str]) -> None:
    """DataError if a scan in the folder is another patient's, or is not provably one that we drew.

    wanted  names of the scans to be drawn; those may be there with other settings, as they are replaced
    """
    remedy = "choose an empty folder"
    for path in sorted(out.iterdir()):
        made = MADE_NAME.match(path.name)
        if not made:
            continue
        if made.group() != patient.name or not path.name.startswith(f"{patient.name}_d"):
            raise DataError(f"{out} already holds {path.name}, not a scan of {patient.name}; {remedy}")
        name = path.name.removesuffix(".nii.gz")
        settings = _settings_of(out / "truth" / name)
        if settings is None:
            raise DataError(f"{path} has no truth that shows it was drawn here; {remedy}")
        drawn = _settings(patient, 0.0, None)
        if name not in wanted and any(settings.get(key) != drawn[key] for key in ("patient", "version")):
            raise DataError(f"{path} was drawn with other settings and is not drawn again now; {remedy}")


def _settings_of(truth: Path) -> dict[str, Any] | None:
    """What a scan was drawn with, as its truth says; None where nothing says so."""
    try:
        settings = json.loads((truth / SCAN_TRUTH).read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return settings if isinstance(settings, dict) else None


def _checked_days(days: Sequence[float]) -> tuple[float, ...]:
    """The days as floats; UsageError unless each can be drawn, dated and named apart from the others."""
    if not len(days):
        raise UsageError("no day to draw a scan on; give at least one, such as 0")
    for day in days:
        if not FIRST_ALLOWED_DAY <= day <= LAST_ALLOWED_DAY:  # false for nan as well
            raise UsageError(
                f"a scan's day is a number from {FIRST_ALLOWED_DAY:g} to {LAST_ALLOWED_DAY:g}, got {day:g}"
            )
    if len({f"{day:.1f}" for day in days}) < len(days):
        raise UsageError("two of the days are the same to a tenth of a day; give each scan its own")
    return tuple(float(day) + 0.0 for day in days)  # + 0.0 turns -0 into 0


def dicom_label(patient: Patient, day: float, number: int) -> DicomLabel:
    """The made-up identity and the date of one scan: dates follow days."""
    return DicomLabel(
        patient_id=f"PHANTOM-{patient.name}",
        patient_name="GLASSLUNG^PHANTOM",
        acquired=FIRST_DAY + dt.timedelta(days=day),
        number=number,
        description=f"Phantom chest, {patient.site.model}",
        kernel=patient.site.kernel,
    )


def scan_name(patient: Patient, day: float) -> str:
    """'p000007_d004', 'p000007_d004.5', 'p000007_d-02'."""
    whole = f"{day:04.0f}"[-4:] if day < 0 else f"{day:03.0f}"
    return f"{patient.name}_d{whole}" if day == int(day) else f"{patient.name}_d{day:05.1f}"


def write_scan(
    patient: Patient, day: float, folder: Path, shape: tuple[int, int, int] | None = DEFAULT_SHAPE
) -> dict[str, Any]:
    """Render and write one scan with its masks unless it is there already; returns its truth."""
    settings = _settings(patient, day, shape)
    if found := _whole(folder, settings, ("image", *MASKS)):
        return found
    make_folder(folder)
    (folder / SCAN_TRUTH).unlink(missing_ok=True)  # what it told of an older scan must not outlive that scan
    chest = render(patient, day, shape=shape)
    write_volume(chest.volume, folder / "image.nii.gz")
    return _write_truth(chest, folder, settings)


def _write_truth(chest: Chest, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Write the masks and, last of all, the note that says the scan is whole."""
    make_folder(folder)
    for name in MASKS:
        write_mask(getattr(chest, name), chest.volume, folder / f"{name}.nii.gz")
    voxel = chest.volume.voxel_ml
    truth = {
        "settings": settings,
        "lesion_ml": {name: round(ml, 3) for name, ml in chest.lesion_ml().items()},
        "lung_ml": round(float((chest.lungs > 0).sum()) * voxel, 3),
        "involvement": round(chest.involvement(), 6),
    }
    write_whole(folder / SCAN_TRUTH, json.dumps(truth, indent=1) + "\n")
    return truth


def _settings(patient: Patient, day: float, shape: tuple[int, int, int] | None) -> dict[str, Any]:
    """All that decides how a scan looks: equal settings, equal scan."""
    return json.loads(
        json.dumps(
            {
                "version": __version__,
                "patient": asdict(patient),
                "day": float(day),
                "shape": shape and list(shape),
            }
        )
    )  # through JSON, so that it compares equal with what is read back


def _whole(folder: Path, settings: dict[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """The truth of a scan that is already there with the same settings; None if it must be made."""
    note = folder / SCAN_TRUTH
    if not note.is_file() or not all((folder / f"{name}.nii.gz").is_file() for name in names):
        return None
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{note} cannot be read; delete its folder and run again") from error
    return found if found.get("settings") == settings else None


def _case(patient: Patient, day: float) -> Case:
    """The row of one scan."""
    name = scan_name(patient, day)
    at = Path(patient.name) / name
    outcome = patient.outcome
    return Case(
        patient=patient.name,
        scan=name,
        image=at / "image.nii.gz",
        intensity=Intensity.HU,
        day=day,
        site=patient.site.name,
        label=patient.disease,
        event=outcome.event,
        event_day=outcome.event_day,
        lungs=at / "lungs.nii.gz",
        lobes=at / "lobes.nii.gz",
        lesions=at / "lesions.nii.gz",
        extra={
            "age": str(patient.age),
            "sex": "M" if patient.male else "F",
            "severity": f"{patient.severity:.4f}",
            "stay_days": "" if outcome.stay_days is None else f"{outcome.stay_days:.1f}",
            "outcome": outcome.kind,
        },
    )


def _truth(
    cohort: PhantomCohort,
    scans: list[tuple[Patient, float, dict[str, Any]]],
    shape: tuple[int, int, int] | None,
) -> dict[str, Any]:
    """What only the maker of the patients knows."""
    people: dict[str, dict[str, Any]] = {}
    for patient, day, truth in scans:
        person = people.setdefault(
            patient.name,
            {
                "disease": patient.disease,
                "severity": patient.severity,
                "log_risk": patient.outcome.log_risk,
                "course": asdict(patient.course),
                "scans": {},
            },
        )
        person["scans"][scan_name(patient, day)] = {
            "day": day,
            **{k: truth[k] for k in truth if k != "settings"},
        }
    return {
        "seed": cohort.seed,
        "mix": dict(cohort.mix),
        "sites": {name: list(sites) for name, sites in cohort.sites.items()},
        "shape": shape and list(shape),
        "hazard": asdict(HAZARD),
        "best_c_index": {
            "definition": BEST_DEFINITION,
            "simulation": _numbers(asdict(cohort.ceiling)),
            "these_patients": _numbers(asdict(cohort.own_ceiling)),
        },
        "patients": people,
    }


def _numbers(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _note(cohort: PhantomCohort) -> str:
    return (
        f"Phantoms: drawn, not scanned. Seed {cohort.seed}. Days count from the first symptom; event is "
        f"critical illness, event_day its day or that of discharge. {TRUTH_NAME} holds the truth."
    )
