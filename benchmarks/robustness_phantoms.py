"""Write phantom scans of a hospital that the shipped classifiers never saw, to ask through other windows.

    python benchmarks/robustness_phantoms.py --out PHANTOMS
    glasslung robustness diagnosis-hu PHANTOMS --part all --out OUT

Coarse scans (40 x 96 x 96 voxels of about 8 x 4 x 4 mm), so that 216 windows of each cost a minute of one
core. Half have the COVID-like disease; seeds lie apart from those of the training's phantoms.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from glasslung.data.cohort import Cohort, write_cohort
from glasslung.data.formats import write_mask, write_volume
from glasslung.data.phantom import draw_patient, render
from glasslung.types import Case, Intensity

SHAPE = (40, 96, 96)
FIRST_SEED = 2_000_000  # cohorts draw theirs below a million
SITE = "c"
DISEASES = ("covid", "bacterial", "covid", "healthy", "covid", "bacterial")  # in turn
DAYS = {"covid": (4.0, 16.0), "bacterial": (2.0, 9.0), "healthy": (2.0, 9.0)}


def main() -> None:
    """Draw, render, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=24)
    asked = parser.parse_args()
    rng, cases = np.random.default_rng(0), []
    for n in range(asked.patients):
        disease = DISEASES[n % len(DISEASES)]
        chest = render(draw_patient(FIRST_SEED + n, disease, SITE), rng.uniform(*DAYS[disease]), shape=SHAPE)
        folder = asked.out / f"p{n:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(chest.volume, folder / "image.nii.gz")
        write_mask(chest.lungs, chest.volume, folder / "lungs.nii.gz")
        write_mask(chest.lesions, chest.volume, folder / "lesions.nii.gz")
        cases.append(
            Case(
                f"p{n:02d}",
                "scan",
                Path(folder.name, "image.nii.gz"),
                Intensity.HU,
                site=SITE,
                label=disease,
                lungs=Path(folder.name, "lungs.nii.gz"),
                lesions=Path(folder.name, "lesions.nii.gz"),
            )
        )
    note = "Phantoms of a hospital never trained on; made by benchmarks/robustness_phantoms.py."
    print(write_cohort(Cohort("phantoms, hospital c", asked.out, tuple(cases), note), asked.out))


if __name__ == "__main__":
    main()
