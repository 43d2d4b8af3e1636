"""A node that dies at every write, one after the other, and goes on: nothing is lost, nothing is doubled.

A crash is an exception that nothing catches, raised before or after each step that changes the disk: a
transaction of the queue, a file's way to the disk, a rename, a link, a removal. What was not committed is
gone then, as after kill -9; the sender sends again what was never acknowledged, and the end must be that of
an undisturbed run.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from made_nodes import Archive, bring, idle, tell
from made_objects import made_settings, write_object

from glasslung.node import node as node_room
from glasslung.node.node import Node, end_state


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Counts the steps that change the disk, and burns through at one of them."""

    def __init__(self, monkeypatch) -> None:
        self.left = 10**9
        self.steps = 0
        for owner, name in (
            (Path, "replace"),
            (Path, "unlink"),
            (os, "link"),
            (os, "fsync"),
            (shutil, "rmtree"),
        ):
            monkeypatch.setattr(owner, name, self._around(getattr(owner, name)))
        monkeypatch.setattr(node_room, "Queue", self._fused(node_room.Queue))

    def step(self) -> None:
        self.steps += 1
        self.left -= 1
        if self.left == 0:
            raise Crash

    def _around(self, do):
        def fused(*args, **kwargs):
            self.step()
            done = do(*args, **kwargs)
            self.step()
            return done

        return fused

    def _fused(self, kind):
        fuse = self

        class Committing:
            """The connection, of which each transaction's end is a step."""

            def __init__(self, db) -> None:
                self._db = db

            def execute(self, statement, *values):
                if statement == "COMMIT":
                    fuse.step()
                done = self._db.execute(statement, *values)
                if statement == "COMMIT":
                    fuse.step()
                return done

            def __getattr__(self, name):
                return getattr(self._db, name)

        class Queue(kind):
            def __init__(self, path) -> None:
                super().__init__(path)
                self._db = Committing(self._db)

        return Queue


def life(folder: Path, files: list[Path], acknowledged: set[str]) -> None:
    """One life of a node: the sender brings what was never acknowledged, then everything is done."""
    node = Node(made_settings(folder), tell)
    try:
        for file in files:
            if file.name not in acknowledged:
                bring(node, file)
                acknowledged.add(file.name)
                node.settle()
                node.work()
                node.send()
        idle(node)
    finally:
        node.close()


def lives(folder: Path, files: list[Path], fuse: Fuse, deaths: list[int]) -> None:
    """As many lives as it takes: `deaths` says after how many steps each of the first ones ends."""
    acknowledged: set[str] = set()
    for death in [*deaths, 10**9]:
        fuse.left = death
        try:
            life(folder, files, acknowledged)
        except Crash:
            continue
        if set(acknowledged) == {file.name for file in files}:
            return
    pytest.fail("it never came to an end")


def end(folder: Path, archive: Archive) -> tuple:
    """What must be the same: studies and their objects, results and where they are."""
    told = [
        (one["key"], one["state"], one["objects"], tuple(one["results"].items())) for one in end_state(folder)
    ]
    kept = sorted(str(path.relative_to(folder)) for path in (folder / "studies").rglob("*.dcm"))
    return told, kept, sorted(archive.held)


@pytest.fixture
def files(tmp_path):
    """A patient of two studies and another one; the last slice is late, after its study was sent."""
    return [
        write_object(tmp_path / "sent", patient="A", day="20200302"),
        write_object(tmp_path / "sent", patient="A", day="20200309"),
        write_object(tmp_path / "sent", patient="A", day="20200309", slice_=1),
    ]


def test_it_may_die_at_any_write(tmp_path, files, monkeypatch):
    archive = Archive(monkeypatch)
    fuse = Fuse(monkeypatch)
    lives(tmp_path / "whole", files, fuse, [])
    steps = fuse.steps
    told = end(tmp_path / "whole", archive)
    assert [state for _, state, *_ in told[0]] == ["sent", "sent"]
    assert [objects for _, _, objects, _ in told[0]] == [1, 2]
    assert steps > 60
    undisturbed = dict(archive.held)
    for death in range(1, steps + 1):
        folder = tmp_path / f"{death}"
        lives(folder, files, fuse, [death])
        assert end(folder, archive) == told, death
        assert archive.held == undisturbed, death
        shutil.rmtree(folder)


def test_it_may_die_again_and_again(tmp_path, files, monkeypatch):
    archive = Archive(monkeypatch)
    fuse = Fuse(monkeypatch)
    lives(tmp_path / "whole", files, fuse, [])
    told, draw = end(tmp_path / "whole", archive), random.Random(0)
    for n in range(8):
        folder = tmp_path / f"{n}"
        lives(folder, files, fuse, [draw.randint(3, 45) for _ in range(6)])
        assert end(folder, archive) == told


def test_the_fuse_burns_through(tmp_path, files, monkeypatch):
    """Or the tests above would show nothing."""
    Archive(monkeypatch)
    fuse = Fuse(monkeypatch)
    fuse.left, acknowledged = 30, set()
    with pytest.raises(Crash):
        life(tmp_path / "node", files, acknowledged)
    assert len(acknowledged) < len(files)
