"""The same crew on the machines of a Ray cluster: each seat keeps one worker where Ray put it.

All machines must see the cohort and the output folder under the same paths and have the same version of
glasslung. The ledger is written by this process alone. Ray sends no statistics and opens no dashboard.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
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
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
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

    def close(self) -> None:
        """End the worker."""
        self._keeper.close()


def ray_crew(address: str, settings: ArchiveSettings, limits: Limits, marker: Path) -> Crew:
    """A crew on a Ray cluster.

    address  'auto': the cluster that this machine belongs to, or, where there is none, a new one on this
             machine alone; else the address of its head
    marker   a file of the output folder, which every machine must see
    """
    os.environ.update(QUIET)
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--ray needs the library ray: pip install 'glasslung[cluster]', or leave it out and use --workers"
        ) from None

    def outcomes(jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        _connect(ray, address, limits.workers)
        try:
            hire = ray.remote(num_cpus=settings.threads, max_restarts=0)(Seat)
            yield from _work(
                ray, lambda: hire.remote(settings.plain(), limits, str(marker.absolute())), limits, jobs
            )
        finally:
            ray.shutdown()

    return outcomes


def _connect(ray: Any, address: str, workers: int) -> None:
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        with suppress(ConnectionError):
            ray.init(address=address, **quiet)
            return
        if address != AUTO:
            raise UsageError(f"--ray {address}: no cluster answers there; start it with `ray start --head`")
        # Ports of a cluster of one machine are opened on the loopback alone.
        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            **quiet,
        )
    except (RuntimeError, ValueError, OSError) as problem:
        first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        raise UsageError(f"--ray {address}: Ray does not start ({first})") from problem


def _work(ray: Any, hire: Any, limits: Limits, jobs: Iterable[Job]) -> Iterator[Outcome]:
    """Give every seat a case, and the next when it is finished; a seat that was lost is filled again."""
    waiting = iter(jobs)
    busy: dict[Any, tuple[Any, Job, int]] = {}

    def give(seat: Any, job: Job, tries: int) -> None:
        busy[seat.do.remote(job)] = (seat, job, tries)

    for job in islice(waiting, limits.workers):
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
