"""What was measured on the scans of one patient, and how it changes."""

from __future__ import annotations

from dataclasses import dataclass

from glasslung.errors import DataError
from glasslung.types.answers import Diagnosis, Prognosis
from glasslung.types.scans import Geometry, Intensity, MaskQuality, Remark


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
class FollowedLesion:
    """One lesion over two scans; what flowed together is one lesion.

    fate                    'new', 'grown', 'steady', 'shrunk' or 'resolved'
    before_ml, after_ml     volume on the later scan's grid; 0 where it was not there
    centre_mm               middle of it in the later scan, LPS mm
    slice                   the later scan's slice through its middle, counted from 1 in the file's order
    parts_before, parts_after  separate pieces
    """

    fate: str
    before_ml: float
    after_ml: float
    centre_mm: tuple[float, float, float]
    slice: int
    parts_before: int
    parts_after: int


@dataclass(frozen=True)
class FateTotal:
    """All lesions that met one fate: how many, and their volume in both scans, ml."""

    fate: str
    count: int
    before_ml: float
    after_ml: float


@dataclass(frozen=True)
class Comparison:
    """The lesions of a scan laid on those of the scan before it.

    lesions_by     whose lesions were compared: 'lesions-hu', 'mask given', 'density'; '' where none were
    reasons        why they could not be laid on one another, a sentence each; () where they were
    dice_before, dice_after  of the two lung masks as the scanner placed them, and registered; None where
                   nothing was tried
    volume_ratio   the earlier lungs' volume over the later ones': breath
    fates          every fate in the order of `measure.followup.Fate`; () where nothing was compared
    lesions        the largest first
    small_ml       in lesions too small to be told apart, in either scan
    outside_ml     lesion of the earlier and of the later scan outside the lung that both show
    map            file of the change on the later scan's grid, labels of `measure.followup.Tissue`
    cautions       what a reader of the figures must know, a sentence each
    """

    scan_before: str
    scan_after: str
    lesions_by: str
    reasons: tuple[str, ...]
    dice_before: float | None = None
    dice_after: float | None = None
    volume_ratio: float | None = None
    fates: tuple[FateTotal, ...] = ()
    lesions: tuple[FollowedLesion, ...] = ()
    small_ml: float = 0.0
    outside_ml: tuple[float, float] = (0.0, 0.0)
    map: str = ""
    cautions: tuple[str, ...] = ()

    @property
    def compared(self) -> bool:
        """Whether the two scans could be laid on one another, so that there are lesions with a fate."""
        return not self.reasons


@dataclass(frozen=True)
class SmoothCourse:
    """A smooth course between the first scan and the last: days (T,) as the scans', middle, 95 % limits."""

    days: tuple[float, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Trajectory:
    """One measure over a patient's scans.

    measure     'involvement', 'lesions' or 'log-odds'
    of          whose figure it is: 'density', a network, a classifier's name
    unit        'percent' or 'log-odds'
    scans, days, values   the points, in order of time; days as in the story, None where unknown
    trusted     which of the points may be believed; the curve rests on these alone
    law         the cohort whose courses bend the curve; '' where there is no curve
    curve       None where there is no law, days are unknown or there is one scan
    peak_day, peak, slope, bend   with 95 % limits (middle, low, high), in the measure's unit and days; slope
                and bend on the day of the last scan
    open_ended  share of plausible curves that are highest on the first or the last day: near 1, no peak was
                seen
    notes       why there is no curve, whose law it is, what its limits are; a sentence each
    """

    measure: str
    of: str
    unit: str
    scans: tuple[str, ...]
    days: tuple[float | None, ...]
    values: tuple[float, ...]
    trusted: tuple[bool, ...]
    law: str = ""
    curve: SmoothCourse | None = None
    peak_day: tuple[float, float, float] | None = None
    peak: tuple[float, float, float] | None = None
    slope: tuple[float, float, float] | None = None
    bend: tuple[float, float, float] | None = None
    open_ended: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SerialSheet:
    """Planes of all scans at matched levels of the lungs.

    levels     what each row of planes is: 'upper level', ..., head first
    scans, files  per scan, in order of time: its name, and the file of its planes, one per level
    matched    per scan how its planes were found: 'reference', 'registered', 'share of the lungs' height'
    reasons    per scan the method by which a classifier's reasons were found; '' where there is no map
    scores     per scan the log-odds with which its map is scaled; None where there is no map
    full       what is drawn in full colour in every map, in `unit`
    """

    levels: tuple[str, ...]
    scans: tuple[str, ...]
    files: tuple[str, ...]
    matched: tuple[str, ...]
    reasons: tuple[str, ...]
    scores: tuple[float | None, ...]
    full: float
    unit: str


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
    comparisons  each scan laid on the one before it; () in stories of one scan and of earlier versions
    trajectory   measures over all scans; likewise
    prognosis    what a model of many stays expects; None where none was asked
    further      what the same model expects besides: of its other endpoints
    unforeseen   why no prognosis was made, a sentence; '' where one was
    serial       planes of all scans at matched levels; None where there is one scan
    minor        what was added to the schema since its first version; readers may leave it alone
    """

    schema: str
    disclaimer: str
    days_known: str
    scans: tuple[Findings, ...]
    changes: tuple[Change, ...]
    provenance: Provenance
    comparisons: tuple[Comparison, ...] = ()
    trajectory: tuple[Trajectory, ...] = ()
    prognosis: Prognosis | None = None
    further: tuple[Prognosis, ...] = ()
    unforeseen: str = ""
    serial: SerialSheet | None = None
    minor: int = 0
