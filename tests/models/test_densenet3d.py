"""The 3D DenseNet: scans of any length in one box, answered alone as in a batch."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import build, densenet3d
from glasslung.nn.batches import ExamBatch

SMALL = {"size": 32, "box": (32, 32, 48), "first": 4, "growth": 2, "blocks": (1, 2, 1)}


def exams(counts=(4, 1, 30), side: int = 32) -> ExamBatch:
    rng = torch.Generator().manual_seed(0)
    scan = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    image = torch.rand(len(scan), 1, side, side, generator=rng)
    lesion = (torch.rand(image.shape, generator=rng) > 0.7).float()
    return ExamBatch(image, lesion, scan, torch.arange(len(counts)) % 2)


def made(**settings) -> densenet3d.DenseNet3D:
    return build("densenet3d", 1, **(SMALL | settings)).eval()


def test_a_scan_is_answered_alone_as_in_a_batch_whatever_its_length():
    model, batch = made(), exams()
    together = model.scores(batch.image, batch.lesion, batch.scan)
    assert together.shape == (3,)
    for scan in range(3):
        own = batch.scan == scan
        alone = model.scores(batch.image[own], batch.lesion[own], torch.zeros(int(own.sum()), dtype=int))
        assert alone.item() == pytest.approx(together[scan].item(), abs=1e-5)


def test_features_stand_before_the_last_layer():
    model, batch = made(), exams()
    features = model.features(batch.image, batch.lesion, batch.scan)
    assert torch.equal(model.head(features), model(batch.image, batch.lesion, batch.scan))
    boxes = model.boxes(batch.image, batch.lesion, batch.scan)
    assert torch.equal(model.net(boxes), model(batch.image, batch.lesion, batch.scan))


def test_the_box_keeps_means_and_repeats_a_single_slice():
    model = made(side=False)
    batch = exams((1, 64))
    single, many = model.boxes(batch.image, batch.lesion, batch.scan)
    assert single.shape == (1, 32, 32, 48)
    assert torch.allclose(single, single[:, :1].expand_as(single), atol=1e-6)
    assert many.mean().item() == pytest.approx(batch.image[1:].mean().item(), abs=0.01)
    flat = torch.full((7, 1, 20, 20), 0.25)
    assert torch.allclose(model.boxes(flat, flat, torch.zeros(7, dtype=int)), torch.tensor(0.25))


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    one, other = made(), made()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("norm", densenet3d.NORMS)
def test_gradient_reaches_every_parameter(norm):
    model = made(norm=norm).train()
    total = densenet3d.loss(model, exams())["total"]
    assert all(torch.isfinite(one).all() for one in torch.autograd.grad(total, list(model.parameters())))


def test_settings_survive_json_and_are_checked():
    config = made().config
    assert densenet3d.Config(**json.loads(json.dumps(asdict(config)))) == config
    for wrong in ({"box": (8, 96, 96)}, {"box": (32, 96)}, {"norm": "layer"}, {"growth": 0}, {"dropout": 1}):
        with pytest.raises(UsageError):
            densenet3d.Config(**wrong)
