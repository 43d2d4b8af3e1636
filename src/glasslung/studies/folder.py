"""The folder of a study, and what a study does around its own steps.

    study.json    what was asked: all that decides the figures
    outcomes/     the table of jobs (`studies.jobs`)
    numbers.json  every figure
    index.html    the page

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glasslung.errors import UsageError
from glasslung.files import read_json, write_json
from glasslung.studies.jobs import Done, check_same
from glasslung.types import Progress

STUDY, OUTCOMES, NUMBERS, PAGE = "study.json", "outcomes", "numbers.json", "index.html"


def check_free(out: Path) -> None:
    """UsageError unless the folder is new, empty, or a study's."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / STUDY).is_file()):
        raise UsageError(f"{out} is not empty and holds no study; choose a new folder with --out")


def claim(out: Path, asked: Mapping[str, Any]) -> None:
    """Say whose the folder is; UsageError where it is another study's."""
    if (out / STUDY).is_file():
        check_same(read_json(out / STUDY), asked, f"{out} holds another study")
    else:
        write_json(out / STUDY, asked)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch: a budget of process time is then the same on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def part_of(progress: Progress | None, start: float, end: float) -> Progress | None:
    """Progress of a step that takes the whole from one share to another: part_of(progress, 0.2, 0.6)."""
    if progress is None:
        return None
    return lambda text, share: progress(text, start + (end - start) * share)


def about_run(asked: Mapping[str, Any], done: Sequence[Done], seeds: int) -> dict[str, Any]:
    """What was asked, command, versions, seeds, and what every job was and took."""
    from glasslung.train.rundir import library_versions

    return {
        **asked,
        "command": shlex.join(["glasslung", *sys.argv[1:]]),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": library_versions(),
        "seeds_trained": list(range(seeds)),
        "jobs": [one.manifest for one in done],
    }
