"""One lung slice on the days to come: many draws of it, their mean, their spread, and how dense they are.

Days are counted from the scan. On which day of the illness the scan itself was made is told, or each draw
takes a day on which one of the nearest training slices was seen, whatever days are wanted. Wanted days that
lie beyond the axis are left out; a draw that is of a later day than most may reach its end before, and stays
there, so that one and the same lung is followed through all days. The same draw reads the scan in the same
way on every day: differences between days are not the reading's noise.

Change is measured against the model's own picture of the scan, not against the scan: what the model blurs or
drops is no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from glasslung.errors import ShapeError, UsageError
from glasslung.forecast.familiarity import Votes
from glasslung.forecast.voices import GROUP_DAYS, Voice

if TYPE_CHECKING:
    import torch
from glasslung.measure.lesionload import opacity_share

LAST_DAY = GROUP_DAYS[-1][1]  # of the axis: no slice of a later day was ever seen in training
DENSE_GREY = 130 / 255
"""About -590 HU in the lung window. On phantoms the share of lung above it lies nearest to the true share of
lesion (mean error 5 points, rank correlation 0.95); vessels count, so a healthy slice has about 8 %."""
LUNG_ABOVE = 30 / 255  # lung air is 60 or more; the haze that a model leaves on black is about 15
RANGE = (0.1, 0.9)  # of the draws: 80 % lie within


@dataclass(frozen=True)
class Range:
    """A mean over the draws, and where 80 % of them lie."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Dating:
    """On which day of illness the scan is taken to be.

    how      'told', 'never ill' (then the illness begins on the day of the scan), or 'estimated'
    days     distinct days that draws were given, ascending; () for never ill
    middle   median of them; None for never ill
    votes    how many nearest slices voted
    healthy  share of never-ill among the nearest slices of all
    since    days since the patient's first scan: no estimate is earlier; 0 where there is one scan alone
    """

    how: str
    days: tuple[float, ...]
    middle: float | None
    votes: int = 0
    healthy: float = 0.0
    since: float = 0.0


