"""All scans of one patient: the main job, told from above.

    admit     read every scan, pass it through the input gate, put the scans in order of time
    examine   one scan: see `analyze.examining`
    tell      the findings in order, the changes between them, what made them

What lies in the output folder
    masks/<scan>/    lungs.nii.gz, opacities.nii.gz (scans in HU, by density), lesions.nii.gz and
                     infection.nii.gz (by a network, or lesions made elsewhere), relevance.nii.gz (where a
                     classifier found its reasons), preview.npz, scan.json
    story.json       everything measured, by a published schema
    findings.csv     the same figures as a table, one row per scan and region
    forecast.json    where a run was asked what is likely next, with forecast.png: see `forecast.outlook`

Nothing is kept before every scan has passed the gate. A scan's folder counts only when it is complete, and
the story changes only when all of them are: an interrupted run goes on where it stopped, an earlier story
in the folder stays whole until then, and a second run of the same input measures nothing. What was damaged
since is measured again.
"""

from __future__ import annotations

import datetime as dt
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from glasslung import __version__
from glasslung.analyze.diagnosing import Classifiers
from glasslung.analyze.examining import Asked, Stages, examine
from glasslung.analyze.masks import GivenPaths, MaskMaking, Segmenters, check_given
from glasslung.data import results
from glasslung.errors import DataError, GlasslungError, UsageError
from glasslung.types import (
    DISCLAIMER,
    Diagnosis,
    Findings,
    Intensity,
    Progress,
    Provenance,
    Remark,
    Story,
    Volume,
)

if TYPE_CHECKING:
    from glasslung.forecast.opening import Run
    from glasslung.forecast.outlook import OutlookSettings

_READING = 0.1
_MEASURED = 0.97

# Scans up to this many bytes in all stay in memory between the gate and the examination; past it they are
# read again, so that memory does not grow with the number of scans.
_KEPT_BYTES = 400_000_000

_LIBRARIES = ("numpy", "scipy", "SimpleITK", "scikit-image", "pydicom", "nibabel", "pillow")


@dataclass(frozen=True)
class ForecastSettings:
    """Which run is asked for what comes after the last scan: its folder or a shipped name, and what of it."""

    run: str
    asked: OutlookSettings


@dataclass(frozen=True)
class Settings:
    """What a user may choose about an analysis.

    days       days of the scans, in the order the scans are given; () takes them from the DICOM dates
    series     which series of a DICOM folder: its number or key; None picks, and says why
    intensity  what the grey values mean, for files that do not say; None reads it from the file or refuses
    forecast   what is likely next for the last scan; None asks nobody
    masks      who draws lungs and lesions
    classifier a run's folder, a shipped name, 'none', or '' for what ships for a scan's grey values
    """

    days: tuple[float, ...] = ()
    series: str | None = None
    intensity: Intensity | None = None
    forecast: ForecastSettings | None = None
    masks: MaskMaking = field(default_factory=MaskMaking)
    classifier: str = ""


@dataclass(frozen=True, eq=False)
class _Admitted:
    """A scan that passed the gate. `volume` is None where it must be read again because memory was short."""

    path: Path
    key: str
    gate: tuple[Remark, ...]
    volume: Volume | None
    sha256: str
    given: GivenPaths
    name: str = ""
    day: float | None = None


