"""The network that looks ahead: its inputs by the formula, its two heads, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.data.staybatches import StayBatches, StayLines
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.concordance import harrells_c
from glasslung.models import build
from glasslung.models.hazardnet import HAZARDS, LONG_STAY, Config, HazardNet, loss, players
from glasslung.nn.inception3d import Inception3D


def lines(n=240, scans=2, seed=0, features=6):
    """Feature 0 now, and its growth since the scan before, drive the hazards; columns: one that helps."""
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(n, features))
    now = before + rng.normal(size=(n, features))
    column = rng.normal(size=(n, 1))
    risk = 0.7 * now[:, 0] + 0.8 * (now[:, 0] - before[:, 0]) + 0.5 * column[:, 0]
    ill, home = rng.exponential(15 * np.exp(-risk)), rng.exponential(10 * np.exp(0.5 * risk))
    stacked = np.stack([before, now], 1) if scans == 2 else now[:, None]
    gap = np.log1p(rng.uniform(2, 6, n)) if scans == 2 else np.zeros(n)
    days = np.minimum(ill, home)
    kind = np.where(ill < home, 1, 2)
    return StayLines(stacked, column, gap, days, kind, (np.maximum(ill, home) > 12).astype(int)), risk


def train(net, known, steps=150, seed=0):
    (player,) = players(net)
    optimiser = torch.optim.Adam(player.parameters, lr=0.02)
    stream, rng = StayBatches(known, 120, np.random.default_rng(seed)), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimiser.zero_grad()
        player.loss(next(stream), 0, rng)["total"].backward()
        optimiser.step()
    return net.eval()


def made(seed=0, **settings):
    return build("hazardnet", seed, **({"features": 6, "columns": 1, "dropout": 0.1} | settings))


def risk_of(net, known):
    batch = known.batch()
    with torch.no_grad():
        return net.chances(batch.scans, batch.gap, batch.columns)


def test_two_scans_are_read_as_the_formula_says():
    net = made()
    known, _ = lines(5)
    batch = known.batch()
    net.learn_scales(batch.scans.flatten(0, 1))
    found = net.inputs(net.seen(batch.scans), batch.gap, batch.columns)
    flat = batch.scans.flatten(0, 1)
    for n in range(5):
        before, now = ((batch.scans[n, p] - flat.mean(0)) / flat.std(0) for p in (0, 1))
        slow = torch.cat([now, before, now - before, batch.gap[n : n + 1], batch.columns[n]])
        torch.testing.assert_close(found[n], slow)
    assert found.shape[1] == 3 * 6 + 1 + 1
    one = made(scans=1)
    assert one.inputs(batch.scans[:, 1:], batch.gap, batch.columns).shape[1] == 7


def test_hazards_learn_what_drives_the_events_and_two_scans_know_more():
    worth = {}
    for scans in (1, 2):
        known, _ = lines(400, scans)
        net = train(made(scans=scans), known, 100)
        asked, risk = lines(400, scans, seed=1)
        chance = risk_of(net, asked)
        assert chance.shape == (400, 14, 2) and float(chance[:, -1].sum(1).max()) < 1 + 1e-5
        worth[scans] = harrells_c(chance[:, 10, 0].numpy(), asked.days, asked.kind == 1)
        best = harrells_c(risk, asked.days, asked.kind == 1)
    assert worth[1] > 0.65 and worth[1] + 0.01 < worth[2] < best + 0.01
    assert best - worth[2] < 0.04


def test_the_papers_head_parts_long_stays():
    known, _ = lines(300)
    net = train(made(head=LONG_STAY), known)
    asked, _ = lines(300, seed=1)
    chance = risk_of(net, asked).numpy()
    assert chance.shape == (300,)
    right = ((chance > 0.5) == (asked.long == 1)).mean()
    assert right > 0.6 > 0.5


def test_nothing_is_known_before_anything_is_learned():
    known, _ = lines(6)
    chance = risk_of(made().eval(), known)
    assert torch.equal(chance, chance[:1].expand_as(chance))


@pytest.mark.parametrize("scans", [1, 2])
def test_a_trunk_of_its_own_learns_along(scans):
    net = made(features=0, width=0.125, scans=scans, columns=0)
    films = torch.randn(2, scans, 1, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    batch = StayLines(
        films.numpy(), np.zeros((2, 0)), np.zeros(2), np.array([3.0, 9.0]), np.array([1, 2]), np.zeros(2)
    ).batch()
    net.head.weight.data.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    terms = loss(net, batch, torch.Generator().manual_seed(0))
    terms["total"].backward()
    assert all(part.grad is not None for part in players(net)[0].parameters)
    assert float(net.trunk.first.conv.weight.grad.abs().sum()) > 0
    shares = players(net)[0].shares
    assert min(shares) == pytest.approx(0.01) and shares[-1] == 1


def test_a_trained_trunk_is_taken_over():
    trunk = Inception3D(1, torch.Generator().manual_seed(7), 0.125)
    state = {f"trunk.{name}": part for name, part in trunk.state_dict().items()}
    net = made(features=0, width=0.125)
    net.start_from(state | {"head.weight": torch.zeros(1, 128), "head.bias": torch.zeros(1)})
    assert torch.equal(net.trunk.first.conv.weight, trunk.first.conv.weight)
    with pytest.raises(DataError, match="same width"):
        made(features=0, width=0.25).start_from(state)
    with pytest.raises(UsageError, match="no trunk"):
        made().start_from(state)


def test_what_does_not_fit_is_refused():
    known, _ = lines(4)
    batch = known.batch()
    with pytest.raises(ShapeError, match="1 scan"):
        made(scans=1)(batch.scans, batch.gap, batch.columns)
    with pytest.raises(ShapeError, match="6 features"):
        made()(batch.scans[..., :3], batch.gap, batch.columns)
    with pytest.raises(ShapeError, match="whole scans"):
        made()(torch.zeros(1, 2, 1, 4, 32, 32), batch.gap[:1], batch.columns[:1])
    for wrong in ({"head": "oracle"}, {"scans": 3}, {"lr": 0.0}, {"edges": (1.0, 2.0)}, {"events": 0}):
        with pytest.raises(UsageError):
            Config(**wrong)
    unknown = StayLines(known.scans, known.columns, known.gap, known.days, known.kind, np.full(4, -1))
    with pytest.raises(DataError, match="long or short"):
        loss(made(head=LONG_STAY), unknown.batch(), torch.Generator())
    assert isinstance(made(), HazardNet) and made().config.head == HAZARDS
