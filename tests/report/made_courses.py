"""Stories of several scans with their course, as an analysis leaves them; for tests, and to look at.

python tests/report/made_courses.py FOLDER     draws them there
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from made_stories import SURE, Drawn, diagnosis_of, drawn_chest, learned, make_story, relevance_of

from glasslung.analyze.trajectories import trajectories
from glasslung.data.preview import cut_levels
from glasslung.data.previewfile import write_preview
from glasslung.data.story import write_story
from glasslung.measure.followup import Tissue
from glasslung.report.page import write_report
from glasslung.types import (
    Comparison,
    FateTotal,
    FollowedLesion,
    Prognosis,
    RiskCurve,
    SerialSheet,
    Story,
)

FATES = (
    FateTotal("new", 3, 0.0, 14.2),
    FateTotal("grown", 2, 120.0, 210.5),
    FateTotal("steady", 1, 30.1, 31.0),
    FateTotal("shrunk", 0, 0.0, 0.0),
    FateTotal("resolved", 1, 2.5, 0.0),
)
LESIONS = (
    FollowedLesion("grown", 100.0, 180.0, (-60.0, 40.0, -120.0), 12, 3, 1),
    FollowedLesion("new", 0.0, 9.0, (55.0, 35.0, -150.0), 8, 0, 1),
)
FAILED = (
    "the earlier scan has no spacing and no position, so nothing says where in the chest its slices lie",
)


def compared(before: str, after: str, failed: bool = False) -> Comparison:
    """What became of made lesions."""
    if failed:
        return Comparison(before, after, "", FAILED)
    home = f"masks/{after}/change.nii.gz"
    return Comparison(
        before, after, "lesions-made", (), 0.91, 0.97, 1.04, FATES, LESIONS, 0.3, (1.0, 2.0), home
    )


def curve(name: str, end: float, patients: int = 0, at_risk: tuple[int, ...] = ()) -> RiskCurve:
    """A chance that rises to `end` in 28 days."""
    days = np.linspace(0, 28, 15)
    share = end * (1 - np.exp(-days / 9)) / (1 - np.exp(-28 / 9))
    rows = [tuple(float(v) for v in np.clip(share * k, 0, 1)) for k in (1.0, 0.7, 1.3)]
    return RiskCurve(name, tuple(map(float, days)), *rows, patients, at_risk)


def prognosis(scans: tuple[str, ...], **more: Any) -> Prognosis:
    """What a made model expects."""
    known: dict[str, Any] = {
        "endpoint": "critical illness",
        "scans": scans,
        "columns": {
            "affected_percent": 31.2,
            "affected_percent_change": 12.0,
            "log_days": 1.8,
            "age": 63.0,
            "male": 1.0,
        },
        "horizon": 14.0,
        "chance": 0.34,
        "interval": (0.21, 0.49),
        "percentile": 78.0,
        "group": "higher risk",
        "curve": curve("this patient", 0.42),
        "groups": (
            curve("lower risk", 0.12, 61, (61, 55, 40, 22, 9)),
            curve("higher risk", 0.55, 59, (59, 41, 25, 11, 4)),
        ),
        "marks": (0.0, 7.0, 14.0, 21.0, 28.0),
        "score": "Harrell's C",
        "worth": (0.74, 0.66, 0.81),
        "plain": (0.61, 0.52, 0.69),
        "doubts": ("the patients it learned from are phantoms",),
        "model": "prognosis-made",
        "digest": "00ff00ff00ff00ff",
        "trained_on": "made patients",
        "limits": "it has never seen a patient",
    }
    return Prognosis(**(known | more))


def make_course(folder: Path, *scans: Drawn, failed: bool = False, foreseen: bool = True) -> Story:
    """A story with its course, and the planes of its serial sheet."""
    story = make_story(folder, *scans)
    names = tuple(scan.scan for scan in story.scans)
    pairs = pairwise(names)
    told = replace(
        story,
        comparisons=tuple(compared(a, b, failed and n == 0) for n, (a, b) in enumerate(pairs)),
        trajectory=trajectories(story.scans),
        prognosis=prognosis(names[-2:]) if foreseen else None,
        unforeseen="" if foreseen else "no prognosis was to be made",
        serial=_sheet(folder, names, scans, failed),
        minor=1,
    )
    write_story(told, folder)
    return told


def _sheet(folder: Path, names: tuple[str, ...], scans: tuple[Drawn, ...], failed: bool) -> SerialSheet:
    files, before = [], None
    for n, drawn in enumerate(scans, start=1):
        volume, lungs, opacities = drawn_chest(drawn)
        lesions = learned(opacities)
        maps = {"heat": relevance_of(opacities)}
        if before is not None and not (failed and n == 2):
            now, was = lesions > 0, before > 0
            tissue = np.where(now & was, Tissue.STAYED, np.where(now, Tissue.APPEARED, 0))
            maps["change"] = np.where(was & ~now, Tissue.CLEARED, tissue).astype(np.uint8)
        before = lesions
        levels = [int(drawn.slices * share) for share in (0.8, 0.5, 0.25)]
        file = f"masks/{names[-1]}/serial-{n:02d}.npz"
        write_preview(cut_levels(volume, lungs, lesions, levels, maps), folder / file)
        files.append(file)
    matched = ["share of the lungs' height" if failed and n == 0 else "registered" for n in range(len(names))]
    matched[-1] = "reference"
    return SerialSheet(
        ("upper level", "middle level", "lower level"),
        names,
        tuple(files),
        tuple(matched),
        ("layer-wise relevance propagation, conserving rules",) * len(names),
        tuple(1.0 + n for n in range(len(names))),
        0.21,
        "log-odds per per cent of the lungs",
    )


def asked(disease: float, day: float | None, log_odds: float) -> Drawn:
    """A scan with lesions of a network and a diagnosis."""
    return Drawn(disease, day, lesions=SURE, told=diagnosis_of(log_odds=log_odds))


FOUR = (asked(0.25, 0, -1.2), asked(0.6, 4, 0.8), asked(0.95, 9, 3.1), asked(0.7, 16, 1.4))
UNKNOWN = (asked(0.3, None, 0.4), asked(0.8, None, 2.0))
TWO = (asked(0.3, 0, 0.4), asked(0.8, 5, 2.0))


def main(folder: Path) -> None:
    """Draw them as large as scans are."""
    for name, scans, failed in (("course", FOUR, False), ("failed", TWO, True), ("unknown", UNKNOWN, False)):
        large = [replace(scan, slices=40, side=256) for scan in scans]
        make_course(folder / name, *large, failed=failed)
        sys.stdout.write(f"{write_report(folder / name)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
