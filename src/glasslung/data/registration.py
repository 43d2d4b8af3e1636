"""Bring an earlier scan of a patient onto a later one, and say when that has failed.

1. both scans on one grid of 4 mm around the later scan's lungs, densities cut to what tissue and air span
2. an affine transform, begun where the lungs' centres meet
3. a B-spline with knots 50 mm apart: breath moves the bases by centimetres, the tops hardly
4. both by mutual information (Mattes) around the lungs, which does not mind that lesions change density
5. the outcome is judged by the lungs, which were not what was matched, and by whether space is folded

SimpleITK does the work. Displacements are kept on the 4 mm grid and applied to any map of the earlier scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.types import Intensity, Progress, Volume

if TYPE_CHECKING:
    import SimpleITK as sitk

GRID_MM = 4.0
BIN_MM = GRID_MM / 2  # finer voxels tell a 4 mm grid nothing, and eight times as many cost memory and time
WHOLE = 200  # a voxel that is lung throughout, as 8 bit
MARGIN_MM = 24.0  # of chest wall around the lungs: what holds the registration where lungs are dense
KNOTS_MM = 50.0
# Grey values are cut to these, and air is the first: fat, bone and contrast are of no use here.
SPAN = {Intensity.HU: (-1000.0, 200.0), Intensity.DISPLAY8: (0.0, 255.0)}
BINS = 40
SAMPLED = 0.05  # of the voxels around the lungs, drawn anew for each of the two stages
SEED = 7
AFFINE_ROUNDS, SPLINE_ROUNDS = 60, 20
LEAST_DICE = 0.90  # of the lungs afterwards; a breath apart they begin at .8 to .95
MOST_FOLDED = 0.005  # of the lungs, where neighbours changed places


@dataclass(frozen=True, eq=False)
class Registration:
    """How an earlier scan lies on a later one.

    dice_before, dice_after  of the two lung masks as the scanner placed them, and afterwards
    folded       share of the lungs in which the displacement folds space: no anatomy does
    volume_ratio the earlier lungs' volume over the later ones': breath
    reasons      why it is not to be trusted, a sentence each; () where it is
    """

    transform: Any
    dice_before: float
    dice_after: float
    folded: float
    volume_ratio: float
    reasons: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        """Whether maps brought over by it may be compared place by place."""
        return not self.reasons


def register(
    later: Volume,
    later_lungs: np.ndarray,
    earlier: Volume,
    earlier_lungs: np.ndarray,
    progress: Progress | None = None,
) -> Registration:
    """Find where each place of the later scan lay in the earlier one.

    later_lungs, earlier_lungs  (D, H, W) masks on the scans' own grids, any label above 0
    DataError for scans without measured geometry or a mask without lungs, ShapeError for masks of other
    grids.
    """
    import SimpleITK as sitk

    _check(later, later_lungs, "later")
    _check(earlier, earlier_lungs, "earlier")
    if progress:
        progress("registering: one grid", 0.0)
    inside = _binned_lungs(later_lungs, later)
    grid = _grid(inside > WHOLE // 2)
    fixed = sitk.Resample(_binned(later), grid, sitk.Transform(), sitk.sitkLinear, SPAN[later.intensity][0])
    soft = _coarse(sitk.Cast(inside, sitk.sitkFloat32))
    fixed_lungs = sitk.Resample(soft, grid, sitk.Transform(), sitk.sitkLinear, 0.0) > WHOLE / 2
    moving, moving_lungs = _binned(earlier), _binned_lungs(earlier_lungs, earlier) > WHOLE // 2
    around = sitk.BinaryDilate(fixed_lungs, [round(MARGIN_MM / 2 / GRID_MM)] * 3)
    start = _centred(fixed_lungs, moving_lungs)
    if progress:
        progress("registering: as a whole", 0.1)
    affine = _matched(fixed, moving, around, start, AFFINE_ROUNDS, spline=False)
    if progress:
        progress("registering: place by place", 0.4)
    spline = _matched(fixed, moving, around, affine, SPLINE_ROUNDS, spline=True)
    found = _judged(spline, fixed_lungs, moving_lungs)
    if progress:
        progress("registered", 1.0)
    return found


def bring(
    registration: Registration, array: np.ndarray, earlier: Volume, later: Volume, linear: bool = False
) -> np.ndarray:
    """A mask or map (D, H, W) of the earlier scan on the later scan's grid; 0 where that scan has no voxel.

    linear  True for grey values and soft maps, False for labels
    """
    import SimpleITK as sitk

    if array.shape != earlier.shape:
        raise ShapeError(f"a map of the earlier scan is {earlier.shape}, got {array.shape}")
    kind = sitk.sitkLinear if linear else sitk.sitkNearestNeighbor
    brought = sitk.Resample(_image(array, earlier), _frame(later), registration.transform, kind, 0.0)
    return np.asarray(sitk.GetArrayFromImage(brought)).astype(array.dtype, copy=False)


def matched_places(registration: Registration, places_mm: np.ndarray) -> np.ndarray:
    """Where places of the later scan, (N, 3) LPS mm, lay in the earlier one: (N, 3) LPS mm."""
    moved = [registration.transform.TransformPoint([float(x) for x in place]) for place in places_mm]
    return np.array(moved, float).reshape(-1, 3)


def _check(volume: Volume, lungs: np.ndarray, which: str) -> None:
    if not volume.has_ml:
        raise DataError(f"the {which} scan's spacing is not known: it cannot be laid on another scan")
    if lungs.shape != volume.shape:
        raise ShapeError(f"the {which} scan is {volume.shape} and its lung mask {lungs.shape}")
    if not (lungs > 0).any():
        raise DataError(f"the {which} scan's lung mask is empty: there is nothing to register by")


# ------------------------------------------------------------------------------------------------- the grid


def _frame(volume: Volume) -> sitk.Image:
    """An empty image with a scan's grid, in the order (w, h, d) of SimpleITK."""
    import SimpleITK as sitk

    d, h, w = volume.shape
    image = sitk.Image([w, h, d], sitk.sitkUInt8)
    _place(image, volume)
    return image


