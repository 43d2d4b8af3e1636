"""What a trained network says of a scan, why, and how far to believe it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True)
class Validation:
    """What a classifier did on scans that it was not trained on, before it was asked about this one.

    scans, patients                 how many there were
    auc, sensitivity, specificity   the figure and its 95 % interval, low and high; 0 to 1
    ece                             expected calibration error, 0 to 1
    reliability                     per bin: its lowest and highest probability, mean probability, share of
                                    scans with the finding, number of scans
    """

    scans: int
    patients: int
    auc: tuple[float, float, float]
    ece: float
    sensitivity: tuple[float, float, float]
    specificity: tuple[float, float, float]
    reliability: tuple[tuple[float, float, float, float, int], ...] = ()


@dataclass(frozen=True)
class RelevanceShare:
    """What part of a classifier's reasons lies in a region, beside the part of the lungs that the region is.

    region     'lesions', 'right lung', 'right upper third', 'outside the lungs', ...
    relevance  share of all relevance for the finding, 0 to 1
    volume     share of the lungs' volume, 0 to 1; None for what is no part of them
    """

    region: str
    relevance: float
    volume: float | None


@dataclass(frozen=True)
class Explanation:
    """Where in a scan a classifier found its reasons.

    method   how relevance was handed back, in words: 'layer-wise relevance propagation, ...'
    shares   by region, all lesions first
    error    conservation: how far relevance of input and biases is from the log-odds, as a share of them;
             None where the method's values are no parts of a sum
    map      file of the relevance on the scan's own grid, relative to the story's folder; '' where none was
             written
    """

    method: str
    shares: tuple[RelevanceShare, ...]
    error: float | None
    map: str = ""


class Answer(StrEnum):
    """What a classifier says at its operating point."""

    LIKELY = "likely"
    UNLIKELY = "unlikely"


class Standing(StrEnum):
    """What a classifier can say with a promised level of confidence; FINDING: what it was asked about."""

    FINDING = "finding"
    OTHER = "other"
    EITHER = "cannot tell"
    NEITHER = "unlike what it learned"


@dataclass(frozen=True)
class Diagnosis:
    """What a classifier says of one scan, and how far to believe it.

    finding       what it was asked about: 'COVID-19'
    log_odds      as the network gives them
    raw           the probability that these say by themselves, 0 to 1
    probability   calibrated on the validation scans, 0 to 1: sigmoid(log_odds / temperature + bias)
    answer        at the operating point: probability from `threshold` on is likely
    rule          how the threshold was chosen
    standing      the conformal answer, which promises `level` among scans like those of the validation
    chances       conformal p-values, 0 to 1: of the finding, of all else
    percentile    how far the scan lies from the training scans: the per cent of the validation scans that
                  lie nearer; None where the classifier keeps no distances
    doubts        what stands against believing it, a sentence each; () where nothing was noticed
    classifier, method, digest   who was asked, and the first 16 hex digits of the SHA-256 of its files
    validation    what it did on scans it had not learned from
    trained_on, limits           what its folder says of it
    explanation   where it found its reasons; None where nobody asked for that
    shown         what of the scan the network saw, in words; '' in stories of earlier versions
    """

    finding: str
    log_odds: float
    raw: float
    probability: float
    temperature: float
    bias: float
    answer: Answer
    threshold: float
    rule: str
    standing: Standing
    level: float
    chances: tuple[float, float]
    percentile: float | None
    doubts: tuple[str, ...]
    classifier: str
    method: str
    digest: str
    validation: Validation
    trained_on: str
    limits: str
    explanation: Explanation | None = None
    shown: str = ""

    @property
    def standing_words(self) -> str:
        """The conformal answer as a person says it: 'COVID-19', 'other', 'cannot tell', ..."""
        return self.finding if self.standing is Standing.FINDING else self.standing.value


@dataclass(frozen=True)
class RiskCurve:
    """A chance that changes with the days: of one patient, or of a group of patients.

    name      what it is of
    days      (T,) rising, counted from the last scan that was used
    chance    (T,) 0 to 1, with 95 % limits low and high, (T,) each
    patients  how many it rests on; 0 for a curve of one patient
    at_risk   of a group: patients still observed at each of the prognosis' `marks`
    """

    name: str
    days: tuple[float, ...]
    chance: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    patients: int = 0
    at_risk: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prognosis:
    """What a model of many stays expects of one patient after the last scan.

    endpoint   what may happen, in words
    scans      names of the scans it read: one, or a prior and the last
    columns    what it read, by name, in its own units
    horizon    days to which `chance` refers
    chance     of the endpoint by then, 0 to 1; `interval` its 95 % limits
    percentile how many per cent of the training's patients had a lower risk
    group      the name of the curve among `groups` that this patient belongs to
    curve      this patient's chance over the days
    groups     curves of patients of lower and higher risk, whom the model never learned from:
               Kaplan-Meier's, or cumulative incidences where another event may come first, as `groups_by`
               says; '' in older stories
    marks      days at which the groups' numbers at risk are told
    score      name of the figure that says how well the model orders patients it never saw; `worth` its value
               with 95 % limits; `plain` the same of age and sex alone; `gain` their paired difference on the
               same patients, None where it was not kept
    doubts     what stands against believing it, in sentences without a capital
    """

    endpoint: str
    scans: tuple[str, ...]
    columns: dict[str, float]
    horizon: float
    chance: float
    interval: tuple[float, float]
    percentile: float
    group: str
    curve: RiskCurve
    groups: tuple[RiskCurve, ...]
    marks: tuple[float, ...]
    score: str
    worth: tuple[float, float, float]
    plain: tuple[float, float, float]
    doubts: tuple[str, ...]
    model: str
    digest: str
    trained_on: str
    limits: str
    gain: tuple[float, float, float] | None = None
    groups_by: str = ""
