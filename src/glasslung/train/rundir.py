"""A run is a folder of plain files that a person can read without us.

    settings.json            study, model, settings, seed, command, versions, hashes of the inputs, when it
                             began
    metrics.jsonl            one line for each logged step
    status.json              running, finished or stopped (with the reason), and the last step
    weights/<name>.safetensors
    checkpoint-<step>/       where to go on from, see `train.checkpoint`
    lock                     held while a process writes here

Nothing in it is ever unpickled, and no patient is named: of the inputs it keeps the path that was given, and
a hash.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import nn

from glasslung.errors import DataError, UsageError
from glasslung.files import read_json, whole_folder, write_json, write_whole
from glasslung.train.checkpoint import (
    fill,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
    steps_made,
)
from glasslung.train.game import Game
from glasslung.train.ranks import find_ranks

SETTINGS, METRICS, STATUS, LOCK, WEIGHTS = "settings.json", "metrics.jsonl", "status.json", "lock", "weights"
FORMAT = 1
KEPT = {"study": str, "model": str, "settings": dict, "seed": int, "created": str}  # read back again
AWAITED_SECONDS = 300.0  # reading a large cohort takes one process longer than another
LIBRARIES = ("glasslung", "torch", "numpy", "safetensors", "lightning-fabric")


def hash_input(path: Path) -> str:
    """SHA-256 of a file, or of a folder: of the relative names and hashes of its files, in order."""
    if path.is_dir():
        whole = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            whole.update(f"{file.relative_to(path).as_posix()}\0{hash_input(file)}\n".encode())
        return whole.hexdigest()
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as problem:
        raise DataError(
            f"{path} cannot be read ({problem.strerror}); check the path of the input"
        ) from problem


def library_versions() -> dict[str, str]:
    """Versions of what a run depends on; a library that is not installed is left out."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


@dataclass
class RunDir:
    """One run's folder. `create` begins one, `open` finds one; write only inside `writing()`."""

    folder: Path
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def create(
        cls,
        folder: Path,
        study: str,
        model: str,
        settings: Mapping[str, Any],
        seed: int,
        inputs: Mapping[str, Path] | None = None,
        command: str | None = None,
    ) -> RunDir:
        """Begin a run in a folder that does not exist yet or is empty; it appears whole, with its settings.

        settings  JSON values: those of the model and of its training
        inputs    what was read, by role ('cohort'), hashed here
        command   as typed; by default the command of this process
        """
        folder = Path(folder)
        if not find_ranks().first:
            return _await(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"{folder} is not empty; choose a new folder, or go on with the run that is there"
            )
        about = {
            "format": FORMAT,
            "study": study,
            "model": model,
            "settings": dict(settings),
            "seed": seed,
            "command": command if command is not None else shlex.join(sys.argv),
            "created": _now(),
            "inputs": {role: {"path": str(p), "sha256": hash_input(p)} for role, p in (inputs or {}).items()},
            "versions": library_versions(),
        }
        try:
            with whole_folder(folder) as part:
                (part / METRICS).touch()
                write_json(part / SETTINGS, about)
        except (TypeError, ValueError) as problem:
            raise UsageError(
                f"no run can be made at {folder}: a setting is no plain value ({problem}); "
                "give text, numbers, true, false or null"
            ) from problem
        return cls(folder, about)

    @classmethod
    def open(cls, folder: Path) -> RunDir:
        """The run in a folder, to read or to go on with."""
        folder = Path(folder)
        if not (folder / SETTINGS).is_file():
            raise DataError(f"{folder} is not a run: it has no {SETTINGS}; `glasslung runs` lists runs")
        about = read_json(folder / SETTINGS)
        if about.get("format") != FORMAT:
            raise DataError(
                f"{folder} is a run of format {about.get('format')}, this version reads {FORMAT}; "
                "update glasslung"
            )
        wrong = [name for name, kind in KEPT.items() if not isinstance(about.get(name), kind)]
        if wrong:
            raise DataError(
                f"{folder / SETTINGS} is damaged: it does not tell {wrong[0]!r}; take the run from a copy, "
                "or begin a new one"
            )
        return cls(folder, about)

    # ------------------------------------------------------------------------------------------ writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, this process alone may write here; afterwards the status says how it ended.

        A process that is killed leaves no lock behind: the system drops it. UsageError when another one
        writes. Of several processes of one training the first one holds it for all.
        """
        if not find_ranks().first:
            yield
            return
        lock = FileLock(self.folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as problem:
            raise UsageError(
                f"another process is writing to {self.folder}; wait for it, stop it, or choose another folder"
            ) from problem
        try:
            self._mark("running")
            yield
            self._mark("finished")
        except BaseException as problem:
            self._mark("stopped", f"{type(problem).__name__}: {problem}")
            raise
        finally:
            lock.release()

    def _mark(self, state: str, reason: str = "") -> None:
        write_json(
            self.folder / STATUS, {"state": state, "reason": reason, "when": _now(), "pid": os.getpid()}
        )

    def log(self, record: Mapping[str, Any]) -> None:
        """Add one line to metrics.jsonl."""
        line = json.dumps(dict(record), allow_nan=False)
        with (self.folder / METRICS).open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All logged records in order. A last line that a killed process left unfinished is not counted."""
        try:
            lines = (self.folder / METRICS).read_text(encoding="utf-8").split("\n")
        except OSError as problem:
            raise DataError(f"{self.folder / METRICS} cannot be read ({problem.strerror})") from problem
        whole, unfinished = lines[:-1], lines[-1]
        del unfinished  # whatever follows the last line break was never finished
        try:
            records = [json.loads(line) for line in whole]
        except ValueError as problem:
            raise DataError(
                f"{self.folder / METRICS} is damaged ({problem}); remove the broken line"
            ) from problem
        for number, record in enumerate(records, start=1):
            if not isinstance(record, dict):
                raise DataError(f"{self.folder / METRICS} is damaged; remove its line {number}")
        return records

    def rewind(self, step: int) -> None:
        """Drop every record of `step` or later: the run goes on from there and will log them again."""
        if not find_ranks().first:
            return
        kept = [record for record in self.metrics() if record.get("step", -1) < step]
        write_whole(self.folder / METRICS, "".join(json.dumps(record) + "\n" for record in kept))

    def save(self, name: str, module: nn.Module) -> Path:
        """Write a network's weights as weights/<name>.safetensors."""
        path = self.folder / WEIGHTS / f"{name}.safetensors"
        if find_ranks().first:
            path.parent.mkdir(exist_ok=True)
            save_tensors(path, module.state_dict())
        return path

    def load(self, name: str, module: nn.Module) -> None:
        """Fill a network, built with the run's settings, with the weights the run saved under `name`."""
        path = self.folder / WEIGHTS / f"{name}.safetensors"
        fill(module.state_dict(), load_tensors(path), str(path))

    def checkpoint(self, game: Game) -> Path:
        """Save where the run stands, to go on from."""
        return save_checkpoint(game, self.folder)

    def resume(self, game: Game) -> int:
        """Bring a newly made game to the last checkpoint; the next step comes back, 0 when there is none.

        Records beyond the checkpoint are dropped from metrics.jsonl: those steps will be made again, to the
        same bits.
        """
        step = load_checkpoint(game, self.folder)
        self.rewind(step)
        return step

    # ------------------------------------------------------------------------------------------ reading

    @property
    def busy(self) -> bool:
        """Whether a process is writing here now."""
        lock = FileLock(self.folder / LOCK, timeout=0)
        if not (self.folder / LOCK).exists():
            return False
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    @property
    def state(self) -> str:
        """'new', 'running', 'finished', 'stopped', or 'killed': said to run, but no process writes here."""
        if not (self.folder / STATUS).exists():
            return "new"
        said = str(read_json(self.folder / STATUS).get("state"))
        return "killed" if said == "running" and not self.busy else said