@dataclass(frozen=True, eq=False)
class Moment:
    """The lung so many days after the scan, as D draws.

    pictures  (D, S, S) float32; mean, spread (S, S): over the draws
    dense     share of the lung that is dense, per cent
    change    of that since the scan, as the model sees both, percentage points
    held      share of the draws that came to the last day of the axis before, and stayed there
    """

    days: float
    pictures: np.ndarray
    dense: Range
    change: Range
    held: float = 0.0

    @property
    def mean(self) -> np.ndarray:
        """(S, S) float32."""
        picture: np.ndarray = self.pictures.mean(0)
        return picture

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation over the draws of every pixel, (S, S) float32."""
        picture: np.ndarray = self.pictures.std(0)
        return picture


@dataclass(frozen=True, eq=False)
class Course:
    """What was seen, and what is expected.

    seen        (S, S) float32, the scan's slice
    seen_dense  share of its lung that is dense, per cent
    now         the same on the model's own picture of the scan: what that lacks, no forecast can show
    left_out    days wanted that lie beyond the axis
    """

    seen: np.ndarray
    seen_dense: float
    now: Range
    dating: Dating
    moments: tuple[Moment, ...]
    left_out: tuple[float, ...] = ()


def foresee(
    voice: Voice,
    image: np.ndarray,
    days: Sequence[float],
    draws: int,
    rng: np.random.Generator,
    seen_day: float | None = None,
    healthy: bool = False,
    votes: Votes | None = None,
) -> Course:
    """The course of one slice (S, S) float32 in [0, 1] on `days` after the scan, ascending.

    draws     how many times the lung is carried on
    rng       gives each draw its day where it must be estimated
    seen_day  day of illness on which the scan was made; None with `healthy` or `votes`
    healthy   the scan is of a lung that was never ill: the illness begins with the scan
    votes     what the day is estimated from
    Days that lie beyond the axis of 0 to 14 days of illness are left out. UsageError where none is within,
    or where nothing tells the day.
    """
    if image.ndim != 2 or image.shape[0] != image.shape[1]:
        raise ShapeError(f"a forecast is of one square slice, got {image.shape}")
    check_days(days, seen_day, healthy)
    if draws < 2:
        raise UsageError("a spread needs two draws or more")
    dating, start = _date(draws, rng, seen_day, healthy, votes)
    kept = _within(days, dating)
    many = np.repeat(image[None].astype(np.float32), draws, axis=0)
    state = voice.rng.get_state()

    def on(after: float) -> np.ndarray:
        return _carry(voice, state, many, start, after, healthy)

    now = _dense(_now(voice, state, many, start, healthy))
    moments = [_moment(after, on(after), now, float((start + after > LAST_DAY).mean())) for after in kept]
    left_out = tuple(after for after in days if after not in kept)
    return Course(image, float(_dense(image[None])[0]), _range(now), dating, tuple(moments), left_out)


def check_days(days: Sequence[float], seen_day: float | None, healthy: bool) -> None:
    """Refuse days that make no sense, wanted or told (UsageError names the range)."""
    if not days or any(not 0 <= day <= LAST_DAY for day in days):
        told = ", ".join(f"{day:g}" for day in days) or "none"
        raise UsageError(f"days wanted: {told}; give days after the scan, 0 to {LAST_DAY}, like 0,5,10")
    if list(days) != sorted(set(days)):
        raise UsageError("give each day wanted once, the nearest first")
    if healthy and seen_day is not None:
        raise UsageError("a lung that was never ill has no day of illness; give one of the two")
    if seen_day is not None and not 0 <= seen_day <= LAST_DAY:
        raise UsageError(f"day of illness {seen_day:g}: the model knows days 0 to {LAST_DAY}")


def check_reach(days: Sequence[float], seen_day: float) -> None:
    """Refuse days that all, or some, lie beyond the axis for a scan whose day is told (UsageError)."""
    if seen_day + max(days) > LAST_DAY:
        raise UsageError(
            f"{max(days):g} days after day {seen_day:g} of the illness is beyond the {LAST_DAY} days that "
            f"the model knows; ask for days 0 to {LAST_DAY - seen_day:g} after the scan"
        )


def within_reach(days: Sequence[float], middle: float) -> tuple[float, ...]:
    """Those days after the scan that lie on the axis, for a scan of day `middle` of the illness."""
    return tuple(after for after in days if middle + after <= LAST_DAY)


def _within(days: Sequence[float], dating: Dating) -> tuple[float, ...]:
    """The days that are forecast; UsageError where all lie beyond the axis."""
    middle = dating.middle or 0.0
    if kept := within_reach(days, middle):
        return kept
    if dating.how == "told":
        check_reach(days, middle)
    raise UsageError(
        f"this scan looks like day {middle:g} of the illness, and {min(days):g} days later is beyond the "
        f"{LAST_DAY} days that the model knows; ask for days 0 to {LAST_DAY - middle:g} after the scan, or "
        "tell its day with --seen DAY"
    )


def _date(
    draws: int,
    rng: np.random.Generator,
    seen_day: float | None,
    healthy: bool,
    votes: Votes | None,
) -> tuple[Dating, np.ndarray]:
    """What day the scan is of, and the day of illness of every draw, (draws,) float32."""
    if healthy:
        return Dating("never ill", (), None), np.zeros(draws, np.float32)
    if seen_day is not None:
        return Dating("told", (seen_day,), seen_day), np.full(draws, seen_day, np.float32)
    if votes is None:
        raise UsageError(
            "this run keeps no reference to estimate the day of illness from; tell it with --seen DAY or "
            "--healthy"
        )
    if votes.since > LAST_DAY:
        raise UsageError(
            f"the scan was made {votes.since:g} days after the first one, and the model knows days 0 to "
            f"{LAST_DAY} of an illness; forecast an earlier scan, or tell the day of illness with --seen DAY"
        )
    start = rng.choice(votes.days, draws).astype(np.float32)
    told = tuple(float(day) for day in np.unique(start))
    return Dating("estimated", told, votes.middle, len(votes.days), votes.healthy, votes.since), start


def _carry(
    voice: Voice, state: torch.Tensor, many: np.ndarray, start: np.ndarray, after: float, healthy: bool
) -> np.ndarray:
    """Every draw on its day, or on the last of the axis where that comes first, (draws, S, S).

    A voice is told one age seen and one wanted, so it is asked once for every pair of ages, each time for
    all draws and from the same state: a draw's noise does not depend on which pair it belongs to.
    """
    then = np.minimum(start + np.float32(after), np.float32(LAST_DAY))
    seen, wanted = np.zeros(len(start), int) if healthy else ages_of(start), ages_of(then)
    told = np.full(len(start), np.nan, np.float32) if healthy else start
    pictures = np.empty_like(many)
    for here, there in sorted(set(zip(seen.tolist(), wanted.tolist(), strict=True))):
        rows = (seen == here) & (wanted == there)
        voice.rng.set_state(state)
        pictures[rows] = voice.carry(many, here, told, there, then)[rows]
    return pictures


def _now(voice: Voice, state: torch.Tensor, many: np.ndarray, start: np.ndarray, healthy: bool) -> np.ndarray:
    """The scan as the model sees it, by the same draws."""
    if not healthy:
        return _carry(voice, state, many, start, 0.0, healthy)
    voice.rng.set_state(state)
    never = np.full(len(start), np.nan, np.float32)
    return voice.carry(many, 0, never, 0, never)


def ages_of(days: np.ndarray) -> np.ndarray:
    """Day of illness -> age 1 to 3, (N,) int; a day between two belongs to the earlier age."""
    firsts = [first for first, _ in GROUP_DAYS]
    ages: np.ndarray = np.searchsorted(firsts, days, side="right")
    return ages


def _moment(after: float, pictures: np.ndarray, now: np.ndarray, held: float) -> Moment:
    dense = _dense(pictures)
    return Moment(after, pictures, _range(dense), _range(dense - now), held)


def _dense(pictures: np.ndarray) -> np.ndarray:
    """Share of each picture's lung that is dense, per cent, (N,)."""
    return 100 * opacity_share(np.clip(pictures, 0, 1), DENSE_GREY, LUNG_ABOVE)


def _range(values: np.ndarray) -> Range:
    low, high = np.quantile(values, RANGE)
    return Range(float(values.mean()), float(low), float(high))
