"""Results: from a story's folder and the scans it was told from to a folder of DICOM files.

find     the slices of each scan among the files given, by content
read     masks and maps of the story, each on its scan's own grid
make     one object after the other: `segments`, `measurements`, `relevance`, `document`
write    all of them, or none
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glasslung.data.formats.archive import unpacked
from glasslung.data.formats.damage import silenced, told_plainly
from glasslung.data.formats.dicom_origin import Origin, find_origin, stacks_by_content
from glasslung.data.formats.geometry import check_same_grid
from glasslung.data.formats.nifti import read_nifti
from glasslung.data.formats.reading import read_labels
from glasslung.data.formats.survey import Kind, survey
from glasslung.data.results import inside
from glasslung.data.story import read_story
from glasslung.errors import DataError, UsageError
from glasslung.files import replace_folder, whole_folder
from glasslung.report.dicom.document import document
from glasslung.report.dicom.equipment import Maker, make_inheritable, maker_of
from glasslung.report.dicom.measurements import Drawn, measurement_report
from glasslung.report.dicom.relevance import relevance_map
from glasslung.report.dicom.segments import Masks, segmentation, segments_of
from glasslung.report.pdf import pdf_of_story
from glasslung.types import Findings, Geometry, Progress, Story

OURS = re.compile(r"scan-\d+-(seg|sr|relevance)\.dcm|report\.(dcm|pdf)")
PDF_FILE = "report.pdf"
FOLDER = "dicom"  # inside a story's folder


class Made(NamedTuple):
    """One object and the name of its file."""

    name: str
    dataset: Any


def write_dicom_results(
    story_folder: Path,
    sources: Mapping[str, Sequence[Path]],
    out: Path,
    progress: Progress | None = None,
) -> list[Path]:
    """Write what a story found as DICOM objects that refer to the scans it was told from.

    story_folder  folder that `analyze` wrote; nothing else of it is needed
    sources       scan's name ('scan-01') -> its DICOM files, in any order and among files of other series
    out           folder for the files: new, empty, or with an earlier set of them, which is replaced
    Returns the DICOM files, those of each scan together: Segmentation, structured report, map of relevance,
    and with the last scan the report as Encapsulated PDF; report.pdf lies beside them. The same story and
    files give the same bytes and UIDs.
    Scans that `sources` does not name are left out. DataError where a scan is no DICOM with measured
    geometry, or the files are not those that were measured; then nothing is written.
    """
    tell = progress or (lambda what, done: None)
    story = read_story(story_folder)
    scans = _asked(story, sources)
    _check_place(out)
    tell("finding the scans' slices", 0.0)
    origins = {scan.scan: _origin(scan, sources[scan.scan]) for scan in scans}
    maker, names = maker_of(story), list[str]()
    with _replacing(out) as part:
        pdf = pdf_of_story(story_folder)
        (part / PDF_FILE).write_bytes(pdf)
        for n, scan in enumerate(scans):
            tell(f"{scan.scan}: DICOM results", n / len(scans))
            of_this = origins[scan.scan], maker, pdf if scan is scans[-1] else None
            with silenced():  # the libraries quote what they find odd in a header, and it may name somebody
                for made in _objects(story_folder, scan, *of_this):
                    made.dataset.save_as(part / made.name, enforce_file_format=True)
                    names.append(made.name)
    return [out / name for name in names]


def why_none(scan: Findings) -> str:
    """Why there can be no DICOM results of a scan, whatever files are given; '' where there can."""
    if scan.kind != "dicom":
        return f"{scan.scan} was read from {scan.kind}: there is no DICOM series its results could refer to"
    if scan.geometry is not Geometry.MEASURED:
        return f"{scan.scan} does not say where its slices lie, so its results have no place in the patient"
    return ""


def left_out(story_folder: Path, sources: Mapping[str, Sequence[Path]]) -> list[str]:
    """Which scans of a story have no results when these files are given, and why, a line each."""
    return [
        why_none(scan) or f"{scan.scan}: its DICOM files were not given"
        for scan in read_story(story_folder).scans
        if scan.scan not in sources
    ]


def _asked(story: Story, sources: Mapping[str, Sequence[Path]]) -> list[Findings]:
    """The scans that results are asked of, in the story's order."""
    known = {scan.scan: scan for scan in story.scans}
    unknown = [name for name in sources if name not in known]
    if unknown:
        raise UsageError(f"the story has no {unknown[0]!r}; it has {', '.join(known)}")
    scans = [scan for name, scan in known.items() if name in sources]
    if not scans:
        why = [why_none(scan) for scan in story.scans if why_none(scan)]
        raise DataError(why[0] if why else "no scan was given; name the DICOM files of one")
    for scan in scans:
        if why_none(scan):
            raise DataError(f"{why_none(scan)}; leave it out")
    return scans


def _origin(scan: Findings, files: Sequence[Path]) -> Origin:
    origin = find_origin(files, scan.sha256, scan.shape, scan.scan)
    if origin is None:
        slices, rows, columns = scan.shape
        raise DataError(
            f"{scan.scan}: none of the {len(files)} files given is the series that was measured ({slices} "
            f"slices of {rows} x {columns}, by content); pass the unchanged files that `analyze` read"
        )
    for header in origin.headers:
        with told_plainly(Path(scan.scan), "its DICOM header cannot be inherited", "export the scan again"):
            make_inheritable(header)
    return origin


