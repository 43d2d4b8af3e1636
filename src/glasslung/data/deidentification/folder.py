"""A folder of scans de-identified, whole or not at all, and searched at the end for what must not be there.

Two passes: the first reads every file and remembers, in memory alone, all that must not come out; the second
writes. The unfinished result lies hidden beside its place, with a ledger in which files stand under keyed
hashes, so that a stopped run goes on and its remains name nobody.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from glasslung import __version__
from glasslung.data.deidentification.actions import Action
from glasslung.data.deidentification.dicom_cleaning import clean_dicom
from glasslung.data.deidentification.headers import Count, Options, Person, UnsafeError
from glasslung.data.deidentification.identifiers import Identifiers
from glasslung.data.deidentification.keys import Secret, open_key
from glasslung.data.deidentification.moments import Clock
from glasslung.data.deidentification.nifti_cleaning import clean_nifti
from glasslung.data.deidentification.picture_cleaning import clean_picture
from glasslung.data.deidentification.reports import (
    PICTURES,
    VOLUMES,
    header_words,
    report_words,
    write_links,
    write_reports,
)
from glasslung.data.deidentification.searching import (
    Closed,
    Everybody,
    Leak,
    Sought,
    refuse_leaks,
    search_folder,
)
from glasslung.data.deidentification.setting_aside import FLAGS, Aside, Reason
from glasslung.data.deidentification.survey import Found, Surveyed, survey_folder
from glasslung.data.formats.survey import Kind, natural_key
from glasslung.errors import DataError, UsageError
from glasslung.files import replace_folder, write_whole

LEDGER = "ledger.jsonl"
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Places:
    """Where a run reads and writes.

    source  folder of scans, or one file
    out     new folder for the result
    keys    the secret's file, made where there is none; not inside `source` or `out`
    links   file for who became whom, which is identity; None writes none
    """

    source: Path
    out: Path
    keys: Path
    links: Path | None = None


@dataclass(frozen=True)
class Result:
    """What a run did: files written, patients with DICOM in it, files set aside, files looked at."""

    out: Path
    written: int
    patients: int
    aside: tuple[Aside, ...]
    searched: int


@dataclass
class _Run:
    """One run in work: what it knows, where it writes; what became of each input file, or why nothing did."""

    secret: Secret
    options: Options
    keep_flagged: bool
    work: Path
    surveyed: Surveyed
    aside: list[Aside] = field(default_factory=list)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)
    became: dict[Path, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


def deidentify(places: Places, options: Options, keep_flagged: bool, tell: Tell) -> Result:
    """De-identify a folder (or one file) into a new folder, and search the result.

    keep_flagged  hand on what was only flagged (burnt-in text, screenshots, localisers, heads)
    tell          is told what is being done, and how much of it is
    Raises UsageError for places that cannot be, DataError where nothing can be handed on and where the last
    check finds an identifier. Whenever it does not end well, there is no result.
    """
    _check_places(places)
    secret = open_key(places.keys)
    work = places.out.with_name(f".{places.out.name}.unfinished")
    with _held(work):
        tell("reading", 0.0)
        surveyed = survey_folder(places.source, lambda n, of: tell(f"reading: {n} of {of}", 0.5 * n / of))
        run = _Run(secret, options, keep_flagged, work / "result", surveyed)
        _clean_all(run, work / LEDGER, tell)
        try:
            _finish(run, tell)
            if places.links is not None:
                write_links(places.links, run.became)
        except (DataError, UsageError):
            shutil.rmtree(work, ignore_errors=True)  # nothing in it may be handed on
            raise
        replace_folder(run.work, places.out)
        shutil.rmtree(work)
    patients = {found.patient for found in surveyed.files if _is_written_dicom(found, run)}
    return Result(places.out, len(run.written), len(patients), tuple(run.aside), len(surveyed.files))


def _is_written_dicom(found: Found, run: _Run) -> bool:
    return found.kind == Kind.DICOM.value and run.became.get(found.path) in run.written


def _finish(run: _Run, tell: Tell) -> None:
    """Take away what an earlier, stopped run left behind, write the reports, search everything."""
    if not run.written:
        raise DataError(_nothing_left(run))
    for path in sorted(run.work.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(run.work).as_posix() not in run.written:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    write_reports(run.work, run.changes, run.aside, len(run.written), run.options, run.keep_flagged)
    tell("searching for what must not be there", 0.95)
    refuse_leaks(_leaks(run))


def _check_places(places: Places) -> None:
    source, out = places.source, places.out
    if not source.exists():
        raise UsageError(f"{source}: there is no such file or folder; check the path")
    here, there = source.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UsageError("input and output lie in one another: choose an output folder beside the input")
    for option, path in (("--keys", places.keys), ("--links", places.links)):
        for place, name in ((there, "output"), (here, "input")):
            if path is not None and (path.resolve() == place or place in path.resolve().parents):
                raise UsageError(f"{option} lies inside the {name} folder: keep it apart from the data")
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
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _nothing_left(run: _Run) -> str:
    if not run.aside:
        return "the folder holds no files; pass a folder with scans in it"
    reasons = Counter(aside.reason.value for aside in run.aside)
    told = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common())
    remedy = "; --keep-flagged hands on what is only flagged" if FLAGS & {a.reason for a in run.aside} else ""
    return f"all {len(run.aside)} files were set aside: {told}{remedy}"


# --- writing ------------------------------------------------------------------------------------------------


def _clean_all(run: _Run, ledger: Path, tell: Tell) -> None:
    notes, files = _read_ledger(ledger), run.surveyed.files
    targets, seen = _targets(run), set[str]()
    with ledger.open("a", encoding="utf-8") as file:
        for n, found in enumerate(files):
            tell(f"writing: {n + 1} of {len(files)}", 0.5 + 0.45 * n / len(files))
            reason = _why_not(found, run, seen)
            if reason is not None:
                _set_aside(found, reason, run)
                continue
            key = _ledger_key(found, run)
            note = notes.get(key)
            if note is None or not (note["reason"] or (run.work / targets[found.number]).is_file()):
                note = _clean_one(found, run, targets[found.number])
                file.write(json.dumps({"key": key, **note}) + "\n")
                file.flush()
            _take_in(note, found, run, targets[found.number])


def _why_not(found: Found, run: _Run, seen: set[str]) -> Reason | None:
    if found.reason is not None and not (run.keep_flagged and found.reason in FLAGS):
        return found.reason
    if found.sop and found.sop in seen:
        return Reason.COPY
    seen.add(found.sop)
    return None


def _set_aside(found: Found, reason: Reason, run: _Run) -> None:
    run.aside.append(Aside(found.number, found.kind, reason))
    run.became[found.path] = reason.value


def _ledger_key(found: Found, run: _Run) -> str:
    """What a file is known by in the ledger: all that decides how it is written, hashed with the secret."""
    stat, begin = found.path.stat(), run.surveyed.begins.get(found.study)
    what = (found.path, stat.st_size, stat.st_mtime_ns, run.options, begin, found.reason, __version__)
    return run.secret.name("ledger", repr(what))


def _read_ledger(path: Path) -> dict[str, dict[str, Any]]:
    """Notes of files that were written before; a last line that was cut short is not one."""
    notes: dict[str, dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        try:
            note = json.loads(line)
        except ValueError:
            continue
        notes[note.pop("key")] = note
    return notes


def _take_in(note: dict[str, Any], found: Found, run: _Run, target: str) -> None:
    if note["reason"]:
        _set_aside(found, Reason(note["reason"]), run)
        return
    run.changes.update({(name, action): count for name, action, count in note["changes"]})
    run.told.update(note["told"])
    run.written.add(target)
    run.became[found.path] = target


def _clean_one(found: Found, run: _Run, target: str) -> dict[str, Any]:
    """Write one file; a note for the ledger that names nobody."""
    try:
        content, count, told = _cleaned(found, run)
    except UnsafeError:
        return {"reason": Reason.NEEDED.value}
    except DataError:
        return {"reason": Reason.DAMAGED.value}
    write_whole(run.work / target, content)
    changes = [[name, str(action), number] for (name, action), number in sorted(count.items())]
    return {"reason": "", "changes": changes, "told": sorted(told)}


def _cleaned(found: Found, run: _Run) -> tuple[bytes, Count, set[str]]:
    if found.kind == Kind.DICOM.value:
        shows_text = found.reason in (Reason.BURNT_IN, Reason.CAPTURE, Reason.SCREEN)
        return clean_dicom(found.path, _person(found, run), run.options, shows_text)
    clean = clean_nifti if found.kind == Kind.NIFTI.value else clean_picture
    content, removed = clean(found.path)
    return content, Counter((name, Action.REMOVED.value) for name in removed), set()


def _person(found: Found, run: _Run) -> Person:
    clock = Clock(run.secret.days_back(found.patient), run.surveyed.begins.get(found.study))
    pseudonym = run.secret.pseudonym(found.patient)
    return Person.of(pseudonym, clock, run.secret, run.surveyed.known[found.patient])


def _targets(run: _Run) -> dict[int, str]:
    """Number of each input file -> its place: by pseudonym and keyed hashes, pictures in their old order."""
    name = run.secret.name
    stacks: dict[Path, list[Found]] = defaultdict(list)
    places: dict[int, str] = {}
    for found in run.surveyed.files:
        if found.kind == Kind.PICTURE.value:
            stacks[found.path.parent].append(found)
        elif found.kind == Kind.NIFTI.value:
            places[found.number] = f"{VOLUMES}/{name('volume', str(found.path))}.nii.gz"
        else:
            study, series = f"study-{name('study', found.study)}", f"series-{name('series', found.series)}"
            file = f"{name('file', found.sop or str(found.path))}.dcm"
            places[found.number] = str(
                PurePosixPath(run.secret.pseudonym(found.patient), study, series, file)
            )
    for folder, pictures in stacks.items():
        home = f"{PICTURES}/{name('pictures', str(folder))}"
        for n, found in enumerate(sorted(pictures, key=lambda one: natural_key(one.path)), start=1):
            places[found.number] = f"{home}/{n:05d}.png"
    return places


# --- the last check -----------------------------------------------------------------------------------------


def _leaks(run: _Run) -> list[Leak]:
    known, own = run.surveyed.known, header_words(run.options)
    in_headers, in_reports = Closed(own, run.told), Closed([*own, *report_words()], run.told)
    everybody = Everybody.of(known.values(), in_headers)
    sought = {}
    for patient, one in known.items():
        back = dt.timedelta(days=run.secret.days_back(patient))
        moved = [day - back for day in one.dates if day.toordinal() > back.days]
        sought[run.secret.pseudonym(patient)] = Sought(one, everybody, moved, in_headers)
    all_together = Identifiers()
    for one in known.values():
        all_together.update(one)
    everywhere = Sought(all_together, Everybody.of(known.values(), in_reports), (), in_reports)
    return search_folder(run.work, sought, everywhere)
