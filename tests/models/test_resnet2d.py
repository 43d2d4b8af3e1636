"""The 2D ResNet-50 over slices: the paper's baseline, answered slice by slice."""

import pytest
import torch

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.models import build, resnet2d
from glasslung.nn.batches import ExamBatch
from glasslung.nn.scoring import cross_entropy

SMALL = {"size": 32, "width": 0.125}


def exams(counts=(4, 1, 3), labels=(1, 0, 1), side=32) -> ExamBatch:
    rng = torch.Generator().manual_seed(0)
    scan = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    image = torch.rand(len(scan), 1, side, side, generator=rng)
    return ExamBatch(image, torch.zeros_like(image), scan, torch.tensor(labels))


def test_as_many_weights_as_published():
    trunk = build("resnet2d").trunk
    assert sum(p.numel() for p in trunk.parameters()) == 23_508_032 - 2 * 49 * 64  # one channel, not three


def test_the_scan_s_log_odds_are_the_mean_of_its_slices():
    model, batch = build("resnet2d", 1, **SMALL).eval(), exams()
    with torch.no_grad():
        scores = model.scores(batch.image, batch.lesion, batch.scan)
        each = model.scores(batch.image, batch.lesion, torch.arange(len(batch.image)))
    for scan in range(3):
        torch.testing.assert_close(scores[scan], each[batch.scan == scan].mean(), rtol=1e-4, atol=1e-5)


def test_equal_seeds_give_equal_weights_whatever_torch_drew_before():
    torch.manual_seed(5)
    first = build("resnet2d", 3, **SMALL).state_dict()
    torch.manual_seed(6)
    second = build("resnet2d", 3, **SMALL).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_its_trunk_at_its_own_rate():
    model, batch = build("resnet2d", 0, **SMALL, lr=1e-2, lr_trunk=1e-3, dropout=0.0), exams()
    (player,) = resnet2d.players(model)
    assert sorted(set(player.shares)) == [pytest.approx(0.1), 1.0]
    optimiser = torch.optim.Adam(player.parameters, lr=3e-3)
    rng = torch.Generator().manual_seed(0)
    first = float(player.loss(batch, 0, rng)["total"].detach())
    for step in range(12):
        optimiser.zero_grad()
        total = player.loss(batch, step, rng)["total"]
        total.backward()
        optimiser.step()
    assert float(total.detach()) < 0.5 * first


def test_what_cannot_be_read_is_refused():
    with pytest.raises(UsageError):
        resnet2d.Config(size=16)
    with pytest.raises(UsageError):
        resnet2d.Config(width=0)
    model = build("resnet2d", 0, **SMALL)
    with pytest.raises(ShapeError):
        model.features(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32), torch.zeros(2).long())
    with pytest.raises(DataError, match="no label"):
        cross_entropy(model, exams((1, 1), (0, -1)), torch.Generator())
