"""What the progression study states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import NOT_DONE, Facts

PHANTOM = "phantom"
AGES = ("t0", "t1", "t2", "t3")


def facts(numbers: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences."""
    ground, plan = numbers["ground"], numbers["plan"]
    budget, people = plan["budget"], ground["name"] != PHANTOM
    seeds = len(numbers["seeds_trained"])
    return Facts(
        run=numbers,
        people=people,
        data=(
            f"{ground['name']}: to train on {_told(ground['training'])}; asked about "
            f"{_told(ground['unseen'])}."
        ),
        partitions=(
            "By patient: the table's own parts, or 70 % to train on, 10 % left alone, 20 % to ask "
            "about, by group."
            if people
            else "Phantoms to train on, everyone seen once, and other phantoms whose whole course is kept."
        ),
        disjoint="No patient is in two parts.",
        preparation=f"Slices padded to a square and resized to {ground['training']['size']} pixels, 8 bit.",
        reference=(
            "The day, or the group of days, as the cohort holds it."
            if people
            else "The day of illness and the lung on all other days are known exactly: they were drawn."
        ),
        predictors="The grey values of one slice and the age of the disease it was seen at.",
        model="U-SVAE; CAGE of one age and of all ages; remedies of its tourist crisis. The page names each.",
        start="At random; no weights from elsewhere.",
        training=(
            f"{budget['seconds']:g} s of processor time of one core for each method, "
            f"{budget['slices']} slices in a batch, all ages alike, mirrored by chance."
        ),
        selection="None: the weights at the end of the time are asked, averaged where the plan says so.",
        asked=(
            "Each unseen slice is carried to every other age, several draws each; lungs are drawn "
            "from the prior."
        ),
        output="Pictures of a lung at another age.",
        metrics=(
            "Kernel distance from unseen real slices over that of a model of one age (crisis ratio), "
            "on plain features and on those of a classifier; evidence bounds; on phantoms the error "
            "of the forecasts."
        ),
        uncertainty=(
            f"95 % intervals by resampling patients, {plan['draws']} draws, the same for all methods."
        ),
        robustness=f"{seeds} trainings of every method with other seeds." if seeds > 1 else NOT_DONE,
        internal="Asked about people whom no method was trained on.",
        balance="Every age has as many slices in a batch as the others.",
    )


def _told(part: Mapping[str, Any]) -> str:
    """'1024 slices of 900 people (256 never ill, ...)'."""
    counts = [part.get(age, 0) for age in AGES]
    return (
        f"{sum(counts)} slices of {part['patients']} people (never ill and at three ages of the "
        f"disease: {', '.join(map(str, counts))}; SHA-256 {part['sha256'][:16]})"
    )
