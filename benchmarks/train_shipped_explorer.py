"""Train the auto-encoder that the latent explorer asks by default, and measure it beside plainer ones.

    python benchmarks/train_shipped_explorer.py CAGE UCSD_COVID_CT --steps 2000 --out
    src/glasslung/weights/explorer
    python benchmarks/train_shipped_explorer.py CAGE UCSD_COVID_CT --compare 300
    python benchmarks/train_shipped_explorer.py CAGE UCSD_COVID_CT --measure

Slices of the patients to train on (the collections' own splits, cage dealt by patient) and phantoms, as many
of each in a batch; figures on patients who were not in training: mean square error in squared grey levels of
0 to 255, the same of principal components, and how the pictures half way between two others look: their edges
beside those of decoded slices, and how far the code of the decoded picture lies from the code that was
decoded (0: on the spot, 1: as far as one end).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glasslung.data.batches import GroupBalancedBatches, mirror
from glasslung.data.cohort import DEFAULT_FRACTIONS, split_by_patient
from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.lung_slices import slices as phantom_slices
from glasslung.data.slices import SliceSet
from glasslung.data.sources import cage, ucsd_covid_ct
from glasslung.errors import DataError
from glasslung.files import write_json
from glasslung.models import build, entry_for
from glasslung.models.autoencoder import LITERAL
from glasslung.models.shipped import load_shipped
from glasslung.train.checkpoint import save_tensors
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.rundir import library_versions
from glasslung.web.explorer.codes import SHIPPED, framed
from glasslung.web.explorer.listing import of_cohort
from glasslung.web.explorer.pictures import grey_of

SIZE = 64
HELD_OUT = {"cage": ("test",), "ucsd": ("val",)}
PHANTOMS, PHANTOM_DAYS, HELD_OUT_PHANTOMS = 150, (0.0, 6.0, 14.0), 40
AWAY = 37  # rows to the other end of a walk: another patient's
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"kl": 0.0},
    "denoising, 0.1": {"kl": 0.0, "noise": 0.1},
    "variational, 0.0005": {"kl": 5e-4},
    "variational, 0.002": {"kl": 2e-3},
    "variational, 0.0005, 64 latents": {"kl": 5e-4, "latents": 64},
    "the paper's, at 64 pixels": {
        name: getattr(LITERAL, name) for name in ("net", "latents", "kl", "lr", "weight_decay", "steps")
    },
}


def read(cohort: Any, splits: Iterable[str]) -> np.ndarray:
    """The slices of some splits, (N, 64, 64) float32, without those of patients who were taught.

    What cannot be read is left out.
    """
    taught = {case.patient for case in cohort.cases if case.split == "train"}
    other = "train" not in splits
    wanted = {
        case.scan for case in cohort.cases if case.split in splits and not (other and case.patient in taught)
    }
    images, frame = [], framed(SIZE, "pad")
    for entry in of_cohort(cohort).entries:
        if entry.facts["scan"] not in wanted:
            continue
        try:
            images.append(frame(grey_of(entry)[0]))
        except DataError as problem:
            print(f"left out: {problem}")
    return np.stack(images)


def drawn(seeds: Iterable[int]) -> np.ndarray:
    """Phantom slices on three days, (N, 64, 64) float32."""
    patients = [draw_patient(seed, severity=0.2 + 0.7 * ((37 * seed) % 10) / 9) for seed in seeds]
    return phantom_slices(patients, PHANTOM_DAYS, SIZE).grey.astype(np.float32) / 255


def sets(cage_folder: Path, ucsd_folder: Path) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Slices to train on, by source, and slices of other patients."""
    cohorts = {
        "cage": split_by_patient(cage(cage_folder), DEFAULT_FRACTIONS, 0, ("group",)),
        "ucsd": ucsd_covid_ct(ucsd_folder),
    }
    train = [read(cohort, ("train",)) for cohort in cohorts.values()] + [drawn(range(PHANTOMS))]
    held_out = {name: read(cohort, HELD_OUT[name]) for name, cohort in cohorts.items()}
    return train, held_out | {"phantom": drawn(range(PHANTOMS, PHANTOMS + HELD_OUT_PHANTOMS))}


def stream(train: list[np.ndarray], each: int, seed: int) -> GroupBalancedBatches:
    """Endless batches with as many slices of every source, half of them mirrored."""
    images = np.concatenate(train)
    group = np.repeat(np.arange(len(train)), [len(one) for one in train])
    names = tuple(str(row) for row in range(len(images)))
    rows = np.arange(len(images))
    slices = SliceSet(images, group, np.full(len(images), np.nan, np.float32), rows, names, names)
    return GroupBalancedBatches(slices, each, np.random.default_rng(seed), augment=mirror)


