"""What the segmentation study states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import NOT_DONE, Facts

PHANTOM = "phantom"


def facts(numbers: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences."""
    ground, plan = numbers["ground"], numbers["plan"]
    budget, people = plan["budget"], ground["name"] != PHANTOM
    seeds = len(numbers["seeds_trained"])
    return Facts(
        run=numbers,
        people=people,
        data=(
            f"{ground['name']}: {ground['labelled']} labelled slices in {ground['labelled groups']} "
            f"groups, {ground['unlabelled']} slices without labels, {ground['healthy']} of healthy "
            f"people (SHA-256 {ground['sha256'][:16]})."
        ),
        partitions=(
            f"Cross-validation in {ground['folds']} folds: a method learns from some of the labels of "
            "the other folds and is scored on the fold that it has not seen, so that every labelled "
            "slice is scored once."
        ),
        disjoint="Slices of one patient, and near copies of a slice, stay in one fold.",
        preparation=(
            f"Slices are turned upright, padded to a square and resized to {budget['size']} pixels; "
            "answers are scored on each slice's own grid."
        ),
        reference=(
            "Lesion masks as the cohort holds them."
            if people
            else "Lesions are known exactly: they were drawn."
        ),
        predictors="The grey values of a slice; nothing else is read.",
        masks="" if people else "Masks are exact; nobody judged.",
        model=f"Segmenters of single slices: {'; '.join(numbers['methods'])}.",
        start="At random; no weights from elsewhere.",
        training=(
            f"{budget['seconds']:g} s of processor time of one core for each training; batches of "
            f"{budget['labelled']} labelled slices, and {budget['unlabelled']} without labels and "
            f"{budget['healthy']} healthy ones for methods that learn from these; views: "
            f"{budget['augment']}."
        ),
        selection="None: the weights at the end of the time are asked, averaged where the plan says so.",
        asked=(
            "A slice as it is and mirrored, averaged; lesion from a probability of 0.5, of the "
            "likeliest kind."
        ),
        output="The probability of each lesion class in every pixel.",
        metrics=(
            "F1 (Dice) of infection, ground glass and consolidation slice by slice, the mean over 256 "
            "thresholds, overlap of lesions one by one."
        ),
        uncertainty=(
            f"95 % intervals by resampling groups of slices, {plan['draws']} draws; gains over "
            f"{numbers['baseline']} are paired slice by slice."
        ),
        robustness=f"{seeds} trainings of every cell with other seeds." if seeds > 1 else NOT_DONE,
        internal="The cross-validation above.",
    )
