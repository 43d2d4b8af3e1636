"""What the explorer finds of what was planted: odd pictures among phantoms, and a batch that was changed.

    python benchmarks/explorer_finds.py --repeats 20

Outliers: 10 of 300 phantom slices are spoiled in one way; `first 10` is the share of them among the first
ten of the explorer's list, `first 40` among all that it shows. Batch effects: half of the patients' slices
are changed a little; `told` is how often a slice's half is told rightly by its neighbours, `found` in how
many repeats that is beyond chance (p of 0.05 or less), `nothing` what is told where nothing was changed.
Each repeat draws other patients, other rows and other noise; intervals over repeats.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.lung_slices import slices as phantom_slices
from glasslung.measure.nearby import Telling
from glasslung.measure.statistics import bootstrap_by_patient, exact_limits
from glasslung.web.explorer.codes import reader_of
from glasslung.web.explorer.listing import Entry, Listing
from glasslung.web.explorer.pictures import read_listing
from glasslung.web.explorer.scene import OUTLIERS, Scene, make_scene

SIZE, DAYS = 64, (0.0, 4.0, 9.0, 14.0)
PATIENTS, PLANTED = 75, 10  # of a repeat; four slices of each patient
DRAWN = 150  # patients in all
CERTAIN = 0.05

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def blurred(grey: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    found: np.ndarray = gaussian_filter(grey.astype(np.float32), sigma)
    return found


def framed(grey: np.ndarray, width: int) -> np.ndarray:
    """A white border, as of a figure in a paper."""
    found = grey.copy()
    found[:width], found[-width:], found[:, :width], found[:, -width:] = 230, 230, 230, 230
    return found


def noisy(grey: np.ndarray, rng: np.random.Generator, sd: float) -> np.ndarray:
    return grey + rng.normal(0, sd, grey.shape)


def half_black(grey: np.ndarray) -> np.ndarray:
    found = grey.copy()
    found[:, SIZE // 2 :] = 0
    return found


SPOILED: dict[str, Change] = {
    "grey values turned round": lambda grey, rng: 255 - grey,
    "turned by a quarter": lambda grey, rng: np.rot90(grey),
    "upside down": lambda grey, rng: grey[::-1],
    "one half black": lambda grey, rng: half_black(grey),
    "a white border of 3 pixels": lambda grey, rng: framed(grey, 3),
    "noise, 40 grey levels": lambda grey, rng: noisy(grey, rng, 40),
    "blurred, 2 pixels": lambda grey, rng: blurred(grey, 2),
}
BATCHES: dict[str, Change] = {
    "nothing": lambda grey, rng: grey,
    "5 % brighter": lambda grey, rng: grey * 1.05,
    "15 % brighter": lambda grey, rng: grey * 1.15,
    "noise, 8 grey levels": lambda grey, rng: noisy(grey, rng, 8),
    "blurred, 0.7 pixels": lambda grey, rng: blurred(grey, 0.7),
    "blurred, 1.2 pixels": lambda grey, rng: blurred(grey, 1.2),
    "moved by one pixel": lambda grey, rng: np.roll(grey, 1, 1),
    "a white border of 1 pixel": lambda grey, rng: framed(grey, 1),
}


def drawn() -> np.ndarray:
    """(DRAWN, days, 64, 64) uint8."""
    patients = [draw_patient(seed, severity=0.2 + 0.7 * ((37 * seed) % 10) / 9) for seed in range(DRAWN)]
    grey: np.ndarray = phantom_slices(patients, DAYS, SIZE).grey
    return grey.reshape(DRAWN, len(DAYS), SIZE, SIZE)


def scene_of(pictures: np.ndarray, model: str, batch: np.ndarray | None = None) -> Scene:
    """What the explorer makes of (patients, days, S, S), with a column `source` where there are two."""
    reader = reader_of(model, None)
    entries = []
    for patient, series in enumerate(pictures):
        facts = {} if batch is None else {"source": "ab"[int(batch[patient])]}
        for day, grey in enumerate(series):
            entries.append(Entry(f"{patient}-{day}", Path(), None, facts, f"p{patient}", grey))
    collection = read_listing(Listing("planted", Path(), tuple(entries)), reader.frame)
    return make_scene(collection, reader.read(collection))


def grey8(picture: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    return found


def ranks(lungs: np.ndarray, change: Change, model: str, rng: np.random.Generator) -> np.ndarray:
    """Where the spoiled slices stand in the explorer's list, from 0."""
    chosen = lungs[rng.permutation(len(lungs))[:PATIENTS]].copy()
    flat = chosen.reshape(-1, SIZE, SIZE)
    rows = rng.choice(len(flat), PLANTED, replace=False)
    for row in rows:
        flat[row] = grey8(change(flat[row], rng))
    order = np.argsort(-scene_of(chosen, model).near.apart, kind="stable")
    return np.flatnonzero(np.isin(order, rows))


def telling(lungs: np.ndarray, change: Change, model: str, rng: np.random.Generator) -> Telling:
    """How well the changed half of the patients is told."""
    chosen = lungs[rng.permutation(len(lungs))[:PATIENTS]].copy()
    batch = rng.permutation(np.arange(PATIENTS) % 2)
    for patient in np.flatnonzero(batch):
        chosen[patient] = [grey8(change(grey, rng)) for grey in chosen[patient]]
    found = dict(scene_of(chosen, model, batch).tellings)["source"]
    assert isinstance(found, Telling)
    return found


def said(values: np.ndarray) -> str:
    """Mean over repeats with its interval, in percent."""
    one = bootstrap_by_patient(
        lambda v: float(v.mean()), np.arange(len(values)), values, rng=np.random.default_rng(0)
    )
    return f"{100 * one.value:.0f} % [{100 * one.low:.0f}, {100 * one.high:.0f}]"


def outliers(lungs: np.ndarray, model: str, repeats: int, changes: Mapping[str, Change]) -> None:
    for name, change in changes.items():
        places = [ranks(lungs, change, model, np.random.default_rng([1, n])) for n in range(repeats)]
        first, listed = (np.array([(one < limit).mean() for one in places]) for limit in (PLANTED, OUTLIERS))
        middle = np.median(np.concatenate(places)) + 1
        found = f"first {PLANTED}: {said(first)}, first {OUTLIERS}: {said(listed)}, middle rank {middle:.0f}"
        print(f"{name}: {found}", flush=True)


def batches(lungs: np.ndarray, model: str, repeats: int, changes: Mapping[str, Change]) -> None:
    for name, change in changes.items():
        found = [telling(lungs, change, model, np.random.default_rng([2, n])) for n in range(repeats)]
        sure = sum(one.p <= CERTAIN for one in found)
        low, high = exact_limits(sure, repeats)
        told = said(np.array([one.accuracy.value for one in found]))
        print(f"{name}: told {told}, found in {sure} of {repeats} [{low:.2f}, {high:.2f}]", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--model", default="auto", help="as for `glasslung explore`")
    wanted = parser.parse_args()
    lungs = drawn()
    outliers(lungs, wanted.model, wanted.repeats, SPOILED)
    batches(lungs, wanted.model, wanted.repeats, BATCHES)


if __name__ == "__main__":
    main()
