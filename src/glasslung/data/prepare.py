"""A cohort of scans as small square lung slices, with a list of what was left out and why.

What lies in the folder
    cohort.csv       the kept slices, with every column of the cohort they came from; `source_path` tells
                     which scan each was cut from
    exclusions.csv   every scan that was left out: a short reason, and the fact behind it
    slices/          the slices, 8-bit PNG, padded to a square, resized as `data.slices` says
    arrays/          the same as plain arrays, see `data.slices.cached_slices`
    prepared.json    settings, counts and hashes; who reads the slices compares theirs
    journal.jsonl    what became of each scan, so that a run that was stopped, or repeated, goes on

Nothing is deleted in silence and nothing is guessed in silence: where the lungs came from is in the table.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from glasslung import __version__
from glasslung.data.cohort import TABLE_NAME, Cohort, read_cohort, write_cohort
from glasslung.data.lung_field import MIDDLES, FieldSettings, UnfitError, check_square, cut_slice
from glasslung.data.results import fingerprint
from glasslung.data.slices import (
    GROUP_NAMES,
    PAPER_SIZE,
    SliceSet,
    cached_slices,
    group_of,
    read_picture,
    square_slice,
)
from glasslung.data.sources import PICTURE_SUFFIXES
from glasslung.errors import DataError, RefusedError, UsageError
from glasslung.files import read_json, remove_whole, write_json, write_whole
from glasslung.types import Case, Intensity, Progress, Volume

EXCLUSIONS, JOURNAL, MANIFEST, ARRAYS = "exclusions.csv", "journal.jsonl", "prepared.json", "arrays"
SLICE_FILES = (f"{ARRAYS}/images.npy", f"{ARRAYS}/slices.csv")
LOCK = ".lock"
LUNGS = ("auto", "table", "found", "cut-out")
LOOKED_AT = 25  # pictures of a cohort: enough to tell whether its lungs were cut out already
LEAST_SIZE, MOST_SIZE = 16, 512


@dataclass(frozen=True)
class PrepareSettings:
    """How scans become slices."""

    size: int = PAPER_SIZE
    """Side in pixels; the paper's."""
    lungs: str = "auto"
    """Where the lungs come from: 'table' the cohort's own masks, 'found' by segmentation, 'cut-out' the
    pictures show nothing else. 'auto': the table's where it has one; single pictures as they are where most
    of the cohort's are cut out; else found."""
    labels: tuple[str, ...] = ("healthy", "covid")
    """Scans with another label are left out, as the paper leaves out common pneumonia; () keeps all."""
    fields: FieldSettings = field(default_factory=FieldSettings)

    def __post_init__(self) -> None:
        if not LEAST_SIZE <= self.size <= MOST_SIZE:
            raise UsageError(f"size {self.size}: choose {LEAST_SIZE} to {MOST_SIZE} pixels")
        if self.lungs not in LUNGS:
            raise UsageError(f"lungs {self.lungs!r} is not known; it is one of {', '.join(LUNGS)}")
        if self.fields.middle not in MIDDLES:
            raise UsageError(f"middle {self.fields.middle!r} is not known; it is one of {', '.join(MIDDLES)}")


@dataclass(frozen=True)
class Outcome:
    """What became of one scan: `reason` is '' where it was kept.

    key      changes with the files, the settings and the version; the name of its slice
    pixels   hash of the slice before resizing
    lungs    where they came from: 'table', 'found' or 'cut-out'
    picture  hash of the slice's file
    """

    key: str
    reason: str = ""
    text: str = ""
    pixels: str = ""
    lungs: str = ""
    picture: str = ""


@dataclass(frozen=True)
class Prepared:
    """What a preparation gave: the cohort of slices, the slices, and how many were left out by reason."""

    cohort: Cohort
    slices: SliceSet
    excluded: dict[str, int]


