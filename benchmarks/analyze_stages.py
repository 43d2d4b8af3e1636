"""How long `glasslung analyze` takes on a large scan, stage by stage, beside the plain way to do each stage.

    python benchmarks/analyze_stages.py [--shape 300 512 512] [--runs 3] [--segmenter RUN]

The scan is a phantom, resampled to the shape asked for. The plain way is what a user would write at full
resolution with SimpleITK and scipy; for lesions, MONAI's sliding window over the whole scan with the same
network, every class brought back to the scan's grid before the likeliest is taken. Ours and the plain way
take turns in one process, so their ratio holds when the machine's speed drifts; the median of the runs is
printed. The whole command is then run as a process of its own, with its peak memory. The plain lungs and
opacities are cruder answers, not only slower or faster ones: lung_accuracy.py compares the answers.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from glasslung.data.formats import read_scan, write_mask, write_volume
from glasslung.data.lungs import segment_lungs
from glasslung.data.phantom import draw_patient, render
from glasslung.data.preview import make_preview
from glasslung.measure.opacity import opacities
from glasslung.measure.regions import measure_scan
from glasslung.measure.zones import regions_of
from glasslung.predict.masks import segment_scan
from glasslung.predict.opening import Segmenter, open_segmenter, shipped_for
from glasslung.types import Intensity, Lungs, MaskQuality, Volume

PAGE = os.sysconf("SC_PAGE_SIZE")


def large_scan(shape: tuple[int, int, int], path: Path) -> None:
    """A phantom on day 9, resampled to `shape`, with the phantom's own field of view."""
    small = render(draw_patient(4, severity=0.7), 9).volume
    scale = [a / b for a, b in zip(shape, small.shape, strict=True)]
    voxels = ndimage.zoom(small.voxels, scale, order=1)
    voxels += np.random.default_rng(0).normal(0, 15, voxels.shape).astype(np.int16)
    affine = small.affine @ np.diag([*(1 / s for s in scale), 1.0])
    write_volume(Volume(voxels, affine, small.intensity), path)


# --- the plain way ------------------------------------------------------------------------------------------


def plain_lungs(voxels: np.ndarray) -> np.ndarray:
    """Air that does not reach the edge of the slice, the two largest pieces, closed by a ball."""
    air = sitk.GetImageFromArray((voxels < -320).astype(np.uint8))
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(air))
    edge = np.unique(np.concatenate([parts[:, 0].ravel(), parts[:, -1].ravel(), parts[..., 0].ravel()]))
    sizes = np.bincount(parts.ravel())
    sizes[edge] = sizes[0] = 0
    inside = np.isin(parts, np.argsort(sizes)[-2:]).astype(np.uint8)
    closed = sitk.BinaryMorphologicalClosing(sitk.GetImageFromArray(inside), (7, 7, 3))
    return sitk.GetArrayFromImage(closed)


def plain_opacities(voxels: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Smoothed, cut at -700 and -300 HU, opened, small pieces dropped."""
    smooth = ndimage.gaussian_filter(voxels.astype(np.float32), 1.5)
    dense = ndimage.binary_opening((smooth > -700) & (lungs > 0), iterations=2)
    parts, _ = ndimage.label(dense)
    kept = (np.bincount(parts.ravel()) > 500)[parts] & dense
    return np.where(kept, np.where(smooth > -300, 2, 1), 0).astype(np.uint8)


def plain_measures(volume: Volume, labels: np.ndarray, regions: int) -> list[float]:
    """Each band of each region by a mask over the whole scan."""
    cuts = [-2000, -950, -700, -300, 200, 4000]
    return [
        float(((labels == n) & (volume.voxels > low) & (volume.voxels <= high)).sum()) * volume.voxel_ml
        for n in range(1, regions + 1)
        for low, high in itertools.pairwise(cuts)
    ]


def plain_lesions(volume: Volume, segmenter: Segmenter) -> np.ndarray:
    """MONAI's sliding window, slice by slice over the whole scan, at the network's spacing."""
    import torch
    from monai.inferers import sliding_window_inference

    scale = [mm / wanted for mm, wanted in zip(volume.spacing_mm, segmenter.spacing_mm, strict=True)]
    low, high = segmenter.window_hu
    grey = ndimage.zoom(volume.voxels.astype(np.float32), scale, order=1)
    slices = torch.from_numpy(np.clip((grey - low) / (high - low), 0, 1))[:, None]
    with torch.no_grad():
        maps = torch.cat(
            [
                sliding_window_inference(part, (192, 192), 8, lambda some: segmenter.ask(some).kinds, 0.25)
                for part in slices.split(1)
            ]
        ).numpy()
    back = [a / b for a, b in zip(volume.shape, grey.shape, strict=True)]
    whole = np.stack([ndimage.zoom(each, back, order=1) for each in maps.swapaxes(0, 1)])
    return whole.argmax(0).astype(np.uint8)


# --- timing -------------------------------------------------------------------------------------------------


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time, and how many MB memory rose above where it stood."""
    start = peak = _resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.01):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    done.set()
    watcher.join()
    return seconds, max(peak, _resident()) / 1e6 - start / 1e6


