"""What does not fit is told before it is tried."""

import pytest

from glasslung.errors import UsageError
from glasslung.nn import memory
from glasslung.nn.memory import GIB, check_fits, free_bytes


def test_what_fits_passes_and_what_does_not_says_what_to_lower():
    check_fits(GIB, "a step", "lower it", free=2 * GIB)
    with pytest.raises(
        UsageError, match=r"a step needs about 3\.0 GiB of memory, and 2\.0 are free: lower it"
    ):
        check_fits(3 * GIB, "a step", "lower it", free=2 * GIB)


def test_the_tighter_limit_counts(tmp_path, monkeypatch):
    info, most, used = tmp_path / "meminfo", tmp_path / "max", tmp_path / "current"
    info.write_text("MemTotal: 9999999 kB\nMemAvailable: 2048 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", info)
    monkeypatch.setattr(memory, "LIMITS", ((most, used),))
    assert free_bytes() == 2048 * 1024
    most.write_text("1000000\n")
    used.write_text("900000\n")
    assert free_bytes() == 100_000
    most.write_text("max\n")
    assert free_bytes() == 2048 * 1024
    info.write_text("nothing of use")
    assert free_bytes() is None
    check_fits(10**18, "a step", "lower it")  # a system that does not say is not guessed at
