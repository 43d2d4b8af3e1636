"""The audit of a cohort: what a score on it would prove, and what it would not."""

from glasslung.audit.record import Audit, AuditSettings
from glasslung.audit.survey import audit_cohort

__all__ = ["Audit", "AuditSettings", "audit_cohort"]
