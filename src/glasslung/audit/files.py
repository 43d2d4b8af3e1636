"""Whether the files of a cohort are there, readable, of one kind of grey values, and their masks fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import IntEnum

from glasslung.audit.record import FIRST_ROW, Check, FileProblem, Part
from glasslung.audit.scans import MASKS, ScanFacts
from glasslung.types import Case, Intensity, Lesion, Lobe, Lung, Remark, Severity

MASK_LABELS: dict[str, type[IntEnum]] = {"lungs": Lung, "lobes": Lobe, "lesions": Lesion}
MASK_REMEDY = "Use " + "; ".join(
    f"{name}: " + ", ".join(f"{label.value} {label.name.lower().replace('_', ' ')}" for label in labels)
    for name, labels in MASK_LABELS.items()
)
ALL_THERE = "Mend the paths in the table, or fetch the files again."


def audit_files(cases: Sequence[Case], facts: Sequence[ScanFacts]) -> Part:
    """Missing and unreadable files, masks that do not fit, grey values of two kinds."""
    problems = [*_image_problems(facts), *_mask_problems(facts)]
    remarks = [*_problem_remarks(problems), *_empty_masks(cases, facts), *_intensity_remarks(cases, facts)]
    count = sum(getattr(case, name) is not None for case in cases for name in MASKS)
    checks = (
        Check("files", "found" if problems else "clear", f"{len(cases)} scans and {count} masks opened"),
        Check(
            "grey values",
            "found" if any(remark.code.startswith("intensity") for remark in remarks) else "clear",
            "HU or 8 bit, as the table says and as the files are",
        ),
    )
    return Part(remarks=tuple(remarks), checks=checks, files=tuple(problems))


def _image_problems(facts: Sequence[ScanFacts]) -> Iterator[FileProblem]:
    for row, one in enumerate(facts, start=FIRST_ROW):
        if one.problem:
            yield FileProblem(row, "image", one.problem)


def _mask_problems(facts: Sequence[ScanFacts]) -> Iterator[FileProblem]:
    for row, one in enumerate(facts, start=FIRST_ROW):
        for name, (problem, labels) in one.masks.items():
            unknown = sorted(set(labels) - {int(label) for label in MASK_LABELS[name]})
            if problem:
                yield FileProblem(row, name, problem)
            elif unknown:
                yield FileProblem(row, name, f"holds unknown labels: {', '.join(map(str, unknown[:5]))}")


def _problem_remarks(problems: Sequence[FileProblem]) -> Iterator[Remark]:
    """One line per kind of trouble, however many files have it."""
    kinds = (
        ("files-missing", "is missing", "are missing", ALL_THERE),
        ("files-unreadable", "cannot be read", "cannot be read", "Fetch or export them again."),
        (
            "masks-shape",
            "does not fit",
            "lie on another grid than their scan",
            "Draw them on the scan's own grid.",
        ),
        ("masks-labels", "holds unknown", "hold labels that are not known", MASK_REMEDY),
    )
    for code, start, told, remedy in kinds:
        found = [one for one in problems if one.problem.startswith(start)]
        if found:
            first = found[0]
            detail = "" if first.problem == start else f": {first.problem}"
            yield Remark(
                code,
                Severity.REFUSE,
                f"{len(found)} file(s) {told}; first the {first.what} of row {first.row}{detail}.",
                remedy,
            )


def _empty_masks(cases: Sequence[Case], facts: Sequence[ScanFacts]) -> Iterator[Remark]:
    for name in MASKS:
        empty = [row for row, one in enumerate(facts, FIRST_ROW) if one.masks.get(name) == ("", (0,))]
        if empty and name != "lesions":  # a scan without lesions has an empty lesion mask, and rightly so
            yield Remark(
                "masks-empty",
                Severity.WARN,
                f"{len(empty)} mask(s) of {name} are empty, first row {empty[0]}.",
                "Look at the scan; leave the field empty where there is no mask.",
            )


def _intensity_remarks(cases: Sequence[Case], facts: Sequence[ScanFacts]) -> Iterator[Remark]:
    wrong = [
        (row, case.intensity, one.intensity)
        for row, (case, one) in enumerate(zip(cases, facts, strict=True), FIRST_ROW)
        if one.intensity is not None and one.intensity is not case.intensity
    ]
    if wrong:
        row, said, found = wrong[0]
        yield Remark(
            "intensity-wrong",
            Severity.REFUSE,
            f"{len(wrong)} scan(s) are not what the table says; first row {row}: {said.value} in the table, "
            f"{found.value if found else ''} in the file.",
            "Mend the intensity column: HU-based figures from grey pictures would be invented.",
        )
    counts = Counter(case.intensity for case in cases)
    if len(counts) > 1:
        yield Remark(
            "intensity-mixed",
            Severity.WARN,
            f"Two kinds of grey values in one cohort: {counts[Intensity.HU]} scans in HU, "
            f"{counts[Intensity.DISPLAY8]} of 8 bit. A model can tell which is which.",
            "Analyse the two apart, or show that the kind does not go with the label.",
        )
