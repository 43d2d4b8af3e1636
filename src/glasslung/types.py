"""The nouns every room shares: Volume, Lungs, Findings, Story, Case.

Axes and units, fixed once for the whole package
    voxels    (D, H, W): slices, rows, columns, in the order of the file they came from
    affine    (4, 4) float64: maps an index (d, h, w, 1) to (x, y, z, 1) in mm, DICOM's patient space LPS:
              x grows to the patient's Left, y to Posterior, z to Superior
    hu        int16 Hounsfield units: air -1000, water 0
    display8  uint8 grey values of a window nobody wrote down: never to be read as HU

Whatever is computed on a Volume comes back on that Volume's own grid.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path

import numpy as np

from glasslung.errors import DataError, ShapeError

Progress = Callable[[str, float], None]
"""Long work calls it with what is being done and how much of the whole is done, 0 to 1."""

DISCLAIMER = "Research use only. Not a medical device: not for diagnosis or treatment."


class Intensity(StrEnum):
    """What the grey values of a scan mean: the contract every model and measure checks."""

    HU = "hu"
    DISPLAY8 = "display8"


class Geometry(StrEnum):
    """Whether position and spacing were read from the file or are only a convention (plain pictures)."""

    MEASURED = "measured"
    ASSUMED = "assumed"


class Severity(StrEnum):
    """How serious a remark of the input gate is."""

    REFUSE = "refuse"
    WARN = "warn"
    NOTE = "note"


class Lung(IntEnum):
    """Labels of a lung mask. UNSIDED: lung, but left and right cannot be told apart."""

    NONE = 0
    RIGHT = 1
    LEFT = 2
    UNSIDED = 3


class Lobe(IntEnum):
    """Labels of a lobe mask, numbered as the lungmask package numbers them."""

    NONE = 0
    LEFT_UPPER = 1
    LEFT_LOWER = 2
    RIGHT_UPPER = 3
    RIGHT_MIDDLE = 4
    RIGHT_LOWER = 5


class Lesion(IntEnum):
    """Labels of a lesion mask."""

    NONE = 0
    GROUND_GLASS = 1
    CONSOLIDATION = 2
    CRAZY_PAVING = 3

    @property
    def words(self) -> str:
        """As a person says it: 'ground glass'."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Remark:
    """One line of the input gate: what was seen, how serious it is, and what to do about it.

    code      short and stable, for machines: 'missing-slices'
    severity  refuse: no answer is given; warn: read the answer with care; note: good to know
    text      the fact, one sentence a clinician understands, with its numbers
    remedy    what the person can do; '' when there is nothing to do
    """

    code: str
    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Source:
    """Where a volume came from and what its header said. Nothing here names a patient.

    kind                'dicom', 'nifti', 'nrrd', 'mha', 'pictures' or 'phantom'
    files               the files that were read, in slice order where there is one file a slice
    sha256              of the content of those files, hex
    modality            'CT', 'MR', ... or None where the format does not say
    body_part           as the header says, upper case, or None
    kernel              reconstruction kernel, or None
    acquired            acquisition day (clock time where known), or None. Used only for differences in days
    patient_key         a one-way hash that is equal for equal patients, or None: never the id itself
    series_key          likewise for the series
    tilt_deg            gantry tilt that the geometry shows, 0 for an upright stack
    slice_positions_mm  position of each slice along the stack's normal, () where unknown
    remarks             what the reader itself noticed (series picked and why, slices dropped, padding, ...)
    """

    kind: str
    files: tuple[Path, ...] = ()
    sha256: str = ""
    modality: str | None = None
    body_part: str | None = None
    kernel: str | None = None
    acquired: dt.datetime | None = None
    patient_key: str | None = None
    series_key: str | None = None
    tilt_deg: float = 0.0
    slice_positions_mm: tuple[float, ...] = ()
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True, eq=False)
class Volume:
    """One CT scan: its voxels, where they lie in the patient, and what their grey values mean.

    voxels     (D, H, W) int16 (hu) or uint8 (display8)
    affine     (4, 4) float64, index (d, h, w, 1) -> LPS mm
    intensity  hu or display8: nothing guesses silently
    geometry   measured, or assumed: then spacing is 1 mm by convention and no ml may be quoted
    """

    voxels: np.ndarray
    affine: np.ndarray
    intensity: Intensity
    source: Source = field(default_factory=lambda: Source("array"))
    geometry: Geometry = Geometry.MEASURED

    def __post_init__(self) -> None:
        wanted = np.int16 if self.intensity is Intensity.HU else np.uint8
        if self.voxels.ndim != 3 or self.voxels.dtype != wanted or self.voxels.size == 0:
            raise ShapeError(
                f"a volume of intensity {self.intensity.value} needs voxels (D, H, W) of {wanted.__name__}, "
                f"got shape {self.voxels.shape} of {self.voxels.dtype}"
            )
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise DataError("the affine must be 4x4 and finite; the file's geometry is damaged")
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-9:
            raise DataError("the affine is singular: two axes of the file's geometry coincide")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, H, W)."""
        d, h, w = self.voxels.shape
        return d, h, w

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along (D, H, W), mm."""
        d, h, w = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(d), float(h), float(w)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres (a tilted stack's voxel is a parallelepiped)."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def has_ml(self) -> bool:
        """Whether volumes in ml may be quoted: only when the spacing was measured."""
        return self.geometry is Geometry.MEASURED


@dataclass(frozen=True)
class MaskQuality:
    """Whether a mask can be trusted, and if not, why.

    trusted     False: do not use the figures drawn from it without looking
    confidence  0 to 1, a rule-based score, not a probability
    reasons     each a sentence; empty when there is nothing to say
    """

    trusted: bool
    confidence: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Lungs:
    """The lungs of one scan: mask (D, H, W) uint8 with the labels of `Lung`, and how far to trust it."""

    mask: np.ndarray
    quality: MaskQuality


@dataclass(frozen=True)
class Amount:
    """How much of a region something takes up.

    ml       millilitres; None where the spacing is not known
    percent  of the region's lung volume, 0 to 100
    """

    ml: float | None
    percent: float


@dataclass(frozen=True)
class RegionMeasures:
    """What was measured in one region of the lungs.

    name      'both lungs', 'right lung', 'left lung', 'right upper third', ...
    ml        lung volume of the region; None where the spacing is not known
    voxels    number of lung voxels
    bands     HU bands by name, in order of density; None for 8-bit input, which has no HU
    affected  opacity by density (ground glass and denser, vessels taken out); None where it was not measured
    lesions   what a network, or a mask made elsewhere, calls a lesion: 'ground glass', 'consolidation',
              'crazy paving', as far as it tells them apart; None where there is no such mask
    """

    name: str
    ml: float | None
    voxels: int
    bands: dict[str, Amount] | None
    affected: Amount | None
    lesions: dict[str, Amount] | None = None

    @property
    def all_lesions(self) -> Amount | None:
        """The lesions of every kind together; None where there is no mask of lesions."""
        if self.lesions is None:
            return None
        amounts = list(self.lesions.values())
        ml = None if self.ml is None else sum(amount.ml or 0.0 for amount in amounts)
        return Amount(ml, sum(amount.percent for amount in amounts))


@dataclass(frozen=True)
class ZoneScore:
    """Severity points of one zone: affected 0 to 100 per cent gives 0 to `most` points."""

    zone: str
    affected_percent: float
    points: int


@dataclass(frozen=True)
class SeverityScore:
    """A CT severity score: the sum of its zones' points, with the definition that was used."""

    points: int
    most: int
    zones: tuple[ZoneScore, ...]
    definition: str


@dataclass(frozen=True)
class MaskOrigin:
    """Where the masks of a scan come from.

    lungs       'rules', 'rules and network' or 'given'
    lesions     'network', 'given' or 'none'
    network     name of the network that was asked; '' where none was
    digest      first 16 hex digits of the SHA-256 of its weights
    kinds       what the mask of lesions tells apart
    agreement   Dice of the network's lungs and the rules', or of given lungs and the rules'; None where there
                are not two
    notes       what was done on the way, a sentence each
    trained_on, limits  what the network's settings say of it
    """

    lungs: str
    lesions: str = "none"
    network: str = ""
    digest: str = ""
    kinds: tuple[str, ...] = ()
    agreement: float | None = None
    notes: tuple[str, ...] = ()
    trained_on: str = ""
    limits: str = ""


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
    error    conservation: how far relevance of input and biases is from the log-odds, as a share of them
    map      file of the relevance on the scan's own grid, relative to the story's folder; '' where none was
             written
    """

    method: str
    shares: tuple[RelevanceShare, ...]
    error: float
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

    @property
    def standing_words(self) -> str:
        """The conformal answer as a person says it: 'COVID-19', 'other', 'cannot tell', ..."""
        return self.finding if self.standing is Standing.FINDING else self.standing.value


@dataclass(frozen=True)
class Findings:
    """All that was measured on one scan.

    scan        a name without identity: 'scan-01'
    day         days since the patient's first scan; None when unknown
    gate        the input gate's remarks, most serious first
    regions     both lungs first, then sides, then thirds
    involvement affected volume, by density, over lung volume, per cent; None where not measured
    masks       name -> path of the mask file, relative to the story's folder
    lesion_quality  how far to trust the lesions of a network; None where there are none
    origin      where the masks come from; None in stories of earlier versions
    diagnosis   what a classifier says; None where none was asked
    unasked     why no classifier was asked, a sentence; '' where one was
    """

    scan: str
    day: float | None
    kind: str
    sha256: str
    intensity: Intensity
    geometry: Geometry
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    gate: tuple[Remark, ...]
    lung_quality: MaskQuality
    regions: tuple[RegionMeasures, ...]
    severity: SeverityScore | None
    involvement: float | None
    masks: dict[str, str]
    preview: str | None = None
    lesion_quality: MaskQuality | None = None
    origin: MaskOrigin | None = None
    diagnosis: Diagnosis | None = None
    unasked: str = ""

    def region(self, name: str) -> RegionMeasures:
        """The measures of one region by name; DataError names those there are."""
        for region in self.regions:
            if region.name == name:
                return region
        raise DataError(f"{self.scan} has no region {name!r}; it has {[r.name for r in self.regions]}")


@dataclass(frozen=True)
class Change:
    """One measure on two consecutive scans.

    measure   'lung volume, both lungs', 'involvement', ...
    unit      'ml', 'percent' or 'points'
    before, after, difference   in that unit
    per_day   difference over the days between; None when the days are unknown
    """

    measure: str
    unit: str
    scan_before: str
    scan_after: str
    before: float
    after: float
    difference: float
    per_day: float | None


@dataclass(frozen=True)
class Provenance:
    """What made a result: versions, settings, hashes and the command, so that it can be made again."""

    glasslung: str
    python: str
    platform: str
    libraries: dict[str, str]
    command: str
    created: str
    settings: dict[str, str]


@dataclass(frozen=True)
class Story:
    """The findings of one patient in order of time, and the changes between them.

    days_known  how the days came about: 'dicom dates', 'given', or 'unknown' (then order is as given)
    """

    schema: str
    disclaimer: str
    days_known: str
    scans: tuple[Findings, ...]
    changes: tuple[Change, ...]
    provenance: Provenance


@dataclass(frozen=True)
class Case:
    """One scan in a cohort.

    patient, scan   names inside the cohort (no identity beyond what the cohort's owner put there)
    image           path of the scan, relative to the cohort's folder or absolute
    day             days on the cohort's own time axis; None if unknown
    site            hospital or data source; '' if unknown
    label           'covid', 'bacterial', 'healthy', ... ; '' if unlabelled
    event, event_day  outcome: did the event happen, and when (or last contact); None if unknown
    split           'train', 'val', 'test' or ''
    lungs, lobes, lesions  paths of masks, None where there are none
    intensity       hu or display8
    extra           any further columns of the table, as text
    """

    patient: str
    scan: str
    image: Path
    intensity: Intensity
    day: float | None = None
    site: str = ""
    label: str = ""
    event: bool | None = None
    event_day: float | None = None
    split: str = ""
    lungs: Path | None = None
    lobes: Path | None = None
    lesions: Path | None = None
    extra: dict[str, str] = field(default_factory=dict)
