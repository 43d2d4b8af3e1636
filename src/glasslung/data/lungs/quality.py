"""Whether a lung mask can be trusted: what a reader would check at a glance, with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.lungs.morphology import Spacing
from glasslung.types import Lung, MaskQuality

TRUST = 0.5  # a mask below this confidence is not trusted
ADULT_ML = (1200.0, 9500.0)  # both lungs, expiration of a small person to inspiration of a tall one
SMALLER_SHARE = 0.30  # of both lungs; the smaller lung usually holds 0.43 to 0.48
FEW_SLICES = 8
FEW_COST, A_SAMPLE = 0.7, "a sample of the lungs, not their volume"
SHORT_MM = 90.0  # a scan that shows less of the lungs than this along the body is a sample, not a chest
CUT_SHARE = 0.12  # of the largest section: lung that large on the first or last slice goes on beyond it
BORDER_SHARE = 0.02  # of the slices' outline: lung lying on the picture's border
JAGGED_SHARE = 0.25  # of neighbouring sections overlap so little that the mask must have jumped
NEIGHBOUR_MM = 6.0  # only slices at most this far apart are expected to look alike
INFERRED_PERCENT = (3.0, 12.0, 30.0)  # said, doubted, not trusted
HAZY_SHARE = 0.065  # in the gap of twenty real stacks: two have .089 and .168, the others at most .044
LEFT_OUT_PERCENT = (2.5, 4.5)  # doubted, not trusted


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the verdict is drawn from.

    mask            (z, y, x) uint8 upright, labels of `Lung`
    spacing_mm      of its voxels
    measured        whether that spacing was read from the file
    hounsfield      whether grey values are HU
    inferred        share of the lungs that was inferred from position, 0 to 1
    unexplained     dense tissue left out where the other lung says lung should be, over lung volume
    hazy            grey between lung and soft tissue left out, over lung volume (pictures only)
    """

    mask: np.ndarray
    spacing_mm: Spacing
    measured: bool
    hounsfield: bool
    inferred: float = 0.0
    unexplained: float = 0.0
    hazy: float = 0.0

    @property
    def areas(self) -> np.ndarray:
        """Lung voxels of each slice."""
        return np.count_nonzero(self.mask, axis=(1, 2))


Doubt = tuple[float, str]  # how much confidence it costs, 0 to 1, and why


def judge(evidence: Evidence) -> MaskQuality:
    """Confidence is the product of what each doubt leaves; below one half the mask is not trusted."""
    if not evidence.mask.any():
        return MaskQuality(False, 0.0, ("no aerated lung was found",))
    doubts = [
        *_size(evidence),
        *_sides(evidence),
        *_coverage(evidence),
        *_outline(evidence),
        *_inference(evidence),
        *_input(evidence),
    ]
    confidence = float(np.prod([1.0 - cost for cost, _ in doubts])) if doubts else 1.0
    return MaskQuality(confidence >= TRUST, round(confidence, 3), tuple(why for _, why in doubts))


def of_single_slice(quality: MaskQuality) -> MaskQuality:
    """The verdict on a slice that is not taken for a scan: that it is one alone is no doubt."""
    reasons = tuple(why for why in quality.reasons if not why.endswith(A_SAMPLE))
    if len(reasons) == len(quality.reasons):
        return quality
    confidence = round(quality.confidence / (1.0 - FEW_COST), 3)
    return MaskQuality(confidence >= TRUST, confidence, reasons)


def _size(e: Evidence) -> list[Doubt]:
    if not e.measured:
        return []
    ml = float(e.areas.sum() * np.prod(e.spacing_mm) / 1000.0)
    if ml < ADULT_ML[0]:
        return [(0.6, f"both lungs together hold only {ml:.0f} ml, little for an adult's whole chest")]
    if ml > ADULT_ML[1]:
        return [(0.6, f"both lungs together hold {ml:.0f} ml, more than lungs do: other air may be included")]
    return []


