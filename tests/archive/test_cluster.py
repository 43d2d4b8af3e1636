"""Seats on a cluster, of a Ray that is only pretended: who gets which case, what a lost machine means."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from made_archives import RULES

from glasslung import __version__
from glasslung.archive import cluster
from glasslung.archive.ledger import Outcome
from glasslung.archive.settings import Limits
from glasslung.errors import DataError, UsageError

JOBS = [{"key": str(n)} for n in range(5)]


class RayError(Exception):
    pass


class Seat:
    """Answers every case; the cases in `lost` take their machine down."""

    def __init__(self, lost: list[str], version: str = __version__) -> None:
        self.done: list[str] = []

        def do(job):
            self.done.append(job["key"])
            if job["key"] in lost:
                lost.remove(job["key"])
                return RayError("the machine is gone")
            return Outcome(job["key"], "done")

        self.do = SimpleNamespace(remote=lambda job: _Later(do(job)))
        self.version = SimpleNamespace(remote=lambda: _Later(version))


class _Later:
    """A result that is there already."""

    def __init__(self, value) -> None:
        self.value = value


def get(later):
    if isinstance(later.value, Exception):
        raise later.value
    return later.value


RAY = SimpleNamespace(
    wait=lambda busy, num_returns: (busy[-1:], busy[:-1]),
    get=get,
    exceptions=SimpleNamespace(RayError=RayError),
)


def work(lost=(), seats=2, version=__version__):
    left, hired = list(lost), []

    def hire():
        hired.append(Seat(left, version))
        return hired[-1]

    return list(cluster._work(RAY, hire, seats, JOBS)), hired


def test_every_case_is_done_once_by_so_many_seats():
    outcomes, hired = work()
    assert sorted(outcome.key for outcome in outcomes) == ["0", "1", "2", "3", "4"]
    assert len(hired) == 2
    assert len(work(seats=9)[1]) == 5


def test_a_lost_machine_is_replaced_and_its_case_tried_once_more():
    outcomes, hired = work(lost=["1"])
    assert sorted(outcome.key for outcome in outcomes) == ["0", "1", "2", "3", "4"]
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert len(hired) == 3
    outcomes, _ = work(lost=["1", "1"])
    (bad,) = (outcome for outcome in outcomes if outcome.state != "done")
    assert (bad.key, bad.kind) == ("1", "died")
    assert len(outcomes) == 5


@pytest.mark.parametrize(
    ("version", "told"), [("", "does not see the output folder"), ("0.0", "has glasslung 0.0")]
)
def test_a_machine_that_cannot_do_the_work_is_told(version, told):
    with pytest.raises(DataError, match=told):
        work(version=version)


def test_without_ray_one_line_says_how_to_get_it(monkeypatch, tmp_path):
    for name in (*cluster.ENVIRONMENT, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'glasslung\[cluster\]'"):
        cluster.ray_crew("auto", RULES, Limits(), tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:port", "127.0.0.1:99999999"])
def test_an_address_where_nothing_answers_is_told_at_once(tmp_path, address):
    with pytest.raises(UsageError, match=f"--ray {address}: no cluster answers there"):
        cluster.ray_crew(address, RULES, Limits(), tmp_path)
