"""Sentences written from the figures of the segmentation study: what follows from them, and what does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.wording import number

Found = Mapping[str, Any]
SURE_GAIN = "better"


def verdicts(numbers: Found) -> list[str]:
    """What the sweep shows: the best method with all labels, who gains on the baseline, who collapsed."""
    return [
        *_best(numbers),
        *_gainers(numbers),
        *_without_labels(numbers),
        *_collapses(numbers),
        *_labels_needed(numbers),
    ]


def most_labels(numbers: Found) -> str:
    """The largest number of labels that the baseline was trained with, as the cells name it."""
    return max(numbers["cells"][numbers["baseline"]], key=int)


def f1(numbers: Found, method: str, labels: str, target: str) -> Mapping[str, Any] | None:
    """F1 of a cell, first seed: value and interval; None where it was not measured."""
    row = numbers["cells"].get(method, {}).get(labels)
    if row is None:
        return None
    found: Mapping[str, Any] | None = (
        row["seeds"][0]["overlap"].get(target, {}).get(numbers["rule"], {}).get("f1")
    )
    return found


def _best(numbers: Found) -> list[str]:
    labels = most_labels(numbers)
    scores = {
        method: found["value"]
        for method in numbers["cells"]
        if (found := f1(numbers, method, labels, "infection")) and found["value"] is not None
    }
    name = max(scores, key=lambda method: scores[method])
    told = f1(numbers, name, labels, "infection")
    assert told is not None
    low, high = told["interval"] or (None, None)
    return [
        f"With {labels} labels {name} finds infection best: F1 {number(told['value'], 2)}"
        + (f" [{number(low, 2)}, {number(high, 2)}]." if low is not None else ".")
    ]


def _gainers(numbers: Found) -> list[str]:
    sure: list[str] = []
    worse: list[str] = []
    tie: list[str] = []
    for method, rows in numbers["cells"].items():
        for labels, row in rows.items():
            gain = row.get("gains", {}).get("infection")
            if gain is None:
                continue
            limits = f"[{signed(gain['low'])}, {signed(gain['high'])}]"
            words = f"{method} with {labels} ({signed(gain['value'])} {limits})"
            (sure if gain["low"] > 0 else worse if gain["high"] < 0 else tie).append(words)
    base, told = numbers["baseline"], []
    if sure:
        told.append(f"Surely better than {base} with the same labels on infection: {'; '.join(sure)}.")
    else:
        told.append(f"No method is surely better than {base} with the same labels on infection.")
    if worse:
        told.append(f"Surely worse: {'; '.join(worse)}.")
    if tie:
        told.append(f"{len(tie)} comparison(s) do not tell.")
    return told


def _without_labels(numbers: Found) -> list[str]:
    """What slices without labels are worth to a method that differs from its twin in nothing else."""
    told = []
    for method, rows in numbers["cells"].items():
        for labels, row in rows.items():
            gain = row.get("gains over its twin", {})
            if one := gain.get("infection"):
                sure = (
                    "gains" if one["low"] > 0 else "loses" if one["high"] < 0 else "neither gains nor loses"
                )
                told.append(
                    f"From slices without labels {method} with {labels} labels {sure} on infection, beside "
                    f"{gain['twin']}: {signed(one['value'])} [{signed(one['low'])}, {signed(one['high'])}]."
                )
    return told


def _collapses(numbers: Found) -> list[str]:
    """Which trainings with styles failed as the paper's did."""
    told = []
    for method, rows in numbers["cells"].items():
        for labels, row in rows.items():
            reports = [one for one in row.get("collapse") or [] if one]
            fallen = [one for one in reports if one["collapsed"]]
            if reports:
                told.append(
                    f"{method} with {labels} labels: {len(fallen)} of {len(reports)} trainings collapsed"
                    + (f" ({fallen[0]['verdict']})." if fallen else ".")
                )
    return told


def _labels_needed(numbers: Found) -> list[str]:
    """What more labels are worth to the baseline."""
    rows = numbers["cells"][numbers["baseline"]]
    counts = sorted(rows, key=int)
    told = [(count, f1(numbers, numbers["baseline"], count, "infection")) for count in counts]
    shown = ", ".join(
        f"{count}: {number(one['value'], 2)}" for count, one in told if one and one["value"] is not None
    )
    return [f"Labels and F1 of infection under {numbers['baseline']}: {shown}."] if len(counts) > 1 else []


def signed(value: float, digits: int = 3) -> str:
    """With its sign: +0.021."""
    return ("+" if value >= 0 else "") + number(value, digits)


def cautions(numbers: Found) -> list[str]:
    """Why the figures may not be believed."""
    seeds = len(numbers["seeds_trained"])
    told = [
        "Intervals are over groups of slices (near copies and patients together), not over trainings"
        + (
            f"; {seeds} trainings of each cell show how far another one would move a figure."
            if seeds > 1
            else ". One training of each cell: how far another seed would move a figure is not known."
        ),
        (
            f"Every training had {number(numbers['plan']['budget']['seconds'] / 60, 1)} minutes of one "
            "core: the "
            "comparison is of what a workstation gives in that time, not of what the methods could reach."
        ),
    ]
    if numbers["plan"]["quick"]:
        told.insert(0, "A quick look: too short for conclusions.")
    if numbers["ground"]["name"] != "phantom":
        told.append(
            "The slices carry no patient: slices of one patient may lie in two folds where they are no "
            "near copies."
        )
    return told
