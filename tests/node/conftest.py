"""Tests of the node do not wait for the disk: what they kill is a process, not the power."""

from __future__ import annotations

import os

import pytest

from glasslung.node import queue as queue_room


@pytest.fixture(autouse=True)
def disk_waits(monkeypatch):
    """How often somebody would have waited for the disk: one entry for each time."""
    waits: list[int] = []
    monkeypatch.setattr(os, "fsync", waits.append)
    monkeypatch.setattr(queue_room, "PRAGMAS", (*queue_room.PRAGMAS, "synchronous=OFF"))
    return waits
