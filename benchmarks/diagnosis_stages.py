"""How long a whole diagnosis of a large scan takes, stage by stage, beside the paper's 76.5 s on a Titan Xp.

    python benchmarks/diagnosis_stages.py [--shape 300 512 512] [--runs 3] [--classifier RUN] [--threads 2]

The scan is a phantom, resampled to the shape asked for. Stages run one after the other as `glasslung
diagnose` runs them: lungs by rules, lesions by the network that ships, the classifier, its relevance, the
map on the scan's grid and its file; of --runs the median is printed, with how far memory rose. The
classifier is that named, or the one that ships; where there is none, the paper's NetVLAD at 256 pixels with
weights as they are drawn, which costs the same. Relevance stands beside a forward and backward pass of the
same slices. The whole command is then run as a process of its own, with its peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from analyze_stages import large_scan, timed
from glasslung.data.exambatches import whole
from glasslung.data.exams import Exam
from glasslung.data.formats import read_scan
from glasslung.data.lungs import segment_lungs
from glasslung.explain.heatmaps import scan_map, write_relevance
from glasslung.explain.lrp import explain_exam
from glasslung.files import write_json
from glasslung.predict.diagnosing import Classifier, diagnose, open_classifier, shipped_classifier
from glasslung.predict.exams import make_exam
from glasslung.predict.masks import segment_scan
from glasslung.predict.opening import open_segmenter, shipped_for
from glasslung.predict.operating import OPERATING
from glasslung.train.rundir import RunDir
from glasslung.types import Intensity

PAPER_SECONDS = 76.5  # lungs, lesions, classifier and relevance of one scan on a Titan Xp
PAPER_CLASSIFIER = 0.5
BARS = {"whole": 90.0, "classifier": 5.0, "relevance / (forward + backward)": 3.0}
SIZE = 256  # the paper keeps each scan's own plane; ours are smaller
SCORES = np.linspace(0.01, 0.6, 20).tolist()
DRAWN = {
    "finding": "COVID-19",
    "temperature": 1.0,
    "bias": 0.0,
    "threshold": 0.5,
    "rule": "none: weights as they are drawn",
    "conformal": {"level": 0.9, "covid": SCORES, "other": SCORES},
    "validation": {
        "scans": 1,
        "patients": 1,
        "auc": [0.5, 0.0, 1.0],
        "ece": 0.0,
        "reliability": [[0.0, 1.0, 0.5, 0.5, 1]],
        "sensitivity": [0.5, 0.0, 1.0],
        "specificity": [0.5, 0.0, 1.0],
    },
    "familiar": None,
    "reads": {"intensity": "hu", "size": SIZE, "spacing_mm": 3.0, "lesions_by": "lesions-hu"},
    "trained_on": "nothing",
    "limits": "it is here to be timed",
}


def drawn_run(folder: Path) -> Path:
    """A run of the paper's classifier with weights as they are drawn."""
    from glasslung.models import build

    run = RunDir.create(folder, "diagnosis", "netvlad", {"size": SIZE}, 0)
    with run.writing():
        run.save("netvlad", build("netvlad", 0, size=SIZE))
    write_json(folder / OPERATING, DRAWN)
    return folder


def forward_and_backward(classifier: Classifier, exam: Exam) -> None:
    """Log-odds, and their gradient in every weight and pixel."""
    batch = whole(exam)
    image = batch.image.requires_grad_()
    classifier.model.zero_grad()
    classifier.model.scores(image, batch.lesion, batch.scan).sum().backward()  # type: ignore[operator]


