"""All scans of one patient: the main job, told from above.

    admit     read every scan, pass it through the input gate, put the scans in order of time: `admitting`
    examine   one scan: `examining`
    follow    each scan laid on the one before it, and planes of all at matched levels: `following`, `serial`
    tell      the findings in order, the changes between them, their course, what made them: `telling`

What lies in the output folder
    masks/<scan>/    lungs.nii.gz, opacities.nii.gz (scans in HU, by density), lesions.nii.gz and
                     infection.nii.gz (by a network, or lesions made elsewhere), relevance.nii.gz (where a
                     classifier found its reasons), preview.npz, scan.json, and where it was asked for
                     scan.nii.gz, a copy of the scan for the viewer; of a later scan change.nii.gz
                     (lesion that stayed, appeared or cleared) with change.json, of the last one the planes
                     of the serial sheet with serial.json
    story.json       everything measured, by a published schema
    findings.csv     the same figures as a table, one row per scan and region
    lesions.csv      lesions followed from a scan to the next, one row each
    corrections/     lesions that a reader redrew in the viewer: kept, never written or read here
    dicom/           the results as DICOM, where they were asked for: see `report.dicom`
    forecast.json    where a run was asked what is likely next, with forecast.png: see `forecast.outlook`

Nothing is kept before every scan has passed the gate. A scan's folder counts only when it is complete, and
the story changes only when all of them are: an interrupted run goes on where it stopped, an earlier story
in the folder stays whole until then, and a second run of the same input measures nothing. What was damaged
since is measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from glasslung import __version__
from glasslung.analyze import following, serial
from glasslung.analyze.admitting import Admitted, admit, read_as
from glasslung.analyze.diagnosing import Classifiers
from glasslung.analyze.examining import Asked, Stages, examine
from glasslung.analyze.foreseeing import check_prognosis
from glasslung.analyze.masks import Segmenters
from glasslung.analyze.settings import Settings, check_request
from glasslung.analyze.telling import findings_in, story_of, tell_story
from glasslung.data import results
from glasslung.errors import DataError, GlasslungError, UsageError
from glasslung.files import remove_whole
from glasslung.types import Progress, Story, Volume

if TYPE_CHECKING:
    from glasslung.forecast.opening import Run

DEFAULTS = Settings()
_READ = 0.1
_MEASURED = 0.97
_EXAMINED_OF_SEVERAL = 0.8  # examining is the larger part; laying scans on one another is the rest


def analyze(
    scans: Sequence[Path],
    out: Path,
    settings: Settings = DEFAULTS,
    progress: Progress | None = None,
    then: Callable[[Path], object] | None = None,
    asked: Asked | None = None,
) -> Story:
    """Measure the scans of one patient and tell how they change.

    scans     files, folders or zips, one per scan, in any order if their days are known
    out       folder for the results; made if it is not there
    then      called with the folder when its story is whole, while no other run may write to it: the report
    asked     the networks that the settings name, where they are open already: for who analyses many patients
    Returns the Story, which is also written to `out`. Raises UsageError, DataError (unreadable, two
    patients, one scan twice), RefusedError (the gate will not let a scan through). Where only the forecast
    cannot be made, story and report are whole when DataError says so.
    """
    tell = progress or (lambda what, done: None)
    check_request(scans, settings)
    results.check_output(out, scans)
    run = _open_run(settings)
    asked = asked or Asked(Segmenters(settings.masks.segmenter), Classifiers(settings.classifier))
    asked.segmenters.check()
    asked.classifiers.check()
    check_prognosis(settings.prognosis)
    keys = [_key(path, n, settings, asked) for n, path in enumerate(scans)]
    with results.hold(out) as masks:
        story = story_of(out, keys, settings)
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
    how += ("with its copy",) * settings.keep_scan
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
    admitted = admit(scans, keys, settings, asked, _part_of(tell, 0.0, _READ))
    _check_same_story(out, admitted)
    end = _MEASURED if len(admitted) == 1 else _EXAMINED_OF_SEVERAL
    step = (end - _READ) / len(admitted)
    for n, scan in enumerate(admitted):
        if scan.key not in results.finished_scans(masks):
            _examine(scan, masks, settings, asked, _part_of(tell, _READ + n * step, step))
    ordered = [scan.key for scan in admitted]
    homes = _follow(admitted, masks, settings, _part_of(tell, end, _MEASURED - end))
    # Only now does the folder change what it tells. Between the old story and the new one there is none, so
    # that no story ever points at another scan's masks.
    _forget_forecast(out)  # before the story: a folder with a forecast alone would not be known as ours
    for told in ("story.json", "findings.csv", "lesions.csv", "report.html", "report.pdf"):
        (out / told).unlink(missing_ok=True)
    if (out / "dicom").is_dir():
        remove_whole(out / "dicom")
    names = {scan.key: scan.name for scan in admitted}
    results.arrange(masks, names)
    for kind, parts in homes.items():
        results.arrange_parts(masks, kind, {part: names[scan] for part, scan in parts.items()})
    findings = [
        findings_in(masks / names[key], scan.day) for key, scan in zip(ordered, admitted, strict=True)
    ]
    return tell_story(findings, keys, out, settings, (admitted[-1].age, admitted[-1].male))


def _follow(
    admitted: Sequence[Admitted], masks: Path, settings: Settings, tell: Progress
) -> dict[str, dict[str, str]]:
    """Lay each scan on the one before it and cut the serial planes; kind -> part's key -> its scan's key."""
    homes: dict[str, dict[str, str]] = {kind: {} for kind in results.PARTS}
    if len(admitted) < 2:
        return homes
    held = _held(admitted, masks, settings)
    followed, step = [], 0.8 / (len(held) - 1)
    for n, (before, after) in enumerate(pairwise(held)):
        followed.append(following.follow(before, after, masks, _part_of(tell, n * step, step)))
        homes[following.CHANGE][following.pair_key(before.key, after.key)] = after.key
    key = serial.cut_serial(held, followed, masks, _part_of(tell, 0.8, 0.2))
    homes[serial.SERIAL][key] = held[-1].key
    return homes


def _held(admitted: Sequence[Admitted], masks: Path, settings: Settings) -> list[following.Held]:
    """The finished scans in order, with their findings; of those not in memory two are read at a time."""
    folders = results.finished_scans(masks)

    @lru_cache(maxsize=2)
    def volume_of(n: int) -> Volume:
        return admitted[n].read(settings)

    return [
        following.Held(
            scan.key,
            replace(findings_in(folders[scan.key], scan.day), scan=scan.name),
            folders[scan.key],
            partial(volume_of, n),
        )
        for n, scan in enumerate(admitted)
    ]


def _check_same_story(out: Path, admitted: list[Admitted]) -> None:
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
    volume = read_as(paths[keys[last.scan]], settings)
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


# --- examine: one scan --------------------------------------------------------------------------------------


def _part_of(tell: Progress, start: float, share: float) -> Progress:
    """The progress of a part of the whole run, which begins at `start` and is so large a share of it."""
    return lambda what, done: tell(what, start + share * done)


def _examine(scan: Admitted, masks: Path, settings: Settings, asked: Asked, tell: Progress) -> None:
    """One scan into a finished folder."""
    from glasslung.data.formats import write_volume
    from glasslung.data.story import as_json

    with results.new_scan(masks, scan.key) as work:
        labels, stages = settings.masks.labels, Stages(scan.name, tell)
        volume = scan.read(settings)
        findings = examine(volume, scan.gate, scan.path.name, scan.given, labels, asked, work, stages)
        if settings.keep_scan:
            write_volume(volume, work / results.KEPT_SCAN)
        results.write_scan_note(work, scan.key, as_json(findings))
