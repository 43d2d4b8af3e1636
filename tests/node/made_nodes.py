"""Nodes whose analyses are quick and whose destination is a dictionary, for tests of everything around."""

from __future__ import annotations

import shutil
from pathlib import Path

import pydicom
from made_objects import write_result

from glasslung.node import node as node_room
from glasslung.node.exchange import read_result
from glasslung.node.node import Node
from glasslung.node.working import Done


def tell(job, work, folder, stopping) -> Done:
    """An analysis: one result, whose UID comes from what was read, as those of real results do."""
    read = [sorted(pydicom.dcmread(file).SOPInstanceUID for file in scan.iterdir()) for scan in job.scans]
    job.story.mkdir(parents=True, exist_ok=True)
    (job.story / "story.json").write_text("{}")
    return Done((write_result(job.results / "scan-01-seg.dcm", read),), "")


class Archive:
    """A destination that keeps what it is given by UID, as a PACS does, and counts how often."""

    def __init__(self, monkeypatch) -> None:
        self.held: dict[str, bytes] = {}
        self.times: dict[str, int] = {}
        monkeypatch.setattr(node_room, "send", self.send)

    def send(self, destination, own_title, paths):
        for path in paths:
            uid = read_result(path).uid
            self.held.setdefault(uid, path.read_bytes())
            self.times[uid] = self.times.get(uid, 0) + 1
            yield path


def bring(node: Node, file: Path, **how):
    """Take a copy of a file as if it had been received."""
    part = node.store.incoming() / f"{file.name}.part"
    shutil.copy(file, part)
    return node.intake.take(part, **how)


def idle(node: Node) -> bool:
    """Take every step until there is nothing left to be done; True."""
    while node.settle() or node.work() or node.send():
        pass
    return True


def states(node: Node) -> dict[str, str]:
    """Key -> state of every study."""
    return {study.key: str(study.state) for study in node.queue.studies()}
