"""NIfTI: RAS on disk, LPS here; voxels (i, j, k) on disk, (D, H, W) = (k, j, i) here."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from glasslung.data.formats.damage import COPY_AGAIN, LIMITS, check_promise, told_plainly
from glasslung.data.formats.geometry import check_affine, check_finite, shear_of
from glasslung.data.formats.identity import file_digest
from glasslung.errors import DataError
from glasslung.files import whole_file
from glasslung.types import Remark, Severity

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
GZIP_LEVEL = 1  # masks shrink a hundredfold at any level, and level 1 is five times faster than 6
SHEAR_IS_NONE = 1e-4  # cosine between axes; below this a quaternion (qform) holds the geometry exactly enough
CHUNK_BYTES = 1 << 20
TRAILING_CHUNKS = 64  # what follows the voxels is nothing, or some padding; endless zeros are not waited for
MM_PER_UNIT = {"meter": 1000.0, "micron": 0.001}
SCANNER, ALIGNED = 1, 2  # NIFTI_XFORM_SCANNER_ANAT, NIFTI_XFORM_ALIGNED_ANAT


def read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray, tuple[Remark, ...]]:
    """Voxels, LPS affine and remarks of one NIfTI file, scaled as its header says.

    Returns (D, H, W) real values of the type on disk (float64 where the header scales), (4, 4) affine.
    Raises DataError for damaged files, several volumes in one file, geometry that no scanner makes.
    """
    import nibabel
    from nibabel import imageglobals

    fact = "it is no readable NIfTI file"
    with told_plainly(path, fact), _opened(path) as file, imageglobals.LoggingOutputSuppressor():
        header_bytes = file.read(544)
        cls = nibabel.Nifti2Image if header_bytes[4:6] == b"n+" else nibabel.Nifti1Image
        if b"ni1" in header_bytes[344:348] or b"ni2" in header_bytes[4:8]:
            raise DataError(
                f"{path.name}: is one half of a two-file NIfTI (.hdr and .img); convert it to .nii.gz"
            )
        file.seek(0)
        image: Any = cls.from_stream(file)
        shape = _three(path, image.shape)
        _check_size(path, image)
        values = np.asanyarray(image.dataobj.get_unscaled()).reshape(shape, order="F")
        _read_to_end(file)
        slope, inter = image.dataobj.slope, image.dataobj.inter
        units = image.header.get_xyzt_units()[0]
        codes = int(image.header["sform_code"]), int(image.header["qform_code"])
        ras = np.array(image.affine, dtype=np.float64)
    voxels = _scaled(path, values.transpose(2, 1, 0), float(slope), float(inter))
    affine, remarks = _lps(path, ras, units, codes)
    return voxels, affine, remarks


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if zipped:
            with gzip.GzipFile(fileobj=raw) as unzipped:
                yield unzipped  # type: ignore[misc]
        else:
            yield raw


def _three(path: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Three axes out of the header's: a flat picture gets one slice, trailing ones are dropped."""
    if len(shape) < 2 or min(shape) < 1:
        raise DataError(f"{path.name}: its header says {shape} voxels, no volume; {COPY_AGAIN}")
    if math.prod(shape[3:]) > 1:
        raise DataError(
            f"{path.name}: holds {math.prod(shape[3:])} volumes ({' x '.join(map(str, shape))}); "
            "split it (fslsplit, or nibabel's four_to_three) and pass one"
        )
    i, j, k = (*shape, 1)[:3]
    return i, j, k


def _check_size(path: Path, image: Any) -> None:
    dtype = image.header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(f"{path.name}: its voxels are of type {dtype}, no plain grey values; pass a CT scan")
    size = path.stat().st_size
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    held = size * LIMITS.deflate_ratio if zipped else size - int(image.dataobj.offset)
    check_promise(path, math.prod(image.shape) * dtype.itemsize, held)


def _read_to_end(file: BinaryIO) -> None:
    """Let gzip check its sum, which stands behind the last byte: a flipped bit is then found, not shown."""
    for _ in range(TRAILING_CHUNKS):
        if not file.read(CHUNK_BYTES):
            return


