"""Whether patients are kept whole: one side of a split each, and how many of them there really are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

from glasslung.audit.record import Check, Part
from glasslung.data.cohort import SPLITS
from glasslung.types import Case, Remark, Severity


def audit_patients(cases: Sequence[Case]) -> Part:
    """Patients on two sides of a split, patients with several scans, labels of which there is only one."""
    leaks = [*_leaks(cases)]
    labels = Counter(case.label for case in cases)
    splits = sorted({case.split for case in cases} - {""})
    checks = (
        Check("split by patient", "found" if leaks else "clear", f"splits: {', '.join(splits)}")
        if len(splits) > 1
        else Check("split by patient", "skipped", "the cohort is not split"),
        Check("labels", "clear" if len(labels) > 1 else "found", _told(labels)),
    )
    return Part(remarks=(*leaks, *_label_remarks(cases, labels), *_repeat_remarks(cases)), checks=checks)


def _leaks(cases: Sequence[Case]) -> Iterator[Remark]:
    patients: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        patients[case.split].add(case.patient)
    for left, right in combinations([name for name in SPLITS if name in patients], 2):
        shared = patients[left] & patients[right]
        if shared:
            scans = sum(case.patient in shared and case.split == right for case in cases)
            yield Remark(
                "patient-leak",
                Severity.REFUSE,
                f"{len(shared)} patient(s) are in both {left} and {right} ({scans} scans of {right}): scores "
                f"on {right} would be too good.",
                "Split again by patient: `glasslung split COHORT`.",
            )


def _label_remarks(cases: Sequence[Case], labels: Counter[str]) -> Iterator[Remark]:
    named = {label: count for label, count in labels.items() if label}
    if not named:
        yield Remark(
            "no-label", Severity.NOTE, "No scan has a label: nothing can be learned from labels here."
        )
    elif len(named) == 1:
        yield Remark(
            "one-label",
            Severity.WARN,
            f"Every labelled scan is {next(iter(named))!r}: no classifier can be trained or scored on this.",
            "Add scans of another label.",
        )
    if named and labels[""]:
        yield Remark("label-missing", Severity.NOTE, f"{labels['']} of {len(cases)} scans have no label.")
    for split in sorted({case.split for case in cases} - {""}):
        absent = sorted(set(named) - {case.label for case in cases if case.split == split})
        if absent and len(named) > 1:
            yield Remark(
                "label-not-in-split",
                Severity.WARN,
                f"No scan of split {split!r} is labelled {', '.join(map(repr, absent))}.",
                "Split again, stratified by label: `glasslung split COHORT`.",
            )


def _repeat_remarks(cases: Sequence[Case]) -> Iterator[Remark]:
    scans = Counter(case.patient for case in cases)
    several = {patient: count for patient, count in scans.items() if count > 1}
    if several:
        labels: dict[str, set[str]] = defaultdict(set)
        for case in cases:
            if case.patient in several:
                labels[case.label].add(case.patient)
        told = _told(Counter({label: len(patients) for label, patients in labels.items()}))
        yield Remark(
            "several-scans",
            Severity.NOTE,
            f"{len(several)} of {len(scans)} patients have several scans, up to {max(several.values())} each "
            f"(patients by label: {told}).",
            "Split by patient, and resample patients, not scans, for intervals.",
        )


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{label or 'no label'} {count}" for label, count in sorted(counts.items()))
