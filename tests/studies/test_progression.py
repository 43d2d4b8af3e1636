"""The phantom world is cross-sectional to train on and whole for the truth; naive forecasts and errors."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import UsageError
from glasslung.studies import progression
from glasslung.studies.agingworld import GROUP_DAYS, World, draw_world
from glasslung.studies.progression import Budget, Method, Outcome


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(each=4, people=3, seed=1)


def test_nobody_is_seen_twice_and_the_truth_is_other_people(world):
    training = world.training
    assert len(set(training.patients)) == len(training) == 16
    assert training.group.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert np.isnan(training.day[:4]).all()
    for age, (first, last) in enumerate(GROUP_DAYS, start=1):
        days = training.day[training.group == age]
        assert ((days >= first) & (days <= last)).all()
    for image in world.truth.images.reshape(-1, 64, 64):
        assert not (training.images == image).all((1, 2)).any()


def test_the_truth_is_one_lung_at_every_age(world):
    truth = world.truth
    assert truth.images.shape == (4, 3, 64, 64)
    assert not truth.lesions[0].any()
    assert (truth.lesions[3].sum((1, 2)) > truth.lesions[1].sum((1, 2))).all()
    assert (truth.lungs == truth.lungs[:1]).mean() > 0.99
    assert np.isnan(truth.days(0)).all()
    assert truth.days(2).tolist() == [7.0] * 3


def test_the_group_mean_moves_the_lungs_alone_and_rightly(world):
    before = world.truth.images[0]
    after = progression.group_mean_change(before, world.training, 0, 3)
    outside = before <= progression.LUNG_GREY
    assert np.array_equal(after[outside], before[outside])
    row, column = np.argwhere((world.training.images > progression.LUNG_GREY).all(0))[0]
    sick, well = (
        np.mean([image[row, column] for image in world.training.of_group(age).images]) for age in (3, 0)
    )
    expected = np.clip(before[0, row, column] + sick - well, 0, 1)
    if before[0, row, column] > progression.LUNG_GREY:
        assert after[0, row, column] == pytest.approx(expected, abs=1e-5)


def test_errors_are_their_formulas():
    true, guess = np.zeros((2, 4, 4)), np.zeros((2, 4, 4))
    lungs = np.zeros((2, 4, 4), bool)
    lungs[:, :2] = True
    guess[0, 0, :4], guess[0, 3] = 0.6, 1.0  # four of eight lung pixels, and some outside that do not count
    assert progression.picture_error(guess, true, lungs) == pytest.approx([0.6 / 2**0.5, 0])
    assert progression.opaque_share(guess, lungs) == pytest.approx([0.5, 0])


def test_a_perfect_forecast_beats_both_that_know_nothing(world):
    truth = world.truth
    outcome = Outcome({}, {1: truth.images[1]}, {(1, 3): truth.images[3][None]}, {}, 0.0, {})
    errors = progression.forecasts(outcome, world)[1, 3]
    assert errors["picture_method"].max() == errors["opaque_method"].max() == 0
    assert (errors["picture_same"] > 0).all()
    assert np.allclose(errors["picture_change"], 0, atol=0.02)


@pytest.mark.parametrize(
    "method",
    [
        Method("cage", progression.SLIM),
        Method("cage", {**progression.SLIM, "single_age": 1}, (1,)),
        Method("ageflow", {"width": 16, "depth": 1, "steps": 2}),
    ],
    ids=["CAGE", "CAGE-T1", "flow"],
)
def test_every_contestant_answers_for_its_ages(world, method):
    found = progression.crisis_on_phantom(
        world, {"it": method}, Budget(seconds=0.1, slices=4), samples=2, draws=2
    )["it"]
    assert set(found.made) == set(found.shown) == set(method.groups)
    assert len(found.carried) == len(method.groups) * (len(method.groups) - 1)
    for picture in [*found.made.values(), *found.shown.values(), *found.carried.values()]:
        assert picture.min() >= 0
        assert picture.max() <= 1
    assert sum(found.steps.values()) >= 10


def test_contestants_are_buildable_and_budgets_must_fit(world):
    from glasslung.models import build

    names = progression.contestants()
    assert {"CAGE-T0", "CAGE-ALL A0", "CAGE-ALL A3", "R1+R2+R3b", "R4+R5"} <= set(names)
    for method in names.values():
        build(method.model, **method.settings)
    with pytest.raises(UsageError, match="shared by 4"):
        progression.train(Method("cage", progression.SLIM), world.training, Budget(slices=6))
    with pytest.raises(UsageError, match="people"):
        draw_world(0, 1, 0)
