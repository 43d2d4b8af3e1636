"""A world in which everyone's other days are known: phantoms, seen once to train on, always for the truth.

Training is as cross-sectional as a hospital's archive: nobody is seen twice, and the healthy are other
people. The people of the truth are seen by no training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.phantom import Patient, draw_patient, slices
from glasslung.data.slices import SliceSet
from glasslung.errors import UsageError
from glasslung.types import Progress

AGES = 4
GROUP_DAYS = ((0, 4), (5, 9), (10, 14))  # days since the first symptom of the groups 1 to 3, both included
TRUTH_DAYS = (2.0, 7.0, 12.0)  # on which the people of the truth are seen
WHITE = 255.0


@dataclass(frozen=True, eq=False)
class Truth:
    """The same M people at every age; row 0 of the ages: never ill, 1 to 3: on `TRUTH_DAYS`.

    images   (4, M, S, S) float32 in [0, 1]
    lungs    (4, M, S, S) bool
    lesions  (4, M, S, S) bool
    """

    images: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray

    @property
    def people(self) -> int:
        """How many there are."""
        return int(self.images.shape[1])

    def days(self, age: int) -> np.ndarray:
        """Days on which the people are seen at one age, (M,) float32; NaN for never ill."""
        return np.full(self.people, np.nan if age == 0 else TRUTH_DAYS[age - 1], np.float32)


@dataclass(frozen=True, eq=False)
class World:
    """What is trained on, and what is true."""

    training: SliceSet
    truth: Truth


def draw_world(each: int, people: int, seed: int, size: int = 64, progress: Progress | None = None) -> World:
    """Draw `each` people for every age to train on, and `people` others whose whole course is kept.

    Takes about 0.04 s of one core for each slice: 4 `each` + 4 `people` of them.
    """
    if each < 1 or people < 1:
        raise UsageError("a world needs people to train on and people to test on: 1 or more of each")
    rng = np.random.default_rng(seed)
    persons = rng.choice(2**40, size=AGES * each + people, replace=False)
    patients = [draw_patient(int(person)) for person in persons]
    training = _cross_section(patients[: AGES * each], each, size, rng, progress)
    return World(training, _whole_course(patients[AGES * each :], size, progress))


def _cross_section(
    patients: list[Patient], each: int, size: int, rng: np.random.Generator, progress: Progress | None
) -> SliceSet:
    """Everyone once: the first `each` never ill, the next at an early day, ..."""
    images, days = [], []
    group = np.repeat(np.arange(AGES), each)
    for row, (patient, age) in enumerate(zip(patients, group, strict=True)):
        if progress:
            progress("drawing people to train on", row / len(patients))
        day = float(rng.integers(GROUP_DAYS[age - 1][0], GROUP_DAYS[age - 1][1] + 1)) if age else 0.0
        images.append(slices([patient], [day], size, disease=bool(age > 0)).grey[0])
        days.append(day if age else np.nan)
    names = tuple(patient.name for patient in patients)
    scaled = np.stack(images).astype(np.float32) / WHITE
    return SliceSet(
        scaled, group.astype(np.int64), np.array(days, np.float32), np.arange(len(patients)), names, names
    )


def _whole_course(patients: list[Patient], size: int, progress: Progress | None) -> Truth:
    never = slices(patients, [0.0], size, disease=False)
    ill = slices(patients, TRUTH_DAYS, size, progress=progress)
    shape = (len(patients), len(TRUTH_DAYS), size, size)

    def by_age(healthy: np.ndarray, sick: np.ndarray) -> np.ndarray:
        return np.concatenate([healthy[None], sick.reshape(shape).swapaxes(0, 1)])

    return Truth(
        by_age(never.grey, ill.grey).astype(np.float32) / WHITE,
        by_age(never.lungs, ill.lungs) > 0,
        by_age(never.lesions, ill.lesions) > 0,
    )
