"""What was measured on the scans of one patient, and how it changes."""

from __future__ import annotations

from dataclasses import dataclass

from glasslung.errors import DataError
from glasslung.types.answers import Diagnosis
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
