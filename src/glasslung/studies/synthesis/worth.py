"""What a conditional run's pictures are worth to somebody who trains a classifier on them.

Train on synthetic, test on real: on pictures of patients that neither the run nor the classifier saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.measure.usefulness import Fitter, Labelled, Usefulness, train_on_made
from glasslung.nn.making import sample_pictures
from glasslung.predict.trained import open_trained
from glasslung.studies.synthesis.export import training_parts
from glasslung.studies.synthesis.training import TRAIN, unseen_of
from glasslung.types import Progress

CONDITION = "class"


@dataclass(frozen=True)
class Asking:
    """How many pictures are made, and by which codes."""

    each: int = 200  # of either class: about as many as there are real ones
    seed: int = 0
    draws: int = 1000

    def __post_init__(self) -> None:
        if self.each < 8 or self.draws < 1:
            raise UsageError("each must be 8 or more, draws 1 or more")


def worth_of_run(
    which: str | Path,
    cohort: Path | None = None,
    asking: Asking | None = None,
    fit: Fitter | None = None,
    progress: Progress | None = None,
) -> Usefulness:
    """Train on made, on real, and on both; test on the real held-out pictures of the run's cohort.

    which  a run of `glasslung train conditionalgan --set condition=class`
    UsageError for another run; DataError where a class is missing among training or held-out pictures.
    """
    chosen = asking or Asking()
    run = open_trained(which)
    if run.about["settings"].get("condition") != CONDITION:
        raise UsageError(f"{run.name} makes no classes; train conditionalgan with --set condition=class")
    parts = training_parts(run, cohort, progress)
    unseen = unseen_of(parts)
    if unseen is None:
        raise DataError("no picture was held out to test on; train with a split")
    _, group, images = sample_pictures(run.model, 2 * chosen.each, chosen.seed)
    made = Labelled(images, group == 1, np.arange(len(images)))
    real, test = _labelled(parts[TRAIN]), _labelled(unseen)
    rng = np.random.default_rng(chosen.seed)
    return train_on_made(made, real, test, rng=rng, fit=fit, draws=chosen.draws)


def _labelled(slices: SliceSet) -> Labelled:
    return Labelled(slices.images, slices.group == 1, slices.patient)
