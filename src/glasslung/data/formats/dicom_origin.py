"""The DICOM slices that a scan was read from, found again by their content and put into the scan's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats.damage import told_plainly
from glasslung.data.formats.dicom import place, same_pixels
from glasslung.data.formats.dicom_header import read_frames
from glasslung.data.formats.dicom_series import (
    Stack,
    has_geometry,
    shared_places,
    split_by_phase,
    stacks_of,
    without_copies,
)
from glasslung.data.formats.identity import combined_digest, file_digest
from glasslung.errors import DataError
from glasslung.types import Geometry

# What a result must name to say which pictures it was made from.
NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")


@dataclass(frozen=True, eq=False)
class Origin:
    """The slices of one scan as DICOM.

    headers     a dataset for each file, without pixels, in slice order; one for a multi-frame file
    file_order  (D,) where the slices of the scan lie in the file: `array[file_order]` is in the file's order
    shape       (D, H, W) of the scan
    affine      (4, 4), index (d, h, w, 1) -> LPS mm, as the scan was placed
    """

    headers: tuple[Any, ...]
    file_order: np.ndarray
    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def first(self) -> Any:
        """The header of the first slice, which patient, study and series are inherited from."""
        return self.headers[0]

    @property
    def series_uid(self) -> str:
        """The UID of the series, which names it in a PACS."""
        return str(self.first.SeriesInstanceUID)


def find_origin(files: Sequence[Path], sha256: str, shape: tuple[int, int, int], where: str) -> Origin | None:
    """The slices with this content among files of one or more series; None where they are not there.

    sha256  of the scan's files, as `read_scan` gave it; shape (D, H, W) of the scan
    where   name of the scan, for messages
    Raises DataError where the slices are there and do not say where they lie, or lack a UID.
    """
    for stack in stacks_by_content(files).get(sha256, []):
        if (len(stack.frames), *stack.first.size) == tuple(shape):
            return _origin_of(stack, where)
    return None


def stacks_by_content(files: Sequence[Path]) -> dict[str, list[Stack]]:
    """Every stack of slices in these files, as the reader would take it, under the hash of its files."""
    digests: dict[Path, str] = {}
    found: dict[str, list[Stack]] = {}
    for stack in stacks_of([frame for file in files for frame in read_frames(file)]):
        for part in _parts(stack):
            paths = {frame.path for frame in part.frames}
            digests |= {path: file_digest(path) for path in paths if path not in digests}
            found.setdefault(combined_digest(digests[path] for path in paths), []).append(part)
    return found


def _parts(stack: Stack) -> list[Stack]:
    """The stack as the reader takes it: without copies, and one phase of several."""
    if not shared_places(stack):
        return [stack]
    single, _ = without_copies(stack, same_pixels)
    try:
        return split_by_phase(single)
    except DataError:  # no scan was read from slices that cannot be told apart
        return []


def _origin_of(stack: Stack, where: str) -> Origin:
    if not has_geometry(stack.first):
        raise DataError(f"{where}: its slices do not say where they lie in the patient; export them again")
    affine, geometry, _, _ = place(stack)
    if geometry is not Geometry.MEASURED:
        raise DataError(f"{where}: a single slice without its thickness has no place; pass the whole series")
    paths = list(dict.fromkeys(frame.path for frame in stack.frames))
    headers = tuple(_header(path) for path in paths)
    missing = sorted({name for header in headers for name in NEEDED if not header.get(name)})
    if missing:
        raise DataError(
            f"{where}: its DICOM header lacks {', '.join(missing)}, which results must name; export it again"
        )
    order = np.arange(len(stack.frames))
    if len(paths) < len(stack.frames):
        order = _order_in_file(stack, headers, where)
    shape = (len(stack.frames), *stack.first.size)
    return Origin(headers, order, shape, affine)


def _order_in_file(stack: Stack, headers: tuple[Any, ...], where: str) -> np.ndarray:
    """(D,) for one multi-frame file, of which every frame must belong to the scan."""
    if len(headers) > 1 or int(headers[0].NumberOfFrames) != len(stack.frames):
        raise DataError(
            f"{where}: is a part of multi-frame files, to which results cannot be tied; pass one file whose "
            "frames are the scan"
        )
    return np.argsort([frame.index for frame in stack.frames])


def _header(path: Path) -> Any:
    import pydicom

    with told_plainly(path, "it is no readable DICOM file"):
        return pydicom.dcmread(path, stop_before_pixels=True, force=True)