def prepare_cohort(
    cohort: Cohort,
    out: Path,
    settings: PrepareSettings = PrepareSettings(),
    progress: Progress | None = None,
) -> Prepared:
    """Cut one square lung slice out of every scan of a cohort; see the head of this file.

    Repeating the call goes on where it was stopped, and cuts no scan again where nothing changed; slices that
    were damaged since are made again. Raises UsageError for a folder that holds something else, DataError
    where no scan is fit: then the list of reasons alone is left, or with it what was prepared here before.
    """
    out = Path(out)
    with _hold(cohort, out):
        outcomes = _work_through(cohort, out, settings, progress)
        outcomes = name_duplicates(cohort.cases, outcomes)
        _write_exclusions(cohort, outcomes, out)
        excluded = dict(sorted(Counter(one.reason for one in outcomes if one.reason).items()))
        if all(one.reason for one in outcomes):
            _leave_the_list(out)
            told = ", ".join(f"{count} {reason}" for reason, count in excluded.items())
            raise DataError(f"no scan of {cohort.name} is fit ({told}); read {out / EXCLUSIONS}")
        _write_table(cohort, outcomes, out)
        _sweep(out, outcomes)
        kept, slices = _read_slices(out, anew=True)
        _write_manifest(cohort, settings, slices, excluded, out)
    return Prepared(kept, slices, excluded)


def read_prepared(folder: Path) -> tuple[Cohort, SliceSet]:
    """A cohort of slices and the slices themselves, from a folder that `prepare_cohort` wrote.

    DataError where they are not those that were prepared: grey values, patients, ages and days are compared
    by hash. The table may have got a split since: that is no part of the slices.
    """
    folder = Path(folder)
    try:
        told = read_json(folder / MANIFEST)["sha256"]
        hashes = {name: str(told[name]) for name in SLICE_FILES}
    except (DataError, LookupError, TypeError) as problem:
        raise DataError(f"{folder / MANIFEST} is missing or damaged; {_prepare_again(folder)}") from problem
    cohort, slices = _read_slices(folder)
    if wrong := [name for name in SLICE_FILES if _hash(folder / name) != hashes[name]]:
        raise DataError(
            f"the slices in {folder} are not those that were prepared: {' and '.join(wrong)} differ from "
            f"{MANIFEST}; {_prepare_again(folder)}"
        )
    return cohort, slices


def _prepare_again(folder: Path) -> str:
    return (
        f"run the same `glasslung prepare` again, or name {folder / TABLE_NAME} to take the pictures as they "
        "are now"
    )


def _read_slices(folder: Path, anew: bool = False) -> tuple[Cohort, SliceSet]:
    cohort = read_cohort(folder)
    picture = read_picture(cohort.path(cohort.cases[0].image))
    return cohort, cached_slices(cohort, folder / ARRAYS, len(picture), anew)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- one scan after the other ------------------------------------------------------------------------------


def _work_through(
    cohort: Cohort, out: Path, settings: PrepareSettings, progress: Progress | None
) -> list[Outcome]:
    """The outcome of every scan, in the order of the table; those in the journal are taken from there."""
    cut_out = settings.lungs == "cut-out" or (settings.lungs == "auto" and are_cut_out(cohort))
    known = _read_journal(out)
    outcomes = []
    with (out / JOURNAL).open("a", encoding="utf-8") as journal:
        for number, case in enumerate(cohort.cases):
            if progress:
                progress(f"preparing {len(cohort.cases)} scans", number / len(cohort.cases))
            key = _key(cohort, case, settings, cut_out)
            outcome = known.get(key)
            if outcome is None or not (outcome.reason or _is_whole(_slice_path(out, key), outcome)):
                outcome = prepare_scan(cohort, case, key, settings, cut_out, out)
                journal.write(json.dumps(asdict(outcome)) + "\n")
                journal.flush()
            outcomes.append(outcome)
    return outcomes


def prepare_scan(
    cohort: Cohort, case: Case, key: str, settings: PrepareSettings, cut_out: bool, out: Path
) -> Outcome:
    """Cut the slice of one scan and write it; whatever makes the scan unfit becomes the reason."""
    lungs = ""
    try:
        _check_case(case, settings)
        lungs = _way(cohort, case, settings, cut_out)
        grey = _grey_slice(cohort, case, lungs, settings)
        square = np.rint(square_slice(grey, settings.size) * 255).astype(np.uint8)
        check_square(square)
    except UnfitError as problem:
        return Outcome(key, problem.reason, str(problem), lungs=lungs)
    except RefusedError as problem:
        return Outcome(key, "refused", str(problem), lungs=lungs)
    except DataError as problem:
        return Outcome(key, "unreadable", str(problem), lungs=lungs)
    path = _slice_path(out, key)
    _write_picture(square, path)
    pixels = hashlib.sha256(f"{grey.shape}".encode() + grey.tobytes()).hexdigest()
    return Outcome(key, pixels=pixels, lungs=lungs, picture=_hash(path))


