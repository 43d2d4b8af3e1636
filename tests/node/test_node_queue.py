"""The queue: a study's way from state to state, and what comes in between."""

from __future__ import annotations

import sqlite3
import time

import pytest

from glasslung.errors import DataError
from glasslung.node.queue import PRAGMAS, Queue
from glasslung.node.studies import Admission, Item, State


@pytest.fixture
def queue(tmp_path):
    queue = Queue(tmp_path / "queue.sqlite")
    yield queue
    queue.close()


def item(study="1.1", n=0, *, patient="p", day="20200302", content="a"):
    return Item(
        study, f"{study}.9", f"{study}.9.{n}", f"key{study}", f"{n}-{content}", 10, content, patient, day
    )


def analysing(queue, *items):
    for one in items or (item(),):
        queue.admit(one)
    queue.complete(queue.studies()[-1])
    return queue.claim()


def state(queue, key="key1.1"):
    return queue.study(key).state


def test_the_usual_way(queue):
    assert queue.admit(item(n=0)) is Admission.NEW
    assert queue.admit(item(n=1)) is Admission.NEW
    (study,) = queue.studies()
    assert (study.state, study.objects, study.bytes, study.revision) == (State.RECEIVED, 2, 20, 2)
    assert queue.claim() is None
    assert queue.complete(study)
    claimed = queue.claim()
    assert state(queue) is State.ANALYSING
    assert queue.claim() is None
    assert queue.finish(claimed, [("pacs", "a.dcm"), ("pacs", "b.dcm")], "a remark")
    assert queue.undelivered(claimed) == {"pacs": ["a.dcm", "b.dcm"]}
    queue.delivered(claimed, "pacs", "a.dcm")
    assert not queue.sent(claimed)
    queue.delivered(claimed, "pacs", "b.dcm")
    assert queue.sent(claimed)
    assert state(queue) is State.SENT
    assert queue.study("key1.1").remark == "a remark"
    assert queue.holders(claimed) == {"a.dcm": ["pacs"], "b.dcm": ["pacs"]}


def test_an_object_sent_twice_is_there_once(queue):
    queue.admit(item())
    assert queue.admit(item()) is Admission.KNOWN
    (study,) = queue.studies()
    assert (study.objects, study.revision) == (1, 1)


def test_other_content_under_the_same_name_replaces_and_counts(queue):
    queue.admit(item())
    assert queue.admit(item(content="b")) is Admission.REPLACED
    (study,) = queue.studies()
    assert (study.objects, study.revision) == (1, 2)
    assert queue.objects(study) == [("0-b", "b")]


@pytest.mark.parametrize("until", ["complete", "sending", "sent", "failed"])
def test_a_late_slice_reopens_a_study(queue, until):
    queue.admit(item())
    (study,) = queue.studies()
    queue.complete(study)
    if until != "complete":
        study = queue.claim()
        if until == "failed":
            queue.fail(study, "no lungs")
        else:
            queue.finish(study, [("pacs", "a.dcm")])
    if until == "sent":
        queue.delivered(study, "pacs", "a.dcm")
        queue.sent(study)
    assert state(queue) == until
    queue.admit(item(n=1))
    late = queue.study("key1.1")
    assert (late.state, late.reason, late.objects) == (State.RECEIVED, "", 2)
    assert queue.undelivered(late) == {}


@pytest.mark.parametrize("how", ["finish", "fail", "put_back", "release"])
def test_an_analysis_that_is_out_of_date_counts_for_nothing(queue, how):
    study = analysing(queue)
    queue.admit(item(n=1))
    assert state(queue) is State.ANALYSING
    if how == "finish":
        assert not queue.finish(study, [("pacs", "a.dcm")])
    elif how == "release":
        queue.release(study)
    else:
        getattr(queue, how)(study, "broke")
    after = queue.study("key1.1")
    assert (after.state, after.reason, after.tries) == (State.RECEIVED, "", 0)
    assert queue.undelivered(after) == {}


def test_a_known_object_does_not_reopen(queue):
    study = analysing(queue)
    queue.finish(study, [])
    assert queue.sent(study)
    queue.admit(item())
    assert state(queue) is State.SENT


def test_what_was_running_begins_again_after_a_start(queue, tmp_path):
    analysing(queue)
    queue.close()
    again = Queue(tmp_path / "queue.sqlite")
    assert [study.key for study in again.recover()] == ["key1.1"]
    assert state(again) is State.RECEIVED
    again.close()


