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


def kinds_of(grey: np.ndarray) -> dict[str, tuple[Image.Image, float]]:
    """One picture (H, W) uint8 in every kind of file, and by how many greys of 255 each may be off."""
    rgb, opaque = np.repeat(grey[..., None], 3, 2), np.full_like(grey, 255)
    return {
        "l.png": (Image.fromarray(grey), 0.0),
        "rgb.png": (Image.fromarray(rgb), 0.0),
        "rgba.png": (Image.fromarray(np.dstack([rgb, opaque])), 0.0),
        "la.png": (Image.fromarray(np.dstack([grey, opaque])), 0.0),
        "p.png": (Image.fromarray(grey).convert("P"), 0.0),
        "i16.png": (Image.fromarray(grey.astype(np.uint16) * 257), 0.0),
        "i16.tif": (Image.fromarray(grey.astype(np.uint16) * 257), 0.0),
        "l.tif": (Image.fromarray(grey), 0.0),
        "f.tif": (Image.fromarray(grey.astype(np.float32) / 255), 0.0),
        "l.jpg": (Image.fromarray(grey), 6.0),
        "rgb.jpg": (Image.fromarray(rgb), 6.0),
        "rgb.bmp": (Image.fromarray(rgb), 0.0),
    }


KINDS = kinds_of(RAMP)


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
def test_a_real_slice_is_the_same_greys_in_every_kind_of_file(real, tmp_path):
    """Kinds that the collections at hand do not hold: their own slices, saved anew."""
    paths = [
        *sorted(real.glob("ucsd_covid_ct/CT_*/*"))[:120:40],
        *sorted(real.glob("cage/ncp/**/*.jp*g"))[:1],
    ]
    assert len(paths) == 4
    for number, path in enumerate(paths):
        grey = np.rint(read_unit_grey(path) * 255).astype(np.uint8)
        for name, (picture, tolerance) in kinds_of(grey).items():
            if name.endswith(".jpg"):
                continue  # lossy: how much, depends on the slice
            picture.save(tmp_path / f"{number}-{name}")
            found = read_unit_grey(tmp_path / f"{number}-{name}")
            assert np.abs(found * 255 - grey).max() <= tolerance + 1e-3, (path.name, name)
        Image.fromarray(grey > 127).save(tmp_path / f"{number}-1.png")
        assert np.array_equal(read_unit_grey(tmp_path / f"{number}-1.png"), (grey > 127).astype(np.float32))


@pytest.mark.real
def test_real_files_of_every_kind_reach_black_and_white(real):
    """Fails where a kind of file is scaled by the wrong white: the literal scaling, for all of them."""
    kinds: dict[tuple[str, str], list] = {}
    for path in [*sorted(real.glob("ucsd_covid_ct/CT_*/*")), *sorted(real.glob("cage/**/*.jp*g"))[:20]]:
        with Image.open(path) as picture:
            kinds.setdefault((str(picture.format), picture.mode), []).append(path)
    assert {("PNG", "L"), ("PNG", "RGB"), ("JPEG", "RGB"), ("JPEG", "L")} <= kinds.keys()
    for files in kinds.values():
        values = np.concatenate([read_unit_grey(path).ravel() for path in files[:8]])[None, None]
        check_greys(values)
        assert signed_grey(values).min() < -0.95 and signed_grey(values).max() > 0.9
        with pytest.raises(DataError, match="black"):
            check_greys(unsigned_grey(literal_scaling(values)))