def _is_whole(path: Path, outcome: Outcome) -> bool:
    """Whether a slice is there as it was written."""
    return path.is_file() and _hash(path) == outcome.picture


def _check_case(case: Case, settings: PrepareSettings) -> None:
    if settings.labels and case.label and case.label not in settings.labels:
        asked = ", ".join(settings.labels)
        raise UnfitError("other-label", f"its label is {case.label!r}, asked for: {asked}")
    try:
        group_of(case)
    except DataError as problem:
        raise UnfitError("no-age", str(problem)) from problem


def _way(cohort: Cohort, case: Case, settings: PrepareSettings, cut_out: bool) -> str:
    if settings.lungs == "table" and case.lungs is None:
        raise UnfitError("no-mask", "the table names no lung mask for it")
    if case.lungs is not None and settings.lungs in ("auto", "table"):
        return "table"
    return "cut-out" if cut_out and is_picture(cohort.path(case.image)) else "found"


def _grey_slice(cohort: Cohort, case: Case, lungs: str, settings: PrepareSettings) -> np.ndarray:
    """(h, w) uint8: the lung slice of one scan before it is made square."""
    path = cohort.path(case.image)
    if lungs == "cut-out":
        return read_picture(path)
    from glasslung.data.formats import read_mask
    from glasslung.data.gate import inspect, refuse
    from glasslung.data.lungs import segment_lungs

    volume = _read_volume(path, case.intensity)
    if volume.intensity is Intensity.HU:
        refuse(inspect(volume), case.scan)
    if lungs == "table":
        assert case.lungs is not None
        mask = read_mask(cohort.path(case.lungs), volume)
    else:
        mask = segment_lungs(volume).mask
    return cut_slice(volume, mask, settings.fields)


def _read_volume(path: Path, said: Intensity) -> Volume:
    """Read as the file says; only where the file is silent, the table's word on HU or grey is taken."""
    from glasslung.data.formats import read_scan

    try:
        return read_scan(path)
    except DataError:
        return read_scan(path, intensity=said)


def is_picture(path: Path) -> bool:
    """Whether a scan is one picture file."""
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def are_cut_out(cohort: Cohort) -> bool:
    """Whether most of a cohort's single pictures show nothing but lungs; looks at some of them."""
    from glasslung.data.lungs.pictures import cut_out

    paths = [cohort.path(case.image) for case in cohort.cases]
    pictures = [path for path in paths if is_picture(path)]
    votes = []
    for number in np.unique(np.linspace(0, len(pictures) - 1, min(LOOKED_AT, len(pictures))).astype(int)):
        try:
            votes.append(cut_out(read_picture(pictures[number])[None]) is not None)
        except DataError:
            continue  # told as unreadable when its turn comes
    return bool(votes) and sum(votes) > len(votes) / 2