def _sides(e: Evidence) -> list[Doubt]:
    right, left, unsided = (int(np.count_nonzero(e.mask == side)) for side in (1, 2, 3))
    if unsided:
        return [(0.0, "right and left lung cannot be told apart in this picture")]
    share = min(right, left) / (right + left)
    smaller = (Lung.RIGHT if right < left else Lung.LEFT).name.lower()
    if share == 0:
        return [(0.55, f"only one lung was found, none on the {smaller}")]
    if share < SMALLER_SHARE:
        return [(0.3 if share > 0.2 else 0.55, f"the {smaller} lung is only {share:.0%} of both lungs")]
    return []


def _coverage(e: Evidence) -> list[Doubt]:
    areas, doubts = e.areas, []
    seen = int(np.count_nonzero(areas))
    seen_mm = seen * e.spacing_mm[0]
    if len(areas) < FEW_SLICES:
        doubts.append((FEW_COST, f"the scan has only {len(areas)} slice(s): {A_SAMPLE}"))
    elif e.measured and seen_mm < SHORT_MM:
        doubts.append((0.55, f"the slices cover only {seen_mm:.0f} mm of the lungs"))
    if len(areas) >= FEW_SLICES and e.measured:
        doubts += [
            (0.3, f"the lungs are cut off at the {end} of the scan")
            for end, area in (("lower end", areas[0]), ("upper end", areas[-1]))
            if area > CUT_SHARE * areas.max()
        ]
    return doubts


def _outline(e: Evidence) -> list[Doubt]:
    doubts: list[Doubt] = []
    rim = np.zeros(e.mask.shape[1:], bool)
    rim[[0, -1], :] = rim[:, [0, -1]] = True
    on_border = np.count_nonzero(e.mask[:, rim])
    if on_border > BORDER_SHARE * rim.sum() * max(np.count_nonzero(e.areas), 1):
        doubts.append((0.3, "the lungs reach the border of the picture: part of them may be missing"))
    jumps = _jumps(e)
    if jumps > JAGGED_SHARE:
        doubts.append((0.45, f"the outline jumps between neighbouring slices in {jumps:.0%} of them"))
    return doubts


def _jumps(e: Evidence) -> float:
    """Share of neighbouring sections, of fair size, that overlap with a Dice below 0.7."""
    if e.spacing_mm[0] > NEIGHBOUR_MM or not e.measured:
        return 0.0
    areas = e.areas
    pairs = [z for z in range(len(areas) - 1) if min(areas[z], areas[z + 1]) > 0.25 * areas.max()]
    dice = [
        2.0 * np.count_nonzero((e.mask[z] > 0) & (e.mask[z + 1] > 0)) / (areas[z] + areas[z + 1])
        for z in pairs
    ]
    return float(np.mean(np.array(dice) < 0.7)) if dice else 0.0


def _inference(e: Evidence) -> list[Doubt]:
    doubts: list[Doubt] = []
    percent, left_out = 100.0 * min(e.inferred, 1.0), 100.0 * e.unexplained
    if percent >= INFERRED_PERCENT[0]:
        cost = (0.1, 0.55, 0.7)[int(np.searchsorted(INFERRED_PERCENT, percent, "right")) - 1]
        doubts.append(
            (cost, f"a dense part ({_amount(e, percent)}) was inferred from its position, not seen")
        )
    if left_out >= LEFT_OUT_PERCENT[0]:
        cost = (0.25, 0.55)[int(np.searchsorted(LEFT_OUT_PERCENT, left_out, "right")) - 1]
        amount = _amount(e, left_out)
        doubts.append((cost, f"dense tissue ({amount}) lies where the other side has lung, and was left out"))
    if e.hazy >= HAZY_SHARE:
        why = (
            f"grey between lung and soft tissue ({e.hazy:.0%} of the lungs) was left out: dense lung, perhaps"
        )
        doubts.append((0.45, why))
    return doubts


def _amount(e: Evidence, percent: float) -> str:
    """'123 ml, 4 % of the lungs', or without ml where the spacing is not known."""
    share = f"{percent:.0f} % of the lungs"
    ml = float(e.areas.sum() * np.prod(e.spacing_mm)) / 1000.0 * percent / 100.0
    return f"{ml:.0f} ml, {share}" if e.measured else share


def _input(e: Evidence) -> list[Doubt]:
    if e.hounsfield:
        return []
    return [
        (0.25, "the grey values are not Hounsfield units: the edge of the lungs is a guess from contrast")
    ]
