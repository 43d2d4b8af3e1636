"""Cross-validation of a classifier by patient: k runs in a folder, and what they say of scans they never saw.

    fold-00.csv, ...  the cohort with each fold's parts: 'train', 'val' (its weights are chosen there), 'test'
    fold-00, ...      a run each (`training`); the same call goes on where it was stopped, fold by fold
    out-of-fold.csv   every scan's log-odds by the one fold that never saw its patient
    folds.json        AUC of each fold on its own scans, the best fold, the AUC of all out-of-fold scores
    operating.json    how the mean of all folds' log-odds is read: fitted on the out-of-fold scores

The COVID3D paper validates ten folds at one hospital and takes the best of them to the others. The best of
ten is chosen for having had easy scans as well as for being good: beside it stand the mean of all folds at
another hospital, and the folds' mean log-odds as one classifier (`predict.diagnosing.open_classifier` of the
folder). It does not say where each fold's weights were chosen. Here a fifth of the other patients are kept
for that; with `held_out_chooses` it is the fold itself, whose figures then flatter.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glasslung.data.cohort import Cohort, folds_by_patient, read_cohort, split_by_patient, write_cohort
from glasslung.data.exams import ExamSet, join_exams, label_of
from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, write_json, write_whole
from glasslung.measure.ranking import auc, auc_interval
from glasslung.measure.statistics import Interval
from glasslung.predict.diagnosing import open_classifier
from glasslung.predict.exams import read_exams
from glasslung.predict.folds import FOLDS, FORMAT, FoldsFolder, read_folds
from glasslung.predict.operating import OPERATING
from glasslung.studies.diagnosis.learning import Answers, log_odds_of
from glasslung.studies.diagnosis.operatingpoint import point_of
from glasslung.studies.diagnosis.training import (
    EXAMS,
    TRAIN,
    VAL,
    DiagnosisJob,
    lesions_by,
    making_of,
    start_of,
    told_of,
    train_diagnosis,
)
from glasslung.studies.folder import part_of
from glasslung.studies.training import FREE
from glasslung.train.rundir import RunDir
from glasslung.types import Case, Progress

TEST = "test"
SCORES = "out-of-fold.csv"
COLUMNS = ("scan", "patient", "site", "label", "fold", "log_odds")
KIND = "glasslung kind"  # a column while patients are dealt
STRATA = (KIND, "label")
LEAST_FOLDS = 2
LEAST_PATIENTS = 2  # of each kind in a fold, or nothing can be told of it


@dataclass(frozen=True)
class FoldPlan:
    """How patients are dealt.

    folds             how many; the paper has ten
    seed              of the dealing: the same for all methods that are to be compared
    held_out_chooses  the weights of a fold are chosen on the scans that it is then scored on, which flatters
    """

    folds: int = 10
    seed: int = 0
    held_out_chooses: bool = False

    def __post_init__(self) -> None:
        if self.folds < LEAST_FOLDS:
            raise UsageError(f"cross-validation needs {LEAST_FOLDS} folds or more, got {self.folds}")


class FoldScores(NamedTuple):
    """Log-odds of N scans, each by a classifier that never saw its patient: a line for each scan.

    scans, patients, sites, words  as in the table; label (N,) 0 or 1
    fold      (N,) in which it was held out
    log_odds  (N,)
    """

    scans: tuple[str, ...]
    patients: tuple[str, ...]
    sites: tuple[str, ...]
    words: tuple[str, ...]
    label: np.ndarray
    fold: np.ndarray
    log_odds: np.ndarray

    def auc(self, seed: int = 0) -> Interval:
        """Of all out-of-fold scores together, with a 95 % interval by resampling patients."""
        rng = np.random.default_rng(seed)
        return auc_interval(self.label == 1, self.log_odds, self.patients, rng=rng)

    def of_each(self) -> list[float]:
        """The AUC of each fold on its own scans."""
        rows = [self.fold == fold for fold in range(int(self.fold.max()) + 1)]
        return [auc(self.label[own] == 1, self.log_odds[own]) for own in rows]


# ------------------------------------------------------------------------------------------------ training


def train_folds(
    job: DiagnosisJob,
    plan: FoldPlan,
    out: Path,
    progress: Progress | None = None,
    exams: Path | None = None,
) -> FoldsFolder:
    """Train a classifier once for each fold, or go on; then score what each never saw.

    exams  folder in which exams are kept; None: one in `out`, which all folds share
    Scans of part 'test' are in no fold. UsageError for another plan or job in the folder, DataError where a
    fold would lack patients of a kind.
    """
    out = Path(out)
    store = exams or out / EXAMS
    held = []
    for number, table in enumerate(deal_folds(job, plan, out)):
        share = part_of(progress, number / plan.folds, (number + 1) / plan.folds)
        one = replace(job, cohort=table)
        if not _is_done(out / table.stem, one):
            train_diagnosis(one, out / table.stem, progress=share, exams=store)
        held.append(_held_out(one, plan, out / table.stem, store))
    together = held[0][0]
    for more, _ in held[1:]:
        together = join_exams(together, more)
    found = _scores_of(together, [said for _, said in held])
    write_scores(found, out / SCORES)
    _write_reading(job, plan, together, found, out)
    write_json(out / FOLDS, _told(job, plan, found))
    return read_folds(out)


def deal_folds(job: DiagnosisJob, plan: FoldPlan, out: Path) -> list[Path]:
    """The tables of the folds, written into `out`; those that are there must be of this plan and cohort."""
    cohort = open_cohort(job.cohort)
    cases = tuple(_with_kind(case) for case in cohort.cases if case.label and case.split != TEST)
    if not cases:
        raise DataError(f"{cohort.name} has no scan with a label that is not of part {TEST!r}")
    tables = {}
    folds = folds_by_patient(replace(cohort, cases=cases), plan.folds, plan.seed, STRATA)
    for number, fold in enumerate(folds):
        _check_kinds(fold, number)
        parted = _with_validation(fold, plan, job.training.val_share)
        plain = tuple(replace(case, extra=_without_kind(case)) for case in parted.cases)
        tables[out / _name(number, ".csv")] = replace(parted, cases=plain)
    if strange := sorted(set(out.glob("fold-*.csv")) - set(tables)):
        raise UsageError(
            f"{out} holds more folds ({strange[0].name}); ask for as many, or use another folder"
        )
    make_folder(out)
    for path, parted in tables.items():
        if path.is_file():
            _check_same(path, parted)
        else:
            write_cohort(parted, path)
    return list(tables)


def _with_kind(case: Case) -> Case:
    """With or without the disease, to deal by: of a rare word of the table there may be fewer than folds."""
    return replace(case, extra={**case.extra, KIND: str(label_of(case.label))})


def _without_kind(case: Case) -> dict[str, str]:
    return {name: value for name, value in case.extra.items() if name != KIND}


def _name(number: int, ending: str = "") -> str:
    return f"fold-{number:02d}{ending}"


def _with_validation(fold: Cohort, plan: FoldPlan, share: float) -> Cohort:
    """The fold's table with a part 'val': some of the other patients, or the fold itself."""
    if plan.held_out_chooses:
        cases = tuple(replace(case, split=VAL if case.split == TEST else TRAIN) for case in fold.cases)
        return replace(fold, cases=cases)
    others = replace(fold, cases=tuple(case for case in fold.cases if case.split != TEST))
    kinds = [{c.patient for c in others.cases if c.extra[KIND] == kind} for kind in ("0", "1")]
    # of few patients a share may be one: two of each kind are needed
    share = max(share, min(0.5, LEAST_PATIENTS / max(1, min(map(len, kinds)))))
    dealt = split_by_patient(others, {TRAIN: 1 - share, VAL: share}, plan.seed, STRATA)
    side = {case.patient: case.split for case in dealt.cases}
    return replace(
        fold, cases=tuple(replace(case, split=side.get(case.patient, TEST)) for case in fold.cases)
    )


