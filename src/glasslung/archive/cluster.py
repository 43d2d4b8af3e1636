"""The same crew on the machines of a Ray cluster: each seat keeps one worker where Ray put it.

All machines must see the cohort and the output folder under the same paths and have the same version of
glasslung. The ledger is written by this process alone. Ray sends no statistics and opens no dashboard.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from glasslung import __version__
from glasslung.archive.cases import Job
from glasslung.archive.crew import Crew
from glasslung.archive.keeper import TRIES, Keeper
from glasslung.archive.ledger import ASIDE, Outcome
from glasslung.archive.settings import ArchiveSettings, Limits
from glasslung.errors import DataError, UsageError

AUTO = "auto"
ANSWER_SECONDS = 10.0
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of a cluster that begins here; Ray's own 15 is for machines with owners
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what it will do with graphics cards some day, told at length
}


class Seat:
    """A place on a machine of the cluster, with one worker."""

    def __init__(self, settings: dict[str, Any], limits: Limits, marker: str) -> None:
        self._marker = Path(marker)
        self._keeper = Keeper(ArchiveSettings(**settings), limits)

    def version(self) -> str:
        """The version of glasslung there; '' where that machine does not see the output folder."""
        return __version__ if self._marker.is_file() else ""

    def do(self, job: Job) -> Outcome:
        """What becomes of a case."""
        return self._keeper.do(job)


def ray_crew(address: str, settings: ArchiveSettings, limits: Limits, marker: Path) -> Crew:
    """A crew on a Ray cluster.

    address  'auto': the cluster that this machine belongs to, or, where there is none, a new one on this
             machine alone; else the address of its head
    marker   a file of the output folder, which every machine must see
    """
    own = address == AUTO and not _is_part_of_one()
    _check_address(address)
    ray = _import_ray(own)

    def outcomes(jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        with _cluster(ray, "" if own else address, limits.workers):
            seat = ray.remote(num_cpus=settings.threads, max_restarts=0)(Seat)
            told = settings.plain(), limits, str(marker.absolute())
            yield from _work(ray, lambda: seat.remote(*told), limits.workers, jobs)

    return outcomes


def _is_part_of_one() -> bool:
    """Whether a cluster was begun on this machine, or is named by Ray's own variable."""
    home = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return "RAY_ADDRESS" in os.environ or Path(home, "ray", "ray_current_cluster").is_file()


def _check_address(address: str) -> None:
    """UsageError at once where nothing answers; Ray itself would try for a minute."""
    if address == AUTO or "://" in address:
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as problem:
        raise UsageError(
            f"--ray {address}: no cluster answers there; give host:port as `ray start` told it, or auto"
        ) from problem


def _import_ray(own: bool) -> Any:
    """The library, which reads its environment when it is imported.

    own  a cluster begins here. Ray opens its ports on every address of the machine: with a secret that only
         this run knows, nobody else gets in. (Not where a program imported Ray before: then its word holds.)
    """
    os.environ.update(ENVIRONMENT)
    if own and "ray" not in sys.modules:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--ray needs the library ray: pip install 'glasslung[cluster]', or leave it out and use --workers"
        ) from None
    return ray


@contextmanager
def _cluster(ray: Any, address: str, workers: int) -> Iterator[None]:
    """Inside, this process is part of the cluster at an address, or of a new one ('')."""
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as logs:
        try:
            with _own_signals():
                if address:
                    ray.init(address=address, **quiet)
                else:
                    new = {"num_cpus": workers, "include_dashboard": False, "_temp_dir": logs}
                    ray.init(address="local", **new, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as problem:
            first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
            raise UsageError(f"--ray {address or AUTO}: no cluster answers there ({first})") from problem
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """Ray puts handlers of its own in place of those by which a person stops us."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(ray: Any, hire: Callable[[], Any], seats: int, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Give every seat a case, and the next when it is finished; a seat that was lost is filled again."""
    waiting = iter(jobs)
    busy: dict[Any, tuple[Any, Job, int]] = {}

    def give(seat: Any, job: Job, tries: int) -> None:
        busy[seat.do.remote(job)] = (seat, job, tries)

    for job in islice(waiting, seats):
        seat = hire()
        _check_seat(ray, seat)
        give(seat, job, 1)
    while busy:
        (ready, *_), _ = ray.wait(list(busy), num_returns=1)
        seat, job, tries = busy.pop(ready)
        try:
            outcome = ray.get(ready)
        except ray.exceptions.RayError as problem:
            seat = hire()
            if tries < TRIES:
                give(seat, job, tries + 1)
                continue
            outcome = Outcome(
                job["key"], ASIDE, "died", f"its machine was lost twice ({type(problem).__name__})"
            )
        yield outcome
        if (following := next(waiting, None)) is not None:
            give(seat, following, 1)


def _check_seat(ray: Any, seat: Any) -> None:
    """DataError where a machine of the cluster cannot do the work."""
    there = ray.get(seat.version.remote())
    if not there:
        raise DataError(
            "a machine of the cluster does not see the output folder: give --out on a disk that all share"
        )
    if there != __version__:
        raise DataError(
            f"a machine of the cluster has glasslung {there}, this one {__version__}: install one"
        )
