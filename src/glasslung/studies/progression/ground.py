"""What a study stands on: slices to train on, slices that no model was trained on, and what is known of them.

phantom   people who were never scanned; those to test on are seen at every age, so the truth is known
cohort    scans of patients, split by patient; each was seen once, so no single forecast can be checked
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.slices import GROUP_NAMES, PAPER_SIZE, SliceSet, split_slices
from glasslung.errors import DataError
from glasslung.files import whole_file
from glasslung.studies.progression.agingworld import AGES, Truth, World, draw_world
from glasslung.studies.progression.contest import Unseen
from glasslung.studies.training import PART, dealt, describe, load_slices
from glasslung.types import Progress

TEST = "test"
LEAST_TRAINING, LEAST_UNSEEN = 2, 4  # slices and patients of each age: a spread needs two, halves need four
SPLIT_SEED = 0  # of a cohort without a split: all studies of one cohort are read against the same patients


@dataclass(frozen=True, eq=False)
class Ground:
    """What is trained on and what is asked.

    name      'phantom', or the cohort's
    training  slices that every method is trained on
    unseen    slices by age that none was trained on
    scored    the same as one set, nobody in it at two ages: for figures with intervals over patients
    whole     all slices of the cohort, or those of the training: for its limits
    world     the phantoms' truth; None for a cohort
    cohort    None for phantoms
    """

    name: str
    training: SliceSet
    unseen: Unseen
    scored: SliceSet
    whole: SliceSet
    world: World | None = None
    cohort: Cohort | None = None

    def told(self) -> dict[str, Any]:
        """Counts and hashes as plain values: equal for equal slices."""
        return {
            "name": self.name,
            "training": describe(self.training),
            "unseen": describe(self.scored),
            "days known": bool(np.isfinite(self.whole.day[self.whole.group > 0]).all()),
        }


# ---------------------------------------------------------------------------------------------- a cohort


def cohort_ground(path: Path) -> Ground:
    """A cohort split by patient: trained on 'train', asked about 'test'; 'val' is left alone.

    DataError, naming the age, where an age has too few slices to train on or too few patients to ask about.
    """
    cohort, slices = load_slices(path, PAPER_SIZE)
    parts = split_slices(slices, dealt(cohort, SPLIT_SEED))
    absent = [name for name in (PART, TEST) if name not in parts]
    if absent:
        raise DataError(
            f"the split of {cohort.name} has no part {absent[0]!r}; write one with `glasslung split`, or "
            "leave the column 'split' away and it is made here"
        )
    _check_ages(cohort.name, parts[PART], parts[TEST])
    return Ground(cohort.name, parts[PART], Unseen.of_slices(parts[TEST]), parts[TEST], slices, cohort=cohort)


def _check_ages(name: str, training: SliceSet, unseen: SliceSet) -> None:
    for age, word in enumerate(GROUP_NAMES):
        count = int((training.group == age).sum())
        people = len(set(unseen.patient[unseen.group == age].tolist()))
        if count < LEAST_TRAINING or people < LEAST_UNSEEN:
            raise DataError(
                f"{name} has {count} slice(s) of {word} to train on and {people} patient(s) of {word} to "
                f"test on; the study needs {LEAST_TRAINING} and {LEAST_UNSEEN} of every age. Add scans, or "
                "split differently"
            )


# ---------------------------------------------------------------------------------------------- phantoms


def phantom_ground(each: int, people: int, seed: int, kept: Path, progress: Progress | None = None) -> Ground:
    """A world of phantoms, drawn once and kept in the file `kept`; `draw_world` says what is in it."""
    about = np.array([each, people, seed, PAPER_SIZE])
    world = _read_world(kept, about)
    if world is None:
        world = draw_world(each, people, seed, PAPER_SIZE, progress)
        _write_world(world, kept, about)
    truth = world.truth
    return Ground(
        "phantom", world.training, Unseen.of_truth(truth), once_each(truth), world.training, world=world
    )


def once_each(truth: Truth) -> SliceSet:
    """Each person of the truth at one age only, in turn: as a cohort would have seen them."""
    people = np.arange(truth.people)
    age = people % AGES
    names = tuple(f"person {number}" for number in people)
    day = np.array([truth.days(a)[0] for a in range(AGES)], np.float32)[age]
    return SliceSet(truth.images[age, people], age.astype(np.int64), day, people, names, names)


def _write_world(world: World, path: Path, about: np.ndarray) -> None:
    training, truth = world.training, world.truth
    arrays: Mapping[str, np.ndarray] = {
        "about": about,
        "images": np.rint(training.images * 255).astype(np.uint8),
        "group": training.group,
        "day": training.day,
        "names": np.array(training.patients),
        "truth": np.rint(truth.images * 255).astype(np.uint8),
        "lungs": np.packbits(truth.lungs, axis=-1),
        "lesions": np.packbits(truth.lesions, axis=-1),
    }
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _read_world(path: Path, about: np.ndarray) -> World | None:
    """The world that is kept; None where there is none, another one, or a damaged one."""
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as kept:
            if not np.array_equal(kept["about"], about):
                return None
            names = tuple(map(str, kept["names"]))
            training = SliceSet(
                kept["images"].astype(np.float32) / 255,
                kept["group"],
                kept["day"],
                np.arange(len(names)),
                names,
                names,
            )
            masks = (np.unpackbits(kept[name], axis=-1).astype(bool) for name in ("lungs", "lesions"))
            return World(training, Truth(kept["truth"].astype(np.float32) / 255, *masks))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
