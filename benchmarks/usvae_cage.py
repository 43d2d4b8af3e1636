"""Train the U-SVAE that ships with the package, and measure it on patients it never saw.

    python benchmarks/usvae_cage.py train --data CAGE --run RUN
    python benchmarks/usvae_cage.py measure --data CAGE --run RUN --out docs/numbers/progression_usvae.json
    python benchmarks/usvae_cage.py measure --data NEW --out FILE --all    (the shipped weights, all of NEW)
    python benchmarks/usvae_cage.py ship --run RUN --out src/glasslung/weights/usvae

CAGE is a folder with the layout of the CAGE set. Patients are dealt by group into train, val and test
(70, 10 and 20 %, seed 0). `train` goes on where a run of the same folder stopped; it measures
nothing on test.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glasslung.data.augment import NativeSlices, WarpedBatches
from glasslung.data.cohort import Cohort, split_by_patient
from glasslung.data.slices import SliceSet, read_picture, read_slices
from glasslung.data.sources import cage
from glasslung.files import write_json, write_whole
from glasslung.models import build
from glasslung.models import usvae as method
from glasslung.models.shipped import load_shipped
from glasslung.studies.progression.heldout import figures, score_slices
from glasslung.train.game import Game
from glasslung.train.loop import Progress, fit
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir

FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}
SPLIT_SEED = 0
EACH = 4  # slices of each group in a batch
EMA = 0.998
EVERY = 200  # steps between checkpoints
GENTLE_FROM, GENTLE = 0.8, 0.3  # the last fifth is warped less, towards the pictures as they are


def dealt(folder: Path) -> Cohort:
    """The cohort with its split by patient, stratified by group."""
    return split_by_patient(cage(folder), FRACTIONS, SPLIT_SEED, ("group",))


def part_of(cohort: Cohort, part: str) -> tuple[SliceSet, NativeSlices]:
    """Slices of one part, and the pictures they were made from."""
    chosen = cohort.part(part)
    pictures = [read_picture(chosen.path(case.image)) for case in chosen.cases]
    return read_slices(chosen), NativeSlices.of(pictures)


def new_game(cohort: Cohort, steps: int, seed: int) -> Game:
    """A fresh game on the patients of `train`."""
    slices, native = part_of(cohort, "train")
    model = build("usvae", seed, steps=steps)
    stream = WarpedBatches(
        slices,
        native,
        EACH,
        np.random.default_rng(seed),
        strength=lambda number: 1.0 if number < GENTLE_FROM * steps else GENTLE,
    )
    machine = Machine(device="cpu", precision="32-true")
    return Game({"usvae": model}, method.players(model), stream, seed, machine, EMA)


def train(args: argparse.Namespace) -> None:
    """Train, or go on; a checkpoint every few hundred steps."""
    cohort = dealt(args.data)
    if (args.run / "settings.json").exists():
        run = RunDir.open(args.run)
        steps, seed = run.about["settings"]["steps"], run.about["seed"]
    else:
        steps, seed = args.steps, args.seed
        settings = dataclasses.asdict(method.Config(steps=steps))
        training = {"each": EACH, "ema": EMA, "fractions": FRACTIONS, "split_seed": SPLIT_SEED}
        run = RunDir.create(
            args.run, "progression", "usvae", settings | {"training": training}, seed, {"cohort": args.data}
        )
    game = new_game(cohort, steps, seed)
    with run.writing():
        start = run.resume(game)
        while start < steps:
            end = min(steps, start + EVERY)
            fit(game, range(start, end), run.log, every=20, progress=tell)
            run.checkpoint(game)
            start = end
        with game.averaged():
            run.save("usvae", game.modules["usvae"])


def measure(args: argparse.Namespace) -> None:
    """Score the averaged weights on every part, `test` first; or, with --all, on a whole folder."""
    model, about = trained(args.run)
    found: dict[str, Any] = {"model": about}
    if args.all:
        parts = {"all": read_slices(cage(args.data))}
    else:
        cohort = dealt(args.data)
        parts = {part: read_slices(cohort.part(part)) for part in args.parts.split(",")}
    for part, slices in parts.items():
        draws = torch.Generator().manual_seed(0)
        scores = score_slices(model, slices, draws, single=part != "train")
        found[part] = figures(scores, slices, np.random.default_rng(0))
        print(part, {name: row["nll"] for name, row in found[part]["readings"].items()}, file=sys.stderr)
    write_json(args.out, found)


def trained(folder: Path | None) -> tuple[method.USVAE, dict[str, Any]]:
    """The network of a run with its averaged weights, and what was asked of the run; None: as shipped."""
    if folder is None:
        model, about = load_shipped("usvae")
        return model, about
    run = RunDir.open(folder)
    settings = {name: value for name, value in run.about["settings"].items() if name != "training"}
    model = build("usvae", run.about["seed"], **settings)
    run.load("usvae", model)
    return model, manifest(run)


def manifest(run: RunDir) -> dict[str, Any]:
    """What a reader needs to make the run again: settings, seed, input hash, versions, when and how long."""
    about = run.about
    return {
        "name": "usvae",
        "settings": about["settings"],
        "seed": about["seed"],
        "created": about["created"],
        "versions": {name: told for name, told in about["versions"].items() if name != "platform"},
        "input sha256": about["inputs"]["cohort"]["sha256"],
        "command": f"python benchmarks/usvae_cage.py train --data CAGE --run RUN --steps "
        f"{about['settings']['steps']} --seed {about['seed']}",
    }


def ship(args: argparse.Namespace) -> None:
    """Put a run's averaged weights and its settings where the package finds them."""
    _, about = trained(args.run)
    args.out.mkdir(parents=True, exist_ok=True)
    weights = (args.run / "weights" / "usvae.safetensors").read_bytes()
    write_whole(args.out / "model.safetensors", weights)
    write_json(args.out / "settings.json", about)


def tell(progress: Progress) -> None:
    """A line now and then."""
    if progress.done % 100 == 0:
        rate = progress.done / progress.seconds
        print(f"{progress.text}, {rate:.2f} steps/s", file=sys.stderr, flush=True)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("train")
    verb.set_defaults(does=train)
    verb.add_argument("--steps", type=int, default=10_000)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--data", type=Path, required=True)
    verb.add_argument("--run", type=Path, required=True)
    verb = verbs.add_parser("measure")
    verb.set_defaults(does=measure)
    verb.add_argument("--data", type=Path, required=True)
    verb.add_argument("--run", type=Path, help="a run's folder; without it the shipped weights")
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--parts", default="test,val,train")
    verb.add_argument(
        "--all", action="store_true", help="score the whole folder: it must hold no seen patient"
    )
    verb = verbs.add_parser("ship")
    verb.set_defaults(does=ship)
    verb.add_argument("--run", type=Path, required=True)
    verb.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.does(args)


if __name__ == "__main__":
    main()
