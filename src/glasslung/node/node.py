"""The node: receives studies, has them analysed one at a time, sends the results back.

    receiving   objects come by C-STORE, or are taken from a DICOMweb server: `receiving`, `watching`
    settling    a study is complete when nothing of it has come for a while
    working     the patient's earlier studies are found, an analysis runs in a process of its own
    sending     results go to every destination, with tries and waits
    keeping     what was sent or set aside long ago is removed

Each of these is a step that may be called at any time and leaves queue and folder whole; `run` calls them in
threads of their own until it is asked to stop. After kill -9 at any point the same command goes on: what an
acknowledged sender has sent is there, and what was sent is not sent again, or again under the same UID.

To watch a node from outside (a script that kills it, for instance):

    glasslung node init NODE.toml                 writes settings to be edited; `port = 0` takes any free port
    glasslung node run NODE.toml                  prints 'node: listening at ADDRESS port PORT' when it is up
    glasslung node status NODE.toml --json        one JSON object per study; `end_state` gives the same
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from glasslung.errors import DataError, GlasslungError, UsageError
from glasslung.node.dicomweb import Watcher
from glasslung.node.earlier import fetch_earlier
from glasslung.node.exchange import RefusedResult, Unreachable
from glasslung.node.intake import Intake
from glasslung.node.queue import Queue
from glasslung.node.receiving import Receiver
from glasslung.node.sending import send, wanted
from glasslung.node.settings import NodeSettings, Work
from glasslung.node.store import Store
from glasslung.node.studies import State, Study
from glasslung.node.working import TRACE, Done, Job, LostWork, RefusedWork, StoppedWork, run_apart

LOG = logging.getLogger("glasslung.node")
QUEUE = "queue.sqlite"
LOOKING_SECONDS = 0.5  # between two looks at the queue: a file of some kilobytes
KEEPING_SECONDS = 600.0
DAY = 86_400.0
Analyse = Callable[[Job, Work, Path, Callable[[], bool]], Done]


class Node:
    """A node on its folder, which one node holds at a time.

    analyse  how a study is analysed: in a process of its own, unless a test says otherwise
    """

    def __init__(self, settings: NodeSettings, analyse: Analyse = run_apart) -> None:
        self.settings, self.analyse = settings, analyse
        self.store = Store(settings.folder)
        self._lock = FileLock(settings.folder / ".lock", thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as problem:
            raise UsageError(
                f"another node holds {settings.folder}: stop it, or choose another folder"
            ) from problem
        self.queue = Queue(settings.folder / QUEUE)
        self.intake = Intake(self.store, self.queue, settings.limits)
        self.receiver = Receiver(settings, self.store, self.intake)
        self._watcher = Watcher(settings.watch, self.queue, self.intake) if settings.watch else None
        self._stop = threading.Event()
        self._asked_to_stop = False
        self._broken: BaseException | None = None
        self._not_before: dict[int, float] = {}  # monotonic seconds, by study
        try:
            self._recover()
        except BaseException:
            self.close()
            raise

    def _recover(self) -> None:
        gone = self.store.sweep(self.queue.files())
        again = self.queue.recover()
        waiting = len(self.queue.studies(State.RECEIVED, State.COMPLETE, State.SENDING))
        LOG.info(
            "start: %d studies under way, %d analyses begin again, %d unfinished objects removed",
            waiting, len(again), gone,
        )  # fmt: skip

    # --- the whole ------------------------------------------------------------------------------------------

    def run(self, ready: Callable[[int], None] = lambda port: None) -> None:
        """Work until `stop` is called; what is under way goes on with the next start.

        ready  hears the port when the node listens
        """
        loops = {
            "settling": (self.settle, LOOKING_SECONDS),
            "working": (self.work, LOOKING_SECONDS),
            "sending": (self.send, LOOKING_SECONDS),
            "keeping": (self.keep, KEEPING_SECONDS),
        }
        if self._watcher is not None:
            loops["watching"] = (self.watch, self._watcher.watch.every_seconds)
        threads = [
            threading.Thread(target=self._loop, args=how, name=f"glasslung-{name}", daemon=True)
            for name, how in loops.items()
        ]
        self.receiver.start()
        try:
            for thread in threads:
                thread.start()
            ready(self.receiver.port)
            while not (self._asked_to_stop or self._stop.is_set()):
                time.sleep(LOOKING_SECONDS)
        finally:
            self._stop.set()
            self.receiver.stop()
            for thread in threads:
                thread.join()
            self.close()
        if self._broken is not None:
            raise self._broken

    def stop(self) -> None:
        """Ask `run` to end: the analysis under way is ended, and begins again with the next start.

        May be called from a signal's handler: it takes no lock.
        """
        self._asked_to_stop = True

    def close(self) -> None:
        """Let go of queue and folder."""
        self.queue.close()
        self._lock.release()

    def _loop(self, step: Callable[[], Any], seconds: float) -> None:
        while not self._stop.is_set():
            try:
                step()
            except (OSError, sqlite3.OperationalError) as error:  # a full disk, a busy one: it may pass
                LOG.warning("%s: %s; trying again", step.__name__, type(error).__name__)
            except BaseException as error:
                self._broken = error
                self._stop.set()
            self._stop.wait(seconds)

    # --- steps ----------------------------------------------------------------------------------------------

    def watch(self) -> int:
        """Take what is new on the DICOMweb server; how many objects came."""
        assert self._watcher is not None
        try:
            return self._watcher.take_new(self._stop.is_set)
        except Unreachable as problem:
            LOG.warning("watch: %s", problem)
            return 0

    def settle(self) -> int:
        """Studies of which nothing has come for a while are complete; how many."""
        done = 0
        for study in self.queue.studies(State.RECEIVED):
            quiet = self.intake.seconds_quiet(study.key)
            if quiet >= self.settings.work.quiet_seconds and self.queue.complete(study):
                self.intake.forget(study.key)
                LOG.info("study %s is complete: %d objects", study.key, study.objects)
                done += 1
        return done

    def work(self) -> Study | None:
        """Analyse the next complete study; which it was, None where there is none."""
        self.queue.recover()  # of an analysis whose end could not be written down
        study = self.queue.claim(self._resting())
        if study is None:
            return None
        LOG.info("study %s: analysis begins", study.key)
        began = time.monotonic()
        try:
            self._end_well(study, self._analyse(study), began)
        except GlasslungError as problem:
            self._keep_trace(study)
            self._end_badly(study, problem)
        except OSError as error:
            self._end_badly(study, LostWork(f"the node's own disk failed ({error.strerror})"))
        finally:
            self.store.end_job(study.key)
        return study

    def _analyse(self, study: Study) -> Done:
        if study.patients > 1:
            raise RefusedWork(f"its objects are of {study.patients} patients: correct it in the archive")
        missing = self._fetch(study)
        earlier = self.queue.earlier(study, self.settings.earlier.most)
        scans = tuple(
            self.store.link(study.key, one.key, [name for name, _ in self.queue.objects(one)])
            for one in (*earlier, study)
        )
        story, results = self.store.stories / study.name, self.store.results / study.name
        shutil.rmtree(results, ignore_errors=True)
        job = Job(scans, story, results)
        done = self.analyse(job, self.settings.work, self.store.jobs / study.key, self._stop.is_set)
        return Done(done.files, "; ".join(filter(None, (missing, done.remark))))

    def _keep_trace(self, study: Study) -> None:
        """The last words of an analysis that was lost, for who looks after the node: they may name the
        patient.
        """
        trace = self.store.jobs / study.key / TRACE
        if trace.is_file() and trace.stat().st_size:
            trace.replace(self.store.traces / f"{study.key}.txt")

    def _fetch(self, study: Study) -> str:
        """Have the archive's earlier studies brought; why it had to go without them, '' where it had not."""
        name, _ = self.queue.objects(study)[0]
        sample = self.store.object_path(study.key, name)
        try:
            fetch_earlier(study, sample, self.settings, self.queue, self.intake)
        except Unreachable as problem:
            if study.tries + 1 < self.settings.work.tries:
                raise
            return f"told without what the archive may have: {problem}"
        return ""

    def _end_well(self, study: Study, done: Done, began: float) -> None:
        deliveries = [
            (place.name, path.name)
            for place in self.settings.destinations
            for path in wanted(place, done.files)
        ]
        if self.queue.finish(study, deliveries, done.remark):
            self.store.drop_revisions(study.key, keep=study.name)
            LOG.info(
                "study %s: analysed in %.0f s, %d results%s",
                study.key, time.monotonic() - began, len(done.files), f"; {done.remark}" * bool(done.remark),
            )  # fmt: skip
        else:
            LOG.info("study %s: more has come meanwhile, it is analysed again", study.key)

    def _end_badly(self, study: Study, problem: GlasslungError) -> None:
        reason = " ".join(str(problem).split())
        if isinstance(problem, StoppedWork):
            self.queue.release(study)
        elif isinstance(problem, RefusedWork) or study.tries + 1 >= self.settings.work.tries:
            self.queue.fail(study, reason)
            LOG.warning("study %s is set aside: %s", study.key, reason)
        else:
            self.queue.put_back(study, reason)
            self._rest(study, study.tries)
            LOG.warning("study %s: %s; it is tried again", study.key, reason)

    def send(self) -> int:
        """Send what waits for its destinations; how many results were delivered."""
        resting = self._resting()
        ready = [study for study in self.queue.studies(State.SENDING) if study.number not in resting]
        return sum(self._send(study) for study in ready if not self._stop.is_set())

    def _send(self, study: Study) -> int:
        """All of one study; a destination that is down does not keep the others waiting."""
        count, down = 0, ""
        for name, files in self.queue.undelivered(study).items():
            try:
                count += self._send_to(name, study, files)
            except Unreachable as problem:
                down = str(problem)
            except (RefusedResult, DataError) as problem:
                self.queue.fail(study, str(problem))
                LOG.warning("study %s is set aside: %s", study.key, problem)
                return count
        if down:
            self._try_later(study, down)
        elif self.queue.sent(study):
            LOG.info("study %s is sent: %d results", study.key, count)
        return count

    def _send_to(self, name: str, study: Study, files: list[str]) -> int:
        place = next((one for one in self.settings.destinations if one.name == name), None)
        if place is None:
            raise RefusedResult(f"the settings have no destination {name!r} any more")
        paths = [self.store.results / study.name / file for file in files]
        for n, path in enumerate(send(place, self.settings.title, paths), start=1):
            self.queue.delivered(study, name, path.name)
            if self._stop.is_set():
                return n
        return len(paths)

    def _try_later(self, study: Study, reason: str) -> None:
        tries = self.queue.not_reached(study, reason)
        if tries >= self.settings.sending.tries:
            self.queue.fail(study, f"{reason}, {tries} times")
            LOG.warning("study %s is set aside: %s, %d times", study.key, reason, tries)
        else:
            wait = self._rest(study, tries - 1)
            LOG.warning("study %s: %s; trying again in %.0f s", study.key, reason, wait)

    def keep(self) -> int:
        """Remove studies that were sent, or set aside, long ago; how many."""
        gone = 0
        for study in self.queue.expired(self.settings.keep_days * DAY):
            with self.intake.lock:  # or an object that comes just now would go with it
                if not self.queue.forget(study):
                    continue
                self.store.drop(study.key)
            LOG.info("study %s is removed: %s %g days ago", study.key, study.state, self.settings.keep_days)
            gone += 1
        return gone

    # --- waits ----------------------------------------------------------------------------------------------

    def _rest(self, study: Study, tries: int) -> float:
        """Leave a study alone for a while, longer with each try; seconds."""
        sending = self.settings.sending
        wait = min(sending.longest_seconds, sending.first_seconds * 2.0 ** min(tries, 30))
        self._not_before[study.number] = time.monotonic() + wait
        return wait

    def _resting(self) -> frozenset[int]:
        now = time.monotonic()
        return frozenset(number for number, when in list(self._not_before.items()) if when > now)


def open_queue(folder: Path) -> Queue:
    """The queue of a node's folder; UsageError where there is none, so that a wrong name makes none."""
    if not (folder / QUEUE).is_file():
        raise UsageError(f"{folder} holds no queue: no node has run on it yet")
    return Queue(folder / QUEUE)


def end_state(folder: Path) -> list[dict[str, Any]]:
    """Every study of a node's folder as plain values, for scripts: also while a node runs on it.

    key, state, objects, revision, tries, reason, remark, day; results: file name -> destinations that hold it
    """
    queue = open_queue(folder)
    try:
        return [
            {
                "key": study.key, "state": str(study.state), "objects": study.objects,
                "revision": study.revision, "tries": study.tries, "reason": study.reason,
                "remark": study.remark, "day": study.day, "results": queue.holders(study),
            }
            for study in queue.studies()
        ]  # fmt: skip
    finally:
        queue.close()
