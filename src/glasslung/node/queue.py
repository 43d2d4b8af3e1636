"""What the node knows of every study, in SQLite: it survives kill -9 without losing or doubling one.

    received    objects come; complete when none has come for a while
    complete    waits for its turn
    analysing   an analysis is running
    sending     results are there and not yet at every destination
    sent        they are
    kept        an earlier study, fetched to be compared with; it gets no results of its own
    failed      set aside with a reason; `glasslung node retry` begins again

Every step is one transaction that is on the disk when it returns (WAL, synchronous FULL). Order is by
numbers that only grow; a clock that goes backwards changes nothing but the times that are shown, and delays
the removal of old studies.

An object is known by its SOP instance UID: sent twice, it is there once. A study's `revision` grows with
every object that is new or came with another content. An analysis belongs to the revision it read: when more
has come meanwhile its results are not used and the study is received again, and a late slice of a study that
was sent re-opens it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from glasslung.errors import DataError
from glasslung.node.studies import Admission, Held, Item, State, Study, study_of

VERSION = 1
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
BUSY_SECONDS = 30.0  # another process of ours (status, retry) holds the file for milliseconds
SCHEMA = """
CREATE TABLE studies (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE, uid TEXT NOT NULL UNIQUE,
    fetched INTEGER NOT NULL, state TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', remark TEXT NOT NULL DEFAULT '',
    changed REAL NOT NULL
);
CREATE TABLE objects (
    uid TEXT PRIMARY KEY, study INTEGER NOT NULL REFERENCES studies(number) ON DELETE CASCADE,
    name TEXT NOT NULL, series TEXT NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
    patient TEXT, day TEXT NOT NULL,
    UNIQUE (study, name)
);
CREATE INDEX objects_of_study ON objects(study);
CREATE INDEX objects_of_patient ON objects(patient);
CREATE TABLE deliveries (
    study INTEGER NOT NULL REFERENCES studies(number) ON DELETE CASCADE,
    destination TEXT NOT NULL, path TEXT NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (study, destination, path)
);
"""


_STUDIES = """
SELECT s.number, s.key, s.uid, s.fetched, s.state, s.revision, s.tries, s.reason, s.remark, s.changed,
       count(o.uid), coalesce(sum(o.bytes), 0), count(DISTINCT o.patient),
       CASE WHEN count(DISTINCT o.patient) = 1 THEN max(o.patient) END, coalesce(min(nullif(o.day, '')), '')
FROM studies s LEFT JOIN objects o ON o.study = s.number
"""

_ENTER = """
INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (uid) DO UPDATE SET name = excluded.name, series = excluded.series, bytes = excluded.bytes,
    sha256 = excluded.sha256, patient = excluded.patient, day = excluded.day
