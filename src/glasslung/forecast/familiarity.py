"""How far a slice lies from what a model knows, and which day of illness its neighbours were seen on.

A reference is kept beside the weights: eleven plain features of every training slice, their ages and days,
and how far slices of unseen patients lie from them. A new slice is judged against those: if hardly any
unseen real slice lies as far, the model knows nothing of its like. No picture is kept and no patient named.

    familiar.safetensors   the numbers
    familiar.json          what they are, and what they are worth
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from glasslung.errors import DataError
from glasslung.files import read_json, whole_file, write_json
from glasslung.measure.lungfeatures import PLAIN_FEATURES, Standard, plain_features, standard_of

if TYPE_CHECKING:
    from glasslung.data.slices import SliceSet

TENSORS, ABOUT, FORMAT = "familiar.safetensors", "familiar.json", 1
NEAREST = 5  # training slices whose mean distance is the slice's: one alone may be an oddity itself
VOTES = 25  # on the day: of 169 ill training slices; 15 and 40 miss by as much
CARE, DOUBT = 0.10, 0.02  # share of unseen real slices that lie as far or farther
LEAST_HELD_OUT = 20  # fewer unseen slices tell nothing of a share of 0.1


class Trust(StrEnum):
    """What a slice's place among the unseen real ones says of a forecast for it."""

    FAMILIAR = "familiar"
    CARE = "read with care"
    DOUBT = "do not trust"


_ADVICE = {Trust.CARE: "read the forecast with care", Trust.DOUBT: "do not trust the forecast"}


@dataclass(frozen=True, eq=False)
class Reference:
    """What a model was trained on, in features; K training slices, H held-out ones.

    features  (K, 11) float32, in deviations of the training set from its mean
    standard  that mean and deviation
    groups    (K,) int64; days (K,) float32, NaN where unknown
    held_out  (H,) float32: mean distance of each unseen slice to its nearest training slices
    day_error, blind_error  mean absolute error, days, of the neighbours' vote on unseen ill slices, and of
              the same day for all; None where there are too few
    """

    features: np.ndarray
    standard: Standard
    groups: np.ndarray
    days: np.ndarray
    held_out: np.ndarray
    day_error: float | None = None
    blind_error: float | None = None


@dataclass(frozen=True)
class Familiarity:
    """Where one slice lies.

    distance  to its nearest training slices, in deviations of the features
    farther   share of the unseen real slices that lie as far or farther: 1 very near, near 0 strange
    unseen    how many those are
    outside   features that no training slice has so low or so high: 'mean grey is above all'
    trust     one word
    text      one sentence
    """

    distance: float
    farther: float
    unseen: int
    above: tuple[str, ...]
    below: tuple[str, ...]
    trust: Trust
    text: str


@dataclass(frozen=True, eq=False)
class Votes:
    """On which days of illness the nearest ill training slices were seen.

    days     (V,) float32, those whose day is known
    healthy  share of never-ill among the nearest slices of all: much of it says that little is to be seen
    since    no day is earlier: so many days before, the patient was scanned for the first time
    """

    days: np.ndarray
    healthy: float
    since: float = 0.0

    @property
    def middle(self) -> float:
        """The day that is taken for the scan's: their median."""
        return float(np.median(self.days))

    def not_before(self, day: float) -> Votes:
        """The same votes, all that are earlier moved up to `day`."""
        return Votes(np.maximum(self.days, np.float32(day)), self.healthy, float(day))


def make_reference(training: SliceSet, held_out: SliceSet) -> Reference:
    """The reference of a model trained on `training`, judged by slices of patients it never saw.

    DataError with fewer than 20 held-out slices.
    """
    if len(held_out) < LEAST_HELD_OUT:
        raise DataError(
            f"{len(held_out)} held-out slice(s) cannot say what is familiar; "
            f"hold out {LEAST_HELD_OUT} or more"
        )
    features = plain_features(training.images)
    standard = standard_of(features)
    bare = Reference(
        standard(features).astype(np.float32),
        standard,
        training.group,
        training.day,
        np.zeros(0, np.float32),
    )
    unseen = standard(plain_features(held_out.images))
    distances = _nearest(bare.features, unseen, NEAREST)[0].mean(1).astype(np.float32)
    told, blind = _errors_in_days(bare, unseen, held_out)
    return Reference(bare.features, standard, bare.groups, bare.days, distances, told, blind)


def _errors_in_days(
    reference: Reference, unseen: np.ndarray, held_out: SliceSet
) -> tuple[float | None, float | None]:
    ill = (held_out.group > 0) & np.isfinite(held_out.day)
    known = reference.days[(reference.groups > 0) & np.isfinite(reference.days)]
    if not ill.any() or not len(known):
        return None, None
    told = np.array([np.median(_votes(reference, row).days) for row in unseen[ill]])
    days = held_out.day[ill]
    return float(np.abs(told - days).mean()), float(np.abs(np.median(known) - days).mean())


