"""Classifiers trained fold by fold at one hospital, and what each network says of every scan.

The paper's protocol: as many networks as folds, each validated on the patients it did not learn from, and the
best of them asked about the other hospitals. The best of ten is the luckiest of ten, so the mean of the folds
and their ensemble (the mean of their log-odds) stand beside it. Patients are parted, never scans; networks
learn from first scans alone, and all later ones are asked without any further learning, as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.exams import ExamSet
from glasslung.data.splits import deal
from glasslung.errors import DataError, UsageError
from glasslung.files import whole_file
from glasslung.measure.ranking import auc
from glasslung.studies.diagnosis.contest import TRAIN, VAL, Budget, Method, digest_of, train
from glasslung.studies.diagnosis.learning import answers_of
from glasslung.studies.jobs import Done, Job, Product
from glasslung.studies.prognosis.ground import PrognosisGround
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

I3D, RESNET = "I3D", "2D ResNet-50"
METHODS = {
    I3D: Method("i3d", {"width": 0.25, "depth": 32}),
    RESNET: Method("resnet2d", {"width": 0.5}),
}
"""The paper's network and its baseline, as narrow as two cores need; both are given the same time."""
LEAST_FOLDS = 2


@dataclass(frozen=True, eq=False)
class Folded:
    """What the networks of one method say of N scans; K folds.

    log_odds  (K, N); features (K, N, F) float32: what they rest on
    fold      (N,) int64: the fold whose network did not learn from the scan's patient; -1 outside
    areas     (K,) AUC on the validation patients of each fold
    """

    name: str
    log_odds: np.ndarray
    features: np.ndarray
    fold: np.ndarray
    areas: np.ndarray

    @property
    def best(self) -> int:
        """The fold with the best AUC on its validation patients."""
        return int(np.argmax(self.areas))

    @property
    def score(self) -> np.ndarray:
        """(N,) log-odds of networks that did not learn from the patient: of one, outside the mean of all."""
        return self._unseen(self.log_odds)

    def _unseen(self, told: np.ndarray) -> np.ndarray:
        rows = np.arange(told.shape[1])
        alone = told[np.maximum(self.fold, 0), rows]
        return np.where(self.fold >= 0, alone, told.mean(0))


def deal_folds(ground: PrognosisGround, folds: int, seed: int) -> np.ndarray:
    """The fold of each scan of the trained part, by patient and with both diseases in each; -1 elsewhere.

    DataError where a disease has fewer patients than there are folds.
    """
    if folds < LEAST_FOLDS:
        raise UsageError(f"folds: {LEAST_FOLDS} or more, got {folds}")
    here = np.flatnonzero(ground.rows(ground.trained) & (ground.exams.label >= 0))
    kinds = {ground.exams.patients[row]: (str(ground.exams.label[row]),) for row in here}
    for label, word in ((1, "labelled 'covid'"), (0, "labelled otherwise")):
        many = sum(kind == (str(label),) for kind in kinds.values())
        if many < folds:
            raise DataError(
                f"part {ground.trained!r} has {many} patients {word}: too few for {folds} folds with some of "
                "them in each; a diagnosis cannot be learned there"
            )
    dealt = deal(kinds, {str(fold): 1 / folds for fold in range(folds)}, seed)
    fold = np.full(len(ground.exams), -1, np.int64)
    fold[here] = [int(dealt[ground.exams.patients[row]]) for row in here]
    return fold


def fold_jobs(
    ground: PrognosisGround, fold: np.ndarray, budget: Budget, names: Sequence[str], seed: int = 0
) -> list[Job]:
    """A job for each method and fold: it learns from first scans, and is asked about every scan once.

    A budget is the process time of one fold, the same for every method.
    """
    for name in names:
        if name not in METHODS:
            raise UsageError(f"there is no method {name!r}; there are {', '.join(METHODS)}")
    digest = digest_of(ground.exams)
    return [
        Job(
            f"{name} fold {number}",
            seed,
            {
                "method": asdict(METHODS[name]),
                "budget": asdict(budget),
                "exams": digest,
                "fold": [int(one) for one in np.bincount(fold[fold >= 0])],
            },
            _work(METHODS[name], _of_fold(ground, fold, number), ground.exams, budget, seed),
        )
        for name in names
        for number in range(int(fold.max()) + 1)
    ]


def _of_fold(ground: PrognosisGround, fold: np.ndarray, number: int) -> ExamSet:
    """First scans of the trained part: those of a fold to validate on, the others to learn from."""
    rows = np.flatnonzero((fold >= 0) & ground.first)
    parts = tuple(VAL if fold[row] == number else TRAIN for row in rows)
    return replace(ground.exams.take(rows), split=parts)


def _work(
    method: Method, learned: ExamSet, asked: ExamSet, budget: Budget, seed: int
) -> Callable[[Progress | None], Product]:
    def work(progress: Progress | None) -> Product:
        model, told = train(method, learned, budget, seed, progress)
        said = answers_of(model, asked)

        def write(path: Path) -> None:
            with whole_file(path) as file:
                np.savez_compressed(
                    file,
                    allow_pickle=False,
                    scans=np.array(asked.scans),
                    log_odds=said.log_odds,
                    features=said.features,
                )

        return Product(model, write, told)

    return work


def read_folds(done: Sequence[Done], name: str, ground: PrognosisGround, fold: np.ndarray) -> Folded:
    """What the networks of a method said, folds one after the other."""
    mine = [one for one in done if one.name.startswith(f"{name} fold ")]
    said = [_read(one.answer, ground.exams.scans) for one in mine if one.answer is not None]
    log_odds, features = (np.stack([one[number] for one in said]) for number in (0, 1))
    first, truth = ground.first, ground.exams.label == 1
    areas = []
    for number, told in enumerate(log_odds):
        rows = (fold == number) & first
        areas.append(auc(truth[rows], told[rows]))
    return Folded(name, log_odds, features, fold, np.array(areas))


def _read(path: Path, scans: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if tuple(str(one) for one in kept["scans"]) != tuple(scans):
                raise DataError(f"{path} tells of other scans; delete its .json, and run again")
            return kept["log_odds"], kept["features"]
    except (OSError, ValueError, KeyError) as problem:
        raise DataError(f"{path} is damaged ({problem}); delete its .json, and run again") from problem


def opened(done: Sequence[Done], folded: Folded, size: int) -> nn.Module:
    """The network of a method's best fold."""
    from safetensors.torch import load_file

    from glasslung.models import build

    one = next(one for one in done if one.name == f"{folded.name} fold {folded.best}")
    method = METHODS[folded.name]
    settings: Mapping[str, Any] = {"size": size, **method.settings}
    model = build(method.model, one.seed, **settings)
    model.load_state_dict(load_file(one.weights))
    return model.eval()
