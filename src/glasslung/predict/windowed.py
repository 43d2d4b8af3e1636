"""A scan seen through other windows: its Hounsfield units brought to the exam's grid once, windowed at will.

`make_exam` windows first and then brings grey values to the exam's grid. Here the order is turned: the mean
HU of what the exam shows is kept for each of its voxels, with the share of the voxel that it fills, and any
window is then one line of arithmetic away. The two differ by rounding, and where an end of the window cuts
off part of what a voxel is the mean of: an eighth of a grey level in the mean at the true window, a quarter
and at most 0.004 in log-odds at shifts of 100 HU, 0.07 at 200 HU, 0.3 at 300 HU (docs/robustness.md). At no
shift at all the stored exam itself is given back.

An 8-bit picture has lost its Hounsfield units, and its window was never written down. There a shift is a
change of brightness and contrast as if its 255 steps were the 1400 HU of a usual lung window, and the exam is
made again from the changed picture, `standardised` as any picture is; what was cut off stays cut off.

Lungs and lesions stay those found at the true window, of scans and pictures alike: what is tested is the
classifier and not the drawing of masks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from glasslung.data import boxgrid
from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import LUNGS, Exam, Frame
from glasslung.data.orientation import orientation_of, to_upright
from glasslung.errors import ShapeError, UsageError
from glasslung.predict.exams import make_exam
from glasslung.types import Intensity, Volume

ASSUMED_HU = (-1000.0, 400.0)  # what 255 steps of an 8-bit picture are counted as
NARROWEST = 0.25  # of the true width: a narrower window is black and white and nobody's


class Windowed(Protocol):
    """A scan that can be seen through other windows."""

    @property
    def exam(self) -> Exam:
        """At the true window."""
        ...

    @property
    def window_hu(self) -> tuple[float, float]:
        """The true window, low and high; for 8-bit pictures what it is taken for."""
        ...

    def at(self, level: float, width: float) -> Exam:
        """Through a window `level` HU higher and `width` HU wider; negative: lower, narrower."""
        ...


@dataclass(frozen=True, eq=False)
class WindowedScan:
    """A scan in Hounsfield units.

    exam    at the true window
    hu      (S, H, W) int16, mean of what the exam shows of each of its voxels
    filled  (S, H, W) float32, share of the voxel that is shown, 0 to 1; the rest is black in any window
    """

    exam: Exam
    hu: np.ndarray
    filled: np.ndarray

    @property
    def window_hu(self) -> tuple[float, float]:
        """The true window of its frame."""
        return self.exam.frame.window_hu

    def at(self, level: float, width: float) -> Exam:
        """Through another window; UsageError for one narrower than a quarter of the true one."""
        low, high = shifted(self.window_hu, level, width)
        if (low, high) == self.window_hu:
            return self.exam
        grey = np.clip((self.hu.astype(np.float32) - low) * np.float32(255 / (high - low)), 0, 255)
        image = np.rint(grey * self.filled).clip(0, 255).astype(np.uint8)
        if self.exam.frame.masked:
            image = np.where(self.exam.lungs > 0, image, 0).astype(np.uint8)
        return replace(self.exam, image=image)


@dataclass(frozen=True, eq=False)
class WindowedPicture:
    """8-bit slices with their masks, which are made an exam again for each window."""

    exam: Exam
    volume: Volume
    lungs: np.ndarray
    lesions: np.ndarray

    @property
    def window_hu(self) -> tuple[float, float]:
        """What its window is taken for: nobody wrote it down."""
        return ASSUMED_HU

    def at(self, level: float, width: float) -> Exam:
        """Brighter or darker, of more or less contrast; UsageError as for a scan."""
        low, high = shifted(ASSUMED_HU, level, width)
        if (low, high) == ASSUMED_HU:
            return self.exam
        hu = ASSUMED_HU[0] + self.volume.voxels.astype(np.float32) * ((ASSUMED_HU[1] - ASSUMED_HU[0]) / 255)
        grey = np.clip(np.rint((hu - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
        seen = replace(self.volume, voxels=grey)
        return make_exam(seen, self.lungs, self.lesions, self.exam.size, self.exam.frame)


def windowed(
    volume: Volume, lungs: np.ndarray, lesions: np.ndarray, size: int, frame: Frame = LUNGS
) -> WindowedScan | WindowedPicture:
    """A scan that can be seen through other windows; arguments and errors as of `make_exam`."""
    exam = make_exam(volume, lungs, lesions, size, frame)
    if volume.intensity is not Intensity.HU:
        return WindowedPicture(exam, volume, lungs, lesions)
    return windowed_scan(volume, lungs, exam)


def windowed_scan(volume: Volume, lungs: np.ndarray, exam: Exam) -> WindowedScan:
    """The Hounsfield units of an exam that was made of this scan, on the exam's grid."""
    if volume.intensity is not Intensity.HU or lungs.shape != volume.shape:
        raise ShapeError("a window can be moved over a scan in Hounsfield units with its own lungs")
    orientation = orientation_of(volume)
    grey, inside = to_upright(volume.voxels, orientation), to_upright(lungs, orientation) > 0
    box = exam.grid.box
    parts = tuple(
        slice(max(0, part.start), min(length, part.stop))
        for part, length in zip(box, grey.shape, strict=True)
    )
    beyond = [(own.start - part.start, part.stop - own.stop) for part, own in zip(box, parts, strict=True)]
    shown = inside[parts] if exam.frame.masked else np.ones([one.stop - one.start for one in parts], bool)
    hu = np.where(shown, grey[parts], 0).astype(np.int16)
    local = BoxGrid(
        (slice(0, exam.grid.size[0]), slice(0, exam.grid.size[1]), slice(0, exam.grid.size[2])),
        exam.grid.shape,
    )
    filled = boxgrid.to_grid(np.pad(shown, beyond).astype(np.uint8), local)
    summed = boxgrid.to_grid(np.pad(hu, beyond), local)
    mean = np.divide(summed, filled, out=np.zeros_like(summed), where=filled > 0)
    return WindowedScan(exam, np.rint(mean).clip(-32768, 32767).astype(np.int16), filled)


def shifted(window_hu: tuple[float, float], level: float, width: float) -> tuple[float, float]:
    """The ends of a window `level` HU higher and `width` HU wider."""
    low, high = window_hu
    if level == 0 and width == 0:
        return window_hu
    wide = high - low + width
    if not wide >= NARROWEST * (high - low):
        raise UsageError(
            f"a window {width:g} HU narrower than {high - low:g} HU shows next to nothing: "
            f"keep at least {NARROWEST * (high - low):g} HU of its width"
        )
    middle = (low + high) / 2 + level
    return middle - wide / 2, middle + wide / 2


def draw_windows(
    draws: int, deviation: float, window_hu: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Shifts of level and width, each from a normal law of `deviation` HU: (draws, 2).

    A width below a quarter of the true one is drawn again. UsageError where that would be most of them.
    """
    if draws < 1 or not deviation > 0:
        raise UsageError(f"windows need one draw and a deviation above 0 HU, got {draws} and {deviation:g}")
    wide = window_hu[1] - window_hu[0]
    if deviation > wide / 2:
        raise UsageError(
            f"a deviation of {deviation:g} HU is too much for a window of {wide:g} HU; half of it is the most"
        )
    drawn = rng.normal(size=(draws, 2)) * deviation
    while (low := drawn[:, 1] < (NARROWEST - 1) * wide).any():
        drawn[low, 1] = rng.normal(size=int(low.sum())) * deviation
    return drawn
