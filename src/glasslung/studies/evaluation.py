"""Score a trained model: a segmenter on labelled slices or scans, a classifier on scans, a U-SVAE or CAGE.

A model is the folder of a run, or the name of weights that come with the package. What it is decides what is
measured:

    segmenter      `segmentation.scores`: overlap, soft maps, lesions one by one, beside what papers print
                   of a cohort of whole scans `segmentation.volumescores`: overlap, surfaces, millilitres
    classifier     `diagnosis.evaluation`: what it answers for each scan, at its stored operating point
    critical-8bit  `critical.evaluation`: who becomes critically ill, from one slice of each patient
    usvae, cage    `likelihoods`: the paper's units and what they hide, on every slice

Where slices that the model was trained on can be told among those it is asked about, that is said first.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.labelbatches import SquareSlices, from_square
from glasslung.data.labelfolders import read_labelled_cohort, read_labelled_folder
from glasslung.data.labelled import Kind, LabelledSlices, fold_groups
from glasslung.data.slicewindows import alike
from glasslung.errors import DataError, UsageError
from glasslung.files import read_json, whole_folder, write_json, write_whole
from glasslung.predict.folds import is_folds, read_folds
from glasslung.predict.trained import READS, TRAINING, Trained, open_trained
from glasslung.studies.critical.keeping import place_of
from glasslung.studies.folder import part_of
from glasslung.studies.segmentation.papers import ours_beside, printed_rows
from glasslung.studies.segmentation.scores import (
    SegmentationScores,
    Segmented,
    figures_of,
    score_segmentations,
)
from glasslung.studies.segmentation.sheet import write_segmented
from glasslung.studies.segmentation.table import table_of
from glasslung.studies.trained import input_hashes, picture_digest, told_of
from glasslung.types import DISCLAIMER, Intensity, Progress, Remark, Severity

SEGMENTATION, VOLUMES, LIKELIHOOD = "segmentation", "volumes", "likelihood"
DIAGNOSIS, CRITICAL = "diagnosis", "critical"
LIKELIHOOD_METHODS = ("usvae", "cage")
SIDE = 256  # pixels at which a segmenter sees slices, where its run does not say
BATCH = 8
PICTURES = "pictures"  # among them: digests of the pictures that were trained on

Predict = Callable[[np.ndarray], np.ndarray]
"""Slices (B, S, S) float32 in [0, 1] -> class probabilities (B, K, S, S)."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    kind      'segmentation', 'volumes', 'diagnosis', 'critical' or 'likelihood'
    figures   plain values, as evaluation.json keeps them
    text      the table a person reads first
    remarks   what to beware of
    scores    of a segmenter of slices: everything slice by slice; None otherwise
    """

    model: str
    method: str
    kind: str
    figures: Mapping[str, Any]
    text: str
    remarks: tuple[Remark, ...] = ()
    scores: SegmentationScores | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """What evaluation.json holds."""
        remarks = [
            {"code": r.code, "severity": r.severity.value, "text": r.text, "remedy": r.remedy}
            for r in self.remarks
        ]
        return {
            "model": self.model,
            "method": self.method,
            "kind": self.kind,
            "remarks": remarks,
            **self.figures,
            "disclaimer": DISCLAIMER,
        }


def evaluate(
    model: str | Path,
    data: Path,
    out: Path | None = None,
    progress: Progress | None = None,
    seed: int = 0,
    part: str = "",
) -> Evaluation:
    """Score a model on a folder or cohort, and write what was found into a new folder `out`.

    model  folder of a run, or the name of weights that come with the package
    data   for a segmenter: a folder with img/ and multiclass/, or a cohort with lesion masks; for a network
           for whole scans, or a segmenter that can read them: a cohort of scans with masks; for a classifier:
           a cohort with labels; for usvae and cage: a folder with the layout of the CAGE set, a cohort of
           slices, or a folder of `prepare`
    part   of a cohort's table that a classifier is scored on, or 'all'; '': 'test' if there is one, else all
    UsageError for a model that cannot be scored, DataError for data that does not fit, or an `out` in use.
    """
    data = Path(data)
    if out is not None:
        _check_free(Path(out))
    if place_of(model) is not None:
        return _evaluate_critical(model, data, out, seed, progress, part)
    trained = _opened(model)
    if classifies(trained):
        return _evaluate_classifier(trained, model, data, out, seed, progress, part)
    if part:
        raise UsageError(f"--part is for classifiers of scans; {trained.name} is a {trained.method}")
    if (scans := scans_for(trained, data)) is not None:
        return _evaluate_volumes(trained, model, scans, out, seed, progress)
    if trained.method in LIKELIHOOD_METHODS:
        from glasslung.studies.likelihoods import evaluate_likelihood

        figures, text, remarks = evaluate_likelihood(trained, data, seed, progress)
        found = Evaluation(trained.name, trained.method, LIKELIHOOD, figures, text, remarks)
    else:
        check_segments_slices(trained)
        found = _evaluate_labelled(trained, data, seed, progress)
    if out is not None:
        write_evaluation(found, Path(out))
    return found


def _opened(model: str | Path) -> Trained:
    """A trained model; of a folder of folds the best, under the folder's name and with all they learned from.

    What is asked is all of them (`diagnosis.evaluation`).
    """
    folder = Path(model)
    if not is_folds(folder):
        return open_trained(model)
    folds = read_folds(folder)
    best = open_trained(folds.best)
    abouts = [read_json(run / "settings.json")["settings"][TRAINING].get("scans", {}) for run in folds.runs]
    seen = {
        part: sorted({one for about in abouts for one in about.get(part, ())}) for part in ("train", "val")
    }
    settings = best.about["settings"]
    training = {**settings[TRAINING], "scans": seen}
    about = {**best.about, "settings": {**settings, TRAINING: training}}
    return replace(best, name=folder.resolve().name, about=about)


def write_evaluation(found: Evaluation, out: Path) -> None:
    """evaluation.json, evaluation.txt, of a segmenter what `segmentation.sheet` draws: all or none."""
    with whole_folder(out) as part:
        _write_into(part, found)
        if found.scores is not None:
            write_segmented(found.scores, part)


def _write_into(part: Path, found: Evaluation) -> None:
    write_json(part / "evaluation.json", found.as_dict())
    write_whole(part / "evaluation.txt", found.text)


def _check_free(out: Path) -> None:
    """Before an hour's work, not after it."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} is there already and not empty; choose a new folder or remove it")


