"""Stories whose lesions a reader corrected, as a cohort: what a network can learn from.

    folder/story.json, or folder/<any>/story.json      written by `glasslung analyze`, its scans kept

One row per scan with a correction, the latest one as its lesions; its lungs are the story's, and the scan is
the copy that the story keeps. Scans that nobody corrected are left out: a network would learn from itself. A
story is one patient; stories that share a scan are one patient too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from glasslung.data.cohort import Cohort
from glasslung.data.corrections import corrections_of
from glasslung.data.results import KEPT_SCAN, inside
from glasslung.data.story import read_story
from glasslung.errors import DataError
from glasslung.types import Case, Findings, Story

LAYOUT = ("story.json", "*/story.json")
NOTE = (
    "Stories of `glasslung analyze` whose lesions a reader corrected in the viewer; lungs as analysed. One "
    "story is taken for one patient, and stories that share a scan for the same: two stories of one patient "
    "without a common scan would look like two."
)


def stories(folder: Path) -> Cohort:
    """The corrected scans of a folder of stories; DataError where there is none."""
    found = [
        (path.parent, read_story(path.parent)) for pattern in LAYOUT for path in sorted(folder.glob(pattern))
    ]
    patients = _patients(found)
    cases, uncorrected, unkept = [], 0, 0
    for (home, story), patient in zip(found, patients, strict=True):
        for scan in story.scans:
            case = _case(folder, home, scan, patient)
            if case is not None:
                cases.append(case)
            elif corrections_of(home, scan):
                unkept += 1
            else:
                uncorrected += 1
    if not cases:
        raise DataError(
            f"{folder} holds {len(found)} story(ies), and no corrected scan of which a copy was kept: "
            "correct lesions with `glasslung view STORY`, on a story that was analysed without --no-keep-scan"
        )
    told = f" {uncorrected} scan(s) without a correction are left out." if uncorrected else ""
    told += (
        f" {unkept} corrected scan(s) are left out, as their story keeps no copy of them." if unkept else ""
    )
    return Cohort("stories", folder.absolute(), tuple(_once(cases)), NOTE + told)


def _patients(found: list[tuple[Path, Story]]) -> list[str]:
    """A name per story, the same for stories that share a scan."""
    names: list[str] = []
    owner: dict[str, str] = {}
    for home, story in found:
        hashes = [scan.sha256 for scan in story.scans]
        known = {owner[one] for one in hashes if one in owner}
        name = min(known) if known else home.resolve().name
        names = [name if one in known else one for one in names] + [name]
        owner = {scan: name if one in known else one for scan, one in owner.items()} | dict.fromkeys(
            hashes, name
        )
    return names


def _case(folder: Path, home: Path, scan: Findings, patient: str) -> Case | None:
    """A scan as a row; None where nobody corrected it, or its copy is not there."""
    corrected = corrections_of(home, scan)
    image = inside(home, f"masks/{scan.scan}/{KEPT_SCAN}")
    if not corrected or image is None:
        return None
    last = corrected[-1]
    return Case(
        patient=patient,
        scan=f"{home.resolve().name}-{scan.scan}",
        image=_from(folder, image),
        intensity=scan.intensity,
        day=scan.day,
        lungs=_from(folder, (home / scan.masks["lungs"]).resolve()),
        lesions=_from(folder, last.path),
        extra={
            "corrected_by": str(last.told["who"]),
            "corrected": str(last.told["when"]),
            "sha256": scan.sha256,
        },
    )


def _from(folder: Path, path: Path) -> Path:
    return path.relative_to(folder.resolve())


def _once(cases: list[Case]) -> Iterator[Case]:
    """A scan that stands in two stories counts once, with its latest correction."""
    latest: dict[str, Case] = {}
    for case in cases:
        known = latest.get(case.extra["sha256"])
        if known is None or case.extra["corrected"] > known.extra["corrected"]:
            latest[case.extra["sha256"]] = case
    return (case for case in cases if latest[case.extra["sha256"]] is case)
