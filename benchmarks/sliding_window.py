"""`predict` beside MONAI's plain sliding window on the same network and scan: time and peak memory as ratios.

    python benchmarks/sliding_window.py [--shape 300 512 512] [--threads 1] [--weights model.safetensors]

The scan is a phantom resampled to the shape asked for, the network the package's 3D U-Net for lungs and
lesions (random weights do as well: the time does not depend on them), both in 16 bit. The plain way is what a
user of MONAI would write: the whole scan to the network's spacing, `sliding_window_inference` over all of it,
probabilities back to the scan's grid by linear interpolation, argmax. Ours is given a rough lung mask and
looks at the box around it; finding that mask is not counted, `analyze` has it anyway. Each way runs in a
process of its own, for its peak memory; what imports and the scan take is in every figure.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WAYS = ("ours", "ours, smooth edges", "ours, lesions in known lungs", "monai")
SPACING = (2.0, 2.0, 2.0)
WINDOW = (96, 128, 128)
OVERLAP = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--run", choices=WAYS, help="one way only, in this process")
    parser.add_argument("--scan", type=Path, help="with --run: the folder that holds the scan")
    asked = parser.parse_args()
    if asked.run:
        print(json.dumps(run(asked.run, asked.scan, asked.threads, asked.weights)))
        return
    with tempfile.TemporaryDirectory() as name:
        make_scan(tuple(asked.shape), Path(name))
        found = {way: in_a_process(way, Path(name), asked) for way in WAYS}
    print_table(tuple(asked.shape), found)


def make_scan(shape: tuple[int, int, int], folder: Path) -> None:
    """A severe phantom with its lungs, enlarged to `shape`."""
    from scipy import ndimage

    from glasslung.data.phantom import draw_patient, render

    chest = render(draw_patient(4, severity=0.7), 9)
    scale = [a / b for a, b in zip(shape, chest.volume.shape, strict=True)]
    np.save(folder / "voxels.npy", ndimage.zoom(chest.volume.voxels, scale, order=1))
    np.save(folder / "lungs.npy", ndimage.zoom((chest.lungs > 0).astype(np.uint8), scale, order=0))
    np.save(folder / "affine.npy", chest.volume.affine @ np.diag([*(1 / s for s in scale), 1.0]))


def in_a_process(way: str, folder: Path, asked: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--run", way, "--scan", str(folder), "--threads", str(asked.threads)]
    if asked.weights:
        command += ["--weights", str(asked.weights)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(way: str, folder: Path, threads: int, weights: Path | None) -> dict[str, float]:
    """Seconds (wall and processor) and peak MB of one way; lesions in ml, so that answers can be compared."""
    import torch

    from glasslung.data.volumebatches import CLASSES
    from glasslung.models import unet3d
    from glasslung.predict import Network
    from glasslung.types import Intensity, Volume

    torch.set_num_threads(threads)
    config = unet3d.Config(tree="lungs and lesions", fold=2, width=32, norm="batch")
    model = unet3d.UNet3D(config, torch.Generator().manual_seed(0))
    if weights:
        from safetensors.torch import load_file

        model.load_state_dict(load_file(weights))
    model = model.to(memory_format=torch.channels_last_3d).eval()
    network = Network(model, CLASSES, Intensity.HU, SPACING, multiple=config.multiple)
    voxels, affine = np.load(folder / "voxels.npy"), np.load(folder / "affine.npy")
    volume, lungs = Volume(voxels, affine, Intensity.HU), np.load(folder / "lungs.npy")
    before, wall, cpu = _peak_mb(), time.perf_counter(), time.process_time()
    labels, windows = plain(network, volume) if way == "monai" else ours(network, volume, lungs, way)
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": _peak_mb(),
        "above": _peak_mb() - before,
        "windows": windows,
        "lesion_ml": float(np.count_nonzero(labels > 1) * volume.voxel_ml),
    }


def ours(network, volume, lungs: np.ndarray, way: str) -> tuple[np.ndarray, int]:  # type: ignore[no-untyped-def]
    from glasslung.predict import Settings, predict

    edges = "linear" if "smooth" in way else "nearest"
    settings = Settings(window=WINDOW, overlap=OVERLAP, edges=edges)
    region = lungs if "known" in way else None
    found = predict(network, volume, region, within=lungs, settings=settings)
    return found.labels, found.windows


def plain(network, volume) -> tuple[np.ndarray, int]:  # type: ignore[no-untyped-def]
    """The whole scan, every window, every class, brought back before argmax."""
    import torch
    from monai.inferers import sliding_window_inference
    from torch.nn import functional as F

    low, high = network.window_hu
    image = torch.from_numpy(volume.voxels).float()[None, None].sub_(low).div_(high - low).clamp_(0, 1)
    size = [
        round(n * own / new) for n, own, new in zip(volume.shape, volume.spacing_mm, SPACING, strict=True)
    ]
    small = F.interpolate(image, size, mode="trilinear", align_corners=False)
    del image
    count = 0

    def see(part: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += len(part)
        with torch.autocast("cpu", torch.bfloat16):
            answer: torch.Tensor = network.model.probabilities(
                part.contiguous(memory_format=torch.channels_last_3d)
            )
        return answer

    with torch.no_grad():
        found = sliding_window_inference(small, WINDOW, 1, see, OVERLAP, mode="gaussian")
        found = F.interpolate(found, volume.shape, mode="trilinear", align_corners=False)
        labels = found.argmax(1)[0].to(torch.uint8)
    return labels.numpy(), count


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def print_table(shape: tuple[int, ...], found: dict[str, dict[str, float]]) -> None:
    theirs = found["monai"]
    print(f"Scan of {shape[0]} x {shape[1]} x {shape[2]} voxels.\n")
    print("| way | windows | wall s | CPU s | CPU, times less | peak MB | above the scan MB | times less |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for way, got in found.items():
        print(
            f"| {way} | {got['windows']:.0f} | {got['wall']:.1f} | {got['cpu']:.1f} | "
            f"{theirs['cpu'] / got['cpu']:.1f} | {got['peak']:.0f} | {got['above']:.0f} | "
            f"{theirs['above'] / max(got['above'], 1):.1f} |"
        )


if __name__ == "__main__":
    main()
