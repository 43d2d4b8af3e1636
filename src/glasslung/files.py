"""Files and folders that are there whole or not at all: made beside their place, then moved into it.

What is moved has reached the disk before: a power cut leaves the old content or the new, never an empty name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from glasslung.errors import DataError

_NEW = re.compile(r"\..+\.new")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never half of it.

    Missing folders above it are made. Raises DataError where the place cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with whole_file(path) as part:
        part.write_bytes(data)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; NaN and infinity, which JSON does not know, are refused (ValueError)."""
    write_whole(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of ours; DataError when it is missing, damaged, or not a set of named values."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); it is not a folder of ours, or it is damaged"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no named values; it is not a file of ours, or it is damaged")
    return content


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block succeeds and removed when it does not.

    It ends as `path` does, for libraries that choose a format by the ending.
    """
    _make_parent(path)
    part = _beside(path)
    try:
        yield part
        _to_disk(part)
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, moved into its place when the block succeeds.

    Raises DataError when `path` already holds something: a folder that a person filled is never replaced.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path}: is there already and not empty; choose another name or remove it")
    _make_parent(path)
    part = _beside(path)
    try:
        part.mkdir()
        yield part
        if path.is_dir():
            path.rmdir()
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_folder(part: Path, path: Path) -> None:
    """Put the finished folder `part` in the place of `path`, which may be ours from an earlier try.

    For folders that several processes fill together, so that no single block can hold them; `part` must lie
    on the same disk as `path`.
    """
    aside = path.with_name(f".{path.name}.old")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        if path.exists():
            path.replace(aside)
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    shutil.rmtree(aside, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Push a file out of the system's memory before its name is given away."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, that files can be written into; one that is there is kept.

    Raises DataError, and leaves no new folder behind, where a file is in the way or nothing can be written.
    """
    new: list[Path] = []
    try:
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        for folder in new:
            with suppress(OSError):  # it was not made, or another program has put something into it
                folder.rmdir()
        raise _unwritable(path, error) from error


def remove_whole(path: Path) -> None:
    """Remove a file or a folder so that nobody finds half of it: moved aside first, then deleted."""
    aside = _beside(path)
    try:
        path.replace(aside)
        if aside.is_dir() and not aside.is_symlink():
            shutil.rmtree(aside)
        else:
            aside.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _beside(path: Path) -> Path:
    return path.with_name(f"{_mark()}{path.name}")


def _mark() -> str:
    """How the names of our unfinished files and folders begin; the ending stays the file's own."""
    return f".{os.getpid()}.part."


def _unwritable(path: Path, error: OSError) -> DataError:
    why = os.strerror(error.errno) if error.errno else "the disk refused it"
    with suppress(OSError):  # a name that is too long for the disk cannot even be asked about
        files = [above for above in path.parents if above.is_file()]
        why = f"{_asked_for(files[0])} is a file" if files else why
    return DataError(f"{_asked_for(path)}: cannot be written ({why}); check the folder and the free space")


def _asked_for(path: Path) -> Path:
    """The path as the caller's caller gave it: without the hidden names that things have while they are made.

    `.out.new` at the end, or inside one of ours, is a folder that is to take the place of `out`.
    """
    parts = list(path.parts)
    for at, name in enumerate(parts):
        plain = name.removeprefix(_mark())
        ours = plain != name or at == len(parts) - 1
        parts[at] = plain[1:-4] if ours and _NEW.fullmatch(plain) else plain
    return Path(*parts)
