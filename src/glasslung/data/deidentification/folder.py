"""A folder of scans de-identified, whole or not at all, and searched at the end for what must not be there.

Two passes: the first reads every file and remembers, in memory alone, all that must not come out; the second
writes. The unfinished result lies hidden beside its place, with a ledger in which files stand under keyed
hashes, so that a stopped run goes on and its remains name nobody.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from glasslung import __version__
from glasslung.data.deidentification.actions import Action
from glasslung.data.deidentification.dicom_cleaning import OUR_VERSION, REMOVED_FROM_FILES, clean_dicom
from glasslung.data.deidentification.headers import METHOD, Count, Options, Person, UnsafeError, claims
from glasslung.data.deidentification.identifiers import Identifiers
from glasslung.data.deidentification.kept import MAKERS, kept_words
from glasslung.data.deidentification.keys import Secret, open_key
from glasslung.data.deidentification.moments import Clock
from glasslung.data.deidentification.nifti_cleaning import REMOVED_FROM_VOLUMES, clean_nifti
from glasslung.data.deidentification.picture_cleaning import REMOVED_FROM_PICTURES, clean_picture
from glasslung.data.deidentification.searching import Closed, Leak, Sought, refuse_leaks, search_folder
from glasslung.data.deidentification.setting_aside import FLAGS, Aside, Reason
from glasslung.data.deidentification.survey import Found, Surveyed, survey_folder
from glasslung.data.formats.header_words import BODY_PARTS, MODALITIES
from glasslung.data.formats.survey import Kind
from glasslung.errors import DataError, UsageError
from glasslung.files import replace_folder, write_json, write_whole
from glasslung.types import DISCLAIMER

CHANGES, ASIDE, ABOUT = "changes.csv", "set_aside.csv", "deidentification.json"
LEDGER = "ledger.jsonl"
PICTURES, VOLUMES = "pictures", "volumes"
CHANGES_HEAD, ASIDE_HEAD = ("attribute", "action", "count"), ("file", "kind", "reason")
DONE_WORDS = {
    Action.REMOVED: "removed",
    Action.EMPTIED: "emptied",
    Action.REPLACED: "replaced",
    Action.NEW_UID: "new UID",
    Action.CLEANED: "changed",
}
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Result:
    """What a run did: files written, patients, files set aside with their reasons, and how often what."""

    out: Path
    written: int
    patients: int
    aside: tuple[Aside, ...]
    searched: int


@dataclass
class _Run:
    """One run in work: where it writes and what it knows."""

    secret: Secret
    options: Options
    keep_flagged: bool
    work: Path
    surveyed: Surveyed
    ledger: dict[str, dict[str, Any]] = field(default_factory=dict)
    aside: list[Aside] = field(default_factory=list)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    homes: dict[str, set[str]] = field(default_factory=dict)


def deidentify(
    source: Path, out: Path, keys: Path, options: Options, keep_flagged: bool, tell: Tell
) -> Result:
    """De-identify a folder (or one file) into a new folder, and search the result.

    keys          the secret's file; made where there is none, never inside `source` or `out`
    keep_flagged  hand on what was only flagged (burnt-in text, screenshots, localisers, heads)
    Raises UsageError for places that cannot be, DataError where the last check finds an identifier; then, and
    whenever it is stopped, `out` is not made.
    """
    _check_places(source, out, keys)
    secret = open_key(keys)
    work = out.with_name(f".{out.name}.unfinished")
    with _held(work):
        tell("reading", 0.0)
        surveyed = survey_folder(source, lambda n, of: tell(f"reading: {n} of {of}", 0.5 * n / of))
        if not surveyed.files:
            raise DataError(f"{source.name}: the folder holds no files; pass a folder with scans in it")
        run = _Run(secret, options, keep_flagged, work / "result", surveyed)
        _clean_all(run, work / LEDGER, tell)
        if not run.homes:
            raise DataError(_nothing_left(run))
        _write_reports(run)
        tell("searching for what must not be there", 0.95)
        refuse_leaks(_leaks(run))
        replace_folder(run.work, out)
        shutil.rmtree(work)
    patients = len({found.patient for found in surveyed.files if found.kind == Kind.DICOM.value})
    return Result(out, sum(map(len, run.homes.values())), patients, tuple(run.aside), len(surveyed.files))


def _check_places(source: Path, out: Path, keys: Path) -> None:
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder; check the path")
    here, there, key = source.resolve(), out.resolve(), keys.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UsageError("input and output lie in one another: choose an output folder beside the input")
    for place, name in ((there, "output"), (here, "input")):
        if key == place or place in key.parents:
            raise UsageError(f"--keys lies inside the {name} folder: keep the key apart from the data")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already and not empty; choose another name or remove it")


@contextmanager
def _held(work: Path) -> Iterator[None]:
    """Keep a second run off the unfinished folder; what is in it stays for the next one."""
    from filelock import FileLock, Timeout

    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(work.with_name(f"{work.name}.lock"))
        lock.acquire(timeout=0)
    except Timeout as problem:
        raise UsageError("another run is writing to this output folder: wait for it") from problem
    except OSError as problem:
        raise UsageError(
            f"the output cannot be written ({problem.strerror}): choose another folder"
        ) from problem
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _nothing_left(run: _Run) -> str:
    reasons = Counter(aside.reason.value for aside in run.aside)
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
    return f"all {len(run.aside)} files were set aside: {told}. --keep-flagged hands on what is only flagged"


# --- writing ------------------------------------------------------------------------------------------------


def _clean_all(run: _Run, ledger: Path, tell: Tell) -> None:
    run.ledger = _read_ledger(ledger)
    files = run.surveyed.files
    seen: set[str] = set()
    with ledger.open("a", encoding="utf-8") as notes:
        for n, found in enumerate(files):
            tell(f"writing: {n + 1} of {len(files)}", 0.5 + 0.45 * n / len(files))
            reason = _why_not(found, run, seen)
            if reason is not None:
                run.aside.append(Aside(found.number, found.kind, reason))
                continue
            key = _ledger_key(found, run)
            note = run.ledger.get(key)
            if note is None or not (note["reason"] or (run.work / note["out"]).is_file()):
                note = _clean_one(found, run)
                notes.write(json.dumps({"key": key, **note}) + "\n")
                notes.flush()
            _take_in(note, found, run)


def _why_not(found: Found, run: _Run, seen: set[str]) -> Reason | None:
    if found.reason is not None and not (run.keep_flagged and found.reason in FLAGS):
        return found.reason
    if found.sop and found.sop in seen:
        return Reason.COPY
    seen.add(found.sop)
    return None


def _ledger_key(found: Found, run: _Run) -> str:
    stat = found.path.stat()
    begin = run.surveyed.begins.get(found.study)
    what = (found.path, stat.st_size, stat.st_mtime_ns, run.options, begin, found.reason, __version__)
    return run.secret.name("ledger", repr(what))


def _read_ledger(path: Path) -> dict[str, dict[str, Any]]:
    """Notes of files that were written before; a last line that was cut short is not one."""
    notes: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        return notes
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            note = json.loads(line)
        except ValueError:
            continue
        notes[note.pop("key")] = note
    return notes


def _take_in(note: dict[str, Any], found: Found, run: _Run) -> None:
    if note["reason"]:
        run.aside.append(Aside(found.number, found.kind, Reason(note["reason"])))
        return
    run.changes.update({(name, action): count for name, action, count in note["changes"]})
    run.told.update(note["told"])
    run.homes.setdefault(found.patient, set()).add(note["out"])


def _clean_one(found: Found, run: _Run) -> dict[str, Any]:
    """Write one file; a note for the ledger that names nobody."""
    try:
        content, count, told = _cleaned(found, run)
    except UnsafeError:
        return {"out": "", "reason": Reason.NEEDED.value, "changes": [], "told": []}
    except DataError:
        return {"out": "", "reason": Reason.DAMAGED.value, "changes": [], "told": []}
    target = _place_of(found, run)
    write_whole(run.work / target, content)
    changes = [[name, str(action), number] for (name, action), number in sorted(count.items())]
    return {"out": target, "reason": "", "changes": changes, "told": sorted(told)}


def _cleaned(found: Found, run: _Run) -> tuple[bytes, Count, set[str]]:
    if found.kind == Kind.DICOM.value:
        shows_text = found.reason in (Reason.BURNT_IN, Reason.CAPTURE)
        return clean_dicom(found.path, _person(found, run), run.options, shows_text)
    clean = clean_nifti if found.kind == Kind.NIFTI.value else clean_picture
    content, removed = clean(found.path)
    return content, Counter((name, Action.REMOVED.value) for name in removed), set()


def _person(found: Found, run: _Run) -> Person:
    clock = Clock(run.secret.days_back(found.patient), run.surveyed.begins.get(found.study))
    pseudonym = run.secret.pseudonym(found.patient)
    return Person.of(pseudonym, clock, run.secret, run.surveyed.known[found.patient])


def _place_of(found: Found, run: _Run) -> str:
    """Where a file goes: by pseudonym and keyed hashes, pictures of one folder by their order."""
    name = run.secret.name
    if found.kind == Kind.DICOM.value:
        folders = (
            run.secret.pseudonym(found.patient),
            f"study-{name('study', found.study)}",
            f"series-{name('series', found.series)}",
        )
        return str(PurePosixPath(*folders, f"{name('file', found.sop or str(found.path))}.dcm"))
    if found.kind == Kind.NIFTI.value:
        return f"{VOLUMES}/{name('volume', str(found.path))}.nii.gz"
    beside = [
        other for other in run.surveyed.files if other.patient == found.patient and other.kind == found.kind
    ]
    order = sorted(beside, key=_natural)
    return f"{PICTURES}/{name('pictures', str(found.path.parent))}/{order.index(found) + 1:05d}.png"


def _natural(found: Found) -> Any:
    from glasslung.data.formats.survey import natural_key

    return natural_key(found.path)


# --- reports and the last check -----------------------------------------------------------------------------


def _write_reports(run: _Run) -> None:
    rows = sorted((name, DONE_WORDS[Action(action)], count) for (name, action), count in run.changes.items())
    write_whole(run.work / CHANGES, _table(CHANGES_HEAD, rows))
    aside = [(one.number, one.kind, one.reason.value) for one in run.aside]
    write_whole(run.work / ASIDE, _table(ASIDE_HEAD, aside))
    about = {
        "made_by": f"glasslung {__version__}",
        "method": METHOD,
        "profile": [{"code": code, "meaning": meaning} for code, meaning in claims(run.options)],
        "options": {**asdict(run.options), "keep_flagged": run.keep_flagged},
        "files_written": sum(map(len, run.homes.values())),
        "files_set_aside": len(run.aside),
        "disclaimer": DISCLAIMER,
    }
    write_json(run.work / ABOUT, about)


def _table(head: tuple[str, ...], rows: list[Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def _leaks(run: _Run) -> list[Leak]:
    everybody = run.surveyed.everybody()
    own = [*_own_words(), *(text for code in claims(run.options) for text in code)]
    closed = Closed(own, run.told)
    sought = {}
    for patient, known in run.surveyed.known.items():
        back = dt.timedelta(days=run.secret.days_back(patient))
        moved = [day - back for day in known.dates if day.toordinal() > back.days]
        sought[run.secret.pseudonym(patient)] = Sought(known, everybody, moved, closed)
    reports = Closed([*own, *_report_words()], run.told)
    return search_folder(run.work, sought, Sought(Identifiers(), everybody, (), reports))


def _own_words() -> list[str]:
    """All texts that a header can get here, whoever the patient is."""
    lists = (kept_words("terms"), kept_words("descriptions"), BODY_PARTS, MODALITIES, MAKERS.values())
    marks = (METHOD, OUR_VERSION, "YES", "NO", "MODIFIED", "DCM", "M", "F", "O", "study", "series", "dcm")
    return [*(word for words in lists for word in words), *marks]


def _report_words() -> list[str]:
    """All that the reports can say: names of attributes and sentences of this package."""
    from pydicom.datadict import DicomDictionary, RepeatersDictionary

    keywords = [entry[4] for entry in (*DicomDictionary.values(), *RepeatersDictionary.values())]
    names = (CHANGES, ASIDE, ABOUT, PICTURES, VOLUMES, "png", "nii.gz", "link", f"glasslung {__version__}")
    heads = (*CHANGES_HEAD, *ASIDE_HEAD, *Options.__dataclass_fields__, "true", "false")
    about = (
        "made_by method profile code meaning options keep_flagged files_written files_set_aside disclaimer",
    )
    counted = ("private creator xx", *REMOVED_FROM_VOLUMES, *REMOVED_FROM_PICTURES, *REMOVED_FROM_FILES)
    sentences = (*DONE_WORDS.values(), *Reason, *Kind, DISCLAIMER)
    return [*keywords, *names, *heads, *about, *counted, *sentences]
