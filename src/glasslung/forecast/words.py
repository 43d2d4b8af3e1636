"""A forecast in plain words, the same on the command line and in the report."""

from __future__ import annotations

from glasslung.forecast.outlook import Forecast, RunTold, seen_badly

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
    """On which day of illness the scan is taken to be, and how sure that is."""
    dating = told.dating
    if dating.how == "never ill":
        return "The lung is taken to be never ill; the illness begins on the day of the scan."
    if dating.how == "told":
        return f"The scan is of day {dating.days[0]:g} of the illness, as told."
    low, high = dating.days[0], dating.days[-1]
    which = f"day {low:g} to {high:g}, about day {dating.middle:g}"
    text = f"The day of illness was not told. The {dating.votes} nearest training slices of ill lungs "
    if dating.share < 1:
        text += (
            f"vote on it, and only the {dating.share:.0%} of them count that are early enough to leave the "
            f"last day asked for within the 14 days that the model knows: {which}."
        )
    else:
        text += f"put it at {which}."
    text += " Each draw takes one of their days."
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
