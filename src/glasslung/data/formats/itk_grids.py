"""NRRD and MetaImage (MHA, MHD) through SimpleITK, which speaks LPS as we do.

The headers are text, so what SimpleITK would hide is looked up here first: whether the file says how the
patient lay at all, whether its voxels lie in another file, and whether it is as long as it promises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats.damage import LIMITS, check_promise, told_plainly
from glasslung.data.formats.geometry import check_affine
from glasslung.data.formats.survey import Kind
from glasslung.errors import DataError
from glasslung.files import whole_file
from glasslung.types import Remark, Severity

HEADER_BYTES = 1 << 16
READER = {Kind.NRRD: "NrrdImageIO", Kind.META: "MetaImageIO"}
COMPRESSED = {"gzip", "gz", "bzip2", "bz2", "true"}
PATIENT_SPACES = {
    "left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las",
}  # fmt: skip


def read_itk_grid(
    path: Path, kind: Kind
) -> tuple[np.ndarray, np.ndarray, tuple[Remark, ...], tuple[Path, ...]]:
    """Voxels, LPS affine, remarks and the files read, of one NRRD or MetaImage file.

    Returns (D, H, W) values of the type on disk and the (4, 4) affine. Raises DataError for damaged files,
    vector voxels, several volumes in one file, and headers that point to files in other folders.
    """
    import SimpleITK as sitk

    fields = _header_fields(path, kind)
    data_file = _data_file(path, fields, kind)
    with told_plainly(path, f"it is no readable {kind.value} file"), _quiet(sitk):
        reader = sitk.ImageFileReader()
        reader.SetImageIO(READER[kind])  # by content, so that the name's ending does not matter
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        _check_size(path, reader, data_file or path, fields)
        image = reader.Execute()
        values = sitk.GetArrayFromImage(image)
        affine = _affine_of(image)
    values, affine = _three(path, values, affine)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(
            f"{path.name}: holds voxels that are no numbers (NaN or infinite); fill them with -1024 first"
        )
    files = (path, data_file) if data_file else (path,)
    return values, check_affine(affine, path.name), _orientation_remarks(fields, kind), files


def _header_fields(path: Path, kind: Kind) -> dict[str, str]:
    """The text header as lower-case field -> value; what follows it is voxels."""
    with told_plainly(path, "the file cannot be read"), path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    for line in head.split(b"\n"):
        text = line.decode("latin-1").strip()
        if kind is Kind.NRRD and not text:
            break  # a blank line ends a NRRD header
        found = re.match(r"([^:=#]+?)\s*(?::=|:|=)\s*(.*)", text)
        if found:
            fields[found[1].lower()] = "".join(char for char in found[2] if char.isprintable())
        if kind is Kind.META and "elementdatafile" in fields:
            break
    return fields


def _data_file(path: Path, fields: dict[str, str], kind: Kind) -> Path | None:
    """The file beside a detached header that holds the voxels; None where they follow the header."""
    name = (
        fields.get("elementdatafile", "LOCAL")
        if kind is Kind.META
        else fields.get("data file", fields.get("datafile"))
    )
    if name is None or name.upper() == "LOCAL":
        return None
    if name.upper().startswith("LIST") or "%" in name or " " in name.strip():
        raise DataError(f"{path.name}: its voxels lie in several files; convert it to one .nrrd or .mha")
    if Path(name).name != name or "\\" in name or name in ("", ".", ".."):
        raise DataError(
            f"{path.name}: its header points to a file in another folder; put both into one folder"
        )
    data_file = path.with_name(name)
    if not data_file.is_file():
        raise DataError(
            f"{path.name}: the file with its voxels, {name}, is missing; put it beside the header"
        )
    return data_file


def _check_size(path: Path, reader: Any, data_file: Path, fields: dict[str, str]) -> None:
    import SimpleITK as sitk

    if reader.GetNumberOfComponents() != 1:
        raise DataError(
            f"{path.name}: has {reader.GetNumberOfComponents()} values in each voxel (colour or "
            "vectors); pass a CT scan"
        )
    bits = re.search(r"(\d+)-bit", sitk.GetPixelIDValueAsString(reader.GetPixelIDValue()))
    if bits is None:
        raise DataError(f"{path.name}: its voxels are no plain grey values; pass a CT scan")
    coding = fields.get("encoding", fields.get("compresseddata", "raw")).lower()
    size = data_file.stat().st_size
    held = {"raw": size, "false": size}.get(
        coding, size * LIMITS.deflate_ratio if coding in COMPRESSED - {"bzip2", "bz2"} else None
    )
    check_promise(path, math.prod(reader.GetSize()) * int(bits[1]) // 8, held)


@contextmanager
def _quiet(sitk: Any) -> Iterator[None]:
    """ITK without its warnings on stderr; the switch is global, so it is put back."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)


def _affine_of(image: Any) -> np.ndarray:
    """ITK's direction, spacing and origin over (i, j, k, ...) -> LPS affine over (k, j, i)."""
    n = image.GetDimension()
    direction = np.eye(max(3, n))
    direction[:n, :n] = np.array(image.GetDirection()).reshape(n, n)
    spacing = np.ones(max(3, n))
    spacing[:n] = image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3] = (direction * spacing)[:3, 2::-1]
    affine[: min(n, 3), 3] = image.GetOrigin()[:3]
    return affine


def _three(path: Path, values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Three axes: a flat picture gets one slice; a fourth axis must have length one."""
    if values.ndim > 3:
        if math.prod(values.shape[:-3]) > 1:
            raise DataError(
                f"{path.name}: holds {math.prod(values.shape[:-3])} volumes; split it and pass one"
            )
        values = values.reshape(values.shape[-3:])
    return (values[np.newaxis] if values.ndim == 2 else values), affine


def _orientation_remarks(fields: dict[str, str], kind: Kind) -> tuple[Remark, ...]:
    """NRRD says in `space` how the patient lay, MetaImage in TransformMatrix; without them nobody knows."""
    if kind is Kind.NRRD:
        known = fields.get("space", "").lower() in PATIENT_SPACES and "space directions" in fields
    else:
        known = bool({"transformmatrix", "orientation", "rotation", "direction"} & set(fields))
    if known:
        return ()
    return (
        Remark(
            "orientation-assumed",
            Severity.WARN,
            "The file does not say how the patient lay: left and right may be swapped.",
            "Export it with its orientation (NRRD: space left-posterior-superior; MHA: TransformMatrix).",
        ),
    )


def write_itk_grid(voxels: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write voxels (D, H, W) with an LPS affine as `.nrrd` or `.mha`, compressed, whole or not at all."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
    axes = affine[:3, 2::-1]
    spacing = np.linalg.norm(axes, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((axes / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    with (
        whole_file(path) as part,
        told_plainly(path, "cannot be written", "check the free space"),
        _quiet(sitk),
    ):
        sitk.WriteImage(image, str(part), True, 1)
