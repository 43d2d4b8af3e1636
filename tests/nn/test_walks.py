"""Ways between codes, and codes of pictures that were made, found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import build
from glasslung.nn.making import make_pictures
from glasslung.nn.walks import Search, find_codes, show_stages, show_walk, stage_shares, walk

A, B = np.array([3.0, 0.0, 0.0]), np.array([0.0, 2.0, 0.0])


def test_ways_begin_and_end_where_they_should_and_spheres_keep_the_length():
    for way in ("linear", "spherical"):
        codes = walk(A, B, 5, way)
        assert codes.shape == (5, 3) and codes.dtype == np.float32
        assert codes[0] == pytest.approx(A) and codes[-1] == pytest.approx(B)
    assert walk(A, B, 3, "linear")[1] == pytest.approx([1.5, 1, 0])
    unit = walk(A / 3, B / 2, 7)
    assert np.linalg.norm(unit, axis=1) == pytest.approx(1)
    steps = np.diff(np.arccos(np.clip(unit @ (A / 3), -1, 1)))
    assert steps == pytest.approx(np.pi / 12, abs=1e-3)


def test_halfway_between_normal_codes_a_straight_way_is_too_short():
    a, b = np.random.default_rng(0).normal(size=(2, 4000))
    straight, round_ = (np.linalg.norm(walk(a, b, 3, way)[1]) / 4000**0.5 for way in ("linear", "spherical"))
    assert straight == pytest.approx(2**-0.5, abs=0.03) and round_ == pytest.approx(1, abs=0.03)


def test_equal_codes_stay_and_opposite_ones_are_refused():
    assert walk(A, 2 * A, 3)[1] == pytest.approx(1.5 * A)
    with pytest.raises(UsageError, match="opposite"):
        walk(A, -A, 3)
    with pytest.raises(ShapeError):
        walk(A, B[:2], 3)
    with pytest.raises(UsageError, match="2 steps"):
        walk(A, B, 1)


def test_shares_lead_through_every_stage():
    shares = stage_shares(3, 5)
    assert shares == pytest.approx(np.array([[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]))
    with pytest.raises(UsageError):
        stage_shares(1, 5)


def test_pictures_along_a_way_and_through_stages():
    model = build("conditionalgan", 0, size=16, width=8, codes=6, condition="age")
    codes = walk(*np.random.default_rng(1).normal(size=(2, 6)), 4)
    images = show_walk(model, codes, 2)
    assert images.shape == (4, 16, 16)
    stages = show_stages(model, codes[0], 4)
    for group in range(4):
        assert stages[group] == pytest.approx(make_pictures(model, codes[:1], np.array([group]))[0], abs=1e-5)
    with pytest.raises(UsageError, match="interpolation"):
        show_stages(build("leangan", 0, size=16, width=8, codes=6), codes[0], 4)


def test_a_made_picture_s_code_is_found_again_and_nothing_is_moved():
    model = build("leangan", 3, size=16, width=8, codes=3)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    codes = np.random.default_rng(2).normal(size=(3, 3))
    images = make_pictures(model, codes)
    found = find_codes(model, images, search=Search(steps=80, starts=3))
    assert found.how == "optimised" and (found.error < 0.25 * images.std((1, 2)).clip(0.02)).all()
    assert found.shown == pytest.approx(make_pictures(model, found.codes), abs=1e-5)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    again = find_codes(model, images, search=Search(steps=80, starts=3))
    assert np.array_equal(again.codes, found.codes)


def test_a_reconstructor_is_asked_unless_a_search_is_wished():
    model = build("veegan", 0, size=16, width=8, codes=4)
    images = np.random.default_rng(0).random((2, 16, 16)).astype(np.float32)
    found = find_codes(model, images)
    assert found.how == "reconstructor" and found.codes.shape == (2, 4) and (found.error >= 0).all()
    searched = find_codes(model, images, search=Search(steps=30, starts=1))
    assert searched.how == "optimised"
    with pytest.raises(ShapeError):
        find_codes(model, images[0])
