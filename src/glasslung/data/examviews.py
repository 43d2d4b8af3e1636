"""Other looks of the same scan: turned, shifted and scaled a little, through another window, blurred, noisy.

One draw serves all slices of a scan, and image, lungs and lesions alike. Where lungs alone are shown, what
is outside them stays black.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from glasslung.data.exams import Exam
from glasslung.errors import UsageError


@dataclass(frozen=True)
class ExamViews:
    """How far a look may stray. The defaults leave lungs that another patient could have."""

    mirror: float = 0.5  # chance that left and right are changed: the disease has no side
    turn_deg: float = 8.0  # most, either way: patients lie a little askew
    shift: float = 0.04  # most, of the side
    scale: float = 0.1  # most, larger or smaller
    window: float = 0.05  # most shift of the grey values as a share of the range, and most change of contrast
    blur_px: float = 0.0  # most deviation of a blur: kernels and enlarged pictures differ
    noise: float = 0.0  # most deviation of added noise, as a share of the range: doses differ

    def __post_init__(self) -> None:
        ranges = (self.turn_deg, self.shift, self.scale, self.window, self.blur_px, self.noise)
        if min(ranges) < 0 or not 0 <= self.mirror <= 1 or self.scale >= 1 or self.window >= 1:
            raise UsageError(
                "a look strays by 0 or more; scale and window by less than 1, mirror is a chance"
            )


STRONG = ExamViews(turn_deg=12.0, shift=0.08, scale=0.2, window=0.2, blur_px=1.2, noise=0.04)
"""For pictures of unknown window, sharpness and noise."""


def changed(exam: Exam, rows: np.ndarray, views: ExamViews, rng: np.random.Generator) -> Exam:
    """The slices `rows` of an exam in another look, drawn once for all of them; their grid is the old one."""
    mirrored = rng.random() < views.mirror
    turn = np.deg2rad(rng.uniform(-1, 1) * views.turn_deg)
    shift = rng.uniform(-1, 1, 2) * views.shift * exam.size
    factor = 1.0 + rng.uniform(-1, 1) * views.scale
    gain, offset = 1.0 + rng.uniform(-1, 1) * views.window, rng.uniform(-1, 1) * views.window * 255
    blur, grain = rng.random() * views.blur_px, rng.random() * views.noise * 255
    image, lungs, lesions = (getattr(exam, name)[rows] for name in ("image", "lungs", "lesions"))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / factor
    if mirrored:
        matrix = matrix @ np.diag([1.0, -1.0])
    middle = (exam.size - 1) / 2
    start = middle - matrix @ (middle + shift)
    grey = np.stack(
        [ndimage.affine_transform(one.astype(np.float32), matrix, start, order=1) for one in image]
    )
    inside, sick = (
        np.stack([ndimage.affine_transform(one, matrix, start, order=0) for one in labels])
        for labels in (lungs, lesions)
    )
    if blur > 0:
        grey = ndimage.gaussian_filter(grey, (0, blur, blur))
    grey = (grey - 127.5) * gain + 127.5 + offset
    if grain > 0:
        grey += rng.standard_normal(grey.shape, np.float32) * np.float32(grain)
    picture = np.rint(grey).clip(0, 255).astype(np.uint8)
    if exam.frame.masked:
        picture[inside == 0] = 0
    if mirrored:  # right is left now
        inside = np.array([0, 2, 1, 3], np.uint8)[inside]
    return replace(
        exam, image=picture, lungs=inside, lesions=sick, grid=replace(exam.grid, shape=picture.shape)
    )