# ---------------------------------------------------------------------------------------------- whole scans


def scans_for(trained: Trained, data: Path) -> Cohort | None:
    """The cohort of whole scans that a model is asked about; None where it is asked about slices.

    DataError where a network for whole scans is given anything else.
    """
    from glasslung.data.cohort import TABLE_NAME
    from glasslung.data.sources import open_cohort
    from glasslung.data.volumecohort import holds_volumes
    from glasslung.studies.segmentation.volumes import USUAL

    if trained.method in USUAL:
        return open_cohort(data)
    if trained.method in LIKELIHOOD_METHODS or not (data.is_file() or (data / TABLE_NAME).is_file()):
        return None
    cohort = open_cohort(data)
    return cohort if holds_volumes(cohort) else None


def _evaluate_volumes(
    trained: Trained,
    model: str | Path,
    scans: Cohort,
    out: Path | None,
    seed: int,
    progress: Progress | None,
) -> Evaluation:
    """Masks are written scan by scan, so that no more than one is held; all of `out` is there or nothing."""
    from glasslung.studies.segmentation.volumeevaluation import evaluate_volumes

    with nullcontext() if out is None else whole_folder(Path(out)) as part:
        whole, table, remarks = evaluate_volumes(trained, model, scans, seed, part, progress)
        text = _text(trained, remarks, table)
        found = Evaluation(trained.name, trained.method, VOLUMES, whole, text, remarks)
        if part is not None:
            _write_into(part, found)
    return found


# ----------------------------------------------------------------------------------------- a classifier


def classifies(trained: Trained) -> bool:
    """Whether a model classifies scans; UsageError for a CVAE, which only helps one that does."""
    from glasslung.models import TABLE
    from glasslung.nn.batches import ExamBatch, SideBatch

    entry = TABLE.get(trained.method)
    if entry is not None and entry.batch is SideBatch:
        raise UsageError(f"a {trained.method!r} answers nothing by itself; score the classifier it began")
    return entry is not None and entry.batch is ExamBatch


def _evaluate_classifier(
    trained: Trained,
    model: str | Path,
    data: Path,
    out: Path | None,
    seed: int,
    progress: Progress | None,
    part: str,
) -> Evaluation:
    from glasslung.data.sources import open_cohort
    from glasslung.studies.diagnosis.evaluation import evaluate_classifier, write_predictions

    scored = evaluate_classifier(trained, model, open_cohort(data), seed, progress, part)
    text = _text(trained, scored.remarks, scored.table)
    found = Evaluation(trained.name, trained.method, DIAGNOSIS, scored.figures, text, scored.remarks)
    if out is not None:
        with whole_folder(Path(out)) as folder:
            _write_into(folder, found)
            write_predictions(scored.rows, folder)
    return found


