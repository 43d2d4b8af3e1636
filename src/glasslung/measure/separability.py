"""Can one tell from the latents where a patient comes from? Classifiers and permutations as two-sample tests.

Latents that carry no trace of the group leave every classifier at chance. A linear one sees shifted means;
the quadratic one, which also reads squares, sees clouds of another width, as a posterior has beside its
prior. A classifier at chance does not prove that there is nothing to see, only that it saw nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.featuresets import FeatureSet, check_same_features, pair_mean, share_within
from glasslung.measure.manifolds import pairwise_distances
from glasslung.measure.ranking import auc_interval, auc_weighted
from glasslung.measure.statistics import Interval, bootstrap_by_patient, patient_codes

KINDS = ("linear", "quadratic", "forest")
FOLDS = 5
LOGIT_VARIANCE = 10.0  # of a logit before the data speak: sure answers are possible, endless ones are not
TREES = 200
OWNER_RECALL = 0.95  # of the owners count as owner-like when the prior's mass is measured
KERNEL_SCALES = (0.25, 1.0, 4.0)  # times the median distance, squared: near and far structure alike


@dataclass(frozen=True)
class Leakage:
    """How well a classifier tells the group from latents of patients it never saw.

    balanced_accuracy  mean over groups of the share told rightly
    chance             1 / groups: what latents without a trace of the group give
    mean_auc           mean over groups of the AUC of that group against the rest, chance 0.5: it sees a trace
                       also where one large group draws all answers to itself
    kind               of the classifier
    """

    balanced_accuracy: Interval
    chance: float
    mean_auc: Interval
    kind: str


def leakage(
    features: np.ndarray,
    group: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    kind: str = "quadratic",
    folds: int = FOLDS,
    draws: int = 2000,
    level: float = 0.95,
) -> Leakage:
    """How much of the group can be read from latents: balanced accuracy of a cross-validated classifier.

    features (N, D), group (N,), patients (N,). 1 / groups chance, 1 fully readable. Folds keep each patient
    together; the interval resamples patients over the out-of-fold answers, so it does not hold the luck of
    training. Lopez-Paz & Oquab, Revisiting classifier two-sample tests, ICLR 2017.
    """
    group = np.asarray(group)
    kinds, codes = np.unique(group, return_inverse=True)
    chances = out_of_fold(features, codes, patients, rng=rng, kind=kind, folds=folds)
    right = told_rightly(codes, chances.argmax(1), patients, rng=rng, draws=draws, level=level)
    areas = mean_auc(codes, chances, patients, rng=rng, draws=draws, level=level)
    return Leakage(right, 1.0 / len(kinds), areas, kind)


def told_rightly(
    truth: np.ndarray,
    answer: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Balanced accuracy with its interval: the mean over groups of the share of right answers.

    truth, answer (N,) group codes; patients (N,). 1 perfect, 1 / groups chance. Patients are resampled apart
    by the groups that they have scans in, so no draw loses a group. For made slices truth is the age they
    were made for: far above what real unseen slices reach means exaggerated ageing, not realistic.
    """
    truth, answer = np.asarray(truth), np.asarray(answer)
    kinds = np.unique(truth)

    def statistic(truth: np.ndarray, answer: np.ndarray, weights: np.ndarray) -> np.ndarray:
        right = weights * (truth == answer)
        shares = [right[:, truth == k].sum(1) / weights[:, truth == k].sum(1) for k in kinds]
        mean: np.ndarray = np.mean(shares, axis=0)
        return mean

    return bootstrap_by_patient(
        statistic,
        patients,
        truth,
        answer,
        rng=rng,
        draws=draws,
        level=level,
        strata=group_strata(truth, patients),
        weighted=True,
    )