def test_a_stop_is_not_a_try(queue):
    study = analysing(queue)
    queue.release(study)
    assert queue.study("key1.1").tries == 0
    queue.put_back(queue.claim(), "killed")
    assert (queue.study("key1.1").tries, queue.study("key1.1").reason) == (1, "killed")


def test_a_course_is_told_in_its_order(queue):
    queue.admit(item("1.2", day="20200310"))
    queue.complete(queue.studies()[0])
    queue.admit(item("1.1", day="20200302"))
    assert queue.claim() is None, "the earlier study is still arriving"
    queue.complete(queue.study("key1.1"))
    first = queue.claim()
    assert first.key == "key1.1"
    second = queue.claim()
    assert second.key == "key1.2"
    assert queue.earlier(second, 3) == [], "it is being analysed, and nobody knows whether it can be used"
    queue.finish(first, [])
    assert [one.key for one in queue.earlier(second, 3)] == ["key1.1"]


def test_other_patients_do_not_wait(queue):
    queue.admit(item("1.1", patient="p", day="20200302"))
    queue.admit(item("1.2", patient="q", day="20200310"))
    queue.admit(item("1.3", patient=None, day="20200310"))
    for key in ("key1.2", "key1.3"):
        queue.complete(queue.study(key))
    assert [queue.claim().key, queue.claim().key] == ["key1.2", "key1.3"]


def test_earlier_studies_are_the_patients_latest_of_earlier_days(queue):
    days = {"1.1": "20200301", "1.2": "20200302", "1.3": "20200303", "1.5": "20200320"}
    for study, day in days.items():
        queue.admit(item(study, day=day), fetched=True)
    queue.admit(item("1.6", day="20200301", patient="q"), fetched=True)
    queue.admit(item("1.7", day=""), fetched=True)
    study = analysing(queue, item("1.4", day="20200310"))
    assert [one.key for one in queue.earlier(study, 2)] == ["key1.2", "key1.3"]
    assert queue.earlier(study, 0) == []


def test_a_fetched_study_is_kept_until_somebody_sends_it(queue):
    queue.admit(item(), fetched=True)
    queue.complete(queue.studies()[0])
    assert state(queue) is State.KEPT
    assert queue.claim() is None
    assert queue.admit(item()) is Admission.KNOWN
    assert state(queue) is State.RECEIVED
    queue.complete(queue.studies()[0])
    assert queue.claim() is not None


def test_a_sent_study_that_is_fetched_again_stays_as_it_is(queue):
    study = analysing(queue)
    queue.finish(study, [])
    queue.sent(study)
    queue.admit(item(), fetched=True)
    assert state(queue) is State.SENT


def test_objects_of_two_patients_are_no_patients(queue):
    queue.admit(item(n=0, patient="p"))
    queue.admit(item(n=1, patient="q"))
    (study,) = queue.studies()
    assert (study.patients, study.patient) == (2, None)


def test_failed_studies_begin_again_by_hand(queue):
    queue.fail(analysing(queue), "no lungs")
    assert queue.retry(["other"]) == []
    assert [study.key for study in queue.retry()] == ["key1.1"]
    assert state(queue) is State.RECEIVED


def test_a_clock_that_goes_backwards_changes_nothing(queue, monkeypatch):
    """Neither order nor states hang on it; removal waits until the clock has caught up."""
    now = time.time()
    for n in range(4):
        monkeypatch.setattr(time, "time", lambda n=n: now - 86_400 * n)
        queue.admit(item(f"1.{n}", patient=f"p{n}"))
        queue.complete(queue.study(f"key1.{n}"))
    for n in range(4):
        study = queue.claim()
        assert study.key == f"key1.{n}"
        queue.finish(study, [])
        queue.sent(study)
    assert queue.expired(3600) == []
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert len(queue.expired(3600)) == 4


def test_old_studies_are_forgotten_unless_more_has_come(queue):
    study = analysing(queue)
    queue.finish(study, [])
    queue.sent(study)
    (old,) = queue.expired(-1)
    queue.admit(item(n=1))
    assert not queue.forget(old)
    study = analysing(queue)
    queue.finish(study, [])
    queue.sent(study)
    assert queue.forget(queue.expired(-1)[0])
    assert queue.studies() == []
    assert queue.files() == []


def test_a_transaction_waits_for_the_disk():
    assert PRAGMAS == ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


def test_a_file_that_is_no_queue_is_told(tmp_path):
    (tmp_path / "text").write_text("hello, I am no database" * 100)
    with pytest.raises(DataError, match="no queue"):
        Queue(tmp_path / "text")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(DataError, match="version 99"):
        Queue(tmp_path / "newer")
