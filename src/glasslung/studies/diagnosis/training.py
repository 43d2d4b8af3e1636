"""One run of a classifier of scans, or of a CVAE: trained on a cohort, in a folder that can be gone on with.

    scans    of the table's part 'train', with those of no part; looked at on part 'val'. Without parts, or
             without 'val', patients are dealt by chance, evenly over labels. Part 'test' is never read.
    exams    lungs and lesions found as the product finds them, or as the table gives them, kept in
             `<run>/exams` or a folder that several runs share
    stages   a CVAE on single slices (`<run>/cvae`, a run of its own), NetVLAD's clusters, the classifier

The weights kept are those of the best look at the validation scans (`learning.Look`); training ends early
where `patience` looks brought nothing better. Then operating.json is written: see `operatingpoint`. The same
call goes on where it was stopped. A call with other settings or other scans is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from glasslung.data.cohort import Cohort, split_by_patient
from glasslung.data.exams import FRAMES, LUNGS, ExamSet, Frame, label_of
from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, LeakError, UsageError
from glasslung.files import read_json, write_json
from glasslung.models import build, entry_for
from glasslung.nn.batches import ExamBatch, SideBatch
from glasslung.predict.exams import ExamMaking, read_exams
from glasslung.predict.opening import NONE, shipped_for
from glasslung.predict.trained import TRAINING
from glasslung.studies.diagnosis.ground import MOST_LEAKING
from glasslung.studies.diagnosis.learning import (
    WHOLE_BODY,
    Look,
    Pace,
    classifier_game,
    cvae_game,
    cvae_settings,
    frame_for,
    look_at,
    start_clusters,
)
from glasslung.studies.diagnosis.operatingpoint import fit_point, write_point
from glasslung.studies.folder import part_of
from glasslung.studies.training import check_there, config_of, run_for
from glasslung.studies.training import play as play_on
from glasslung.train.checkpoint import steps_made
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine
from glasslung.train.rundir import SETTINGS, RunDir, hash_input, tensorboard
from glasslung.train.starts import Start, begin_from, read_start
from glasslung.types import Progress

STUDY = "diagnosis"
TRAIN, VAL = "train", "val"
SCANS = "scans"  # among the training's settings: digests of the files that were learned from and looked at
DIGITS = 16
LEAST_PATIENTS = 2  # of each kind to look at: figures have no interval with fewer
BEST, BEST_LOOK, EXAMS, CVAE = "best", "best.json", "exams", "cvae"
GIVEN = "given"  # who drew the lesions: whoever made the cohort
BEGUN = {"lr": 1e-4, "lr_trunk": 1e-5}  # with weights from elsewhere, which are near their place already
WITH_CVAE = ("netvlad",)  # classifiers that can begin with a CVAE's branches, and with clusters


@dataclass(frozen=True)
class DiagnosisTraining:
    """How long and on what a classifier is trained; what it is, its own settings say."""

    steps: int
    cvae_steps: int = 400
    """Of the CVAE whose branches a NetVLAD begins with; 0: it begins by chance."""
    clusters: bool = True
    """Whether NetVLAD's clusters begin where training slices lie."""
    pace: Pace = field(default_factory=Pace)
    look_every: int = 50
    """Steps between two looks at the validation scans; a kill can cost as many."""
    patience: int = 10
    """Looks without a better one after which training ends; the paper does not say, 0 never ends early."""
    val_share: float = 0.2
    """Of the patients, where the table has no part 'val'."""
    split_seed: int = 0
    """Of that choice: the same for all runs that are to be compared."""
    lesions: str = ""
    """Who finds lesions: a segmenter's run or shipped name, 'none', 'given' by the table; '': what ships."""
    frame: str = "auto"
    """How scans are cut: lungs, body; auto: as the model's paper does."""
    log_every: int = 10
    checkpoint_every: int = 200
    """Of the CVAE; the classifier keeps a checkpoint at each look."""

    def __post_init__(self) -> None:
        if min(self.steps, self.look_every, self.log_every, self.checkpoint_every) < 1:
            raise UsageError("steps, look_every, log_every and checkpoint_every must be 1 or more")
        if min(self.cvae_steps, self.patience) < 0 or not 0 < self.val_share < 1:
            raise UsageError("cvae_steps and patience must not be negative, val_share lies between 0 and 1")
        if self.frame not in ("auto", *FRAMES):
            raise UsageError(f"frame {self.frame!r} is not known; choose one of auto, {', '.join(FRAMES)}")

    @property
    def ema(self) -> float | None:
        """Decay of the averaged weights."""
        return self.pace.ema