def mean_auc(
    truth: np.ndarray,
    chances: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean over groups of the AUC of each group against the rest: 1 perfect, 0.5 chance.

    truth (N,) 0 .. G - 1, chances (N, G), patients (N,). Fawcett, Pattern Recognit Lett 2006;27:861-74.
    """
    kinds = np.unique(truth)

    def statistic(truth: np.ndarray, chances: np.ndarray, weights: np.ndarray) -> np.ndarray:
        areas = [auc_weighted(truth == kind, chances[:, kind], weights) for kind in kinds]
        mean: np.ndarray = np.mean(areas, axis=0)
        return mean

    return bootstrap_by_patient(
        statistic,
        patients,
        np.asarray(truth),
        np.asarray(chances),
        rng=rng,
        draws=draws,
        level=level,
        strata=group_strata(truth, patients),
        weighted=True,
    )


@dataclass(frozen=True)
class PriorHole:
    """How far the prior's draws lie from where the owners of an age are.

    auc         of a classifier between owners and prior draws: 0.5 no hole, 1 prior draws lie elsewhere
    owner_mass  share of the prior that looks like owners, at `recall` of the owners: `recall` when the two
                are the same, about 1/4 when owners fill a quarter of the prior
    """

    auc: Interval
    owner_mass: Interval
    recall: float
    kind: str


def prior_hole(
    prior: FeatureSet,
    owners: FeatureSet,
    *,
    rng: np.random.Generator,
    kind: str = "quadratic",
    recall: float = OWNER_RECALL,
    folds: int = FOLDS,
    draws: int = 2000,
    level: float = 0.95,
) -> PriorHole:
    """Do latents drawn from the prior lie where the age's own patients have theirs?

    prior   draws from the prior; owners: one posterior draw for each scan of the age's own patients (draws,
            not means: means are narrower than the prior even where nothing is wrong)
    Scores are out of fold, by patient. Needs `folds` units on each side.
    """
    check_same_features(prior, owners)
    if not 0 < recall < 1:
        raise UsageError(f"recall must lie between 0 and 1, got {recall}")
    features = np.concatenate([owners.features, prior.features])
    truth = np.repeat([True, False], [len(owners), len(prior)])
    units = np.concatenate([owners.units, owners.count + prior.units])
    score = out_of_fold(features, truth.astype(int), units, rng=rng, kind=kind, folds=folds)[:, 1]
    mass, _ = share_within(
        (-score[~truth], prior.units),
        (-score[truth], owners.units),
        recall,
        rng=rng,
        draws=draws,
        level=level,
    )
    area = auc_interval(truth, score, units, rng=rng, draws=draws, level=level)
    return PriorHole(area, mass, recall, kind)


def out_of_fold(
    features: np.ndarray,
    codes: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    kind: str = "quadratic",
    folds: int = FOLDS,
) -> np.ndarray:
    """Each row's chances of being of each group, by a classifier that never saw its patient.

    features (N, D), codes (N,) 0 .. G - 1 -> (N, G), rows summing to 1. Groups weigh equally in training.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    features = np.asarray(features, np.float64)
    codes, patients = np.asarray(codes), np.asarray(patients)
    if features.ndim != 2 or not len(features) == len(codes) == len(patients):
        raise ShapeError(f"features {features.shape} need a group and a patient each")
    each = [len(np.unique(patients[codes == code])) for code in np.unique(codes)]
    if len(each) < 2 or min(each) < folds:
        raise DataError(
            f"{folds} folds need two groups of {folds} patients or more, got groups of {each}; use fewer "
            "folds"
        )
    chances = np.zeros((len(codes), len(each)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=int(rng.integers(2**31)))
    for train, test in splitter.split(features, codes, patients):
        model = classifier(kind, features.shape[1], seed=int(rng.integers(2**31)))
        model.fit(features[train], codes[train])
        chances[np.ix_(test, model.classes_)] = model.predict_proba(features[test])
    return chances


def classifier(kind: str, width: int, seed: int) -> Any:
    """A fresh scikit-learn classifier for `width` features; UsageError names the kinds there are."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if kind not in KINDS:
        raise UsageError(f"there is no classifier {kind!r}; there are {', '.join(KINDS)}")
    if kind == "forest":
        return RandomForestClassifier(TREES, class_weight="balanced", random_state=seed)
    read = width if kind == "linear" else 2 * width
    # standardised features: the prior variance of a logit is C times their number
    logistic = LogisticRegression(C=LOGIT_VARIANCE / read, class_weight="balanced", max_iter=5000)
    if kind == "linear":
        return make_pipeline(StandardScaler(), logistic)
    return make_pipeline(StandardScaler(), FunctionTransformer(_with_squares), StandardScaler(), logistic)


def _with_squares(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features, features**2], axis=1)


def group_strata(group: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """A number for the set of groups that each row's patient has scans in: (N,), (N,) -> (N,) int64."""
    codes, kinds = patient_codes(patients), patient_codes(group)
    has = np.zeros((codes.max() + 1, kinds.max() + 1), dtype=np.int64)
    has[codes, kinds] = 1
    sets = np.unique(has, axis=0, return_inverse=True)[1].astype(np.int64).reshape(-1)
    strata: np.ndarray = sets[codes]
    return strata


# ---------------------------------------------------------------------------------------- permutations


@dataclass(frozen=True)
class PermutationTest:
    """mmd the kernel distance of two sets, p how often relabelled patients are at least as far apart."""

    mmd: float
    p: float
    permutations: int


def mmd_permutation(
    first: FeatureSet, second: FeatureSet, *, rng: np.random.Generator, permutations: int = 999
) -> PermutationTest:
    """Do two sets of latents come from one population? Kernel distance with its permutation p.

    p small: they differ; p cannot be below 1 / (permutations + 1). Whole units are relabelled; a unit must
    not be in both sets. Kernel: inverse multi-quadratics at three scales of the median distance. Gretton et
    al., JMLR 2012;13:723-73.
    """
    check_same_features(first, second)
    if permutations < 1:
        raise UsageError("a permutation test needs one permutation at least")
    features = np.concatenate([first.features, second.features])
    units = np.concatenate([first.units, first.count + second.units])
    gram = multiquadric_kernel(features)
    total = first.count + second.count
    order = rng.permuted(np.tile(np.arange(total), (permutations, 1)), axis=1)
    labels = np.concatenate([np.arange(total)[None] < first.count, order < first.count])
    weights = labels[:, units].astype(np.float64)
    values = _mmd(gram, units, weights)
    at_least = int((values[1:] >= values[0]).sum())
    return PermutationTest(float(values[0]), (1 + at_least) / (1 + permutations), permutations)


def multiquadric_kernel(features: np.ndarray) -> np.ndarray:
    """Mean over scales s of 1 / (1 + d^2 / (s m)), m the median squared distance: (N, D) -> (N, N)."""
    squared = pairwise_distances(features, features) ** 2
    middle = float(np.median(squared[np.triu_indices(len(features), 1)]))
    if middle == 0:
        raise DataError("more than half of the latents are the same: no kernel scale can be taken from them")
    kernel: np.ndarray = np.mean(
        [1.0 / (1.0 + squared / (scale * middle)) for scale in KERNEL_SCALES], axis=0
    )
    return kernel


def _mmd(gram: np.ndarray, units: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Unbiased squared distance under each labelling, weights (B, N) of 0 and 1 -> (B,)."""
    others = 1.0 - weights
    across = ((weights @ gram) * others).sum(1) / (weights.sum(1) * others.sum(1))
    return pair_mean(gram, units, weights) + pair_mean(gram, units, others) - 2 * across