def name_duplicates(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Of slices with the same grey values the first of the table stays; the others name it."""
    first: dict[str, Case] = {}
    told = []
    for case, outcome in zip(cases, outcomes, strict=True):
        original = case if outcome.reason else first.setdefault(outcome.pixels, case)
        if original is not case:
            whose = "the same" if original.patient == case.patient else "another"
            text = f"duplicate of {original.scan} of {whose} patient: equal grey values"
            outcome = replace(outcome, reason="duplicate", text=text)
        told.append(outcome)
    return told


# --- the folder --------------------------------------------------------------------------------------------


@contextmanager
def _hold(cohort: Cohort, out: Path) -> Iterator[None]:
    """Make the folder and keep other runs out of it; a folder of somebody else's is left alone."""
    from filelock import FileLock, Timeout

    if not cohort.cases:
        raise DataError(f"{cohort.name} has no scan; check the cohort's table")
    ours = (out / JOURNAL).is_file()
    left = {LOCK, EXCLUSIONS}  # by a preparation that found nothing fit
    if out.exists() and not ours and (not out.is_dir() or any(p.name not in left for p in out.iterdir())):
        raise UsageError(f"{out} holds something else; choose an empty or a new folder")
    try:
        (out / "slices").mkdir(parents=True, exist_ok=True)
        (out / JOURNAL).touch()
        lock = FileLock(out / LOCK)
        lock.acquire(timeout=0)
    except Timeout as problem:
        raise UsageError(f"another process is writing to {out}; wait, or choose another folder") from problem
    except OSError as problem:
        raise UsageError(f"{out} cannot be written ({problem.strerror}); choose another folder") from problem
    try:
        yield
    finally:
        if not (out / JOURNAL).exists():  # nothing is left to be kept from others
            with suppress(OSError):  # a system that removes no file which is open
                (out / LOCK).unlink()
        lock.release()


def _leave_the_list(out: Path) -> None:
    """After nothing was fit: no half of a preparation stays beside the reasons; a whole, older one does."""
    if (out / MANIFEST).is_file():
        return
    half = ("slices", ARRAYS, TABLE_NAME, Path(TABLE_NAME).with_suffix(".source.json").name, JOURNAL)
    for name in half:
        if (out / name).exists():
            remove_whole(out / name)


def _key(cohort: Cohort, case: Case, settings: PrepareSettings, cut_out: bool) -> str:
    """Changes with the scan's files, its row of the table, the settings and the version."""
    told = (__version__, case, settings, cut_out)
    try:
        mask = fingerprint(cohort.path(case.lungs)) if case.lungs is not None else ""
        return fingerprint(cohort.path(case.image), told, mask)
    except OSError:  # a file is missing: told as unreadable, and looked for again the next time
        return hashlib.sha256(f"missing|{told}".encode()).hexdigest()[:12]


def _slice_path(out: Path, key: str) -> Path:
    return out / "slices" / f"{key}.png"


def _write_picture(square: np.ndarray, path: Path) -> None:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(square).save(content, format="PNG")
    write_whole(path, content.getvalue())


def _read_journal(out: Path) -> dict[str, Outcome]:
    """Key -> outcome; missing files are looked for anew, and a line that a kill cut short is passed over."""
    known: dict[str, Outcome] = {}
    for line in (out / JOURNAL).read_text(encoding="utf-8").splitlines():
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError):
            continue
        if outcome.reason != "unreadable":
            known[outcome.key] = outcome
    return known


def _write_exclusions(cohort: Cohort, outcomes: Sequence[Outcome], out: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["patient", "scan", "image", "reason", "text"])
    for case, outcome in zip(cohort.cases, outcomes, strict=True):
        if outcome.reason:
            told = " ".join(outcome.text.split())
            writer.writerow([case.patient, case.scan, case.image.as_posix(), outcome.reason, told])
    write_whole(out / EXCLUSIONS, text.getvalue())


def _write_table(cohort: Cohort, outcomes: Sequence[Outcome], out: Path) -> None:
    cases = []
    for case, outcome in zip(cohort.cases, outcomes, strict=True):
        if outcome.reason:
            continue
        source = str(cohort.path(case.image).absolute())
        cases.append(
            replace(
                case,
                image=_slice_path(out, outcome.key).absolute(),
                intensity=Intensity.DISPLAY8,
                lungs=None,
                lobes=None,
                lesions=None,
                extra={
                    **case.extra,
                    "group": GROUP_NAMES[group_of(case)],
                    "source_path": source,
                    "lungs_by": outcome.lungs,
                },
            )
        )
    write_cohort(Cohort(cohort.name, cohort.folder, tuple(cases), cohort.note), out)


def _sweep(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Slices that no row names go; the journal keeps one line for each scan, in the order of the table."""
    kept = {one.key for one in outcomes if not one.reason}
    for path in (out / "slices").glob("*.png"):
        if path.stem not in kept:
            path.unlink()
    lines = (json.dumps(asdict(one)) + "\n" for one in outcomes if one.reason != "duplicate")
    write_whole(out / JOURNAL, "".join(lines))


def _write_manifest(
    cohort: Cohort, settings: PrepareSettings, slices: SliceSet, excluded: dict[str, int], out: Path
) -> None:
    files = (TABLE_NAME, EXCLUSIONS, *SLICE_FILES)
    write_json(
        out / MANIFEST,
        {
            "glasslung": __version__,
            "cohort": cohort.name,
            "settings": asdict(settings),
            "scans": len(cohort.cases),
            "kept": len(slices),
            "patients": len(set(slices.patient.tolist())),
            "excluded": excluded,
            "sha256": {name: _hash(out / name) for name in files},
        },
    )
