"""The output folder of an analysis: who may write to it, which scans in it are finished, how files get there.

    masks/<scan>/       a scan of the story: masks, preview.npz, scan.json
    masks/.scan-<key>/  a finished scan that no story tells yet, or no longer; kept for when it is asked for
    masks/.partial-*/   a scan being worked on; swept away if the run does not get to its end

A scan's key changes when its files, the settings or glasslung's version change, so a finished folder is
either right or has another key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glasslung.errors import DataError, UsageError

DONE = "scan.json"
_LOCK = ".lock"


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
    ours = (out / "story.json").is_file() or (out / "masks").is_dir()
    if out.is_dir() and not ours and any(p.name != _LOCK for p in out.iterdir()):
        raise UsageError(f"--out {out} holds other files: choose an empty or a new folder")


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


def finished_scans(masks: Path) -> dict[str, Path]:
    """Key -> folder of every scan that is finished, whatever name it stands under."""
    found = {}
    for folder in sorted(p for p in masks.iterdir() if p.is_dir()):
        key = _key_of(folder)
        if key is None:
            raise DataError(
                f"{folder} was not made by glasslung or was damaged: move it away, or choose another --out"
            )
        found[key] = folder
    return found


def _key_of(folder: Path) -> str | None:
    try:
        told = json.loads((folder / DONE).read_text())
        files = [folder / Path(name).name for name in (*told["findings"]["masks"].values(), "preview.npz")]
        return told["key"] if all(file.is_file() for file in files) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def arrange(masks: Path, names: dict[str, str]) -> None:
    """Finished scans take the names they have in a story (key -> name); the others step aside.

    Two steps, because a new scan in between shifts the names behind it. Killed half-way, the folders keep
    their keys and the next run arranges them again.
    """
    for key, folder in finished_scans(masks).items():
        if folder.name != names.get(key):
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


def _aside(masks: Path, key: str) -> Path:
    return masks / f".scan-{key}"
