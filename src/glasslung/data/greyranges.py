"""Grey values of any picture file on one scale: 0 black to 1 white, then -1 to 1 for networks with a tanh.

Who reads pictures of several kinds must look at each file's depth before dividing: a reader that hands out
0 to 1 for one kind of file and 0 to 255 for another, and a mapping made for the second, leave a training set
that is almost black. Screens that stretch what they show hide it. `literal_scaling` is that mistake, kept by
name so that its consequence can be shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from glasslung.data.formats.pictures import read_grey
from glasslung.errors import DataError, ShapeError

HALF_WHITE = 127.5
WHITE = {np.dtype(np.bool_): 1, np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
DEEP_WHITE = 65535  # 16-bit PNG arrive as 32-bit integers in some versions of Pillow
LEAST_BRIGHT = 0.1  # the 99th percentile of any CT slice is above: ribs, or vessels in a lung window
LEAST_SPREAD = 0.01  # standard deviation over all pixels: 2.5 of 255
Greys = TypeVar("Greys")


def unit_grey(values: np.ndarray, white: float | None = None) -> np.ndarray:
    """Grey values of any depth -> float32 from 0, black, to 1, white.

    white  the value that is white, for pictures that do not use the depth of their file (4095 for 12 bits
           stored in 16); None: that of the type: True, 255, 65535; floating point must lie in 0 to 1 already
    DataError where a value lies beyond black or white, or is no number.
    """
    values = np.asarray(values)
    if white is None:
        white = _white_of(values)
    if white <= 0:
        raise DataError(f"white must be above 0, got {white:g}; give the grey value that is white")
    scaled = values.astype(np.float64) / white
    if not np.isfinite(scaled).all():
        raise DataError("a picture holds pixels that are no numbers; save it as 8-bit grey")
    if scaled.size and (scaled.min() < 0 or scaled.max() > 1):
        raise DataError(
            f"grey values run from {values.min():g} to {values.max():g}, beyond 0 (black) to {white:g} "
            "(white); tell which value is white, or save the picture as 8-bit grey"
        )
    return scaled.astype(np.float32)


def _white_of(values: np.ndarray) -> float:
    if values.dtype in WHITE:
        return float(WHITE[values.dtype])
    if values.dtype.kind == "f":
        return 1.0
    if values.dtype.kind in "iu":
        return float(DEEP_WHITE)
    raise DataError(f"grey values of type {values.dtype} are not known; save the picture as 8-bit grey")


def read_unit_grey(path: Path, white: float | None = None) -> np.ndarray:
    """One picture file of any kind -> (H, W) float32, 0 black to 1 white; DataError names the file."""
    values = read_grey(path)
    try:
        return unit_grey(values, white if values.dtype != np.uint8 else None)
    except DataError as problem:
        raise DataError(f"{path.name}: {problem}") from problem


def signed_grey(unit: Greys) -> Greys:
    """0 to 1 -> -1 to 1, what a generator with a tanh makes; arrays and tensors alike."""
    return unit * 2 - 1  # type: ignore[operator, return-value]


def unsigned_grey(signed: Greys) -> Greys:
    """-1 to 1 -> 0 to 1; arrays and tensors alike."""
    return (signed + 1) / 2  # type: ignore[operator, return-value]


def literal_scaling(unit: Greys) -> Greys:
    """The released code's mapping, (x - 127.5) / 127.5, on what its reader gave it: values from 0 to 1.

    The whole picture ends between -1 and -0.992: black. Kept to show what follows from it; nothing else
    uses it.
    """
    return (unit - HALF_WHITE) / HALF_WHITE  # type: ignore[operator, return-value]


def check_greys(images: np.ndarray, what: str = "the pictures") -> None:
    """DataError where a set of pictures is as good as black or constant on its 0 to 1 scale: a wrong scale.

    images  (N, H, W) in [0, 1]. All pictures together are judged: a single dark one is no error.
    """
    if images.ndim != 3 or images.size == 0:
        raise ShapeError(f"pictures must be (N, H, W), got {images.shape}")
    bright, spread = float(np.percentile(images, 99)), float(images.std())
    if bright < LEAST_BRIGHT:
        raise DataError(
            f"{what} are as good as black: 99 in 100 pixels lie below {bright:.3g} of 1. "
            "Look at how they were scaled; for 12 bits stored in 16, give the grey value that is white"
        )
    if spread < LEAST_SPREAD:
        raise DataError(
            f"{what} are as good as constant: their greys deviate by {spread:.3g} of 1. "
            "Look at how they were scaled, and at the pictures"
        )
