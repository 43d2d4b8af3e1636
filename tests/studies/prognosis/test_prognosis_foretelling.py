"""How stays are foretold: columns, figures, the ceiling, courses and readers, without a picture."""

from dataclasses import replace

import numpy as np
import pytest
from made_ground import made_ground

from glasslung.errors import DataError
from glasslung.measure.concordance import harrells_c
from glasslung.studies.prognosis.burden import POINTS
from glasslung.studies.prognosis.columns import (
    AGE_SEX,
    BURDEN,
    PARTS,
    all_columns,
    known_sets,
    principal_parts,
)
from glasslung.studies.prognosis.courses import changes_with, follow
from glasslung.studies.prognosis.foretelling import TRUE_LAW, foretell
from glasslung.studies.prognosis.ground import People
from glasslung.studies.prognosis.readings import asked_rows, read_prognoses, readings_of
from glasslung.studies.prognosis.risks import ILL
from glasslung.studies.prognosis.scores import first_landmarks, log_rank_of, score_ill, score_stay


@pytest.fixture(scope="module")
def ground():
    return made_ground(People((26, 3), (16, 3)))


@pytest.fixture(scope="module")
def told(ground):
    columns = all_columns(ground.stays, dict(ground.burdens), None, None)
    few = {name: column for name, column in columns.items() if name not in ("day", POINTS)}
    return foretell(ground, few, None, 0, 40, tuned=False)


def test_each_patient_is_asked_once_and_nobody_who_was_learned_from(ground, told):
    rows = asked_rows(ground)
    names = [ground.stays.patients[row] for row in np.flatnonzero(rows)]
    assert len(names) == len(set(names)) == told["asked"]["patients"]
    assert not (rows & ground.rows("A")).any() and (ground.stays.prior[rows] >= 0).all()
    assert sum(told["asked"]["by part"].values()) == len(names)
    assert told["learned"]["landmarks"] == int((ground.landmarks & ground.rows("A")).sum())


def test_the_true_law_is_worth_more_than_age_and_sex_and_one_scan(told):
    best = told["ceiling"]["stay"][TRUE_LAW]["harrell"][0]
    for name in (AGE_SEX, BURDEN[0].name):
        assert told["stay"][name]["Cox"]["harrell"][0] < best
    assert "s(t), one scan" in told["left out"]


def test_pairs_are_two_scans_less_one(told):
    row = next(
        row
        for row in told["pairs"]
        if row["one"] == BURDEN[0].name and row["model"] == "Cox" and row["endpoint"] == "stay"
    )
    value, low, high = row["difference"]
    one, two = (told["stay"][name]["Cox"]["harrell"][0] for name in (row["one"], row["two"]))
    assert value == pytest.approx(two - one) and low <= value <= high
    assert {row["endpoint"] for row in told["pairs"]} <= {"stay", ILL}


def test_a_risk_that_is_the_stay_itself_is_perfect(ground):
    stays = ground.stays.take(asked_rows(ground))
    found = score_stay(stays, stays.stay, (stays.stay >= 7) * 1.0, stays.stay > 7, 0, 40)
    assert found["harrell"][0] == 1.0 and found["auc"][0] == 1.0 and found["brier"][0] == pytest.approx(0.0)
    assert found["log_rank"]["p"] < 0.001 and not found["log_rank"]["reversed"]
    assert log_rank_of(stays, stays.stay < 7)["reversed"]
    back = score_stay(stays, -stays.stay, None, np.zeros(len(stays), bool), 0, 40)
    assert back["harrell"][0] == 0.0 and back["log_rank"]["p"] is None and back["brier"] is None
    assert found["harrell"][0] == pytest.approx(harrells_c(-stays.stay, stays.stay, stays.seen))


def test_a_perfect_risk_of_critical_illness_and_its_chances(ground):
    stays = ground.stays.take(asked_rows(ground))
    sooner = np.where(stays.event == 1, 100 - stays.event_days, 0.0)
    chance = ((stays.event == 1) & (stays.event_days <= 14)).astype(float)
    found = score_ill(stays, sooner, chance, 0, 40)
    assert found["harrell"][0] == 1.0 and found["brier"][0] == 0.0
    assert found["predicted"] == pytest.approx(found["observed"])


def test_first_landmarks_are_the_earliest_of_each_patient(ground):
    rows = first_landmarks(ground.stays, ground.landmarks)
    for row in np.flatnonzero(rows):
        mine = [
            one
            for one in np.flatnonzero(ground.landmarks)
            if ground.stays.patients[one] == ground.stays.patients[row]
        ]
        assert ground.stays.day[row] == min(ground.stays.day[one] for one in mine)


