"""Opening a classifier and asking it about an exam: probability, answers, distance, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import BODY, Exam
from glasslung.errors import DataError, UsageError
from glasslung.files import write_json
from glasslung.predict.diagnosing import (
    classifier_identity,
    diagnose,
    open_classifier,
    shipped_classifier,
)
from glasslung.predict.operating import OPERATING
from glasslung.types import Answer, Intensity, Standing
from made_classifiers import SIZE, lesion_classifier, told, write_classifier


def exam_of(share: float, slices: int = 6, intensity: Intensity = Intensity.HU, grey: int = 51) -> Exam:
    """Slices that are lung all over, of which so much is lesion."""
    shape = (slices, SIZE, SIZE)
    lesions = np.zeros(shape, np.uint8)
    lesions[:, : round(share * SIZE)] = 1
    grid = BoxGrid(tuple(slice(0, n) for n in shape), shape)
    return Exam(
        np.full(shape, grey, np.uint8), np.ones(shape, np.uint8), lesions, (3.0, 2.5, 2.5), grid, intensity
    )


def test_more_lesion_is_more_likely_and_every_figure_follows(tmp_path):
    asked = lesion_classifier(tmp_path)
    few, many = (diagnose(asked, exam_of(share)) for share in (0.0, 0.25))
    assert few.log_odds == -4 and many.log_odds == pytest.approx(6)
    assert few.raw == pytest.approx(1 / (1 + np.exp(4))) and few.probability == pytest.approx(
        1 / (1 + np.exp(2))
    )
    assert (few.answer, many.answer) == (Answer.UNLIKELY, Answer.LIKELY)
    assert (few.standing_words, many.standing_words) == ("other", "COVID-19")
    assert few.standing is Standing.OTHER and few.chances[0] < 0.1 < few.chances[1]
    assert few.percentile < many.percentile <= 100
    assert (few.classifier, few.validation.scans, few.trained_on) == ("by-lesions", 40, "phantom chests")
    assert few.explanation is None


def test_between_the_answers_it_cannot_tell_or_is_unlike_both(tmp_path):
    unsure = diagnose(lesion_classifier(tmp_path), exam_of(0.1))
    assert unsure.probability == pytest.approx(0.5, abs=0.05) and unsure.standing is Standing.EITHER
    sharp = [0.01 * n for n in range(20)]
    strict = lesion_classifier(tmp_path, conformal={"covid": sharp, "other": sharp})
    assert diagnose(strict, exam_of(0.1)).standing_words == "unlike what it learned"


def test_what_stands_against_believing_it_is_said(tmp_path):
    asked = lesion_classifier(tmp_path)
    assert diagnose(asked, exam_of(0.1)).doubts == ()
    assert diagnose(asked, exam_of(0.0)).doubts == ()  # healthy lungs have none: who drew them may doubt that
    far = diagnose(asked, exam_of(0.1, grey=255))
    assert far.percentile == 100 and "farther from the training scans than every" in far.doubts[0]
    assert "one slice" in diagnose(asked, exam_of(0.1, slices=1)).doubts[0]
    nothing = replace(asked, operating=replace(asked.operating, familiar=None))
    assert diagnose(nothing, exam_of(0.1)).percentile is None


def test_what_a_classifier_does_not_read_is_refused(tmp_path):
    asked = lesion_classifier(tmp_path)
    with pytest.raises(UsageError, match=r"by-lesions reads hu, .* display8: choose one for 8-bit"):
        diagnose(asked, exam_of(0.1, intensity=Intensity.DISPLAY8))
    with pytest.raises(UsageError, match=r"slices of 16 pixels, and this exam has 32 x 32"):
        diagnose(replace(asked, size=16), exam_of(0.1))
    with pytest.raises(UsageError, match="in the frame 'lungs', and this exam is in 'body'"):
        diagnose(asked, replace(exam_of(0.1), frame=BODY))
    empty = replace(exam_of(0.1), lungs=np.zeros((6, SIZE, SIZE), np.uint8))
    with pytest.raises(DataError, match="no slice of this exam shows lung"):
        diagnose(asked, empty)


@pytest.mark.parametrize("method", ["slicewise", "netvlad"])
def test_a_run_is_opened_and_asked(tmp_path, method):
    run = write_classifier(tmp_path / "run", method)
    asked = open_classifier(run)
    assert (asked.name, asked.method, asked.size, asked.intensity) == ("run", method, SIZE, Intensity.HU)
    told_once, told_again = (diagnose(asked, exam_of(0.2)) for _ in range(2))
    assert told_once == told_again and np.isfinite(told_once.log_odds) and 0 < told_once.probability < 1
    assert asked.ask(exam_of(0.2)) == told_once.log_odds and told_once.percentile is None


@pytest.mark.parametrize("method", ["i3d", "resnet2d"])
def test_a_run_that_reads_whole_bodies_is_opened_and_asked(tmp_path, method):
    settings = {"width": 0.125} | ({"depth": 4} if method == "i3d" else {})
    reads = {"lesions_by": "none", "frame": "body"}
    asked = open_classifier(write_classifier(tmp_path / "run", method, settings, reads=reads))
    found = diagnose(asked, replace(exam_of(0.2), frame=BODY))
    assert asked.operating.frame == BODY and np.isfinite(found.log_odds)
    assert "the whole body between -1350 and 150 HU" in found.shown
    with pytest.raises(UsageError, match="in the frame 'body', and this exam is in 'lungs'"):
        diagnose(asked, exam_of(0.2))


def test_its_identity_changes_with_how_it_is_read(tmp_path):
    run = write_classifier(tmp_path / "run")
    before, digest = classifier_identity(str(run)), open_classifier(run).digest
    assert classifier_identity(str(run)) == before
    write_json(run / "weights" / OPERATING, told(threshold=0.7, familiar=None))
    assert classifier_identity(str(run)) != before and open_classifier(run).digest != digest


def test_what_is_no_classifier(tmp_path):
    run = write_classifier(tmp_path / "run")
    (run / "weights" / OPERATING).unlink()
    with pytest.raises(DataError, match=r"no operating\.json"):
        open_classifier(run)
    with pytest.raises(UsageError, match=r"'usvae' classifies no scans; .*netvlad"):
        open_classifier("usvae")
    with pytest.raises(UsageError, match="there is no run"):
        open_classifier(tmp_path / "none")
    with pytest.raises(DataError, match="comes with the package"):
        open_classifier("no-such")


def test_what_ships_is_named_by_grey_values():
    for intensity in Intensity:
        name = shipped_classifier(intensity)
        assert name in (None, "diagnosis-hu", "diagnosis-8bit")
