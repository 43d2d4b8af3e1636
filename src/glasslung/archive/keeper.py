"""A worker and who watches it: one process, one case at a time, ended when it takes too much.

The worker's memory is looked at ten times a second, with that of processes it started; a burst between two
looks can go beyond the limit. A worker that was killed from outside is not the case's fault: the case gets
one more try in a fresh process.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from glasslung.archive.cases import Job
from glasslung.archive.ledger import ASIDE, Outcome
from glasslung.archive.settings import ArchiveSettings, Limits
from glasslung.errors import UsageError

COMMAND = (sys.executable, "-m", "glasslung.archive.worker")
LOOK_SECONDS = 0.1
CASES_PER_WORKER = 200  # then it is started anew, so that what libraries never give back cannot pile up
TRIES = 2
_MB = 1e6
_THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


class Cancelled(Exception):
    """The run ends: the case at hand is left as it is, and the next run goes on with it."""


class _End(NamedTuple):
    """How a worker ended that gave no answer: by us because of memory or time, or by itself."""

    kind: str
    reason: str


class Keeper:
    """Keeps one worker busy.

    settings, limits  for the worker
    stopped  asked often; once it says so, the worker is ended and `Cancelled` raised
    command  what is run; the number of this process is added to it
    """

    def __init__(
        self,
        settings: ArchiveSettings,
        limits: Limits,
        stopped: Callable[[], bool] = lambda: False,
        command: Sequence[str] = COMMAND,
    ) -> None:
        if not _can_watch():
            raise UsageError("this system does not tell how much memory a process has: use Linux or macOS")
        self._settings, self._limits, self._stopped, self._command = settings, limits, stopped, command
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._cases = 0
        self._peak = 0.0

    def do(self, job: Job) -> Outcome:
        """What becomes of a case. Raises `Cancelled` when the run is stopped."""
        begun, self._peak = time.monotonic(), 0.0
        for _ in range(TRIES):
            found = self._ask(job)
            if not isinstance(found, _End) or found.kind != "died":
                break
        if isinstance(found, _End):
            outcome = Outcome(job["key"], ASIDE, found.kind, found.reason)
        else:
            outcome = Outcome(job["key"], **{**found, "rows": tuple(found.get("rows", ()))})
        return replace(outcome, seconds=time.monotonic() - begun, memory_mb=self._peak / _MB)

    def close(self) -> None:
        """End the worker."""
        self._end()
        self._said.close()

    def _ask(self, job: Job) -> dict[str, Any] | _End:
        """The worker's answer, or how it ended."""
        process = self._running()
        self._cases += 1
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
        except OSError:
            return self._died(process)
        ends = time.monotonic() + 60.0 * self._limits.minutes
        while True:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=LOOK_SECONDS)
                return self._died(process) if not line else self._answered(line)
            if end := self._beyond(process, ends):
                self._end()
                return end

    def _answered(self, line: str) -> dict[str, Any]:
        if self._process is not None:
            self._peak = max(self._peak, peak_bytes(self._process.pid))
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def _beyond(self, process: subprocess.Popen[str], ends: float) -> _End | None:
        """Which limit was passed, if any."""
        if self._stopped():
            self._end()
            raise Cancelled
        held = memory_bytes(process.pid)
        self._peak = max(self._peak, held)
        if held > 1e9 * self._limits.memory_gb:
            most = f"{self._limits.memory_gb:g} GB"
            return _End("memory", f"it needed more than the {most} of a worker: more with --memory, --retry")
        if time.monotonic() > ends:
            most = f"{self._limits.minutes:g} minutes"
            return _End("time", f"it took longer than {most}: give it more with --minutes, --retry")
        return None

    def _died(self, process: subprocess.Popen[str]) -> _End:
        """The worker ended by itself: what it said last is the reason."""
        code = process.wait()
        self._end()
        self._said.seek(0)
        last = self._said.read().strip().splitlines()[-1:]
        how = f"by signal {-code} (out of memory, or by hand)" if code < 0 else f"with code {code}"
        return _End("died", f"its worker ended twice, {how}" + "".join(f": {line}" for line in last))

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and (
            self._process.poll() is not None or self._cases >= CASES_PER_WORKER
        ):
            self._end()
        if self._process is None:
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[str]:
        self._said.seek(0)
        self._said.truncate()
        self._cases, self._lines = 0, queue.SimpleQueue()
        threads = {name: str(self._settings.threads) for name in _THREADS}
        process = subprocess.Popen(
            [*self._command, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
            env={**os.environ, **threads, "MPLBACKEND": "Agg"},
            start_new_session=True,  # one signal then ends it with whatever it started
        )
        threading.Thread(target=_read, args=(process, self._lines), daemon=True).start()
        assert process.stdin is not None
        with suppress(OSError):  # it is dead already: the first case finds that out
            process.stdin.write(json.dumps(self._settings.plain()) + "\n")
            process.stdin.flush()
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
    """Hand on what the worker says, and '' when it says no more."""
    assert process.stdout is not None
    with suppress(ValueError, OSError):  # the pipe was closed under us
        for line in process.stdout:
            lines.put(line)
    lines.put("")


# --- memory -----------------------------------------------------------------------------------------------


def _can_watch() -> bool:
    return sys.platform.startswith("linux") or sys.platform == "darwin"


def memory_bytes(process: int) -> float:
    """Resident memory of a process, on Linux with the processes it started, bytes; 0 where it has ended."""
    if sys.platform == "darwin":
        told = subprocess.run(
            ["/bin/ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=False
        )
        return 1024.0 * sum(int(word) for word in told.stdout.split())
    return _status_bytes(process, "VmRSS") + sum(memory_bytes(child) for child in _children(process))


def peak_bytes(process: int) -> float:
    """The most memory a process has held since it began, bytes; 0 where it has ended or nobody tells."""
    return 0.0 if sys.platform == "darwin" else _status_bytes(process, "VmHWM")


def _status_bytes(process: int, what: str) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(what):
                return 1024.0 * int(line.split()[1])
    return 0.0


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                found += [int(word) for word in (thread / "children").read_text().split()]
    return found
