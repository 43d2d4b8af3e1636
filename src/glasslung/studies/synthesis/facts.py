"""What the study of made lungs states of itself, for reporting checklists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.report.checklists import Facts


def facts(about: Mapping[str, Any], methods: Mapping[str, Any]) -> Facts:
    """Everything that is known of the study, in sentences.

    about    what was asked, and the manifest of the run
    methods  by name, as they were scored
    """
    pictures, plan = about["pictures"], about["plan"]
    budget, people = plan["budget"], about["cohort"] is not None
    return Facts(
        run=about,
        people=people,
        data=(
            f"{_told(pictures['train'])} to train on and {_told(pictures['held_out'])} held out."
            + (f" Labels taken: {', '.join(about['labels'])}." if about["labels"] else "")
        ),
        partitions="By patient: pictures to train on, and pictures of other patients to judge by.",
        disjoint="By patient, as far as the cohort names them.",
        preparation=f"Every file scaled by its own depth, {budget['size']} x {budget['size']} pixels.",
        reference="None is needed: made pictures are set beside real ones that nobody trained on.",
        predictors="The grey values of the training pictures.",
        model=f"Makers of pictures: {', '.join(methods)}.",
        start="At random; no weights from elsewhere.",
        training=(
            f"{budget['seconds']:g} s of processor time of one core for each, batches of "
            f"{budget['batch']}, networks of width {budget['width']}, mirrored by chance, under a "
            "watchdog that only tells."
        ),
        selection="None: the weights at the end of the time are asked, averaged where the method says so.",
        asked=f"{budget['samples']} made pictures of each training.",
        output="Pictures of lungs that nobody has.",
        metrics=(
            "Kernel distance with the floor of real halves, precision, recall, density, coverage, likeness "
            "of two made pictures, copies of training pictures; on features that ship, and again on those of "
            "a network that learned within the study."
        ),
        uncertainty=f"95 % intervals by resampling patients and samples, {plan['draws']} draws.",
        internal="Beside held-out pictures of other patients.",
        failures="Copies of training pictures, and signs that the watchdog named.",
    )


def _told(part: Mapping[str, Any]) -> str:
    return f"{sum(part.get(f't{age}', 0) for age in range(4))} pictures of {part['patients']} patients"