@dataclass(frozen=True)
class DiagnosisJob:
    """All that decides what a run gives: equal jobs give equal bits on equal machines."""

    model: str
    cohort: Path
    training: DiagnosisTraining
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    machine: Machine = field(default_factory=Machine)
    start: Path | None = None
    """Weights that the trunk begins with: a folder of `glasslung weights import`, or a run."""


def train_diagnosis(
    job: DiagnosisJob,
    out: Path,
    must_exist: bool = False,
    with_tensorboard: bool = False,
    progress: Progress | None = None,
    exams: Path | None = None,
) -> RunDir:
    """Train a classifier or a CVAE as the job says, or go on with the run that stands in `out`.

    exams       folder in which exams are kept and found again; None: in the run's own
    must_exist  True: UsageError where there is no run to go on with
    Raises UsageError (settings, another run in the folder), DataError (scans), TrainingError (a loss that is
    not finite: the run keeps its last checkpoint).
    """
    out = Path(out)
    check_there(out, must_exist)
    if entry_for(job.model).batch not in (ExamBatch, SideBatch):
        raise UsageError(f"{job.model} classifies no scans")
    start = start_of(job)
    if start is not None:
        job = replace(job, settings={**BEGUN, **job.settings})
    config = config_of(job)  # type: ignore[arg-type]
    cohort = parted(open_cohort(job.cohort), job.training)
    told = settings_of(job, config, cohort, start)
    run = run_for(job, out, told, STUDY, {"cohort": job.cohort})
    with run.writing(), tensorboard(run) if with_tensorboard else nullcontext(run.log) as log:
        making = making_of(job, int(config.size))
        found = read_exams(cohort, exams or out / EXAMS, making, part_of(progress, 0.0, 0.3))
        _learn(job, config, found, run, log, part_of(progress, 0.3, 1.0))
    return run


def _learn(
    job: DiagnosisJob,
    config: Any,
    exams: ExamSet,
    run: RunDir,
    log: Callable[[dict[str, Any]], None],
    progress: Progress | None,
) -> None:
    training = exams.part(TRAIN).labelled()
    settings = {name: getattr(config, name) for name in asdict(config)}
    if job.model == CVAE:
        game = cvae_game(settings, training, job.training.pace, job.seed, job.machine)
        play_on(game, run, job, log, progress)  # type: ignore[arg-type]
        return
    validation = exams.part(VAL).labelled()
    model = begun(job, settings, training, run, part_of(progress, 0.0, 0.3))
    if (start := start_of(job)) is not None and not steps_made(run.folder):
        begin_from(model.trunk, start)
    game = classifier_game(model, job.model, training, job.training.pace, job.seed, job.machine)
    play(game, run, job, validation, log, part_of(progress, 0.3, 0.95))
    who = lesions_by(job.training.lesions, training, job.model)
    point = fit_point(game.modules[job.model], training, validation, who, told_of(job, training), job.seed)
    write_point(point, run.folder)