def analyze(
    scans: Sequence[Path],
    out: Path,
    settings: Settings = Settings(),
    progress: Progress | None = None,
    then: Callable[[Path], object] | None = None,
) -> Story:
    """Measure the scans of one patient and tell how they change.

    scans     files, folders or zips, one per scan, in any order if their days are known
    out       folder for the results; made if it is not there
    then      called with the folder when its story is whole, while no other run may write to it: the report
    Returns the Story, which is also written to `out`. Raises UsageError, DataError (unreadable, two
    patients, one scan twice), RefusedError (the gate will not let a scan through). Where only the forecast
    cannot be made, story and report are whole when DataError says so.
    """
    tell = progress or (lambda what, done: None)
    _check_request(scans, settings)
    results.check_output(out, scans)
    run = _open_run(settings)
    asked = Asked(Segmenters(settings.masks.segmenter), Classifiers(settings.classifier))
    asked.segmenters.check()
    asked.classifiers.check()
    keys = [_key(path, n, settings, asked) for n, path in enumerate(scans)]
    with results.hold(out) as masks:
        story = _story_of(out, keys, settings)
        if story is None:
            story = _measure(scans, keys, (out, masks), settings, asked, tell)
        else:
            tell("this input is already measured", _MEASURED)
        problem = _foretell(dict(zip(keys, scans, strict=True)), out, story, settings, run, tell)
        if then is not None:
            tell("drawing the report", _MEASURED)
            then(out)
    if problem is not None:
        raise DataError(f"the story in {out} is whole, but has no forecast: {problem}") from problem
    return story


def _key(path: Path, n: int, settings: Settings, asked: Asked) -> str:
    """Changes with the n-th scan, with what it is asked, and with who draws its masks and who is asked."""
    made = settings.masks
    drawn = made.given(n)
    files = [results.fingerprint(file) for file in (drawn.lungs, drawn.lesions) if file is not None]
    who = "" if drawn.lesions is not None else asked.segmenters.identity()
    how = (__version__, settings.series, settings.intensity, who, *files, made.told())
    return results.fingerprint(path, *how, asked.classifiers.identity())


def _measure(
    scans: Sequence[Path],
    keys: list[str],
    places: tuple[Path, Path],
    settings: Settings,
    asked: Asked,
    tell: Progress,
) -> Story:
    out, masks = places
    admitted = _admit(scans, keys, settings, asked, tell)
    _check_same_story(out, admitted)
    for n, scan in enumerate(admitted):
        if scan.key not in results.finished_scans(masks):
            _examine(scan, masks, settings, asked, _part_of(tell, n, len(admitted)))
    # Only now does the folder change what it tells. Between the old story and the new one there is none, so
    # that no story ever points at another scan's masks.
    _forget_forecast(out)  # before the story: a folder with a forecast alone would not be known as ours
    for told in ("story.json", "findings.csv", "report.html"):
        (out / told).unlink(missing_ok=True)
    results.arrange(masks, {scan.key: scan.name for scan in admitted})
    return _tell([_findings_in(masks / scan.name, scan.day) for scan in admitted], keys, out, settings)


def _check_same_story(out: Path, admitted: list[_Admitted]) -> None:
    """Refuse to write one patient's story over another's (UsageError): they must share a scan."""
    from glasslung.data.story import read_story

    try:
        before = {scan.sha256 for scan in read_story(out).scans}
    except DataError:
        return  # no story, or a damaged one: nothing that could be mixed up
    if not before & {scan.sha256 for scan in admitted}:
        raise UsageError(f"--out {out} holds the story of other scans: choose another folder")


# --- forecast: what is likely next for the last scan -----------------------------------------------------


def _open_run(settings: Settings) -> Run | None:
    """The run that is to be asked, before anything is measured: a wrong name must not cost minutes."""
    if settings.forecast is None:
        return None
    from glasslung.forecast.opening import open_run

    return open_run(settings.forecast.run)


def _foretell(
    paths: dict[str, Path], out: Path, story: Story, settings: Settings, run: Run | None, tell: Progress
) -> GlasslungError | None:
    """Add the forecast of the last scan, or take an earlier one away; what stood in its way comes back.

    paths  key -> path of every scan
    """
    _forget_forecast(out)
    if run is None or settings.forecast is None:
        return None
    from glasslung.data.formats import read_mask
    from glasslung.forecast.outlook import add_outlook, foretell
    from glasslung.forecast.sight import look_at

    last = story.scans[-1]
    tell(f"{last.scan}: what is likely next", _MEASURED)
    keys = {folder.name: key for key, folder in results.finished_scans(out / "masks").items()}
    volume = _read(paths[keys[last.scan]], settings)
    try:
        sight = look_at(volume, read_mask(out / last.masks["lungs"], volume), last.lung_quality, run.size)
        told = foretell(run, sight, settings.forecast.asked, last.scan, _since_first(story))
        add_outlook(told, out)
    except GlasslungError as problem:
        return problem
    return None


