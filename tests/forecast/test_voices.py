"""Every model is asked in the same words: shapes, ranges, the same seed the same answer."""

from __future__ import annotations

import numpy as np
import pytest
from made_lungs import lungs

from glasslung.errors import UsageError
from glasslung.forecast.voices import GROUP_DAYS, some_days, voice_of
from glasslung.models import build

SETTINGS = {
    "cage": {"net": "slim"},
    "ageflow": {"width": 16, "depth": 1, "steps": 2},
    "agetransport": {"width": 8, "cloud": 4},
}
DATED = [  # the part that is told the day, and by how much its weights are moved
    ("cage", {"net": "slim", "day": True}, "dating", 0.3),
    ("ageflow", SETTINGS["ageflow"], "flow", 0.3),
    ("agetransport", SETTINGS["agetransport"], "mover.leave", 0.01),
]


@pytest.fixture(scope="module", params=list(SETTINGS))
def speaker(request):
    """voice(seed) of one untrained model of each kind."""
    import torch

    model = build(request.param, seed=1, **SETTINGS[request.param])
    if request.param == "agetransport":  # untrained, it moves nothing, whatever is drawn
        with torch.no_grad():
            model.mover.leave.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
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


def test_latents_of_slices_and_of_the_prior_have_one_width_or_there_are_none(speaker, seen):
    images, days = seen
    rows, prior = speaker().latents(images, 2, days, 3), speaker().prior_latents(5, 3)
    if speaker().model.__class__.__name__ == "AgeTransport":
        assert rows is prior is None
        return
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


def test_a_likely_picture_needs_no_draws_where_a_model_has_one(speaker, seen):
    images, days = seen
    voice = speaker(3)
    state = voice.rng.get_state()
    likely = voice.expect(images, 2, days, 3, days + 5)
    assert (voice.rng.get_state() == state).all()
    if voice.model.__class__.__name__ != "AgeTransport":
        assert likely is None
        return
    check_pictures(likely, 2)
    assert np.array_equal(likely, speaker(4).expect(images, 2, days, 3, days + 5))
    assert not np.array_equal(likely, voice.expect(images, 2, days, 0, days + 5))
    assert not np.array_equal(likely, voice.carry(images, 2, days, 3, days + 5))
    assert np.array_equal(voice.show(images, 2, days), images)  # nothing stands between it and the slice


@pytest.mark.parametrize(("name", "settings", "part", "moved"), DATED)
def test_a_model_that_knows_days_answers_by_day(name, settings, part, moved, seen):
    import torch

    model = build(name, seed=1, **settings)
    with torch.no_grad():  # untrained, no day changes anything
        for weight in model.get_submodule(part).parameters():
            weight.add_(moved)
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
