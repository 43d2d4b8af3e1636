"""A patient drawn from a seed: body, disease, scanner, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from glasslung.data.phantom.anatomy import Body, draw_body
from glasslung.data.phantom.disease import DISEASES, NO_COURSE, Course, draw_course
from glasslung.data.phantom.outcome import NO_OUTCOME, Outcome, draw_outcome, log_risk
from glasslung.data.phantom.scanner import Site, site_named
from glasslung.errors import UsageError

PERSON_STREAM = 0


@dataclass(frozen=True)
class Patient:
    """One phantom patient. The same seed is the same person, whatever the disease, the site or the day.

    seed      names the person
    age, male
    disease   'covid', 'bacterial' or 'healthy'
    severity  0 to 1; 0 for the healthy
    """

    seed: int
    age: int
    male: bool
    disease: str
    severity: float
    body: Body
    course: Course
    site: Site
    outcome: Outcome

    @property
    def name(self) -> str:
        """Name inside a cohort: a p and the seed."""
        return f"p{self.seed:06d}"

    def without_disease(self) -> Patient:
        """The counterfactual: the same person, never ill."""
        return replace(self, disease="healthy", severity=0.0, course=NO_COURSE, outcome=NO_OUTCOME)

    def at_site(self, site: str | Site) -> Patient:
        """The same person and disease on another scanner."""
        return replace(self, site=site if isinstance(site, Site) else site_named(site))


def draw_patient(
    seed: int, disease: str = "covid", site: str | Site = "a", severity: float | None = None
) -> Patient:
    """Draw a patient from a seed.

    seed      0 or more; decides age, sex, body, and, with the disease, its course and outcome
    disease   'covid', 'bacterial' or 'healthy'
    site      'a' to 'd', or a Site of one's own
    severity  0 (hardly ill) to 1 (worst); None: drawn, more mild than severe
    Raises UsageError for an unknown disease or site, or a severity outside 0 to 1.
    """
    if disease not in DISEASES:
        raise UsageError(f"the phantom knows the diseases {', '.join(DISEASES)}, not {disease!r}")
    if severity is not None and not 0 <= severity <= 1:
        raise UsageError(f"severity goes from 0 to 1, got {severity}")
    if seed < 0:
        raise UsageError(f"a phantom's seed is 0 or more, got {seed}")
    age, male, drawn = draw_person(seed)
    worst = 0.0 if disease == "healthy" else drawn if severity is None else float(severity)
    outcome = NO_OUTCOME
    if disease != "healthy":
        outcome = draw_outcome(seed, log_risk(worst, age, male, disease))
    return Patient(
        seed=seed,
        age=age,
        male=male,
        disease=disease,
        severity=worst,
        body=draw_body(seed, male, age),
        course=draw_course(seed, disease, worst),
        site=site if isinstance(site, Site) else site_named(site),
        outcome=outcome,
    )


def draw_person(seed: int) -> tuple[int, bool, float]:
    """Age, whether male, and the severity a disease would have: older men fare a little worse."""
    rng = np.random.default_rng([seed, PERSON_STREAM])
    age = int(np.clip(rng.normal(57, 15), 20, 92))
    male = bool(rng.random() < 0.53)
    severity = rng.beta(1.7, 2.3) + 0.0025 * (age - 57) + 0.02 * male
    return age, male, float(np.clip(severity, 0.02, 0.98))
