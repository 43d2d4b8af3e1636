"""How well smooth courses hold the truth: phantoms whose burden is known on every day, seen on a few.

    python benchmarks/courses_measured.py --out docs/numbers/courses_phantom.json

COVID-like phantoms of three hospitals are drawn on every second day from 1 to 21 (40 x 96 x 96 voxels): the
share of the lungs that is lesion is then known all along. Each is seen on two to four of these days, with a
measurement error of a tenth; the law of courses is learned from two thirds of the patients and each of the
others is smoothed by it, as the square root of the burden, as `analyze` does. Measured between a patient's
first and last scan, on days without a scan: how often the 95 % band holds the truth, how far the middle of it
lies from the truth beside a straight line from scan to scan, and how far the day of the peak is off. After
that the shape across all patients, from the measured scans and from the truth.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.phantom import draw_patient, render
from glasslung.files import write_json
from glasslung.measure.courseshapes import shapes_across
from glasslung.measure.statistics import Interval, bootstrap_by_patient, share_by_patient
from glasslung.measure.trajectory import Law, fit_law, shape_of, smooth

SHAPE = (40, 96, 96)
DAYS = np.arange(1.0, 22.0, 2.0)
FIRST_SEED = 3_000_000  # cohorts draw theirs below a million
ERROR = 0.1  # of the burden: what two segmenters of one lesion differ by
SCANS = (2, 3, 4)


def main() -> None:
    """Draw, learn, smooth, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.process_time()
    truth = np.stack([_true_course(n) for n in range(asked.patients)])
    rng = np.random.default_rng(asked.seed)
    seen = [_seen(one, rng) for one in truth]
    learned = 2 * asked.patients // 3
    law = fit_law(
        np.concatenate([days for days, _ in seen[:learned]]),
        np.concatenate([values for _, values in seen[:learned]]),
        np.repeat(np.arange(learned), [len(days) for days, _ in seen[:learned]]),
    )
    rows = [_compared(n, truth[n], *seen[n], law, rng) for n in range(learned, asked.patients)]
    found: dict[str, Any] = {
        "patients": {"learned from": learned, "smoothed": asked.patients - learned},
        "law": {"common_days": law.common_days, "own_days": law.own_days, "noise": law.noise},
        "all": _figures(rows, rng),
        "by scans": {str(count): _figures([r for r in rows if r["scans"] == count], rng) for count in SCANS},
        "across": _across(truth, seen, rng),
        "seconds": round(time.process_time() - began, 1),
    }
    write_json(asked.out, found)
    for name, one in (("all", found["all"]), *found["by scans"].items()):
        print(name, {key: _rounded(value) for key, value in one.items()})
    print("across", {key: _rounded(value) for key, value in found["across"].items()})
    print(f"{found['seconds']} s of one core")


def _true_course(number: int) -> np.ndarray:
    """Share of the lungs that is lesion on DAYS, per cent."""
    patient = draw_patient(FIRST_SEED + number, "covid", "abc"[number % 3])
    return np.array([100 * render(patient, float(day), shape=SHAPE).involvement() for day in DAYS])


def _seen(truth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Days and square roots of the measured burden of one patient's scans."""
    rows = np.sort(rng.choice(len(DAYS), int(rng.choice(SCANS)), replace=False))
    while rows[-1] - rows[0] < 3:  # a week at least, or there is no course
        rows = np.sort(rng.choice(len(DAYS), len(rows), replace=False))
    return DAYS[rows], np.sqrt(truth[rows] * np.exp(rng.normal(0, ERROR, len(rows))))


def _compared(
    number: int, truth: np.ndarray, days: np.ndarray, values: np.ndarray, law: Law, rng: np.random.Generator
) -> dict[str, Any]:
    """One patient's smooth course beside the truth on the days between the scans."""
    between = (days.min() < DAYS) & (days.max() > DAYS) & ~np.isin(DAYS, days)
    course = smooth(law, days, values, DAYS[between])
    low, middle, high = (np.clip(one, 0, None) ** 2 for one in (course.low, course.mean, course.high))
    line = np.interp(DAYS[between], days, values**2)
    shape = shape_of(
        law, days, values, float(days.min()), float(days.max()), rng, lambda x: np.clip(x, 0, None) ** 2
    )
    span = (days.min() <= DAYS) & (days.max() >= DAYS)
    top = float(DAYS[span][np.argmax(truth[span])])
    return {
        "patient": number,
        "scans": len(days),
        "held": (low <= truth[between]) & (truth[between] <= high),
        "off": middle - truth[between],
        "line": line - truth[between],
        "inner": days.min() < top < days.max(),
        "peak_off": shape.peak_day.value - top,
        "peak_held": shape.peak_day.low - 1 <= top <= shape.peak_day.high + 1,  # the truth is known to 2 days
    }


def _figures(rows: list[dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Counts and figures with intervals by resampling patients."""
    who = np.concatenate([np.full(len(row["held"]), row["patient"]) for row in rows])
    held, off, line = (np.concatenate([row[name] for row in rows]) for name in ("held", "off", "line"))
    inner = [row for row in rows if row["inner"]]
    peaks = np.array([row["patient"] for row in inner])
    return {
        "patients": len(rows),
        "days": len(who),
        "held by the band": _told(share_by_patient(held, who, rng=rng)),
        "off, per cent of the lungs": _told(_of(lambda x: np.sqrt(np.mean(x**2)), who, off, rng)),
        "a straight line off": _told(_of(lambda x: np.sqrt(np.mean(x**2)), who, line, rng)),
        "peaks inside": len(inner),
        "peak day off, median": _told(_of(np.median, peaks, np.abs([row["peak_off"] for row in inner]), rng)),
        "peak day held": _told(
            share_by_patient(np.array([row["peak_held"] for row in inner]), peaks, rng=rng)
        )
        if len(inner) > 1
        else None,
    }


def _across(
    truth: np.ndarray, seen: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> dict[str, Any]:
    days = np.concatenate([one for one, _ in seen])
    values = np.concatenate([one for _, one in seen])
    who = np.repeat(np.arange(len(seen)), [len(one) for one, _ in seen])
    found = shapes_across(days, values, who, rng=rng)
    fullest = DAYS[truth.argmax(1)]
    return {
        "patients with three scans or more": len(found.people),
        "peak between the scans": _told(found.peaked),
        "peak day, median": _told(found.peak_day),
        "true peak day, median and quartiles": np.quantile(fullest, [0.5, 0.25, 0.75]).tolist(),
        "surely falling at the last scan": _told(found.falling),
        "surely rising at the last scan": _told(found.rising),
    }


def _of(statistic: Any, who: np.ndarray, figures: np.ndarray, rng: np.random.Generator) -> Interval | None:
    if len(np.unique(who)) < 2:
        return None
    return bootstrap_by_patient(lambda x: float(statistic(x)), who, figures, rng=rng)


def _told(found: Interval | None) -> list[float] | None:
    return None if found is None else [found.value, found.low, found.high]


def _rounded(value: Any) -> Any:
    return [round(one, 3) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
