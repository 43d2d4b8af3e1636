import json

import numpy as np
import pytest
import torch

from glasslung.data.exambatches import (
    ExamBatches,
    SideBatches,
    on_all_slices,
    shown_slices,
    whole,
)
from glasslung.data.examviews import ExamViews
from glasslung.errors import DataError, UsageError
from made_exams import made_exam, made_exam_set


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_scan_that_is_asked_is_shown_with_all_its_lung_slices():
    exam = made_exam(7, sick=True)
    batch = whole(exam)
    assert batch.image.shape == (5, 1, 32, 32) and batch.label.tolist() == [-1]
    np.testing.assert_allclose(batch.image[:, 0].numpy() * 255, exam.image[1:-1], atol=1e-4)
    np.testing.assert_array_equal(batch.lesion[:, 0].numpy(), exam.lesions[1:-1] > 0)


def test_beyond_the_cap_slices_are_thinned_out_evenly():
    exam = made_exam(102)
    shown = shown_slices(exam, 10)
    assert len(shown) == 10 and set(np.diff(shown)) == {10}
    assert len(whole(exam, 10).image) == 10 and len(shown_slices(exam)) == 96
    assert shown_slices(exam, None).tolist() == list(range(1, 101))


def test_maps_of_thinned_slices_come_back_to_all_slices_by_the_nearer_one():
    maps = np.arange(1, 4, dtype=np.float32)[:, None, None] * np.ones((3, 2, 2), np.float32)
    back = on_all_slices(maps, np.array([2, 4, 8]), 10)[:, 0, 0]
    assert back.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 0]
    assert on_all_slices(maps[:1], np.array([0]), 1)[:, 0, 0].tolist() == [1]
    with pytest.raises(UsageError):
        on_all_slices(maps, np.array([1, 2]), 5)


def test_an_exam_without_lung_has_nothing_to_show():
    exam = made_exam(3)
    exam.lungs[:] = 0
    with pytest.raises(DataError, match="nothing to classify"):
        whole(exam)


def test_batches_are_balanced_and_every_scan_comes_before_any_again():
    exams = made_exam_set(4)
    stream = ExamBatches(exams, 2, rng(), slices=2)
    first, second = next(stream), next(stream)
    for batch in (first, second):
        assert batch.label.tolist() == [0, 0, 1, 1]
        assert all(int((batch.scan == scan).sum()) <= 2 for scan in range(4))
    pictures = {tuple(batch.image[batch.scan == scan][0].flatten().tolist())
                for batch in (first, second) for scan in range(4)}  # fmt: skip
    assert len(pictures) == 8


def test_slices_of_a_scan_are_drawn_one_from_each_part_of_its_length():
    exams = made_exam_set(1, slices=(42,))
    stream = ExamBatches(exams, 1, rng(), slices=4)
    exam = exams.exams[int(np.flatnonzero(exams.label == 1)[0])]
    seen = set()
    for _ in range(60):
        batch = next(stream)
        for part, one in enumerate(batch.image[batch.scan == 1][:, 0].numpy()):
            row = int(np.argmin(np.abs(exam.image / 255 - one).sum((1, 2))))
            assert 1 + 10 * part <= row <= 10 * (part + 1)
            seen.add(row)
    assert len(seen) > 30


@pytest.mark.parametrize("views", [None, ExamViews()])
@pytest.mark.parametrize("kind", ["exams", "sides"])
def test_a_stream_stops_and_goes_on_exactly(kind, views):
    exams = made_exam_set(3)

    def stream(seed):
        if kind == "exams":
            return ExamBatches(exams, 2, rng(seed), slices=2, views=views)
        return SideBatches(exams, 2, rng(seed), views)

    one = stream(1)
    for _ in range(3):
        next(one)
    state = json.loads(json.dumps(one.state()))
    other = stream(2)
    other.restore(state)
    for _ in range(4):
        left, right = next(one), next(other)
        assert torch.equal(left.image, right.image) and torch.equal(left.lesion, right.lesion)
        assert torch.equal(left.label, right.label)


def test_side_batches_hold_single_lung_slices_with_the_label_of_their_scan():
    batch = next(SideBatches(made_exam_set(3), 3, rng()))
    assert batch.image.shape == (6, 1, 32, 32) and batch.label.tolist() == [0, 0, 0, 1, 1, 1]
    assert (batch.image.flatten(1).amax(1) > 0).all()
    assert batch.lesion.flatten(1).amax(1).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_set_of_one_class_or_another_set_is_refused():
    exams = made_exam_set(3)
    with pytest.raises(DataError, match="scans with 'covid' and scans without"):
        ExamBatches(exams.take(np.flatnonzero(exams.label == 0)), 1, rng())
    stream = ExamBatches(exams, 1, rng())
    with pytest.raises(UsageError, match="give the same cohort"):
        ExamBatches(exams.take(range(4)), 1, rng()).restore(stream.state())
    with pytest.raises(UsageError):
        ExamBatches(exams, 0, rng())
    with pytest.raises(UsageError):
        ExamBatches(exams, 1, rng(), slices=0)
