"""Choices are made inside the folds: what is held out has no part in its own answer."""

import numpy as np

from glasslung.measure.ranking import auc
from glasslung.studies.critical import nested
from glasslung.studies.critical.nested import (
    by_forest,
    by_recipe,
    candidates,
    choose,
    cross_validate,
    deal_folds,
)
from glasslung.studies.critical.weighing import Candidate, Recipe

AMONG = tuple(
    Candidate(f"{name} {c}", (Recipe((name,), c),)) for name in ("good", "poor") for c in (0.03, 0.1)
)


def made(patients=90, strength=1.5, seed=0):
    rng = np.random.default_rng(seed)
    event = rng.random(patients) < 0.5
    good = rng.normal(size=(patients, 3)) + strength * event[:, None] * np.array([1, 0, 0])
    return {"good": good, "poor": rng.normal(size=(patients, 30))}, event


def test_folds_share_both_endpoints_evenly():
    event = np.arange(83) < 30
    fold = deal_folds(event, 5, np.random.default_rng(0))
    assert np.bincount(fold[event]).tolist() == [6] * 5
    assert set(np.bincount(fold[~event]).tolist()) == {10, 11}


def test_the_better_family_is_chosen_and_calibrated():
    tables, event = made()
    found = choose(tables, event, np.random.default_rng(0), AMONG)
    assert found.model.candidate.name.startswith("good")
    assert found.inner[found.model.candidate.name] == max(found.inner.values())
    probability = found.model.probability(tables)
    assert abs(probability.mean() - event.mean()) < 0.1


def test_a_held_out_patient_has_no_part_in_its_own_answer(monkeypatch):
    tables, event = made()
    outer = deal_folds(event, 3, np.random.default_rng(3))
    held = outer == outer[7]
    other = next(row for row in np.flatnonzero(held) if event[row] != event[7])
    swapped = event.copy()
    swapped[[7, other]] = swapped[[other, 7]]  # two endpoints of one fold: its answers must not move

    def deal(kinds, folds, rng):
        return outer if len(kinds) == len(event) else deal_folds(kinds, folds, np.random.default_rng(5))

    monkeypatch.setattr(nested, "deal_folds", deal)
    first, second = (
        cross_validate(tables, kinds, 3, np.random.default_rng(4), AMONG) for kinds in (event, swapped)
    )
    assert np.array_equal(first.log_odds[held], second.log_odds[held])
    assert not np.array_equal(first.log_odds[~held], second.log_odds[~held])


def test_noise_stays_noise():
    rng = np.random.default_rng(1)
    found = []
    for seed in range(4):
        event = rng.random(80) < 0.5
        tables = {"good": rng.normal(size=(80, 3)), "poor": rng.normal(size=(80, 30))}
        deal = cross_validate(tables, event, 4, np.random.default_rng(seed), AMONG)
        found.append(auc(event, deal.log_odds))
    assert np.mean(found) < 0.6


def test_what_stands_beside_answers_out_of_fold():
    tables, event = made(strength=2.5)
    beside = {
        "weighed": by_recipe(tables, event, "good"),
        "forest": by_forest(tables["good"], event, trees=30),
    }
    deal = cross_validate(tables, event, 3, np.random.default_rng(0), AMONG[:1], beside)
    assert min(auc(event, deal.beside[name]) for name in beside) > 0.75
    assert np.isfinite(deal.beside["forest"]).all()


def test_candidates_have_names_of_their_own_and_read_no_time():
    names = [one.name for one in candidates()]
    assert len(set(names)) == len(names)
    read = {family for one in candidates() for part in one.members for family in part.families}
    assert read == {"grey", "tissue", "lesions", "zones", "texture", "clinic", "fine eyes", "coarse eyes"}