def begun(
    job: DiagnosisJob, settings: Mapping[str, Any], exams: ExamSet, run: RunDir, progress: Progress | None
) -> Any:
    """The classifier before its first step: by chance, or with a CVAE's branches and clusters of slices."""
    model = build(job.model, job.seed, **settings)
    if job.model not in WITH_CVAE or steps_made(run.folder):  # what follows comes from the checkpoint
        return model
    if job.training.cvae_steps:
        training = replace(job.training, steps=job.training.cvae_steps)
        first = replace(job, model=CVAE, training=training, settings={})
        shared = cvae_settings(settings)
        game = cvae_game(shared, exams, job.training.pace, job.seed, job.machine)
        told = {**asdict(entry_for(CVAE).config(**shared)), TRAINING: asdict(training)}
        folder = run.folder / CVAE
        inner = (
            RunDir.open(folder)
            if (folder / SETTINGS).is_file()
            else RunDir.create(folder, STUDY, CVAE, _plain(told), job.seed)
        )
        with inner.writing():
            play_on(game, inner, first, inner.log, progress)  # type: ignore[arg-type]
        model.start_from(game.modules[CVAE].cpu())  # type: ignore[operator]
    if job.training.clusters:
        start_clusters(model, exams, job.seed)
    return model


def start_of(job: DiagnosisJob) -> Start | None:
    """The weights that a job begins with; UsageError where they are another method's."""
    if job.start is None:
        return None
    start = read_start(job.start)
    if start.method != job.model or job.model not in WHOLE_BODY:
        raise UsageError(
            f"--start {job.start} holds weights of {start.method!r}, which {job.model} does not take"
        )
    return start


def play(
    game: Game,
    run: RunDir,
    job: DiagnosisJob,
    validation: ExamSet,
    log: Callable[[dict[str, Any]], None],
    progress: Progress | None,
) -> None:
    """From the last checkpoint to the last step, or until no look is better; then the best weights."""
    training, name = job.training, job.model
    start = run.resume(game)
    if start > training.steps:
        raise UsageError(f"the run in {run.folder} has made {start} steps already, asked: {training.steps}")
    best = _best(run)
    while start < training.steps and not _stale(best, start, training):
        end = min(training.steps, start - start % training.look_every + training.look_every)
        fit(game, range(start, end), log, training.log_every)
        look = look_at(game, name, validation)
        log({"step": end - 1, "player": "validation", "total": look.surprise, "auc": look.auc})
        if best is None or look.beats(best):
            best = look
            with game.averaged() if game.ema is not None else nullcontext():
                run.save(BEST, game.modules[name])
            write_json(run.folder / BEST_LOOK, look._asdict())
        run.checkpoint(game)
        start = end
        if progress:
            told = f"step {end} of {training.steps}, validation AUC {look.auc:.3f}, best {best.auc:.3f}"
            progress(f"training {name}: {told}", end / training.steps)
    run.load(BEST, game.modules[name])
    run.save(name, game.modules[name])


def _best(run: RunDir) -> Look | None:
    path = run.folder / BEST_LOOK
    return Look(**read_json(path)) if path.is_file() else None


def _stale(best: Look | None, step: int, training: DiagnosisTraining) -> bool:
    """Whether as many looks as patience allows have passed since the best one."""
    return (
        best is not None
        and training.patience > 0
        and step - best.step >= training.patience * training.look_every
    )


# ------------------------------------------------------------------------------------------- what it reads


def parted(cohort: Cohort, training: DiagnosisTraining) -> Cohort:
    """Scans with a label, in parts 'train' and 'val' alone; DataError where a part lacks one kind."""
    cases = tuple(case for case in cohort.cases if case.label)
    if not cases:
        raise DataError(f"{cohort.name} has no scan with a label; fill in the column label of its table")
    if any(case.split for case in cases):
        cases = tuple(replace(case, split=case.split or TRAIN) for case in cases)
    else:
        cases = tuple(replace(case, split=TRAIN) for case in cases)
    kept = replace(cohort, cases=tuple(case for case in cases if case.split in (TRAIN, VAL)))
    kept = without_leaks(kept)
    if not any(case.split == VAL for case in kept.cases):
        fractions = {TRAIN: 1 - training.val_share, VAL: training.val_share}
        kept = split_by_patient(kept, fractions, training.split_seed, ("label",))
    for part in (TRAIN, VAL):
        _check_kinds(kept, part, 1 if part == TRAIN else LEAST_PATIENTS)
    return kept


