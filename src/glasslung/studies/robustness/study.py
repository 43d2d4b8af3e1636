"""Whether a classifier stands another window: AUC over draws of level and width, and scan by scan.

scans, masks ─ predict.windowed ─> exams through other windows ─ classifier ─> answers/ ─> numbers.json

OUT/answers/KEY.json  log-odds of one scan through every window; what is there is not asked again
OUT/numbers.json      every figure, see `figures.figures_of`
OUT/scans.csv         a line for each scan; OUT/windows.csv: a line for each window
OUT/index.html        the page
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.exams import label_of
from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, read_json, write_json
from glasslung.studies.folder import NUMBERS, about_run, check_free, claim, part_of
from glasslung.studies.robustness.figures import Answers, figures_of, write_tables
from glasslung.studies.robustness.windows import RobustnessPlan, Windows, plan_windows
from glasslung.types import Intensity, Progress, Remark

if TYPE_CHECKING:
    from glasslung.predict.diagnosing import Classifier
    from glasslung.predict.exams import ExamMaking, MaskMaker

ANSWERS = "answers"


def run_robustness(
    which: str | Path,
    data: Path,
    out: Path,
    plan: RobustnessPlan | None = None,
    part: str = "",
    progress: Progress | None = None,
) -> tuple[Path, tuple[Remark, ...]]:
    """Ask a classifier of a cohort's scans through other windows; returns the page and what to beware of.

    which  a classifier's run or shipped name
    data   a cohort of labelled scans of the classifier's grey values
    part   of the table: 'train', 'val', 'test' or 'all'; '': 'test' where there is one, else all
    The same call goes on where it was stopped. UsageError and DataError before anything is written.
    """
    from glasslung.data.sources import open_cohort
    from glasslung.predict.diagnosing import classifier_identity, open_classifier
    from glasslung.predict.exams import MaskMaker
    from glasslung.studies.diagnosis.evaluation import chosen
    from glasslung.studies.diagnosis.training import making_for
    from glasslung.studies.robustness.page import write_page

    plan = plan or RobustnessPlan()
    check_free(out)
    classifier = open_classifier(which)
    cohort, remark = chosen(open_cohort(data), part)
    whole, cohort = cohort, _few(cohort, plan)
    if len(cohort.cases) < len(whole.cases):
        remark = replace(
            remark, text=f"{remark.text} {len(cohort.cases)} of these are asked, as --scans says."
        )
    check_scans(classifier, cohort)
    windows = plan_windows(plan, window_of(classifier))
    read = classifier.operating
    making = making_for(read.lesions_by, classifier.size, read.frame)
    making = replace(making, drawn=making.drawn or plan.drawn_masks)
    masks = MaskMaker(making)
    asked = {
        "study": "robustness",
        "classifier": classifier_identity(str(which)),
        "masks": masks.identity(),
        "cohort": cohort.name,
        "scans": _digest([case.scan for case in cohort.cases]),
        "plan": _plain(plan),
    }
    make_folder(out)
    claim(out, asked)
    answers = ask_scans(classifier, cohort, making, masks, windows, out / ANSWERS, part_of(progress, 0, 0.95))
    figures = figures_of(answers, windows, plan, threshold_of(classifier), part_of(progress, 0.95, 1.0))
    numbers = {
        **about_run(asked, (), 0),
        "about": about(classifier, cohort, making, remark),
        **figures,
    }
    write_json(out / NUMBERS, numbers)
    write_tables(answers, windows, numbers, out)
    return write_page(numbers, out), (remark,)


def check_scans(classifier: Classifier, cohort: Cohort) -> None:
    """Refuse, before anything is read, what could not be asked or would give no interval.

    UsageError for scans of other grey values, DataError for fewer than two patients of a label.
    """
    from glasslung.predict.diagnosing import check_intensity

    for case in cohort.cases:
        try:
            check_intensity(classifier, case.intensity)
        except UsageError as problem:
            raise UsageError(f"scan {case.scan!r}: {problem}") from problem
    for kind, words in ((1, "with"), (0, "without")):
        patients = {case.patient for case in cohort.cases if label_of(case.label) == kind}
        if len(patients) < 2:
            raise DataError(
                f"{cohort.name} has {len(patients)} patient(s) {words} the finding among the scans asked "
                "for; an AUC with its interval needs two of each"
            )


def window_of(classifier: Classifier) -> tuple[float, float]:
    """The window in HU that a classifier sees through; of 8-bit pictures what it is taken for."""
    from glasslung.predict.windowed import ASSUMED_HU

    hounsfield = classifier.intensity is Intensity.HU
    return classifier.operating.frame.window_hu if hounsfield else ASSUMED_HU


def threshold_of(classifier: Classifier) -> float:
    """The log-odds from which the classifier's stored operating point says 'likely'."""
    read = classifier.operating
    share = min(max(read.threshold, 1e-9), 1 - 1e-9)
    return float((np.log(share / (1 - share)) - read.bias) * read.temperature)


