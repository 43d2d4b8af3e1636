"""The contest: every method is trained for as long and asked the same; a file holds what it did."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from glasslung.errors import DataError, UsageError
from glasslung.studies.progression.agingworld import AGES, World, draw_world
from glasslung.studies.progression.contest import (
    STAGES,
    Budget,
    Method,
    Outcome,
    Unseen,
    compete,
    contestants,
    days_at,
    read_outcome,
    train,
    write_outcome,
)

BUDGET = Budget(seconds=0.3, samples=4, draws=2, slices=4, cloud=2)
PEOPLE = 2
LAST = {"CAGE-T2": {"vae"}, "R4+R5": {"reader", "ager"}, "R6": {"dreamer", "mover"}}  # who played


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(each=3, people=PEOPLE, seed=2)


@pytest.fixture(scope="module", params=list(LAST))
def played(request, world):
    """(name, model, outcome) of one contestant of each kind."""
    unseen = Unseen.of_truth(world.truth)
    return request.param, *compete(contestants()[request.param], world.training, unseen, BUDGET)


def check_pictures(pictures: np.ndarray, shape: tuple[int, ...]) -> None:
    assert pictures.shape == (*shape, 64, 64)
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_every_method_is_asked_the_same(played):
    name, _, outcome = played
    ages = (2,) if name == "CAGE-T2" else tuple(range(AGES))
    ways = {(seen, wanted) for seen in ages for wanted in ages if seen != wanted}
    assert set(outcome.made) == set(outcome.shown) == set(ages)
    assert set(outcome.carried) == ways
    for age in ages:
        check_pictures(outcome.made[age], (BUDGET.samples,))
        check_pictures(outcome.shown[age], (PEOPLE,))
    for way in ways:
        check_pictures(outcome.carried[way], (BUDGET.draws, PEOPLE))
        check_pictures(outcome.likely(*way), (PEOPLE,))
    if name == "R6":
        assert set(outcome.expected) == ways
        assert outcome.latents == outcome.prior == {}
    else:
        assert outcome.expected == {}
        assert {seen for seen, _ in outcome.latents} == set(outcome.prior) == set(ages)
        for way in ways:
            assert np.array_equal(outcome.likely(*way), outcome.carried[way].mean(0))


def test_what_it_did_is_told(played):
    name, _, outcome = played
    about = outcome.about
    assert set(about["steps"]) == set(about["records"])
    assert len(about["steps"]) == len(LAST[name])
    assert all(steps >= 10 for steps in about["steps"].values())
    assert about["seconds"] >= BUDGET.seconds
    assert about["method"]["model"] == contestants()[name].model
    assert json.loads(json.dumps(about))["budget"]["samples"] == BUDGET.samples


def test_an_outcome_comes_back_from_its_file_to_half_a_grey_value(played, tmp_path):
    _, _, outcome = played
    write_outcome(outcome, tmp_path / "one.npz")
    back = read_outcome(tmp_path / "one.npz")
    assert back.about == json.loads(json.dumps(outcome.about))
    for name in ("made", "shown", "carried", "expected"):
        kept, whole = getattr(back, name), getattr(outcome, name)
        assert kept.keys() == whole.keys()
        for key, pictures in whole.items():
            assert np.abs(kept[key] - pictures).max() <= 0.5 / 255 + 1e-6
    for name in ("latents", "prior"):
        kept, whole = getattr(back, name), getattr(outcome, name)
        assert kept.keys() == whole.keys()
        assert all(np.array_equal(kept[key], rows.astype(np.float32)) for key, rows in whole.items())


def made_outcome() -> Outcome:
    """Small, with something of every kind."""
    rng = np.random.default_rng(0)

    def grey(*shape: int) -> np.ndarray:
        return rng.random((*shape, 8, 8), np.float32)

    ways = {(0, 1): grey(2, 3)}
    return Outcome(
        {0: grey(4)}, {0: grey(3)}, ways, {(0, 1): grey(3)[:, 0]}, {0: grey(4)[:, 0]}, {}, {(0, 1): grey(3)}
    )


def test_a_likely_picture_is_the_methods_own_where_it_has_one():
    outcome = made_outcome()
    assert outcome.likely(0, 1) is outcome.expected[0, 1]
    with pytest.raises(KeyError):
        outcome.likely(1, 0)


def test_a_damaged_file_is_told_whatever_is_damaged(tmp_path):
    """Cut anywhere, one bit turned anywhere: it is read or refused; no other error comes out."""
    path = tmp_path / "one.npz"
    write_outcome(made_outcome(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    damaged = [whole[:length] for length in range(0, len(whole), 211)]
    for place in rng.integers(0, len(whole), 400):
        turned = bytearray(whole)
        turned[place] ^= 1 << rng.integers(8)
        damaged.append(bytes(turned))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            read_outcome(path)
        except DataError as problem:
            assert "delete it" in str(problem)
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("arrays", [{"made_0": 1}, {"about": "{}", "fate_0": 1}, {"about": "{}", "made": 1}])
def test_files_of_something_else_are_refused(arrays, tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, **{name: np.array(value) for name, value in arrays.items()})
    with pytest.raises(DataError, match="no outcome"):
        read_outcome(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    for content in (b"", b"hello", buffer.getvalue()):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no outcome"):
            read_outcome(path)
    with pytest.raises(DataError, match="no outcome"):
        read_outcome(tmp_path / "missing.npz")


def test_unseen_slices_of_a_cohort_are_those_of_each_age_that_is_there(world):
    slices = world.training.take(world.training.group != 1)
    unseen = Unseen.of_slices(slices)
    assert set(unseen.images) == set(unseen.days) == set(unseen.patients) == {0, 2, 3}
    for age, images in unseen.images.items():
        rows = slices.group == age
        assert np.array_equal(images, slices.images[rows])
        assert np.array_equal(unseen.days[age], slices.day[rows], equal_nan=True)
        assert np.array_equal(unseen.patients[age], slices.patient[rows])


def test_unseen_people_of_the_truth_are_the_same_at_every_age(world):
    unseen = Unseen.of_truth(world.truth)
    for age in range(AGES):
        assert np.array_equal(unseen.images[age], world.truth.images[age])
        assert unseen.patients[age].tolist() == list(range(PEOPLE))
    assert np.isnan(unseen.days[0]).all()
    assert unseen.days[3].tolist() == [12.0] * PEOPLE


def test_days_wanted_are_those_seen_at_that_age_in_turn(world):
    unseen = Unseen.of_slices(world.training.take(world.training.group != 1))
    there = unseen.days[2]
    assert days_at(unseen, 2, 5).tolist() == [*there, *there[:2]]
    assert np.isnan(days_at(unseen, 1, 4)).all()


@pytest.mark.parametrize("name", ["R4+R5", "R6"])
def test_progress_never_steps_back_over_the_stages(world, name):
    told: list[tuple[str, float]] = []
    train(contestants()[name], world.training, BUDGET, lambda words, done: told.append((words, done)))
    shares = [done for _, done in told]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    first = [done for words, done in told if words.startswith("stage 1 of 2, step ")]
    second = [done for words, done in told if words.startswith("stage 2 of 2, step ")]
    assert len(first) + len(second) == len(told)
    limit = STAGES[contestants()[name].model][0].share
    assert max(first) <= limit <= min(second)


def test_slices_that_cannot_be_shared_are_refused(world):
    with pytest.raises(UsageError, match="4 slices cannot be shared by 3"):
        train(Method("cage", groups=(0, 1, 2)), world.training, BUDGET)
