"""One line of a cohort's table."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from glasslung.types.scans import Intensity


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
