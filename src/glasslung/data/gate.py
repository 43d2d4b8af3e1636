"""The input gate: looks at a scan before anything is computed on it, and says what is wrong with it.

    inspect        header, grid and grey values, before any computation
    inspect_lungs  once the lungs are known: cut off, missing, implausible
    refuse         turns refusing remarks into one error

A remark refuses only what would make a wrong answer look right; what merely makes an answer less certain is a
warning, and stands in the report. The checks themselves are in `grid_checks` (no grey values),
`grey_checks` and `picture_checks` (8-bit grey).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from glasslung.data import grey_checks, grid_checks
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import RefusedError, ShapeError
from glasslung.types import Intensity, Lung, Lungs, Remark, Severity, Volume

_ORDER = (Severity.REFUSE, Severity.WARN, Severity.NOTE)

# Total lung capacity of adults is about 4 to 7 litres; beyond these bounds a mask or a spacing is wrong, or
# it is a child.
LUNG_ML_LEAST, LUNG_ML_MOST = 1000.0, 9500.0
SIDE_RATIO_LEAST = 0.2  # the left lung is normally 0.8 to 0.9 of the right one
CUT_SHARE = 0.08  # of the largest slice's lung area, on the last slice: more than a recess or an apex ending
EDGE_SHARE = 0.003  # of the lung's voxels on the picture's border: a few may be noise of the mask
EXPIRED_HU = -700  # parenchyma at full breath is about -850 HU, breathed out about -700
DENSE_HU = -500  # half tissue, half air


def inspect(volume: Volume) -> tuple[Remark, ...]:
    """What is wrong or worth knowing about a scan, most serious first; empty when nothing is.

    Includes what the reader noticed (`volume.source.remarks`). Looks at a sample of the voxels: about a
    second on a large scan. Raises nothing: give the remarks to `refuse`.
    """
    seen = {remark.code for remark in volume.source.remarks}
    found = [*grid_checks.header_remarks(volume.source, volume.intensity), *grid_checks.grid_remarks(volume)]
    if not _refused(found):
        found += grey_checks.grey_remarks(volume)
    return most_serious_first([*volume.source.remarks, *(r for r in found if r.code not in seen)])


def inspect_lungs(volume: Volume, lungs: Lungs) -> tuple[Remark, ...]:
    """What the lungs say about the scan, most serious first: none found, cut off, breathed out."""
    if lungs.mask.shape != volume.shape:
        raise ShapeError(f"the lung mask is {lungs.mask.shape}, the scan {volume.shape}; give its own mask")
    if not lungs.mask.any():
        return (Remark("no-lungs-found", Severity.REFUSE, "No lungs were found.", "Give a chest CT."),)
    return most_serious_first(
        [
            *_mask_quality(lungs),
            *_cut_off(volume, lungs),
            *_sizes(volume, lungs),
            *_air_content(volume, lungs),
        ]
    )


def most_serious_first(remarks: Iterable[Remark]) -> tuple[Remark, ...]:
    """Refuse, warn, note; within one severity in the order given."""
    return tuple(sorted(remarks, key=lambda remark: _ORDER.index(remark.severity)))


def refuse(remarks: Iterable[Remark], name: str = "") -> None:
    """Raise RefusedError, in one line that begins with the scan's name, when any remark refuses."""
    lines = [f"{r.text} {r.remedy}".strip() for r in remarks if r.severity is Severity.REFUSE]
    if lines:
        raise RefusedError(" ".join([f"{name}:", *lines] if name else lines))


def _refused(remarks: Iterable[Remark]) -> bool:
    return any(remark.severity is Severity.REFUSE for remark in remarks)


def _mask_quality(lungs: Lungs) -> Iterator[Remark]:
    if not lungs.quality.trusted:
        why = "; ".join(lungs.quality.reasons) or "no reason given"
        yield Remark(
            "lung-mask-untrusted",
            Severity.WARN,
            f"The lung mask is not to be trusted: {why}.",
            "Look at the mask before using any figure.",
        )
    if (lungs.mask == Lung.UNSIDED).any():
        yield Remark(
            "sides-unknown",
            Severity.NOTE,
            "Right and left lung could not be told apart, so there are no figures per side and no severity "
            "score.",
        )


