"""The node as a whole: its steps, what it does when one fails, and that it starts and stops."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

import pytest
from made_nodes import Archive, bring, idle, states, tell
from made_objects import made_settings, uid_of, write_object

from glasslung.data.formats.identity import one_way_key
from glasslung.errors import UsageError
from glasslung.node import node as node_room
from glasslung.node.exchange import RefusedResult, Unreachable
from glasslung.node.node import Node, end_state, open_queue
from glasslung.node.settings import Destination, Sending, Work
from glasslung.node.working import Done, LostWork, RefusedWork

KEY = one_way_key("study", uid_of("P1 20200302"))


@pytest.fixture
def archive(monkeypatch):
    return Archive(monkeypatch)


@pytest.fixture
def make(tmp_path):
    """Makes nodes, and ends them."""
    nodes = []

    def make(analyse=tell, **changes) -> Node:
        nodes.append(Node(made_settings(tmp_path / "node", **changes), analyse))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


def failing(problem):
    def analyse(*_):
        raise problem

    return analyse


def state(node):
    study = node.queue.study(KEY)
    return str(study.state), study.reason


def test_a_study_goes_its_way(make, archive, tmp_path):
    node = make()
    bring(node, write_object(tmp_path))
    assert node.settle() == 1
    assert node.work().key == KEY
    assert node.send() == 1
    assert state(node) == ("sent", "")
    assert list(archive.times.values()) == [1]
    assert list(node.store.jobs.iterdir()) == []


def test_a_study_waits_until_nothing_more_comes(make, archive, tmp_path, monkeypatch):
    now = {"at": 1000.0}
    monkeypatch.setattr(time, "monotonic", lambda: now["at"])
    node = make(work=Work(quiet_seconds=10))
    for n in range(3):
        bring(node, write_object(tmp_path, slice_=n))
        now["at"] += 9
        assert node.settle() == 0
    now["at"] += 2
    assert node.settle() == 1


def test_a_late_slice_makes_new_results(make, archive, tmp_path):
    node = make()
    for n in range(2):
        bring(node, write_object(tmp_path, slice_=n))
        idle(node)
    assert list(archive.times.values()) == [1, 1]
    assert [path.name for path in node.store.results.iterdir()] == [f"{KEY}-2"]
    assert [path.name for path in node.store.stories.iterdir()] == [f"{KEY}-2"]


def test_a_slice_that_comes_during_the_analysis_is_not_lost(make, archive, tmp_path):
    seen = []

    def analyse(job, *rest):
        seen.append(len(list(job.scans[-1].iterdir())))
        if len(seen) == 1:
            bring(node, write_object(tmp_path, slice_=1))
            assert len(list(job.scans[-1].iterdir())) == 1, "what is read does not change"
        return tell(job, *rest)

    node = make(analyse)
    bring(node, write_object(tmp_path))
    idle(node)
    assert seen == [1, 2]
    assert state(node) == ("sent", "")
    assert len(archive.held) == 1


def test_what_cannot_be_analysed_is_set_aside_and_begins_again_by_hand(make, archive, tmp_path):
    node = make(failing(RefusedWork("no lungs")))
    bring(node, write_object(tmp_path))
    idle(node)
    assert state(node) == ("failed", "no lungs")
    node.analyse = tell
    assert not node.work()
    node.queue.retry()
    idle(node)
    assert state(node) == ("sent", "")


@pytest.mark.parametrize("problem", [LostWork("killed"), OSError(28, "No space left on device")])
def test_what_was_lost_is_tried_again_and_then_set_aside(make, archive, tmp_path, problem):
    tried = []

    def analyse(*_):
        tried.append(1)
        raise problem

    node = make(analyse, work=Work(quiet_seconds=0, tries=3))
    bring(node, write_object(tmp_path))
    end = time.monotonic() + 20
    while state(node)[0] != "failed" and time.monotonic() < end:
        idle(node)
    assert len(tried) == 3
    assert state(node)[0] == "failed"


def test_studies_of_two_patients_are_set_aside(make, archive, tmp_path):
    node = make()
    bring(node, write_object(tmp_path, patient="A", study="mixed", slice_=0))
    bring(node, write_object(tmp_path, patient="B", study="mixed", slice_=1))
    idle(node)
    ((_, told),) = states(node).items()
    assert told == "failed"
    assert "2 patients" in node.queue.studies()[0].reason


def test_a_destination_that_is_down_is_tried_again(make, archive, tmp_path, monkeypatch):
    calls = []

    def down_twice(*what):
        calls.append(1)
        if len(calls) < 3:
            raise Unreachable("pacs cannot be reached")
        yield from archive.send(*what)

    monkeypatch.setattr(node_room, "send", down_twice)
    node = make()
    bring(node, write_object(tmp_path))
    node.settle()
    node.work()
    assert node.send() == 0
    assert state(node) == ("sending", "pacs cannot be reached")
    while state(node)[0] == "sending":
        node.send()
    assert state(node) == ("sent", "")
    assert len(calls) == 3


def test_a_destination_that_is_down_does_not_keep_another_waiting(make, archive, tmp_path, monkeypatch):
    def one_down(destination, *what):
        if destination.name == "b":
            raise Unreachable("b cannot be reached")
        yield from archive.send(destination, *what)

    monkeypatch.setattr(node_room, "send", one_down)
    places = tuple(Destination(title="X", address="127.0.0.1", name=name) for name in "bc")
    node = make(destinations=places, sending=Sending(tries=2, first_seconds=1e-6, longest_seconds=1e-6))
    bring(node, write_object(tmp_path))
    node.settle()
    node.work()
    assert node.send() == 1
    ((_, held),) = end_state(node.settings.folder)[0]["results"].items()
    assert held == ["c"]
    while state(node)[0] == "sending":
        node.send()
    assert state(node) == ("failed", "b cannot be reached, 2 times")
    assert list(archive.times.values()) == [1]


def test_waits_grow_and_end(make):
    node = make(sending=Sending(first_seconds=10, longest_seconds=60))
    study = type("Row", (), {"number": 1})()
    assert [node._rest(study, tries) for tries in (0, 1, 2, 3, 4000)] == [10, 20, 40, 60, 60]
    assert node._resting() == frozenset({1})


def test_a_result_that_nobody_takes_sets_the_study_aside(make, tmp_path, monkeypatch):
    def refuse(*_):
        raise RefusedResult("pacs refused the map (status A900)")
        yield

    monkeypatch.setattr(node_room, "send", refuse)
    node = make()
    bring(node, write_object(tmp_path))
    idle(node)
    assert state(node) == ("failed", "pacs refused the map (status A900)")


def test_a_result_that_is_gone_is_told(make, tmp_path):
    node = make()
    bring(node, write_object(tmp_path))
    node.settle()
    node.work()
    for path in node.store.results.rglob("*.dcm"):
        path.unlink()
    node.send()
    assert state(node)[0] == "failed"
    assert "retry" in state(node)[1]


def test_a_destination_that_left_the_settings_is_told(make, archive, tmp_path):
    node = make()
    bring(node, write_object(tmp_path))
    node.settle()
    node.work()
    node.settings = replace(node.settings, destinations=())
    node.send()
    assert "no destination 'pacs'" in state(node)[1]


def test_old_studies_go_with_all_their_files(make, archive, tmp_path):
    node = make(keep_days=0.0)
    bring(node, write_object(tmp_path))
    idle(node)
    time.sleep(0.01)
    assert node.keep() == 1
    assert states(node) == {}
    assert list(node.settings.folder.rglob("*.dcm")) == []


def test_an_object_that_comes_while_its_study_is_removed_is_not_lost(make, archive, tmp_path, monkeypatch):
    node = make(keep_days=0.0)
    bring(node, write_object(tmp_path))
    idle(node)
    time.sleep(0.01)
    drop = node.store.drop
    comer = threading.Thread(target=bring, args=(node, write_object(tmp_path, slice_=1)))

    def slow_drop(key):
        comer.start()
        comer.join(0.3)  # it waits: the study is being removed
        drop(key)

    monkeypatch.setattr(node.store, "drop", slow_drop)
    assert node.keep() == 1
    comer.join(30)
    (study,) = node.queue.studies()
    assert study.objects == 1
    assert len(list(node.store.studies.rglob("*.dcm"))) == 1


def test_what_is_under_way_does_not_go(make, tmp_path):
    node = make(keep_days=0.0)
    bring(node, write_object(tmp_path))
    time.sleep(0.01)
    assert node.keep() == 0


def test_one_node_holds_a_folder(make, tmp_path):
    make()
    with pytest.raises(UsageError, match="another node"):
        make()


def test_files_without_a_row_are_swept_away(make, tmp_path, archive):
    node = make()
    bring(node, write_object(tmp_path))
    node.close()
    stray = node.store.studies / KEY / "stray.dcm"
    stray.write_bytes(b"half")
    (node.store.incoming() / "part").write_bytes(b"half")
    for left in (node.store.stories, node.store.results):
        (left / "gone-3").mkdir()
    (node.store.traces / "gone.txt").write_text("of a study that was removed while the power went")
    (node.store.traces / f"{KEY}.txt").write_text("of one that is there")
    again = make()
    assert [path.name for path in node.store.traces.iterdir()] == [f"{KEY}.txt"]
    assert not list(node.store.folder.rglob("gone*"))
    assert not stray.exists()
    assert not (node.store.folder / "incoming" / "part").exists()
    assert idle(again)
    assert state(again) == ("sent", "")


def test_it_runs_and_stops(make, archive, tmp_path, caplog):
    caplog.set_level(logging.INFO, "glasslung.node")
    node = make()
    bring(node, write_object(tmp_path, patient="Mustermann", study="P1 20200302"))
    ports = []
    thread = threading.Thread(target=node.run, args=(ports.append,))
    thread.start()
    end = time.monotonic() + 30
    while state(node)[0] != "sent" and time.monotonic() < end:
        time.sleep(0.05)
    assert state(node) == ("sent", "")
    node.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert ports[0] > 0
    assert f"study {KEY} is sent" in caplog.text
    assert "ustermann" not in caplog.text


def test_a_stop_during_an_analysis_loses_nothing(make, archive, tmp_path):
    begun = threading.Event()

    def analyse(job, work, folder, stopping):
        begun.set()
        while not stopping():
            time.sleep(0.01)
        raise node_room.StoppedWork("the node stops")

    node = make(analyse)
    bring(node, write_object(tmp_path))
    thread = threading.Thread(target=node.run)
    thread.start()
    assert begun.wait(30)
    node.stop()
    thread.join(30)
    again = make()
    assert state(again) == ("complete", "")
    idle(again)
    assert state(again) == ("sent", "")


def test_a_bug_ends_the_node_and_shows(make, archive, tmp_path):
    """A node that goes on with a bug would hide it; whoever started it starts it again."""
    node = make(lambda *_: Done((tmp_path / "nothing",), ""))
    bring(node, write_object(tmp_path))
    node.settle = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        node.run()


def test_an_analysis_whose_end_could_not_be_written_begins_again(make, archive, tmp_path):
    node = make()
    bring(node, write_object(tmp_path))
    node.settle()
    node.queue.claim()
    assert state(node)[0] == "analysing"
    assert node.work() is None
    idle(node)
    assert state(node) == ("sent", "")


def test_a_folder_without_a_queue_is_told(tmp_path):
    with pytest.raises(UsageError, match="no node has run"):
        open_queue(tmp_path)
    assert list(tmp_path.iterdir()) == []
