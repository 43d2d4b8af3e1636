"""Classifiers trained fold by fold at one hospital, and what each network says of every scan.

The paper's protocol: as many networks as folds, each validated on the patients it did not learn from, and the
best of them asked about the other hospitals. The best of ten is the luckiest of ten, so the mean of the folds
and their ensemble (the mean of their log-odds) stand beside it. Patients are parted, never scans; networks
learn from one scan of each patient, and all the others are asked without any further learning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
LR = 1e-3  # of weights drawn at random, for some hundred steps; public weights would bear a hundredth
METHODS = {
    I3D: Method("i3d", {"width": 0.25, "depth": 40, "dropout": 0.3, "lr": LR, "lr_trunk": LR}),
    RESNET: Method("resnet2d", {"width": 0.25, "dropout": 0.3, "lr": LR, "lr_trunk": LR}),
}
"""The paper's network and its baseline, as small as two cores need; both are given the same time."""
FOLLOWED = (I3D,)  # whose score is followed over all scans; of others only the diagnosis is asked
LEAST_FOLDS = 2


class Asked(NamedTuple):
    """Scans, and which rows of the ground they are."""

    exams: ExamSet
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Folded:
    """What the networks of one method say of N scans; K folds.

    log_odds  (K, N), NaN where the network was not asked; features (K, N, F) float32: what they rest on
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
    fold = np.full(len(ground.stays), -1, np.int64)
    fold[here] = [int(dealt[ground.exams.patients[row]]) for row in here]
    return fold


def fold_jobs(
    ground: PrognosisGround, fold: np.ndarray, budget: Budget, names: Sequence[str], seed: int = 0
) -> list[Job]:
    """A job for each method and fold: it learns from one scan of each patient.

    Asked once, after training, are those that it did not learn from and, of a method that is followed, all
    scans. A budget is the process time of one fold, the same for every method.
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
            _work(
                METHODS[name],
                _of_fold(ground, fold, number),
                _asked(ground, fold, number, name),
                budget,
                seed,
            ),
        )
        for name in names
        for number in range(int(fold.max()) + 1)
    ]


def _of_fold(ground: PrognosisGround, fold: np.ndarray, number: int) -> ExamSet:
    """One scan of each patient of the trained part: a fold to validate on, the others to learn from."""
    rows = np.flatnonzero((fold >= 0) & ground.diagnosed)
    parts = tuple(VAL if fold[row] == number else TRAIN for row in rows)
    return replace(ground.exams.take(rows), split=parts)


def _asked(ground: PrognosisGround, fold: np.ndarray, number: int, name: str) -> Asked:
    """The scans a network is asked about."""
    unseen = ground.diagnosed & ((fold == number) | (fold < 0))
    rows = np.arange(len(ground.exams)) if name in FOLLOWED else np.flatnonzero(unseen)
    return Asked(ground.exams.take(rows), rows)


def _work(
    method: Method, learned: ExamSet, asked: Asked, budget: Budget, seed: int
) -> Callable[[Progress | None], Product]:
    def work(progress: Progress | None) -> Product:
        model, told = train(method, learned, budget, seed, progress)
        said = answers_of(model, asked.exams)

        def write(path: Path) -> None:
            with whole_file(path) as file:
                np.savez_compressed(
                    file,
                    allow_pickle=False,
                    rows=asked.rows,
                    log_odds=said.log_odds,
                    features=said.features,
                )

        return Product(model, write, told)

    return work


def read_folds(done: Sequence[Done], name: str, ground: PrognosisGround, fold: np.ndarray) -> Folded:
    """What the networks of a method said, folds one after the other."""
    mine = [one for one in done if one.name.startswith(f"{name} fold ")]
    said = [_read(one.answer, len(ground.exams)) for one in mine if one.answer is not None]
    log_odds, features = (np.stack([one[number] for one in said]) for number in (0, 1))
    diagnosed, truth = ground.diagnosed, ground.exams.label == 1
    areas = []
    for number, told in enumerate(log_odds):
        rows = (fold == number) & diagnosed
        areas.append(auc(truth[rows], told[rows]))
    return Folded(name, log_odds, features, fold, np.array(areas))


def _read(path: Path, scans: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (N,) and features (N, F) of all scans, NaN where the network was not asked."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            rows, said = kept["rows"], kept["features"]
            log_odds = np.full(scans, np.nan)
            features = np.full((scans, said.shape[1]), np.nan, np.float32)
            log_odds[rows], features[rows] = kept["log_odds"], said
            return log_odds, features
    except (OSError, ValueError, KeyError, IndexError) as problem:
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