def _check_kinds(fold: Cohort, number: int) -> None:
    for kind, words in ((1, "labelled 'covid'"), (0, "labelled otherwise")):
        own = {case.patient for case in fold.cases if case.split == TEST and label_of(case.label) == kind}
        if len(own) < LEAST_PATIENTS:
            raise DataError(
                f"fold {number} has {len(own)} patient(s) {words} and needs {LEAST_PATIENTS}: ask for fewer "
                "folds"
            )


def _check_same(path: Path, wanted: Cohort) -> None:
    there = {case.scan: case.split for case in read_cohort(path).cases}
    if there != {case.scan: case.split for case in wanted.cases}:
        raise UsageError(f"{path.parent} holds folds of other scans or another plan; use another folder")


def _is_done(folder: Path, job: DiagnosisJob) -> bool:
    """Whether a fold's training has ended; a run of another job is left to `train_diagnosis` to refuse."""
    if not (folder / OPERATING).is_file():
        return False
    run = RunDir.open(folder)
    kept = {**run.about["settings"], "seed": run.about["seed"], "model": run.about["model"]}
    start = start_of(job)
    training = {name: value for name, value in asdict(job.training).items() if name not in FREE}
    training |= {"machine": asdict(job.machine)}
    asked = {**job.settings, "seed": job.seed, "model": job.model}
    same = all(kept.get(name) == value for name, value in _plain(asked).items())
    was = kept.get("training", {})
    same &= all(was.get(name) == value for name, value in _plain(training).items())
    same &= was.get("start", {}).get("sha256") == (start.sha256 if start else None)
    return same and run.state == "finished"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON keeps them."""
    told: dict[str, Any] = json.loads(json.dumps(values))
    return told


def _held_out(job: DiagnosisJob, plan: FoldPlan, folder: Path, store: Path) -> tuple[ExamSet, np.ndarray]:
    """The scans of a fold, and the log-odds (N,) that its classifier gives them."""
    classifier, table = open_classifier(folder), open_cohort(job.cohort)
    part = VAL if plan.held_out_chooses else TEST
    own = replace(table, cases=tuple(case for case in table.cases if case.split == part))
    exams = read_exams(own, store, making_of(job, classifier.size)).labelled()
    return exams, log_odds_of(classifier.model, exams)


def _scores_of(exams: ExamSet, said: Sequence[np.ndarray]) -> FoldScores:
    fold = np.repeat(np.arange(len(said)), [len(one) for one in said])
    return FoldScores(
        exams.scans, exams.patients, exams.sites, exams.words, exams.label, fold, np.concatenate(said)
    )


def _write_reading(job: DiagnosisJob, plan: FoldPlan, exams: ExamSet, found: FoldScores, out: Path) -> None:
    """operating.json of all folds together, from what each said of scans it never saw."""
    said = Answers(found.log_odds, found.log_odds[:, None].astype(np.float32))
    who = lesions_by(job.training.lesions, exams, job.model)
    point = point_of(said, said, exams, who, told_of(job, exams), job.seed)
    chosen = "on which its weights were chosen" if plan.held_out_chooses else "that it had never seen"
    limits = (
        f"{plan.folds} networks answer together; how their mean is read was fitted on what each alone said "
        f"of scans {chosen}. Other hospitals and other scanners were not asked. No clinical instrument."
    )
    write_json(out / OPERATING, {**point.told, "limits": limits})


def _told(job: DiagnosisJob, plan: FoldPlan, found: FoldScores) -> dict[str, Any]:
    each = found.of_each()
    return {
        "format": FORMAT,
        "model": job.model,
        "plan": asdict(plan),
        "seed": job.seed,
        "scans": len(found.scans),
        "patients": len(set(found.patients)),
        "folds": [
            {"folder": _name(number), "scans": int((found.fold == number).sum()), "auc": value}
            for number, value in enumerate(each)
        ],
        "best": _name(int(np.argmax(each))),
        "auc of the folds": {"mean": float(np.mean(each)), "sd": float(np.std(each, ddof=1))},
        "auc out of fold": asdict(found.auc(job.seed)),
    }


# -------------------------------------------------------------------------------------------------- scores


def write_scores(found: FoldScores, path: Path) -> None:
    """out-of-fold.csv: a line for each scan."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    lines = zip(
        found.scans, found.patients, found.sites, found.words, found.fold, found.log_odds, strict=True
    )
    for *words, fold, log_odds in lines:
        writer.writerow([*words, int(fold), f"{log_odds:.6g}"])
    write_whole(path, text.getvalue())


