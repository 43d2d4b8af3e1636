"""Whole or not at all: files and folders are written beside their place and then moved into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glasslung.errors import DataError


@contextmanager
def whole_file(path: Path, suffix: str) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block succeeds and removed when it does not.

    suffix  ending of the temporary name, for libraries that choose the format by it
    """
    _make_parent(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part{suffix}")
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
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
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


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> DataError:
    why = os.strerror(error.errno) if error.errno else "the disk refused it"
    return DataError(f"{path.name}: cannot be written ({why}); check the folder and the free space")
