"""Masks and maps alone: of one scan, of the scans of a cohort, or of single slices in a folder.

    one scan        lungs.nii.gz, lesions.nii.gz, infection.nii.gz, overlay.png, segment.json
    a cohort        the same in a folder for each scan; scans that are single pictures as below
    single slices   lungs/NAME.png and lesions/NAME.png (labels), infection/NAME.png (0 to 255),
                    records/NAME.json
    of several      segment.csv with a row for each, overlay.png of the slices

What is finished is not done again: the same command goes on where it stopped. What cannot be read is named,
and the others are done.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung import __version__
from glasslung.analyze.masks import GivenPaths, ScanMasks, Segmenters, make_masks
from glasslung.data import results
from glasslung.data.lungs.quality import of_single_slice
from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, read_json, replace_folder, whole_folder, write_json, write_whole
from glasslung.types import (
    DISCLAIMER,
    Amount,
    Intensity,
    Lesion,
    MaskQuality,
    Progress,
    RegionMeasures,
    Volume,
)

RECORD, TABLE, SHEET = "segment.json", "segment.csv", "overlay.png"
FORMAT = "glasslung-segment/1"
PICTURES = "img"  # the folder of pictures in a set of single slices
OF_ONE = {RECORD, SHEET, "lungs.nii.gz", "lesions.nii.gz", "infection.nii.gz"}
OF_MANY = {TABLE, SHEET, "lungs", "lesions", "infection", "records"}
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
GREYEST = 255  # of the map of infection as a picture


@dataclass(frozen=True)
class SegmentSettings:
    """What a user may choose.

    segmenter  a run's folder, a shipped name, 'none' (lungs alone), or '' for what ships for the grey values
    series, intensity  as for `analyze`
    slices     True: the pictures of a folder are slices of their own, not one stack
    """

    segmenter: str = ""
    series: str | None = None
    intensity: Intensity | None = None
    slices: bool = False


@dataclass(frozen=True)
class _Case:
    """One thing to segment: its name in the output, where it lies, whether it is a single picture."""

    name: str
    path: Path
    single: bool
    intensity: Intensity | None


@dataclass(frozen=True)
class Segmented:
    """What was done: a record for each scan in order, and name -> why for those that could not be read."""

    out: Path
    records: tuple[dict[str, Any], ...]
    failed: Mapping[str, str] = field(default_factory=dict)


def segment(
    source: Path,
    out: Path,
    settings: SegmentSettings = SegmentSettings(),
    progress: Progress | None = None,
) -> Segmented:
    """Lungs and lesions of a scan, of a cohort's scans or of a folder of slices, written into `out`.

    UsageError for a wrong option or an `out` in use; DataError where one scan was asked for and cannot be
    read, or none of several can.
    """
    tell = progress or (lambda what, done: None)
    cases = _cases(source, settings)
    of_one = cases is None
    _check_free(out, source, single=of_one)
    segmenters = Segmenters(settings.segmenter)
    segmenters.check()
    who = segmenters.identity()
    if of_one:
        case = _Case("", source, False, settings.intensity)
        tell("segmenting", 0.0)
        return Segmented(out, (_one(case, out, settings, segmenters, who, tell),))
    assert cases is not None
    records, failed = [], {}
    make_folder(out)
    for n, case in enumerate(cases):
        tell(f"segmenting: {n + 1} of {len(cases)}", n / len(cases))
        try:
            records.append(_one_of_many(case, out, settings, segmenters, who))
        except DataError as problem:
            failed[case.name] = str(problem)
    if not records:
        raise DataError(
            f"none of {len(cases)} scans could be segmented; first: {next(iter(failed.values()))}"
        )
    _write_table(records, out / TABLE)
    _write_sheet([case for case in cases if case.single and case.name not in failed], out)
    return Segmented(out, tuple(records), failed)


# ------------------------------------------------------------------------------------------------- what


def _cases(source: Path, settings: SegmentSettings) -> list[_Case] | None:
    """The scans of a cohort, the pictures of a folder of slices; None: it is one scan."""
    from glasslung.data.cohort import TABLE_NAME, read_cohort

    if not source.exists():
        raise UsageError(f"{source} does not exist: give a scan, a cohort, or a folder of slices")
    if (source / TABLE_NAME).is_file() or source.name == TABLE_NAME:
        cohort = read_cohort(source)
        return [
            _Case(f"{case.patient}-{case.scan}", path, _is_picture(path), case.intensity)
            for case in cohort.cases
            for path in [cohort.path(case.image)]
        ]
    folder = source / PICTURES if (source / PICTURES).is_dir() else source
    if folder == source and not settings.slices:
        return None
    files = sorted((p for p in folder.iterdir() if _is_picture(p)), key=_in_order) if folder.is_dir() else []
    if not files:
        raise UsageError(f"{folder} holds no pictures; give a folder of PNG or JPEG slices")
    names = [file.stem for file in files]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{folder} has two pictures called {twice[0]!r}; name every slice differently")
    return [_Case(file.stem, file, True, settings.intensity) for file in files]


def _in_order(file: Path) -> tuple[int, str]:
    """By number where names are numbers, else by name."""
    return (int(file.stem), "") if file.stem.isdecimal() else (1 << 60, file.stem)


def _is_picture(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in (
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
    )


def _check_free(out: Path, source: Path, single: bool) -> None:
    """Refuse a folder that holds something else, or lies in what is read (UsageError)."""
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"--out {out} lies inside {source}: choose a folder outside it")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: choose a folder")
    if not out.is_dir():
        return
    ours = OF_ONE if single else OF_MANY
    for path in out.iterdir():
        of_a_scan = not single and ((path / RECORD).is_file() or path.name.startswith("."))
        if path.name not in ours and not of_a_scan:
            raise UsageError(f"--out {out} holds other files: choose an empty or a new folder")


# ------------------------------------------------------------------------------------------------- one scan


def _one(
    case: _Case, out: Path, settings: SegmentSettings, segmenters: Segmenters, who: str, tell: Progress
) -> dict[str, Any]:
    """One scan into a folder of its own; a finished one is taken as it is."""
    from glasslung.data.montage import sheet, tiles_of
    from glasslung.data.preview import make_preview

    key = results.fingerprint(case.path, __version__, settings.series, case.intensity, who)
    if (done := _finished(out / RECORD, key)) is not None:
        return done
    from glasslung.analyze.examining import write_masks

    volume, made = _segmented(case, settings, segmenters, tell)
    record = _record(case, key, volume, made)
    part = out.with_name(f".{out.name}.new")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed at the last moment
    with whole_folder(part) as work:
        record["files"] = write_masks(made, volume, work) | {"overlay": SHEET}
        drawn = None if made.lesions is None else made.lesions.mask
        write_whole(work / SHEET, sheet(tiles_of(make_preview(volume, made.lungs, None, drawn))))
        write_json(work / RECORD, record)
    replace_folder(part, out)
    return record


def _one_of_many(
    case: _Case, out: Path, settings: SegmentSettings, segmenters: Segmenters, who: str
) -> dict[str, Any]:
    if not case.single:
        return _one(case, out / case.name, settings, segmenters, who, lambda what, done: None)
    key = results.fingerprint(case.path, __version__, case.intensity, who)
    record_file = out / "records" / f"{case.name}.json"
    if (done := _finished(record_file, key)) is not None:
        return done
    volume, made = _segmented(case, settings, segmenters, lambda what, done: None)
    record = _record(case, key, volume, made)
    record["files"] = _write_pictures(made, out, case.name)
    write_json(record_file, record)
    return record


def _segmented(
    case: _Case, settings: SegmentSettings, segmenters: Segmenters, tell: Progress
) -> tuple[Volume, ScanMasks]:
    """Read a scan, pass it through the gate, draw its masks."""
    from glasslung.data.formats import read_scan
    from glasslung.data.gate import inspect, refuse

    volume = read_scan(case.path, series=settings.series, intensity=case.intensity)
    refuse(inspect(volume), case.path.name)
    if settings.segmenter == "" and segmenters.fitting(volume.intensity) is None:
        raise UsageError(
            f"no network for grey values {volume.intensity.value} ships: name a run by --segmenter, or none "
            "for the lungs alone"
        )
    made = make_masks(volume, GivenPaths(), {}, segmenters, tell)
    if case.single:
        made = replace(made, lungs=replace(made.lungs, quality=of_single_slice(made.lungs.quality)))
    elif not made.lungs.mask.any():
        raise DataError(f"{case.path.name}: no lungs were found; give a chest CT")
    return volume, made


def _finished(record: Path, key: str) -> dict[str, Any] | None:
    """The record of a scan that was segmented alike before, if all its files are there."""
    try:
        found = read_json(record)
    except DataError:
        return None
    folder = record.parent.parent if record.parent.name == "records" else record.parent
    files = found.get("files", {})
    whole = isinstance(files, dict) and all((folder / str(file)).is_file() for file in files.values())
    return found if found.get("key") == key and files and whole else None


def _record(case: _Case, key: str, volume: Volume, made: ScanMasks) -> dict[str, Any]:
    """What segment.json holds of one scan: amounts, and how far to trust them."""
    from glasslung.measure.regions import measure_scan

    regions, _, _ = measure_scan(volume, made.lungs, None, made.lobes, made.lesions)
    if not regions:  # a slice above or below the lungs
        regions = (RegionMeasures("both lungs", 0.0 if volume.has_ml else None, 0, None, None),)
    quality = made.lesion_quality(regions[0].all_lesions, None)
    origin = made.origin
    return {
        "format": FORMAT,
        "scan": case.name or "scan",
        "key": key,
        "intensity": volume.intensity.value,
        "geometry": volume.geometry.value,
        "network": {"name": origin.network, "digest": origin.digest},
        "lungs by": origin.lungs,
        "agreement": origin.agreement,
        "notes": list(origin.notes),
        "lungs": _quality(made.lungs.quality),
        "lesions": None if quality is None else _quality(quality),
        "labels": {str(int(lesion)): lesion.words for lesion in Lesion},
        "regions": [
            {
                "name": region.name,
                "lung_ml": region.ml,
                "lung_voxels": region.voxels,
                "lesions": {
                    kind: _amount(amount)
                    for kind, amount in {"all": region.all_lesions, **(region.lesions or {})}.items()
                    if amount is not None
                },
            }
            for region in regions
        ],
        "disclaimer": DISCLAIMER,
    }


def _quality(quality: MaskQuality) -> dict[str, Any]:
    return {
        "trusted": quality.trusted,
        "confidence": quality.confidence,
        "reasons": list(quality.reasons),
    }


def _amount(amount: Amount) -> dict[str, float | None]:
    return {"ml": None if amount.ml is None else round(amount.ml, 2), "percent": round(amount.percent, 3)}


# ---------------------------------------------------------------------------------------------- of several


def _write_pictures(made: ScanMasks, out: Path, name: str) -> dict[str, str]:
    """The masks of a single slice as PNG: lungs 0 or 1 to 3, lesions by label, infection 0 to 255."""
    from PIL import Image

    planes = {"lungs": made.lungs.mask[0]}
    if made.lesions is not None:
        planes["lesions"] = made.lesions.mask[0]
    if made.infection is not None:
        from glasslung.predict.masks import STEPS

        planes["infection"] = np.rint(made.infection[0] * (GREYEST / STEPS)).astype(np.uint8)
    for what, plane in planes.items():
        written = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(plane)).save(written, "png")
        write_whole(out / what / f"{name}.png", written.getvalue())
    return {what: f"{what}/{name}.png" for what in planes}


def _write_table(records: Sequence[dict[str, Any]], path: Path) -> None:
    """One row per scan: both lungs' lesions, and whether to trust them."""
    kinds = list(dict.fromkeys(kind for r in records for kind in r["regions"][0]["lesions"]))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    columns = [f"{kind.replace(' ', '_')}_{unit}" for kind in kinds for unit in ("ml", "percent")]
    writer.writerow(["scan", "lung_ml", "lung_voxels", "lungs_trusted", "lesions_trusted", *columns])
    for record in records:
        both, lesions = record["regions"][0], record["lesions"]
        found = [both["lesions"].get(kind, {}).get(unit) for kind in kinds for unit in ("ml", "percent")]
        trusted = "" if lesions is None else "yes" if lesions["trusted"] else "no"
        writer.writerow(
            [
                record["scan"],
                "" if both["lung_ml"] is None else round(both["lung_ml"], 1),
                both["lung_voxels"],
                "yes" if record["lungs"]["trusted"] else "no",
                trusted,
                *("" if value is None else value for value in found),
            ]
        )
    write_whole(path, table.getvalue())


def _write_sheet(cases: Sequence[_Case], out: Path) -> None:
    """The single slices with what was found, as one picture; nothing where there are none."""
    from glasslung.data.formats import read_scan
    from glasslung.data.montage import MOST_TILES, Tile, sheet

    if not cases:
        return
    asked = np.unique(np.linspace(0, len(cases) - 1, min(MOST_TILES, len(cases))).astype(int))
    tiles = []
    for case in (cases[n] for n in asked):
        masks = [out / what / f"{case.name}.png" for what in ("lungs", "lesions")]
        lungs, lesions = (_picture(file) if file.is_file() else None for file in masks)
        grey = read_scan(case.path, intensity=case.intensity).voxels[0]
        tiles.append(Tile(grey, np.zeros_like(grey) if lungs is None else lungs, lesions))
    write_whole(out / SHEET, sheet(tiles))


def _picture(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return np.array(image)