def _objects(folder: Path, scan: Findings, origin: Origin, maker: Maker, pdf: bytes | None) -> Iterator[Made]:
    """The objects of one scan, one after the other; `pdf` is the report where it lies with this scan."""
    masks = _masks(folder, scan, origin)
    segments = segments_of(scan, masks)
    seg = segmentation(origin, masks, segments, maker)
    yield Made(f"{scan.scan}-seg.dcm", seg)
    report = measurement_report(scan, origin, Drawn(seg, segments), maker)
    yield Made(f"{scan.scan}-sr.dcm", report)
    if pdf is not None:
        yield Made("report.dcm", document(pdf, origin, (seg, report), maker))
    relevance = _relevance(folder, scan, origin)
    if relevance is not None and scan.diagnosis is not None:
        yield Made(f"{scan.scan}-relevance.dcm", relevance_map(origin, relevance, scan.diagnosis, maker))


def _relevance(folder: Path, scan: Findings, origin: Origin) -> np.ndarray | None:
    """The map of a classifier's reasons, (D, H, W); None where there is none, or it is 0 everywhere."""
    told = scan.diagnosis.explanation if scan.diagnosis is not None else None
    if told is None or not told.map:
        return None
    values, affine, _ = read_nifti(_file_of(folder, told.map, scan.scan))
    check_same_grid(
        f"{scan.scan}, {Path(told.map).name}", values.shape, affine, (origin.shape, origin.affine)
    )
    return values if values.any() else None


def _masks(folder: Path, scan: Findings, origin: Origin) -> Masks:
    read = {
        name: _mask(folder, scan, scan.masks[name], origin)
        for name in ("lungs", "lesions", "opacities")
        if name in scan.masks
    }
    if "lungs" not in read:
        raise DataError(f"{scan.scan}: the story names no mask of its lungs; run `glasslung analyze` anew")
    return Masks(read["lungs"], read.get("lesions"), read.get("opacities"))


def _mask(folder: Path, scan: Findings, file: str, origin: Origin) -> np.ndarray:
    labels, affine = read_labels(_file_of(folder, file, scan.scan))
    check_same_grid(f"{scan.scan}, {Path(file).name}", labels.shape, affine, (origin.shape, origin.affine))
    return labels


def _file_of(folder: Path, file: str, scan: str) -> Path:
    """A file that a story names; DataError where it is not there, or a path leads out of the folder."""
    path = inside(folder, file)
    if path is None:
        raise DataError(
            f"{scan}: {Path(file).name} is missing or lies outside {folder}: run `glasslung analyze` anew"
        )
    return path


def _check_place(out: Path) -> None:
    if out.is_dir() and all(OURS.fullmatch(path.name) for path in out.iterdir()):
        return
    if out.exists():
        raise DataError(f"{out}: is there already and holds other files; choose another folder")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out`, an earlier set included, when the block ends well."""
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed
    with whole_folder(fresh) as part:
        yield part
    replace_folder(fresh, out)


def add_dicom(folder: Path, paths: Sequence[Path], progress: Progress | None = None) -> list[str]:
    """Write the DICOM results of the scans at these paths into a story's own folder, under `dicom/`.

    Returns why scans have none, a line each. DataError where none has any; the story stays as it is.
    """
    try:
        with match_sources(folder, paths) as sources:
            write_dicom_results(folder, sources, folder / FOLDER, progress)
    except DataError as problem:
        raise DataError(f"the story in {folder} is whole, but has no DICOM results: {problem}") from problem
    return left_out(folder, sources)


# --- sources: which path is which scan ----------------------------------------------------------------------


@contextmanager
def match_sources(story_folder: Path, paths: Sequence[Path]) -> Iterator[dict[str, list[Path]]]:
    """Scan's name -> its DICOM files, of the scans of a story that lie in these files, folders or zips.

    Paths that are no DICOM are passed over; DataError where one that is holds no scan of the story. Zips are
    unpacked as long as the block lasts.
    """
    story = read_story(story_folder)
    with ExitStack() as open_zips:
        found: dict[str, list[Path]] = {}
        for path in paths:
            found |= _scans_in(story, path, open_zips)
        yield found


def _scans_in(story: Story, path: Path, open_zips: ExitStack) -> dict[str, list[Path]]:
    held = survey(path)
    if held.kind is Kind.ZIP:
        held = survey(open_zips.enter_context(unpacked(path)))
    if held.kind is not Kind.DICOM:
        return {}
    asked = [scan for scan in story.scans if not why_none(scan)]
    files = list(held.files)
    content = stacks_by_content(files)
    here = [scan for scan in asked if scan.sha256 in content]
    if not here and len(asked) == len(story.scans):
        raise DataError(
            f"{path.name}: holds no scan of this story; pass the unchanged DICOM files that `analyze` read"
        )
    return {scan.scan: files for scan in here}
