"""Texts from the command line, read or refused."""

from __future__ import annotations

import pytest

from glasslung.cli.options import intensity_named, numbers, whole_numbers, whole_seed
from glasslung.errors import UsageError
from glasslung.types import Intensity


def test_numbers_with_commas_are_read():
    assert numbers("0,4.5,9", "--days") == (0.0, 4.5, 9.0)
    assert whole_numbers("5, 10", "--labels") == (5, 10)
    assert numbers("", "--days") == whole_numbers("", "--labels") == ()


@pytest.mark.parametrize("text", ["1.5", "1,,2", "one", "1;2"])
def test_what_is_no_whole_number_is_refused_by_the_name_of_its_option(text):
    with pytest.raises(UsageError, match="--labels"):
        whole_numbers(text, "--labels")


def test_a_seed_is_0_or_more_where_one_is_given():
    assert (whole_seed(0), whole_seed(None)) == (0, None)
    with pytest.raises(UsageError, match="0 or more"):
        whole_seed(-1)


def test_greys_are_named_or_left_to_the_file():
    assert (intensity_named("hu"), intensity_named("")) == (Intensity.HU, None)
    with pytest.raises(UsageError, match="display8"):
        intensity_named("suv")