def _scaled(path: Path, values: np.ndarray, slope: float, inter: float) -> np.ndarray:
    """Apply scl_slope and scl_inter; whole numbers stay integers."""
    sane = math.isfinite(slope) and math.isfinite(inter) and 0 < abs(slope) <= 1e4 and abs(inter) <= 1e6
    if not sane:
        raise DataError(
            f"{path.name}: its scaling (slope {slope}, intercept {inter}) is damaged; {COPY_AGAIN}"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(
            f"{path.name}: holds voxels that are no numbers (NaN or infinite); fill them with -1024 first"
        )
    if (slope, inter) == (1.0, 0.0):
        return values
    whole = (
        values.dtype.kind != "f" and values.dtype.itemsize <= 2 and slope.is_integer() and inter.is_integer()
    )
    if whole and abs(slope) * 65536 + abs(inter) < 2**31:
        return values.astype(np.int32) * np.int32(slope) + np.int32(inter)
    return values.astype(np.float32) * np.float32(slope) + np.float32(inter)


def _lps(
    path: Path, ras: np.ndarray, units: str, codes: tuple[int, int]
) -> tuple[np.ndarray, tuple[Remark, ...]]:
    """RAS affine over (i, j, k) -> LPS affine over (k, j, i), in mm, with what had to be assumed."""
    remarks = []
    check_finite(ras, path.name)
    affine = RAS_TO_LPS @ ras[:, [2, 1, 0, 3]]
    if units in MM_PER_UNIT:
        affine[:3] *= MM_PER_UNIT[units]
        remarks.append(
            Remark("units", Severity.NOTE, f"The header gives lengths in {units}s; they were turned into mm.")
        )
    if codes == (0, 0):
        remarks.append(
            Remark(
                "orientation-assumed",
                Severity.WARN,
                "The file does not say how the patient lay (no sform, no qform): left and right may "
                "be swapped.",
                "Export it with its orientation.",
            )
        )
    return check_affine(affine, path.name), tuple(remarks)


def nifti_digest(path: Path) -> str:
    """SHA-256 of the file as it lies on disk."""
    with told_plainly(path, "the file cannot be read"):
        return file_digest(path)


def write_nifti(
    voxels: np.ndarray, affine: np.ndarray, path: Path, label: bool = False, scale: float | None = None
) -> None:
    """Write voxels (D, H, W) with an LPS affine as `.nii` or `.nii.gz`, whole or not at all.

    sform holds the affine exactly. qform holds it too, except for a tilted stack: no quaternion can hold a
    shear, and ITK refuses a file without a qform, so it gets the nearest upright box there, coded 2 (aligned)
    and not 1 (scanner). The bytes depend on the content alone.
    label  marks the file as a label map (NIFTI_INTENT_LABEL) so that viewers do not interpolate it
    scale  what a step of 1 stands for, where that is not 1; it goes into the header
    """
    image = _image(voxels, affine, label, scale)
    with whole_file(path) as part, part.open("wb") as file:
        _stream(image, file, zipped=path.name.endswith(".gz"))


def nifti_bytes(voxels: np.ndarray, affine: np.ndarray, label: bool = False) -> bytes:
    """The same as the content of a `.nii.gz` that is written nowhere."""
    content = io.BytesIO()
    _stream(_image(voxels, affine, label, None), content, zipped=True)
    return content.getvalue()


def _image(voxels: np.ndarray, affine: np.ndarray, label: bool, scale: float | None) -> Any:
    import nibabel

    ras = RAS_TO_LPS @ affine[:, [2, 1, 0, 3]]
    image = nibabel.Nifti1Image(voxels.transpose(2, 1, 0), ras)
    image.header.set_xyzt_units("mm")
    image.header.set_data_dtype(voxels.dtype)
    image.set_sform(ras, SCANNER)
    tilted = shear_of(affine) > SHEAR_IS_NONE
    image.set_qform(ras, ALIGNED if tilted else SCANNER, strip_shears=True)
    if label:
        image.header.set_intent("label")
    if scale is not None:
        image.header.set_slope_inter(scale, 0.0)  # voxels are then written as they are
    return image


def _stream(image: Any, file: BinaryIO, zipped: bool) -> None:
    if not zipped:
        image.to_stream(file)
        return
    # mtime 0 and no name: the same mask gives the same bytes.
    packed = gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)
    with packed, io.BufferedWriter(packed, 1 << 20) as buffered:
        image.to_stream(buffered)
