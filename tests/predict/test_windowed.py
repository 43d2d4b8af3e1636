"""Other windows: near an exam made through them, the stored one at none, pictures made again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.exams import BODY, LUNGS
from glasslung.errors import ShapeError, UsageError
from glasslung.predict.exams import make_exam
from glasslung.predict.windowed import (
    WindowedPicture,
    WindowedScan,
    draw_windows,
    shifted,
    windowed,
    windowed_scan,
)
from made_volumes import chest, eight_bit, volume_of

SIZE = 32


def scan(frame=LUNGS):
    hu, lungs, lesions = chest(3)
    volume = volume_of(hu)
    return volume, lungs, lesions, windowed(volume, lungs, lesions, SIZE, frame)


@pytest.mark.parametrize("frame", [LUNGS, BODY], ids=["lungs", "body"])
@pytest.mark.parametrize("shift", [(1e-9, 0.0), (120.0, -150.0), (-200.0, 300.0)])
def test_another_window_shows_what_an_exam_made_through_it_would(frame, shift):
    volume, lungs, lesions, seen = scan(frame)
    assert isinstance(seen, WindowedScan)
    found = seen.at(*shift)
    other = replace(frame, window_hu=shifted(frame.window_hu, *shift))
    wanted = make_exam(volume, lungs, lesions, SIZE, other)
    departs = np.abs(found.image.astype(int) - wanted.image)
    assert departs.mean() < 1.0
    assert np.quantile(departs, 0.95) <= 4
    moved = np.abs(seen.exam.image.astype(int) - wanted.image)[wanted.image > 0].mean()
    assert abs(shift[0]) < 1 or moved > 5 * departs.mean()  # it is the window that moved, not an error
    np.testing.assert_array_equal(found.lungs, wanted.lungs)
    np.testing.assert_array_equal(found.lesions, wanted.lesions)
    assert found.frame == frame


def test_at_no_shift_the_stored_exam_comes_back():
    _, _, _, seen = scan()
    assert seen.at(0.0, 0.0) is seen.exam
    assert not seen.at(80.0, 0.0).image[seen.exam.lungs == 0].any()


def test_a_voxel_is_the_share_of_lung_in_it_seen_through_the_window():
    """By hand, of a box where two voxels make one of the exam: one of lung, one outside."""
    hu = np.full((1, 32, 32), -500, np.int16)
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[:, :, 1:31] = 1
    volume = volume_of(hu)
    exam = make_exam(volume, lungs, 0 * lungs, 16)
    seen = windowed_scan(volume, lungs, exam)
    assert set(np.unique(seen.hu)) <= {0, -500}
    full = seen.filled > 0.999
    low, high = shifted(LUNGS.window_hu, 100.0, 200.0)
    expected = round((-500 - low) * 255 / (high - low))
    assert set(seen.at(100.0, 200.0).image[full & (exam.lungs > 0)]) == {expected}
    edge = (seen.filled > 0.1) & (seen.filled < 0.9) & (exam.lungs > 0)
    assert edge.any()
    near = np.rint(seen.filled[edge] * expected)
    assert np.abs(seen.at(100.0, 200.0).image[edge] - near).max() <= 1


def test_a_higher_window_is_darker_and_a_wider_one_has_less_contrast():
    for seen in (scan()[3], picture()):
        inside = seen.exam.lungs > 0
        true = seen.exam.image[inside].astype(float)
        if isinstance(seen, WindowedScan):
            assert seen.at(200.0, 0.0).image[inside].mean() < true.mean() - 10
            assert seen.at(-200.0, 0.0).image[inside].mean() > true.mean() + 10
            assert seen.at(0.0, 600.0).image[inside].std() < 0.9 * true.std()


def picture():
    hu, lungs, lesions = chest(3)
    some = slice(8, 11)
    volume = volume_of(eight_bit(hu)[some])
    return windowed(volume, lungs[some], lesions[some], SIZE)


def test_a_picture_is_made_again_as_if_255_steps_were_1400_hu():
    seen = picture()
    assert isinstance(seen, WindowedPicture)
    assert seen.at(0.0, 0.0) is seen.exam
    found = seen.at(140.0, 0.0)  # a tenth of the window: 25.5 steps darker
    grey = np.clip(np.rint(seen.volume.voxels - 25.5 + 1e-4), 0, 255).astype(np.uint8)
    wanted = make_exam(replace(seen.volume, voxels=grey), seen.lungs, seen.lesions, SIZE)
    assert np.abs(found.image.astype(int) - wanted.image).mean() < 1
    np.testing.assert_array_equal(found.lungs, seen.exam.lungs)


def test_draws_have_the_law_they_are_asked_for_and_no_impossible_window():
    drawn = draw_windows(4000, 100.0, (-1000.0, 400.0), np.random.default_rng(0))
    assert drawn.shape == (4000, 2)
    np.testing.assert_allclose(drawn.mean(0), 0, atol=6)
    np.testing.assert_allclose(drawn.std(0), 100, rtol=0.04)
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.06
    same = draw_windows(4000, 100.0, (-1000.0, 400.0), np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, same)
    wild = draw_windows(4000, 700.0, (-1000.0, 400.0), np.random.default_rng(0))
    assert (1400 + wild[:, 1] >= 350).all()


def test_what_no_window_can_be_is_refused():
    _, _, _, seen = scan()
    with pytest.raises(UsageError, match="next to nothing"):
        seen.at(0.0, -1200.0)
    with pytest.raises(UsageError, match="above 0"):
        draw_windows(5, 0.0, (-1000.0, 400.0), np.random.default_rng(0))
    with pytest.raises(UsageError, match="too much"):
        draw_windows(5, 900.0, (-1000.0, 400.0), np.random.default_rng(0))
    with pytest.raises(ShapeError):
        windowed_scan(picture().volume, picture().lungs, picture().exam)


@pytest.mark.real
def test_of_a_patients_scan_the_shipped_classifier_answers_as_of_an_exam_made_through_that_window(real):
    from glasslung.data.formats import read_scan
    from glasslung.data.givenmasks import given_lungs
    from glasslung.predict.diagnosing import open_classifier

    volume = read_scan(real / "chest_ct_hu" / "lung1-001_ct.nii.gz")
    lungs = given_lungs(real / "chest_ct_hu" / "lung1-001_mask.nii.gz", volume).lungs.mask
    classifier = open_classifier("diagnosis-hu")
    lesions = np.zeros_like(lungs)
    seen = windowed(volume, lungs, lesions, classifier.size)
    for shift in ((1e-9, 0.0), (100.0, -100.0), (-100.0, 100.0)):
        found = seen.at(*shift)
        other = replace(LUNGS, window_hu=shifted(LUNGS.window_hu, *shift))
        wanted = make_exam(volume, lungs, lesions, classifier.size, other)
        inside = wanted.lungs > 0
        assert np.abs(found.image.astype(int) - wanted.image)[inside].mean() < 1.5
        asked = classifier.ask(replace(wanted, frame=LUNGS))
        assert classifier.ask(found) == pytest.approx(asked, abs=0.05)
