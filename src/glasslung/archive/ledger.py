"""What became of each case, in one SQLite file that survives any kill.

Only the process that holds the output folder writes to it, one transaction per case, in WAL mode. The file is
opened for this process alone, so that no shared memory is needed and it may lie on a network disk.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.archive.rows import Row
from glasslung.errors import DataError

LEDGER = "ledger.sqlite"
DONE, ASIDE, STOP = "done", "set aside", "stop"
_TABLES = """
CREATE TABLE IF NOT EXISTS asked (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS outcomes (
    key TEXT PRIMARY KEY, signature TEXT NOT NULL, state TEXT NOT NULL, kind TEXT NOT NULL,
    reason TEXT NOT NULL, trace TEXT NOT NULL, rows TEXT NOT NULL,
    seconds REAL NOT NULL, cpu_seconds REAL NOT NULL, memory_mb REAL NOT NULL);
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    state    'done', 'set aside', or 'stop': nothing is wrong with the case, and no case can go on
    kind     of what is set aside: 'data', 'memory', 'time', 'died', 'bug'
    reason   a sentence;  trace  of a bug
    rows     one per scan, in the order of the case
    seconds, cpu_seconds, memory_mb   what it took, and the most its worker held
    """

    key: str
    state: str
    kind: str = ""
    reason: str = ""
    trace: str = ""
    rows: tuple[Row, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_mb: float = 0.0


class Ledger:
    """The open file; use `open_ledger`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = connection, path

    def asked(self) -> dict[str, Any] | None:
        """What the folder was begun with; None for a new one."""
        with self._told():
            found = dict(self._db.execute("SELECT name, value FROM asked").fetchall())
        return {name: json.loads(value) for name, value in found.items()} or None

    def begin(self, asked: Mapping[str, Any]) -> None:
        """Write down what the folder is begun with."""
        with self._told(), self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO asked VALUES (?, ?)", [(k, json.dumps(v)) for k, v in asked.items()]
            )

    def states(self) -> dict[str, tuple[str, str]]:
        """Key -> signature and state of every case that was done or set aside."""
        with self._told():
            found = self._db.execute("SELECT key, signature, state FROM outcomes").fetchall()
        return {key: (signature, state) for key, signature, state in found}

    def write(self, outcome: Outcome, signature: str) -> None:
        """One case is done or set aside; what was known of it before is replaced."""
        assert outcome.state in (DONE, ASIDE), f"{outcome.state!r} is no state of a case"
        rows = json.dumps(outcome.rows, allow_nan=False)
        told = (outcome.state, outcome.kind, outcome.reason, outcome.trace, rows)
        took = (outcome.seconds, outcome.cpu_seconds, outcome.memory_mb)
        with self._told(), self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?,?,?,?,?,?,?,?,?,?)",
                (outcome.key, signature, *told, *took),
            )

    def outcome(self, key: str) -> Outcome | None:
        """What became of a case; None where nothing did."""
        with self._told():
            found = self._db.execute(
                "SELECT state, kind, reason, trace, rows, seconds, cpu_seconds, memory_mb FROM outcomes "
                "WHERE key = ?",
                (key,),
            ).fetchone()
        if found is None:
            return None
        state, kind, reason, trace, rows, *took = found
        return Outcome(key, state, kind, reason, trace, tuple(json.loads(rows)), *took)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as problem:
            raise _refused(self._path, problem) from problem


@contextmanager
def open_ledger(folder: Path) -> Iterator[Ledger]:
    """The ledger of an output folder, made if it is not there. DataError where it is damaged or no room."""
    path = folder / LEDGER
    try:
        connection = sqlite3.connect(path, timeout=5.0)
    except sqlite3.Error as problem:
        raise _refused(path, problem) from problem
    try:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_TABLES)
        except sqlite3.Error as problem:
            raise _refused(path, problem) from problem
        yield Ledger(connection, path)
    finally:
        connection.close()


def _refused(path: Path, problem: Exception) -> DataError:
    if "locked" in str(problem):
        remedy = "another program has it open: close that, then run the same command again"
    elif "not a database" in str(problem) or "malformed" in str(problem) or isinstance(problem, ValueError):
        remedy = "it is damaged: move it away to begin anew, finished stories are kept and found again"
    else:
        remedy = "check the folder and the free space; the same command goes on from here"
    return DataError(f"{path}: {problem}; {remedy}")