# ------------------------------------------------------------------------------------- critical illness


def _evaluate_critical(
    model: str | Path, data: Path, out: Path | None, seed: int, progress: Progress | None, part: str
) -> Evaluation:
    from glasslung.data.sources import open_cohort
    from glasslung.studies.critical.evaluation import evaluate_critical, write_predictions

    if part:
        raise UsageError(
            "--part is for classifiers of scans; a model of critical illness is scored on all rows"
        )
    scored = evaluate_critical(model, open_cohort(data), seed, progress)
    name = scored.figures["about"]["name"]
    text = _told(f"{name} (critical illness from one slice)", scored.remarks, scored.table)
    found = Evaluation(name, CRITICAL, CRITICAL, scored.figures, text, scored.remarks)
    if out is not None:
        with whole_folder(Path(out)) as folder:
            _write_into(folder, found)
            write_predictions(scored.rows, folder)
    return found


# ------------------------------------------------------------------------------------------- a segmenter


def evaluate_segmenter(
    predict: Predict,
    slices: LabelledSlices,
    side: int = SIDE,
    batch: int = BATCH,
    progress: Progress | None = None,
    shown: LabelledSlices | None = None,
) -> SegmentationScores:
    """Segment the labelled slices of a set, framed at `side` pixels, and score them on their own grids.

    shown  the same slices as the model is to see them, through another window say; None: as they are
    Slices that belong together by case, or are near copies, count as one patient for intervals.
    """
    squares, rows = SquareSlices(slices if shown is None else shown, side), slices.of_kind(Kind.LABELLED)
    if not len(rows):
        raise DataError("no slice has a mask that an expert drew; there is nothing to score against")
    maps: dict[int, np.ndarray] = {}
    for start in range(0, len(rows), batch):
        if progress:
            progress("segmenting slices", 0.8 * start / len(rows))
        some = rows[start : start + batch]
        for row, each in zip(some.tolist(), predict(squares.pairs(some).pictures), strict=True):
            maps[row] = from_square(each, *slices.pictures[row].shape)
    return score_segmentations(segmented(slices, maps), part_of(progress, 0.8, 1.0))


def segmented(slices: LabelledSlices, maps: Mapping[int, np.ndarray]) -> list[Segmented]:
    """Labelled slices with what models said of them, for `score_segmentations`: also from cross-validation.

    maps  index of a labelled slice -> (K, H, W) class probabilities, upright, on the slice's own grid
    """
    labelled = slices.of_kind(Kind.LABELLED).tolist()
    group = dict(zip(labelled, fold_groups(slices).tolist(), strict=True))
    if strange := sorted(set(maps) - set(labelled)):
        raise UsageError(f"slice {strange[0]} has no mask that an expert drew; score labelled slices alone")
    return [
        Segmented(
            slices.origins[row].name,
            f"group {group[row]}",
            slices.native(slices.lesions[row], row),
            slices.native(maps[row], row),
            slices.native(slices.pictures[row], row),
            slices.origins[row].view,
        )
        for row in sorted(maps)
    ]


