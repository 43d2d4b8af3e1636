"""Outlook: what a model of many stays expects of the patient, beside the patients it was tried on."""

from __future__ import annotations

import math

from glasslung.analyze.foreseeing import NOBODY_WANTED, NONE_SHIPS
from glasslung.data.stays import LOG_DAYS
from glasslung.report import tables
from glasslung.report.markup import Html, escaped, tag
from glasslung.report.wording import SPACE, listing, number, sentence, signed
from glasslung.types import Prognosis, Story


def prognosis_section(story: Story) -> tuple[str, Html] | None:
    """The heading and all that is told of a prognosis; None in stories that never asked for one."""
    if story.prognosis is None:
        if story.unforeseen in ("", NOBODY_WANTED, NONE_SHIPS):
            return None
        return "Prognosis", tag("p", sentence(f"No prognosis: {story.unforeseen}"), class_="quiet")
    told = [story.prognosis, *story.further]
    parts = [
        part
        for one in told
        for part in (_answer(one), tag("div", _chart(one), _worth(one), class_="columns outlook"))
    ]
    return "Prognosis", tag("div", *parts, tag("p", _read_words(story.prognosis), class_="quiet"))


def by_when(told: Prognosis) -> str:
    """'within 14 days of', or, of a state that passes, '7 days after'."""
    first = told.curve.chance[0] if told.curve.chance else 0.0
    lasts = first > 0.5  # everybody is in such a state at first, and leaves it
    return f"{told.horizon:g} days after" if lasts else f"within {told.horizon:g} days of"


def _chart(told: Prognosis) -> Html:
    from glasslung.report.survivalcharts import draw_prognosis

    groups = listing([f"{group.name} ({group.patients})" for group in told.groups]) if told.groups else ""
    by = f" by {told.groups_by}" if told.groups_by else ""
    caption = f"This patient, and patients{by}: {groups}" if groups else "This patient"
    said = f"{caption}; chance of {told.endpoint} {_share(told.chance)} by day {told.horizon:g}"
    drawn = draw_prognosis(told).replace('role="img"', f'role="img" aria-label="{escaped(said)}"', 1)
    return tag("figure", tag("figcaption", caption), Html(drawn), class_="panel survival")


def _answer(told: Prognosis) -> Html:
    low, high = told.interval
    chance = tag("strong", _share(told.chance))
    return tag(
        "div",
        tag(
            "p",
            chance,
            f" chance of {told.endpoint} {by_when(told)} the last scan",
            class_="odds",
        ),
        tag(
            "p",
            f"95{SPACE}% limits {_share(low)} to {_share(high)}. {number(told.percentile)}{SPACE}% of the "
            f"patients it learned from had a lower risk; it counts as {told.group}.",
        ),
    )


def _worth(told: Prognosis) -> Html:
    """What the model was worth, beside age and sex alone, and what stands against believing it."""
    head = [tag("th", told.score, scope="col"), tag("th", "", scope="col", class_="num")]
    rows = [
        _worth_row(told.model, told.worth, strong=True),
        _worth_row("age and sex alone", told.plain),
    ]
    table = tables.table("What the prognosis is worth", head, rows, "glance worth")
    doubts = [
        tag("li", tag("span", "Doubt", class_="chip warn"), tag("span", sentence(doubt)))
        for doubt in told.doubts
    ]
    list_ = tag("ul", *doubts, class_="remarks") if doubts else None
    return tag(
        "div", tag("h4", "How far to believe it"), table, tag("p", _gain_words(told), class_="quiet"), list_
    )


def _gain_words(told: Prognosis) -> str:
    """Whether it tells more than age and sex: by the paired difference, for intervals of each hide it."""
    if told.gain is None:
        return "Whether it tells more than age and sex do was not tested on the same patients."
    low, high = told.gain[1:]
    value, *ends = (signed(one, 2) for one in told.gain)
    by = f"on the same patients {value} [{', '.join(ends)}]"
    if low > 0:
        return f"It tells more than age and sex alone: {by}."
    if high < 0:
        return f"It tells less than age and sex alone: {by}."
    return f"Nothing shows that it tells more than age and sex do: {by}, which holds zero."


def _worth_row(name: str, limits: tuple[float, float, float], strong: bool = False) -> Html:
    value, low, high = (f"{one:.2f}" for one in limits)
    figure = f"{value} [{low}, {high}]"
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", tag("strong", figure) if strong else figure, class_="num"),
    )


def _read_words(told: Prognosis) -> str:
    """What it read, what it learned from, and what it cannot do."""
    read = [_read(name, value) for name, value in told.columns.items()]
    person = {"age", "male"} & set(told.columns)
    said = [f"{told.model} ({told.digest}) read {listing(list(told.scans))}: {listing(read)}."]
    if person:
        said.append("Age and sex are inputs of the model alone and are kept nowhere else in this story.")
    else:
        said.append("Age and sex were not used.")
    said.append(f"Learned from: {told.trained_on.rstrip('.')}. Limits: {told.limits.rstrip('.')}.")
    return " ".join(said)


def _read(name: str, value: float) -> str:
    """A column with what was read in it, as a person says it."""
    from glasslung.predict.prognosis import words_for

    if name == "male":
        return "sex male" if value else "sex female"
    if name == LOG_DAYS:
        return f"{math.expm1(value):.3g} days between the scans"
    return f"{words_for(name)} {number(value, 0 if value == round(value) else 1)}"


def _share(value: float) -> str:
    return f"{number(100 * value)}{SPACE}%"
