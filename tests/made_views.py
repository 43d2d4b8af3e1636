"""A story to look at, written by hand: three days of a made chest, the second one in another order of axes.

Lesions are blocks whose places are known: `LESIONS` are (label, box) per day on upright voxels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from glasslung.data import results
from glasslung.data.formats import write_mask, write_volume
from glasslung.data.story import STORY_SCHEMA, as_json, write_story
from glasslung.explain.heatmaps import write_relevance
from glasslung.types import (
    DISCLAIMER,
    Comparison,
    Explanation,
    FateTotal,
    FollowedLesion,
    Provenance,
    RelevanceShare,
    SmoothCourse,
    Story,
    Trajectory,
    Volume,
)
from made_findings import diagnosis, findings
from made_volumes import chest, volume_of

DAYS = (0.0, 5.0, 12.0)
BOXES = (
    (1, (slice(6, 11), slice(16, 24), slice(8, 15))),  # ground glass in the right lung, 5 x 8 x 7
    (2, (slice(11, 14), slice(20, 24), slice(29, 33))),  # consolidation in the left, 3 x 4 x 4
)
SHIFT = 2  # slices by which the second scan lies lower on the table


def drawn(n: int) -> tuple[Volume, np.ndarray, np.ndarray]:
    """Scan n, its lungs and its lesions, in the order of its file."""
    hu, lungs, lesions = chest(n, ill=False)
    lesions = np.zeros_like(lungs)
    for label, box in BOXES[: n + 1]:
        lesions[box] = label
        hu[box] = (-550, -150)[label - 1]
    volume = volume_of(hu.astype(np.int16))
    affine = volume.affine.copy()
    affine[:3, 3] = -110.0, -100.0, -60.0  # LPS: the patient's right, front and feet first
    if n == 1:  # head first and left first in the file, and lower on the table
        affine[2, 3] -= SHIFT * affine[2, 0]
        hu, lungs, lesions = (one[::-1, :, ::-1] for one in (hu, lungs, lesions))
        for axis in (0, 2):
            affine[:, 3] += affine[:, axis] * (lungs.shape[axis] - 1)
            affine[:, axis] *= -1
    made = Volume(np.ascontiguousarray(hu.astype(np.int16)), affine, volume.intensity)
    return made, np.ascontiguousarray(lungs), np.ascontiguousarray(lesions)


def write_made_story(folder: Path, keep: bool = True) -> Story:
    """The whole story: masks, maps, change, course; with copies of the scans where they are kept."""
    scans = [_write_scan(folder, n, keep) for n in range(3)]
    pairs = tuple(_write_change(folder, n) for n in (1, 2))
    days, percents = tuple(DAYS), (4.0, 12.0, 9.0)
    curve = SmoothCourse(days, percents, (3.0, 10.0, 7.0), (5.0, 14.0, 11.0))
    course = Trajectory(
        *(
            "lesions",
            "lesions-made",
            "percent",
            tuple(one.scan for one in scans),
            days,
            percents,
            (True,) * 3,
        ),
        law="made",
        curve=curve,
    )
    made = Provenance("0", "3", "Linux", {}, "glasslung analyze SCAN[0]", "2026-01-01T00:00:00+00:00", {})
    story = Story(
        *(STORY_SCHEMA, DISCLAIMER, "given", tuple(scans), (), made),
        comparisons=pairs,
        trajectory=(course,),
    )
    write_story(story, folder)
    return story


def _write_scan(folder: Path, n: int, keep: bool):
    volume, lungs, lesions = drawn(n)
    home = folder / "masks" / f"scan-{n + 1:02d}"
    home.mkdir(parents=True)
    write_mask(lungs, volume, home / "lungs.nii.gz")
    write_mask(lesions, volume, home / "lesions.nii.gz")
    write_mask((lesions > 0).astype(np.uint8), volume, home / "opacities.nii.gz")
    write_relevance(
        np.where(lesions == 1, 1.0, np.where(lungs == 2, -0.5, 0.0)), volume, home / "relevance.nii.gz"
    )
    if keep:
        write_volume(volume, home / results.KEPT_SCAN)
    shares = (RelevanceShare("all lesions", 0.5, 0.4),)
    told = Explanation("made", shares, 0.0, f"masks/{home.name}/relevance.nii.gz")
    return findings(
        home.name,
        DAYS[n],
        sha256=f"{n}" * 64,
        shape=volume.shape,
        spacing_mm=volume.spacing_mm,
        diagnosis=replace(diagnosis(1.0), explanation=told),
    )


def _write_change(folder: Path, n: int) -> Comparison:
    """What changed since the scan before, with the levels that registration is said to have found."""
    volume, _, lesions = drawn(n)
    home = folder / "masks" / f"scan-{n + 1:02d}"
    change = np.where(lesions == 1, 1, np.where(lesions == 2, 2, 0)).astype(np.uint8)
    write_mask(change, volume, home / "change.nii.gz")
    at = np.argwhere(lesions > 0).mean(0)
    x, y, z = (volume.affine @ [*at, 1.0])[:3]
    fate = FollowedLesion("grown", 3.0, 9.0, (float(x), float(y), float(z)), round(float(at[0])) + 1, 1, 1)
    told = Comparison(
        *(f"scan-{n:02d}", f"scan-{n + 1:02d}", "lesions-made", (), 0.8, 0.95, 1.0),
        fates=(FateTotal("grown", 1, 3.0, 9.0),),
        lesions=(fate,),
        map=f"masks/{home.name}/change.nii.gz",
    )
    slices = list(range(2, 18))
    note = {"comparison": as_json(told), "levels": [slices, slices]}  # as registration would find them
    results.write_part_note(home, "change", f"key{n}", note)
    return told
