"""Small DICOM files for tests: a series written by ourselves, then changed tag by tag."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from glasslung.data.formats import DicomLabel, write_volume
from glasslung.types import Intensity, Volume

AXIAL = np.array([[0, 0, 0.8, -120], [0, 0.7, 0, -100], [2.5, 0, 0, -300], [0, 0, 0, 1]], dtype=float)


def chest(shape: tuple[int, int, int] = (6, 16, 20), seed: int = 0, step_mm: float = 2.5) -> Volume:
    """Smooth values from air to bone, so that lossy coders have something to hold on to."""
    rng = np.random.default_rng(seed)
    d, h, w = np.indices(shape)
    waves = np.sin(h / 3 + d + seed) * np.cos(w / 4)
    voxels = (-300 + 650 * waves + rng.normal(0, 3, shape)).astype(np.int16)
    affine = AXIAL.copy()
    affine[2, 0] = step_mm
    return Volume(voxels, affine, Intensity.HU)


def series(
    folder: Path, volume: Volume | None = None, label: DicomLabel | None = None, **tags: Any
) -> list[Path]:
    """Write a series and set tags on each slice; a callable gets (dataset, slice number). None deletes."""
    write_volume(volume or chest(), folder, label or DicomLabel("P001", "GLASSLUNG^PHANTOM"))
    files = sorted(folder.glob("*.dcm"))
    for n, file in enumerate(files):
        if tags:
            change(file, n, **tags)
    return files


def change(file: Path, number: int = 0, **tags: Any) -> None:
    """Set, compute or delete tags of one file."""
    dataset = pydicom.dcmread(file)
    for tag, value in tags.items():
        value = value(dataset, number) if isinstance(value, Callable) else value
        if value is None:
            del dataset[tag]
        else:
            setattr(dataset, tag, value)
    dataset.save_as(file)


def store(file: Path, stored: np.ndarray, **tags: Any) -> None:
    """Replace a slice's pixels by these stored values, and set tags."""
    bits = 8 * stored.dtype.itemsize
    given = {
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
    } | tags
    change(file, HighBit=given["BitsStored"] - 1, PixelData=stored.tobytes(), **given)


def enhanced(file: Path, volume: Volume, order: list[int] | None = None) -> None:
    """An Enhanced CT file: all slices in one, geometry and rescale in functional groups, in any order."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    folder = file.parent / f"{file.stem}-slices"
    slices = [pydicom.dcmread(f) for f in series(folder, volume)]
    order = order or list(range(len(slices)))
    ds = slices[0]
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.NumberOfFrames = len(slices)
    measures, plane, rescale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = ds.PixelSpacing, ds.SliceThickness
    plane.ImageOrientationPatient = ds.ImageOrientationPatient
    rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = "1", "-1024", "HU"
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    shared.PixelValueTransformationSequence = Sequence([rescale])
    frames = []
    for n in order:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = slices[n].ImagePositionPatient
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = (
        Sequence([shared]),
        Sequence(frames),
    )
    stored = np.stack([volume.voxels[n] for n in order]) + np.int16(1024)
    ds.PixelData = stored.astype("<i2").tobytes()
    for tag in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "RescaleSlope",
    ):
        del ds[tag]
    del ds["RescaleIntercept"]
    ds.save_as(file)
    for f in folder.iterdir():
        f.unlink()
    folder.rmdir()
