"""Followed: what became of the lesions between each two scans, or why that cannot be told."""

from __future__ import annotations

from functools import partial

from glasslung.report import tables
from glasslung.report.markup import Html, joined, tag
from glasslung.report.wording import NOTHING, SPACE, number, sentence, signed
from glasslung.types import Comparison, FollowedLesion, Story

FATES = {
    "new": "not there before",
    "grown": "larger by a quarter or more",
    "steady": "within a quarter of its size",
    "shrunk": "smaller by a quarter or more",
    "resolved": "gone",
}
SHOWN = 8  # lesions told one by one; what is smaller is in the totals
_num = partial(tag, "td", class_="num")


def changes_of_lesions(story: Story) -> Html | None:
    """One part for each two neighbours in time; None where the story compares none."""
    if not story.comparisons:
        return None
    newest, *earlier = reversed(story.comparisons)
    return joined(_of_pair(newest, story), *(_earlier(one, story) for one in earlier))


def headline(told: Comparison) -> str:
    """What became of the lesions, in one sentence; or why that cannot be told."""
    if not told.compared:
        return "These two scans could not be laid on one another: " + "; ".join(told.reasons) + "."
    by_fate = {one.fate: one for one in told.fates}
    came = sum(max(0.0, one.after_ml - one.before_ml) for one in told.fates)
    went = sum(max(0.0, one.before_ml - one.after_ml) for one in told.fates)
    kinds = [f"{one.count} {one.fate}" for one in told.fates if one.count]
    if not kinds:
        return "No lesion of a size that can be followed, in either scan."
    before = sum(one.before_ml for one in by_fate.values())
    after = sum(one.after_ml for one in by_fate.values())
    share = f" ({signed(100 * (after - before) / before)}{SPACE}%)" if before > 0 else ""
    return (
        f"Lesions {', '.join(kinds)}: {number(before)}{SPACE}ml became {number(after)}{SPACE}ml{share}, "
        f"{number(came)}{SPACE}ml gained and {number(went)}{SPACE}ml lost."
    )


def _earlier(told: Comparison, story: Story) -> Html:
    """An earlier pair: its sentence, and the rest where it is wanted."""
    said = f"{_apart(told, story)}. {headline(told)}"
    name = tag("strong", f"{told.scan_before} to {told.scan_after}")
    return tag("details", tag("summary", name, f" \u00b7 {said}"), *_body(told), class_="pair")


def _of_pair(told: Comparison, story: Story) -> Html:
    """The newest pair, whole."""
    apart = tag("span", f" \u00b7 {_apart(told, story)}", class_="day")
    heading = tag("h3", f"{told.scan_before} to {told.scan_after}", apart)
    said = tag("p", tag("strong", headline(told)), class_="headline") if told.compared else None
    return tag("div", heading, said, *_body(told), class_="pair")


def _apart(told: Comparison, story: Story) -> str:
    """'5 days apart', as far as the days are known."""
    days = {scan.scan: scan.day for scan in story.scans}
    gap = None
    if days[told.scan_before] is not None and days[told.scan_after] is not None:
        gap = (days[told.scan_after] or 0.0) - (days[told.scan_before] or 0.0)
    if gap is None:
        return "days between them not known"
    return "of one day" if gap == 0 else f"{gap:g} day{'' if gap == 1 else 's'} apart"


def _body(told: Comparison) -> list[Html | None]:
    """Tables, cautions and facts; or why there are none."""
    if not told.compared:
        return [_failed(told)]
    cautions = [tag("li", sentence(text)) for text in told.cautions]
    lists = tag("ul", *cautions, class_="why") if cautions else None
    tables_ = tag("div", _fates_table(told), _lesions_table(told), class_="columns fates")
    return [lists, tables_, tag("p", _facts(told), class_="quiet")]


def _failed(told: Comparison) -> Html:
    items = [tag("li", sentence(reason)) for reason in told.reasons]
    tried = ""
    if told.dice_after is not None:
        tried = (
            f" It was tried: the lungs overlapped with Dice {told.dice_before or 0:.2f} before and "
            f"{told.dice_after:.2f} after."
        )
    return tag(
        "div",
        tag(
            "p", tag("strong", "Not laid on one another. "), "No lesion is followed between these two scans."
        ),
        tag("ul", *items, class_="why"),
        tag("p", "The figures of both scans stand beside each other below." + tried),
        class_="refusal",
    )


def _facts(told: Comparison) -> str:
    who = "opacity by density" if told.lesions_by == "density" else f"lesions by {told.lesions_by}"
    grid = (
        f"{sentence(f'compared: {who}')} Volumes are on the later scan's grid, so that breath does not "
        "count as growth; a lesion is what touches in either scan."
    )
    said = [grid]
    if told.dice_after is not None and told.dice_before is not None:
        said.append(
            f"The lungs overlap with Dice {told.dice_after:.2f} after registration, {told.dice_before:.2f} "
            "before."
        )
    if told.volume_ratio is not None:
        said.append(f"The earlier lungs held {told.volume_ratio:.2f} times the volume of the later ones.")
    if told.small_ml >= 0.05:
        said.append(f"{number(told.small_ml, 1)}{SPACE}ml lie in lesions too small to be followed.")
    return " ".join(said)


def _fates_table(told: Comparison) -> Html:
    head = [tag("th", "Fate", scope="col")]
    head += [tag("th", name, scope="col", class_="num") for name in ("Lesions", "Before", "After", "Change")]
    rows = []
    for one in told.fates:
        gain = one.after_ml - one.before_ml
        name = tag(
            "th",
            tag("i", class_=f"swatch fate-{one.fate}"),
            one.fate,
            tag("small", FATES[one.fate]),
            scope="row",
        )
        cells = [_ml(one.before_ml), _ml(one.after_ml), f"{signed(gain, _places(gain))}{SPACE}ml"]
        some = cells if one.count else [NOTHING] * 3
        rows.append(tag("tr", name, _num(str(one.count)), *map(_num, some)))
    return tables.table(f"Lesions by fate, {told.scan_before} to {told.scan_after}", head, rows, "fate-table")


def _lesions_table(told: Comparison) -> Html | None:
    """The largest lesions with their place."""
    if not told.lesions:
        return None
    head = [tag("th", "Largest lesions", scope="col"), tag("th", "Slice", scope="col", class_="num")]
    head += [tag("th", name, scope="col", class_="num") for name in ("Before", "After", "Pieces")]
    rows = [_lesion_row(one) for one in told.lesions[:SHOWN]]
    return tables.table("The largest lesions", head, rows, "fate-table")


def _lesion_row(one: FollowedLesion) -> Html:
    x, y, z = one.centre_mm
    place = f"x{SPACE}{number(x)}, y{SPACE}{number(y)}, z{SPACE}{number(z)}{SPACE}mm"
    name = tag("th", tag("i", class_=f"swatch fate-{one.fate}"), one.fate, tag("small", place), scope="row")
    pieces = f"{one.parts_before} \u2192 {one.parts_after}"
    return tag(
        "tr", name, _num(str(one.slice)), _num(_ml(one.before_ml)), _num(_ml(one.after_ml)), _num(pieces)
    )


def _ml(value: float) -> str:
    return f"{number(value, _places(value))}{SPACE}ml"


def _places(value: float) -> int:
    return 1 if abs(value) < 10 else 0
