"""Gate checks on grey values: are they Hounsfield units, is it a chest, is it a CT at all.

Everything is judged on a sample of the voxels (at most a few million), so a large scan takes about a second.
Robust features only: what would need a trained eye is left to the reader of the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from glasslung.data.grid_checks import FEW_SLICES, slice_axis
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.data.picture_checks import picture_remarks
from glasslung.types import Intensity, Remark, Severity, Volume

SAMPLE_SLICES = 24
SAMPLE_PIXELS = 256  # across; larger slices are thinned

AIR_HU = -1000
PADDING_HU = -1500  # scanners fill the corners with -2000 and below; nothing of a patient is below -1024
LUNG_BELOW_HU = -400  # halfway between soft tissue and aerated lung
LUNG_HU = (-940, -550)  # aerated lung, apart from air at -1000; smoothed voxels
SOFT_TISSUE_HU = (-200, 200)  # fat to enhanced organs
METAL_HU = 3000

LEAST_RANGE_HU = 500  # a chest spans from air to bone
LEAST_AIR_SHARE = 0.01
LEAST_SOFT_SHARE, FEW_SOFT_SHARE = 0.005, 0.05  # a lung-only crop still has vessels, a chest a quarter
AIR_OFF_HU = 50  # calibration holds air within some 10 HU; hospitals are called at 20
CLIPPED_SHARE = 0.002  # voxels exactly at the maximum
NOISY_HU, VERY_NOISY_HU = 60.0, 120.0  # a sharp kernel on thin slices has 40 to 60 HU
METAL_SHARE = 5e-4  # a pacemaker or a prosthesis; a clip or a tooth edge stays below
PADDING_SHARE = 0.4  # a round field of view leaves 21 per cent
NOISE_CORRELATION = 0.5  # neighbouring voxels of any CT correlate above 0.9, of noise 0

LUNG_PART = 0.03  # of the body's slice: an air space this large may be lung, a sinus or bowel loop seldom
NO_LUNG_SHARE, LITTLE_LUNG_SHARE = 0.03, 0.12  # of the body, on the slices with most; lungs have 0.3 to 0.5
BEST_SLICES_PERCENTILE = 85  # of 24 slices the fourth best: one odd slice cannot decide
LEAST_BODY_SHARE = 0.05  # of the picture: less is a table edge or a finger, no body
FRONT_BACK_SHARE = 0.08  # of the body's height: spine this far in front (real scans: 0.1 to 0.3 behind)


def grey_remarks(volume: Volume) -> Iterator[Remark]:
    """What the grey values say about the scan."""
    if int(volume.voxels.min()) == int(volume.voxels.max()):
        yield Remark(
            "constant",
            Severity.REFUSE,
            f"Every voxel has the same value ({int(volume.voxels.flat[0])}): the scan is empty.",
            "Export the scan again.",
        )
        return
    sample = _sample(volume)
    if _neighbour_correlation(sample) < NOISE_CORRELATION:
        yield Remark(
            "noise",
            Severity.REFUSE,
            "Neighbouring voxels have nothing to do with each other: this is noise or a damaged file, no "
            "scan.",
            "Export the scan again, uncompressed.",
        )
        return
    yield from _doubled_slices(volume)
    if volume.intensity is Intensity.HU:
        yield from _hounsfield(volume, sample)
    else:
        yield from picture_remarks(sample)


def _sample(volume: Volume) -> np.ndarray:
    """(Z, Y, X) upright: evenly spread slices, thinned to about SAMPLE_PIXELS across; a copy."""
    upright = to_upright(volume.voxels, orientation_of(volume))
    slices = np.unique(np.linspace(0, upright.shape[0] - 1, SAMPLE_SLICES).astype(int))
    thin = [max(1, size // SAMPLE_PIXELS) for size in upright.shape[1:]]
    return np.stack([upright[z, :: thin[0], :: thin[1]] for z in slices])


def _neighbour_correlation(sample: np.ndarray) -> float:
    """How alike voxels side by side are, -1 to 1, in the better of the two directions across."""
    best = -1.0
    for one, other in ((sample[:, :, 1:], sample[:, :, :-1]), (sample[:, 1:], sample[:, :-1])):
        if one.size and one.std() > 0 and other.std() > 0:
            best = max(
                best,
                float(np.corrcoef(one.ravel().astype(np.float32), other.ravel().astype(np.float32))[0, 1]),
            )
    return best


def _doubled_slices(volume: Volume) -> Iterator[Remark]:
    """Neighbouring slices that are equal voxel by voxel."""
    stack = np.moveaxis(volume.voxels, slice_axis(volume), 0)
    doubled = [
        n + 1
        for n in range(len(stack) - 1)
        # a thinned look first: it settles nearly every pair
        if np.array_equal(stack[n, ::7, ::7], stack[n + 1, ::7, ::7])
        and stack[n].min() != stack[n].max()
        and np.array_equal(stack[n], stack[n + 1])
    ]
    if doubled:
        yield Remark(
            "duplicate-slices",
            Severity.WARN,
            f"{_equal_slices(doubled)}: volumes may be off by {100 * len(doubled) / len(stack):.0f} %.",
            "The series may hold copies; export it again.",
        )


def _equal_slices(doubled: list[int]) -> str:
    """Which slices, by number from 1, equal the one after them."""
    if len(doubled) == 1:
        return f"One slice, number {doubled[0]}, is equal to its neighbour voxel by voxel"
    return (
        f"{len(doubled)} slices are equal to their neighbours voxel by voxel, the first at slice {doubled[0]}"
    )


def _hounsfield(volume: Volume, sample: np.ndarray) -> Iterator[Remark]:
    """Whether int16 values are Hounsfield units of a chest, and how good they are."""
    broken = _not_hounsfield(sample)
    if broken is not None:
        yield broken
        return
    yield from _clipping(sample)
    yield from _air_calibration(sample)
    yield from _quality(sample)
    yield from _chest(sample)
    yield from _front_and_back(volume, sample)


def _not_hounsfield(sample: np.ndarray) -> Remark | None:
    """The first reason why the values cannot be Hounsfield units; None when they can."""
    inside = sample[sample > PADDING_HU]
    if not inside.size:
        inside = np.zeros(1, sample.dtype)
    low, high = int(inside.min()), int(inside.max())
    air = float((inside < -800).mean())
    soft = float(((inside >= SOFT_TISSUE_HU[0]) & (inside <= SOFT_TISSUE_HU[1])).mean())
    raw_water = float(((inside > 850) & (inside < 1200)).mean())
    again = "Export the scan again with rescale slope and intercept applied."
    if low >= 0 and high <= 255:
        return Remark(
            "grey-values",
            Severity.REFUSE,
            f"Values run from {low} to {high}: grey values of a picture, no Hounsfield units, though the "
            "file claims them.",
            "Give the original scan, or say --intensity display8 (in Python: intensity='display8').",
        )
    if low > -200 and raw_water > 0.1:
        return Remark(
            "unsigned-raw",
            Severity.REFUSE,
            f"Values run from {low} to {high} with soft tissue near 1000: the scanner's raw numbers, 1024 "
            "above Hounsfield units.",
            again,
        )
    if high - low < LEAST_RANGE_HU:
        return Remark(
            "narrow-range",
            Severity.REFUSE,
            f"Values run from {low} to {high} only; from air to bone a chest needs more than "
            f"{LEAST_RANGE_HU} Hounsfield units.",
            "Give the original scan, not windowed or normalised values.",
        )
    if _inverted(sample):
        return Remark(
            "inverted",
            Severity.REFUSE,
            "The surroundings are bright and the body dark: the values are upside down.",
            "Export the scan without inverting its grey values.",
        )
    if float((inside < LUNG_BELOW_HU).mean()) < LEAST_AIR_SHARE or low > -500:
        return Remark(
            "no-air",
            Severity.REFUSE,
            f"Hardly a voxel is as dark as air or lung (lowest value {low}; {100 * air:.1f} % below -800): "
            "the values are no Hounsfield units, were cut at a window, or this is no chest CT.",
            again,
        )
    if soft < LEAST_SOFT_SHARE:
        return Remark(
            "no-soft-tissue",
            Severity.REFUSE,
            f"Only {100 * soft:.1f} % of the voxels have the density of soft tissue (-200 to 200): the "
            "values are no Hounsfield units.",
            again,
        )
    return None


def _inverted(sample: np.ndarray) -> bool:
    """Border bright and middle dark: what lies around a patient is air, which is dark."""
    border = np.concatenate([sample[:, [0, -1], :].reshape(-1), sample[:, :, [0, -1]].reshape(-1)])
    return float(np.median(border)) > 500


def _clipping(sample: np.ndarray) -> Iterator[Remark]:
    low, high = int(sample.min()), int(sample.max())
    inside = sample[sample > PADDING_HU]
    low = int(inside.min())
    if low > -990 and float((inside == low).mean()) > 0.01:
        yield Remark(
            "clipped-low",
            Severity.WARN,
            f"Values are cut off at {low}: what is emptier, such as emphysema, cannot be measured.",
            "Give the scan before windowing.",
        )
    if high < 2000 and float((sample == high).mean()) > CLIPPED_SHARE:
        yield Remark(
            "clipped-high",
            Severity.WARN if high <= 200 else Severity.NOTE,
            f"Values are cut off at {high}: bone, calcium and metal cannot be told from soft tissue."
            if high <= 200
            else f"Values are cut off at {high}; lung measures do not depend on it.",
            "Give the scan before windowing." if high <= 200 else "",
        )


def _air_calibration(sample: np.ndarray) -> Iterator[Remark]:
    """Where air around the patient lies: -1000 by definition of the Hounsfield scale."""
    frame = np.ones(sample.shape[1:], bool)
    rows, columns = max(1, sample.shape[1] // 10), max(1, sample.shape[2] // 10)
    frame[rows:-rows, columns:-columns] = False
    around = sample[:, frame]
    air = around[(around > -1200) & (around < -800)]
    if air.size < 1000 or air.size < 0.02 * around.size:
        return
    values, counts = np.unique(air, return_counts=True)
    if counts.max() > 0.5 * air.size and values[counts.argmax()] == values[0]:
        return  # cut off at this value: the scanner's own floor, nothing to learn
    middle = float(np.median(air))
    if abs(middle - AIR_HU) > AIR_OFF_HU:
        yield Remark(
            "air-off",
            Severity.WARN,
            f"Air around the patient has {middle:.0f} HU instead of {AIR_HU}: the scale is off, and with it "
            "every band.",
            "Check rescale slope and intercept, and the scanner's calibration.",
        )


def _quality(sample: np.ndarray) -> Iterator[Remark]:
    """Noise, metal, padding."""
    noise = _noise_hu(sample)
    if noise is not None and noise > NOISY_HU:
        very = noise > VERY_NOISY_HU
        than = ", more than most measures stand" if very else ""
        yield Remark(
            "noisy",
            Severity.WARN if very else Severity.NOTE,
            f"Noise in soft tissue is about {noise:.0f} HU{than}: "
            "emphysema-like and ground-glass bands are overestimated.",
            "Use a soft kernel or thicker slices.",
        )
    metal = float((sample > METAL_HU).mean())
    if metal > METAL_SHARE:
        yield Remark(
            "metal",
            Severity.NOTE,
            f"{100 * metal:.2f} % of the voxels are above {METAL_HU} HU: metal, with streaks that look like "
            "disease nearby.",
        )
    padding = float((sample <= PADDING_HU).mean())
    if padding > PADDING_SHARE:
        yield Remark(
            "padding",
            Severity.NOTE,
            f"{100 * padding:.0f} % of the voxels were never scanned (padding); they count as air.",
        )


def _noise_hu(sample: np.ndarray) -> float | None:
    """Standard deviation of the noise in soft tissue, HU, from neighbours; None if there is none."""
    differences: list[np.ndarray] = []
    for picture in sample[:: max(1, len(sample) // 8)]:
        smooth = ndimage.uniform_filter(picture.astype(np.float32), 5)
        slope = ndimage.generic_gradient_magnitude(smooth, ndimage.sobel)
        flat = (smooth > -120) & (smooth < 100) & (slope < 200)
        both = flat[:, 1:] & flat[:, :-1]
        differences.append((picture[:, 1:].astype(np.float32) - picture[:, :-1])[both])
    found = np.concatenate(differences)
    if found.size < 500:
        return None
    return float(1.4826 * np.median(np.abs(found)) / np.sqrt(2.0))


def _chest(sample: np.ndarray) -> Iterator[Remark]:
    """Whether there are lungs: large air spaces inside the body on the slices that have most of them."""
    enclosed = _on_best_slices(sample, _enclosed_air_share)
    by_density = _on_best_slices(sample, _lung_density_share)
    if enclosed < NO_LUNG_SHARE and by_density < LITTLE_LUNG_SHARE:
        yield Remark(
            "no-lungs",
            Severity.REFUSE,
            f"There are no lungs to see: at best {100 * enclosed:.0f} % of the body on a slice is enclosed "
            "air; lungs fill 30 to 50 %. Is it a scan of the head or the abdomen?",
            "Give a scan of the chest.",
        )
    elif enclosed < LITTLE_LUNG_SHARE:
        yield Remark(
            "little-lung",
            Severity.WARN,
            f"There is little lung inside the body: at best {100 * enclosed:.0f} % of a slice; lungs fill 30 "
            "to 50 %. The scan covers only their ends, they are consolidated, or the field of view cuts "
            "them.",
            "Look at the pictures in the report.",
        )


def _on_best_slices(sample: np.ndarray, share: Callable[[np.ndarray], float]) -> float:
    """A share of the body on the slices that have most of it; 0 when no slice has a body."""
    shares = np.array([share(picture) for picture in sample])
    return float(np.nanpercentile(shares, BEST_SLICES_PERCENTILE)) if np.isfinite(shares).any() else 0.0


def _enclosed_air_share(picture: np.ndarray) -> float:
    """Enclosed air of lung size over the body, one axial slice; NaN on a slice without a body."""
    dark = picture < LUNG_BELOW_HU
    body_and_air = ndimage.binary_fill_holes(~dark)
    return _large_parts(body_and_air & dark, int(np.count_nonzero(body_and_air)))


def _lung_density_share(picture: np.ndarray) -> float:
    """Tissue of lung density over body and lung: finds lungs that the picture's border cuts open as well."""
    smooth = ndimage.uniform_filter(picture.astype(np.float32), 5)
    lung = (smooth > LUNG_HU[0]) & (smooth < LUNG_HU[1]) & (picture > PADDING_HU)
    return _large_parts(lung, int(np.count_nonzero((picture >= LUNG_BELOW_HU) | lung)))


