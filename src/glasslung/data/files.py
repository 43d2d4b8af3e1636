"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never half of it."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    fill_whole(path, lambda beside: beside.write_bytes(data))


def fill_whole(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a file beside `path`, with the same ending, and put it in place when it is done.

    For libraries that write files themselves. Whatever happens, nothing is left beside.
    """
    beside = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        fill(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
