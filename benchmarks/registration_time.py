"""How long it takes to lay one scan on another, beside what a user would write with SimpleITK.

    python benchmarks/registration_time.py [--slices 300] [--plain-seconds 240]

Two scans of one phantom, 512 x 512 x 300 voxels of 0.7 x 0.7 x 1.0 mm: the later one as drawn, the earlier
one breathed out by a known smooth displacement (12 mm at the base) and shifted by 6 mm. Told are wall and
process time, the most memory a process of its own took, and how far known places of the lungs are off.

plain: full resolution, an affine transform and a B-spline (default 50 mm mesh), Mattes information of 1 % of
the voxels, gradient descent and LBFGSB with up to 100 iterations, as the library's examples do. It is stopped
after `--plain-seconds` and then counts as at least that long.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SPACING = (1.0, 0.7, 0.7)
BREATH_MM, SHIFT_MM = 12.0, (0.0, 4.0, -4.5)
PLACES = 500


def scans(slices: int) -> dict[str, Any]:
    """Both scans with their lungs, and the true places of some lung points in the earlier one."""
    from scipy import ndimage

    from glasslung.data.phantom import draw_patient, render
    from glasslung.types import Volume

    small = render(draw_patient(7, severity=0.6), 9, shape=(100, 192, 192))
    shape = (slices, 512, 512)
    zoom = [big / had for big, had in zip(shape, small.volume.shape, strict=True)]
    later = np.clip(ndimage.zoom(small.volume.voxels.astype(np.float32), zoom, order=1), -1024, 3000)
    lungs = ndimage.zoom((small.lungs > 0).astype(np.uint8), zoom, order=0)
    rng = np.random.default_rng(0)
    later = (later + 15 * rng.standard_normal(shape, dtype=np.float32)).astype(np.int16)
    z = np.arange(slices, dtype=np.float32)
    down = BREATH_MM * (1 - z / slices) / SPACING[0]  # the base moves, the top hardly
    shift = [mm / side for mm, side in zip(SHIFT_MM, SPACING, strict=True)]
    earlier, theirs = np.empty_like(later), np.empty_like(lungs)
    for n in range(slices):
        at = float(n - down[n])
        low, part = int(np.clip(np.floor(at), 0, slices - 1)), at - np.floor(at)
        high = min(low + 1, slices - 1)
        plane = (1 - part) * later[low] + part * later[high]
        earlier[n] = ndimage.shift(plane, shift[1:], order=1, cval=-1000)
        theirs[n] = ndimage.shift(lungs[low if part < 0.5 else high], shift[1:], order=0)
    affine = np.diag([*SPACING[::-1], 1.0])[:, [2, 1, 0, 3]]
    inside = np.argwhere(lungs)[rng.choice(int(lungs.sum()), PLACES, replace=False)]
    true = inside.astype(float)
    for _ in range(20):  # where a slice of the later scan lies in the earlier one: n - down(n) = its number
        true[:, 0] = inside[:, 0] + np.interp(true[:, 0], z, down)
    true[:, 1:] += shift[1:]
    made = {"later": later, "earlier": earlier, "lungs": lungs, "theirs": theirs}
    places = {"inside": inside * SPACING, "true": true * SPACING}
    volumes = {name: Volume(made[name], affine, intensity()) for name in ("later", "earlier")}
    return volumes | {"lungs": lungs, "theirs": theirs} | places


def intensity() -> Any:
    from glasslung.types import Intensity

    return Intensity.HU


def ours(made: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    from glasslung.data.registration import bring, matched_places, register

    found = register(made["later"], made["lungs"], made["earlier"], made["theirs"])
    assert found.trusted, found.reasons
    bring(found, made["theirs"], made["earlier"], made["later"])
    return lambda xyz: matched_places(found, xyz)


def plain(made: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    import SimpleITK as sitk

    images = []
    for name in ("later", "earlier"):
        image = sitk.GetImageFromArray(made[name].voxels.astype(np.float32))
        image.SetSpacing([float(side) for side in SPACING[::-1]])
        images.append(image)
    fixed, moving = images
    kind = sitk.CenteredTransformInitializerFilter.GEOMETRY
    start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), kind)
    method = _method(sitk)
    method.SetOptimizerAsGradientDescent(1.0, 100, 1e-6, 10)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(start, inPlace=False)
    affine = method.Execute(fixed, moving)
    mesh = [round(size * side / 50) for size, side in zip(fixed.GetSize(), fixed.GetSpacing(), strict=True)]
    bend = sitk.BSplineTransformInitializer(fixed, mesh)
    method = _method(sitk)
    method.SetOptimizerAsLBFGSB(numberOfIterations=100)
    method.SetMovingInitialTransform(affine)
    method.SetInitialTransform(bend, inPlace=True)
    method.Execute(fixed, moving)
    whole = sitk.CompositeTransform([affine, bend])
    sitk.Resample(sitk.GetImageFromArray(made["theirs"]), fixed, whole, sitk.sitkNearestNeighbor)
    return lambda xyz: np.array([whole.TransformPoint([float(v) for v in place]) for place in xyz])


def _method(sitk: Any) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.01, 1)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def timed(way: str, made: dict[str, Any], answers: Any) -> None:
    """In a process of its own: time, memory, and the error in mm at known places."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, process = time.monotonic(), time.process_time()
    places = {"ours": ours, "plain": plain}[way](made)
    told = {"wall_s": time.monotonic() - wall, "process_s": time.process_time() - process}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    moved = places(made["inside"][:, ::-1])[:, ::-1]
    off = np.linalg.norm(moved - made["true"], axis=1)
    told |= {"peak_mb": peak / 1024, "over_start_mb": (peak - before) / 1024}
    told |= {"error_mm": float(np.median(off)), "error_95_mm": float(np.quantile(off, 0.95))}
    answers.put(told)


def measured(way: str, made: dict[str, Any], seconds: float) -> dict[str, float]:
    context = mp.get_context("fork")
    answers = context.Queue()
    worker = context.Process(target=timed, args=(way, made, answers))
    begun = time.monotonic()
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        worker.kill()
        worker.join()
        return {"wall_s": time.monotonic() - begun, "stopped": 1.0}
    return dict(answers.get(timeout=5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--plain-seconds", type=float, default=240.0)
    asked = parser.parse_args()
    made = scans(asked.slices)
    still = np.linalg.norm(made["inside"] - made["true"], axis=1)
    print(f"before: known places {np.median(still):.1f} mm off, 95 % below {np.quantile(still, 0.95):.1f}")
    found = {
        way: measured(way, made, limit) for way, limit in (("ours", 900.0), ("plain", asked.plain_seconds))
    }
    print(json.dumps(found, indent=1))
    more = "at least " if "stopped" in found["plain"] else ""
    print(f"plain / ours: {more}{found['plain']['wall_s'] / found['ours']['wall_s']:.1f} times as long")


if __name__ == "__main__":
    main()
