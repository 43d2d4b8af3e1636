"""Planes of all scans of a patient at matched levels: what the serial sheet of the report is drawn from.

Levels are chosen in the last scan, one in each third of the lungs' height, where lesions of all scans and
what changed take up most. The same level in the scan before is where registration says it lay, and so on
backwards; where two scans could not be registered, it is at the same share of the lungs' height, and the
sheet says so. Every plane is of its own scan's grid: nothing is interpolated between slices.

Maps of a classifier's reasons are drawn on one scale for all days. A map by layer-wise relevance adds up to
the scan's log-odds s(t) by itself: told per per cent of the lungs' volume, it does not depend on voxels or
breath. A map by Grad-CAM is in log-odds already, its strongest places at |s(t)|.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from glasslung import __version__
from glasslung.analyze.following import CHANGE_FILE, Followed, Held
from glasslung.data import results
from glasslung.errors import DataError
from glasslung.types import Findings, Geometry, Lungs, Progress, SerialSheet, Volume

SERIAL = "serial"
LEVELS = ("upper level", "middle level", "lower level")
UNPLACED = ("first level", "second level", "third level")  # no position: which end is the head is not known
REFERENCE, REGISTERED, BY_HEIGHT = "reference", "registered", "share of the lungs' height"
PER_PERCENT = "log-odds per per cent of the lungs"
IN_LOG_ODDS = "log-odds"
CAM = "Grad-CAM"  # how the method of such a map begins
FULL_SHARE = 0.995  # of the places with relevance on the sheet lie below what is drawn in full colour


@dataclass(frozen=True, eq=False)
class _Profile:
    """Per upright slice, from the feet: lung and lesion, voxels; the extent of the lungs."""

    lung: np.ndarray
    lesion: np.ndarray

    @property
    def extent(self) -> tuple[int, int]:
        there = np.flatnonzero(self.lung)
        return (int(there[0]), int(there[-1])) if there.size else (0, len(self.lung) - 1)


def serial_key(keys: Sequence[str]) -> str:
    """Changes with any of the scans, their order, and the version that draws them."""
    return hashlib.sha256("|".join((__version__, SERIAL, *keys)).encode()).hexdigest()[:12]


def cut_serial(held: Sequence[Held], followed: Sequence[Followed], masks: Path, tell: Progress) -> str:
    """Cut the planes of all scans, unless an earlier run did; returns the key of the finished part.

    held      scans in order of time;  followed  one per pair of neighbours
    """
    key = serial_key([scan.key for scan in held])
    if key in results.finished_parts(masks, SERIAL):
        return key
    with results.new_part(masks, SERIAL, key) as work:
        profiles = [_profile(scan) for scan in held]
        matched, levels = _levels(profiles, followed)
        scale, unit = _scale(held, levels)
        methods = []
        for n, (scan, where) in enumerate(zip(held, levels, strict=True)):
            tell(f"{scan.findings.scan}: planes at matched levels", n / len(held))
            change = masks_of_change(masks, held, n)
            found = _relevance(scan, scan.volume(), _last_asked(held))
            _write(scan, where, change, found, scale, work / f"{SERIAL}-{n + 1:02d}.npz")
            methods.append("" if found is None else found[1])
        told = {
            "levels": _named(len(levels[0]), all(_placed(scan) for scan in held)),
            "matched": matched,
            "reasons": methods,
            "full": scale,
            "unit": unit,
        }
        results.write_part_note(work, SERIAL, key, told)
    return key


def _named(rows: int, placed: bool) -> list[str]:
    """What the rows are called."""
    if rows < len(LEVELS):
        return ["slice"] if rows == 1 else [f"{which} slice" for which in ("first", "second")[:rows]]
    return list(LEVELS if placed else UNPLACED)


def _placed(scan: Held) -> bool:
    return scan.findings.geometry is Geometry.MEASURED


def masks_of_change(masks: Path, held: Sequence[Held], n: int) -> Path | None:
    """The change map of the n-th scan since the one before it, wherever it lies now; None without one."""
    from glasslung.analyze.following import CHANGE, pair_key

    if n == 0:
        return None
    folder = results.finished_parts(masks, CHANGE).get(pair_key(held[n - 1].key, held[n].key))
    file = None if folder is None else folder / CHANGE_FILE
    return file if file is not None and file.is_file() else None


def read_serial(folder: Path, scans: Sequence[Findings], at: str) -> SerialSheet:
    """What `cut_serial` left in a folder, named as in the story; `at` is that folder in the story."""
    note = results.read_part(folder, SERIAL)
    if note is None:
        raise DataError(f"{folder} changed while it was read: run the same command again")
    told = note["told"]
    drawn = [bool(method) for method in told["reasons"]]
    scores = [
        scan.diagnosis.log_odds if there and scan.diagnosis is not None else None
        for scan, there in zip(scans, drawn, strict=True)
    ]
    return SerialSheet(
        tuple(told["levels"]),
        tuple(scan.scan for scan in scans),
        tuple(f"{at}/{SERIAL}-{n + 1:02d}.npz" for n in range(len(scans))),
        tuple(told["matched"]),
        tuple(told["reasons"]),
        tuple(scores),
        float(told["full"]),
        str(told["unit"]),
    )


# --- which planes -------------------------------------------------------------------------------------------


def _profile(scan: Held) -> _Profile:
    """Lung and lesion of every upright slice."""
    from glasslung.data.formats import read_mask
    from glasslung.data.orientation import orientation_of, to_upright

    volume = scan.volume()
    orientation = orientation_of(volume)
    areas = []
    for name in ("lungs", lesion_file(scan.findings)):
        if name is None:
            areas.append(np.zeros(volume.shape[orientation.axes[0]]))
            continue
        mask = read_mask(scan.folder / f"{name}.nii.gz", volume) > 0
        areas.append(to_upright(mask, orientation).sum((1, 2)).astype(float))
    return _Profile(*areas)


def lesion_file(scan: Findings) -> str | None:
    """Whose lesions the sheet shows: those of a network or given, else opacities by density."""
    return next((name for name in ("lesions", "opacities") if name in scan.masks), None)


def _levels(profiles: Sequence[_Profile], followed: Sequence[Followed]) -> tuple[list[str], list[list[int]]]:
    """How each scan's planes were matched, and their upright numbers, head first."""
    last = profiles[-1]
    at = np.arange(*last.extent) if last.extent[1] > last.extent[0] else np.array([last.extent[0]])
    here, matched, ways = at.astype(float), [], []
    weight = np.interp(at, np.arange(len(last.lesion)), last.lesion)
    for profile, pair, later in zip(profiles[-2::-1], followed[::-1], profiles[:0:-1], strict=True):
        here, way = _one_back(here, pair.levels, later, profile)
        weight = weight + np.interp(here, np.arange(len(profile.lesion)), profile.lesion)
        matched.append(here)
        ways.append(way)
    chosen = _best_of_thirds(weight)
    tables = [*matched[::-1], at.astype(float)]
    names = [*ways[::-1], REFERENCE]
    tops = [len(profile.lung) - 1 for profile in profiles]
    rows = [
        [int(np.clip(round(float(table[n])), 0, top)) for n in chosen]
        for table, top in zip(tables, tops, strict=True)
    ]
    return names, rows


