"""The audit of a cohort, in one call: every question in order, every answer with what it rests on."""

from __future__ import annotations

from glasslung.audit.confounding import audit_confounding
from glasslung.audit.duplicates import audit_duplicates
from glasslung.audit.files import audit_files
from glasslung.audit.patients import audit_patients
from glasslung.audit.record import Audit, AuditSettings, put_together
from glasslung.audit.scans import read_facts
from glasslung.audit.shortcuts import audit_shortcuts
from glasslung.data.cohort import Cohort
from glasslung.types import Progress


def audit_cohort(
    cohort: Cohort,
    settings: AuditSettings | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Say what would spoil a study on this cohort: leaks, copies, bad files, shortcuts, confounders.

    settings  what counts as strong, how many slices of a volume are looked at, ...; stored with the audit
    progress  told how much of the reading is done, which takes most of the time
    Every scan is opened; of volumes and stacks of more than `settings.slices` slices, that many, evenly
    spaced, are looked at for borders and copies (exact copies are found on all). Nothing else is sampled.
    A file that cannot be read is a finding, not an error. The same cohort and settings give the same audit.
    """
    settings = settings or AuditSettings()
    facts = read_facts(cohort, settings.slices, progress)
    parts = (
        audit_patients(cohort.cases),
        audit_files(cohort.cases, facts),
        audit_duplicates(cohort.cases, facts, settings),
        audit_shortcuts(cohort.cases, facts, settings),
        audit_confounding(cohort.cases, settings),
    )
    return put_together(cohort.name, cohort.note, len(cohort.cases), len(cohort.patients), parts, settings)
