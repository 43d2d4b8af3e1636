"""The story told: findings in order, changes and course, prognosis, what made it; and known again later."""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from glasslung import __version__
from glasslung.analyze.following import CHANGE_FILE, read_followed
from glasslung.analyze.foreseeing import Foreseen, foresee, foreseen_by
from glasslung.analyze.serial import read_serial
from glasslung.analyze.settings import Settings
from glasslung.data import results
from glasslung.data.story import LESIONS_FILE, STORY_MINOR, STORY_SCHEMA
from glasslung.errors import DataError
from glasslung.types import DISCLAIMER, Comparison, Diagnosis, Findings, Provenance, Story

_LIBRARIES = ("numpy", "scipy", "SimpleITK", "scikit-image", "pydicom", "nibabel", "pillow")


def findings_in(folder: Path, day: float | None) -> Findings:
    """The findings of a finished scan, under the name its folder has and the day it has in this story."""
    from glasslung.data.story import findings_from_json

    note = results.read_scan_note(folder)
    if note is None:
        raise DataError(f"{folder} changed while it was read: run the same command again")
    kept, name = findings_from_json(note["findings"]), folder.name
    paths = {what: f"masks/{name}/{file}" for what, file in kept.masks.items()}
    told, preview = _placed(kept.diagnosis, f"masks/{name}"), f"masks/{name}/preview.npz"
    return replace(kept, scan=name, day=day, masks=paths, preview=preview, diagnosis=told)


def _placed(told: Diagnosis | None, folder: str) -> Diagnosis | None:
    """The same diagnosis, whose map lies in the scan's folder."""
    if told is None or told.explanation is None or not told.explanation.map:
        return told
    return replace(told, explanation=replace(told.explanation, map=f"{folder}/{told.explanation.map}"))


def tell_story(
    findings: Sequence[Findings],
    keys: Sequence[str],
    out: Path,
    settings: Settings,
    person: tuple[float | None, bool | None],
) -> Story:
    """Order, changes, course and provenance; written last, so a story on disk is always a whole one.

    keys    in the order the scans were given;  person  age and sex by the last scan's header
    """
    from glasslung.data.story import write_findings_csv, write_lesions_csv, write_story
    from glasslung.measure.course import changes

    known = "unknown" if findings[0].day is None else "given" if settings.days else "dicom dates"
    foreseen = foresee(findings, settings.prognosis, person)
    story = Story(
        schema=STORY_SCHEMA,
        disclaimer=DISCLAIMER,
        days_known=known,
        scans=tuple(findings),
        changes=changes(findings),
        provenance=_provenance(keys, settings),
        prognosis=foreseen.told,
        further=foreseen.further,
        unforeseen=foreseen.why_not,
        minor=STORY_MINOR,
        **_over_time(findings, out),
    )
    write_findings_csv(story, out / "findings.csv")
    write_lesions_csv(story, out / LESIONS_FILE)
    write_story(story, out)
    return story


def _over_time(findings: Sequence[Findings], out: Path) -> dict[str, Any]:
    """What all scans say together, from their folders: comparisons, trajectory, serial sheet."""
    if len(findings) < 2:
        return {}
    from glasslung.analyze.trajectories import trajectories

    last = f"masks/{findings[-1].scan}"
    return {
        "comparisons": tuple(_comparison(a, b, out) for a, b in pairwise(findings)),
        "trajectory": trajectories(findings),
        "serial": read_serial(out / last, findings, last),
    }


def _comparison(before: Findings, after: Findings, out: Path) -> Comparison:
    """What became of the lesions, by the names the scans have in this story."""
    home = f"masks/{after.scan}"
    told = read_followed(out / home).told
    path = f"{home}/{CHANGE_FILE}" if told.map else ""
    return replace(told, scan_before=before.scan, scan_after=after.scan, map=path)


def _provenance(keys: Sequence[str], settings: Settings) -> Provenance:
    """What made this story. Scans appear by their fingerprints: their names may name a patient."""
    days = ["--days", ",".join(f"{day:g}" for day in settings.days)] if settings.days else []
    return Provenance(
        glasslung=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        libraries={name: version(name) for name in _LIBRARIES},
        command=" ".join(["glasslung analyze", *(f"SCAN[{key}]" for key in keys), *days]),
        created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        settings=_told(keys, settings),
    )


def _told(keys: Sequence[str], settings: Settings) -> dict[str, str]:
    """Settings by name. Age and sex are not among them: they are told where a prognosis used them."""
    return {
        "inputs": " ".join(keys),
        "days": " ".join(f"{day:g}" for day in settings.days),
        "series": settings.series or "",
        "intensity": str(settings.intensity or ""),
        "segmenter": Path(settings.masks.segmenter).name,
        "classifier": Path(settings.classifier).name,
        "lesion labels": settings.masks.told(),
        "prognosis": foreseen_by(settings.prognosis),
    }


def story_of(out: Path, keys: Sequence[str], settings: Settings) -> Story | None:
    """The story that an earlier run of the same input left here, if all is still as that run left it."""
    from glasslung.data.story import read_story, write_findings_csv, write_lesions_csv

    try:
        story = read_story(out)
        there = [findings_in(out / "masks" / scan.scan, scan.day) for scan in story.scans]
        same = _over_time(there, out)
    except DataError:
        return None  # none, or damaged: it is told again from what is finished
    told_by_us = story.provenance.glasslung == __version__ and story.minor == STORY_MINOR
    if not told_by_us or story.provenance.settings != _told(keys, settings) or there != list(story.scans):
        return None
    if any(getattr(story, name) != value for name, value in same.items()):
        return None
    before = Foreseen(story.prognosis, story.unforeseen, story.further)
    if foresee(there, settings.prognosis, _person_in(story)) != before:
        return None
    write_findings_csv(story, out / "findings.csv")
    write_lesions_csv(story, out / LESIONS_FILE)
    return story


def _person_in(story: Story) -> tuple[float | None, bool | None]:
    """Age and sex that an earlier run's prognosis read; the header they came from is not read again."""
    columns = {} if story.prognosis is None else story.prognosis.columns
    male = columns.get("male")
    return columns.get("age"), None if male is None else male > 0.5