def _image(array: np.ndarray, volume: Volume) -> sitk.Image:
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    _place(image, volume)
    return image


def _place(image: sitk.Image, volume: Volume) -> None:
    """Origin, spacing and axes: ITK's patient space is LPS, as ours."""
    columns = volume.affine[:3, [2, 1, 0]]  # of (w, h, d)
    spacing = np.linalg.norm(columns, axis=0)
    image.SetOrigin([float(x) for x in volume.affine[:3, 3]])
    image.SetSpacing([float(x) for x in spacing])
    image.SetDirection([float(x) for x in (columns / spacing).ravel()])


def _grid(lungs: sitk.Image) -> sitk.Image:
    """An upright grid of 4 mm over the lungs' box and a margin."""
    import SimpleITK as sitk

    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(lungs)
    x, y, z, dx, dy, dz = shape.GetBoundingBox(1)
    corners = np.array(
        [
            lungs.TransformContinuousIndexToPhysicalPoint([float(a), float(b), float(c)])
            for a in (x, x + dx)
            for b in (y, y + dy)
            for c in (z, z + dz)
        ]
    )
    low, high = corners.min(0) - MARGIN_MM, corners.max(0) + MARGIN_MM
    size = np.ceil((high - low) / GRID_MM).astype(int)
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing([GRID_MM] * 3)
    grid.SetOrigin([float(v) for v in low + GRID_MM / 2])
    return grid


def _coarse(image: sitk.Image) -> sitk.Image:
    """Blurred to what a 4 mm grid can hold."""
    import SimpleITK as sitk

    return sitk.SmoothingRecursiveGaussian(image, [max(GRID_MM / 2, 1e-3)] * 3)


def _binned(volume: Volume) -> sitk.Image:
    """A scan in voxels of at most 2 mm where it has smaller ones, cut to what matters, and blurred."""
    import SimpleITK as sitk

    image = _shrunk(_image(volume.voxels, volume))
    span = SPAN[volume.intensity]
    return _coarse(sitk.Clamp(sitk.Cast(image, sitk.sitkFloat32), sitk.sitkFloat32, *span))


