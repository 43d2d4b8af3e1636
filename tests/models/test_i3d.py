"""I3D: a scan of any length as one film; its logit is the score over time."""

import pytest
import torch

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.models import i3d
from glasslung.nn.batches import ExamBatch
from glasslung.nn.scoring import cross_entropy

SMALL = i3d.Config(size=32, depth=8, width=0.25)


def model(seed=0):
    return i3d.I3D(SMALL, torch.Generator().manual_seed(seed))


def batch(lengths=(5, 9), labels=(0, 1), side=40):
    rng = torch.Generator().manual_seed(3)
    image = torch.rand(sum(lengths), 1, side, side, generator=rng)
    scan = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    return ExamBatch(image, torch.zeros_like(image), scan, torch.tensor(labels))


def test_a_scan_answers_alike_alone_and_beside_others():
    net, both = model().eval(), batch()
    with torch.no_grad():
        together = net.scores(both.image, both.lesion, both.scan)
        alone = net.scores(both.image[:5], both.lesion[:5], both.scan[:5])
    assert together.shape == (2,)
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_black_is_minus_one_and_white_is_one_whatever_the_size():
    image = torch.cat([torch.zeros(3, 1, 50, 50), torch.ones(4, 1, 50, 50)])
    films = model().films(image, torch.tensor([0, 0, 0, 1, 1, 1, 1]))
    assert films.shape == (2, 1, 8, 32, 32)
    assert films[0].unique().tolist() == [-1.0]
    assert films[1].unique().tolist() == [1.0]


def test_scores_are_the_linear_layer_on_the_features():
    net, one = model(), batch((4,), (1,))
    net.eval()
    features = net.features(one.image, one.lesion, one.scan)
    torch.testing.assert_close(net.scores(one.image, one.lesion, one.scan), net.head(features)[:, 0])


def test_it_learns_two_scans():
    net, both = model(), batch()
    (player,) = i3d.players(net)
    optimiser = torch.optim.Adam(player.parameters, lr=1e-3)
    rng = torch.Generator().manual_seed(0)
    first = float(player.loss(both, 0, rng)["total"].detach())
    for step in range(15):
        optimiser.zero_grad()
        total = player.loss(both, step, rng)["total"]
        total.backward()
        optimiser.step()
    assert float(total.detach()) < 0.5 * first


def test_the_trunk_learns_at_its_own_rate():
    (player,) = i3d.players(i3d.I3D(i3d.Config(size=32, depth=8, lr=1e-3, lr_trunk=1e-4), torch.Generator()))
    at = dict(zip(map(id, player.parameters), player.shares, strict=True))
    assert player.lr == 1e-3 and sorted(set(at.values())) == [pytest.approx(0.1), 1.0]
    assert list(at.values()).count(1.0) == 2


def test_what_cannot_be_read_is_refused():
    with pytest.raises(UsageError):
        i3d.Config(size=16)
    with pytest.raises(ShapeError):
        model().films(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(DataError, match="no label"):
        cross_entropy(model(), batch(labels=(0, -1)), torch.Generator())
