"""A scan, what is drawn on it, and what is remarked about it."""

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
    age_years, male     the patient's age and sex as the header says, or None. Used only by a prognosis
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
    age_years: float | None = None
    male: bool | None = None


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
