"""A course: the same draw on every day, days that are told or voted for, ranges as they are defined."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from made_lungs import lung

from glasslung.errors import UsageError
from glasslung.forecast.course import DENSE_GREY, LUNG_ABOVE, ages_of, foresee
from glasslung.forecast.familiarity import Votes
from glasslung.forecast.opening import open_run

IMAGE = lung(np.random.default_rng(5), 3.0)


@dataclass
class Clock:
    """A voice that adds to every lung pixel 0.02 a day between seen and then, and one number per draw."""

    rng: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))
    asked: list[tuple[int, int]] = field(default_factory=list)
    ages = (0, 1, 2, 3)

    def carry(self, images, seen, days, wanted, then):
        self.asked.append((seen, wanted))
        noise = 0.05 * torch.rand(len(images), generator=self.rng).numpy()
        later = np.nan_to_num(then) - np.nan_to_num(days) + 5.0 * (seen == 0 and wanted > 0)
        moved = images + (0.02 * later + noise)[:, None, None] * (images > 0)
        return np.clip(moved, 0, 1).astype(np.float32)


def course(days=(0.0, 5.0), draws=32, seed=0, **more):
    return foresee(Clock(), IMAGE, days, draws, np.random.default_rng(seed), **more)


def dense(picture: np.ndarray) -> float:
    """Per cent of the lung's pixels above the dense grey, pixel by pixel."""
    lung_pixels = [grey for grey in picture.ravel().tolist() if grey > LUNG_ABOVE]
    return 100 * sum(grey > DENSE_GREY for grey in lung_pixels) / len(lung_pixels)


def test_every_day_has_the_same_draws():
    told = course(days=(0.0, 2.0, 9.0), seen_day=3.0)
    first, second, third = (moment.pictures for moment in told.moments)
    grows = [np.median((later - first)[:, IMAGE > 0], axis=1) for later in (second, third)]
    assert np.allclose(grows[0], 0.04, atol=1e-5)
    assert np.allclose(grows[1], 0.18, atol=1e-5)
    assert len({float(picture.max()) for picture in first}) > 20


def test_a_draw_keeps_its_noise_when_its_day_is_of_another_age():
    votes = Votes(np.float32([1, 4, 6, 8]), 0.0)
    told = course(days=(0.0, 3.0, 5.0), votes=votes)
    first, second, third = (moment.pictures for moment in told.moments)
    assert np.allclose(np.median((second - first)[:, IMAGE > 0], axis=1), 0.06, atol=1e-5)
    assert np.allclose(np.median((third - first)[:, IMAGE > 0], axis=1), 0.10, atol=1e-5)


def test_the_figures_are_those_of_the_draws():
    told = course(days=(5.0,), draws=16, seen_day=2.0)
    moment = told.moments[0]
    shares = [dense(picture) for picture in moment.pictures]
    assert told.seen_dense == pytest.approx(dense(IMAGE))
    assert moment.dense.mean == pytest.approx(np.mean(shares))
    assert (moment.dense.low, moment.dense.high) == pytest.approx(tuple(np.quantile(shares, (0.1, 0.9))))
    assert moment.change.mean == pytest.approx(np.mean(shares) - told.now.mean)
    assert np.allclose(moment.mean, sum(moment.pictures) / 16, atol=1e-6)
    assert np.allclose(moment.spread**2, sum((p - moment.mean) ** 2 for p in moment.pictures) / 16, atol=1e-6)


def test_nothing_changes_on_the_same_day():
    moment = course(days=(0.0,), seen_day=3.0).moments[0]
    assert (moment.change.mean, moment.change.low, moment.change.high) == (0, 0, 0)


VOTES = Votes(np.float32([0, 1, 4, 5, 11, 13, 14, 14]), 0.25)


@pytest.mark.parametrize("days", [(0.0,), (0.0, 5.0), (0.0, 2.0, 6.0, 10.0, 14.0)])
def test_the_day_of_illness_does_not_depend_on_the_days_wanted(days):
    dating = course(days=days, draws=200, votes=VOTES).dating
    assert (dating.how, dating.votes, dating.healthy) == ("estimated", 8, 0.25)
    assert dating.days == (0, 1, 4, 5, 11, 13, 14)
    assert dating.middle == 8