def _one_back(
    here: np.ndarray, levels: np.ndarray | None, later: _Profile, earlier: _Profile
) -> tuple[np.ndarray, str]:
    """The same levels in the scan before."""
    if levels is not None and levels.shape[1] > 1:
        return np.interp(here, levels[0], levels[1]), REGISTERED
    (low, high), (low0, high0) = later.extent, earlier.extent
    share = (here - low) / max(high - low, 1)
    return low0 + share * (high0 - low0), BY_HEIGHT


def _best_of_thirds(weight: np.ndarray) -> list[int]:
    """The place with most lesion in each third, head first, its middle where there is none.

    Of fewer than three places each is one.
    """
    if len(weight) < len(LEVELS):
        return list(range(len(weight)))[::-1]
    chosen = []
    for part in np.array_split(np.arange(len(weight)), len(LEVELS)):
        lesion = weight[part]
        chosen.append(int(part[np.argmax(lesion)] if lesion.max() > 0 else part[len(part) // 2]))
    return chosen[::-1]


# --- one scan's planes --------------------------------------------------------------------------------------


def _relevance(scan: Held, volume: Volume, who: str) -> tuple[np.ndarray, str] | None:
    """A classifier's reasons on the scan's grid, on a scale that all scans share, and how they were found.

    who  digest of the classifier; the map of another one is on another scale, and not shown
    """
    told = scan.findings.diagnosis
    if told is None or told.digest != who or told.explanation is None or not told.explanation.map:
        return None
    from glasslung.data.formats.nifti import read_nifti

    path = scan.folder / Path(told.explanation.map).name
    values, _, _ = read_nifti(path)
    if values.shape != volume.shape:
        raise DataError(f"{path} does not lie on its scan's grid: run the same command again")
    if told.explanation.method.startswith(CAM):
        return values.astype(np.float32), told.explanation.method
    both = scan.findings.regions[0].voxels
    return values.astype(np.float32) * np.float32(both / 100), told.explanation.method


def _scale(held: Sequence[Held], levels: Sequence[Sequence[int]]) -> tuple[float, str]:
    """What is drawn in full colour on every day, and its unit."""
    from glasslung.data.orientation import orientation_of, to_upright

    strong, unit = [np.zeros(0)], PER_PERCENT
    for scan, where in zip(held, levels, strict=True):
        volume = scan.volume()
        found = _relevance(scan, volume, _last_asked(held))
        if found is None:
            continue
        upright = to_upright(found[0], orientation_of(volume))
        planes = np.abs(upright[list(where)])
        strong.append(planes[planes > 0])
        unit = IN_LOG_ODDS if found[1].startswith(CAM) else unit
    values = np.concatenate(strong)
    return (float(np.quantile(values, FULL_SHARE)) if values.size else 1.0), unit


def _last_asked(held: Sequence[Held]) -> str:
    """Digest of the classifier that read the last scan; '' where none did."""
    told = held[-1].findings.diagnosis
    return "" if told is None else told.digest


def _write(
    scan: Held,
    levels: Sequence[int],
    change: Path | None,
    found: tuple[np.ndarray, str] | None,
    full: float,
    path: Path,
) -> None:
    """One scan's planes into a file."""
    from glasslung.data.formats import read_mask
    from glasslung.data.preview import cut_levels, heat_of
    from glasslung.data.previewfile import write_preview

    volume = scan.volume()
    lungs = Lungs(read_mask(scan.folder / "lungs.nii.gz", volume), scan.findings.lung_quality)
    name = lesion_file(scan.findings)
    lesions = None if name is None else read_mask(scan.folder / f"{name}.nii.gz", volume)
    maps = {} if change is None else {"change": read_mask(change, volume)}
    if found is not None:
        maps["heat"] = heat_of(found[0], full)
    preview = cut_levels(volume, lungs, lesions, levels, maps)
    # A level is a third of the height, a plane's `where` one of the volume: the two would seem to disagree.
    write_preview(replace(preview, views=tuple(replace(v, where="") for v in preview.views)), path)
