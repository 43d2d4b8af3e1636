"""Answers that may say "cannot tell": class-conditional split conformal prediction for two classes.

From validation scans of each class the nonconformity of their own class is kept: one minus its probability.
For a new scan a class stays in the answer where the scan is no stranger to it than most of these were; then,
of scans with the finding, at least `level` keep "with", and of those without at least `level` keep "without",
whatever the network is worth. The promise holds for scans exchangeable with the validation scans of their
class: another hospital breaks it, and several scans of one patient count as fewer.

    both kept     cannot tell
    none kept     unfamiliar: a score that neither class had in validation

Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2005, chapter 4 (Mondrian); the quantile for
finite samples as in Lei et al., JASA 2018;113:1094-111.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.ranking import checked_ranking
from glasslung.measure.statistics import Interval, patient_codes, share_by_patient

JSON_WITH, JSON_WITHOUT = "covid", "other"  # how the two lists are called in operating.json


class Answer(StrEnum):
    """What a conformal answer says of one scan."""

    WITH = "with"
    WITHOUT = "without"
    CANNOT_TELL = "cannot tell"
    UNFAMILIAR = "unfamiliar"


@dataclass(frozen=True)
class Conformal:
    """What is kept from validation scans to answer for new ones.

    level    share of the scans of each class that keep their class: 0.9
    with_it  nonconformity of validation scans with the finding, 1 - p, rising
    without  of those without it, p, rising
    """

    level: float
    with_it: tuple[float, ...]
    without: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UsageError(f"the level of a conformal answer lies between 0 and 1, got {self.level}")
        for scores in (self.with_it, self.without):
            if any(a > b for a, b in itertools.pairwise(scores)) or not all(map(math.isfinite, scores)):
                raise DataError("nonconformity scores must be finite and rising; the file is damaged")

    @property
    def limits(self) -> tuple[float, float]:
        """The greatest nonconformity that keeps "with", and that keeps "without"; infinite with few scans."""
        return limit_of(self.with_it, self.level), limit_of(self.without, self.level)

    def answer(self, probability: float) -> Answer:
        """The answer for one scan with this calibrated probability of the finding."""
        most_with, most_without = self.limits
        kept = (1 - probability <= most_with, probability <= most_without)
        return _NAMED[kept]

    def answers(self, probability: np.ndarray) -> np.ndarray:
        """`answer` of many: (N,) -> (N,) of the values of `Answer`."""
        with_it, without = self.kept(probability)
        names = np.array([_NAMED[False, False], _NAMED[False, True], _NAMED[True, False], _NAMED[True, True]])
        return names[2 * with_it.astype(int) + without]

    def kept(self, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether "with" and "without" stay in the answer: (N,) -> (N,) bool twice."""
        probability = np.asarray(probability, dtype=np.float64)
        most_with, most_without = self.limits
        return 1 - probability <= most_with, probability <= most_without

    def p_values(self, probability: float) -> tuple[float, float]:
        """How usual the scan is among those with and among those without: share at least as strange.

        Counts the scan itself, so it is never 0; a class stays in the answer where this is above 1 - level.
        """
        pairs = ((self.with_it, 1 - probability), (self.without, probability))
        with_it, without = (
            (1 + sum(score >= mine for score in scores)) / (len(scores) + 1) for scores, mine in pairs
        )
        return with_it, without

    def to_json(self) -> dict[str, object]:
        """As it stands in operating.json: level, and the two lists."""
        return {"level": self.level, JSON_WITH: list(self.with_it), JSON_WITHOUT: list(self.without)}

    @classmethod
    def from_json(cls, found: Mapping[str, object]) -> Conformal:
        """Back from operating.json; DataError where something is missing or damaged."""
        try:
            return cls(
                float(found["level"]),  # type: ignore[arg-type]
                tuple(float(one) for one in found[JSON_WITH]),  # type: ignore[attr-defined]
                tuple(float(one) for one in found[JSON_WITHOUT]),  # type: ignore[attr-defined]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the conformal part of operating.json is damaged: {error}") from error


_NAMED = {
    (True, True): Answer.CANNOT_TELL,
    (True, False): Answer.WITH,
    (False, True): Answer.WITHOUT,
    (False, False): Answer.UNFAMILIAR,
}


@dataclass(frozen=True)
class Coverage:
    """What the answers are worth on a set of scans.

    coverage   share of scans whose true class is kept, of all, of those with and of those without
    shares     of each answer among all scans
    certain    share of scans with one class kept
    right      of these, share that is right; None where there are none
    """

    coverage: Interval
    coverage_with: Interval
    coverage_without: Interval
    shares: Mapping[Answer, float]
    certain: float
    right: Interval | None


def fit_conformal(truth: np.ndarray, probability: np.ndarray, level: float = 0.9) -> Conformal:
    """Keep what is needed from validation scans: truth (N,) bool, calibrated probability (N,).

    At least level / (1 - level) scans of a class are needed (9 for 0.9), or that class is never ruled out.
    """
    truth, probability = checked_ranking(truth, probability)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise DataError("probabilities must lie in 0 to 1; are these log-odds?")
    if truth.all() or not truth.any():
        raise DataError("conformal answers need validation scans with and without the finding")
    with_it, without = np.sort(1 - probability[truth]), np.sort(probability[~truth])
    return Conformal(level, tuple(with_it.tolist()), tuple(without.tolist()))


def limit_of(scores: Sequence[float], level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n rising scores; infinite where n is too small for the level."""
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    return scores[rank - 1] if rank <= len(scores) else math.inf


def measure_coverage(
    conformal: Conformal,
    truth: np.ndarray,
    probability: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
) -> Coverage:
    """How often the answer keeps the true class on scans it never saw, and how often it answers at all.

    truth (N,) bool, probability (N,), patients (N,). Intervals by resampling patients within each class;
    exact ones, counted in patients, where all or none are covered.
    """
    truth, probability = checked_ranking(truth, probability)
    codes = patient_codes(patients)
    if len(codes) != len(truth):
        raise ShapeError(f"{len(codes)} patients for {len(truth)} scans; give one per scan")
    with_it, without = conformal.kept(probability)
    covered, single = np.where(truth, with_it, without), with_it != without
    answers = conformal.answers(probability)

    def share(scans: np.ndarray) -> Interval:
        return share_by_patient(covered[scans], codes[scans], rng=rng, draws=draws)

    return Coverage(
        share(np.full(len(truth), True)),
        share(truth),
        share(~truth),
        {name: float((answers == name.value).mean()) for name in Answer},
        float(single.mean()),
        share(single) if len(np.unique(codes[single])) > 1 else None,
    )
