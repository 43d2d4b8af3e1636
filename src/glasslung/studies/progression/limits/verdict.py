"""What follows from the limits of a cohort, in words made from its figures: what is seen, what can and what
cannot be concluded.

A sentence is there only when the interval behind it allows it; where a part could not be measured, the reason
stands in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]

AS_THEY_ARE = "as they are"
CEILING = "plain and texture"  # the richest features: what they cannot tell, no probe here can
HEALTHY, AGES, ALL = "healthy or ill", "ages of the ill", "all groups"
CHANCE = 0.5
NAMED_LOOKS = 3  # quantities that are named in a sentence; all of them are in the table


def conclude(found: Found) -> dict[str, list[str]]:
    """Sentences under 'seen', 'can' and 'cannot', from what `measure_limits` found."""
    return {
        "seen": [*_seen_day(found), *_seen_looks(found), *_seen_told(found), *_seen_standards(found)],
        "can": list(_can(found)),
        "cannot": list(_cannot(found)),
    }


def row_of(found: Found, method: str, features: str, task: str, classifier: str = "") -> Found | None:
    """The row of one treatment, kind of features and task; the first classifier unless one is named."""
    by = classifier or found["settings"]["classifier"]
    wanted = {"method": method, "features": features, "task": task, "classifier": by}
    return next((row for row in found["told"] if wanted.items() <= row.items()), None)


def told_text(interval: Found) -> str:
    """'0.97 [0.96, 0.98]'."""
    return f"{interval['value']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


def standards_of(found: Found) -> list[str]:
    """The treatments of greys beside leaving them as they are, in order."""
    return [name for name in dict.fromkeys(row["method"] for row in found["told"]) if name != AS_THEY_ARE]


def outcome_order(day: Found) -> str:
    """'falls', 'rises' or 'unclear': how the outcome's share goes with the day."""
    early = day["event told by an early day"]
    return "falls" if early["low"] > CHANCE else "rises" if early["high"] < CHANCE else "unclear"


def _excludes(interval: Found, value: float) -> bool:
    return not interval["low"] <= value <= interval["high"]


# ----------------------------------------------------------------------------------------------- what is seen


def _seen_day(found: Found) -> Iterator[str]:
    day = found["day"]
    if "missing" in day:
        yield f"Day and outcome could not be compared: {day['missing']}."
        return
    bands = ", ".join(
        f"{b['events']} of {b['patients']} on days {b['first']} to {b['last']} ({100 * b['share']:.0f} % "
        f"[{100 * b['low']:.0f}, {100 * b['high']:.0f}])"
        for b in day["bands"]
    )
    order = {
        "falls": "The outcome falls with the day",
        "rises": "The outcome rises with the day",
        "unclear": "The outcome does not clearly go with the day",
    }[outcome_order(day)]
    medians = day["median_day"]
    yield (
        f"{order}: it came to {bands}. The median day is {medians['event']['median']:g} with it and "
        f"{medians['no event']['median']:g} without; an early day alone tells it with AUC "
        f"{told_text(day['event told by an early day'])}"
        + (f", the slice with {told_text(seen)}." if (seen := day["event told by the picture"]) else ".")
    )
    grey = day["grey_with_day"]
    if grey["all"] is not None:
        within = [
            f"{told_text(grey[name])} among those {word}"
            for name, word in (("event", "with the outcome"), ("no event", "without it"))
            if grey[name] is not None
        ]
        yield (
            f"Day and mean grey of the lung have a rank correlation of {told_text(grey['all'])}"
            + (f"; {' and '.join(within)}." if within else ".")
        )


def _seen_looks(found: Found) -> Iterator[str]:
    told = {
        name: look
        for name, look in found["looks"].items()
        if look["told_healthy"] and _excludes(look["told_healthy"], CHANCE)
    }
    strongest = sorted(told, key=lambda name: -abs(told[name]["told_healthy"]["value"] - CHANCE))
    if not strongest:
        return
    parts = [
        f"{name} ({_medians(told[name])}; AUC {told_text(told[name]['told_healthy'])})"
        for name in strongest[:NAMED_LOOKS]
    ]
    yield (
        f"{len(told)} of {len(found['looks'])} plain quantities differ between healthy and ill; most of all "
        f"the median of {'; '.join(parts)}. Above 0.5 the ill have more of it."
    )


