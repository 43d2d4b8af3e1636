"""All figures of one contestant: how real, diverse and new its pictures are, and how its training went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.measure.copycheck import check_copies
from glasslung.measure.featuresets import FeatureSet, feature_set
from glasslung.measure.lungfeatures import read_features
from glasslung.measure.realism import RealismSettings, measure_realism
from glasslung.measure.statistics import Interval
from glasslung.measure.structure import structural_likeness
from glasslung.measure.twosample import two_sample_test

BLACK_SHARE = 0.15  # of the real pictures' brightness, as the watchdog counts
NEAREST_TOLD = 8  # made pictures whose nearest training picture is told


@dataclass(frozen=True, eq=False)
class Ruler:
    """What made pictures are measured against: features of real ones, and real pictures as they are."""

    read: Callable[[np.ndarray], np.ndarray]
    train: FeatureSet
    held_out: FeatureSet
    real: SliceSet
    unseen: SliceSet


def make_ruler(read: Callable[[np.ndarray], np.ndarray], train: SliceSet, held_out: SliceSet) -> Ruler:
    """Features of both real sets, patient by patient."""
    return Ruler(
        read,
        feature_set(read_features(train.images, read), train.patient),
        feature_set(read_features(held_out.images, read), held_out.patient),
        train,
        held_out,
    )


def measure_made(made: np.ndarray, ruler: Ruler, own: Ruler, seed: int, draws: int) -> dict[str, Any]:
    """Every figure of one made set (N, S, S), each as {'value', 'low', 'high'} or a plain number.

    Distances are on the features that come with the package, and once more, under 'own', on those of a
    reader that learned within the study; copies by `measure.copycheck`.
    """
    rng = np.random.default_rng(seed)
    features = feature_set(read_features(made, ruler.read))
    told = two_sample_test(ruler.held_out, features, rng=rng, kind="linear", draws=draws)
    alike = structural_likeness(made, rng=rng, draws=draws)
    real_alike = structural_likeness(ruler.unseen.images, ruler.unseen.patient, rng=rng, draws=draws)
    return {
        **distances(features, ruler, rng, draws),
        "own": distances(feature_set(read_features(made, own.read)), own, rng, draws),
        "likeness": plain(alike),
        "real_likeness": plain(real_alike),
        "told_apart": plain(told.area),
        **plain_copies(made, ruler, rng, draws),
    }


def distances(features: FeatureSet, ruler: Ruler, rng: np.random.Generator, draws: int) -> dict[str, Any]:
    """How far made pictures are from unseen real ones on one reader's features, and what real ones score."""
    found = measure_realism(
        features, ruler.train, ruler.held_out, rng=rng, settings=RealismSettings(draws=draws)
    )
    manifold = found.manifold
    return {
        "kid": plain(found.kid),
        "kid_floor": plain(found.floor),
        "kid_subset": found.kid_subsets.subset,
        "precision": plain(manifold.precision),
        "recall": plain(manifold.recall),
        "density": plain(manifold.density),
        "coverage": plain(manifold.coverage),
        "real_recall": plain(found.real_manifold.recall),
        "real_coverage": plain(found.real_manifold.coverage),
        "frechet": found.frechet.distance,
        "counts": {
            "made": len(features),
            "real": len(ruler.held_out),
            "features": ruler.held_out.features.shape[1],
        },
    }


def plain_copies(made: np.ndarray, ruler: Ruler, rng: np.random.Generator, draws: int) -> dict[str, Any]:
    """The rate of copies beside what unseen real pictures reach, and the nearest pairs.

    nearest: [made row, training row] of those nearest to a training picture, the nearest one first; rows
    beyond the training pictures are their mirror images.
    """
    unseen = ruler.unseen
    found = check_copies(made, ruler.real.images, unseen.images, unseen.patient, rng=rng, draws=draws)
    first = np.argsort(found.distance)[:NEAREST_TOLD]
    return {
        "copies": plain(found.rate),
        "copies_expected": found.expected,
        "nearest": [[int(row), int(found.nearest[row])] for row in first],
    }


def plain(found: Interval) -> dict[str, float]:
    """An interval as JSON values."""
    return {"value": found.value, "low": found.low, "high": found.high}


def _darkest(look: Mapping[str, Any]) -> float:
    """Brightness of made pictures, by the weights in training or by their average, whichever is less."""
    kept = look.get("kept_bright")
    return float(look["bright"] if kept is None else min(look["bright"], kept))


def story_of(looks: list[Mapping[str, Any]], alarms: list[list[Any]]) -> dict[str, Any]:
    """How a training went: how many looks were black, and at which step each sign was first told."""
    black = [_darkest(look) < BLACK_SHARE * look["real_bright"] for look in looks]
    first: dict[str, int] = {}
    for step, sign, *_ in alarms:
        first.setdefault(sign, step)
    return {
        "looks": len(looks),
        "black_looks": int(sum(black)),
        "first_alarms": first,
        "best_recall_seen": max((look["recall"] for look in looks), default=0.0),
        "last_recall_seen": looks[-1]["recall"] if looks else 0.0,
    }
