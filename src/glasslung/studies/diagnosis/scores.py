"""All figures of classifiers on scans they never saw, as plain JSON: what a table of answers is worth.

Log-odds become probabilities by the temperature of the validation scans, and the operating point and the
conformal answers come from there too: nothing is chosen on the scans that are scored. An interval is
[value, low, high], by resampling patients; null where a figure is not defined.

    score_part -> {
      'scans', 'patients', 'with', 'without': counts
      'source': {kind: interval} of AUCs that are reached without looking at a lung
      'source_only': the first of these, which stands beside every AUC, or null
      'reference': method
      'methods': {method: {
          'auc': interval; 'delong': {'value', 'error', 'low', 'high'}
          'false_alarms_at_95': interval (FPR at 95 % TPR)
          'roc': {'false', 'true', 'low', 'high'}: lists
          'at_half', 'at_youden': {'threshold', 'counts': [tp, fn, fp, tn], and by name of FIGURES: interval}
          'calibration': {'temperature', 'bias', 'ece', 'ece_by_luck': [median, 95 % of draws], 'ece_width',
                          'ece_raw', 'brier', 'nll', 'reliability': [[low, high, mean, share, count], ...],
                          'bars': [[low, high], ...] of the shares}
          'conformal': {'level', 'coverage', 'coverage_with', 'coverage_without': intervals, 'shares':
          {answer:
                        share}, 'certain': share, 'right': interval}
          'benefit': {'thresholds', 'model', 'low', 'high', 'everybody', 'share'}: lists
          'strata': see `strata`
          'seeds': {'auc': {'mean', 'deviation', 'seeds'}} of every training, this one too
      }}
      'tests': {method: {'delong': {'difference', 'low', 'high', 'z', 'p'},
                         'mcnemar': {'only_method', 'only_reference', 'p'}}}  each against the reference
    }
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.exams import ExamSet
from glasslung.errors import DataError, ShapeError
from glasslung.measure.calibration import (
    Bins,
    Calibration,
    brier_score,
    calibration_error,
    calibration_error_by_luck,
    fit_calibration,
    negative_log_likelihood,
    reliability,
)
from glasslung.measure.conformal import fit_conformal, measure_coverage
from glasslung.measure.decisions import FIGURES, calls_at, decision_curve, youden_threshold
from glasslung.measure.delong import delong_area, delong_test
from glasslung.measure.ranking import auc, auc_interval
from glasslung.measure.roccurves import false_alarms_interval, roc_band
from glasslung.measure.statistics import Interval, mcnemar
from glasslung.studies.diagnosis.strata import score_strata
from glasslung.studies.seeds import over_seeds

if TYPE_CHECKING:
    from glasslung.studies.diagnosis.contest import Said

LEVEL = 0.9  # of the conformal answers: one in ten of a class may lose it
HALF = 0.5  # the paper's threshold
BENEFIT_AT = tuple(round(0.01 * n, 2) for n in range(2, 99, 2))  # thresholds of the decision curve
DIGITS = 5  # of the lists that only a chart reads

Triple = list[float]


@dataclass(frozen=True, eq=False)
class Scans:
    """Which scans were asked about, one aligned line per field, N scans.

    truth     (N,) bool: has the finding
    scans, patients, sites   as in the cohort's table
    words     what each is: 'covid', 'bacterial', 'healthy'
    severity  how ill, as a number in text or as a word; '' unknown; may be empty
    extra     further columns by name; one called CO-RADS is told apart
    """

    truth: np.ndarray
    scans: Sequence[str]
    patients: Sequence[str]
    sites: Sequence[str]
    words: Sequence[str]
    severity: Sequence[str] = ()
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lines = {"scans": self.scans, "patients": self.patients, "sites": self.sites, "words": self.words}
        if len(self.severity):
            lines["severity"] = self.severity
        for name, line in {**lines, **self.extra}.items():
            if len(line) != len(self.truth):
                raise ShapeError(f"{len(self.truth)} truths need as many {name}, got {len(line)}")

    def __len__(self) -> int:
        return len(self.truth)


def scans_of(exams: ExamSet) -> Scans:
    """The scans of a part whose labels are known; a column 'severity' of its extra tells how ill they are."""
    known = exams.labelled()
    return Scans(
        known.label == 1,
        known.scans,
        known.patients,
        known.sites,
        known.words,
        known.extra.get("severity", ()),
        known.extra,
    )


@dataclass(frozen=True, eq=False)
class Replies:
    """What one trained method says: log-odds of the scans that are scored, and of its validation scans.

    log_odds    (N,) of the scored scans
    validation  (V,) of the validation scans
    seeds       further trainings of the method: (N,) each, of the scored scans
    """

    log_odds: np.ndarray
    validation: np.ndarray
    seeds: Sequence[np.ndarray] = ()


def replies_of(said: Sequence[Said], scans: Sequence[str], validation: Sequence[str]) -> Replies:
    """What the trainings of one method said, seeds one after the other, in the order of these scans.

    said        of the contest (`contest.read_said`); the first training is the one that is scored
    scans, validation   names of the scans that are scored, and of the validation scans
    DataError names a scan that was not asked about.
    """

    def of(one: Said, names: Sequence[str]) -> np.ndarray:
        rows = dict(zip(one.scans, one.log_odds, strict=True))
        missing = [name for name in names if name not in rows]
        if missing:
            raise DataError(f"scan {missing[0]!r} was not asked about; run the study again")
        return np.array([rows[name] for name in names], dtype=np.float64)

    first, *others = said
    return Replies(of(first, scans), of(first, validation), tuple(of(one, scans) for one in others))


@dataclass(frozen=True)
class Read:
    """How the log-odds of a method are read, all from its validation scans."""

    calibration: Calibration
    threshold: float


def score_part(
    scans: Scans,
    validation: np.ndarray,
    answers: Mapping[str, Replies],
    reference: str,
    *,
    source: Mapping[str, Interval] | None = None,
    seed: int = 0,
    draws: int = 2000,
) -> dict[str, Any]:
    """Every figure of every method on one set of scans: those of a seen site, or of one never trained on.

    validation   (V,) bool, truths of the validation scans
    reference    the method that the others are tested against
    source       kind -> AUC from outline, files or borders alone on the same scans; the first is the bar
    Intervals of every method rest on the same resamples. DataError where a class has fewer than two patients.
    """
    if reference not in answers:
        raise DataError(f"there is no method {reference!r} to compare with; there are {list(answers)}")
    bars = source or {}
    methods, reads = {}, {}
    for name, answer in answers.items():
        _check(name, answer, scans, validation)
        reads[name] = read_validation(validation, answer.validation)
        methods[name] = score_method(scans, validation, answer, reads[name], seed=seed, draws=draws)
    return {
        "scans": len(scans),
        "patients": len(set(scans.patients)),
        "with": int(scans.truth.sum()),
        "without": int((~scans.truth).sum()),
        "source": {kind: triple(found) for kind, found in bars.items()},
        "source_only": triple(next(iter(bars.values()), None)),
        "reference": reference,
        "methods": methods,
        "tests": {
            name: compare(scans, answers[name], answers[reference], reads[name], reads[reference])
            for name in answers
            if name != reference
        },
    }


def read_validation(truth: np.ndarray, log_odds: np.ndarray) -> Read:
    """Temperature and Youden's threshold of the calibrated probability, from validation scans."""
    calibration = fit_calibration(truth, log_odds)
    return Read(calibration, youden_threshold(truth, calibration.probability(log_odds)))