def predict_with(model: Any, mirrored: bool = True) -> Predict:
    """A segmenter as a function of arrays.

    mirrored  the mean over every slice as it is and turned left to right, as in the study of segmenters
    """
    import torch

    def predict(image: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(np.ascontiguousarray(image))[:, None]
        with torch.no_grad():
            maps = model.probabilities(given)
            if mirrored:
                maps = 0.5 * (maps + model.probabilities(given.flip(-1)).flip(-1))
        return np.asarray(maps.numpy())

    return predict


def check_segments_slices(trained: Trained) -> None:
    """UsageError for a model that does not find lesions in slices by itself."""
    from glasslung.models import TABLE
    from glasslung.nn.batches import LabelledBatch

    asked = getattr(trained.model, "probabilities", None)
    entry = TABLE.get(trained.method)
    if asked is None or (entry is not None and entry.batch is not LabelledBatch):
        raise UsageError(
            f"a {trained.method!r} cannot be scored here: it finds no lesions in single slices; segmenters "
            f"of slices can, and {' and '.join(LIKELIHOOD_METHODS)}"
        )
    needed = [p for p in inspect.signature(asked).parameters.values() if p.default is p.empty]
    if len(needed) > 1:
        raise UsageError(
            f"a {trained.method!r} needs more than a slice ({needed[1].name}); score the whole it is part of"
        )
    reads = trained.about["settings"].get(TRAINING, {}).get(READS, {})
    if reads.get("intensity", Intensity.DISPLAY8) != Intensity.DISPLAY8:
        raise UsageError(
            f"{trained.name} reads {reads['intensity']}, and these are 8-bit slices; score it on a cohort of "
            "scans, or score one that reads pictures, such as lesions-8bit"
        )


def side_of(trained: Trained) -> int:
    """At which size a segmenter learned to see slices."""
    settings = trained.about["settings"]
    return int(settings.get(TRAINING, {}).get("size", settings.get("size", SIDE)))


def read_labelled(data: Path) -> LabelledSlices:
    """The labelled slices of a folder with img/ and multiclass/, or of a cohort."""
    from glasslung.data.cohort import TABLE_NAME
    from glasslung.data.sources import open_cohort

    data = Path(data)
    if not data.exists():
        raise DataError(f"there is no {data}; check the path")
    if data.is_file() or (data / TABLE_NAME).is_file():
        slices = read_labelled_cohort(open_cohort(data), unlabelled=False)
        return slices.take(slices.of_kind(Kind.LABELLED)) if len(slices.of_kind(Kind.LABELLED)) else slices
    return read_labelled_folder(data)


def _evaluate_labelled(trained: Trained, data: Path, seed: int, progress: Progress | None) -> Evaluation:
    slices, side = read_labelled(data), side_of(trained)
    shown = alike(slices) if trained.about["settings"].get(TRAINING, {}).get("one_window") else slices
    scores = evaluate_segmenter(predict_with(trained.model), slices, side, progress=progress, shown=shown)
    figures = figures_of(scores, np.random.default_rng(seed))
    remarks = (*seen_remarks(trained, data, slices), *slices.remarks, *_patient_remarks(slices))
    whole = {
        "about": told_of(trained) | {"size": side, "asked": "as it is and mirrored, the mean"},
        "data": {"name": data.resolve().name, "sha256": slices_digest(slices)},
        "figures": figures,
        "beside": {"ours": ours_beside(figures), "printed": printed_rows()},
    }
    text = _text(trained, remarks, table_of(figures))
    return Evaluation(trained.name, trained.method, SEGMENTATION, whole, text, remarks, scores)


def _text(trained: Trained, remarks: Sequence[Remark], table: str) -> str:
    return _told(f"{trained.name} ({trained.method})", remarks, table)


def _told(head: str, remarks: Sequence[Remark], table: str) -> str:
    told = "".join(f"{r.severity.value}: {r.text} {r.remedy}".rstrip() + "\n" for r in remarks)
    return f"{head}\n{told}\n{table}\n{DISCLAIMER}\n"


def slices_digest(slices: LabelledSlices) -> str:
    """One hash of all pictures and masks of a set."""
    whole = hashlib.sha256()
    for picture, lesion, _, _ in slices.rows():
        whole.update(f"{picture_digest(picture)}".encode())
        whole.update(np.ascontiguousarray(lesion).tobytes())
    return whole.hexdigest()


def seen_remarks(trained: Trained, data: Path, slices: LabelledSlices) -> tuple[Remark, ...]:
    """Whether the model was trained on these very slices, as far as its folder tells."""
    from glasslung.train.rundir import hash_input

    known = set(trained.about["settings"].get(TRAINING, {}).get(PICTURES, []))
    seen = sum(picture_digest(picture) in known for picture in slices.pictures)
    remedy = "Read these figures as those of training, or score slices that it never saw."
    if seen:
        text = f"The model was trained on {seen} of these {len(slices)} slices."
        return (Remark("trained-on-these", Severity.WARN, text, remedy),)
    if not known and hash_input(data) in input_hashes(trained.about):
        text = "The model was trained on this very folder: it may have seen some or all of these slices."
        return (Remark("trained-on-these", Severity.WARN, text, remedy),)
    if not known:
        text = "Whether the model was trained on some of these slices is not known; its folder does not say."
        return (Remark("training-unknown", Severity.NOTE, text),)
    return ()


def _patient_remarks(slices: LabelledSlices) -> tuple[Remark, ...]:
    if any(name != case for name, case in zip(slices.names, slices.cases, strict=True)):
        return ()
    text = (
        "The slices name no patient: near copies count as one, other slices each as a patient of its own, so "
        "intervals may be too narrow."
    )
    return (Remark("patients-unknown", Severity.NOTE, text),)
