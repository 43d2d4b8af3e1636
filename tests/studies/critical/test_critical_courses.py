"""The course from day 1: who is at risk, and C of risks told out of fold."""

from pathlib import Path

import numpy as np
import pytest

from glasslung.errors import DataError
from glasslung.studies.critical.courses import AGE_SEX, IMAGE, at_landmark, courses
from glasslung.studies.critical.ground import CriticalGround
from glasslung.studies.critical.nested import Deal


def made(patients=80, seed=0):
    rng = np.random.default_rng(seed)
    hazard = rng.normal(size=patients)
    time, end = rng.exponential(6 * np.exp(-hazard)), rng.uniform(2, 14, patients)
    ground = CriticalGround(
        "made",
        np.array([f"p{n}" for n in range(patients)]),
        tuple(Path(str(n)) for n in range(patients)),
        time < end,
        np.minimum(time, end),
        np.where(np.arange(patients) == 4, np.nan, rng.uniform(20, 80, patients)),
        (rng.random(patients) < 0.5).astype(float),
        np.full(patients, 130.0),
    )
    return ground, hazard


def deal_of(image):
    return Deal(np.arange(len(image)) % 4, image, {}, (), ())


def test_only_those_well_and_observed_past_the_landmark_count():
    ground, _ = made()
    past = at_landmark(ground)
    assert (ground.days[past.rows] > 1).all() and (past.days > 0).all()
    assert len(past.rows) == (ground.days > 1).sum()


def test_too_few_events_are_refused():
    ground, _ = made()
    few = ground.take(np.flatnonzero(~ground.event), {})
    with pytest.raises(DataError, match="0 events after day 1"):
        at_landmark(few)


def test_a_true_risk_orders_courses_and_age_by_chance_does_not():
    ground, hazard = made()
    rng = np.random.default_rng(0)
    found = courses(ground, [deal_of(hazard), deal_of(hazard + 0.1 * rng.normal(size=80))], rng, 100)
    assert found["risks"][IMAGE]["harrell"]["value"] > 0.7
    assert found["gains"][IMAGE]["low"] > 0
    assert abs(found["risks"][AGE_SEX]["harrell"]["value"] - 0.5) < 0.2
    assert found["split"][IMAGE]["p"] < 0.01
    assert found["patients"] == len(at_landmark(ground).rows)
    groups = found["split"][IMAGE]["groups"]
    assert groups["higher risk"]["free_at_end"] < groups["lower risk"]["free_at_end"]
    assert sum(len(group["days"]) for group in groups.values()) == found["patients"]
