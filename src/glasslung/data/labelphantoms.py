"""Labelled slices whose truth is exact because we drew it: phantom chests in the look of 8-bit windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, Window
from glasslung.data.phantom.chest import scan_rows
from glasslung.data.phantom.lung_slices import FINER, lung_grid
from glasslung.data.phantom.patient import Patient
from glasslung.data.phantom.scene import View
from glasslung.errors import UsageError
from glasslung.types import Lesion, Progress

LUNG_LOW, LUNG_HIGH = (
    (-1250.0, -950.0),
    (150.0, 500.0),
)  # HU, where lung windows of published sets begin and end
WIDE_LOW, WIDE_HIGH = (-1030.0, -950.0), (800.0, 1400.0)
WIDE_SHARE = 0.2  # of slices; the windows of training sets are lung windows mostly
MARGIN = 0.08  # most of the lungs' height and width that is left around them, as croppers leave


def phantom_slices(
    patients: Sequence[Patient],
    days: Sequence[float],
    rng: np.random.Generator,
    size: int = 256,
    classes: int = 3,
    progress: Progress | None = None,
) -> LabelledSlices:
    """One axial slice of every patient on every day, cropped around the lungs, with exact masks; 0.4 s each.

    size     pixels of a square around the lungs, before the crop
    classes  4 keeps crazy paving; 3 counts it as ground glass, which it is with thick septa, as sets
             without the class have it
    rng      decides the level (0.25 to 0.85 of the lungs' height), the window and the margins
    """
    if not len(patients) or not len(days) or classes not in (3, 4):
        raise UsageError("phantom slices need patients, days, and 3 or 4 classes")
    pictures, lesions, lungs, origins = [], [], [], []
    asked = [(patient, day) for patient in patients for day in days]
    for done, (patient, day) in enumerate(asked):
        if progress:
            progress(f"drawing {patient.name}", done / len(asked))
        level = float(rng.uniform(0.25, 0.85))
        hu, lesion, lung = chest_slice(patient, day, size, level)
        window, grey = _shown(hu, rng)
        box = _crop(lung > 0, rng)
        known = np.where((lesion == Lesion.CRAZY_PAVING) & (classes == 3), Lesion.GROUND_GLASS, lesion)
        pictures.append(np.ascontiguousarray(grey[box]))
        lesions.append(known[box].astype(np.int8))
        lungs.append((lung[box] > 0).astype(np.int8))
        origins.append(SliceOrigin(f"{patient.name}-day{day:g}", patient.name, Kind.LABELLED, window))
    return LabelledSlices(tuple(pictures), tuple(lesions), tuple(lungs), tuple(origins))


def chest_slice(
    patient: Patient, day: float, size: int, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One whole slice of a chest: HU float32, lesions and lungs uint8, each (size, size), upright."""
    grid = lung_grid(patient.body, patient.site, size, level)
    hu, lesion, lung, _ = scan_rows(patient, day, View(grid, patient.site), slice(0, 1))
    mean = hu[0].reshape(size, FINER, size, FINER).mean(axis=(1, 3))
    middle = slice(FINER // 2, None, FINER)
    lungs = lung[0][middle, middle]
    return mean, np.where(lungs > 0, lesion[0][middle, middle], 0), lungs


def _shown(hu: np.ndarray, rng: np.random.Generator) -> tuple[Window, np.ndarray]:
    wide = bool(rng.random() < WIDE_SHARE)
    low = rng.uniform(*(WIDE_LOW if wide else LUNG_LOW))
    high = rng.uniform(*(WIDE_HIGH if wide else LUNG_HIGH))
    grey = np.rint(255 * (hu - low) / (high - low)).clip(0, 255).astype(np.uint8)
    return (Window.WIDE if wide else Window.LUNG), grey


def _crop(lung: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice]:
    """Around the lungs, with margins of any width up to a share of the lungs' own size."""
    spans = []
    for axis, length in ((1, lung.shape[0]), (0, lung.shape[1])):
        seen = np.flatnonzero(lung.any(axis=axis))
        most = MARGIN * (seen[-1] + 1 - seen[0])
        before, after = rng.uniform(0, most, 2)
        spans.append(slice(max(0, int(seen[0] - before)), min(length, int(seen[-1] + 1 + after))))
    return spans[0], spans[1]