def _medians(look: Found) -> str:
    return ", ".join(f"{group} {each['median']:.3g}" for group, each in look["groups"].items())


def _seen_told(found: Found) -> Iterator[str]:
    for task, about in found["tasks"].items():
        if "missing" in about:
            yield f"How well {task} can be told was not measured: it {about['missing']}."
            continue
        kinds = dict.fromkeys(
            row["features"] for row in found["told"] if row["method"] == AS_THEY_ARE and row["task"] == task
        )
        told = ", ".join(
            f"{kind} {told_text(row['told'])}"
            for kind in kinds
            if (row := row_of(found, AS_THEY_ARE, kind, task)) is not None
        )
        yield f"Told apart, {task} ({about['measure']}, chance {about['chance']:.2f}): {told}."
    if found["told"]:
        yield (
            "These intervals resample patients; they do not hold the luck of who set the standard of grey, "
            "nor of how patients were dealt to folds: try other seeds before a small change is believed."
        )


def _seen_standards(found: Found) -> Iterator[str]:
    methods = standards_of(found)
    if found["told"] and not methods:
        yield "Standardised greys were not tried: the groups are too small to spare patients as the standard."
    for method in methods:
        parts = [part for task in (HEALTHY, AGES) if (part := _standard_part(found, method, task))]
        if parts:
            yield f"Greys standardised by {method}: {'; '.join(parts)}."


def _standard_part(found: Found, method: str, task: str) -> str:
    both = rows_after(found, method, task)
    if not both:
        return ""
    first = both[0]
    text = (
        f"{task} {told_text(first['told'])}, a change of {first['change']['value']:+.2f} "
        f"[{first['change']['low']:+.2f}, {first['change']['high']:+.2f}]"
    )
    others = ", ".join(f"{row['classifier']} {told_text(row['told'])}" for row in both[1:])
    text += f" ({others})" if others else ""
    bright = row_of(found, method, "brightness", task)
    return text + (f", by brightness alone {told_text(bright['told'])}" if bright else "")


def rows_after(found: Found, method: str, task: str) -> list[Found]:
    """The rows of all classifiers on the richest features, after one treatment."""
    return [
        row
        for row in found["told"]
        if row["method"] == method and row["task"] == task and row["features"] == CEILING
    ]


def removed_by(found: Found) -> list[str]:
    """Treatments after which no classifier tells healthy from ill: every interval holds chance."""
    return [
        method
        for method in standards_of(found)
        if (rows := rows_after(found, method, HEALTHY))
        and not any(_excludes(row["told"], CHANCE) for row in rows)
    ]


# ------------------------------------------------------------------------------------- what follows from it


def _can(found: Found) -> Iterator[str]:
    for task in (ALL, AGES):
        row = row_of(found, AS_THEY_ARE, CEILING, task)
        if row is None:
            continue
        best = max(
            (one for one in found["told"] if one["method"] == AS_THEY_ARE and one["task"] == task),
            key=lambda one: one["told"]["value"],
        )
        chance = found["tasks"][task]["chance"]
        if _excludes(best["told"], chance):
            yield (
                f"A score of made slices on {task} can be read against {told_text(best['told'])} "
                f"({best['features']}, {best['classifier']}; the best of those tried) on real slices of "
                f"unseen patients, chance {chance:.2f}: far above it the groups are exaggerated."
            )
    if brightness_gone := [name for name in standards_of(found) if _gone(found, name, "brightness")]:
        yield (
            f"The part of the difference between healthy and ill that lies in the histogram of the lung can "
            f"be taken out ({_listed(brightness_gone)}): brightness alone is then at chance."
        )
    for method in removed_by(found):
        yield f"After {method} nothing that is measured here tells healthy from ill."
    if kept := [name for name in standards_of(found) if _kept(found, name)]:
        yield f"The {AGES} are still told apart, with no loss shown, after {_listed(kept)}."