def ask_scans(
    classifier: Classifier,
    cohort: Cohort,
    making: ExamMaking,
    masks: MaskMaker,
    windows: Windows,
    folder: Path,
    progress: Progress | None = None,
) -> Answers:
    """The log-odds of every scan through every window; each scan's are kept when they are complete."""
    from glasslung.predict.exams import naming, read_masked
    from glasslung.predict.windowed import windowed
    from glasslung.train.rundir import hash_input

    make_folder(folder)
    count, rows = len(cohort.cases), []
    for number, case in enumerate(cohort.cases):
        if progress:
            progress(f"scan {number + 1} of {count}", number / count)
        image = cohort.path(case.image)
        source = hash_input(image) if image.exists() else ""
        file = folder / f"{_digest([case.patient, case.scan, source])}.json"
        kept = _kept(file, len(windows.kinds))
        if kept is None:
            volume, lungs, lesions, _ = read_masked(cohort, case, making, masks)
            with naming(case):
                seen = windowed(volume, lungs, lesions, making.size, making.frame)
                kept = []
                for row, (level, width) in enumerate(windows.shifts):
                    if progress and row % 20 == 0:
                        share = (number + row / len(windows.shifts)) / count
                        progress(f"scan {number + 1} of {count}: window {row + 1}", share)
                    kept.append(classifier.ask(seen.at(float(level), float(width))))
            if not np.isfinite(kept).all():
                raise DataError(f"scan {case.scan!r}: the classifier answers with what is no number")
            write_json(file, {"log_odds": kept})
        rows.append(kept)
    return Answers(
        np.array(rows, np.float64),
        np.array([label_of(case.label) == 1 for case in cohort.cases]),
        tuple(case.patient for case in cohort.cases),
        tuple(case.scan for case in cohort.cases),
    )


def about(classifier: Classifier, cohort: Cohort, making: ExamMaking, remark: Remark) -> dict[str, Any]:
    """Who was asked, of what, through which window."""
    low, high = window_of(classifier)
    sick = {case.patient for case in cohort.cases if label_of(case.label) == 1}
    return {
        "name": classifier.name,
        "method": classifier.method,
        "digest": classifier.digest,
        "intensity": classifier.intensity.value,
        "finding": classifier.operating.finding,
        "window": {"low": low, "high": high, "known": classifier.intensity is Intensity.HU},
        "masks": "given by the table" if making.drawn else "found by the product",
        "data": {
            "name": cohort.name,
            "scans": len(cohort.cases),
            "patients": len({case.patient for case in cohort.cases}),
            "with": sum(label_of(case.label) == 1 for case in cohort.cases),
            "patients with": len(sick),
            "part": remark.text,
        },
    }


def _few(cohort: Cohort, plan: RobustnessPlan) -> Cohort:
    """At most as many scans as the plan wants."""
    from glasslung.studies.diagnosis.stress import choose_scans

    if plan.scans is None or len(cohort.cases) <= plan.scans:
        return cohort
    labels = [label_of(case.label) for case in cohort.cases]
    patients = [case.patient for case in cohort.cases]
    rows = choose_scans(labels, patients, plan.scans, np.random.default_rng([plan.seed, 2]))
    return replace(cohort, cases=tuple(cohort.cases[row] for row in rows))


def _kept(file: Path, count: int) -> list[float] | None:
    """What a scan was answered before; None where it was not, or its file is damaged."""
    if not file.is_file():
        return None
    try:
        found = read_json(file).get("log_odds")
    except DataError:
        return None
    if not isinstance(found, list) or len(found) != count or not np.isfinite(found).all():
        return None
    return [float(one) for one in found]


def _plain(plan: RobustnessPlan) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(asdict(plan)))
    return told


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()[:24]
