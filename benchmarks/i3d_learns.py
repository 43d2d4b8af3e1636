"""Whether a narrow I3D learns on one core, beside a 2D ResNet-50 over slices of the same width and pixels.

    python benchmarks/i3d_learns.py FOLDER --model i3d
    python benchmarks/i3d_learns.py FOLDER --model resnet2d

Phantoms, half COVID-like and half bacterial-like: 160 of hospital a, a fourth of them to look at, 40 of b and
40 of c, which nobody learns from. Whole bodies of 96 pixels, no lungs marked. Exams are kept in FOLDER; the
first call draws them. Settings were tuned on hospital a alone. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glasslung.data.exams import ExamSet, label_of
from glasslung.data.examstore import ExamStore
from glasslung.data.phantom import Patient, draw_cohort, render
from glasslung.measure.ranking import auc_interval
from glasslung.models import build
from glasslung.predict.exams import BODY, make_exam
from glasslung.studies.diagnosis.learning import Pace, classifier_game, log_odds_of
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

SIZE, SHAPE = 96, (80, 128, 128)
MIX = {"covid": 0.5, "bacterial": 0.5}
HOSPITALS = (("a", 160, 11, ("train", "train", "train", "val")), ("b", 40, 12, ("b",)), ("c", 40, 13, ("c",)))
LAST_DAY = {"covid": 18.0, "bacterial": 9.0}
SETTINGS: dict[str, dict[str, Any]] = {
    "i3d": {"size": SIZE, "depth": 40, "width": 0.25, "dropout": 0.3},
    "resnet2d": {"size": SIZE, "width": 0.25, "dropout": 0.3},
}
LOOK = 40  # steps


def main() -> None:
    """Draw, train, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=tuple(SETTINGS), default="i3d")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    exams = _exams(asked.folder)
    model: Any = build(asked.model, asked.seed, **SETTINGS[asked.model])
    weights = sum(part.numel() for part in model.parameters())
    training = exams.part("train")
    print(f"{asked.model}, {SETTINGS[asked.model]}, {weights} weights; {len(training)} scans to learn from")
    game = classifier_game(model, asked.model, training, Pace(), asked.seed, Machine("cpu", "32-true"))
    began = time.process_time()
    while game.step < asked.steps:
        fit(game, range(game.step, min(asked.steps, game.step + LOOK)))
        with game.averaged():
            parts = ("val",) if game.step < asked.steps else ("val", "b", "c")
            told = ", ".join(_auc(model, exams.part(part), part) for part in parts)
        print(f"step {game.step}, {time.process_time() - began:.0f} s: AUC {told}", flush=True)
    if asked.model == "i3d":
        with game.averaged():
            _print_exactness(model, exams)


def _auc(model: Any, exams: ExamSet, name: str) -> str:
    found = auc_interval(
        exams.label == 1, log_odds_of(model, exams), exams.patients, rng=np.random.default_rng(0)
    )
    return f"{name} {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _print_exactness(model: Any, exams: ExamSet) -> None:
    """What fewer digits between layers cost, in log-odds."""
    others = exams.take([row for row, part in enumerate(exams.split) if part != "train"])
    quick = log_odds_of(model, others)
    model.exact = True
    exact = log_odds_of(model, others)
    off = np.abs(quick - exact)
    flips = int(((quick > 0) != (exact > 0)).sum())
    print(
        f"as asked here beside 32 bit, {len(others)} scans: log-odds of SD {exact.std():.2f} are off by "
        f"{np.median(off):.3f} in the median and {off.max():.3f} at most; {flips} change their sign"
    )


def _exams(folder: Path) -> ExamSet:
    """All phantoms as exams, by part; those that are kept are not drawn again."""
    store = ExamStore(folder, {"benchmark": "i3d_learns", "size": SIZE, "shape": SHAPE})
    rng, rows = np.random.default_rng(0), []
    for site, people, seed, parts in HOSPITALS:
        count = dict.fromkeys(MIX, 0)
        for patient in draw_cohort(people, seed, MIX, (site,)).patients:
            day = round(float(rng.uniform(2, LAST_DAY[patient.disease])), 1)
            rows.append((patient, day, parts[count[patient.disease] % len(parts)], site))
            count[patient.disease] += 1
    exams, names = [], []
    for patient, day, _, site in rows:
        name = f"{patient.seed} {patient.disease} {site} {day}"
        exam = store.kept(name)
        if exam is None:
            exam = _drawn(patient, day)
            store.keep(name, exam)
        exams.append(exam)
        names.append(name)
    found = ExamSet(
        tuple(exams),
        np.array([label_of(patient.disease) for patient, *_ in rows]),
        tuple(patient.disease for patient, *_ in rows),
        tuple(f"p{patient.seed}{site}" for patient, _, _, site in rows),
        tuple(site for *_, site in rows),
        tuple(f"s{row}" for row in range(len(rows))),
        tuple(part for _, _, part, _ in rows),
    )
    store.finish(found, names)
    return found


def _drawn(patient: Patient, day: float) -> Any:
    chest = render(patient, day, shape=SHAPE)
    return make_exam(chest.volume, chest.lungs, chest.lesions, SIZE, BODY)


if __name__ == "__main__":
    main()
