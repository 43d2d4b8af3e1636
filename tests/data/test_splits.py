"""Quotas and dealing: nothing lost, nobody twice, every part served."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.splits import deal, quotas
from glasslung.errors import DataError

THREE = {"train": 0.7, "val": 0.1, "test": 0.2}


@given(st.integers(0, 500))
@settings(deadline=None, max_examples=60)
def test_quotas_add_up_and_leave_no_part_empty(count):
    given_out = quotas(count, THREE)
    assert sum(given_out.values()) == count
    assert (0 in given_out.values()) == (count < 3)
    assert all(abs(given_out[part] - share * count) < 2 for part, share in THREE.items())


def test_quotas_landmarks():
    assert quotas(10, THREE) == {"train": 7, "val": 1, "test": 2}
    assert quotas(3, THREE) == {"train": 1, "val": 1, "test": 1}


def test_other_strata_do_not_change_a_patients_part():
    one = {f"p{i}": ("covid",) for i in range(20)}
    more = one | {f"q{i}": ("healthy",) for i in range(20)}
    assert deal(one, THREE, 3).items() <= deal(more, THREE, 3).items()


def test_a_small_stratum_is_told():
    with pytest.raises(DataError, match=r"'rare' has 1 patient\(s\)"):
        deal({"a": ("rare",), **{f"p{i}": ("covid",) for i in range(9)}}, THREE, 0)
