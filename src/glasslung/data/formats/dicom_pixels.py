"""DICOM pixels: decoded by the libraries, checked, and turned into HU or 8-bit grey."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats.damage import told_plainly
from glasslung.data.formats.decoder_process import Decoder, decode, is_fragile
from glasslung.data.formats.dicom_header import Frame
from glasslung.data.formats.intensities import HU_AIR_PROOF, SAY_HU, to_int16_hu
from glasslung.errors import DataError


def stored_slices(
    frames: Sequence[Frame], digests: dict[Path, str]
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Each frame's stored values (H, W) and where it is padding, in the order given.

    Each file is read once where its frames follow one another. `digests` receives each file's SHA-256.
    """
    opened: tuple[Path, Any] | None = None
    with Decoder() as decoder:
        for frame in frames:
            if opened is None or opened[0] != frame.path:
                opened = (frame.path, _open(frame.path, digests))
            with told_plainly(frame.path, "its pixels are damaged or cut short"):
                decoded = _decode(frame, opened[1], decoder)
            yield decoded


def _open(path: Path, digests: dict[Path, str]) -> Any:
    import pydicom

    with told_plainly(path, "it is no readable DICOM file"):
        content = path.read_bytes()
        digests[path] = hashlib.sha256(content).hexdigest()
        dataset = pydicom.dcmread(io.BytesIO(content), force=True)
        if not getattr(dataset, "file_meta", None) or "TransferSyntaxUID" not in dataset.file_meta:
            dataset.ensure_file_meta()
            little = dataset.original_encoding[1] is not False
            implicit = dataset.original_encoding[0] is not False
            syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else pydicom.uid.ExplicitVRLittleEndian
            dataset.file_meta.TransferSyntaxUID = syntax if little else pydicom.uid.ExplicitVRBigEndian
        _check_decoder(path, dataset.file_meta.TransferSyntaxUID)
        return dataset


def _check_decoder(path: Path, syntax: Any) -> None:
    from pydicom.pixels import get_decoder

    remedy = "convert it with `gdcmconv --raw` or dcmdjpeg first"
    name = syntax.name if syntax.name != str(syntax) else "an unknown transfer syntax"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise DataError(
            f"{path.name}: its pixels are coded as {name}, which is not read here; {remedy}"
        ) from error
    if not decoder.is_available:
        raise DataError(f"{path.name}: no installed decoder reads {name}; {remedy}")


def _decode(frame: Frame, dataset: Any, decoder: Decoder) -> tuple[np.ndarray, np.ndarray | None]:
    if is_fragile(dataset):
        values = decoder.stored_values(frame.path, frame.index)
    else:
        values = decode(dataset, frame.path, frame.index)
    if values.shape != frame.size:
        raise DataError(
            f"{frame.path.name}: its pixels are {values.shape}, its header says {frame.size}; export it again"
        )
    return values, _padding(dataset, values)


def _padding(dataset: Any, values: np.ndarray) -> np.ndarray | None:
    """Where PixelPaddingValue (to PixelPaddingRangeLimit) says that nothing was measured.

    Some files give the value unsigned while their pixels are signed: both are read as the pixels' type.
    """
    if dataset.get("PixelPaddingValue") is None or values.dtype.kind not in "iu":
        return None
    one = _as_pixel(dataset.PixelPaddingValue, values.dtype)
    limit = dataset.get("PixelPaddingRangeLimit")
    other = one if limit is None else _as_pixel(limit, values.dtype)
    return (values >= min(one, other)) & (values <= max(one, other))


def _as_pixel(value: Any, dtype: np.dtype) -> int:
    bits = 8 * dtype.itemsize
    number = int(value if not isinstance(value, bytes) else int.from_bytes(value, "little")) & (
        (1 << bits) - 1
    )
    return number - (1 << bits) if dtype.kind == "i" and number >= 1 << (bits - 1) else number


def hu_volume(frames: Sequence[Frame], digests: dict[Path, str]) -> tuple[np.ndarray, int, int]:
    """Frames in order -> (D, H, W) int16 HU, how many voxels were padding, how many too high.

    A CT without rescale tags is believed only when its values show air below -500; otherwise DataError.
    """
    voxels = np.empty((len(frames), *frames[0].size), dtype=np.int16)
    n_low = n_high = 0
    for d, (values, padding) in enumerate(stored_slices(frames, digests)):
        slope, intercept = rescale_of(frames[d])
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"{frames[d].path.name}: holds voxels that are no numbers; export it again")
        voxels[d], low, high = _slice_hu(values, padding, slope, intercept)
        n_low, n_high = n_low + low, n_high + high
    return voxels, n_low, n_high


def rescale_of(frame: Frame) -> tuple[float, float]:
    """Slope and intercept from stored value to HU; 1 and 0 where missing. DataError for a slope of 0."""
    slope, intercept = 1.0 if frame.slope is None else frame.slope, frame.intercept or 0.0
    if slope == 0 or abs(slope) > 1e4 or abs(intercept) > 1e6:
        raise DataError(
            f"{frame.path.name}: its rescale (slope {slope:g}, intercept {intercept:g}) is damaged; "
            "export it again"
        )
    return slope, intercept


def _slice_hu(
    values: np.ndarray, padding: np.ndarray | None, slope: float, intercept: float
) -> tuple[np.ndarray, int, int]:
    whole = (
        slope.is_integer()
        and intercept.is_integer()
        and values.dtype.kind in "iu"
        and values.dtype.itemsize <= 2
    )
    if whole and abs(slope) < 2**14:
        return to_int16_hu(values.astype(np.int32) * np.int32(slope) + np.int32(intercept), padding)
    return to_int16_hu(values.astype(np.float64) * slope + intercept, padding)


def check_air(voxels: np.ndarray, name: str) -> None:
    """A CT without rescale tags must show air, or its numbers are not HU."""
    if int(voxels.min()) >= HU_AIR_PROOF:
        raise DataError(
            f"{name}: a CT without rescale slope and intercept, values from {voxels.min()} to "
            f"{voxels.max()}: nobody can tell whether they are HU; if they are, {SAY_HU}, or export it again"
        )


def grey_volume(
    frames: Sequence[Frame], digests: dict[Path, str], inverted: bool
) -> tuple[np.ndarray, tuple[float, float]]:
    """Frames of any modality -> (D, H, W) uint8 and the window (low, high) that was mapped to 0..255.

    8-bit values without rescale are kept as they are; others go through the middle slice's own window, or
    from their lowest to their highest value.
    """
    slices = [
        _rescaled(frame, values)
        for frame, (values, _) in zip(frames, stored_slices(frames, digests), strict=True)
    ]
    plain = all(s.dtype == np.uint8 for s in slices)
    window = (0.0, 255.0) if plain else frames[len(frames) // 2].window
    low, high = window or (min(float(s.min()) for s in slices), max(float(s.max()) for s in slices))
    span = max(high - low, 1e-12)
    grey = np.stack(
        [s if plain else np.rint(np.clip((s - low) / span, 0, 1) * 255).astype(np.uint8) for s in slices]
    )
    return (255 - grey if inverted else grey), (low, high)


def _rescaled(frame: Frame, values: np.ndarray) -> np.ndarray:
    slope, intercept = rescale_of(frame)
    if values.dtype == np.uint8 and (slope, intercept) == (1.0, 0.0):
        return values
    grey = values.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if not np.isfinite(grey).all():
        raise DataError(f"{frame.path.name}: holds voxels that are no numbers; export it again")
    return grey
