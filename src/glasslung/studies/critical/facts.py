"""What the study of critical illness states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import Facts


def facts(numbers: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences."""
    ground, plan = numbers["ground"], numbers["plan"]
    left = "; ".join(f"{count} rows: {reason}" for reason, count in ground["left_out"].items())
    return Facts(
        run=numbers,
        people=True,
        data=(
            f"{ground['name']}: {ground['patients']} patients with one slice each, {ground['events']} "
            "of whom became critically ill."
        ),
        left_out=left or "Nobody.",
        partitions=(
            f"Nested cross-validation: {plan['deals']} deals of {plan['folds']} outer folds, seed "
            f"{plan['seed']}; every choice is made inside the training patients of each fold."
        ),
        disjoint="By patient.",
        preparation="Each feature is brought to normal scores by the training patients' quantiles.",
        reference="Critical illness and its day as the cohort holds them.",
        predictors=(
            "Greys of the lung, lesions by lesions-8bit, zones, texture, features of its encoder; age "
            "and sex apart. Days, group, scan length, slice number and picture size are no features."
        ),
        missing=f"Age is not known of {ground['age_unknown']} patients.",
        model="Ridge logistic regressions on features of a slice; Cox models from day 1 on.",
        start="Features are those of lesions-8bit as it ships, frozen.",
        training="In closed form or to convergence; no budget of time.",
        selection="By cross-validation inside the training patients of each outer fold.",
        ensemble="Log-odds of the chosen models are averaged where averaging was chosen inside.",
        asked="Each patient once in every deal, by a model that never saw the patient.",
        output="A calibrated chance of critical illness.",
        metrics="AUC, calibration error, Brier score, net benefit; Uno's C from day 1 to day 14.",
        uncertainty=f"95 % intervals by resampling patients, {plan['draws']} draws.",
        robustness=(
            "Scans of the usual length apart from all others, since scan length tells hospitals apart."
        ),
        internal="The nested cross-validation above.",
        updating="Probabilities are calibrated inside each fold.",
    )