def stages(scan: Path, classifier: Classifier, folder: Path) -> tuple[Exam, dict[str, Callable[[], object]]]:
    """Stage -> what it does, each on the results of those before it."""
    segmenter = open_segmenter(shipped_for(Intensity.HU) or "none")
    volume = read_scan(scan)
    lungs = segment_lungs(volume)
    found = segment_scan(volume, segmenter, lungs)
    exam = make_exam(volume, found.lungs.mask, found.lesions, classifier.size)
    reasons = explain_exam(classifier.model, exam)
    relevance = scan_map(reasons, exam, volume)
    return exam, {
        "reading": lambda: read_scan(scan),
        "lungs": lambda: segment_lungs(volume),
        "lesions": lambda: segment_scan(volume, segmenter, lungs),
        "exam": lambda: make_exam(volume, found.lungs.mask, found.lesions, classifier.size),
        "classifier": lambda: diagnose(classifier, exam),
        "relevance": lambda: explain_exam(classifier.model, exam),
        "map on the scan's grid": lambda: scan_map(reasons, exam, volume),
        "its file": lambda: write_relevance(relevance, volume, folder / "relevance.nii.gz"),
    }


class Cost(NamedTuple):
    """What a stage takes: seconds on the clock, of all cores together, and MB by which memory rose."""

    seconds: float
    cores: float
    megabytes: float


def cost_of(work: Callable[[], object], runs: int) -> Cost:
    """The median of some runs. On a machine that does other things too, the time of all cores says more."""
    found = []
    for _ in range(runs):
        begun = time.process_time()
        seconds, megabytes = timed(work)
        found.append((seconds, time.process_time() - begun, megabytes))
    return Cost(*(statistics.median(column) for column in zip(*found, strict=True)))


def whole_command(scan: Path, folder: Path, which: str) -> Cost:
    """`glasslung diagnose` as a process of its own; memory is its peak."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "glasslung", "diagnose", str(scan), "--classifier", which]
    subprocess.run([*command, "--out", str(folder / "out")], check=True, capture_output=True)
    seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def print_stages(scan: Path, folder: Path, which: str, runs: int) -> None:
    """The table, and relevance beside a forward and backward pass."""
    classifier = open_classifier(which)
    exam, parts = stages(scan, classifier, folder)
    print(f"{classifier.name} ({classifier.method}), {len(whole(exam).scan)} slices of {exam.size} pixels\n")
    print("| stage | s | of all cores, s | MB |")
    print("|---|---|---|---|")
    took = {}
    for stage, work in parts.items():
        took[stage] = cost = cost_of(work, runs)
        print(f"| {stage} | {cost.seconds:.2f} | {cost.cores:.2f} | {cost.megabytes:.0f} |", flush=True)
    whole_of = [sum(column) for column in zip(*took.values(), strict=True)]
    print(f"| all together | {whole_of[0]:.1f} | {whole_of[1]:.1f} | |")
    pair = cost_of(lambda: forward_and_backward(classifier, exam), runs)
    asked = took["classifier"].seconds
    print(f"\nclassifier: {asked:.1f} s (bar {BARS['classifier']:g}; paper {PAPER_CLASSIFIER})")
    print(
        f"relevance: {took['relevance'].cores / pair.cores:.1f} times the cores' time of a forward and "
        f"backward pass, {pair.cores:.2f} s (bar {BARS['relevance / (forward + backward)']:g})"
    )


def main() -> None:
    """Print what was measured."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--shape", type=int, nargs=3, default=(300, 512, 512))
    options.add_argument("--runs", type=int, default=3)
    options.add_argument(
        "--threads", type=int, default=0, help="of the networks; 0: as many as there are cores"
    )
    options.add_argument("--classifier", default="", help="a run or a shipped name; else what ships")
    given = options.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan = folder / "scan.nii.gz"
        large_scan(tuple(given.shape), scan)
        which = given.classifier or shipped_classifier(Intensity.HU) or str(drawn_run(folder / "drawn"))
        print(f"{' x '.join(map(str, given.shape))} voxels, {os.cpu_count()} cores, {given.runs} run(s)")
        command = whole_command(scan, folder, which)
        print_stages(scan, folder, which, given.runs)
        print(
            f"\nglasslung diagnose as a process: {command.seconds:.1f} s, of all cores {command.cores:.1f} s,"
            f" peak {command.megabytes / 1e3:.2f} GB (bar {BARS['whole']:g} s; paper {PAPER_SECONDS} s)"
        )


if __name__ == "__main__":
    main()
