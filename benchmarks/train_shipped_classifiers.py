"""Train the classifier of 8-bit slices that comes with the package, and say what its figures are worth.

python benchmarks/train_shipped_classifiers.py --data DATA/ucsd_covid_ct --out OUT
OUT is src/glasslung/weights/diagnosis-8bit for the one that ships.

Part 'train' of the cohort teaches it, part 'val' is asked once, part 'test' is not read. Printed are the AUC
of patients held out in training, that of 'val', and of trees that see the lungs' outlines, their sharpness or
their plain greys. Slices have 128 pixels because finer ones let sharpness tell the label.
"""

from __future__ import annotations

import argparse
import datetime as dt
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from glasslung import __version__
from glasslung.data.sources import open_cohort
from glasslung.files import write_json
from glasslung.measure.ranking import auc_interval
from glasslung.models import build
from glasslung.predict.exams import ExamMaking, read_exams
from glasslung.predict.opening import open_segmenter
from glasslung.studies.diagnosis.fitting import STRENGTHS, ask_exams, fit_linear, set_linear
from glasslung.studies.diagnosis.learning import log_odds_of
from glasslung.studies.diagnosis.operatingpoint import fit_point, write_point
from glasslung.studies.diagnosis.source import source_tells
from glasslung.studies.diagnosis.training import without_leaks
from glasslung.train.checkpoint import save_tensors
from glasslung.train.rundir import hash_input

SEGMENTER = "lesions-8bit"
TRAINED_ON = (
    "{scans} pictures of {patients} patients, cut out of papers and web pages ({covid} with COVID-19)"
)


def train(data: Path, out: Path, exams_in: Path | None, size: int, seed: int) -> None:
    """Exams, features, one linear layer, operating point; everything a shipped classifier consists of."""
    cohort = open_cohort(data)
    cohort = without_leaks(
        replace(cohort, cases=tuple(c for c in cohort.cases if c.split in ("train", "val")))
    )
    exams = read_exams(cohort, exams_in, ExamMaking(size))
    training, validation = exams.part("train").labelled(), exams.part("val").labelled()
    settings = {"size": size, "frozen": True}
    model = build("lesionnet", seed, **settings).eval()
    segmenter = open_segmenter(SEGMENTER)
    model.start_from(segmenter.model.unet.encoder)  # type: ignore[operator,union-attr]
    rng = np.random.default_rng(seed)
    fit = fit_linear(ask_exams(model, training), training.label, training.patients, rng)  # type: ignore[arg-type]
    set_linear(model, fit)  # type: ignore[arg-type]
    told = TRAINED_ON.format(
        scans=len(training), patients=len(set(training.patients)), covid=int((training.label == 1).sum())
    )
    point = fit_point(model, training, validation, SEGMENTER, told, seed)
    out.mkdir(parents=True, exist_ok=True)
    save_tensors(out / "model.safetensors", model.state_dict())
    hashes = {
        part: sorted(hash_input(cohort.path(c.image))[:16] for c in cohort.cases if c.split == part)
        for part in ("train", "val")
    }
    write_json(
        out / "settings.json",
        {
            "name": "lesionnet",
            "settings": {**_plain(model), "training": {"encoder": segmenter.digest, "scans": hashes}},
            "seed": seed,
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "versions": {"glasslung": __version__, "torch": str(torch.__version__)},
        },
    )
    write_point(point, out)
    for strength, auc in zip(STRENGTHS, fit.aucs, strict=True):
        print(f"held-out training patients, mean of the deals: C {strength}, AUC {auc:.3f}")
    print(f"chosen {fit.strength}; held-out training patients, one deal: AUC {fit.held_out}")
    said = log_odds_of(model, validation)
    print(f"validation ({len(validation)} pictures): AUC", end=" ")
    print(auc_interval(validation.label == 1, said, validation.patients, rng=rng))
    for kind, interval in source_tells(exams, rng).items():
        print(f"without the lungs' inside, or by its plain figures: {kind} AUC {interval}")


def _plain(model: torch.nn.Module) -> dict[str, object]:
    told = asdict(model.config)  # type: ignore[call-overload]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the UCSD set, or any cohort with parts")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--exams", type=Path, default=None, help="folder in which exams are kept")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train(asked.data, asked.out, asked.exams, asked.size, asked.seed)
