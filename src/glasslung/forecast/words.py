"""A forecast in plain words, the same on the command line and in the report."""

from __future__ import annotations

from collections.abc import Iterable

from glasslung.forecast.course import LAST_DAY
from glasslung.forecast.outlook import Forecast, RunTold, seen_badly
from glasslung.forecast.strip import after_words

AGE_WORDS = {"t0": "never ill", "t1": "days 0 to 4", "t2": "days 5 to 9", "t3": "days 10 to 14"}
MUCH_HEALTHY = 0.5  # of the nearest slices: more often than not such a slice is of nobody ill


def run_words(run: RunTold) -> str:
    """'Run course-1 (ageflow), trained on 400 slices: 100 never ill, 100 of days 0 to 4, ...'"""
    name = f"Run {run.name} ({run.method})" if run.name != run.method else f"Run {run.name}"
    if not run.slices:
        return f"{name}; its folder does not say what it was trained on"
    parts = [
        f"{count} {AGE_WORDS[age]}" if age == "t0" else f"{count} of {AGE_WORDS[age]}"
        for age, count in run.slices.items()
    ]
    return f"{name}, trained on {sum(run.slices.values())} slices: {', '.join(parts)}"


def dating_words(told: Forecast) -> str:
    """On which day of illness the scan is taken to be, how sure that is, and which days it leaves out."""
    return " ".join(filter(None, (_dated(told), reach_words(told))))


def _dated(told: Forecast) -> str:
    dating = told.dating
    if dating.how == "never ill":
        return "The lung is taken to be never ill; the illness begins on the day of the scan."
    if dating.how == "told":
        return f"The scan is of day {dating.days[0]:g} of the illness, as told."
    low, high = dating.days[0], dating.days[-1]
    text = (
        f"The day of illness was not told. The {dating.votes} nearest training slices of ill lungs put it at "
        f"day {low:g} to {high:g}, about day {dating.middle:g}. Each draw takes one of their days."
    )
    if dating.since > 0:
        text += (
            f" None is before day {dating.since:g}: the first scan was made {dating.since:g} days earlier."
        )
    if told.day_error is not None and told.blind_error is not None:
        text += (
            f" On unseen patients such an estimate misses by {told.day_error:.1f} days on average; the same "
            f"day for all would miss by {told.blind_error:.1f}."
        )
    if dating.healthy > MUCH_HEALTHY:
        text += (
            f" {dating.healthy:.0%} of the nearest slices of all are of lungs that were never ill: that this "
            "one is ill is an assumption."
        )
    return text


def reach_words(told: Forecast) -> str:
    """Which days wanted are left out, and which draws stop at the last day known; '' where none are."""
    parts, middle = [], told.dating.middle or 0.0
    if told.left_out:
        wanted = _list(f"{days:g}" for days in told.left_out)
        beyond = _list(f"{middle + days:g}" for days in told.left_out)
        many = "s" if len(told.left_out) > 1 else ""
        parts.append(
            f"Left out: {wanted} days after the scan. That would be day{many} {beyond} of the illness, and "
            f"the model knows none after day {LAST_DAY}."
        )
    if held := [moment for moment in told.moments if moment.held > 0]:
        shares = _list(f"{moment.held:.0%} {after_words(moment.days).lower()}" for moment in held)
        parts.append(f"Draws that come to day {LAST_DAY} before stay on it: {shares}.")
    return " ".join(parts)


def _list(words: Iterable[str]) -> str:
    """'5', '5 and 10', '3, 5 and 10'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def familiarity_words(told: Forecast) -> str:
    """How far the slice lies from what the model knows."""
    doubts = "" if not told.doubts else f" Its lung outline is not trusted: {'; '.join(told.doubts)}."
    if told.familiarity is None:
        return f"This run keeps no reference: nothing says whether it knows such a lung.{doubts}"
    return f"{told.familiarity.text}{doubts}"


def likeness_words(told: Forecast) -> str:
    """Whether the model's own picture of the scan holds what the scan holds; '' where it does."""
    if not seen_badly(told.dense, told.now):
        return ""
    return (
        f"The model does not see this scan well: in its own picture {told.now.mean:.1f} % of the lung is "
        f"dense, in the scan {told.dense:.1f} %. What it does not see, it cannot forecast."
    )
