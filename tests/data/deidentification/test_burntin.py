"""Text burnt into slices is found, and plain slices show none."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from glasslung.data.deidentification.burntin import TextSettings, has_burnt_in_text, text_rows


@pytest.fixture(scope="module")
def chest():
    """Slices of a phantom chest, 12 of them."""
    from glasslung.data.phantom import draw_patient, render

    return render(draw_patient(1), 5, shape=(12, 128, 128)).volume.voxels


def marked(pixels, value, size=12, at=(4, 4), smooth=False, text="Muster, Hans 1945"):
    picture = Image.new("L", pixels.shape[::-1])
    pen = ImageDraw.Draw(picture)
    pen.fontmode = "L" if smooth else "1"
    pen.text(at, text, fill=255, font=ImageFont.load_default(size))
    share = np.asarray(picture) / 255.0
    return (pixels * (1 - share) + value * share).astype(pixels.dtype)


def test_plain_slices_show_no_text(chest):
    assert sum(has_burnt_in_text(pixels) for pixels in chest) == 0


@pytest.mark.parametrize("size", [9, 14, 24])
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("at", [(4, 4), (20, 64)])
def test_white_text_is_found_wherever_it_stands(chest, size, smooth, at):
    found = sum(has_burnt_in_text(marked(pixels, 3071, size, at, smooth)) for pixels in chest[::3])
    assert found == 4


def test_black_text_over_the_body_is_found(chest):
    assert has_burnt_in_text(marked(chest[6], -3000, 14, (20, 64)))


def test_text_in_pictures_of_8_bits_is_found(chest):
    grey = ((chest[5].clip(-1200, 400) + 1200) / 1600 * 255).astype(np.uint8)
    assert not has_burnt_in_text(grey)
    assert has_burnt_in_text(marked(grey, 255))


def test_a_mark_for_a_side_is_no_text(chest):
    assert not has_burnt_in_text(marked(chest[5], 3071, text="R"))


@pytest.mark.parametrize(
    "pixels", [np.zeros((8, 8)), np.full((1, 1), 7), np.eye(40) * 1000, np.ones((600, 2))]
)
def test_odd_slices_show_none(pixels):
    assert not has_burnt_in_text(pixels)


def test_rows_tell_where_the_letters_are():
    pixels = marked(np.zeros((60, 200), np.int16), 1000, at=(20, 30), text="ABCDEF")
    row = max(text_rows(pixels, TextSettings()), key=len)
    assert len(row) == 6
    assert row[0].left < row[-1].left and all(30 <= mark.top < 48 for mark in row)
