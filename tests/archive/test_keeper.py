"""A worker that answers, grows, hangs or dies, and what its keeper makes of that."""

from __future__ import annotations

import os
import threading
import time

import pytest
from made_archives import RULES, script

from glasslung.archive.crew import local_crew
from glasslung.archive.keeper import Cancelled, Keeper
from glasslung.archive.settings import Limits

JOB = {"key": "k1", "scans": ["a"], "folder": "/nowhere"}
ENOUGH = Limits(memory_gb=1.0, minutes=1.0)
TELL = """
omp = os.environ['OMP_NUM_THREADS']
answer({'state': 'done', 'rows': [{'threads': settings['threads'], 'omp': omp}]})
"""
DIE_ONCE = """
if not os.path.exists(job['folder']):
    open(job['folder'], 'w').close()
    os.kill(os.getpid(), signal.SIGKILL)
answer({'state': 'done'})
"""
GREEDY = """
if job['key'] == 'hungry':
    held = b'x' * 200_000_000
    time.sleep(60)
answer({'state': 'done'})
"""
SLOW = """
if job['key'] == 'slow':
    time.sleep(60)
answer({'state': 'done'})
"""
PARENT = """
import subprocess
hungry = "held = b'x' * 200_000_000; import time; time.sleep(60)"
child = subprocess.Popen([sys.executable, '-S', '-c', hungry])
open(job['folder'], 'w').write(str(child.pid))
time.sleep(60)
"""


@pytest.fixture
def keep():
    made = []

    def make(body, limits=ENOUGH, stopped=lambda: False):
        made.append(Keeper(RULES, limits, stopped, script(body)))
        return made[-1]

    yield make
    for keeper in made:
        keeper.close()


def test_an_answer_comes_back_with_what_it_took(keep):
    keeper = keep(TELL)
    outcome = keeper.do(JOB)
    assert (outcome.key, outcome.state, outcome.rows) == ("k1", "done", ({"threads": 1, "omp": "1"},))
    assert outcome.seconds > 0
    assert 1 < outcome.memory_mb < 500
    assert keeper.do({**JOB, "key": "k2"}).key == "k2"


def test_one_worker_does_many_cases(keep):
    keeper = keep("answer({'state': 'done', 'reason': str(os.getpid())})")
    assert keeper.do(JOB).reason == keeper.do(JOB).reason


def test_a_worker_that_was_killed_is_not_the_cases_fault(keep, tmp_path):
    mark = tmp_path / "once"
    assert keep(DIE_ONCE).do({**JOB, "folder": str(mark)}).state == "done"
    assert mark.exists()


def test_a_case_that_kills_its_worker_is_set_aside(keep):
    outcome = keep("print('out of luck', file=sys.stderr, flush=True)\nos._exit(3)").do(JOB)
    assert (outcome.state, outcome.kind) == ("set aside", "died")
    assert outcome.reason == "its worker ended twice, with code 3: out of luck"
    outcome = keep("os.kill(os.getpid(), signal.SIGKILL)").do(JOB)
    assert "by signal 9 (out of memory, or by hand)" in outcome.reason


def test_memory_is_bounded_and_the_next_case_goes_on(keep):
    keeper = keep(GREEDY, Limits(memory_gb=0.1))
    hungry = keeper.do({**JOB, "key": "hungry"})
    assert (hungry.state, hungry.kind) == ("set aside", "memory")
    assert "more than the 0.1 GB" in hungry.reason
    assert hungry.memory_mb > 100
    assert keeper.do(JOB).state == "done"


def test_time_is_bounded_and_the_next_case_goes_on(keep):
    keeper = keep(SLOW, Limits(minutes=1 / 60))
    slow = keeper.do({**JOB, "key": "slow"})
    assert (slow.state, slow.kind) == ("set aside", "time")
    assert 0.9 < slow.seconds < 30
    assert "longer than 0.0166667 minutes" in slow.reason


def test_what_a_worker_started_counts_and_ends_with_it(keep, tmp_path):
    child = tmp_path / "child"
    assert keep(PARENT, Limits(memory_gb=0.1)).do({**JOB, "folder": str(child)}).kind == "memory"
    ends = time.monotonic() + 10
    while _runs(int(child.read_text())):
        assert time.monotonic() < ends
        time.sleep(0.05)


def _runs(process: int) -> bool:
    """Whether a process lives; one that has ended and that nobody asked after does not."""
    try:
        os.kill(process, 0)
        with open(f"/proc/{process}/stat") as told:  # noqa: PTH123
            return told.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_stopped_run_ends_its_worker(keep):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Cancelled):
        keep("time.sleep(60)", stopped=stop.is_set).do(JOB)


def test_a_crew_does_every_case_once_and_hands_on_what_fails():
    done = script("answer({'state': 'done', 'reason': job['key']})")
    jobs = [{**JOB, "key": str(n)} for n in range(8)]
    crew = local_crew(3, lambda stopped: Keeper(RULES, ENOUGH, stopped, done))
    assert sorted(outcome.reason for outcome in crew(jobs)) == [job["key"] for job in jobs]

    def refuse(stopped):
        raise OSError("no worker to be had")

    with pytest.raises(OSError, match="no worker to be had"):
        list(local_crew(2, refuse)(jobs))


def test_a_crew_that_is_left_ends_its_workers():
    crew = local_crew(2, lambda stopped: Keeper(RULES, ENOUGH, stopped, script(SLOW)))
    begun = time.monotonic()
    outcomes = crew([{**JOB, "key": "quick"}, {**JOB, "key": "slow"}])
    assert next(outcomes).key == "quick"
    outcomes.close()
    assert time.monotonic() - begun < 50
