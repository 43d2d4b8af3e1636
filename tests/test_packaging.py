"""What is installed is what lies in the tree: every file that is no code is named as the package's data."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "glasslung"


def test_every_file_that_is_no_code_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["glasslung"]
    there = [one.relative_to(PACKAGE) for one in PACKAGE.rglob("*") if one.is_file()]
    data = [one for one in there if one.suffix not in (".py", ".pyc") and "__pycache__" not in one.parts]
    assert data
    left_out = [
        one.as_posix()
        for one in data
        if not any(
            one.as_posix().count("/") == pattern.count("/") and fnmatch.fnmatch(one.as_posix(), pattern)
            for pattern in patterns
        )
    ]
    assert left_out == []