def _await(folder: Path) -> RunDir:
    """The run that the first of several processes begins in a folder, which they all must see."""
    ends = time.monotonic() + AWAITED_SECONDS
    while not (folder / SETTINGS).is_file():
        if time.monotonic() > ends:
            raise DataError(f"{folder} holds no run begun by the first process: give --out on a shared disk")
        time.sleep(0.2)
    return RunDir.open(folder)


@dataclass(frozen=True)
class RunSummary:
    """One line of `glasslung runs`: what a run is, how it stands, and its last record.

    state  as `RunDir.state`, or 'damaged' where its log or its settings cannot be read; without settings
           nothing else is known
    step   the last step that was logged
    made   steps that are safe: those before the last checkpoint
    """

    folder: Path
    study: str
    model: str
    seed: int | None
    created: str
    state: str
    step: int | None
    last: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    made: int = 0


def list_runs(folder: Path) -> list[RunSummary]:
    """All runs in a folder and below it, oldest first; a folder that is not a run is passed over.

    A run whose settings cannot be read is listed as damaged, before the others.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"there is no folder {folder}; give the folder that holds the runs")
    runs = [_line(path.parent) for path in sorted(Path(folder).rglob(SETTINGS)) if _is_run(path)]
    return sorted(runs, key=lambda run: (run.created, str(run.folder)))


def _is_run(path: Path) -> bool:
    """Whether a settings.json is one of ours, and not some other program's."""
    try:
        return {"study", "model", "seed", "format"} <= read_json(path).keys()
    except DataError:
        return (path.parent / METRICS).exists()


def _line(folder: Path) -> RunSummary:
    try:
        return summarise(RunDir.open(folder))
    except DataError:
        return RunSummary(folder, "", "", None, "", "damaged", None, {}, made=steps_made(folder))


def summarise(run: RunDir) -> RunSummary:
    """The line of one run."""
    about = run.about
    try:
        metrics, state = run.metrics(), run.state
    except DataError:  # one broken run must not hide the others
        metrics, state = [], "damaged"
    last = metrics[-1] if metrics else {}
    return RunSummary(
        run.folder,
        about["study"],
        about["model"],
        about["seed"],
        about["created"],
        state,
        last.get("step"),
        last,
        about["settings"],
        steps_made(run.folder),
    )


@contextmanager
def tensorboard(run: RunDir) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yields a `log` that writes to metrics.jsonl and, besides, to TensorBoard files in the run's folder."""
    if not find_ranks().first:
        yield run.log
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as problem:
        raise UsageError(
            "TensorBoard is not installed; `pip install glasslung[tensorboard]`, or leave it out"
        ) from problem
    board = SummaryWriter(str(run.folder / "tensorboard"))

    def log(record: Mapping[str, Any]) -> None:
        run.log(record)
        for name, value in record.items():
            if name not in ("step", "player") and isinstance(value, int | float):
                board.add_scalar(f"{record.get('player', 'run')}/{name}", value, record["step"])

    try:
        yield log
    finally:
        board.close()
