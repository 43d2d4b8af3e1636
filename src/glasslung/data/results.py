"""The output folder of an analysis: who may write to it, which scans in it are finished, how files get there.

    masks/<scan>/       a scan of the story: masks, preview.npz, scan.json
    masks/.scan-<key>/  a finished scan that no story tells yet
    masks/.partial-*/   a scan being worked on; swept away if the run does not get to its end
    masks/.change-<key>/, masks/.serial-<key>/  likewise, what is known of two scans or of all of them; its
                        files move into the later scan's folder, with change.json or serial.json
    masks/.damaged-*/   what stood under a scan's name and is not what a run wrote there; set aside, not used

A scan's key changes when its files, the settings or glasslung's version change, and scan.json holds the hash
of every file beside it: a finished folder is right, or it does not count as finished.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glasslung.errors import UsageError
from glasslung.files import write_whole

DONE = "scan.json"
_LOCK = ".lock"
KEPT_SCAN = "scan.nii.gz"  # a copy of the scan itself, where it was asked for
CORRECTIONS = "corrections"  # lesions that a reader redrew in the viewer
_OWN_FILES = (
    _LOCK,
    "masks",
    "story.json",
    "findings.csv",
    "lesions.csv",
    "report.html",
    "report.pdf",
    "dicom",
    CORRECTIONS,
)
_SCAN = re.compile(r"scan-\d+|\.scan-\w+")
_OURS = re.compile(r"scan-\d+|\.(scan|partial|damaged|change|serial)-[\w-]+")
PARTS = ("change", "serial")  # what a scan's folder may hold beside the scan's own files


def inside(folder: Path, name: str) -> Path | None:
    """A file of a story's folder, links followed; None where it is not there, or lies outside."""
    path = (folder / name).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def fingerprint(path: Path, *settings: object) -> str:
    """Twelve hex digits that change when the files of a scan or the settings change.

    Names, sizes and modification times stand for the content, because this must be instant for a folder of
    thousands of slices. The content's own hash is recorded in the findings.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    told = hashlib.sha256("|".join(map(str, settings)).encode())
    for file in files:
        seen = file.stat()
        told.update(f"{file.relative_to(path.parent)}|{seen.st_size}|{seen.st_mtime_ns}\n".encode())
    return told.hexdigest()[:12]


def check_output(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse an output folder that would mix with the inputs or with somebody else's files (UsageError)."""
    for path in inputs:
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise UsageError(f"--out {out} lies inside the scan {path}: choose a folder outside it")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: choose a folder")
    if out.is_dir() and not _is_ours(out):
        raise UsageError(f"--out {out} holds other files: choose an empty or a new folder")


def _is_ours(out: Path) -> bool:
    """Whether a folder holds nothing but what an analysis writes."""
    others = {p.name for p in out.iterdir()} - set(_OWN_FILES)
    masks = [p.name for p in (out / "masks").iterdir()] if (out / "masks").is_dir() else []
    return (out / "story.json").is_file() or not (others or [n for n in masks if not _OURS.fullmatch(n)])


@contextmanager
def hold(out: Path) -> Iterator[Path]:
    """Make the folder, keep other runs out of it, and leave nothing half-written; yields its masks folder.

    The lock is the operating system's, so it goes when the process goes, however it went. A folder that this
    run made and put nothing into is taken away again.
    """
    from filelock import FileLock, Timeout

    made = not out.exists()
    masks = out / "masks"
    try:
        masks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK)
        lock.acquire(timeout=0)
    except Timeout as problem:
        raise UsageError(
            f"another analysis is writing to {out}: wait for it, or choose another --out"
        ) from problem
    except OSError as problem:
        raise UsageError(
            f"--out {out} cannot be written ({problem.strerror}): choose another folder"
        ) from problem
    try:
        _sweep(masks)
        _set_damaged_aside(masks)
        yield masks
    finally:
        _sweep(masks)
        _remove_if_empty(masks)
        (out / _LOCK).unlink(missing_ok=True)
        lock.release()
        if made:
            _remove_if_empty(out)


def _sweep(masks: Path) -> None:
    for partial in masks.glob(".partial-*"):
        shutil.rmtree(partial)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _set_damaged_aside(masks: Path) -> None:
    for folder in _scan_folders(masks):
        if read_scan_note(folder) is None:
            aside = masks / f".damaged-{folder.name.removeprefix('.')}"
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)


def finished_scans(masks: Path) -> dict[str, Path]:
    """Key -> folder of every scan that is finished, whatever name it stands under."""
    folders = (
        sorted(p for p in masks.iterdir() if p.is_dir() and _SCAN.fullmatch(p.name)) if masks.is_dir() else []
    )
    notes = [(read_scan_note(folder), folder) for folder in folders]
    return {note["key"]: folder for note, folder in notes if note is not None}


def _scan_folders(masks: Path) -> list[Path]:
    return sorted(p for p in masks.glob("*scan-*") if p.is_dir() and _SCAN.fullmatch(p.name))