def _cut_off(volume: Volume, lungs: Lungs) -> Iterator[Remark]:
    """Lungs that reach the last slice above or below, or the border of the picture."""
    upright = to_upright(lungs.mask, orientation_of(volume))
    area = np.count_nonzero(upright, axis=(1, 2))
    shares = {"below": area[0] / area.max(), "above": area[-1] / area.max()}
    ends = [
        f"{name} ({100 * share:.0f} % of the largest slice)"
        for name, share in shares.items()
        if share > CUT_SHARE
    ]
    if ends and len(area) >= grid_checks.FEW_SLICES:  # a slab has been remarked on already, and ends in lung
        yield Remark(
            "lungs-cut-off",
            Severity.WARN,
            f"The lungs reach the end of the scan {' and '.join(ends)}: a part of them is missing.",
            "Volumes in ml are too small; give the whole series.",
        )
    touching = sum(int(np.count_nonzero(plane)) for plane in _border_planes(upright))
    if touching > EDGE_SHARE * int(area.sum()):
        yield Remark(
            "lungs-at-edge",
            Severity.WARN,
            f"{touching} lung voxel{' lies' if touching == 1 else 's lie'} on the border of the picture: "
            "the field of view cuts the lungs.",
            "Volumes are too small; use a reconstruction with a larger field of view.",
        )


def _border_planes(upright: np.ndarray) -> tuple[np.ndarray, ...]:
    """The four sides of a stack: front, back, right, left."""
    return upright[:, 0], upright[:, -1], upright[:, 1:-1, 0], upright[:, 1:-1, -1]


def _sizes(volume: Volume, lungs: Lungs) -> Iterator[Remark]:
    """Volumes that no adult has, and a side that is missing or shrunken."""
    counts = np.bincount(lungs.mask[lungs.mask > 0], minlength=len(Lung))
    orientation = orientation_of(volume)
    height_mm = volume.shape[orientation.axes[0]] * upright_spacing_mm(volume, orientation)[0]
    total_ml = int(counts.sum()) * volume.voxel_ml
    whole = volume.has_ml and height_mm >= grid_checks.CHEST_HEIGHT_MM
    if whole and not LUNG_ML_LEAST <= total_ml <= LUNG_ML_MOST:
        yield Remark(
            "lung-volume",
            Severity.WARN,
            f"The lungs measure {total_ml:.0f} ml, where adults have {LUNG_ML_LEAST:.0f} to "
            f"{LUNG_ML_MOST:.0f}: a child, lungs missed by the mask, or a wrong spacing.",
            "Look at the mask, check the spacing.",
        )
    sided = {"right": int(counts[Lung.RIGHT]), "left": int(counts[Lung.LEFT])}
    small, large = sorted(sided, key=lambda side: sided[side])
    if not counts[Lung.UNSIDED] and sided[small] < SIDE_RATIO_LEAST * sided[large]:
        yield Remark(
            "one-lung",
            Severity.WARN,
            f"The {small} lung is {100.0 * sided[small] / sided[large]:.0f} % of the {large} one: removed, "
            "collapsed, full of fluid, or missed by the mask.",
            f"Look at the {small} side before using figures per side.",
        )


def _air_content(volume: Volume, lungs: Lungs) -> Iterator[Remark]:
    """How far the lungs were filled with air, which moves every band."""
    if volume.intensity is not Intensity.HU:
        return
    parenchyma_hu = parenchyma_level_hu(volume.voxels[lungs.mask > 0])
    mean_hu = float(volume.voxels[lungs.mask > 0].mean())
    if mean_hu > DENSE_HU:
        yield Remark(
            "dense-lungs",
            Severity.WARN,
            f"The lungs have {mean_hu:.0f} HU on average, less than half air: severe disease, or a mask that "
            "took in more than lung.",
            "Look at the mask.",
        )
    elif parenchyma_hu > EXPIRED_HU:
        yield Remark(
            "breathed-out",
            Severity.WARN,
            f"Most of the lung lies near {parenchyma_hu:.0f} HU (at full breath about -850): the patient "
            "breathed out, or all of the lung is hazy. Ground-glass figures are overestimated if it is "
            "breath.",
            "Compare with a scan at full breath.",
        )


def parenchyma_level_hu(lung_hu: np.ndarray) -> float:
    """The most common density of a lung, HU: the peak of its histogram, smoothed over 50 HU."""
    histogram = np.bincount(np.clip(lung_hu, -1050, 199) + 1050, minlength=1250).astype(float)
    return float(np.argmax(np.convolve(histogram, np.ones(51), mode="same"))) - 1050.0