def score_method(
    scans: Scans, validation: np.ndarray, answer: Replies, read: Read, *, seed: int, draws: int
) -> dict[str, Any]:
    """All figures of one method, see the head of this file."""
    truth, patients, score = scans.truth, scans.patients, np.asarray(answer.log_odds, dtype=np.float64)
    probability = read.calibration.probability(score)

    def rng() -> np.random.Generator:
        return np.random.default_rng(seed)

    area = delong_area(truth, score, patients)
    band = roc_band(truth, score, patients, rng=rng(), draws=draws)
    return {
        "auc": triple(auc_interval(truth, score, patients, rng=rng(), draws=draws)),
        "delong": {"value": area.value, "error": area.error, "low": area.low, "high": area.high},
        "false_alarms_at_95": triple(false_alarms_interval(truth, score, patients, rng=rng(), draws=draws)),
        "roc": {name: _listed(getattr(band, name)) for name in ("false", "true", "low", "high")},
        "at_half": calls_told(scans, probability, HALF, seed, draws),
        "at_youden": calls_told(scans, probability, read.threshold, seed, draws),
        "calibration": _calibration_told(scans, score, read.calibration, rng()),
        "conformal": _conformal_told(scans, validation, answer, read, rng(), draws),
        "benefit": _benefit_told(scans, probability, rng(), draws),
        "strata": score_strata(scans, score, probability, read.threshold, seed=seed, draws=draws),
        "seeds": over_seeds([{"auc": {"value": auc(truth, one)}} for one in (score, *answer.seeds)]),
    }


