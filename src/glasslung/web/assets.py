"""Files of the pages: handed to a browser as they are, or written into one page.

A name leads nowhere but into the folder of these files, whatever is written in it.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import as_file, files
from pathlib import Path

STATIC = "static"
KINDS = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}


def asset(name: str) -> str:
    """A file of the page as text."""
    return (files("glasslung.web") / STATIC / name).read_text(encoding="utf-8")


def static_file(path: str) -> bytes | None:
    """A file of the page; None for what is not there, or lies elsewhere."""
    with as_file(files("glasslung.web") / STATIC) as folder:
        wanted = _inside(folder, path)
        return None if wanted is None else wanted.read_bytes()


def _inside(folder: Path, path: str) -> Path | None:
    """The file that a path names inside a folder, links followed; None for all else."""
    if "\0" in path or "\\" in path:
        return None
    try:
        wanted = (folder / path).resolve()
        return wanted if wanted.is_relative_to(folder.resolve()) and wanted.is_file() else None
    except OSError:  # a name longer than any file's
        return None


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