def _since_first(story: Story) -> float:
    """Days from the first scan to the last; 0 where they are not known."""
    first, last = story.scans[0].day, story.scans[-1].day
    return 0.0 if first is None or last is None else last - first


def _forget_forecast(out: Path) -> None:
    from glasslung.forecast.outlook import remove_outlook

    remove_outlook(out)


# --- admit: read, gate, order -------------------------------------------------------------------------------


def _check_request(scans: Sequence[Path], settings: Settings) -> None:
    if not scans:
        raise UsageError("no scan was given: `glasslung analyze SCAN [SCAN ...] --out DIR`")
    for path in scans:
        if not path.exists():
            raise UsageError(
                f"{path} does not exist: give a DICOM folder, a NIfTI, NRRD or MHA file, pictures or a zip"
            )
    if len({path.resolve() for path in scans}) < len(scans):
        raise UsageError("one scan was given twice: give each scan once")
    settings.masks.check(len(scans))
    if settings.days and len(settings.days) != len(scans):
        raise UsageError(f"{len(settings.days)} day(s) for {len(scans)} scan(s): give one day per scan")
    if any(not abs(day) < 100_000 for day in settings.days):
        raise UsageError(
            f"--days {','.join(map(str, settings.days))}: days are numbers, counted from any day you like"
        )


def _admit(
    scans: Sequence[Path], keys: list[str], settings: Settings, asked: Asked, tell: Progress
) -> list[_Admitted]:
    """Every scan read and let through by the gate, named in order of time."""
    from glasslung.data.gate import inspect, refuse

    admitted, sources, held = [], [], 0
    for n, (path, key) in enumerate(zip(scans, keys, strict=True)):
        tell(f"reading {path.name}", _READING * n / len(scans))
        volume = _read(path, settings)
        remarks = inspect(volume)
        refuse(remarks, path.name)
        given = settings.masks.given(n)
        check_given(volume, given, settings.masks.labels)
        drawn = given.lesions is not None or asked.segmenters.fitting(volume.intensity) is not None
        asked.classifiers.fitting(volume.intensity, drawn)
        held += volume.voxels.nbytes
        sources.append(volume.source)
        admitted.append(
            _Admitted(
                path, key, remarks, volume if held <= _KEPT_BYTES else None, volume.source.sha256, given
            )
        )
    _check_one_patient(scans, [source.patient_key for source in sources])
    _check_different(scans, [source.sha256 for source in sources])
    _check_not_parts(scans, [source.series_key for source in sources])
    days = list(settings.days) or _days_from([source.acquired for source in sources])
    return _in_order(admitted, days)


def _read(path: Path, settings: Settings) -> Volume:
    from glasslung.data.formats import read_scan

    return read_scan(path, series=settings.series, intensity=settings.intensity)


def _check_one_patient(scans: Sequence[Path], patients: list[str | None]) -> None:
    known = [(path.name, patient) for path, patient in zip(scans, patients, strict=True) if patient]
    for name, patient in known[1:]:
        if patient != known[0][1]:
            raise DataError(
                f"{known[0][0]} and {name} are scans of two patients: "
                "a story is one patient's. Analyse them one by one"
            )


def _check_different(scans: Sequence[Path], hashes: list[str]) -> None:
    for n, digest in enumerate(hashes):
        if digest and digest in hashes[:n]:
            twin = scans[hashes.index(digest)]
            raise DataError(f"{twin.name} and {scans[n].name} hold the same scan: give each scan once")


