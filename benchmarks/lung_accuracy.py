"""How well the lungs are found without weights: Dice case by case, one setting for all, as markdown tables.

    python benchmarks/lung_accuracy.py --data ../shared/data [--only real painted phantom]

Three tables: real scans with given masks; the same scans with dense consolidation painted into the given
mask (45 HU and noise, vessels and some air bronchograms left: known truth on real anatomy); phantoms of
four made-up scanners, healthy and with dense pneumonia. The last line of each table says how often the
verdict was right: trusted where Dice is .93 or more, not trusted below.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from glasslung.data.formats import read_mask, read_scan
from glasslung.data.lungs import segment_lungs
from glasslung.data.orientation import from_upright, orientation_of, to_upright, upright_spacing_mm
from glasslung.data.phantom import draw_patient, render
from glasslung.types import Lesion, Lung, Volume

GOOD_DICE = 0.93  # below this a lung volume is off by enough to mislead
REAL = (
    ("lung1-001", "lung1-001_ct.nii.gz", "lung1-001_mask.nii.gz"),
    ("cip_ct-64", "cip_ct-64.nrrd", "cip_wholeLung-64.nrrd"),
)
TUMOUR = 3  # label of the gross tumour in lung1-001's mask
PHANTOMS = (
    *((seed, "bacterial", site, 4.0) for seed, site in zip(range(7, 11), "abcd", strict=True)),
    *((seed, "covid", site, 10.0) for seed, site in zip(range(11, 15), "abcd", strict=True)),
    *((seed, "healthy", site, 0.0) for seed, site in zip(range(15, 19), "abcd", strict=True)),
)


@dataclass(frozen=True, eq=False)
class Trial:
    """One scan with its truth: dense is the part of the lungs that no threshold can find."""

    name: str
    scan: Volume
    truth: np.ndarray
    dense: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds chest_ct_hu")
    kinds = ("real", "painted", "phantom")
    parser.add_argument("--only", nargs="+", choices=kinds, default=kinds)
    asked = parser.parse_args()
    folder = asked.data / "chest_ct_hu"
    tables = {"real": lambda: real(folder), "painted": lambda: painted(folder), "phantom": phantoms}
    for kind in asked.only:
        print_table(kind, tables[kind]())


def real(folder: Path) -> Iterator[Trial]:
    """The scans that come with masks; dense is the tumour."""
    for name, scan_file, mask_file in REAL:
        scan = read_scan(folder / scan_file)
        mask = read_mask(folder / mask_file, scan)
        yield Trial(name, scan, mask > 0, mask == TUMOUR)


def painted(folder: Path) -> Iterator[Trial]:
    """Each real scan with one dense region at a time painted into one lung."""
    for trial in real(folder):
        o = orientation_of(trial.scan)
        spacing = upright_spacing_mm(trial.scan, o)
        sides = split_sides(
            to_upright(trial.truth, o), to_upright(segment_lungs(trial.scan).mask, o), spacing
        )
        tumour_side = set(np.unique(sides[to_upright(trial.dense, o)])) - {0}
        for side in {1, 2} - tumour_side:
            for name, region in regions(sides == side, Lung(side), spacing).items():
                sick = paint(to_upright(trial.scan.voxels, o), region, spacing, np.random.default_rng(0))
                voxels = np.ascontiguousarray(from_upright(sick, o))
                label = f"{trial.name}, {Lung(side).name.lower()}: {name}"
                yield Trial(label, replace(trial.scan, voxels=voxels), trial.truth, from_upright(region, o))


def phantoms() -> Iterator[Trial]:
    """Severe phantom patients at the height of their disease, and healthy ones; dense is consolidation."""
    for seed, disease, site, day in PHANTOMS:
        severity = None if disease == "healthy" else 0.9
        chest = render(draw_patient(seed, disease=disease, site=site, severity=severity), day=day)
        dense = chest.lesions == Lesion.CONSOLIDATION
        yield Trial(f"{disease} {seed}, site {site}", chest.volume, chest.lungs > 0, dense)


def print_table(kind: str, trials: Iterator[Trial]) -> None:
    print(f"\n### {kind}\n")
    print("| case | Dice | dense ml | of it found | too much ml | missed ml | verdict | CPU s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    right = 0
    scores = []
    for trial in trials:
        score, trusted, line = measure(trial)
        scores.append(score)
        right += trusted == (score >= GOOD_DICE)
        print(line, flush=True)
    print(
        f"\nMean Dice {np.mean(scores):.3f}, least {min(scores):.3f}; "
        f"verdict right in {right} of {len(scores)}."
    )


def measure(trial: Trial) -> tuple[float, bool, str]:
    started = time.process_time()
    lungs = segment_lungs(trial.scan)
    seconds = time.process_time() - started
    found, ml = lungs.mask > 0, trial.scan.voxel_ml
    score = dice(found, trial.truth)
    dense = np.count_nonzero(trial.dense)
    share = f"{np.count_nonzero(found & trial.dense) / dense:.2f}" if dense else "-"
    extra, missed = (np.count_nonzero(m) * ml for m in (found & ~trial.truth, ~found & trial.truth))
    verdict = f"{'trusted' if lungs.quality.trusted else 'doubted'} {lungs.quality.confidence:.2f}"
    line = f"| {trial.name} | {score:.4f} | {dense * ml:.0f} | {share} | {extra:.0f} | {missed:.0f} |"
    return score, lungs.quality.trusted, f"{line} {verdict} | {seconds:.1f} |"


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2.0 * np.count_nonzero(a & b) / max(int(np.count_nonzero(a) + np.count_nonzero(b)), 1)


def split_sides(truth: np.ndarray, found: np.ndarray, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """The true lungs with the side of the nearest voxel that was found."""
    nearest = ndimage.distance_transform_edt(
        found == 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    return np.where(truth, found[tuple(nearest)], 0)


def regions(lung: np.ndarray, side: Lung, spacing_mm: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Dense regions to paint, upright: balls on the wall and at the hilum, a wedge, a band, lobes."""
    z, y, x = np.meshgrid(
        *(np.arange(n, dtype=np.float32) * s for n, s in zip(lung.shape, spacing_mm, strict=True)),
        indexing="ij",
        sparse=True,
    )
    low, high = np.flatnonzero(lung.any(axis=(1, 2)))[[0, -1]] * spacing_mm[0]
    front, back = np.flatnonzero(lung.any(axis=(0, 2)))[[0, -1]] * spacing_mm[1]
    height, depth = high - low, back - front
    at_z, at_y = low + 0.5 * height, front + 0.5 * depth
    row = lung[int(at_z / spacing_mm[0]), int(at_y / spacing_mm[1])]
    wall, hilum = np.flatnonzero(row)[[0, -1] if side is Lung.RIGHT else [-1, 0]] * spacing_mm[2]
    in_plane = (z - at_z) ** 2 + (y - at_y) ** 2
    fissure = (z - (low + 0.1 * height)) / (0.7 * height) < (y - front) / depth
    behind = y > front + 0.68 * depth
    return {
        "ball of 30 mm on the wall": lung & (in_plane + (x - wall) ** 2 < 30.0**2),
        "ball of 25 mm at the hilum": lung & (in_plane + (x - hilum) ** 2 < 25.0**2),
        "posterior basal wedge": lung & behind & (z < low + 0.35 * height),
        "apical third": lung & (z > low + 0.72 * height),
        "lower lobe": lung & fissure,
    }


def paint(
    hu: np.ndarray, region: np.ndarray, spacing_mm: tuple[float, ...], rng: np.random.Generator
) -> np.ndarray:
    """Consolidates a region: 45 HU with fine and coarse noise; vessels and thin bronchi stay."""
    coarse_noise, tubes_a, tubes_b = (
        unit_noise(hu.shape, mm / np.array(spacing_mm), rng) for mm in (3.0, 4.0, 5.0)
    )
    dense = 45.0 + 10.0 * coarse_noise + 15.0 * rng.standard_normal(hu.shape)
    bronchi = (np.abs(tubes_a) < 0.07) & (np.abs(tubes_b) < 0.12)
    dense = np.where(bronchi, -700.0, np.maximum(dense, np.where(hu > 0, hu, -1000)))
    return np.where(region, dense, hu).clip(-1024, 3000).astype(np.int16)


def unit_noise(shape: tuple[int, ...], sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma)
    return np.asarray(noise / noise.std())


if __name__ == "__main__":
    main()
