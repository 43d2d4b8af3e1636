"""Drawn patients whose scans lie as DICOM in any place, and their stories: for tests of DICOM results."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import made_stories
import numpy as np
import pydicom
from scipy import ndimage

from glasslung.data.formats import DicomLabel, read_scan, write_mask, write_volume
from glasslung.data.preview import make_preview
from glasslung.data.previewfile import write_preview
from glasslung.data.story import write_story
from glasslung.explain.heatmaps import write_relevance
from glasslung.measure.regions import LesionMask, measure_scan
from glasslung.types import Findings, Lesion, Lungs, Story, Volume

SMALL = made_stories.Drawn(0.9, 0, slices=24, side=40, lesions=made_stories.SURE)
LABEL = DicomLabel("P001", "GLASSLUNG^PHANTOM", dt.datetime(2020, 3, 10, 9, 30))


class Made(NamedTuple):
    """One patient: the story's folder, the DICOM files of each scan, and what they were made from.

    lungs, lesions, opacities, relevance  (D, H, W) of the first scan on its own grid
    """

    folder: Path
    files: dict[str, list[Path]]
    story: Story
    volume: Volume
    lungs: np.ndarray
    lesions: np.ndarray
    opacities: np.ndarray
    relevance: np.ndarray


def turned(affine: np.ndarray, degrees: float) -> np.ndarray:
    """The same scan of somebody who lies turned about all three axes."""
    a = np.deg2rad(degrees)
    about = [
        np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]),
        np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]),
    ]
    out = affine.copy()
    out[:3] = about[0] @ about[1] @ affine[:3]
    return out


def flipped(affine: np.ndarray) -> np.ndarray:
    """Slices from the head to the feet."""
    out = affine.copy()
    out[:, 0] = -affine[:, 0]
    return out


def tilted(affine: np.ndarray) -> np.ndarray:
    """A gantry that leans: slices shifted along the patient's back from one to the next."""
    out = affine.copy()
    out[1, 0] = 0.2 * affine[2, 0]
    return out


PLACES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "upright": lambda affine: affine,
    "oblique": lambda affine: turned(affine, 17.0),
    "flipped": flipped,
    "tilted": tilted,
    "missing slice": lambda affine: affine,
}


def make_patient(
    root: Path, place: str = "upright", drawn: made_stories.Drawn = SMALL, diagnosed: bool = True
) -> Made:
    """A patient with one scan in the folder `root`: `scan/` as DICOM with shuffled names, `story/`."""
    volume, lungs, opacities = made_stories.drawn_chest(drawn)
    volume = replace(volume, affine=PLACES[place](volume.affine))
    files = write_scan(root / "scan", volume)
    if place == "missing slice":
        volume, lungs, opacities, files = _without_slice(5, volume, lungs, opacities, files)
    scan = read_scan(root / "scan")
    back = slice(None, None, -1) if _reversed(scan, volume) else slice(None)
    lungs, opacities = Lungs(lungs.mask[back].copy(), lungs.quality), opacities[back].copy()
    assert np.array_equal(scan.voxels, volume.voxels[back]), "the scan came back as it was written"
    lesions = with_every_kind(made_stories.learned(opacities))
    relevance = relevance_of(lesions)
    found = findings_of(root / "story", scan, lungs, opacities, lesions, relevance, drawn, diagnosed)
    story = tell(root / "story", found)
    return Made(
        root / "story", {"scan-01": files}, story, scan, lungs.mask, lesions, (opacities > 0) * 1, relevance
    )


def write_scan(folder: Path, volume: Volume, **tags: Any) -> list[Path]:
    """A series whose files have names that say nothing of their order; tags are set on each."""
    write_volume(volume, folder, LABEL)
    files = sorted(folder.glob("*.dcm"))
    names = [f"IM{n:03d}" for n in range(len(files))]
    random.Random(3).shuffle(names)
    moved = [file.rename(folder / name) for file, name in zip(files, names, strict=True)]
    for file in moved if tags else ():
        dataset = pydicom.dcmread(file)
        for tag, value in tags.items():
            setattr(dataset, tag, value)
        dataset.save_as(file)
    return sorted(moved)


