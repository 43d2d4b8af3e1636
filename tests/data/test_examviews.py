from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.exams import BODY
from glasslung.data.examviews import STRONG, ExamViews, changed
from glasslung.errors import UsageError
from made_exams import made_exam

STILL = ExamViews(0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_look_that_may_not_stray_is_the_exam_itself():
    exam = made_exam(5, sick=True)
    same = changed(exam, np.arange(5), STILL, np.random.default_rng(0))
    for name in ("image", "lungs", "lesions"):
        np.testing.assert_array_equal(getattr(same, name), getattr(exam, name))


def test_mirrored_lungs_change_their_sides_and_lesions_go_with_them():
    exam = made_exam(3, sick=True)
    turned = changed(exam, np.array([1]), ExamViews(1.0, 0.0, 0.0, 0.0, 0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(turned.image, exam.image[1:2, :, ::-1])
    np.testing.assert_array_equal(turned.lesions, exam.lesions[1:2, :, ::-1])
    assert (turned.lungs[exam.lungs[1:2, :, ::-1] == 1] == 2).all()


def test_one_draw_moves_all_slices_and_their_lesions_alike():
    exam = made_exam(4, sick=True)
    views = ExamViews(0.0, 12.0, 0.1, 0.2, 0.0)
    look = changed(exam, np.array([1, 1, 2]), views, np.random.default_rng(1))
    np.testing.assert_array_equal(look.lesions[0], look.lesions[1])
    assert not np.array_equal(look.lesions[0], exam.lesions[1])
    assert (
        look.image[look.lesions > 0].mean() > 150 > look.image[(look.lungs > 0) & (look.lesions == 0)].mean()
    )


def test_outside_the_lungs_stays_black_through_window_blur_and_noise():
    exam = made_exam(5, sick=True)
    for seed in range(5):
        look = changed(exam, np.arange(5), STRONG, np.random.default_rng(seed))
        assert look.image[look.lungs == 0].max() == 0
        assert look.image.shape == exam.image.shape == look.grid.shape


def test_impossible_looks_are_refused():
    for wrong in ({"mirror": 2.0}, {"turn_deg": -1.0}, {"scale": 1.0}, {"noise": -0.1}):
        with pytest.raises(UsageError):
            ExamViews(**wrong)


def test_a_whole_body_keeps_what_lies_around_the_lungs():
    exam = made_exam(3, sick=True)
    body = replace(exam, image=np.where(exam.lungs > 0, exam.image, 200).astype(np.uint8), frame=BODY)
    look = changed(body, np.arange(3), ExamViews(0.5, 8.0, 0.0, 0.0, 0.05), np.random.default_rng(2))
    assert (look.image[look.lungs == 0] > 150).mean() > 0.8 and look.frame == BODY