def familiarity(reference: Reference, image: np.ndarray) -> Familiarity:
    """How far one slice (S, S) float32 in [0, 1] lies from the training slices, among unseen real ones."""
    features = reference.standard(plain_features(image[None]))
    distance = float(_nearest(reference.features, features, NEAREST)[0].mean())
    as_far = int((reference.held_out >= distance).sum())
    farther = as_far / len(reference.held_out)
    above, below = _outside(reference, features[0])
    near = Trust.CARE if above or below else Trust.FAMILIAR
    trust = near if farther > CARE else Trust.CARE if farther > DOUBT else Trust.DOUBT
    text = _words(farther, trust, above, below)
    return Familiarity(distance, farther, len(reference.held_out), above, below, trust, text)


def _outside(reference: Reference, features: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the features above, and below, those of every training slice."""
    low, high = reference.features.min(0), reference.features.max(0)
    slack = 1e-4  # the reference is kept in single precision
    names = [name.replace("percentile", "grey percentile") for name in PLAIN_FEATURES]
    above = tuple(name for name, far in zip(names, features > high + slack, strict=True) if far)
    below = tuple(name for name, far in zip(names, features < low - slack, strict=True) if far)
    return above, below


def _words(farther: float, trust: Trust, above: tuple[str, ...], below: tuple[str, ...]) -> str:
    of_hundred, people = round(100 * farther), "real slices of unseen patients"
    if farther > CARE:
        text = f"As near the training slices as {people}: {of_hundred} of 100 lie as far or farther"
    elif farther == 0:
        text = f"Farther from the training slices than all {people}"
    else:
        text = f"Farther from the training slices than all but {of_hundred} of 100 {people}"
    for names, where in ((above, "above"), (below, "below")):
        if names:
            text += f"; {where} every training slice in {', '.join(names)}"
    advice = "" if trust is Trust.FAMILIAR else f": {_ADVICE[trust]}"
    return f"{text}{advice}."


def votes_on_day(reference: Reference, image: np.ndarray) -> Votes:
    """The days of illness of the slice's nearest ill training slices; DataError where no day is known."""
    return _votes(reference, reference.standard(plain_features(image[None]))[0])


def _votes(reference: Reference, features: np.ndarray) -> Votes:
    _, order = _nearest(reference.features, features[None], VOTES)
    healthy = float((reference.groups[order[0]] == 0).mean())
    dated = (reference.groups > 0) & np.isfinite(reference.days)
    if not dated.any():
        raise DataError("no training slice of this run has a day; tell the day of illness with --seen")
    _, order = _nearest(reference.features[dated], features[None], VOTES)
    return Votes(reference.days[dated][order[0]], healthy)


def _nearest(training: np.ndarray, features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows of the nearest training slices of each (N, F): (N, count) twice, nearest first."""
    apart = np.sqrt(((features[:, None] - training[None].astype(np.float64)) ** 2).sum(-1))
    order = np.argsort(apart, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(apart, order, 1), order


# --------------------------------------------------------------------------------------- beside the weights


def write_reference(reference: Reference, folder: Path) -> None:
    """Write a reference beside the weights, two files; the one that is read first comes last."""
    from safetensors.numpy import save_file

    (Path(folder) / ABOUT).unlink(missing_ok=True)
    with whole_file(Path(folder) / TENSORS) as part:
        save_file(
            {
                "features": np.ascontiguousarray(reference.features, np.float32),
                "mean": np.asarray(reference.standard.mean, np.float64),
                "deviation": np.asarray(reference.standard.deviation, np.float64),
                "groups": np.asarray(reference.groups, np.int64),
                "days": np.asarray(reference.days, np.float32),
                "held_out": np.asarray(reference.held_out, np.float32),
            },
            part,
        )
    about = {
        "format": FORMAT,
        "features": list(PLAIN_FEATURES),
        "training slices": len(reference.features),
        "held-out slices": len(reference.held_out),
        "day error": reference.day_error,
        "blind error": reference.blind_error,
    }
    write_json(Path(folder) / ABOUT, about)


def read_reference(folder: Path) -> Reference | None:
    """The reference beside a run's weights; None where there is none. DataError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not (Path(folder) / ABOUT).is_file():
        return None
    about = read_json(Path(folder) / ABOUT)
    if about.get("format") != FORMAT or about.get("features") != list(PLAIN_FEATURES):
        raise DataError(f"{folder} keeps another version's reference; make it anew with this version")
    try:
        found = load_file(Path(folder) / TENSORS)
        return Reference(
            found["features"],
            Standard(found["mean"], found["deviation"]),
            found["groups"],
            found["days"],
            found["held_out"],
            about["day error"],
            about["blind error"],
        )
    except (OSError, SafetensorError, KeyError) as problem:
        raise DataError(f"the reference in {folder} is damaged ({problem}); make it anew") from problem
