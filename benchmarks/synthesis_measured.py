"""What walks show, what a lung made ill is like beside the truth, and what made pictures are worth.

    python benchmarks/synthesis_measured.py stages OUT --steps 3000      the burden along the ages of phantoms
    python benchmarks/synthesis_measured.py ends RUN --cohort PICTURES   how well real pictures are met
    python benchmarks/synthesis_measured.py pairs OUT --steps 800        healthy phantoms made ill
    python benchmarks/synthesis_measured.py worth RUN                    train on made, test on real

`stages` draws phantoms of four ages, every one once, trains a conditional GAN that is told the age, and leads
codes through the ages: the share of lung at least as dense as ground glass along each, beside that of the
phantoms it learned from and of others. The folder goes on where it was stopped.

`ends` asks a run, or a training of the study (STUDY/outcomes/veegan-0.safetensors), for the codes of training
and of held-out pictures, by the reconstructor and by descent, and tells the error beside that of the mean
training picture and of the nearest one. `pairs` trains Pix2Pix. `worth` asks a run that was told the class.
`--numbers FILE` writes figures as JSON.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glasslung.data.pairs import Pairs
from glasslung.data.phantom import draw_patient, slices
from glasslung.data.pictureset import picture_parts
from glasslung.data.picturesheet import as_png, grid
from glasslung.data.slices import GROUP_NAMES
from glasslung.files import read_json, whole_folder, write_json
from glasslung.measure.featuresets import mean_interval
from glasslung.measure.lesionload import GLASS_GREY, opacity_share
from glasslung.measure.statistics import Interval
from glasslung.models import build
from glasslung.nn.making import sample_pictures
from glasslung.nn.walks import Search, find_codes
from glasslung.predict.trained import open_trained
from glasslung.studies.folder import one_thread
from glasslung.studies.synthesis.healthytoill import (
    MEAN_CHANGE,
    MODEL,
    NO_CHANGE,
    PairPlan,
    guesses,
    make_ill,
    measure_pairs,
    train_pairs,
)
from glasslung.studies.synthesis.training import MakerJob, MakerTraining, train_maker, unseen_of
from glasslung.studies.synthesis.walking import Walk, draw_walk
from glasslung.studies.synthesis.worth import Asking, worth_of_run
from glasslung.train.checkpoint import load_tensors
from glasslung.train.watchdog import WatchSettings

AGES = ((0.0, 0.0), (0.0, 5.0), (5.0, 10.0), (10.0, 14.99))  # days of each group; the first is never ill
STREAM = 7
SHOWN = 3  # people whose three days are drawn


def draw_phantoms(folder: Path, each: int, size: int) -> Path:
    """Slices of phantoms of every age as pictures with a table, every phantom once; a quarter held out."""
    rng = np.random.default_rng(STREAM)
    persons = rng.choice(2**40, size=each * len(AGES), replace=False)
    head = ["patient", "scan", "image", "intensity", "label", "group", "split"]
    with whole_folder(folder) as part, (part / "cohort.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(head)
        for number, person in enumerate(persons):
            group = number % len(AGES)
            day = float(rng.uniform(*AGES[group]))
            grey = slices([draw_patient(int(person))], [day], size, disease=group > 0).grey[0]
            name = f"phantom-{number:04d}"
            Image.fromarray(grey).save(part / f"{name}.png")
            label = "covid" if group else "healthy"
            split = "val" if number // len(AGES) % 4 == 3 else "train"
            table.writerow([name, name, f"{name}.png", "display8", label, GROUP_NAMES[group], split])
    return folder


def limits(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def mean(values: np.ndarray, units: np.ndarray | None = None) -> dict[str, float]:
    """A mean with its interval, over patients where they are given."""
    rng = np.random.default_rng(0)
    return limits(mean_interval(values, np.arange(len(values)) if units is None else units, rng=rng))


def stages(wanted: argparse.Namespace) -> dict[str, Any]:
    """Train on phantoms, walk, measure."""
    cohort, run = wanted.out / "phantoms", wanted.out / "run"
    if not cohort.is_dir():
        draw_phantoms(cohort, wanted.each, wanted.size)
    settings = {"condition": "age", "size": wanted.size, "width": wanted.width, "lr": wanted.lr}
    watch = WatchSettings(every=200)
    training = MakerTraining(
        wanted.steps, batch=wanted.batch, ema=wanted.ema, watch=watch, checkpoint_every=600
    )
    train_maker(MakerJob("conditionalgan", cohort, training, settings, wanted.seed), run, bark=print)
    parts = picture_parts(cohort, wanted.size, "age")
    place, number = wanted.out / "walk", 0
    while place.exists():
        number += 1
        place = wanted.out / f"walk-{number}"
    told = draw_walk(run, place, Walk(steps=13, stages=True, walks=64))
    model = open_trained(run).model
    loads: dict[str, Any] = {}
    for group, name in enumerate(GROUP_NAMES):
        made = sample_pictures(model, 64, 1, group)[2]
        real = {part: one.images[one.group == group] for part, one in parts.items()}
        loads[name] = {"made": mean(opacity_share(made, GLASS_GREY))}
        loads[name] |= {part: mean(opacity_share(images, GLASS_GREY)) for part, images in real.items()}
    return {"walk": told, "affected share by age": loads, "training": asdict(training), "settings": settings}


def model_of(place: Path) -> tuple[Any, int]:
    """A run's model, or that of a training of `glasslung study synthesis`, and the side of its pictures."""
    if place.suffix != ".safetensors":
        run = open_trained(place)
        return run.model, int(run.about["settings"]["size"])
    asked = read_json(place.with_suffix(".json"))["asked"]
    size = int(asked["budget"]["size"])
    model = build(asked["model"], 0, **({"size": size} | asked["settings"]))
    model.load_state_dict(load_tensors(place))
    return model, size


