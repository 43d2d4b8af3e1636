"""Small exams with a disease that is plain to see: a bright square in the lungs."""

from __future__ import annotations

import numpy as np

from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import Exam, ExamSet
from glasslung.types import Intensity


def made_exam(slices: int = 5, size: int = 32, sick: bool = False, seed: int = 0) -> Exam:
    """An exam of two square lungs; the first and last slice show none where there are more than two."""
    rng = np.random.default_rng(seed)
    lungs = np.zeros((slices, size, size), np.uint8)
    quarter = size // 4
    inner = slice(1, -1) if slices > 2 else slice(None)
    lungs[inner, quarter:-quarter, 2 : 2 + quarter] = 1
    lungs[inner, quarter:-quarter, -2 - quarter : -2] = 2
    image = np.where(lungs > 0, rng.integers(20, 60, lungs.shape), 0).astype(np.uint8)
    lesions = np.zeros_like(lungs)
    if sick:
        lesions[inner, quarter : 2 * quarter, 3 : 2 + quarter] = 1
        image[lesions > 0] = 180
    grid = BoxGrid((slice(0, slices), slice(0, size), slice(0, size)), (slices, size, size))
    return Exam(image, lungs, lesions, (3.0, 2.0, 2.0), grid, Intensity.HU)


def made_exam_set(each: int = 4, size: int = 32, slices: tuple[int, ...] = (5, 8, 3)) -> ExamSet:
    """`each` scans of covid and as many without, of several lengths, in two sites and three splits."""
    words = tuple(("covid", "bacterial", "covid", "healthy")[n % 4] for n in range(2 * each))
    exams = tuple(
        made_exam(slices[n % len(slices)], size, word == "covid", n) for n, word in enumerate(words)
    )
    count = range(2 * each)
    return ExamSet(
        exams,
        np.array([int(word == "covid") for word in words]),
        words,
        tuple(f"p{n}" for n in count),
        tuple("ab"[n % 2] for n in count),
        tuple(f"s{n}" for n in count),
        tuple(("train", "train", "val", "test")[n // 2 % 4] for n in count),
        {"severity": tuple(str(n) for n in count)},
    )
