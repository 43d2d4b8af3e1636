"""Several keepers on this machine: each takes the next case when its last one is finished."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable

from glasslung.archive.cases import Job
from glasslung.archive.keeper import Cancelled, Keeper
from glasslung.archive.ledger import Outcome

Crew = Callable[[Iterable[Job]], Generator[Outcome, None, None]]
"""Takes cases and gives what became of each, in whatever order they finish."""


def local_crew(workers: int, hire: Callable[[Callable[[], bool]], Keeper]) -> Crew:
    """A crew of so many workers on this machine.

    hire  makes a keeper, given a function that says whether all is to end
    """

    def outcomes(jobs: Iterable[Job]) -> Generator[Outcome, None, None]:
        waiting, turn = iter(jobs), threading.Lock()
        results: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        stop = threading.Event()

        def next_job() -> Job | None:
            with turn:
                return None if stop.is_set() else next(waiting, None)

        threads = [
            threading.Thread(target=_keep, args=(hire, stop, next_job, results), daemon=True)
            for _ in range(workers)
        ]
        try:
            for thread in threads:
                thread.start()
            left = len(threads)
            while left:
                found = results.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    left -= 1
                else:
                    yield found
        finally:
            stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()

    return outcomes


def _keep(
    hire: Callable[[Callable[[], bool]], Keeper],
    stop: threading.Event,
    next_job: Callable[[], Job | None],
    results: queue.SimpleQueue[Outcome | BaseException | None],
) -> None:
    """One thread: one keeper, until there is no case left."""
    keeper: Keeper | None = None
    try:
        keeper = hire(stop.is_set)
        while (job := next_job()) is not None:
            results.put(keeper.do(job))
    except Cancelled:
        pass
    except BaseException as problem:  # it belongs to whoever waits for the results
        results.put(problem)
    finally:
        if keeper is not None:
            keeper.close()
        results.put(None)