def ends(wanted: argparse.Namespace) -> dict[str, Any]:
    """Errors of both ways to a code, root mean square in grey from 0 to 1."""
    model, size = model_of(wanted.run)
    parts = picture_parts(wanted.cohort, size, labels=wanted.label)
    train, unseen = parts["train"], unseen_of(parts)
    assert unseen is not None
    found: dict[str, Any] = {}
    for name, whole in (("training pictures", train), ("held-out pictures", unseen)):
        rows = np.sort(np.random.default_rng(0).permutation(len(whole))[: wanted.count])
        one = whole.take(rows)
        searched = find_codes(model, one.images, search=Search())
        answers = {"optimised": searched.error}
        if hasattr(model, "code_of"):
            answers["reconstructor"] = find_codes(model, one.images).error
        answers["mean training picture"] = error(one.images, train.images.mean(0)[None])[:, 0]
        apart = error(one.images, train.images)
        if whole is train:
            apart[np.arange(len(rows)), rows] = np.inf
        answers["nearest other training picture"] = apart.min(1)
        found[name] = {key: mean(values, one.patient) for key, values in answers.items()}
        found[name]["count"] = len(one)
    return found


def pairs(wanted: argparse.Namespace) -> dict[str, Any]:
    """Pix2Pix on phantom pairs beside no change and the mean change, with a sheet of pictures."""
    plan = PairPlan(
        people=wanted.people,
        unseen=wanted.unseen,
        steps=wanted.steps,
        size=wanted.size,
        settings={"width": wanted.width, "likeness": wanted.likeness},
    )
    model, train, test = train_pairs(plan)
    answers = {MODEL: make_ill(model, test), **guesses(train, test)}
    found: dict[str, Any] = {"plan": asdict(plan)}
    for name, made in answers.items():
        one = measure_pairs(made, test, np.random.default_rng(0))
        shares = {key: limits(getattr(one, key)) for key in ("inside", "beside", "load")}
        better = lung_error(made, test) - lung_error(answers[MODEL], test)
        found[name] = {
            **shares,
            "ranked": one.ranked,
            "lung": mean(lung_error(made, test), test.patient),
            "more than the network's": mean(better, test.patient),
        }
    rows = np.arange(0, 3 * SHOWN, 1)[: len(test)]
    sheet = np.concatenate(
        [answers[NO_CHANGE][rows], test.target[rows], *(answers[one][rows] for one in (MODEL, MEAN_CHANGE))]
    )
    wanted.out.mkdir(parents=True, exist_ok=True)
    (wanted.out / "healthy-to-ill.png").write_bytes(as_png(grid(sheet, len(rows))))
    return found


def lung_error(made: np.ndarray, test: Pairs) -> np.ndarray:
    """Mean absolute error in the lung, (N,)."""
    lungs: np.ndarray = test.lungs.sum((1, 2))
    return np.asarray((np.abs(made - test.target) * test.lungs).sum((1, 2)) / np.maximum(lungs, 1))


def worth(wanted: argparse.Namespace) -> dict[str, Any]:
    """AUC on real held-out pictures by what a plain classifier learned from."""
    found = worth_of_run(wanted.run, wanted.cohort, Asking(each=wanted.each))
    return {name: limits(getattr(found, name)) for name in ("real", "made", "both", "lost", "gained")}


def error(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Root mean square difference of every pair, (N, S, S), (M, S, S) -> (N, M)."""
    a, b = (one.reshape(len(one), -1).astype(np.float64) for one in (first, second))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(squares.clip(0) / a.shape[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_subparsers(dest="what", required=True)
    one = what.add_parser("stages")
    one.add_argument("out", type=Path)
    one.add_argument("--each", type=int, default=160, help="phantoms of every age")
    one.add_argument("--size", type=int, default=64)
    one.add_argument("--steps", type=int, default=3000)
    one.add_argument("--width", type=int, default=8)
    one.add_argument("--batch", type=int, default=16)
    one.add_argument("--lr", type=float, default=1e-3)
    one.add_argument("--ema", type=float, default=0.99)
    one.add_argument("--seed", type=int, default=0)
    two = what.add_parser("ends")
    two.add_argument("run", type=Path)
    two.add_argument("--cohort", type=Path, required=True)
    two.add_argument("--label", action="append", default=[])
    two.add_argument("--count", type=int, default=48)
    three = what.add_parser("pairs")
    three.add_argument("out", type=Path)
    three.add_argument("--people", type=int, default=120)
    three.add_argument("--unseen", type=int, default=40)
    three.add_argument("--steps", type=int, default=800)
    three.add_argument("--size", type=int, default=64)
    three.add_argument("--width", type=int, default=12)
    three.add_argument("--likeness", type=float, default=100.0)
    four = what.add_parser("worth")
    four.add_argument("run", type=Path)
    four.add_argument("--cohort", type=Path)
    four.add_argument("--each", type=int, default=200)
    for sub in (one, two, three, four):
        sub.add_argument("--numbers", type=Path)
    wanted = parser.parse_args()
    with one_thread():
        found = {"stages": stages, "ends": ends, "pairs": pairs, "worth": worth}[wanted.what](wanted)
    for name, value in found.items():
        print(f"{name}: {value}")
    if wanted.numbers:
        write_json(wanted.numbers, found)


if __name__ == "__main__":
    main()
