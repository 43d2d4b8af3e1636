"""Whether Grad-CAM in three dimensions lies on true lesions, and whether it still does with shuffled weights.

    python benchmarks/volumecam_measured.py diagnosis-hu [--patients 16] [--pictures FOLDER]

COVID-like phantoms of a hospital never trained on, on a day of full disease, with their true masks. Of what
speaks for the finding inside the lungs: the share that lies inside lesions, over the share of the lungs that
is lesion (1: a map that knows nothing). The same after all weights of the network were shuffled. With
--pictures one patient's five days are drawn on one scale.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from glasslung.data.camsheet import CamColumn, cam_column, cam_sheet
from glasslung.data.phantom import Chest, draw_patient, render
from glasslung.explain.perturbing import shuffled
from glasslung.explain.volumecam import VolumeCam, common_scale, share_inside, volume_cam
from glasslung.files import write_whole
from glasslung.measure.statistics import bootstrap_by_patient
from glasslung.predict.diagnosing import Classifier, open_classifier
from glasslung.predict.exams import make_exam

SHAPE = (40, 96, 96)
FIRST_SEED = 2_500_000
DAY = 10.0
COURSE = (1.0, 5.0, 10.0, 16.0, 24.0)


def main() -> None:
    """Explain, count, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("classifier")
    parser.add_argument("--patients", type=int, default=16)
    parser.add_argument("--pictures", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    known = open_classifier(asked.classifier)
    forgot = replace(known, model=shuffled(known.model, np.random.default_rng(0)))
    began, ratios = time.process_time(), {"trained": [], "shuffled": []}
    for n in range(asked.patients):
        severity = 0.3 + 0.5 * n / asked.patients
        chest = render(draw_patient(FIRST_SEED + n, "covid", "c", severity), DAY, shape=SHAPE)
        for name, classifier in (("trained", known), ("shuffled", forgot)):
            share, volume = share_inside(_cam(classifier, chest).heat, chest.lesions, chest.lungs)
            ratios[name].append(share / volume)
    for name, found in ratios.items():
        limits = bootstrap_by_patient(
            lambda x: float(np.mean(x)), np.arange(len(found)), np.array(found), rng=np.random.default_rng(0)
        )
        print(f"{asked.classifier}, {name}: share inside lesions over their volume {limits}")
    print(f"{asked.patients} scans, {time.process_time() - began:.0f} s of one core")
    if asked.pictures:
        write_whole(asked.pictures / "course.png", _sheet(known))


def _cam(classifier: Classifier, chest: Chest) -> VolumeCam:
    read = classifier.operating
    exam = make_exam(chest.volume, chest.lungs, chest.lesions, classifier.size, read.frame)
    return volume_cam(classifier, exam, chest.volume)


def _sheet(classifier: Classifier) -> bytes:
    patient = draw_patient(FIRST_SEED + 4, "covid", "c", severity=0.7)
    cams: list[VolumeCam] = []
    columns: list[CamColumn] = []
    for day in COURSE:
        chest = render(patient, day, shape=SHAPE)
        cam = _cam(classifier, chest)
        cams.append(cam)
        columns.append(cam_column(f"day {day:g}", chest.volume, chest.lungs, cam.scaled, cam.score))
    return cam_sheet(columns, common_scale(cams), classifier.operating.finding)


if __name__ == "__main__":
    main()
