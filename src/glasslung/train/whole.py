"""Files and folders that appear whole or not at all: written beside, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glasslung.errors import DataError, UsageError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; it takes the place of `path` only if nothing went wrong."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        _to_disk(beside)
        beside.replace(path)
    except OSError as problem:
        raise UsageError(
            f"{path} could not be written ({problem.strerror or problem}); check space and rights"
        ) from problem
    finally:
        beside.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Push a file out of the system's memory, so that a power cut cannot leave an empty name."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole; NaN and infinity, which JSON does not know, are refused."""
    with whole_file(path) as beside:
        beside.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of ours; DataError when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise DataError(
            f"{path} cannot be read ({problem}); the folder is not a run, or it is damaged"
        ) from problem
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no settings; the folder is not a run, or it is damaged")
    return content


def replace_folder(partial: Path, target: Path) -> None:
    """Put the finished folder `partial` in the place of `target`, which may exist from an earlier try."""
    for file in partial.iterdir():
        _to_disk(file)
    if target.exists():
        aside = target.with_name(f".{target.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        target.replace(aside)
        partial.replace(target)
        shutil.rmtree(aside)
    else:
        partial.replace(target)
