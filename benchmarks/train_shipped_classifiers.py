"""Train the classifiers that come with the package, and say what their figures are worth.

    python benchmarks/train_shipped_classifiers.py pictures --data DATA/ucsd_covid_ct --out OUT
    python benchmarks/train_shipped_classifiers.py phantoms --people 160 --seconds 150 --out OUT

OUT is src/glasslung/weights/diagnosis-8bit and .../diagnosis-hu for those that ship.

Pictures: part 'train' of the cohort teaches one linear layer on the features of lesions-8bit, part 'val' is
asked once, part 'test' is not read. Printed are the AUC of patients held out in training, that of 'val', and
of trees that see the lungs' outlines, their sharpness or their plain greys. Slices have 128 pixels because
finer ones let sharpness tell the label.

Scans in Hounsfield units: the paper's classifier learns from phantoms of two hospitals, with lungs and
lesions as the product finds them, and is asked once about other phantoms of these and those of a third.
"""

from __future__ import annotations

import argparse
import datetime as dt
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from glasslung import __version__
from glasslung.data.exams import ExamSet
from glasslung.data.sources import open_cohort
from glasslung.files import write_json
from glasslung.measure.ranking import auc_interval
from glasslung.models import build
from glasslung.predict.exams import ExamMaking, MaskMaker, read_exams
from glasslung.predict.opening import open_segmenter
from glasslung.studies.diagnosis import contest
from glasslung.studies.diagnosis.fitting import STRENGTHS, ask_exams, fit_linear, set_linear
from glasslung.studies.diagnosis.ground import phantom_ground
from glasslung.studies.diagnosis.learning import log_odds_of
from glasslung.studies.diagnosis.operatingpoint import fit_point, write_point
from glasslung.studies.diagnosis.source import source_tells
from glasslung.studies.diagnosis.training import without_leaks
from glasslung.train.checkpoint import save_tensors
from glasslung.train.rundir import hash_input

SEGMENTER, SEGMENTER_HU = "lesions-8bit", "lesions-hu"
METHOD = "NetVLAD + CVAE + side"  # of the contest: the paper's
PHANTOM_SIZE = 96  # pixels: a phantom's slices are no finer
ON_PICTURES = (
    "{scans} pictures of {patients} patients, cut out of papers and web pages ({covid} with COVID-19)"
)
ON_PHANTOMS = (
    "{scans} drawn chests (phantoms) of two made-up hospitals, {covid} with COVID-like pneumonia, the others "
    "with bacterial-like pneumonia or healthy: no scan of a person"
)


def train_on_pictures(data: Path, out: Path, exams_in: Path | None, size: int, seed: int) -> None:
    """Exams, features, one linear layer, operating point; everything a shipped classifier consists of."""
    cohort = open_cohort(data)
    cohort = without_leaks(
        replace(cohort, cases=tuple(c for c in cohort.cases if c.split in ("train", "val")))
    )
    exams = read_exams(cohort, exams_in, ExamMaking(size))
    training, validation = exams.part("train").labelled(), exams.part("val").labelled()
    model = build("lesionnet", seed, size=size, frozen=True).eval()
    segmenter = open_segmenter(SEGMENTER)
    model.start_from(segmenter.model.unet.encoder)  # type: ignore[operator,union-attr]
    rng = np.random.default_rng(seed)
    fit = fit_linear(ask_exams(model, training), training.label, training.patients, rng)  # type: ignore[arg-type]
    set_linear(model, fit)  # type: ignore[arg-type]
    point = fit_point(model, training, validation, SEGMENTER, told_of(ON_PICTURES, training), seed)
    hashes = {
        part: sorted(hash_input(cohort.path(c.image))[:16] for c in cohort.cases if c.split == part)
        for part in ("train", "val")
    }
    keep(out, "lesionnet", model, {"encoder": segmenter.digest, "scans": hashes}, seed)
    write_point(point, out)
    for strength, auc in zip(STRENGTHS, fit.aucs, strict=True):
        print(f"held-out training patients, mean of the deals: C {strength}, AUC {auc:.3f}")
    print(f"chosen {fit.strength}; held-out training patients, one deal: AUC {fit.held_out}")
    said = log_odds_of(model, validation)
    print(f"validation ({len(validation)} pictures): AUC", end=" ")
    print(auc_interval(validation.label == 1, said, validation.patients, rng=rng))
    for kind, interval in source_tells(exams, rng).items():
        print(f"without the lungs' inside, or by its plain figures: {kind} AUC {interval}")


def train_on_phantoms(people: int, seconds: float, out: Path, exams_in: Path | None, seed: int) -> None:
    """The paper's classifier on phantoms, trained as in the study, and its operating point."""
    ground = phantom_ground(people, 0, exams_in, PHANTOM_SIZE, MaskMaker(ExamMaking(PHANTOM_SIZE)))
    model, told = contest.train(contest.METHODS[METHOD], ground.exams, contest.Budget(seconds), seed)
    model = model.eval()
    training, validation = ground.part("train"), ground.part("val")
    point = fit_point(model, training, validation, SEGMENTER_HU, told_of(ON_PHANTOMS, training), seed)
    about = {"phantoms": people, "seconds": seconds, "steps": told["steps"]}
    keep(out, told["model"], model, about, seed)
    write_point(point, out)
    rng = np.random.default_rng(seed)
    for name in ("val", "test", "external"):
        part = ground.part(name)
        found = auc_interval(part.label == 1, log_odds_of(model, part), part.patients, rng=rng)
        outline = source_tells(part, rng)["outline"]
        print(f"{name} ({len(part)} scans): AUC {found}; by the lungs' outline alone {outline}")


def told_of(words: str, training: ExamSet) -> str:
    """What a classifier learned from, as one phrase."""
    patients, covid = len(set(training.patients)), int((training.label == 1).sum())
    return words.format(scans=len(training), patients=patients, covid=covid)


def keep(out: Path, name: str, model: torch.nn.Module, training: dict[str, object], seed: int) -> None:
    """Weights and settings, as `models.shipped` reads them."""
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / "model.safetensors", dict(model.state_dict()))
    told = asdict(model.config)  # type: ignore[call-overload]
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}
    write_json(
        out / "settings.json",
        {
            "name": name,
            "settings": {**settings, "training": training},
            "seed": seed,
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "versions": {"glasslung": __version__, "torch": str(torch.__version__)},
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pictures", "phantoms"))
    parser.add_argument("--data", type=Path, help="of pictures: the UCSD set, or any cohort with parts")
    parser.add_argument("--people", type=int, default=160, help="phantoms")
    parser.add_argument("--seconds", type=float, default=150.0, help="of training on phantoms")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exams", type=Path, default=None, help="folder in which exams are kept")
    parser.add_argument("--size", type=int, default=128, help="of pictures, pixels")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.what == "phantoms":
        train_on_phantoms(asked.people, asked.seconds, asked.out, asked.exams, asked.seed)
    elif asked.data is None:
        parser.error("pictures need --data")
    else:
        train_on_pictures(asked.data, asked.out, asked.exams, asked.size, asked.seed)