def _check_not_parts(scans: Sequence[Path], series: list[str | None]) -> None:
    for n, key in enumerate(series):
        if key and key in series[:n]:
            twin = scans[series.index(key)]
            raise DataError(
                f"{twin.name} and {scans[n].name} are parts of one series, not two scans: "
                "pass the folder they lie in"
            )


def _days_from(moments: list[dt.datetime | None]) -> list[float | None]:
    """Whole days since the first scan; unknown for all if one of several scans carries no date."""
    known = [moment.date() for moment in moments if moment is not None]
    if len(known) < len(moments):
        return [None] * len(moments)
    return [float((day - min(known)).days) for day in known]


def _in_order(admitted: list[_Admitted], days: Sequence[float | None]) -> list[_Admitted]:
    """Scans by day, or as given where the days are not known, with names that say the order."""
    pairs = list(zip(admitted, days, strict=True))
    if None not in days:
        pairs.sort(key=lambda pair: pair[1] or 0.0)
    return [replace(scan, name=f"scan-{n:02d}", day=day) for n, (scan, day) in enumerate(pairs, start=1)]


# --- examine: one scan --------------------------------------------------------------------------------------


def _part_of(tell: Progress, n: int, scans: int) -> Progress:
    """The progress of the n-th scan as a part of the whole run."""
    share = (_MEASURED - _READING) / scans
    return lambda what, done: tell(what, _READING + share * (n + done))


def _examine(scan: _Admitted, masks: Path, settings: Settings, asked: Asked, tell: Progress) -> None:
    """One scan into a finished folder."""
    from glasslung.data.story import as_json

    with results.new_scan(masks, scan.key) as work:
        volume = scan.volume if scan.volume is not None else _read(scan.path, settings)
        labels, stages = settings.masks.labels, Stages(scan.name, tell)
        findings = examine(volume, scan.gate, scan.path.name, scan.given, labels, asked, work, stages)
        results.write_scan_note(work, scan.key, as_json(findings))


def _findings_in(folder: Path, day: float | None) -> Findings:
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


# --- tell: the story ----------------------------------------------------------------------------------------


def _tell(findings: list[Findings], keys: list[str], out: Path, settings: Settings) -> Story:
    """Order, changes and provenance; written last, so a story on disk is always a whole one."""
    from glasslung.data.story import write_findings_csv, write_story
    from glasslung.measure.course import changes

    known = "unknown" if findings[0].day is None else "given" if settings.days else "dicom dates"
    story = Story(
        schema="glasslung-story/1",
        disclaimer=DISCLAIMER,
        days_known=known,
        scans=tuple(findings),
        changes=changes(findings),
        provenance=_provenance(keys, settings),
    )
    write_findings_csv(story, out / "findings.csv")
    write_story(story, out)
    return story


def _provenance(keys: list[str], settings: Settings) -> Provenance:
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


def _told(keys: list[str], settings: Settings) -> dict[str, str]:
    return {
        "inputs": " ".join(keys),
        "days": " ".join(f"{day:g}" for day in settings.days),
        "series": settings.series or "",
        "intensity": str(settings.intensity or ""),
        "segmenter": Path(settings.masks.segmenter).name,
        "classifier": Path(settings.classifier).name,
        "lesion labels": settings.masks.told(),
    }


def _story_of(out: Path, keys: list[str], settings: Settings) -> Story | None:
    """The story that an earlier run of the same input left here, if all is still as that run left it."""
    from glasslung.data.story import read_story, write_findings_csv

    try:
        story = read_story(out)
        there = [_findings_in(out / "masks" / scan.scan, scan.day) for scan in story.scans]
    except DataError:
        return None  # none, or damaged: it is told again from what is finished
    told_by_us = story.provenance.glasslung == __version__
    if not told_by_us or story.provenance.settings != _told(keys, settings) or there != list(story.scans):
        return None
    write_findings_csv(story, out / "findings.csv")
    return story