def _resident() -> float:
    return float(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def stages(
    scan: Path, folder: Path, segmenter: Segmenter | None
) -> list[tuple[str, Callable[[], object], Callable[[], object] | None]]:
    """Name, ours, plain (None where there is no plain counterpart)."""
    volume = read_scan(scan)
    lungs = segment_lungs(volume)
    dense = opacities(volume, lungs)
    regions = regions_of(volume, lungs)
    plain = Lungs(plain_lungs(volume.voxels), MaskQuality(True, 1.0))
    image = sitk.GetImageFromArray(lungs.mask)
    network: list[tuple[str, Callable[[], object], Callable[[], object] | None]] = []
    if segmenter is not None:
        network = [
            (
                "lesions",
                lambda: segment_scan(volume, segmenter, lungs),
                lambda: plain_lesions(volume, segmenter),
            )
        ]
    return [
        ("reading", lambda: read_scan(scan), lambda: sitk.GetArrayFromImage(sitk.ReadImage(str(scan)))),
        ("lungs", lambda: segment_lungs(volume), lambda: plain_lungs(volume.voxels)),
        *network,
        (
            "opacities",
            lambda: opacities(volume, lungs),
            lambda: plain_opacities(volume.voxels, plain.mask),
        ),
        (
            "measures",
            lambda: measure_scan(volume, lungs, dense),
            lambda: plain_measures(volume, regions.labels, len(regions.members)),
        ),
        ("preview", lambda: make_preview(volume, lungs, dense), None),
        (
            "writing a mask",
            lambda: write_mask(lungs.mask, volume, folder / "ours.nii.gz"),
            lambda: sitk.WriteImage(image, str(folder / "plain.nii.gz"), True),
        ),
    ]


def whole_command(scan: Path, folder: Path, which: str) -> tuple[float, float]:
    """Seconds and peak GB of `glasslung analyze` as a process of its own."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "glasslung", "analyze", str(scan), "--out", str(folder / "out")]
    command += ["--segmenter", which] if which else []
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512))
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--segmenter", default="", help="a run, a shipped name or none; else what ships")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = folder / "scan.nii.gz"
        large_scan(tuple(given.shape), scan)
        seconds, gigabytes = whole_command(scan, folder, given.segmenter)
        name_of = given.segmenter or shipped_for(Intensity.HU) or "none"
        segmenter = None if name_of == "none" else open_segmenter(name_of)
        print(f"{' x '.join(map(str, given.shape))} voxels, {os.cpu_count()} cores, {given.runs} runs\n")
        print("| stage | ours, s | plain, s | ours / plain | ours, MB | plain, MB |")
        print("|---|---|---|---|---|---|")
        for stage, ours, plain in stages(scan, folder, segmenter):
            pairs = [(timed(ours), timed(plain) if plain else None) for _ in range(given.runs)]
            mine = [statistics.median(pair[0][n] for pair in pairs) for n in (0, 1)]
            row = f"| {stage} | {mine[0]:.2f} |"
            if plain:
                theirs = [statistics.median(pair[1][n] for pair in pairs if pair[1]) for n in (0, 1)]
                row += f" {theirs[0]:.2f} | {mine[0] / theirs[0]:.2f} | {mine[1]:.0f} | {theirs[1]:.0f} |"
            else:
                row += f" - | - | {mine[1]:.0f} | - |"
            print(row, flush=True)
        print(
            f"\nglasslung analyze, whole process: {seconds:.1f} s, peak {gigabytes:.2f} GB (bars: 60 s, 4 GB)"
        )


if __name__ == "__main__":
    main()