def compare(
    scans: Scans, answer: Replies, reference: Replies, read: Read, reference_read: Read
) -> dict[str, Any]:
    """A method against the reference on the same scans: areas by DeLong, calls at thresholds by McNemar."""
    found = delong_test(scans.truth, reference.log_odds, answer.log_odds, scans.patients)
    calls = [
        r.calibration.probability(a.log_odds) >= r.threshold
        for r, a in ((read, answer), (reference_read, reference))
    ]
    alone = mcnemar(scans.truth, calls[0], calls[1], scans.patients)
    return {
        "delong": {
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "z": found.z,
            "p": found.p,
        },
        "mcnemar": {
            "only_method": alone.only_first,
            "only_reference": alone.only_second,
            "p": alone.p,
        },
    }


def calls_told(
    scans: Scans, probability: np.ndarray, threshold: float, seed: int, draws: int
) -> dict[str, Any]:
    """What calling scans from a threshold on gets right, with intervals."""
    found = calls_at(
        scans.truth,
        probability,
        threshold,
        scans.patients,
        rng=np.random.default_rng(seed),
        draws=draws,
    )
    figures = {name: triple(found.figures[name]) for name in FIGURES}
    return {"threshold": found.threshold, "counts": list(found.counts), **figures}


def triple(found: Interval | None) -> Triple | None:
    """[value, low, high] of an interval; None where there is none."""
    return None if found is None else [found.value, found.low, found.high]


def _calibration_told(
    scans: Scans, score: np.ndarray, calibration: Calibration, rng: np.random.Generator
) -> dict[str, Any]:
    truth, probability = scans.truth, calibration.probability(score)
    rows = reliability(truth, probability, scans.patients)
    return {
        "temperature": calibration.temperature,
        "bias": calibration.bias,
        "ece": calibration_error(truth, probability),
        "ece_by_luck": list(calibration_error_by_luck(probability, rng=rng)),
        "ece_width": calibration_error(truth, probability, kind=Bins.WIDTH),
        "ece_raw": calibration_error(truth, Calibration().probability(score)),
        "brier": brier_score(truth, probability),
        "nll": negative_log_likelihood(truth, probability),
        "reliability": [[row.low, row.high, row.mean, row.share, row.count] for row in rows],
        "bars": [[row.share_low, row.share_high] for row in rows],
    }


def _conformal_told(
    scans: Scans,
    validation: np.ndarray,
    answer: Replies,
    read: Read,
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any]:
    conformal = fit_conformal(validation, read.calibration.probability(answer.validation), LEVEL)
    probability = read.calibration.probability(answer.log_odds)
    found = measure_coverage(conformal, scans.truth, probability, scans.patients, rng=rng, draws=draws)
    return {
        "level": LEVEL,
        "coverage": triple(found.coverage),
        "coverage_with": triple(found.coverage_with),
        "coverage_without": triple(found.coverage_without),
        "shares": {answer.value: share for answer, share in found.shares.items()},
        "certain": found.certain,
        "right": triple(found.right),
    }


def _benefit_told(
    scans: Scans, probability: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    curve = decision_curve(
        scans.truth, probability, scans.patients, np.array(BENEFIT_AT), rng=rng, draws=draws
    )
    names = ("thresholds", "model", "low", "high", "everybody", "share")
    return {name: _listed(getattr(curve, name)) for name in names}


def _listed(values: np.ndarray) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def _check(name: str, answer: Replies, scans: Scans, validation: np.ndarray) -> None:
    for what, values, wanted in (
        ("scored scans", answer.log_odds, len(scans)),
        ("validation scans", answer.validation, len(validation)),
        *(("scored scans of another seed", one, len(scans)) for one in answer.seeds),
    ):
        if np.shape(values) != (wanted,):
            raise ShapeError(f"{name}: {np.shape(values)} answers for {wanted} {what}")
        if not np.isfinite(values).all():
            raise DataError(f"{name}: answers for the {what} are not all finite; its training failed")
