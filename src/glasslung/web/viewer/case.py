"""What the viewer shows: the scans of a story with their masks and maps, or one scan alone.

A story holds no scan unless `analyze` kept a copy of it (`masks/<scan>/scan.nii.gz`). Where there is none the
scans themselves are given, in any order: each is known by the hash of its content, so that no other scan can
stand in for it. A scan that is not there leaves its masks and figures, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from glasslung.data.results import KEPT_SCAN, inside
from glasslung.errors import DataError, UsageError
from glasslung.types import Findings, Geometry, Intensity, Progress, Story, Volume

LAYERS = ("lungs", "lesions", "opacities", "infection", "relevance", "change")
LESION_LAYERS = ("lesions", "opacities")  # what a list of lesions can be made of, the first one there is


@dataclass(frozen=True)
class Shown:
    """One scan as the viewer shows it.

    name       'scan-01'; of a scan alone 'scan'
    scan       the file of its voxels, NIfTI on the scan's own grid; None where it is not there
    layers     name of `LAYERS` -> file, on the same grid
    findings   what was measured; None of a scan alone
    """

    name: str
    day: float | None
    intensity: Intensity
    geometry: Geometry
    scan: Path | None
    layers: dict[str, Path] = field(default_factory=dict)
    findings: Findings | None = None

    def file(self, what: str) -> Path | None:
        """The file of a layer, or of the scan; None where there is none, or a link took its place since."""
        path = self.scan if what == "scan" else self.layers.get(what)
        return path if path is not None and path.is_file() and path.resolve() == path else None

    @property
    def label(self) -> str:
        """'day 9', or the scan's name where the day is not known."""
        return self.name if self.day is None else f"day {self.day:g}"


@dataclass(frozen=True)
class ViewCase:
    """What was opened: scans in order of time; folder and story are None of a scan alone."""

    scans: tuple[Shown, ...]
    folder: Path | None = None
    story: Story | None = None


@dataclass(frozen=True)
class Reading:
    """How scans are read: which series of a DICOM folder, and what grey values mean where no file says so."""

    series: str | None = None
    intensity: Intensity | None = None


AS_FILES_SAY = Reading()


@contextmanager
def open_case(
    place: Path, scans: Sequence[Path], reading: Reading = AS_FILES_SAY, progress: Progress | None = None
) -> Iterator[ViewCase]:
    """Open the folder of a story, or any scan; copies that had to be made are gone when the block ends.

    scans  of the story, where it keeps no copies, in any order
    UsageError where there is nothing to be shown, DataError for what is damaged or belongs elsewhere.
    """
    if not place.exists():
        raise UsageError(f"{place} does not exist: give the folder of a story, or a scan")
    tell = progress or (lambda what, done: None)
    with TemporaryDirectory(prefix="glasslung-view-") as temporary:
        work = Path(temporary).resolve()
        if (place / "story.json").is_file():
            yield _story_case(place, scans, work, reading, tell)
            return
        if scans:
            raise UsageError(f"--scan goes with the folder of a story, and {place} is none: leave it out")
        yield _scan_case(place, work, reading, tell)


def _scan_case(place: Path, work: Path, reading: Reading, tell: Progress) -> ViewCase:
    """A scan without a story, alone."""
    from glasslung.data.formats import read_scan

    tell(f"reading {place.name}", 0.1)
    volume = read_scan(place, series=reading.series, intensity=reading.intensity)
    kept = _write(volume, work / KEPT_SCAN, tell)
    return ViewCase((Shown("scan", None, volume.intensity, volume.geometry, kept),))


def _write(volume: Volume, path: Path, tell: Progress) -> Path:
    from glasslung.data.formats import write_volume

    tell("making it ready for the browser", 0.6)
    write_volume(volume, path)
    return path


# --- a story ------------------------------------------------------------------------------------------------


def _story_case(
    folder: Path, given: Sequence[Path], work: Path, reading: Reading, tell: Progress
) -> ViewCase:
    from glasslung.data.story import read_story

    story = read_story(folder)
    kept = _kept_scans(folder, story)
    alike = {one.intensity for one in story.scans}
    if len(alike) == 1 and reading.intensity is None:  # the story says what such files may leave untold
        reading = replace(reading, intensity=story.scans[0].intensity)
    lent = _lent_scans(given, story, work, reading, tell) if given else {}
    files = [lent.get(one.sha256) or kept.get(one.scan) for one in story.scans]
    shown = tuple(_shown(one, folder, story, file) for one, file in zip(story.scans, files, strict=True))
    if not any(one.scan for one in shown):
        raise UsageError(
            f"{folder} holds its story without the scans: give them, --scan SCAN for each; or analyse them "
            "again with copies kept, which `glasslung analyze` does unless --no-keep-scan is said"
        )
    return ViewCase(shown, folder, story)


def _kept_scans(folder: Path, story: Story) -> dict[str, Path]:
    paths = {one.scan: inside(folder, f"masks/{one.scan}/{KEPT_SCAN}") for one in story.scans}
    return {name: path for name, path in paths.items() if path is not None}


def _lent_scans(
    given: Sequence[Path], story: Story, work: Path, reading: Reading, tell: Progress
) -> dict[str, Path]:
    """Scans that were given, hash of the content -> a NIfTI of each; DataError for one of another story."""
    from glasslung.data.formats import read_scan

    known = {one.sha256: one for one in story.scans}
    found: dict[str, Path] = {}
    for n, path in enumerate(given):
        tell(f"reading {path.name}", n / len(given))
        if not path.exists():
            raise UsageError(f"--scan {path} does not exist: give a scan of this story")
        volume = read_scan(path, series=reading.series, intensity=reading.intensity)
        one = known.get(volume.source.sha256)
        if one is None:
            raise DataError(f"--scan {path.name} is none of this story's scans, by its content: leave it out")
        found[one.sha256] = _write(volume, work / f"{one.scan}.nii.gz", tell)
    return found


def _shown(one: Findings, folder: Path, story: Story, scan: Path | None) -> Shown:
    named = dict(one.masks)
    told = one.diagnosis.explanation if one.diagnosis is not None else None
    if told is not None and told.map:
        named["relevance"] = told.map
    for pair in story.comparisons:
        if pair.scan_after == one.scan and pair.map:
            named["change"] = pair.map
    paths = {what: inside(folder, named[what]) for what in LAYERS if what in named}
    there = {what: path for what, path in paths.items() if path is not None}
    return Shown(one.scan, one.day, one.intensity, one.geometry, scan, there, one)