def _check_kinds(cohort: Cohort, part: str, least: int) -> None:
    """DataError, before an hour's training and not after it, unless a part has patients of both kinds."""
    there = [case for case in cohort.cases if case.split == part]
    sick = {case.patient for case in there if label_of(case.label) == 1}
    well = {case.patient for case in there if label_of(case.label) == 0}
    if min(len(sick), len(well)) < least:
        raise DataError(
            f"part {part!r} of {cohort.name} needs {least} or more patients labelled 'covid' and as many "
            f"labelled otherwise; it has {len(sick)} and {len(well)}. Add scans, or split them again."
        )


def without_leaks(cohort: Cohort) -> Cohort:
    """The cohort without validation scans of patients who are trained on.

    Captions show one patient under two names now and then; where it is more than one patient in fifty the
    split was not made by patient: LeakError.
    """
    trained = {case.patient for case in cohort.cases if case.split == TRAIN}
    leaking = sorted({case.patient for case in cohort.cases if case.split == VAL} & trained)
    if len(leaking) > MOST_LEAKING * len({case.patient for case in cohort.cases}):
        raise LeakError(leaking, TRAIN, VAL)
    cases = tuple(case for case in cohort.cases if case.split == TRAIN or case.patient not in leaking)
    return replace(cohort, cases=cases)


def making_for(lesions: str, size: int, frame: Frame = LUNGS) -> ExamMaking:
    """How exams are made for who is to find lesions."""
    if lesions == GIVEN:
        return ExamMaking(size, drawn=True, frame=frame)
    return ExamMaking(size, lesions, frame=frame)


def making_of(job: DiagnosisJob, size: int) -> ExamMaking:
    """How exams are made for a job; a model that is shown no lesions needs nobody to find them."""
    lesions = job.training.lesions or (NONE if job.model in WHOLE_BODY else "")
    return making_for(lesions, size, frame_for(job.model, job.training.frame))


def lesions_by(lesions: str, exams: ExamSet, model: str = "") -> str:
    """Whose lesions a classifier goes by, as operating.json keeps it."""
    if model in WHOLE_BODY:
        return NONE
    return lesions or shipped_for(exams.exams[0].intensity) or NONE


def told_of(job: DiagnosisJob, exams: ExamSet) -> str:
    """One sentence about what it was trained on."""
    counts: dict[str, int] = {}
    for word in exams.words:
        counts[word] = counts.get(word, 0) + 1
    kinds = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    sites = len(set(exams.sites) - {""})
    where = f" from {sites} site{'s' * (sites > 1)}" if sites else ""
    who = len(set(exams.patients))
    return f"{len(exams)} scans ({kinds}) of {who} patients{where}, cohort {Path(job.cohort).resolve().name}"


def settings_of(job: DiagnosisJob, config: Any, cohort: Cohort, start: Start | None = None) -> dict[str, Any]:
    """The run's settings as its folder keeps them: the model's, and under 'training' all else.

    'scans' are hashes of the files of each part, so that a later evaluation can tell which ones were seen.
    """
    seen = {
        part: sorted(
            hash_input(cohort.path(case.image))[:DIGITS] for case in cohort.cases if case.split == part
        )
        for part in (TRAIN, VAL)
    }
    training = {**asdict(job.training), "machine": asdict(job.machine), SCANS: seen}
    if start is not None:
        training["start"] = {"from": start.told, "sha256": start.sha256}
    return _plain({**asdict(config), TRAINING: training})


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(values))
    return told
