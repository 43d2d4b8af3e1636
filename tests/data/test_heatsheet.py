"""Maps of relevance as colour: more is lighter, both signs are told apart, none is clear."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from glasslung.data.heatsheet import AGAINST_RGB, BAR_PX, FOR_RGB, heat_rgba, heat_sheet
from glasslung.data.montage import TILE_PX
from glasslung.data.preview import heat_of, make_preview
from glasslung.types import Intensity, Lungs, MaskQuality, Volume


def test_more_relevance_is_lighter_and_less_clear():
    ramp = heat_rgba(np.arange(-127, 128, dtype=np.int8)[None])[0].astype(int)
    against, nothing, speaks = ramp[:127][::-1], ramp[127], ramp[128:]
    assert not nothing.any() and not ramp[126:129].any()  # faint relevance is not drawn at all
    for side, colours in ((speaks, FOR_RGB), (against, AGAINST_RGB)):
        assert tuple(side[-1, :3]) == colours[-1]
        drawn = side[side[:, 3] > 0]
        assert (np.diff(drawn[:, 3]) >= 0).all() and drawn[-1, 3] > 200
        grey = drawn[:, :3] @ np.array([0.299, 0.587, 0.114])
        assert grey[-1] > grey[0] + 60 and (np.diff(grey) > -2).all()
    assert (speaks[20:, 0] >= speaks[20:, 2]).all() and (against[20:, 2] >= against[20:, 0]).all()


def chest(relevance_at: tuple[int, ...]) -> bytes:
    shape = (30, 40, 40)
    mask = np.zeros(shape, np.uint8)
    mask[2:28, 8:32, 6:18], mask[2:28, 8:32, 22:34] = 1, 2
    affine = np.array([[0, 0, 5.0, 0], [0, 5.0, 0, 0], [10.0, 0, 0, 0], [0, 0, 0, 1.0]])
    volume = Volume(np.where(mask > 0, -850, 40).astype(np.int16), affine, Intensity.HU)
    heat = np.zeros(shape, np.float32)
    for z in relevance_at:
        heat[z, 10:30, 8:16] = 1.0
    lesions = np.zeros(shape, np.uint8)
    lesions[:, 12:20, 24:30] = 1
    lungs = Lungs(mask, MaskQuality(True, 1.0))
    return heat_sheet(make_preview(volume, lungs, None, lesions, heat_of(heat, 1.0)), "COVID-19")


def test_the_sheet_shows_each_slice_plain_and_with_its_map():
    picture = np.asarray(Image.open(io.BytesIO(chest((8,)))).convert("RGB")).astype(int)
    height, width = picture.shape[:2]
    assert width == 2 * TILE_PX
    plain, mapped = picture[: height - BAR_PX, :TILE_PX], picture[: height - BAR_PX, TILE_PX:]
    assert (np.ptp(plain, axis=2) < 8).all()  # grey
    coloured = np.ptp(mapped, axis=2) > 60
    assert 0.02 < coloured.mean() < 0.2 and coloured[:, : TILE_PX // 2].mean() > coloured.mean()
    assert (mapped == 255).all(axis=2).any()  # the lesions' outline


def test_two_pairs_to_a_row_and_a_sheet_without_any():
    four, none = (np.asarray(Image.open(io.BytesIO(chest(at)))) for at in ((3, 10, 16, 22), ()))
    assert four.shape[1] == 4 * TILE_PX and none.shape[:2] == (2 * BAR_PX, 2 * TILE_PX)