def test_days_beyond_the_axis_are_left_out():
    told = course(days=(0.0, 6.0, 7.0, 10.0), votes=VOTES)
    assert [moment.days for moment in told.moments] == [0, 6]
    assert told.left_out == (7, 10)
    told = course(days=(0.0, 6.0, 7.0, 10.0), seen_day=7.0)
    assert ([moment.days for moment in told.moments], told.left_out) == ([0, 6, 7], (10,))
    told = course(days=(0.0, 14.0), healthy=True)
    assert (len(told.moments), told.left_out) == (2, ())


def test_draws_stay_on_the_last_day_of_the_axis():
    """0.02 a day: a draw of day 11 gains 3 days of it, one of day 4 all 5; no draw leaves the forecast."""
    told = course(days=(0.0, 5.0), draws=200, votes=Votes(np.float32([4, 4, 4, 11]), 0.0))
    first, later = (np.median(moment.pictures[:, IMAGE > 0], axis=1) for moment in told.moments)
    stays, goes = (np.isclose(later - first, grown, atol=1e-3) for grown in (0.06, 0.10))
    assert (stays ^ goes).all()
    assert told.moments[0].held == 0
    assert told.moments[1].held == pytest.approx(stays.mean())
    assert 0.1 < told.moments[1].held < 0.4


def test_no_scan_is_of_an_earlier_day_than_the_story_allows():
    late = VOTES.not_before(5.0)
    assert late.days.tolist() == [5, 5, 5, 5, 11, 13, 14, 14]
    told = course(days=(0.0,), draws=100, votes=late)
    assert min(told.dating.days) == 5
    assert (told.dating.middle, told.dating.since) == (8, 5)
    assert course(days=(0.0,), votes=VOTES.not_before(12.5)).dating.middle == 12.5
    with pytest.raises(UsageError, match=r"28 days after the first one.*--seen DAY"):
        course(days=(0.0,), votes=VOTES.not_before(28.0))


def test_a_scan_that_is_too_late_for_all_days_is_refused_with_those_it_has_left():
    votes = Votes(np.float32([9] * 24 + [0]), 0.0)
    with pytest.raises(UsageError, match=r"looks like day 9 of the illness, .* days 0 to 5 after the scan"):
        course(days=(6.0, 10.0), votes=votes)


def test_a_healthy_lung_falls_ill_on_the_day_of_the_scan():
    told = course(days=(0.0, 5.0), healthy=True)
    assert told.dating.how == "never ill"
    assert told.moments[0].change.mean > 0


@pytest.mark.parametrize(
    ("days", "more", "says"),
    [
        ((15.0,), {"seen_day": 0.0}, "0 to 14"),
        ((), {"seen_day": 0.0}, "none"),
        ((-1.0,), {"seen_day": 0.0}, "0 to 14"),
        ((float("nan"),), {"seen_day": 0.0}, "0 to 14"),
        ((5.0, 0.0), {"seen_day": 0.0}, "nearest first"),
        ((5.0, 5.0), {"seen_day": 0.0}, "once"),
        ((10.0,), {"seen_day": 7.0}, "ask for days 0 to 7 after the scan"),
        ((0.0,), {"seen_day": 20.0}, "the model knows days 0 to 14"),
        ((0.0,), {"seen_day": 2.0, "healthy": True}, "one of the two"),
        ((0.0,), {}, "--seen DAY"),
    ],
)
def test_what_cannot_be_asked(days, more, says):
    with pytest.raises(UsageError, match=says):
        course(days=days, **more)


def test_ages_of_days():
    assert ages_of(np.float32([0, 4, 4.5, 5, 9, 10, 14])).tolist() == [1, 1, 1, 2, 2, 3, 3]


def test_a_trained_run_answers_alike_for_one_seed(run_folder):
    run = open_run(run_folder)
    told = [
        foresee(run.voice(seed), IMAGE, (0.0, 5.0), 6, np.random.default_rng(seed), seen_day=3.0)
        for seed in (1, 1, 2)
    ]
    pictures = [np.stack([moment.pictures for moment in one.moments]) for one in told]
    assert pictures[0].shape == (2, 6, 64, 64)
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])
    assert told[0].moments[1].spread.max() > 0