def _gone(found: Found, method: str, kind: str) -> bool:
    before, after = (row_of(found, one, kind, HEALTHY) for one in (AS_THEY_ARE, method))
    return bool(before and after and before["told"]["low"] > CHANCE and not _excludes(after["told"], CHANCE))


def _kept(found: Found, method: str) -> bool:
    rows = rows_after(found, method, AGES)
    chance = found["tasks"].get(AGES, {}).get("chance", CHANCE)
    return bool(rows) and all(row["change"]["high"] >= 0 and row["told"]["low"] > chance for row in rows)


def _cannot(found: Found) -> Iterator[str]:
    yield from _cannot_day(found)
    yield from _cannot_healthy(found)
    row = row_of(found, AS_THEY_ARE, CEILING, AGES)
    if row and not _excludes(row["told"], found["tasks"][AGES]["chance"]):
        yield f"That the ages of the ill differ at all: {told_text(row['told'])} holds chance."
    if found["patients_on_two_days"] == 0:
        yield (
            "How one patient's lung changes: nobody is seen on two days, so which slice of one age belongs "
            "to which of another is the model's choice, not a finding."
        )


def _cannot_day(found: Found) -> Iterator[str]:
    day = found["day"]
    if "missing" in day:
        return
    order = outcome_order(day)
    if order == "unclear":
        return
    latest = max(row["day"] for row in day["by_day"])
    way = "severe to mild" if order == "falls" else "mild to severe"
    yield (
        f"That the ages are times of one course: from the first band to the last the cohort runs from {way} "
        "patients, so a lung carried along it may only change its severity."
    )
    if order == "falls":
        yield (
            f"What the day counts: this order is that of a time to the outcome, watched until day {latest:g} "
            "(those who have the outcome reach it early, the others are watched for longer); a day since "
            "admission gives it only where the sickest were scanned first. The slices cannot decide it."
        )
    within = [grey for name in ("event", "no event") if (grey := day["grey_with_day"][name]) is not None]
    if within and not any(_excludes(grey, 0.0) for grey in within):
        yield (
            "That a lung's brightness follows the day beyond the outcome: among patients of one outcome no "
            "such correlation is shown."
        )


def _cannot_healthy(found: Found) -> Iterator[str]:
    row = row_of(found, AS_THEY_ARE, CEILING, HEALTHY)
    if row is None or row["told"]["low"] <= CHANCE:
        return
    methods, gone = standards_of(found), removed_by(found)
    if methods and not gone:
        lowest = min(
            methods, key=lambda name: max(r["told"]["value"] for r in rows_after(found, name, HEALTHY))
        )
        left = max(rows_after(found, lowest, HEALTHY), key=lambda r: r["told"]["value"])
        by = ", ".join(
            f"{kind} {told_text(one['told'])}"
            for kind in ("outline", "texture")
            if (one := row_of(found, lowest, kind, HEALTHY))
        )
        yield (
            f"That greys made alike take away what tells healthy from ill: after the best ({lowest}) AUC "
            f"{told_text(left['told'])} is left ({left['classifier']}), in {by}."
        )
    where = {
        "unknown": "where the scans were made is not known",
        "apart": "no site has both healthy and ill",
        "shared": "some sites have both, and were not told apart here",
    }[found["sites"]]
    outcome = found["by_outcome"]
    mild = (
        f" The ill without the outcome are told from the healthy with AUC {told_text(outcome['no event'])}, "
        f"those with it with {told_text(outcome['event'])}."
        if "no event" in outcome and "event" in outcome
        else ""
    )
    yield (
        f"Whether healthy and ill differ by disease or by where they come from: {where}, and real disease "
        f"changes brightness and texture as well.{mild} A model's change between healthy and ill may be "
        "either."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
