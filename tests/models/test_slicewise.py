"""The slice-wise network: a scan's answer is the mean of its slices', or of the highest among them."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import build, slicewise
from glasslung.nn.batches import ExamBatch

SMALL = {"size": 32, "width": 8, "stages": 3}


def exams(counts=(4, 1, 3), labels=(1, 0, 1)) -> ExamBatch:
    rng = torch.Generator().manual_seed(0)
    scan = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    image = torch.rand(len(scan), 1, 32, 32, generator=rng)
    lesion = (torch.rand(image.shape, generator=rng) > 0.7).float()
    return ExamBatch(image, lesion, scan, torch.tensor(labels))


def made(**settings) -> slicewise.SliceWise:
    model = build("slicewise", 1, **(SMALL | settings))
    for layer in model.stages:  # blocks that do something, as after training
        torch.nn.init.ones_(layer.norm2.weight)
    return model.eval()


def alone(model: slicewise.SliceWise, batch: ExamBatch, rows: torch.Tensor) -> torch.Tensor:
    """Each slice as a scan of its own."""
    return model.scores(batch.image[rows], batch.lesion[rows], torch.arange(len(rows)))


def test_the_scan_s_log_odds_are_the_mean_of_its_slices():
    model, batch = made(), exams()
    scores = model.scores(batch.image, batch.lesion, batch.scan)
    for scan in range(3):
        rows = (batch.scan == scan).nonzero()[:, 0]
        assert scores[scan].item() == pytest.approx(alone(model, batch, rows).mean().item(), abs=1e-5)


def test_or_the_mean_of_the_highest():
    model, batch = made(pool="top", top=0.5), exams(counts=(5, 1, 2))
    scores = model.scores(batch.image, batch.lesion, batch.scan)
    for scan, counting in enumerate((3, 1, 1)):
        rows = (batch.scan == scan).nonzero()[:, 0]
        highest = alone(model, batch, rows).topk(counting).values
        assert scores[scan].item() == pytest.approx(highest.mean().item(), abs=1e-5)


def test_features_stand_before_the_last_layer():
    model, batch = made(), exams()
    features = model.features(batch.image, batch.lesion, batch.scan)
    assert features.shape == (3, 32)
    assert torch.equal(model.head(features), model(batch.image, batch.lesion, batch.scan))


def test_lesions_are_seen_or_not():
    batch = exams()
    for side in (True, False):
        model = made(side=side)
        with_, without = (
            model.scores(batch.image, lesion, batch.scan)
            for lesion in (batch.lesion, torch.zeros_like(batch.lesion))
        )
        assert torch.equal(with_, without) != side


@pytest.mark.parametrize("settings", [{}, {"pool": "top"}, {"dropout": 0.0}])
def test_gradient_reaches_every_parameter(settings):
    model = made(**settings).train()
    total = slicewise.loss(model, exams(), torch.Generator().manual_seed(0))["total"]
    assert all(torch.isfinite(one).all() for one in torch.autograd.grad(total, list(model.parameters())))


def test_settings_survive_json_and_are_checked():
    config = made().config
    assert slicewise.Config(**json.loads(json.dumps(asdict(config)))) == config
    for wrong in ({"pool": "max"}, {"top": 0}, {"dropout": 1}, {"size": 8}, {"lr": 0}):
        with pytest.raises(UsageError):
            slicewise.Config(**wrong)