def test_parts_of_features_are_those_of_the_scans_that_were_learned_from():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 12)).astype(np.float32)
    learned = np.arange(60) < 40
    parts = principal_parts(features, learned)
    assert parts.shape == (60, PARTS)
    assert parts[learned].std(0, ddof=1) == pytest.approx(np.ones(PARTS), abs=1e-6)
    changed = features.copy()
    changed[~learned] *= 3
    assert principal_parts(changed, learned)[learned] == pytest.approx(parts[learned])


def test_sets_whose_columns_never_vary_are_left_out(ground):
    columns = all_columns(ground.stays, dict(ground.burdens), None, None)
    columns["age"] = np.full(len(ground.stays), 60.0)
    names = {one.name for one in known_sets(columns, ground.landmarks)}
    assert AGE_SEX not in names and BURDEN[1].name in names


def test_the_course_of_the_burden_rises_until_the_lungs_are_fullest():
    ground = made_ground(People((60, 3), (40, 3)))
    found = follow(ground, ground.burdens["affected_percent"], np.random.default_rng(0), 40, amount=True)
    assert min(found["common"]["low"]) >= 0
    peaks = found["peaks"]
    assert peaks["within"][0]["course"][0] <= peaks["within"][1]["course"][0]
    days, mean = (np.array(found["common"][name]) for name in ("days", "mean"))
    early, full = np.interp([3.0, 11.0], days, mean / mean.max())
    assert early < 0.6 and full > 0.85  # spread holds once reached, so its highest day says little
    assert found["common"]["peak_day"] > 6 and peaks["error"] < 3.3  # any day is 3.7 off in the mean
    for one in found["people"]:
        assert len(one["days"]) >= 3 and one["part"] in ("B", "C")


def test_a_score_that_is_the_burden_changes_with_it(ground):
    burden, rng = ground.burdens["affected_percent"], np.random.default_rng(0)
    same = changes_with(ground, burden, rng, 40)
    assert same["affected_percent"] == pytest.approx([1.0] * 3)
    assert changes_with(ground, -burden, rng, 40)["affected_percent"][0] == pytest.approx(-1.0)
    loose = changes_with(ground, rng.normal(size=len(burden)), rng, 40)["consolidation_percent"]
    assert abs(loose[0]) < 0.4 and loose[1] < loose[2]
    assert changes_with(ground, np.zeros(len(burden)), rng, 40) == {}


def test_simulated_readers_are_asked_about_the_same_patients(ground):
    read = readings_of(ground, None, 0)
    found = read_prognoses(ground, read, 0, 40)
    assert {row["task"] for row in found["prognosis"]} == {"prognosis one scan", "prognosis two scans"}
    assert all(row["patients"] == int(asked_rows(ground).sum()) for row in found["prognosis"])
    assert {one["task"] for one in found["agreement"]} >= {"diagnosis", "prognosis one scan"}
    assert readings_of(replace(ground, truth={}), None, 0) == {}


def test_what_cannot_be_foretold_says_why(ground):
    stays, burdens = ground.stays, dict(ground.burdens)
    blind = replace(ground, stays=replace(stays, seen=np.zeros(len(stays), bool)))
    with pytest.raises(DataError, match="all stays are censored"):
        foretell(blind, all_columns(stays, burdens, None, None), None, 0, 20)
    over = replace(ground, stays=replace(stays, stay=np.full(len(stays), np.nan)))
    with pytest.raises(DataError, match="no day to look ahead from"):
        foretell(over, all_columns(stays, burdens, None, None), None, 0, 20)
    few = made_ground(People((3, 3), (3, 3)))
    with pytest.raises(DataError, match="landmarks are there"):
        foretell(few, all_columns(few.stays, dict(few.burdens), None, None), None, 0, 20)


def test_single_scans_are_foretold_from_one_scan(ground):
    first = np.flatnonzero(ground.stays.prior < 0)
    exams = ground.exams
    single = replace(
        ground,
        stays=ground.stays.take(first),
        burdens={name: column[first] for name, column in ground.burdens.items()},
        truth={},
        plan=(),
        exams=type(exams)(
            label=exams.label[first], split=tuple(exams.split[row] for row in first), patients=(), scans=()
        ),
    )
    columns = all_columns(single.stays, dict(single.burdens), None, None)
    told = foretell(single, {name: columns[name] for name in BURDEN[0].columns}, None, 0, 20, tuned=False)
    assert told["pairs"] == [] and "cannot be asked" in told["left out"][BURDEN[1].name]
    assert BURDEN[0].name in told["stay"] and told["ceiling"] is None