def write_scan_note(work: Path, key: str, findings: dict[str, Any]) -> None:
    """Finish a scan's folder: its key, its findings, and the hash of every file in it."""
    _write_note(work, DONE, key, {"findings": findings})


def read_scan_note(folder: Path) -> dict[str, Any] | None:
    """What `write_scan_note` wrote; None when the folder is not, or no longer, what it says."""
    note = _read_note(folder / DONE)
    return note if note is not None and "findings" in note else None


def _write_note(work: Path, name: str, key: str, told: dict[str, Any]) -> None:
    files = {p.name: _digest(p) for p in sorted(work.iterdir()) if p.is_file()}
    write_whole(work / name, json.dumps({"key": key, "files": files, **told}, indent=1) + "\n")


def _read_note(path: Path) -> dict[str, Any] | None:
    """A note whose files are all as it says; None otherwise."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        whole = all(_digest(path.parent / name) == digest for name, digest in note["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return note if whole and "key" in note else None


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def arrange(masks: Path, names: dict[str, str]) -> None:
    """Finished scans take the names they have in a story (key -> name); the others are dropped.

    Names change in two steps, because a new scan in between shifts the names behind it. Killed half-way, the
    folders keep their keys and the next run arranges them again.
    """
    for key, folder in finished_scans(masks).items():
        if key not in names:
            shutil.rmtree(folder)
        elif folder.name != names[key]:
            folder.rename(_aside(masks, key))
    for key, name in names.items():
        if _aside(masks, key).is_dir():
            _aside(masks, key).rename(masks / name)


@contextmanager
def new_scan(masks: Path, key: str) -> Iterator[Path]:
    """A folder to work in. It counts as finished, still without a name, only when the block ends well."""
    work = masks / f".partial-{key}"
    work.mkdir()
    yield work
    work.rename(_aside(masks, key))


# --- parts: what is known of two scans, or of all -----------------------------------------------------------


@contextmanager
def new_part(masks: Path, kind: str, key: str) -> Iterator[Path]:
    """A folder to work in for a part of `PARTS`; it counts as finished only when the block ends well."""
    assert kind in PARTS, f"no part of a story is called {kind!r}"
    work = masks / f".partial-{kind}-{key}"
    work.mkdir()
    yield work
    shutil.rmtree(_part(masks, kind, key), ignore_errors=True)  # a damaged one of the same key
    work.rename(_part(masks, kind, key))


def write_part_note(work: Path, kind: str, key: str, told: dict[str, Any]) -> None:
    """Finish a part's folder: its key, what it tells, and the hash of every file in it."""
    _write_note(work, f"{kind}.json", key, {"told": told})


def read_part(folder: Path, kind: str) -> dict[str, Any] | None:
    """A part's note, `key` and `told`; None where it is not there, or no longer what its note says."""
    note = _read_note(folder / f"{kind}.json")
    return note if note is not None and "told" in note else None


def finished_parts(masks: Path, kind: str) -> dict[str, Path]:
    """Key -> folder of every finished part of a kind, in a scan's folder or not yet in one."""
    folders = [*_scan_folders(masks), *sorted(masks.glob(f".{kind}-*"))] if masks.is_dir() else []
    notes = [(read_part(folder, kind), folder) for folder in folders]
    return {note["key"]: folder for note, folder in notes if note is not None}


def arrange_parts(masks: Path, kind: str, homes: dict[str, str]) -> None:
    """Finished parts move into the scan folders they belong to (key -> scan's name); all others go.

    The note moves last, so that a part that was moved by half does not count.
    """
    found = finished_parts(masks, kind)
    for key, folder in found.items():
        if homes.get(key) != folder.name:
            aside = _part(masks, kind, key)
            if folder != aside:  # it lies under another scan, or nobody wants it
                _move_part(folder, aside, kind)
            if key not in homes:
                shutil.rmtree(aside)
    for key, name in homes.items():
        if _part(masks, kind, key).is_dir():
            _move_part(_part(masks, kind, key), masks / name, kind)
            shutil.rmtree(_part(masks, kind, key))
    wanted = {name for key, name in homes.items() if key in finished_parts(masks, kind)}
    for scan in _scan_folders(masks):
        if scan.name not in wanted:  # a damaged one, of which only the note is sure to be there
            (scan / f"{kind}.json").unlink(missing_ok=True)
    for left in masks.glob(f".{kind}-*"):
        shutil.rmtree(left)


def _move_part(folder: Path, home: Path, kind: str) -> None:
    note = read_part(folder, kind)
    assert note is not None, "only a finished part is moved"
    home.mkdir(exist_ok=True)
    for name in (*note["files"], f"{kind}.json"):
        (folder / name).replace(home / name)


def _part(masks: Path, kind: str, key: str) -> Path:
    return masks / f".{kind}-{key}"


def _aside(masks: Path, key: str) -> Path:
    return masks / f".scan-{key}"
