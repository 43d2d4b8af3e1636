"""What the diagnosis study states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import NOT_DONE, Facts

PHANTOM = "phantom"
NAMES = {
    "train": "to learn from",
    "val": "to choose by",
    "test": "held out",
    "external": "of another hospital",
}


def facts(numbers: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences."""
    ground, plan = numbers["ground"], numbers["plan"]
    budget, people, left = (
        plan["budget"],
        ground["name"] != PHANTOM,
        ground["left out, patient in another part"],
    )
    scored = list(numbers["parts"])
    return Facts(
        run=numbers,
        people=people,
        data=f"{ground['name']}: {'; '.join(_told(part, told) for part, told in ground['parts'].items())}.",
        sites=_sites(ground),
        left_out=f"{left} scans whose patient is in an earlier part were left out.",
        partitions=f"Parts: {', '.join(f'{part} ({NAMES.get(part, part)})' for part in ground['parts'])}.",
        disjoint="By patient: none is in two parts.",
        preparation=(
            "Scans are turned upright, cut to the lungs, seen through one window and resized to "
            f"{plan['size']} pixels."
        ),
        reference=(
            "The label as the cohort holds it." if people else "The disease is known exactly: it was drawn."
        ),
        test_truth="As in training.",
        masks=f"Lungs and lesions: {numbers['masks by']}." if numbers.get("masks by") else "",
        predictors="The slices of a scan, and the lesion mask where the method is shown it.",
        model=f"Classifiers of whole scans: {'; '.join(plan['methods'])}.",
        start="At random, or from a CVAE trained on the same scans; no weights from elsewhere.",
        training=(
            f"{budget['seconds']:g} s of processor time of one core for each method, all that it needs "
            f"included; {budget['pace']['each']} scans of each class in a batch."
        ),
        selection=f"The best of {budget['looks']} looks at the validation scans.",
        asked="Each scan once, by the chosen weights.",
        output=(
            "A probability (temperature fitted on validation scans), likely or unlikely at a "
            "threshold chosen there, and a conformal answer that may be \u201ccannot tell\u201d."
        ),
        metrics=(
            "AUC, sensitivity, specificity, F1, average precision, calibration error, net benefit; "
            "beside what outlines and file facts alone tell of the label."
        ),
        uncertainty=(
            f"95 % intervals by resampling patients, {plan['draws']} draws; DeLong's test between methods."
        ),
        robustness=_stress(numbers),
        reasons=(
            "Layer-wise relevance of the reference, measured beside the lesions and beside shuffled weights."
            if numbers.get("explanations")
            else NOT_DONE
        ),
        internal="Held-out patients of the same sources." if "test" in scored else _too_good(scored),
        external="A hospital that nobody learned from." if "external" in scored else NOT_DONE,
        balance=f"A batch has {budget['pace']['each']} scans of each class.",
    )


def _told(part: str, told: Mapping[str, Any]) -> str:
    return (
        f"{part} {told['scans']} scans of {told['patients']} patients, {told['with']} scans with the finding"
    )


def _sites(ground: Mapping[str, Any]) -> str:
    sites = sorted({line["site"] for line in ground["by part, site, word"]} - {""})
    return f"Sites by their names in the cohort: {', '.join(sites)}." if sites else ""


def _stress(numbers: Mapping[str, Any]) -> str:
    found = numbers.get("stress")
    if not found:
        return NOT_DONE
    return f"{found['scans']} scans asked again: other window levels and widths, noise, slice thickness."


def _too_good(scored: list[str]) -> str:
    return f"On part {', '.join(scored)}, by which weights and threshold were chosen: too good."
