"""Auto-encoders beside each other and beside principal components, on patients whom no training saw.

    python benchmarks/autoencoders_compared.py UCSD_COVID_CT --seconds 40 --seeds 3
    python benchmarks/autoencoders_compared.py UCSD_COVID_CT --only ours --settings '{"kl": 0.0002}'

Every network has the same processor seconds on the training part, through the code that
`glasslung train autoencoder --cohort UCSD_COVID_CT` runs; its number of steps follows from the time that its
first ones take. The error is the mean square in squared grey levels of 0 to 255, of a patient's pictures
first, then of patients; intervals by resampling patients, differences paired by patient, over the mean of
the seeds. Principal components are fitted to the same pictures and their mirror images.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glasslung.data.pictureset import picture_parts
from glasslung.data.slices import SliceSet
from glasslung.measure.statistics import Interval, bootstrap_by_patient
from glasslung.models.autoencoder import LITERAL
from glasslung.studies.training import Job, TrainingSettings, config_of, new_game
from glasslung.train.loop import fit

SIZE = 64
TRIED = 12  # steps whose time tells how many can be had
DRAWS = 2000
PAPERS = {name: getattr(LITERAL, name) for name in ("net", "latents", "kl", "lr", "weight_decay", "steps")}
VARIANTS: dict[str, dict[str, Any]] = {
    "the paper's, 2 numbers": PAPERS,
    "the paper's layers, 32 numbers": PAPERS | {"latents": 32},
    "ours": {},
}


def trained(cohort: Path, slices: SliceSet, settings: Mapping[str, Any], seconds: float, seed: int) -> Any:
    """A model after so many processor seconds, its steps and what they took."""

    def game_of(steps: int) -> tuple[Any, Any]:
        training = TrainingSettings(steps, mirror=True, ema=0.99)
        job = Job("autoencoder", cohort, training, {"size": SIZE, **settings}, seed)
        config = config_of(job)
        return new_game(job, config, slices), config

    game, _ = game_of(TRIED)
    began = time.process_time()
    fit(game, range(TRIED), lambda record: None)
    steps = max(TRIED, round(seconds * TRIED / (time.process_time() - began)))
    game, config = game_of(steps)
    began = time.process_time()
    fit(game, range(steps), lambda record: None)
    took = time.process_time() - began
    model = game.modules["autoencoder"]
    with game.averaged():
        weights = {name: part.clone() for name, part in model.state_dict().items()}
    model.load_state_dict(weights)
    return model, steps, took, config


def again(model: Any, images: np.ndarray) -> np.ndarray:
    """The slices after the code."""
    decoded: np.ndarray = model.decode(model.encode(torch.from_numpy(images[:, None])))[:, 0].numpy()
    return decoded


def components(train: np.ndarray, images: np.ndarray, count: int) -> np.ndarray:
    """The slices after as many principal components of the training slices and their mirror images."""
    from sklearn.decomposition import PCA

    both = np.concatenate([train, train[:, :, ::-1]]).reshape(2 * len(train), -1)
    pca = PCA(count, svd_solver="randomized", random_state=0).fit(both)
    flat = images.reshape(len(images), -1)
    found: np.ndarray = pca.inverse_transform(pca.transform(flat)).reshape(images.shape)
    return found


def by_patient(images: np.ndarray, seen: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Error of each patient, in squared grey levels."""
    each = ((images - seen.clip(0, 1)) ** 2).mean((1, 2)) * 255**2
    return np.array([each[patients == one].mean() for one in np.unique(patients)])


def interval(errors: np.ndarray) -> Interval:
    """Mean over patients with its interval."""
    rng = np.random.default_rng(0)
    return bootstrap_by_patient(
        lambda values: float(values.mean()), np.arange(len(errors)), errors, rng=rng, draws=DRAWS
    )


def said(one: Interval) -> str:
    return f"{one.value:.0f} [{one.low:.0f}, {one.high:.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--seconds", type=float, default=40, help="processor seconds for each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", default="val", help="whose patients are asked")
    parser.add_argument("--only", help="one variant by name")
    parser.add_argument("--settings", type=json.loads, default={}, help="further settings of that variant")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    parts = picture_parts(wanted.cohort, SIZE, framing="pad")
    train, unseen = parts["train"], parts[wanted.part]
    print(f"{len(train)} pictures to train on; {len(unseen)} of {len(np.unique(unseen.patient))} others")
    errors = {
        f"{count} components": by_patient(
            unseen.images, components(train.images, unseen.images, count), unseen.patient
        )
        for count in (2, 32)
    }
    for name, settings in VARIANTS.items():
        if wanted.only not in (None, name):
            continue
        runs = []
        for seed in range(wanted.seeds):
            given = {**settings, **wanted.settings}
            model, steps, took, config = trained(wanted.cohort, train, given, wanted.seconds, seed)
            runs.append(by_patient(unseen.images, again(model, unseen.images), unseen.patient))
            known = by_patient(train.images, again(model, train.images), train.patient).mean()
            print(
                f"{name}, seed {seed}: {steps} steps in {took:.0f} s, held out {runs[-1].mean():.0f}, "
                f"of training {known:.0f}",
                flush=True,
            )
        print("  settings:", json.dumps(asdict(config)))
        errors[name] = np.mean(runs, 0)
    for name, found in errors.items():
        line = f"{name}: {said(interval(found))}"
        for other in ("2 components", "32 components"):
            line += f"; minus {other} {said(interval(found - errors[other]))}"
        print(line)
    first, last = "the paper's layers, 32 numbers", "ours"
    if {first, last} <= errors.keys():
        print(f"{last} minus {first}: {said(interval(errors[last] - errors[first]))}")


if __name__ == "__main__":
    main()
