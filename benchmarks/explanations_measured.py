"""What explanations of a classifier are worth, on phantoms whose lesions are known: the figures of the docs.

    python benchmarks/explanations_measured.py FOLDER [--seconds 100] [--scans 80] [--method "no CVAE"]

FOLDER keeps the exams and the trained weights, so a second call only measures. One classifier is trained on
phantom exams (64 pixels), then scans with the disease that it never saw are explained: with each composite,
with each rule at the input, by Grad-CAM and integrated gradients, and with all weights shuffled.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from glasslung.data.exambatches import whole
from glasslung.data.exams import Exam, ExamSet
from glasslung.explain.composites import CONSERVING, GRADIENT, PAPER, VISIBLE, Composite
from glasslung.explain.gradients import grad_cam, integrated_gradients
from glasslung.explain.ledger import localise, shares
from glasslung.explain.lrp import Relevance, explain_exam
from glasslung.explain.perturbing import asking, curves, likeness, shuffled
from glasslung.measure.ranking import auc
from glasslung.measure.statistics import bootstrap_by_patient
from glasslung.models import build
from glasslung.studies.diagnosis.contest import METHODS, Budget, log_odds_of, train
from glasslung.studies.diagnosis.ground import phantom_ground

WAYS = {
    "conserving": CONSERVING,
    "paper": PAPER,
    "gradient": GRADIENT,
    "visible": VISIBLE,
    "LRP-0 at the input": replace(CONSERVING, pixels="zero"),
    "flat at the input": replace(CONSERVING, pixels="flat"),
    "alpha 1, beta 0": replace(CONSERVING, alpha=1.0, beta=0.0),
}


def main() -> None:
    """Train or open, then measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=100.0, help="of training")
    parser.add_argument("--scans", type=int, default=80)
    parser.add_argument("--method", default="no CVAE", choices=list(METHODS))
    parser.add_argument("--most", type=int, default=12, help="scans that are explained")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ground = phantom_ground(asked.scans, 0, asked.folder / "exams", size=64)
    model = classifier(asked, ground.exams)
    random = build(METHODS[asked.method].model, 7, size=64, **METHODS[asked.method].settings).eval()
    unseen = ground.exams.take([n for n, part in enumerate(ground.exams.split) if part != "train"])
    said = log_odds_of(model, unseen)
    print(f"AUC on {len(unseen)} scans it did not learn from: {auc(unseen.label == 1, said):.2f}")
    ill = unseen.take(np.flatnonzero(unseen.label == 1)[: asked.most])
    print(
        f"explained: {len(ill)} with the disease, {np.mean([len(one) for one in ill.exams]):.0f} slices each"
    )
    for name, way in WAYS.items():
        print_way(name, lambda m, e, way=way: explain_exam(m, e, way), model, ill)
    for seed in range(4):
        forgot = shuffled(model, np.random.default_rng(seed))
        print_way(f"conserving, shuffled {seed}", explain_exam, forgot, ill, model)
    print_way("conserving, random weights", explain_exam, random, ill)
    print_way("paper, random weights", lambda m, e: explain_exam(m, e, PAPER), random, ill)
    print_way("the scan itself", itself, model, ill)
    print_way("Grad-CAM", cam, model, ill)
    print_way("integrated gradients", slopes, model, ill)
    print_curves(model, ill)
    print_without(model, unseen.take(np.flatnonzero(unseen.label == 0)[:4]))


def classifier(asked: argparse.Namespace, exams: ExamSet) -> torch.nn.Module:
    """The trained network, from the folder if it lies there."""
    method = METHODS[asked.method]
    model = build(method.model, 0, size=64, **method.settings)
    path = asked.folder / f"{asked.method} {asked.seconds:g} s.safetensors"
    if not path.exists():
        trained, told = train(method, exams, Budget(asked.seconds, looks=6), 0)
        save_file({name: value.contiguous() for name, value in trained.state_dict().items()}, path)
        print(f"trained for {told['seconds']:.0f} s, {told['steps']} steps")
    model.load_state_dict(load_file(path))
    return model.eval()


def cam(model: torch.nn.Module, exam: Exam) -> Relevance:
    """Grad-CAM in the clothes of relevance; it sums to nothing."""
    batch = whole(exam)
    found = grad_cam(model, batch.image, batch.lesion)
    return Relevance(found, np.zeros_like(found), np.nan, "Grad-CAM", (), np.arange(len(found)))


