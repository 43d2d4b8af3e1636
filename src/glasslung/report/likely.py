"""Likely: what a trained run expects of the last scan's lung, and how far to believe it."""

from __future__ import annotations

import base64

from glasslung.forecast.familiarity import Trust
from glasslung.forecast.outlook import Forecast, MomentTold
from glasslung.forecast.strip import after_words
from glasslung.forecast.words import dating_words, familiarity_words, likeness_words, run_words
from glasslung.report import tables
from glasslung.report.markup import Html, section, tag
from glasslung.report.wording import SPACE, percent, signed
from glasslung.types import DISCLAIMER

_CHIPS = {Trust.FAMILIAR: "good", Trust.CARE: "care", Trust.DOUBT: "bad"}
_READ_AS = (
    "Left the middle slice of the scan; beside it the mean of the draws for each day, and under it where "
    "they disagree: black where all say the same."
)


def likely_next(told: Forecast, strip: bytes) -> Html:
    """The strip, the figures with their ranges, and what they rest on."""
    lead = (
        f"{told.draws} draws of a trained model for {told.scan}, carried on in time. An experiment on one "
        f"small slice, not a prognosis. {DISCLAIMER}"
    )
    return section(
        "next",
        "What is likely next",
        tag("p", lead, class_="refusal"),
        _strip(told, strip),
        tag("p", _READ_AS, class_="quiet"),
        _days(told),
        tag("h3", "How far to believe it ", *_chips(told)),
        tag("ul", *(tag("li", text) for text in _grounds(told)), class_="grounds"),
    )


def _strip(told: Forecast, strip: bytes) -> Html:
    """The strip as a picture with its words; black to its edges, so it sits in a black frame."""
    days = ", ".join(after_words(moment.days).lower() for moment in told.moments)
    picture = tag(
        "img",
        src=f"data:image/png;base64,{base64.b64encode(strip).decode()}",
        alt=f"The slice of {told.scan}, and its forecast: {days}; below, the spread of the draws",
        class_="forecast",
    )
    return tag("figure", picture, class_="tile")


def _chips(told: Forecast) -> list[Html]:
    """How familiar the slice is, and whether the model sees it: the first alone could calm falsely."""
    unseen = [tag("span", "not seen well", class_="chip care")] if likeness_words(told) else []
    return [_familiar(told), Html(" "), *unseen]


def _familiar(told: Forecast) -> Html:
    if told.familiarity is None:
        return tag("span", "not known", class_="chip care")
    trust = told.familiarity.trust
    return tag("span", trust.value, class_=f"chip {_CHIPS[trust]}")


def _days(told: Forecast) -> Html:
    """Dense lung by day; changes are against the model's own picture of the scan, so both are shown."""
    head = [
        tag("th", name, scope="col", class_=style)
        for name, style in (
            ("", None),
            ("Dense lung in the slice", "num"),
            ("80 % of draws", "num"),
            ("Change since the scan", "num"),
            ("80 % of draws", "num"),
        )
    ]
    now = told.now
    rows = [
        _row("The scan", percent(told.dense), "", "", ""),
        _row("The scan as the model sees it", percent(now.mean), _span(now.low, now.high), "", ""),
        *(_moment(moment) for moment in told.moments),
        *(_row(after_words(days), "left out", "", "", "") for days in told.left_out),
    ]
    return tables.table("Dense lung by day", head, rows, "glance")


def _moment(moment: MomentTold) -> Html:
    dense, change = moment.dense, moment.change
    return _row(
        after_words(moment.days),
        percent(dense.mean),
        _span(dense.low, dense.high),
        f"{signed(change.mean, 1)}{SPACE}pp",
        f"{signed(change.low, 1)} to {signed(change.high, 1)}",
    )


def _row(name: str, *cells: str) -> Html:
    return tag("tr", tag("th", name, scope="row"), *(tag("td", cell, class_="num") for cell in cells))


def _span(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"


def _grounds(told: Forecast) -> list[str]:
    known = [familiarity_words(told), likeness_words(told), dating_words(told), f"{run_words(told.run)}."]
    return [*(text for text in known if text), *told.caveats]
