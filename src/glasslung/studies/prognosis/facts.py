"""What the prognosis study states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import NOT_DONE, Facts

PHANTOM = "phantom"


def facts(numbers: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences."""
    ground, plan = numbers["ground"], numbers["plan"]
    learned, asked = numbers["prognosis"]["learned"], numbers["prognosis"]["asked"]
    first, *others = (part["part"] for part in ground["parts"])
    people = ground["name"] != PHANTOM
    return Facts(
        run=numbers,
        people=people,
        data=(
            f"{ground['name']}: {ground['scans']} scans. The stay is learned from "
            f"{learned['landmarks']} scans of {learned['patients']} patients ({learned['long']} long "
            f"stays, {learned['critical']} critically ill) and asked of {asked['patients']} others "
            f"({asked['long']}, {asked['critical']})."
        ),
        sites=f"Learned at {first}, asked at {', '.join(others)}: names as the table has them.",
        left_out=_left_out(numbers["prognosis"]["left out"]),
        partitions=(
            f"Models learn at {first} and are asked at {', '.join(others)}; inside {first} "
            f"{plan['folds']} folds for the networks."
        ),
        disjoint="By patient: none is in two parts or folds.",
        preparation=f"Scans of 2 mm slices, the square around the body, {plan['size']} pixels.",
        reference=(
            "Days of stay, outcome and event as the table holds them."
            if people
            else "Stays follow hazards of severity, age and sex that are known exactly: they were drawn."
        ),
        masks=f"Lungs and lesions: {ground['masks by']}.",
        predictors=(
            "Lesion burden, CT severity score, the diagnosis score s(t), features of the network, age "
            "and sex; of one scan, or of two with their change and the days between."
        ),
        missing="Who is still in hospital is censored on the last day of observation.",
        model=(
            f"Networks: {', '.join(plan['methods'])}. Of the stay: logistic regression, Cox models, "
            "hazards in intervals of days, with and without competing risks."
        ),
        start="At random; no weights from elsewhere.",
        training=(
            f"{plan['budget']['seconds']:g} s of processor time of one core for each fold of each network."
        ),
        selection=(
            "Weights by the fold's validation patients; shrinkage by leaving out patients in turn at "
            f"{first}; nothing is chosen on the patients who are asked."
        ),
        ensemble="Elsewhere s(t) is the mean of all folds' networks.",
        asked="Each patient once, at the earliest landmark.",
        output=(
            "A risk, a chance of a long stay, a chance of critical illness by a day; high and low "
            f"risk are cut at the median risk of {first}."
        ),
        metrics="Harrell's and Uno's C, AUC of a long stay, Brier score, log-rank tests, calibration.",
        uncertainty=f"95 % intervals by resampling patients with all their scans, {plan['draws']} draws.",
        robustness=(
            f"The diagnosis asked through {plan['windows']} other windows, {plan['window_scans']} "
            "scans a hospital."
            if numbers.get("windows")
            else NOT_DONE
        ),
        reasons="Grad-CAM of one patient's scans (the case)." if numbers.get("case") else NOT_DONE,
        internal="Validation patients of each fold, by which weights were chosen: too good.",
        external=f"Every score is of {', '.join(others)}: nothing was learned or chosen there.",
    )


def _left_out(left: Mapping[str, int]) -> str:
    return "; ".join(f"{count}: {reason}" for reason, count in left.items()) or "Nobody at the landmarks."
