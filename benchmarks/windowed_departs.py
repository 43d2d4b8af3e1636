"""How far a scan resampled first and windowed then departs from one windowed first, as exams are made.

    python benchmarks/windowed_departs.py [--classifier diagnosis-hu]

Three phantoms of two resolutions, in both frames, at no shift and at shifts of level and width. Printed: mean
and 99th percentile of the difference in grey levels (0 to 255) where the exam shows something; for a
classifier's own frame the difference in its log-odds; and what each way takes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from glasslung.data.exams import BODY, LUNGS
from glasslung.data.phantom import draw_patient, render
from glasslung.predict.diagnosing import open_classifier
from glasslung.predict.exams import make_exam
from glasslung.predict.windowed import shifted, windowed

PHANTOMS = ((4, "covid", (64, 160, 160)), (9, "bacterial", (64, 160, 160)), (14, "covid", (128, 256, 256)))
TINY = 1e-9  # no shift, but not the stored exam either
SHIFTS = {
    "none": ((TINY, 0.0),),
    "100 HU": ((100.0, 0.0), (-100.0, 0.0), (0.0, 100.0), (0.0, -100.0)),
    "200 HU": ((200.0, 0.0), (-200.0, 0.0), (0.0, 200.0), (0.0, -200.0)),
    "level 300 HU": ((300.0, 0.0), (-300.0, 0.0)),
    "width 600 HU": ((0.0, 600.0), (0.0, -600.0)),
}


def main() -> None:
    """Make both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--classifier", default="diagnosis-hu")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    classifier = open_classifier(asked.classifier)
    chests = [render(draw_patient(seed, kind, "a"), 8.0, shape=shape) for seed, kind, shape in PHANTOMS]
    for frame in (LUNGS, BODY):
        seen = [windowed(one.volume, one.lungs, one.lesions, classifier.size, frame) for one in chests]
        for name, shifts in SHIFTS.items():
            grey, odds, spent = [], [], np.zeros(2)
            for chest, scan in zip(chests, seen, strict=True):
                for level, width in shifts:
                    began = time.process_time()
                    found = scan.at(level, width)
                    between = time.process_time()
                    other = replace(frame, window_hu=shifted(frame.window_hu, level, width))
                    wanted = make_exam(chest.volume, chest.lungs, chest.lesions, classifier.size, other)
                    spent += (between - began, time.process_time() - between)
                    shown = wanted.lungs > 0 if frame.masked else np.ones(wanted.lungs.shape, bool)
                    grey.append(np.abs(found.image.astype(int) - wanted.image)[shown])
                    if frame == classifier.operating.frame:
                        odds.append(abs(classifier.ask(found) - classifier.ask(replace(wanted, frame=frame))))
            every = np.concatenate(grey)
            told = f"; log-odds {np.mean(odds):.4f} in the mean, {max(odds):.4f} at most" if odds else ""
            ours, theirs = (1000 * spent / len(grey)).round()
            print(
                f"{frame.name}, {name}: grey {every.mean():.2f} in the mean, {np.quantile(every, 0.99):.0f} "
                f"at 99 %{told}; {ours:.0f} ms against {theirs:.0f}"
            )


if __name__ == "__main__":
    main()
