"""Grids, neighbours and films keep every picture where it belongs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glasslung.data.picturesheet import GAP_GREY, as_film, as_png, beside_nearest, grid
from glasslung.errors import ShapeError, UsageError

IMAGES = np.linspace(0, 1, 5)[:, None, None] * np.ones((5, 4, 6))


def test_a_grid_holds_every_picture_and_lines_between():
    sheet = grid(IMAGES, 3)
    assert sheet.shape == (2 * 6 - 2, 3 * 8 - 2)
    assert (sheet[:4, 8:14] == 64).all() and (sheet[6:, 8:14] == 255).all()
    assert (sheet[4:6] == GAP_GREY).all() and (sheet[6:, 16:] == GAP_GREY).all()


def test_made_pictures_stand_over_their_neighbours():
    sheet = beside_nearest(IMAGES[:2], IMAGES[3:], 2)
    assert sheet[0, 0] == 0 and sheet[4, 0] == 191
    with pytest.raises(ShapeError):
        beside_nearest(IMAGES, IMAGES[:2])


def test_a_png_carries_its_facts():
    with Image.open(io.BytesIO(as_png(grid(IMAGES), {"glasslung": "synthetic"}))) as picture:
        assert picture.text == {"glasslung": "synthetic"} and picture.mode == "L"


def test_a_film_goes_there_and_back():
    with Image.open(io.BytesIO(as_film(IMAGES, zoom=3))) as film:
        assert film.n_frames == 8 and film.size == (18, 12)
        film.seek(4)
        assert np.asarray(film.convert("L")).min() == 255
        film.seek(5)
        assert abs(int(np.asarray(film.convert("L"))[0, 0]) - 191) <= 2
    with Image.open(io.BytesIO(as_film(IMAGES, back=False))) as film:
        assert film.n_frames == 5
    with pytest.raises(UsageError):
        as_film(IMAGES[:1])
