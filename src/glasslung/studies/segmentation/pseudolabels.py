"""Pseudo-labels, in rounds and at once.

In rounds: the network labels some slices itself, and goes on with them among its labels.

    U-Net+PL      16 slices a round, up to 1600 (StichNet paper, section 4; no confidence there)
    Semi-Inf-Net  5 slices a round, and expert labels alone at the end (Fan et al., TMI 2020)

A round's slices are labelled once and kept. Options the papers lack: pixels that the network is not sure of
stay unknown.

At once, a lesson: the network learns the labels alone, and labels every slice that has none. Then it goes on
with both, as many of each in a batch, the guessed ones in harder views, while the learning rate climbs and
falls once more. Few labels are known by heart long before the time is up; so many slices are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.labelbatches import Augment, BatchPlan, LabelledBatches, SquareSlices, from_square
from glasslung.data.labelled import UNKNOWN, Kind
from glasslung.data.scanslices import MixedBatches
from glasslung.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 8
ROUND_STREAM = 7
LESSON_STREAM = 8
AT_FIRST = 5  # steps between two looks at the clock, while there are no rounds to be missed


@dataclass(frozen=True)
class Rounds:
    """How pseudo-labels come in."""

    slices: int = 16
    """Labelled in a round; the paper's."""
    most: int = 1600
    """Pseudo-labelled slices in the end, time allowing; the paper's."""
    sure: float = 0.0
    """Pixels whose likeliest class is less probable stay unknown; 0: all count, as in the papers."""
    first: float = 0.5
    """Share of the time before the first round."""
    last: float = 0.0
    """Share of the time at the end, on expert labels alone."""

    def __post_init__(self) -> None:
        if min(self.slices, self.most) < 1 or not 0 <= self.sure <= 1:
            raise UsageError("slices and most must be 1 or more, and sure lies in 0 .. 1")
        if min(self.first, self.last) < 0 or self.first + self.last >= 1:
            raise UsageError("first and last are shares of the time and must leave some for the rounds")


@dataclass(frozen=True)
class Lesson:
    """How a network goes on with what it says itself of all slices without labels."""

    first: float = 0.35
    """Share of the time before: few labels are learned soon."""
    labelled: int = 4
    """Of a batch, drawn by an expert ..."""
    guessed: int = 4
    """... and labelled by the network."""
    augment: str = "strong"
    """Views of the guessed ones: in those that it was asked about it knows the answer."""

    def __post_init__(self) -> None:
        if min(self.labelled, self.guessed) < 1 or not 0 < self.first < 1:
            raise UsageError("a lesson needs slices of both kinds, and first lies between 0 and 1")


def taught(
    probabilities: Callable[[Tensor], Tensor],
    squares: SquareSlices,
    rows: np.ndarray,
    lesson: Lesson,
    seed: int,
    augment: Callable[[str], Augment],
    own: str,
) -> Callable[[], MixedBatches]:
    """Batches of labelled slices of `rows`, and of those without labels as the network sees them.

    augment, own  views by name, and the name of those of labelled slices
    Every call gives the same stream from its beginning.
    """
    every = squares.slices.of_kind(Kind.UNLABELLED)
    unknown, known = np.intersect1d(every, rows), np.setdiff1d(rows, every)
    masks = label(lambda image: mirrored(probabilities, image), squares, unknown, 0.0)
    guessed = squares.with_masks_of(squares.slices.with_lesions(masks, Kind.PSEUDO))
    parts = (
        (squares, lesson.labelled, known, own),
        (guessed, lesson.guessed, unknown, lesson.augment),
    )

    def stream() -> MixedBatches:
        return MixedBatches(
            [
                LabelledBatches(
                    some,
                    BatchPlan(count),
                    np.random.default_rng([seed, LESSON_STREAM, n]),
                    of,
                    augment(views),
                )
                for n, (some, count, of, views) in enumerate(parts)
            ]
        )

    return stream


def mirrored(probabilities: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The mean over the slice as it is and turned left to right, (B, classes, S, S)."""
    return 0.5 * (probabilities(image) + probabilities(image.flip(-1)).flip(-1))


def learn_in_rounds(
    game: Any,
    squares: SquareSlices,
    rows: np.ndarray,
    rounds: Rounds,
    seed: int,
    until: Callable[[float], bool],
    play: Callable[[float, int], None],
    share: float = 1.0,
) -> dict[str, int]:
    """Labels first, then as many rounds as there are slices for, evenly spaced in time, then labels again.

    until  until(0.5): whether half of the time is used up
    play   play(0.5, 1): goes on, one step at a time, until it is
    share  of the whole time that all of this may take
    Gives how many rounds there were, of how many, and the slices labelled in them.
    """
    play(share * rounds.first, AT_FIRST)
    own, waiting = game.batches, squares.slices.of_kind(Kind.UNLABELLED)
    waiting = np.random.default_rng([seed, ROUND_STREAM]).permutation(np.intersect1d(waiting, rows))
    waiting = waiting[: rounds.most]
    groups = [waiting[at : at + rounds.slices] for at in range(0, len(waiting), rounds.slices)]
    if not groups:
        raise UsageError("pseudo-labels need slices without labels; add some, or leave the method away")
    step = share * (1 - rounds.first - rounds.last) / len(groups)
    labelled: dict[int, np.ndarray] = {}
    asked = 0
    while asked < len(groups) and not until(share * (1 - rounds.last) - 0.5 * step):
        new = groups[asked]
        labelled |= label(game.modules["segmenter"].probabilities, squares, new, rounds.sure)
        game.batches = _among_the_labels(own, squares, labelled, rows)
        asked += 1
        play(share * rounds.first + asked * step, 1)
    game.batches = own
    play(share, 1)
    return {"rounds": asked, "of": len(groups), "slices": len(labelled)}


def label(
    probabilities: Callable[[Tensor], Tensor], squares: SquareSlices, rows: np.ndarray, sure: float
) -> dict[int, np.ndarray]:
    """Lesion masks of some slices as the network sees them, on the slices' grids; -1 where it is not sure."""
    found = {}
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        for row, each in zip(some, probabilities(squares.batch(some).image).numpy(), strict=True):
            maps = from_square(each, *squares.slices.pictures[row].shape)
            mask = maps.argmax(0).astype(np.int8)
            mask[maps.max(0) < sure] = UNKNOWN
            found[int(row)] = mask
    return found


def _among_the_labels(
    own: LabelledBatches, squares: SquareSlices, masks: dict[int, np.ndarray], rows: np.ndarray
) -> LabelledBatches:
    """A stream like the run's own, with these slices among the labelled ones."""
    guessed = squares.with_masks_of(squares.slices.with_lesions(masks, Kind.PSEUDO))
    return LabelledBatches(guessed, own.plan, own.rng, rows, own.augment)