def _without_slice(
    n: int, volume: Volume, lungs: Lungs, opacities: np.ndarray, files: list[Path]
) -> tuple[Volume, Lungs, np.ndarray, list[Path]]:
    gone = next(f for f in files if pydicom.dcmread(f, stop_before_pixels=True).InstanceNumber == n + 1)
    gone.unlink()
    kept = np.delete(np.arange(len(volume.voxels)), n)
    return (
        replace(volume, voxels=volume.voxels[kept]),
        Lungs(lungs.mask[kept], lungs.quality),
        opacities[kept],
        [file for file in files if file != gone],
    )


def _reversed(scan: Volume, volume: Volume) -> bool:
    """Whether the reader put the slices the other way round."""
    return float(scan.affine[:3, 0] @ volume.affine[:3, 0]) < 0


def with_every_kind(lesions: np.ndarray) -> np.ndarray:
    """The same lesions, a few voxels of which are of each kind."""
    out = lesions.copy()
    haze = np.argwhere(lesions == Lesion.GROUND_GLASS)
    for n, kind in enumerate((Lesion.CONSOLIDATION, Lesion.CRAZY_PAVING)):
        out[tuple(haze[10 * n : 10 * n + 10].T)] = kind
    return out


def relevance_of(lesions: np.ndarray) -> np.ndarray:
    """Relevance in lesions, a little against beside them, none elsewhere."""
    soft = ndimage.gaussian_filter((lesions > 0).astype(np.float32), 1.0)
    told = np.where(soft > 0.02, soft - 0.3 * np.roll(soft, 5, 2), 0).astype(np.float32)
    told[: len(told) // 4] = 0
    return told


def findings_of(
    folder: Path,
    scan: Volume,
    lungs: Lungs,
    opacities: np.ndarray,
    lesions: np.ndarray,
    relevance: np.ndarray,
    drawn: made_stories.Drawn = SMALL,
    diagnosed: bool = True,
    name: str = "scan-01",
) -> Findings:
    """One scan measured, and its masks, map and preview written as an analysis leaves them."""
    home = folder / "masks" / name
    home.mkdir(parents=True)
    mask = LesionMask(lesions, tuple(Lesion)[1:])
    regions, severity, involvement = measure_scan(scan, lungs, opacities, lesions=mask)
    for what, labels in (("lungs", lungs.mask), ("opacities", opacities), ("lesions", lesions)):
        write_mask(labels, scan, home / f"{what}.nii.gz")
    write_relevance(relevance, scan, home / "relevance.nii.gz")
    heat = made_stories.relevance_of(opacities)
    write_preview(make_preview(scan, lungs, opacities, lesions, heat), home / "preview.npz")
    reasons = replace(made_stories.REASONS, map=f"masks/{name}/relevance.nii.gz")
    told = made_stories.diagnosis_of(explanation=reasons, doubts=(made_stories.FAR,)) if diagnosed else None
    return Findings(
        scan=name,
        day=drawn.day,
        kind="dicom",
        sha256=scan.source.sha256,
        intensity=scan.intensity,
        geometry=scan.geometry,
        shape=scan.shape,
        spacing_mm=scan.spacing_mm,
        gate=(made_stories.THICK,),
        lung_quality=drawn.quality,
        regions=regions,
        severity=severity,
        involvement=involvement,
        masks={what: f"masks/{name}/{what}.nii.gz" for what in ("lungs", "opacities", "lesions")},
        preview=f"masks/{name}/preview.npz",
        lesion_quality=made_stories.SURE,
        origin=made_stories.origin_of(drawn),
        diagnosis=told,
    )


def tell(folder: Path, *scans: Findings) -> Story:
    """The story of these scans, written into its folder."""
    made = made_stories.make_story(folder / "aside", made_stories.small(SMALL))
    story = replace(made, scans=scans, changes=())
    write_story(story, folder)
    return story
