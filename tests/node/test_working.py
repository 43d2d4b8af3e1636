"""An analysis in a process of its own: its bounds, and what is said of one that did not end well."""

from __future__ import annotations

import json
import time

import pytest
from made_objects import write_object

from glasslung.node import working
from glasslung.node.settings import Work
from glasslung.node.working import Job, LostWork, RefusedWork, StoppedWork, run_apart

QUICK = {"segmenter": "none", "classifier": "none", "prognosis": "none"}


@pytest.fixture
def job(tmp_path):
    """A study of which no story can be told: two slices of nothing."""
    for n in range(2):
        write_object(tmp_path / "scan", slice_=n, side=16)
    (tmp_path / "job").mkdir()
    return Job((tmp_path / "scan",), tmp_path / "story", tmp_path / "results")


def run(job, tmp_path, stopping=lambda: False, **work):
    return run_apart(job, Work(**(QUICK | work)), tmp_path / "job", stopping)


def child(monkeypatch, code):
    """Let the child run other code, after it has read what it is asked."""
    monkeypatch.setattr(working, "CHILD", ("-c", f"import sys, os, time; {code}"))


def test_a_scan_that_cannot_be_measured_is_refused_with_its_reason(job, tmp_path):
    """The only one of these with the real child: it costs the imports of an analysis."""
    with pytest.raises(RefusedWork) as refused:
        run(job, tmp_path)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "results").exists()


def test_one_that_takes_too_long_is_ended(job, tmp_path, monkeypatch):
    child(monkeypatch, "time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(LostWork, match="longer than"):
        run(job, tmp_path, minutes=0.01)
    assert time.monotonic() - began < 20


def test_one_that_is_killed_is_lost(job, tmp_path, monkeypatch):
    child(monkeypatch, "os.kill(os.getpid(), 9)")
    with pytest.raises(LostWork, match="signal 9"):
        run(job, tmp_path)


def test_one_that_breaks_is_lost_and_only_the_kind_is_told(job, tmp_path, monkeypatch):
    child(monkeypatch, "raise KeyError('Mustermann')")
    with pytest.raises(LostWork, match="KeyError") as lost:
        run(job, tmp_path)
    assert "Mustermann" not in str(lost.value)
    assert "Mustermann" in (tmp_path / "job" / working.TRACE).read_text()


def test_one_that_wants_too_much_memory_is_lost(job, tmp_path, monkeypatch):
    code = "from glasslung.node.working import _bound_memory; _bound_memory(0.2); bytearray(1 << 30)"
    child(monkeypatch, code)
    with pytest.raises(LostWork, match="MemoryError"):
        run(job, tmp_path)


def test_the_node_stops_and_so_does_it(job, tmp_path, monkeypatch):
    child(monkeypatch, "time.sleep(60)")
    with pytest.raises(StoppedWork):
        run(job, tmp_path, stopping=lambda: True)


def test_it_ends_with_the_node(job, tmp_path, monkeypatch):
    """The pipe from the node closes when the node is gone, however it went."""
    code = "from glasslung.node.working import _end_with_the_node as e; e(); os.close(1); time.sleep(60)"
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, "-c", f"import os, time; {code}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.read() == b""
    process.stdin.close()
    assert process.wait(20) == 1
    process.stdout.close()


def test_what_is_asked_is_written_down(job, tmp_path, monkeypatch):
    child(monkeypatch, "sys.exit(3)")
    with pytest.raises(LostWork, match="broke"):
        run(job, tmp_path)
    asked = json.loads((tmp_path / "job" / "job.json").read_text())
    assert asked["scans"] == [str(tmp_path / "scan")]
    assert asked["segmenter"] == "none"
