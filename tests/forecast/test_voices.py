"""Every model is asked in the same words: shapes, ranges, the same seed the same answer."""

from __future__ import annotations

import numpy as np
import pytest
from made_lungs import lungs

from glasslung.errors import UsageError
from glasslung.forecast.voices import GROUP_DAYS, some_days, voice_of
from glasslung.models import build

SETTINGS = {"cage": {"net": "slim"}, "ageflow": {"width": 16, "depth": 1, "steps": 2}}
DATED = [
    ("cage", {"net": "slim", "day": True}, "dating"),
    ("ageflow", SETTINGS["ageflow"], "flow"),
]  # and the part that is told the day


@pytest.fixture(scope="module", params=["cage", "ageflow"])
def speaker(request):
    """voice(seed) of one untrained model of each kind."""
    model = build(request.param, seed=1, **SETTINGS[request.param])
    return lambda seed=0: voice_of(request.param, model, seed)


@pytest.fixture(scope="module")
def seen():
    some = lungs(2, seed=3).of_group(2)
    return some.images, some.day


def check_pictures(pictures: np.ndarray, count: int) -> None:
    assert pictures.shape == (count, 64, 64)
    assert pictures.dtype == np.float32
    assert 0 <= pictures.min() <= pictures.max() <= 1


def test_pictures_have_the_shape_and_range_of_slices(speaker, seen):
    images, days = seen
    voice = speaker()
    assert voice.ages == (0, 1, 2, 3)
    for age in (0, 3):
        check_pictures(voice.make(3, age), 3)
    check_pictures(voice.show(images, 2, days), 2)
    check_pictures(voice.carry(images, 2, days, 3, days + 5), 2)
    never = np.full(2, np.nan, np.float32)
    check_pictures(voice.carry(images, 2, days, 0, never), 2)
    check_pictures(voice.carry(images, 0, never, 1, np.zeros(2, np.float32)), 2)


def test_latents_of_slices_and_of_the_prior_have_one_width(speaker, seen):
    images, days = seen
    rows, prior = speaker().latents(images, 2, days, 3), speaker().prior_latents(5, 3)
    assert rows.shape == (2, prior.shape[1])
    assert len(prior) == 5
    assert np.isfinite(rows).all()
    assert np.isfinite(prior).all()


def test_one_seed_one_answer_and_draws_differ(speaker, seen):
    images, days = seen

    def carried(voice):
        return voice.carry(images, 2, days, 3, days + 5)

    voice = speaker(7)
    state = voice.rng.get_state()
    first, second = carried(voice), carried(voice)
    assert np.array_equal(first, carried(speaker(7)))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, carried(speaker(8)))
    voice.rng.set_state(state)
    assert np.array_equal(first, carried(voice))


@pytest.mark.parametrize(("name", "settings", "part"), DATED)
def test_a_model_that_knows_days_answers_by_day(name, settings, part, seen):
    import torch

    model = build(name, seed=1, **settings)
    with torch.no_grad():  # untrained, no day changes anything
        for weight in getattr(model, part).parameters():
            weight.add_(0.3)
    early, late = (
        voice_of(name, model).carry(seen[0][:1], 2, seen[1][:1], 3, np.float32([day])) for day in (10, 14)
    )
    assert np.abs(early - late).max() > 1e-4


def test_a_cage_of_one_age_shows_that_age_alone():
    assert voice_of("cage", build("cage", net="slim", single_age=2)).ages == (2,)


def test_a_model_without_ages_has_no_voice():
    with pytest.raises(UsageError, match="carries no lung"):
        voice_of("slicenet", build("slicenet"))


def test_made_days_lie_in_their_age():
    import torch

    rng = torch.Generator().manual_seed(0)
    assert np.isnan(some_days(4, 0, rng)).all()
    for age, (first, last) in enumerate(GROUP_DAYS, start=1):
        days = some_days(200, age, rng)
        assert (days.min(), days.max()) == (first, last)