def _binned_lungs(lungs: np.ndarray, volume: Volume) -> sitk.Image:
    """How much of each such voxel is lung, 0 to WHOLE."""
    return _shrunk(_image((lungs > 0).astype(np.uint8) * np.uint8(WHOLE), volume))


def _shrunk(image: sitk.Image) -> sitk.Image:
    """Neighbours averaged to voxels of at most BIN_MM: a scan of 300 slices is then an eighth of its size."""
    import SimpleITK as sitk

    return sitk.BinShrink(image, [max(1, int(BIN_MM // side)) for side in image.GetSpacing()])


# ---------------------------------------------------------------------------------------------- the transform


def _centred(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    """An affine transform that lays the lungs' centres on one another, and scales by their volumes."""
    import SimpleITK as sitk

    centres, volumes = [], []
    for lungs in (fixed, moving):
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(lungs)
        centres.append(np.array(shape.GetCentroid(1)))
        volumes.append(shape.GetPhysicalSize(1))
    transform = sitk.AffineTransform(3)
    transform.SetCenter([float(x) for x in centres[0]])
    transform.SetTranslation([float(x) for x in centres[1] - centres[0]])
    transform.SetMatrix((np.eye(3) * (volumes[1] / volumes[0]) ** (1 / 3)).ravel().tolist())
    return transform


def _matched(
    fixed: sitk.Image,
    moving: sitk.Image,
    around: sitk.Image,
    start: sitk.Transform,
    rounds: int,
    spline: bool,
) -> sitk.Transform:
    """One stage: the affine transform, or a B-spline after it."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricFixedMask(around)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(SAMPLED, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    if not spline:
        method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.01, rounds)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([2])
        method.SetSmoothingSigmasPerLevel([1])
        method.SetInitialTransform(start, inPlace=False)
        return method.Execute(fixed, moving)
    size = np.array(fixed.GetSize()) * GRID_MM
    mesh = [max(2, round(float(edge) / KNOTS_MM)) for edge in size]
    bend = sitk.BSplineTransformInitializer(fixed, mesh)
    method.SetOptimizerAsLBFGSB(numberOfIterations=rounds)
    method.SetMovingInitialTransform(start)
    method.SetInitialTransform(bend, inPlace=True)
    method.Execute(fixed, moving)
    return sitk.CompositeTransform([start, bend])


def _judged(transform: sitk.Transform, fixed: sitk.Image, moving: sitk.Image) -> Registration:
    import SimpleITK as sitk

    there = np.asarray(sitk.GetArrayFromImage(fixed)) > 0
    placed, brought = (
        np.asarray(sitk.GetArrayFromImage(sitk.Resample(moving, fixed, one, sitk.sitkNearestNeighbor, 0))) > 0
        for one in (sitk.Transform(), transform)
    )
    field = sitk.TransformToDisplacementField(
        transform,
        sitk.sitkVectorFloat64,
        fixed.GetSize(),
        fixed.GetOrigin(),
        fixed.GetSpacing(),
        fixed.GetDirection(),
    )
    stretch = np.asarray(sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field)), float)
    folded = float(np.mean(stretch[there] <= 0))
    before, after = _dice(there, placed), _dice(there, brought)
    ratio = float(stretch[there].mean())
    reasons = []
    if after < LEAST_DICE:
        reasons.append(
            f"after registration the lungs overlap with Dice {after:.2f} only ({LEAST_DICE:.2f} is needed)"
        )
    if folded > MOST_FOLDED:
        reasons.append(f"registration folds space in {folded:.1%} of the lungs, which no anatomy does")
    return Registration(transform, before, after, folded, ratio, tuple(reasons))


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    both, either = (
        int(np.count_nonzero(one & other)),
        int(np.count_nonzero(one)) + int(np.count_nonzero(other)),
    )
    return 2 * both / max(either, 1)