def _large_parts(mask: np.ndarray, body: int) -> float:
    """The parts of a mask that are large enough to be lung, as a share of the body's pixels."""
    if body < LEAST_BODY_SHARE * mask.size:
        return float("nan")
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return float(sizes[sizes > LUNG_PART * body].sum()) / body


def _front_and_back(volume: Volume, sample: np.ndarray) -> Iterator[Remark]:
    """Whether the spine is at the back: the densest bone in the middle of the body, slice by slice."""
    orientation = orientation_of(volume)
    height_mm = volume.shape[orientation.axes[0]] * upright_spacing_mm(volume, orientation)[0]
    if len(sample) < FEW_SLICES or (volume.has_ml and height_mm < 150):
        return  # on a few slices the enhanced heart may outweigh the spine
    offsets = [offset for offset in map(_spine_offset, sample) if offset is not None]
    if len(offsets) >= FEW_SLICES and float(np.median(offsets)) < -FRONT_BACK_SHARE:
        yield Remark(
            "front-back",
            Severity.WARN,
            "The spine seems to lie at the front: the orientation in the file may be wrong, and right and "
            "left with it.",
            "Check patient position and orientation; compare sides with the original viewer.",
        )


def _spine_offset(picture: np.ndarray) -> float | None:
    """How far behind the middle of the body the bone of its middle third is (of its height), if any."""
    body = picture > LUNG_BELOW_HU
    rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
    if len(rows) < 8 or len(columns) < 8:
        return None
    left, right = np.percentile(columns, [35, 65]).astype(int)
    bone = np.nonzero(picture[:, left : right + 1] > 250)[0]
    if len(bone) < 10:
        return None
    return float(bone.mean() - (rows[0] + rows[-1]) / 2.0) / float(rows[-1] - rows[0])
