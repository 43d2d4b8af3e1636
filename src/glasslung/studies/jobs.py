"""A table of jobs that can be stopped at any time: one job is one method trained with one seed.

    <folder>/<name>-<seed>.npz          what the method did when asked, where it was
    <folder>/<name>-<seed>.safetensors  its weights, where they are kept
    <folder>/<name>-<seed>.json         manifest, written last: a job with one is finished

A finished job is never done again, so a kill costs the job at hand and no other. The same command run a
second time beside the first takes the jobs that the first has not begun.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glasslung.errors import UsageError
from glasslung.files import make_folder, read_json, write_json
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
MOST_NAMED = 1  # of the settings that differ; the count of the others is told


@dataclass(frozen=True, eq=False)
class Product:
    """What a job gives.

    model   trained; its weights are kept; None: nobody needs them again
    answer  writes what the method did when asked to a .npz; None for one that was not asked
    told    figures for the manifest, plain JSON values
    """

    model: nn.Module | None
    answer: Callable[[Path], None] | None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Job:
    """One method and seed, all that decides the result as plain values (`asked`), and how it is done."""

    name: str
    seed: int
    asked: Mapping[str, Any]
    work: Callable[[Progress | None], Product]

    @property
    def key(self) -> str:
        """Its name among files: 'CAGE-ALL A0', seed 1 -> 'cage-all-a0-1'."""
        return f"{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}-{self.seed}"


@dataclass(frozen=True)
class Done:
    """A finished job: its manifest, and where its files are."""

    name: str
    seed: int
    manifest: dict[str, Any]
    folder: Path
    key: str

    @property
    def answer(self) -> Path | None:
        """The file of what the method did; None where it was not asked."""
        return self.folder / f"{self.key}.npz" if self.manifest["asked_all"] else None

    @property
    def weights(self) -> Path:
        """The file of the trained weights."""
        return self.folder / f"{self.key}.safetensors"


def finish(jobs: Sequence[Job], folder: Path, progress: Progress | None = None) -> list[Done]:
    """Do every job that is not done, one after the other; all of them, in the order given.

    Raises UsageError, before anything is done, where a finished job of that name was asked otherwise.
    """
    from filelock import FileLock, Timeout

    keys = [job.key for job in jobs]
    assert len(set(keys)) == len(keys), "two jobs have one name"
    found = {job.key: _finished(job, folder) for job in jobs}
    make_folder(folder)
    left = [job for job in jobs if found[job.key] is None]
    while left:
        begun = 0
        for job in left:
            done = len(jobs) - sum(found[key] is None for key in keys)
            try:
                with FileLock(folder / f".{job.key}.lock", timeout=0):
                    found[job.key] = _finished(job, folder) or _do(
                        job, folder, _told(progress, job, done, len(jobs))
                    )
                    begun += 1
            except Timeout:
                continue  # another process is at it
        left = [job for job in left if found[job.key] is None]
        if left and not begun:
            with FileLock(folder / f".{left[0].key}.lock"):  # wait; if that process died, do it here
                found[left[0].key] = _finished(left[0], folder)
    return [done for done in found.values() if done is not None]


def _told(progress: Progress | None, job: Job, done: int, all_: int) -> Progress | None:
    if progress is None:
        return None
    return lambda text, share: progress(
        f"{job.name}, seed {job.seed} ({done + 1} of {all_}): {text}", (done + share) / all_
    )


def _do(job: Job, folder: Path, progress: Progress | None) -> Done:
    from glasslung.train.checkpoint import save_tensors
    from glasslung.train.rundir import library_versions

    if progress:
        progress("begins", 0.0)
    product = job.work(progress)
    weights = folder / f"{job.key}.safetensors"
    if product.model is not None:
        save_tensors(weights, dict(product.model.state_dict()))
    if product.answer is not None:
        product.answer(folder / f"{job.key}.npz")
    manifest = {
        "format": FORMAT,
        "name": job.name,
        "seed": job.seed,
        "asked": dict(job.asked),
        "asked_all": product.answer is not None,
        "told": dict(product.told),
        "weights_sha256": None if product.model is None else hashlib.sha256(weights.read_bytes()).hexdigest(),
        "command": shlex.join(sys.argv),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "versions": library_versions(),
    }
    write_json(folder / f"{job.key}.json", manifest)
    return Done(job.name, job.seed, manifest, folder, job.key)


def _finished(job: Job, folder: Path) -> Done | None:
    """The finished job, None where it is not finished; UsageError where it was another one."""
    path = folder / f"{job.key}.json"
    if not path.is_file():
        return None
    manifest = read_json(path)
    check_same(manifest.get("asked", {}), job.asked, f"{path} holds another {job.name}")
    return Done(job.name, job.seed, manifest, folder, job.key)


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], what: str) -> None:
    """UsageError, naming the first setting that differs, unless two sets of plain values are equal."""
    one, other = _flat(before), _flat(json.loads(json.dumps(now)))
    differ = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    if not differ:
        return
    name, more = differ[0], len(differ) - MOST_NAMED
    raise UsageError(
        f"{what}: its {name} is {_short(one.get(name))}, asked for: {_short(other.get(name))}"
        + (f" (and {more} more differ)" if more else "")
        + ". Use the settings it was begun with, or another --out."
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'budget': {'slices': 16}} -> {'budget.slices': 16}"""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _short(value: Any, most: int = 24) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