def itself(model: torch.nn.Module, exam: Exam) -> Relevance:
    """What a map would be told that shows the scan's grey values and nothing of the network."""
    grey = exam.image.astype(np.float32)
    return Relevance(grey, np.zeros_like(grey), np.nan, "the scan itself", (), np.arange(len(grey)))


def slopes(model: torch.nn.Module, exam: Exam) -> Relevance:
    """Integrated gradients."""
    batch = whole(exam)
    return integrated_gradients(model, batch.image, batch.lesion, 16)


def print_way(
    name: str,
    way: Callable[[torch.nn.Module, Exam], Relevance],
    model: torch.nn.Module,
    exams: ExamSet,
    beside: torch.nn.Module | None = None,
) -> None:
    """One line: conservation, where relevance lies, how well it finds lesions, seconds."""
    rng = np.random.default_rng(0)
    rows, alike, start = [], [], time.process_time()
    found = [way(model, exam) for exam in exams.exams]
    seconds = (time.process_time() - start) / len(found)
    for one, exam in zip(found, exams.exams, strict=True):
        told = {share.region: share for share in shares(one.map, exam)}
        there = localise(one.map, exam, exam.lesions > 0, rng)
        if there is None:
            continue
        picture = localise(one.image, exam, exam.lesions > 0, rng)
        mask = np.abs(one.lesion).sum() / max(np.abs(one.lesion).sum() + np.abs(one.image).sum(), 1e-30)
        rows.append(
            [
                told["outside the lungs"].relevance,
                there.share,
                there.volume,
                there.ratio,
                np.nan if picture is None else picture.ratio,
                there.net,
                there.hit,
                there.auc,
                mask,
            ]
        )
        if beside is not None:
            alike.append(likeness(one.map, explain_exam(beside, exam).map, exam))
    mean = np.nanmean(np.array(rows, float), 0)
    ratio = np.array(rows, float)[:, 3]
    patients = list(range(len(ratio)))
    span = bootstrap_by_patient(np.mean, patients, ratio, rng=rng, draws=500)
    away = sum(abs(one.log_odds - one.inputs - one.biases) for one in found)
    error = away / sum(abs(one.log_odds) for one in found)
    bias = np.mean([one.biases / one.log_odds for one in found])
    print(
        f"{name:28s} error {error:8.1e} biases {bias:5.2f} | outside {mean[0]:.2f} lesions {mean[1]:.2f} of "
        f"{mean[2]:.3f} = x{span} (image alone x{mean[4]:.2f}) net {mean[5]:+.2f} hit {mean[6]:.2f} "
        f"AUC {mean[7]:.2f} mask {mean[8]:.2f} | {seconds:.2f} s"
        + (f" | likeness {np.mean(alike):.2f}" if alike else "")
    )


def print_curves(model: torch.nn.Module, exams: ExamSet) -> None:
    """Deletion and insertion, conserving and paper, beside random patches."""
    for name, way in (
        ("conserving", CONSERVING),
        ("paper", PAPER),
        ("visible", VISIBLE),
        ("gradient", GRADIENT),
    ):
        print(f"{name:12s} {curve_line(model, exams, way)}")


def print_without(model: torch.nn.Module, exams: ExamSet) -> None:
    """Scans without the disease: what biases take of the log-odds with z-B, and with nothing on black."""
    for exam, word in zip(exams.exams, exams.words, strict=True):
        boxed, visible = (explain_exam(model, exam, way) for way in (CONSERVING, VISIBLE))
        parts = f"z-B {boxed.biases / boxed.log_odds:.2f}, visible {visible.biases / visible.log_odds:.2f}"
        print(f"{word}: log-odds {boxed.log_odds:.2f}, of which biases {parts}")


def curve_line(model: torch.nn.Module, exams: ExamSet, way: Composite) -> str:
    """Mean areas of the curves, log-odds."""
    rng, areas = np.random.default_rng(0), []
    for exam in exams.exams:
        taken, put = curves(asking(model), exam, explain_exam(model, exam, way).map, rng)
        areas.append([taken.area, taken.random_area, put.area, put.random_area])
    a = np.mean(areas, 0)
    return f"deletion {a[0]:.2f} (random {a[1]:.2f}), insertion {a[2]:.2f} (random {a[3]:.2f}), mean log-odds"


if __name__ == "__main__":
    main()