def read_scores(path: Path) -> FoldScores:
    """What `write_scores` wrote; DataError where it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        scans, patients, sites, words = (tuple(row[name] for row in rows) for name in COLUMNS[:4])
        fold = np.array([int(row["fold"]) for row in rows])
        log_odds = np.array([float(row["log_odds"]) for row in rows])
    except (OSError, KeyError, TypeError, ValueError) as problem:
        raise DataError(f"{path} is missing or damaged ({problem}); run the training again") from problem
    label = np.array([label_of(word) for word in words], np.int64)
    return FoldScores(scans, patients, sites, words, label, fold, log_odds)


@dataclass(frozen=True, eq=False)
class FoldsElsewhere:
    """How folds do on scans that none of them saw.

    each            AUC of each fold; mean and sd of these
    best, together  AUC of the best fold, and of all folds' mean log-odds, each with a 95 % interval
    log_odds        (K, N) by fold and scan
    """

    each: tuple[float, ...]
    mean: float
    sd: float
    best: Interval
    together: Interval
    log_odds: np.ndarray

    def told(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "each": list(self.each),
            "mean": self.mean,
            "sd": self.sd,
            "best fold": asdict(self.best),
            "together": asdict(self.together),
        }


def score_elsewhere(folds: FoldsFolder, exams: ExamSet, seed: int = 0) -> FoldsElsewhere:
    """Ask every fold about labelled scans: each, their mean, the paper's best fold, and all as one."""
    said = np.stack([log_odds_of(open_classifier(run).model, exams) for run in folds.runs])
    return elsewhere_of(said, folds.runs.index(folds.best), exams.label == 1, exams.patients, seed)


def elsewhere_of(
    log_odds: np.ndarray, best: int, truth: np.ndarray, patients: Sequence[str], seed: int = 0
) -> FoldsElsewhere:
    """The same from log-odds (K, N) by fold and scan; truth (N,) bool."""
    each = tuple(auc(truth, one) for one in log_odds)
    of_best, together = (
        auc_interval(truth, score, patients, rng=np.random.default_rng(seed))
        for score in (log_odds[best], log_odds.mean(0))
    )
    return FoldsElsewhere(
        each, float(np.mean(each)), float(np.std(each, ddof=1)), of_best, together, log_odds
    )
