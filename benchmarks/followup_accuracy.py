"""How much of a change of lesions is the registration's: phantoms whose true change is known.

    python benchmarks/followup_accuracy.py [--patients 3]

Each phantom is scanned on day 4 and day 10. The later scan is in full breath; the earlier one in full breath
and breathed out. Lungs and lesions are the true ones, so what is off is registration's alone. The true change
is that of the two days in the same breath, voxel by voxel, where nothing need be registered.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from glasslung.data.phantom import draw_patient, render
from glasslung.data.registration import bring, register
from glasslung.measure.followup import Tissue, follow_up

SHAPE = (48, 128, 128)
BREATHS = (0.0, 0.3)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * np.count_nonzero(one & other) / max(1, np.count_nonzero(one) + np.count_nonzero(other)))


def change_of(seed: int, breath: float) -> dict[str, float]:
    """Gained and lost ml, true and found, and the Dice of what appeared."""
    patient = draw_patient(seed, severity=0.6)
    later, same = (render(patient, day, shape=SHAPE) for day in (10.0, 4.0))
    earlier = same if breath == 0 else render(patient, 4.0, shape=SHAPE, breath=breath)
    ml = later.volume.voxel_ml
    found = register(later.volume, later.lungs, earlier.volume, earlier.lungs)
    was = bring(found, (earlier.lesions > 0).astype(np.uint8), earlier.volume, later.volume) > 0
    seen = (later.lungs > 0) & (bring(found, earlier.lungs, earlier.volume, later.volume) > 0)
    told = follow_up(later.lesions > 0, was, ml, seen=seen).tissue
    true = follow_up(later.lesions > 0, same.lesions > 0, ml).tissue
    unmoved = follow_up(later.lesions > 0, earlier.lesions > 0, ml).tissue
    amounts = {
        f"{name}_{what}_ml": float(np.count_nonzero(tissue == label)) * ml
        for name, tissue in (("true", true), ("found", told), ("unregistered", unmoved))
        for what, label in (("gained", Tissue.APPEARED), ("lost", Tissue.CLEARED))
    }
    overlap = {
        "dice_appeared": dice(told == Tissue.APPEARED, true == Tissue.APPEARED),
        "dice_appeared_unregistered": dice(unmoved == Tissue.APPEARED, true == Tissue.APPEARED),
    }
    return amounts | overlap | {"lungs_dice_before": found.dice_before, "lungs_dice": found.dice_after}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=3)
    asked = parser.parse_args()
    for breath in BREATHS:
        rows = [change_of(600 + n, breath) for n in range(asked.patients)]
        mean = {name: round(float(np.mean([row[name] for row in rows])), 2) for name in rows[0]}
        print(json.dumps({"breath": breath, "patients": asked.patients, **mean}), flush=True)


if __name__ == "__main__":
    main()
