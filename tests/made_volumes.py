"""A small cohort of scans with masks: a chest of air, tissue and patches, written as NIfTI, NRRD or MHA."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasslung.data.formats import read_scan, write_mask, write_volume
from glasslung.types import Intensity, Volume

SHAPE = (20, 40, 44)
SPACING = (6.0, 5.0, 5.0)
HU = {"outside": 20, "lung": -850, "ground glass": -550, "consolidation": -150, "crazy paving": -450}


def chest(seed: int, ill: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU, lungs (1 right, 2 left) and lesions of one made patient, (D, H, W), feet first."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE) - np.array(SHAPE)[:, None, None, None] / 2
    lungs = np.zeros(SHAPE, np.uint8)
    for label, middle in ((1, -9), (2, 9)):
        lungs[(z / 8) ** 2 + (y / 13) ** 2 + ((x - middle) / 7) ** 2 < 1] = label
    lesions = np.zeros(SHAPE, np.uint8)
    if ill:
        for kind, middle in ((1, -11), (2, 11), (3, 7)):
            at = np.array([rng.integers(-3, 3), rng.integers(-6, 6), middle])
            lesions[((np.stack([2 * z, y, x]) - at[:, None, None, None]) ** 2).sum(0) < 12] = kind
        lesions[lungs == 0] = 0
    hu = np.where(lungs > 0, HU["lung"], HU["outside"])
    for kind, name in enumerate(("ground glass", "consolidation", "crazy paving"), start=1):
        hu[lesions == kind] = HU[name]
    body = (y / 18) ** 2 + (x / 20) ** 2 < 1
    hu = np.where(body, hu, -1000) + rng.normal(0, 15, SHAPE)
    return hu.clip(-1000).astype(np.int16), lungs, lesions


def volume_of(voxels: np.ndarray) -> Volume:
    """Voxels as a scan, display8 where they are uint8; slices run from the feet to the head."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *SPACING, 1.0
    eight = voxels.dtype == np.uint8
    return Volume(voxels, affine, Intensity.DISPLAY8 if eight else Intensity.HU)


def eight_bit(hu: np.ndarray) -> np.ndarray:
    """HU through a lung window, as uint8."""
    return np.clip((hu.astype(np.float32) + 1350) / 1500 * 255, 0, 255).astype(np.uint8)


def write_cohort(
    folder: Path,
    count: int = 3,
    ending: str = ".nii.gz",
    intensity: str = "hu",
    columns: tuple[str, ...] = ("lungs", "lesions"),
    split: tuple[str, ...] = (),
) -> Path:
    """cohort.csv with `count` scans, the last of somebody healthy, and the masks of these columns."""
    rows = [f"patient,scan,image,intensity,label,split,{','.join(columns)}"]
    for n in range(count):
        ill = n < count - 1 or count == 1
        write_scan(folder, n, ending, intensity, ill)
        masks = ",".join(f"s{n}/{column}{ending}" for column in columns)
        part = split[n] if split else ""
        rows.append(
            f"p{n},s{n},s{n}/image{ending},{intensity},{'covid' if ill else 'healthy'},{part},{masks}"
        )
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    return folder


def write_scan(
    folder: Path, n: int, ending: str = ".nii.gz", intensity: str = "hu", ill: bool = True
) -> None:
    """One scan and its masks."""
    hu, lungs, lesions = chest(n, ill)
    volume = volume_of(hu if intensity == "hu" else eight_bit(hu))
    (folder / f"s{n}").mkdir(parents=True, exist_ok=True)
    write_volume(volume, folder / f"s{n}" / f"image{ending}")
    write_mask(lungs, volume, folder / f"s{n}" / f"lungs{ending}")
    write_mask(lesions, volume, folder / f"s{n}" / f"lesions{ending}")


def write_pictures(folder: Path) -> Path:
    """cohort.csv with one stack of pictures, and its masks as pictures."""
    hu, lungs, lesions = chest(0)
    write_volume(volume_of(eight_bit(hu)), folder / "stack")
    stack = read_scan(folder / "stack")
    write_mask(lungs, stack, folder / "lungs")
    write_mask(lesions, stack, folder / "lesions")
    row = "p,s,stack,display8,lungs,lesions"
    (folder / "cohort.csv").write_text(f"patient,scan,image,intensity,lungs,lesions\n{row}\n")
    return folder
