"""What the study of other windows states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import Facts


def facts(numbers: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences."""
    about, plan = numbers["about"], numbers["plan"]
    data, spread = about["data"], ", ".join(f"{one:g}" for one in plan["deviations"])
    return Facts(
        run=numbers,
        people=True,
        data=(
            f"{data['name']}: {data['scans']} scans of {data['patients']} patients, {data['with']} "
            f"with {about['finding']}."
        ),
        left_out=data["part"],
        partitions="Nothing is learned here: a trained classifier is asked.",
        disjoint=(
            "Whether the classifier was trained on any of these patients is told on the page where it "
            "is known."
        ),
        masks=f"Lungs and lesions are {about['masks']}, at the true window.",
        reference="The label as the cohort holds it.",
        predictors="The slices of a scan, as the classifier reads them.",
        model=f"{about['name']} ({about['method']}, {about['digest']}).",
        start="The classifier's own weights, unchanged.",
        training="None.",
        selection="None.",
        asked="Every scan through every window.",
        output="Log-odds of the finding.",
        metrics="AUC by level and width of the window, and its spread over windows at random; scan by scan.",
        uncertainty=f"95 % intervals by resampling patients, {plan['resamples']} draws.",
        robustness=(
            f"{plan['draws']} windows at random for each deviation of {spread} HU, seed {plan['seed']}."
        ),
    )
