"""Learn what courses look like from phantoms, and write the laws that ship.

    python benchmarks/course_law.py OUT [--patients 150] [--scores 60]

Burden: the true share of the lungs that is lesion, of drawn patients on the days on which they are scanned,
from the disease itself at the coarse points of the lungs; nothing is rendered. A measurement's own error is
put on top (NOISE). s(t): the log-odds of the shipped classifier on rendered scans with their true lungs and
lesions, of fewer patients. Days count from each patient's first scan, which falls on any day of illness.

Afterwards each law is asked about patients it was not learned from: how often its 95 % limits hold the true
burden on days between their scans, and how far its middle is off, beside a straight line between the scans;
of s(t), what it says of a scan that was left out.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.disease import ill_on, spread_of
from glasslung.data.phantom.lungtree import coarse_lungs, lung_map
from glasslung.data.phantom.patient import Patient
from glasslung.measure.courselaw import FILE, CourseLaw, course_by, told_of
from glasslung.measure.trajectory import fit_law

NOISE = 0.25  # of the root of per cents: 25 +- 2.5 %, 4 +- 1 %, about what opacities by density are off by
FIRST_DAYS = (0.0, 12.0)  # days of illness on which patients are first scanned
SCANS = (3, 5)  # per patient
GAPS = (2.0, 8.0)  # days between scans
SHAPE = (40, 96, 96)


def burden(patient: Patient, days: np.ndarray) -> np.ndarray:
    """True per cent of the lungs that is lesion on each day of illness."""
    frame, lungs = coarse_lungs(patient.body)
    lobes = lungs.lobe.copy()
    inside = np.zeros(lobes.size, bool)
    inside[lung_map(patient.body).where] = True
    reached, fullness = spread_of(patient.body, patient.disease, patient.course).reach(
        frame, lobes, lungs.depth_mm
    )
    found = []
    for day in days:
        ill = ill_on(float(day), patient.course, patient.seed, reached, fullness, frame)
        there = inside[ill.where] & (ill.label > 0)
        found.append(100 * there.sum() / inside.sum())
    return np.array(found)


def visits(rng: np.random.Generator) -> np.ndarray:
    """Days of illness on which one patient is scanned."""
    gaps = rng.uniform(*GAPS, rng.integers(SCANS[0], SCANS[1] + 1) - 1)
    return rng.uniform(*FIRST_DAYS) + np.concatenate([[0.0], np.cumsum(gaps)])


def burden_law(count: int, seed: int) -> CourseLaw:
    rng = np.random.default_rng(seed)
    days, values, patients = [], [], []
    for n in range(count):
        on = visits(rng)
        true = burden(draw_patient(20_000 + n, "covid"), on)
        days.append(on - on[0])
        values.append(np.clip(np.sqrt(true) + rng.normal(0, NOISE, len(on)), 0, None))
        patients += [n] * len(on)
    at = np.concatenate(days)
    law = fit_law(at, np.concatenate(values), np.array(patients))
    words = f"{count} phantoms with COVID-19 drawn by glasslung, first scanned on any of the first 12 days"
    return CourseLaw(law, words, count, len(at), True, "", float(at.max()))


def scored(count: int, first: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray], str]:
    """Days since the first scan and log-odds of each of some patients, and the classifier's digest."""
    from glasslung.data.phantom import render
    from glasslung.predict.diagnosing import diagnose, open_classifier
    from glasslung.predict.exams import make_exam

    classifier = open_classifier("diagnosis-hu")
    rng = np.random.default_rng(seed)
    days, scores = [], []
    for n in range(count):
        on = visits(rng)
        person = draw_patient(first + n, "covid", "abc"[n % 3])
        found = []
        for day in on:
            chest = render(person, float(day), shape=SHAPE)
            exam = make_exam(chest.volume, chest.lungs, chest.lesions, classifier.size)
            found.append(diagnose(classifier, exam).log_odds)
        days.append(on - on[0])
        scores.append(np.array(found))
    return days, scores, classifier.digest


def score_law(count: int, seed: int) -> CourseLaw:
    days, scores, digest = scored(count, 30_000, seed)
    at = np.concatenate(days)
    patients = np.repeat(np.arange(count), [len(one) for one in days])
    law = fit_law(at, np.concatenate(scores), patients)
    words = f"{count} phantoms with COVID-19 of three scanners, read by diagnosis-hu with their true lesions"
    return CourseLaw(law, words, count, len(at), False, digest, float(at.max()))


def left_out(law: CourseLaw, count: int, seed: int) -> dict[str, float]:
    """A scan between others is left out: how far off is the course there, beside a straight line?"""
    days, scores, _ = scored(count, 50_000, seed)
    off, straight, inside = [], [], []
    for on, values in zip(days, scores, strict=True):
        middle = len(on) // 2
        kept = np.arange(len(on)) != middle
        found = course_by(law, on[kept], values[kept])
        at = on[middle]
        low, mean, high = (
            float(np.interp(at, found.days, side)) for side in (found.low, found.middle, found.high)
        )
        slack = 1.96 * law.law.noise  # the limits are of the course, and this is a measurement
        off.append(abs(values[middle] - mean))
        straight.append(abs(values[middle] - np.interp(at, on[kept], values[kept])))
        inside.append(low - slack <= values[middle] <= high + slack)
    return {
        "patients": count,
        "covered": float(np.mean(inside)),
        "mean_error": float(np.mean(off)),
        "straight_line_error": float(np.mean(straight)),
    }


def held_out(law: CourseLaw, count: int, seed: int) -> dict[str, float]:
    """Truth between the scans of new patients: covered by the limits? how far off, beside a straight line?"""
    rng = np.random.default_rng(seed)
    inside, off, straight = [], [], []
    for n in range(count):
        on = visits(rng)
        person = draw_patient(40_000 + n, "covid")
        seen = np.square(np.clip(np.sqrt(burden(person, on)) + rng.normal(0, NOISE, len(on)), 0, None))
        found = course_by(law, on - on[0], seen)
        true = burden(person, found.days + on[0])
        inside.append(np.mean((true >= found.low) & (true <= found.high)))
        off.append(np.mean(np.abs(true - found.middle)))
        straight.append(np.mean(np.abs(true - np.interp(found.days, on - on[0], seen))))
    return {
        "patients": count,
        "covered": float(np.mean(inside)),
        "mean_error_percent": float(np.mean(off)),
        "straight_line_error_percent": float(np.mean(straight)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--scores", type=int, default=60)
    parser.add_argument("--held-out", type=int, default=30)
    asked = parser.parse_args()
    begun = time.process_time()
    asked.out.mkdir(parents=True, exist_ok=True)
    laws = {"burden": burden_law(asked.patients, seed=1)}
    print(json.dumps({"burden": held_out(laws["burden"], asked.held_out, seed=2)}, indent=1), flush=True)
    (asked.out / FILE).write_text(json.dumps(told_of(laws)) + "\n")
    if asked.scores:
        laws["log-odds"] = score_law(asked.scores, seed=3)
        (asked.out / FILE).write_text(json.dumps(told_of(laws)) + "\n")
        found = left_out(laws["log-odds"], asked.held_out, seed=4)
        print(json.dumps({"log-odds": found}, indent=1), flush=True)
    for name, one in laws.items():
        law = one.law
        print(
            f"{name}: {one.patients} patients, {one.scans} scans; common curve over {law.common_days:.1f} d, "
            f"own over {law.own_days:.1f} d, noise {law.noise:.2f}"
        )
    print(f"{time.process_time() - begun:.0f} s of one core")


if __name__ == "__main__":
    main()
