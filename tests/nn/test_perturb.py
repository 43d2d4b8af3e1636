"""Looks change, places do not; boxes have the area and the place that they say."""

from __future__ import annotations

import pytest
import torch

from glasslung.nn.perturb import SHARE, change_greys, draw_boxes, mix


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_strength_0_changes_nothing(rng):
    image = torch.rand(3, 1, 16, 20, generator=rng)
    assert torch.allclose(change_greys(image, rng, 0.0), image, atol=1e-6)


def test_greys_change_and_stay_greys_and_edges_stay_where_they_are(rng):
    image = torch.zeros(64, 1, 16, 16)
    image[..., 8:] = 0.6
    image += 0.2
    changed = change_greys(image, rng)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (changed - image).abs().flatten(1).mean(1).median() > 0.03
    left, right = changed[..., :6].mean((1, 2, 3)), changed[..., 10:].mean((1, 2, 3))
    assert (right > left).all()  # brighter stays brighter


def test_the_same_generator_gives_the_same_look():
    image = torch.rand(2, 1, 8, 8)
    looks = [change_greys(image, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*looks)


def test_boxes_have_the_area_they_should(rng):
    boxes = draw_boxes(400, 60, 80, rng, torch.device("cpu"))
    area = boxes.float().mean((1, 2))
    assert area.min() > 0.6 * SHARE[0]
    assert area.max() < 1.15 * SHARE[1]
    for box in boxes[:20]:  # a box is a box
        rows, columns = box.any(1), box.any(0)
        assert torch.equal(box, rows[:, None] & columns[None])


def test_boxes_reach_every_place(rng):
    assert draw_boxes(2000, 32, 32, rng, torch.device("cpu")).any(0).all()


def test_mix_takes_the_box_from_the_other_picture_and_its_label(rng):
    boxes = draw_boxes(4, 12, 12, rng, torch.device("cpu"))
    picture = mix(torch.zeros(4, 2, 12, 12), torch.ones(4, 2, 12, 12), boxes)
    label = mix(torch.zeros(4, 12, 12, dtype=torch.long), torch.ones(4, 12, 12, dtype=torch.long), boxes)
    assert torch.equal(picture[:, 0].bool(), boxes)
    assert torch.equal(picture[:, 1].bool(), boxes)
    assert torch.equal(label.bool(), boxes)
