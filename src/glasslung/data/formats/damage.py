"""Damaged files, said in one line: whatever a parsing library raises becomes a DataError that names the file.

The libraries were written for good files. On a bad one they raise anything from `struct.error` to
`RecursionError`, print to stderr, or believe a header that promises more than the file can hold. Here
is the one place that turns all of this into a fact and a remedy. Their own words are kept as the cause of
the error and left out of the line, because they can hold full paths and values of identifying tags.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from glasslung.errors import DataError, GlasslungError

LOUD_LOGGERS = ("pydicom", "nibabel", "nibabel.global", "PIL")
COPY_AGAIN = "copy or export it again from its source"


@dataclass(frozen=True)
class Limits:
    """How much a header may promise before it is taken for damage or an attack."""

    volume_bytes: int = 4 << 30  # a 512x512 scan of 8000 slices; the largest real chest CTs are below 1 GiB
    slice_pixels: int = 64 << 20  # 8192 x 8192; CT matrices end at 2048, scanned films below 8192
    folder_files: int = 100_000  # a whole patient's studies; more is somebody's home folder
    deflate_ratio: int = 1040  # deflate cannot expand a byte to more than 1032
    deflated_dicom_bytes: int = 2 << 20  # a deflated slice is below 1 MiB, and 2 MiB inflate to 2 GiB at most


LIMITS = Limits()


@contextmanager
def silenced() -> Iterator[None]:
    """The libraries without a voice: their warnings quote damaged values, which may name a patient."""
    loggers = [logging.getLogger(name) for name in LOUD_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def told_plainly(path: Path, fact: str, remedy: str = COPY_AGAIN) -> Iterator[None]:
    """Run a library on one file: silence its warnings, and turn whatever it raises into one DataError.

    fact    what is wrong if the library gives up: 'not a readable NIfTI file'
    remedy  what the person can do about it
    """
    try:
        with silenced():
            yield
    except GlasslungError:
        raise
    except MemoryError as error:
        raise DataError(f"{path.name}: not enough memory to read it; use a machine with more") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else fact
        raise DataError(f"{path.name}: {why}; {remedy}") from error
    except Exception as error:
        raise DataError(f"{path.name}: {fact}; {remedy}") from error


def check_promise(path: Path, promised: int, held: int | None = None) -> None:
    """Refuse a header that promises more bytes than the file can hold, or than any scan has.

    promised  bytes of voxels by the header
    held      most bytes the file can unfold to; None where that cannot be known
    """
    if promised <= 0:
        raise DataError(f"{path.name}: its header says the scan is empty; {COPY_AGAIN}")
    if held is not None and promised > held:
        raise DataError(
            f"{path.name}: its header promises {promised} bytes of voxels and the file can hold {held}: "
            f"it was cut short or its header is damaged; {COPY_AGAIN}"
        )
    if promised > LIMITS.volume_bytes:
        raise DataError(
            f"{path.name}: its header promises {promised / 2**30:.1f} GiB of voxels, and "
            f"{LIMITS.volume_bytes / 2**30:.0f} GiB is the most that is read; crop or resample it first"
        )
