"""Every kind of picture file on one scale, and the scaling that left a training set black."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from glasslung.data.greyranges import (
    check_greys,
    literal_scaling,
    read_unit_grey,
    signed_grey,
    unit_grey,
    unsigned_grey,
)
from glasslung.errors import DataError, ShapeError

RAMP = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
RGB = np.repeat(RAMP[..., None], 3, 2)
KINDS = {
    "l.png": (Image.fromarray(RAMP), 0.0),
    "rgb.png": (Image.fromarray(RGB), 0.0),
    "rgba.png": (Image.fromarray(np.dstack([RGB, np.full_like(RAMP, 255)])), 0.0),
    "la.png": (Image.fromarray(np.dstack([RAMP, np.full_like(RAMP, 255)])), 0.0),
    "p.png": (Image.fromarray(RAMP).convert("P"), 0.0),
    "i16.png": (Image.fromarray(RAMP.astype(np.uint16) * 257), 0.0),
    "i16.tif": (Image.fromarray(RAMP.astype(np.uint16) * 257), 0.0),
    "f.tif": (Image.fromarray(RAMP.astype(np.float32) / 255), 0.0),
    "l.jpg": (Image.fromarray(RAMP), 6.0),
    "rgb.jpg": (Image.fromarray(RGB), 6.0),
    "rgb.bmp": (Image.fromarray(RGB), 0.0),
}


@pytest.mark.parametrize("name", KINDS)
def test_one_picture_is_the_same_greys_in_every_kind_of_file(name, tmp_path):
    picture, tolerance = KINDS[name]
    picture.save(tmp_path / name)
    found = read_unit_grey(tmp_path / name)
    assert found.dtype == np.float32 and found.shape == RAMP.shape
    assert np.abs(found * 255 - RAMP).max() <= tolerance + 1e-3
    assert signed_grey(found).min() == pytest.approx(-1, abs=0.05)
    assert signed_grey(found).max() == pytest.approx(1, abs=0.05)
    check_greys(found[None])
    with pytest.raises(DataError, match="as good as black"):
        check_greys(unsigned_grey(literal_scaling(found))[None])


def test_a_picture_of_two_greys_is_black_and_white(tmp_path):
    Image.fromarray(RAMP > 127).save(tmp_path / "one.png")
    found = read_unit_grey(tmp_path / "one.png")
    assert set(np.unique(found)) == {0.0, 1.0}


def test_the_literal_scaling_is_the_released_formula_on_values_up_to_one():
    literal = literal_scaling(np.linspace(0, 1, 5, dtype=np.float64))
    assert literal[0] == -1 and literal[-1] == pytest.approx(-0.99216, abs=1e-5)
    assert literal_scaling(np.array([0.0, 255.0])) == pytest.approx([-1, 1])  # what it was written for


def test_signed_and_unsigned_are_each_other_s_way_back_for_arrays_and_tensors():
    unit = np.random.default_rng(0).random((3, 4))
    assert unsigned_grey(signed_grey(unit)) == pytest.approx(unit)
    one = torch.linspace(0, 1, 5)
    assert torch.allclose(unsigned_grey(signed_grey(one)), one)


def test_twelve_bits_in_sixteen_are_told_by_their_white(tmp_path):
    Image.fromarray(RAMP.astype(np.uint16) * 16).save(tmp_path / "deep.png")
    dark = read_unit_grey(tmp_path / "deep.png")
    with pytest.raises(DataError, match="grey value that is white"):
        check_greys(dark[None])
    assert read_unit_grey(tmp_path / "deep.png", white=4080.0) == pytest.approx(RAMP / 255, abs=1e-6)


def test_values_beyond_the_scale_are_refused_and_the_file_is_named(tmp_path):
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "wide.tif")
    with pytest.raises(DataError, match=r"wide\.tif.*beyond 0"):
        read_unit_grey(tmp_path / "wide.tif")
    with pytest.raises(DataError, match="beyond 0"):
        unit_grey(np.array([-1, 5], np.int32))
    with pytest.raises(DataError, match="not known"):
        unit_grey(np.array([1j]))
    with pytest.raises(DataError, match="above 0"):
        unit_grey(np.array([1], np.uint8), white=0)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    with pytest.raises(DataError, match=r"broken\.png"):
        read_unit_grey(tmp_path / "broken.png")


def test_a_constant_set_is_refused_and_a_wrong_shape_too():
    with pytest.raises(DataError, match="constant"):
        check_greys(np.full((2, 8, 8), 0.5, np.float32))
    with pytest.raises(ShapeError):
        check_greys(np.zeros((8, 8), np.float32))


@pytest.mark.real
def test_real_files_of_every_kind_reach_black_and_white(real):
    """Fails where a kind of file is scaled by the wrong white: the literal scaling, for all of them."""
    folder = real / "ucsd_covid_ct"
    kinds: dict[tuple[str, str], list] = {}
    for path in sorted(folder.glob("CT_*/*")):
        with Image.open(path) as picture:
            kinds.setdefault((str(picture.format), picture.mode), []).append(path)
    assert {("PNG", "L"), ("PNG", "RGB"), ("JPEG", "RGB")} <= kinds.keys()
    for files in kinds.values():
        values = np.concatenate([read_unit_grey(path).ravel() for path in files[:8]])[None, None]
        check_greys(values)
        assert signed_grey(values).min() < -0.95 and signed_grey(values).max() > 0.9
        with pytest.raises(DataError, match="black"):
            check_greys(unsigned_grey(literal_scaling(values)))
