"""`glasslung node` as a person types it; its running is shown by the round trip."""

from __future__ import annotations

import json

import pytest
from verb_process import glasslung_here, one_line, refused

from glasslung.node.node import QUEUE
from glasslung.node.queue import Queue
from glasslung.node.settings import read_settings
from glasslung.node.studies import Item


@pytest.fixture
def config(tmp_path):
    """Settings whose node has a study that failed, and one that waits."""
    assert glasslung_here("node", "init", tmp_path / "node.toml").returncode == 0
    folder = read_settings(tmp_path / "node.toml").folder
    folder.mkdir()
    queue = Queue(folder / QUEUE)
    for n in "12":
        queue.admit(Item(f"1.{n}", "1.9", f"1.9.{n}", f"key{n}", f"o{n}", 10, "a", f"pat{n}", "20200302"))
        queue.complete(queue.study(f"key{n}"))
    queue.fail(queue.claim(), "there are no lungs in it")
    queue.close()
    return tmp_path / "node.toml"


def test_settings_are_written_once(tmp_path):
    done = glasslung_here("node", "init", tmp_path / "node.toml")
    assert done.returncode == 0, done.stderr
    assert "[[peers]]" in (tmp_path / "node.toml").read_text()
    assert "is there already" in one_line(glasslung_here("node", "init", tmp_path / "node.toml"))


def test_the_queue_is_shown(config):
    shown = glasslung_here("node", "status", config).stdout
    assert shown.splitlines()[0].split()[:2] == ["study", "state"]
    assert "there are no lungs in it" in shown
    first, second = map(json.loads, glasslung_here("node", "status", config, "--json").stdout.splitlines())
    assert (first["state"], second["state"]) == ("failed", "complete")


def test_failed_studies_begin_again(config):
    assert "key1: begins again" in glasslung_here("node", "retry", config, "key1").stdout
    assert "key1 is no study" not in glasslung_here("node", "retry", config).stdout
    assert "no study that failed" in one_line(glasslung_here("node", "retry", config, "key2"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "{tmp}/none.toml"], "cannot be read as settings"),
        (["run", "{tmp}/note.txt"], "cannot be read as settings"),
        (["run", "{tmp}/empty"], "cannot be read as settings"),
        (["status", "{tmp}/none.toml"], "cannot be read as settings"),
        (["init", "{tmp}/note.txt"], "is there already"),
        (["init", "{tmp}/note.txt/node.toml"], "is a file"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(words, told, tmp_path):
    assert told in refused(["node", *words], tmp_path)


def test_a_node_that_never_ran_has_no_queue(tmp_path):
    glasslung_here("node", "init", tmp_path / "node.toml")
    assert "no node has run" in one_line(glasslung_here("node", "status", tmp_path / "node.toml"))
    assert not (tmp_path / "glasslung-node").exists()