"""
_ENDED = (State.SENT, State.KEPT, State.FAILED)
_COMPARABLE = (State.COMPLETE, State.SENDING, State.SENT, State.KEPT)


class Queue:
    """The node's queue; threads share one, other processes open their own."""

    def __init__(self, path: Path) -> None:
        """Open it, or make it; DataError where the file is damaged or of another version."""
        self._lock = threading.RLock()
        try:
            self._db = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            for pragma in PRAGMAS:
                self._db.execute(f"PRAGMA {pragma}")
            self._found()
        except sqlite3.Error as error:
            raise DataError(f"{path}: is no queue of a node, or is damaged ({error})") from error

    def _found(self) -> None:
        with self._transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise DataError(f"the queue is of version {version}, this glasslung reads {VERSION}")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, on the disk at the end; other writers wait."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- objects come ---------------------------------------------------------------------------------------

    def admit(self, item: Item, fetched: bool = False) -> Admission:
        """Write down an object that is on the disk; only then may its sender be told so.

        fetched  it comes because the node asked for an earlier study, not because somebody sent it
        """
        with self._transaction() as db:
            known = self.holds(item.uid)
            assert known is None or known.study == item.study, "an object is part of one study"
            number = self._number_of(db, item, fetched)
            if known is not None and known.sha256 == item.sha256:
                return Admission.KNOWN
            db.execute(
                _ENTER,
                (item.uid, number, item.name, item.series, item.bytes, item.sha256, item.patient, item.day),
            )
            self._reopen(db, number)
            return Admission.NEW if known is None else Admission.REPLACED

    def _number_of(self, db: sqlite3.Connection, item: Item, fetched: bool) -> int:
        """The study's number; it is entered where it is new, and is its own once somebody sent it."""
        row = db.execute("SELECT number, fetched, state FROM studies WHERE uid = ?", (item.study,)).fetchone()
        if row is None:
            added = db.execute(
                "INSERT INTO studies (key, uid, fetched, state, changed) VALUES (?, ?, ?, ?, ?)",
                (item.key, item.study, int(fetched), State.RECEIVED, time.time()),
            )
            return int(added.lastrowid or 0)
        if row[1] and not fetched:
            db.execute("UPDATE studies SET fetched = 0 WHERE number = ?", (row[0],))
            self._set(db, row[0], State.RECEIVED)
        return int(row[0])

    def _reopen(self, db: sqlite3.Connection, number: int) -> None:
        """More has come: what was told of the study before does not hold for all of it."""
        db.execute("UPDATE studies SET revision = revision + 1, tries = 0 WHERE number = ?", (number,))
        db.execute("DELETE FROM deliveries WHERE study = ?", (number,))
        state = db.execute("SELECT state FROM studies WHERE number = ?", (number,)).fetchone()[0]
        if state != State.ANALYSING:  # its analysis will find that it is out of date
            self._set(db, number, State.RECEIVED)

    def _set(self, db: sqlite3.Connection, number: int, state: State, reason: str = "") -> None:
        db.execute(
            "UPDATE studies SET state = ?, reason = ?, changed = ? WHERE number = ?",
            (state, reason, time.time(), number),
        )

    # --- what is there --------------------------------------------------------------------------------------

    def studies(self, *states: State) -> list[Study]:
        """All studies in these states (none: in any), in the order in which they first came."""
        marks = ",".join("?" * len(states))
        where = f"WHERE s.state IN ({marks})" if states else ""
        with self._lock:
            rows = self._db.execute(f"{_STUDIES} {where} GROUP BY s.number ORDER BY s.number", states)
            return [study_of(row) for row in rows.fetchall()]

    def study(self, key: str) -> Study | None:
        """One study by its key."""
        with self._lock:
            row = self._db.execute(f"{_STUDIES} WHERE s.key = ? GROUP BY s.number", (key,)).fetchone()
        return None if row is None else study_of(row)

    def objects(self, study: Study) -> list[tuple[str, str]]:
        """(name, sha256) of a study's objects, in order of names."""
        with self._lock:
            rows = self._db.execute(
                "SELECT name, sha256 FROM objects WHERE study = ? ORDER BY name", (study.number,)
            )
            return rows.fetchall()

    def holds(self, uid: str) -> Held | None:
        """An object by its UID; None where it is not known."""
        with self._lock:
            row = self._db.execute(
                "SELECT s.uid, o.name, o.sha256 FROM objects o JOIN studies s ON s.number = o.study "
                "WHERE o.uid = ?",
                (uid,),
            ).fetchone()
        return None if row is None else Held(*row)

    def files(self) -> list[tuple[str, str]]:
        """(study key, object name) of every object."""
        with self._lock:
            return self._db.execute(
                "SELECT s.key, o.name FROM objects o JOIN studies s ON s.number = o.study"
            ).fetchall()

    def taken(self, study_uid: str) -> dict[str, int]:
        """Series UID -> objects of it, of a study by its DICOM identifier; empty where it is not known."""
        with self._lock:
            rows = self._db.execute(
                "SELECT o.series, count(*) FROM objects o JOIN studies s ON s.number = o.study "
                "WHERE s.uid = ? GROUP BY o.series",
                (study_uid,),
            )
            return dict(rows.fetchall())

    def earlier(self, study: Study, most: int) -> list[Study]:
        """The patient's latest studies of earlier days, in order of days; at most so many."""
        if study.patient is None or not study.day:
            return []
        same = [
            one
            for one in self.studies(*_COMPARABLE, State.RECEIVED)
            if one.patient == study.patient
            and one.day
            and one.day < study.day
            and (one.fetched or one.state in _COMPARABLE)
        ]
        return sorted(same, key=lambda one: (one.day, one.number))[-most:] if most else []

    # --- a study's way --------------------------------------------------------------------------------------

    def recover(self) -> list[Study]:
        """After a start: an analysis that was running when the node went down begins again."""
        lost = self.studies(State.ANALYSING)
        if lost:
            with self._transaction() as db:
                for study in lost:
                    self._set(db, study.number, State.RECEIVED)
        return lost

    def complete(self, study: Study) -> bool:
        """Nothing more is expected; False where something came after all."""
        return self._step(study, State.RECEIVED, State.KEPT if study.fetched else State.COMPLETE)

    def claim(self, passed_over: frozenset[int] = frozenset()) -> Study | None:
        """The next study to analyse, now 'analysing'; None where there is none.

        The first that came, but none before the same patient's studies of earlier days are complete: a
        course is told in its order.
        passed_over  numbers of studies whose time has not come
        """
        with self._transaction() as db:
            waiting = self.studies(State.COMPLETE)
            open_ones = [*waiting, *(s for s in self.studies(State.RECEIVED) if not s.fetched)]
            for study in waiting:
                if study.number not in passed_over and not _waits(study, open_ones):
                    self._set(db, study.number, State.ANALYSING)
                    return study
        return None

    def finish(self, study: Study, deliveries: Sequence[tuple[str, str]], remark: str = "") -> bool:
        """Its results are there: (destination, path) of each; False where the study has changed meanwhile.

        remark  what a person should know of the analysis, a sentence
        """
        with self._transaction() as db:
            if self._outdated(db, study):
                return False
            db.executemany(
                "INSERT INTO deliveries (study, destination, path) VALUES (?, ?, ?)",
                [(study.number, destination, path) for destination, path in deliveries],
            )
            db.execute("UPDATE studies SET tries = 0, remark = ? WHERE number = ?", (remark, study.number))
            self._set(db, study.number, State.SENDING)
            return True

    def put_back(self, study: Study, reason: str) -> None:
        """The analysis was lost: try again, counted."""
        with self._transaction() as db:
            if not self._outdated(db, study):
                db.execute("UPDATE studies SET tries = tries + 1 WHERE number = ?", (study.number,))
                self._set(db, study.number, State.COMPLETE, reason)

    def release(self, study: Study) -> None:
        """The node stops: the analysis begins again with the next start, and nothing is counted."""
        self._step(study, State.ANALYSING, State.COMPLETE)

    def fail(self, study: Study, reason: str) -> None:
        """Set aside with its reason, unless more has come meanwhile."""
        with self._transaction() as db:
            if not self._outdated(db, study):
                db.execute("DELETE FROM deliveries WHERE study = ?", (study.number,))
                self._set(db, study.number, State.FAILED, reason)

    def _outdated(self, db: sqlite3.Connection, study: Study) -> bool:
        """Whether a study has changed since this row was read; one being analysed is then received again."""
        row = db.execute("SELECT state, revision FROM studies WHERE number = ?", (study.number,)).fetchone()
        if row is None or row[1] == study.revision:
            return row is None
        if row[0] == State.ANALYSING:
            self._set(db, study.number, State.RECEIVED)
        return True

    def _step(self, study: Study, before: State, after: State) -> bool:
        with self._transaction() as db:
            row = db.execute(
                "SELECT 1 FROM studies WHERE number = ? AND state = ? AND revision = ?",
                (study.number, before, study.revision),
            ).fetchone()
            if row is not None:
                self._set(db, study.number, after)
            elif before is State.ANALYSING:
                self._outdated(db, study)
            return row is not None

    # --- results go -----------------------------------------------------------------------------------------

    def undelivered(self, study: Study) -> dict[str, list[str]]:
        """Destination -> paths of results that are not there yet."""
        left: dict[str, list[str]] = {}
        with self._lock:
            rows = self._db.execute(
                "SELECT destination, path FROM deliveries WHERE study = ? AND delivered = 0 "
                "ORDER BY destination, path",
                (study.number,),
            )
            for destination, path in rows.fetchall():
                left.setdefault(destination, []).append(path)
        return left

    def holders(self, study: Study) -> dict[str, list[str]]:
        """Result -> destinations that have said that they hold it."""
        held: dict[str, list[str]] = {}
        with self._lock:
            rows = self._db.execute(
                "SELECT path, destination, delivered FROM deliveries WHERE study = ? ORDER BY path",
                (study.number,),
            )
            for path, destination, delivered in rows.fetchall():
                held.setdefault(path, []).extend([destination] * delivered)
        return held

    def delivered(self, study: Study, destination: str, path: str) -> None:
        """A destination has said that it holds a result."""
        with self._transaction() as db:
            db.execute(
                "UPDATE deliveries SET delivered = 1 WHERE study = ? AND destination = ? AND path = ?",
                (study.number, destination, path),
            )

    def not_reached(self, study: Study, reason: str) -> int:
        """A destination could not be reached or had no room: try again later; returns how often so far."""
        with self._transaction() as db:
            db.execute(
                "UPDATE studies SET tries = tries + 1, reason = ? WHERE number = ? AND state = ?",
                (reason, study.number, State.SENDING),
            )
        return study.tries + 1

    def sent(self, study: Study) -> bool:
        """Everything is delivered; False where it is not, or the study was re-opened."""
        return not self.undelivered(study) and self._step(study, State.SENDING, State.SENT)

    # --- by hand, and with time -----------------------------------------------------------------------------

    def retry(self, keys: Sequence[str] = ()) -> list[Study]:
        """Begin again with failed studies: these, or all; those that do."""
        again = [study for study in self.studies(State.FAILED) if not keys or study.key in keys]
        with self._transaction() as db:
            for study in again:
                db.execute("UPDATE studies SET tries = 0, remark = '' WHERE number = ?", (study.number,))
                self._set(db, study.number, State.RECEIVED)
        return again

    def expired(self, seconds: float) -> list[Study]:
        """Studies with which nothing has been done for so long, by this machine's clock."""
        past = time.time() - seconds
        return [study for study in self.studies(*_ENDED) if study.changed < past]

    def forget(self, study: Study) -> bool:
        """Take the study out of the queue, before its files go; False where it was re-opened meanwhile."""
        with self._transaction() as db:
            gone = db.execute(
                "DELETE FROM studies WHERE number = ? AND revision = ? AND state IN (?, ?, ?)",
                (study.number, study.revision, *_ENDED),
            )
            return gone.rowcount > 0


def _waits(study: Study, others: Sequence[Study]) -> bool:
    """Whether a study of the same patient and an earlier day comes first."""
    return any(
        study.patient is not None and one.patient == study.patient and bool(one.day) and one.day < study.day
        for one in others
    )
