from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import Exam, ExamSet
from glasslung.errors import DataError
from glasslung.studies.diagnosis.source import (
    GRAIN,
    GREYS,
    OUTLINE,
    grain_facts,
    outline_facts,
    source_only_auc,
    source_tells,
)
from glasslung.types import Intensity


def slice_of(wide: int, noise: float, grey: int, rng: np.random.Generator) -> Exam:
    """One slice of two lungs, `wide` pixels each."""
    lungs = np.zeros((1, 48, 48), np.uint8)
    lungs[:, 8:40, 4 : 4 + wide], lungs[:, 8:40, 44 - wide : 44] = 1, 2
    image = rng.normal(grey, noise, lungs.shape).clip(0, 255)
    grid = BoxGrid((slice(0, 1), slice(0, 48), slice(0, 48)), (1, 48, 48))
    image = np.where(lungs > 0, image, 0).astype(np.uint8)
    return Exam(image, lungs, np.zeros_like(lungs), (5.0, 2.0, 2.0), grid, Intensity.DISPLAY8)


def made_set(differ: str, count: int = 40) -> ExamSet:
    """Two classes that differ in one thing alone."""
    rng = np.random.default_rng(0)
    label = np.arange(count) % 2
    exams = tuple(
        slice_of(
            int(rng.integers(9, 15)) + 4 * (differ == OUTLINE) * one,
            4.0 + 6 * (differ == GRAIN) * one,
            100 + 30 * (differ == GREYS) * one,
            rng,
        )
        for one in label
    )
    names = tuple(str(n) for n in range(count))
    words = tuple(("other", "covid")[one] for one in label)
    return ExamSet(exams, label, words, names, ("",) * count, names, ("",) * count)


def test_each_kind_of_fact_tells_what_differs_and_no_more():
    for differ in (OUTLINE, GRAIN, GREYS):
        told = source_tells(made_set(differ), np.random.default_rng(0), draws=100)
        assert told[differ].value > 0.9 and told["all"].value > 0.9
        if differ != OUTLINE:
            assert told[OUTLINE].value < 0.75


def test_the_source_only_bar_does_not_see_the_inside_of_the_lungs():
    exams = made_set(GREYS)
    blind = source_only_auc(exams, np.random.default_rng(0), draws=100)
    assert blind.low < 0.6 < source_tells(exams, np.random.default_rng(0), (GREYS,), 100)[GREYS].low
    dark = tuple(replace(exam, image=np.zeros_like(exam.image)) for exam in exams.exams)
    assert source_only_auc(replace(exams, exams=dark), np.random.default_rng(0), draws=100) == blind


def test_facts_of_a_slice_without_lung_or_with_a_sliver_are_numbers():
    image, lungs = np.zeros((2, 32, 32), np.uint8)
    assert outline_facts(image, lungs)["lung_share"] == 0
    lungs[5, 5:20] = 1
    told = outline_facts(image, lungs) | grain_facts(image, lungs)
    assert np.isfinite(list(told.values())).all()
    assert told["lung_width"] == 15 / 32 and told["lung_balance"] == 1.0


def test_one_class_has_no_auc():
    exams = made_set(OUTLINE)
    with pytest.raises(DataError, match="a classifier needs"):
        source_only_auc(exams.take(np.flatnonzero(exams.label == 1)), np.random.default_rng(0))
