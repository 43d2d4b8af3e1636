"""Files and folders that are there whole or not at all: made beside their place, then moved into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from glasslung.errors import DataError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never half of it.

    Missing folders above it are made. Raises DataError where the place cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with whole_file(path) as part:
        part.write_bytes(data)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block succeeds and removed when it does not.

    It ends as `path` does, for libraries that choose a format by the ending.
    """
    _make_parent(path)
    part = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        yield part
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
        raise DataError(f"{path.name}: is there already and not empty; choose another name or remove it")
    _make_parent(path)
    part = path.with_name(f".{os.getpid()}.part.{path.name}")
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
    aside = path.with_name(f".{os.getpid()}.part.{path.name}")
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


def _unwritable(path: Path, error: OSError) -> DataError:
    why = os.strerror(error.errno) if error.errno else "the disk refused it"
    return DataError(f"{path.name or path}: cannot be written ({why}); check the folder and the free space")
