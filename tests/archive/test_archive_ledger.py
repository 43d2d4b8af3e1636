"""The ledger: what is written is there, whoever was killed."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from glasslung.archive.ledger import ASIDE, DONE, LEDGER, Outcome, open_ledger
from glasslung.errors import DataError


def test_what_is_written_is_read_again(tmp_path):
    rows = {"ml": 1.5, "trusted": True, "by": "rules"}, {}
    done = Outcome("k1", DONE, rows=rows, seconds=2.0, memory_mb=300.0)
    aside = Outcome("k2", ASIDE, "data", "no lung", "trace")
    with open_ledger(tmp_path) as ledger:
        assert ledger.asked() is None
        ledger.begin({"threads": 1, "keep": "everything"})
        ledger.write(done, "s1")
        ledger.write(aside, "s2")
    with open_ledger(tmp_path) as ledger:
        assert ledger.asked() == {"threads": 1, "keep": "everything"}
        assert ledger.states() == {"k1": ("s1", DONE), "k2": ("s2", ASIDE)}
        assert (ledger.outcome("k1"), ledger.outcome("k2"), ledger.outcome("k3")) == (done, aside, None)
        ledger.write(Outcome("k2", DONE), "s3")
        assert ledger.states()["k2"] == ("s3", DONE)


def test_a_power_cut_loses_nothing_that_was_written(tmp_path):
    """The files as they lie on the disk while the process still runs are a whole ledger."""
    (tmp_path / "cut").mkdir()
    with open_ledger(tmp_path) as ledger:
        ledger.write(Outcome("k1", DONE), "s1")
        for file in tmp_path.glob(f"{LEDGER}*"):
            shutil.copy(file, tmp_path / "cut")
    with open_ledger(tmp_path / "cut") as ledger:
        assert ledger.states() == {"k1": ("s1", DONE)}


def test_nobody_else_writes_to_an_open_ledger(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.write(Outcome("k1", DONE), "s1")
        other = sqlite3.connect(tmp_path / LEDGER, timeout=0.0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM outcomes")
        other.close()


def test_a_damaged_ledger_and_a_full_disk_are_told_in_a_line(tmp_path):
    (tmp_path / LEDGER).write_bytes(b"no database " * 100)
    with pytest.raises(DataError, match="it is damaged: move it away"), open_ledger(tmp_path):
        pass
    (tmp_path / LEDGER).unlink()
    with open_ledger(tmp_path) as ledger:
        ledger._db.execute("PRAGMA max_page_count=8")  # SQLite's own full disk
        with pytest.raises(DataError, match="is full; check the folder and the free space"):
            for n in range(100):
                ledger.write(Outcome(f"k{n}", ASIDE, "bug", trace="x" * 5000), "s")
        kept = len(ledger.states())
    with open_ledger(tmp_path) as ledger:
        assert len(ledger.states()) == kept > 0
