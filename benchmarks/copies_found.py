"""How many planted copies the copy check finds, and how many unseen real pictures it takes for copies.

    python benchmarks/copies_found.py PICTURES [--label covid] [--size 64] [--numbers OUT.json]

Training pictures are changed as somebody would to hide a copy, or as a network gives them back: each
kind by itself, `--count` of them. Unseen pictures are dealt in halves by patient, again and again: one half
sets the floor, the other is judged, so the rate on unseen pictures is measured and not assumed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, zoom

from glasslung.data.pictureset import picture_parts
from glasslung.files import write_json
from glasslung.measure.copies import copy_rate
from glasslung.measure.copycheck import check_copies
from glasslung.measure.featuresets import exact_share_limits, feature_set
from glasslung.studies.synthesis.training import unseen_of
from glasslung.train.looks import pooled

DEALS = 10
DRAWS = 50  # of an interval that is not told here


def moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By two pixels of 64 in a random direction; the edge is repeated."""
    by = max(1, round(2 * image.shape[0] / 64))
    down, right = rng.choice([-by, by], 2)
    padded = np.pad(image, by, mode="edge")
    side = image.shape[0]
    return padded[by + down : by + down + side, by + right : by + right + side]


def paler(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Contrast and brightness changed by up to a fifth and a tenth."""
    return (image * rng.uniform(0.8, 1.2) + rng.uniform(-0.1, 0.1)).clip(0, 1)


def mirrored(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Left to right."""
    return image[:, ::-1]


def blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By a standard deviation of 0.8 pixels of 64."""
    return gaussian_filter(image, 0.8 * image.shape[0] / 64)


def cropped(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A twentieth off height and width, at a random place, and enlarged again."""
    side = image.shape[0]
    kept = round(0.95 * side)
    top, left = rng.integers(0, side - kept + 1, 2)
    grown = zoom(image[top : top + kept, left : left + kept], side / kept, order=1)
    return np.clip(grown[:side, :side], 0, 1)


def bent(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By a smooth field of 1.5 pixels of 64 at most."""
    side = image.shape[0]
    field = np.stack([gaussian_filter(rng.standard_normal((side, side)), side / 8) for _ in range(2)])
    field *= 1.5 * side / 64 / np.abs(field).max()
    return map_coordinates(image, np.indices((side, side)) + field, order=1, mode="nearest")


def noised(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With noise of 0.03."""
    return (image + 0.03 * rng.standard_normal(image.shape)).clip(0, 1)


def all_of_it(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored, moved, paler, blurred."""
    for change in (mirrored, moved, paler, blurred):
        image = change(image, rng)
    return image


Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
CHANGES: dict[str, Change] = {
    "as it is": lambda image, rng: image,
    "moved 2 px": moved,
    "brightness and contrast": paler,
    "mirrored": mirrored,
    "blurred 0.8 px": blurred,
    "cropped 5 %": cropped,
    "bent 1.5 px": bent,
    "noised 0.03": noised,
    "mirrored, moved, paler, blurred": all_of_it,
}


def share(found: np.ndarray) -> dict[str, float]:
    """A share of yes, with its exact limits."""
    low, high = exact_share_limits(float(found.sum()), len(found), 0.95)
    return {"value": float(found.mean()), "low": low, "high": high, "count": len(found)}


def planted(train: np.ndarray, change: Change, count: int) -> np.ndarray:
    """Some training pictures, changed."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(train))[:count]
    return np.stack([change(train[row], rng) for row in rows]).astype(np.float32)


def sensitivities(train: np.ndarray, unseen: Any, count: int) -> dict[str, Any]:
    """Share of planted copies that are found, by the union, by each sight, and by 16 x 16 greys as before."""
    found: dict[str, Any] = {}
    both = feature_set(np.concatenate([pooled(train), pooled(train[:, :, ::-1])]))
    known = feature_set(pooled(unseen.images), unseen.patient)
    for name, change in CHANGES.items():
        made, rng = planted(train, change, count), np.random.default_rng(0)
        one = check_copies(made, train, unseen.images, unseen.patient, rng=rng, draws=DRAWS)
        plain = copy_rate(feature_set(pooled(made)), both, known, rng=rng, draws=DRAWS)
        right = one.nearest % len(train) == np.random.default_rng(0).permutation(len(train))[:count]
        found[name] = {
            "found": share(one.distance <= one.threshold),
            "16 x 16 alone": share(plain.distance <= plain.threshold),
            "the right picture": share(right),
            "seen by": {
                sight: float(np.mean(one.seen_by == number)) for number, sight in enumerate(one.sights)
            },
        }
    return found


def false_alarms(train: np.ndarray, unseen: Any) -> dict[str, float]:
    """Share of unseen pictures called copies when the floor is set by other patients' unseen pictures."""
    rates = []
    patients = np.unique(unseen.patient)
    for deal in range(DEALS):
        order = np.random.default_rng(deal).permutation(patients)
        first = np.isin(unseen.patient, order[: len(order) // 2])
        floor, judged = unseen.take(first), unseen.take(~first)
        rng = np.random.default_rng(0)
        one = check_copies(judged.images, train, floor.images, floor.patient, rng=rng, draws=DRAWS)
        rates.append(one.rate.value)
    return {"mean": float(np.mean(rates)), "most": float(np.max(rates)), "deals": DEALS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--numbers", type=Path)
    wanted = parser.parse_args()
    parts = picture_parts(wanted.pictures, wanted.size, labels=wanted.label)
    train, unseen = parts["train"].images, unseen_of(parts)
    assert unseen is not None
    began = time.process_time()
    found = {
        "train": len(train),
        "unseen": len(unseen),
        "unseen patients": len(np.unique(unseen.patient)),
        "planted": sensitivities(train, unseen, wanted.count),
        "false alarms": false_alarms(train, unseen),
    }
    print(f"{len(train)} to train on, {len(unseen)} unseen, {time.process_time() - began:.0f} s")
    for name, one in found["planted"].items():  # type: ignore[attr-defined]
        told = ", ".join(f"{sight} {value:.2f}" for sight, value in one["seen by"].items())
        shares = ", ".join(
            f"{key} {one[key]['value']:.2f} [{one[key]['low']:.2f}, {one[key]['high']:.2f}]"
            for key in ("found", "16 x 16 alone", "the right picture")
        )
        print(f"  {name}: {shares}; {told}")
    print(f"  false alarms: {found['false alarms']}")
    if wanted.numbers:
        write_json(wanted.numbers, found)


if __name__ == "__main__":
    main()
