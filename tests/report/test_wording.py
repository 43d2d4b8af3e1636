"""Wording: one way to print a figure."""

import pytest

from glasslung.report.wording import (
    amount,
    count,
    day,
    days,
    difference,
    in_columns,
    listing,
    ml,
    number,
    percent,
    rate,
    sentence,
    signed,
)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (number(12345.6), "12\u202f346"),
        (number(-1234.5, 1), "\u22121\u202f234.5"),
        (number(-0.04, 1), "0.0"),
        (number(None), "\u2013"),
        (signed(3.04, 1), "+3.0"),
        (signed(-3), "\u22123"),
        (signed(0.04, 1), "0.0"),
        (signed(-0.04, 1), "0.0"),
        (ml(4812.4), "4\u202f812\u00a0ml"),
        (ml(None), "\u2013"),
        (percent(31.24), "31.2\u00a0%"),
        (percent(0.0), "0.0\u00a0%"),
        (percent(0.04), "<\u00a00.1\u00a0%"),
        (percent(None), "\u2013"),
        (amount(3.0, "points"), "3"),
        (amount(3.0, "percent"), "3.0\u00a0%"),
        (amount(3.0, "ml"), "3\u00a0ml"),
        (difference(-2.26, "percent"), "\u22122.3\u00a0pp"),
        (difference(600, "ml"), "+600\u00a0ml"),
        (difference(2, "points"), "+2"),
        (rate(0.5, "points"), "+0.5 / day"),
        (rate(-12.2, "ml"), "\u221212\u00a0ml / day"),
        (day(9.0), "day\u00a09"),
        (day(0.5), "day\u00a00.5"),
        (days(1), "1\u00a0day"),
        (days(16), "16\u00a0days"),
        (count(1, "scan"), "One scan"),
        (count(4, "scan"), "Four scans"),
        (count(40, "scan"), "40 scans"),
        (listing(["a"]), "a"),
        (listing(["a", "b", "c"]), "a, b and c"),
        (sentence("the end"), "The end."),
        (sentence("Done!"), "Done!"),
        (sentence(""), ""),
    ],
)
def test_figures_are_printed_one_way(made, shown):
    assert made == shown


def test_columns_are_as_wide_as_their_widest_text_and_no_line_ends_in_spaces():
    assert (
        in_columns([("run", "steps", "state"), ("long name", "5", "")])
        == "run        steps  state\nlong name  5"
    )
