"""Thumbnails on sheets: each is where the page looks for it."""

import io

import numpy as np
import pytest
from PIL import Image

from glasslung.web.explorer.atlas import make_atlases


@pytest.mark.parametrize(("count", "columns"), [(1, None), (10, None), (10, 2), (9, 3), (5, 2)])
def test_every_thumbnail_is_in_its_cell(count, columns):
    thumbs = np.random.default_rng(0).integers(0, 255, (count, 64, 64), np.uint8)
    made = make_atlases(thumbs, columns)
    sheets = [np.asarray(Image.open(io.BytesIO(png))) for png in made.pngs]
    assert [sheet.shape for sheet in sheets] == [(64 * rows, 64 * made.columns) for rows in made.rows]
    for row in range(count):
        place = row % made.per
        top, left = 64 * (place // made.columns), 64 * (place % made.columns)
        found = sheets[row // made.per][top : top + 64, left : left + 64]
        assert np.array_equal(found, thumbs[row])


def test_no_sheet_is_larger_than_every_chip_can_hold():
    made = make_atlases(np.zeros((4097, 64, 64), np.uint8))
    assert made.columns == 64 and made.rows == (64, 1)