def train(
    train_on: list[np.ndarray], settings: Mapping[str, Any], steps: int, each: int, tell: bool = False
) -> Any:
    """A trained auto-encoder, its weights averaged over the last steps."""
    model = build("autoencoder", 0, **settings)
    players = entry_for("autoencoder").players(model)
    game = Game({"autoencoder": model}, players, stream(train_on, each, 0), 0, ema=0.995)
    began = time.process_time()

    def log(record: dict[str, Any]) -> None:
        print(
            f"  step {record['step']}: {record['grey_error']:.0f}, {time.process_time() - began:.0f} s",
            flush=True,
        )

    fit(game, range(steps), log if tell else None, 100)
    with game.averaged():
        weights = {name: part.clone() for name, part in model.state_dict().items()}
    model.load_state_dict(weights)
    return model


def edges(images: torch.Tensor) -> float:
    """Mean difference between pixels side by side."""
    return float((images[..., 1:] - images[..., :-1]).abs().mean())


def figures(model: Any, held_out: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Error, edges kept, and what half way looks like, for each source."""
    found = {}
    for name, images in held_out.items():
        image = torch.from_numpy(images[:, None])
        codes = model.encode(image)
        again = model.decode(codes)
        middle = (codes + codes.roll(AWAY, 0)) / 2
        between = model.decode(middle)
        back = (model.encode(between) - middle).norm(dim=1) / (codes - middle).norm(dim=1)
        found[name] = {
            "error": float((again - image).square().mean()) * 255**2,
            "edges": edges(again) / edges(image),
            "half way, edges": edges(between) / edges(again),
            "half way, off": float(back.mean()),
        }
    return found


def components(
    train_on: list[np.ndarray], held_out: Mapping[str, np.ndarray], count: int
) -> dict[str, float]:
    """Error of as many principal components."""
    from sklearn.decomposition import PCA

    flat = np.concatenate([images.reshape(len(images), -1) for images in train_on])
    pca = PCA(count, svd_solver="randomized", random_state=0).fit(flat)

    def error(images: np.ndarray) -> float:
        flat = images.reshape(len(images), -1)
        return float(((pca.inverse_transform(pca.transform(flat)) - flat) ** 2).mean()) * 255**2

    return {name: error(images) for name, images in held_out.items()}


def told(found: Mapping[str, Mapping[str, float]]) -> str:
    """One line for each source."""
    return "\n".join(
        f"  {name}: " + ", ".join(f"{key} {value:.3g}" for key, value in one.items())
        for name, one in found.items()
    )


def ship(model: Any, out: Path) -> None:
    """Weights of layers in 16 bit, and settings, as `models.shipped` reads them."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: part.half() if part.ndim > 1 else part for name, part in model.state_dict().items()}
    save_tensors(out / "model.safetensors", weights)
    versions = {name: one for name, one in library_versions().items() if name != "platform"}
    write_json(
        out / "settings.json",
        {"name": "autoencoder", "settings": asdict(model.config), "seed": 0, "versions": versions},
    )
    print(f"{out}: {sum(path.stat().st_size for path in out.iterdir()) / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cage", type=Path)
    parser.add_argument("ucsd", type=Path)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--each", type=int, default=8, help="slices of every source in a batch")
    parser.add_argument("--settings", type=json.loads, default={}, help='as JSON, for example {"kl": 0.0005}')
    parser.add_argument("--out", type=Path)
    parser.add_argument("--compare", type=int, help="steps for each variant, instead of one long training")
    parser.add_argument("--measure", action="store_true", help="the figures of the shipped one; no training")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    train_on, held_out = sets(wanted.cage, wanted.ucsd)
    print(
        "slices:",
        [len(one) for one in train_on],
        {name: len(one) for name, one in held_out.items()},
        flush=True,
    )
    for count in (LITERAL.latents, 32, 64):
        print(f"{count} principal components:", components(train_on, held_out, count), flush=True)
    if wanted.measure:
        print(told(figures(load_shipped(SHIPPED)[0], held_out)))
        return
    if wanted.compare:
        for name, settings in VARIANTS.items():
            model = train(train_on, {"steps": wanted.compare, **settings}, wanted.compare, wanted.each)
            print(f"{name}, {wanted.compare} steps\n{told(figures(model, held_out))}", flush=True)
        return
    settings = {"steps": wanted.steps, **wanted.settings}
    model = train(train_on, settings, wanted.steps, wanted.each, tell=True)
    print(told(figures(model, held_out)))
    if wanted.out:
        ship(model, wanted.out)


if __name__ == "__main__":
    main()
