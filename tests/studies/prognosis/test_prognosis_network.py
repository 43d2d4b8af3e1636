"""The network that looks ahead, trained by the house's loop on features of simulated scans."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.stays import Stays
from glasslung.errors import ShapeError, UsageError
from glasslung.measure.concordance import harrells_c
from glasslung.studies.prognosis.network import Lessons, ask, chance_by, learn, lines_of, trunk_of


def simulated(n=160, seed=0):
    """Two scans of each patient; how feature 0 grew between them drives the risk after the second."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(n, 4)) * 5 + 20
    growth = rng.normal(size=(n, 4)) * 3
    features = np.stack([first, first + growth], 1).reshape(2 * n, 4)
    risk = np.repeat(1.2 * growth[:, 0] / 3, 2)
    ill, home = rng.exponential(12 * np.exp(-risk)), rng.exponential(9, 2 * n)
    day = np.tile([0.0, 4.0], n)
    prior = np.where(day > 0, np.arange(2 * n) - 1, -1)
    names = tuple(f"p{row // 2}" for row in range(2 * n))
    days = np.minimum(ill, home)
    blank = np.full(2 * n, np.nan)
    seen = np.ones(2 * n, bool)
    stays = Stays(
        names,
        tuple(f"s{row}" for row in range(2 * n)),
        ("a",) * (2 * n),
        prior,
        day,
        rng.uniform(30, 80, 2 * n),
        blank,
        days,
        seen,
        np.where(ill < home, 1, 2),
        days,
        ~seen,
    )
    return features, stays, risk


def test_two_scans_know_what_one_cannot():
    features, stays, _ = simulated()
    others, ahead, risk = simulated(seed=1)
    worth = {}
    for pairs in (False, True):
        known = lines_of(features, stays, stays.prior >= 0, pairs=pairs)
        net = learn(known, {"dropout": 0.0, "lr": 0.02}, Lessons(120, 64))
        asked = lines_of(others, ahead, ahead.prior >= 0, pairs=pairs)
        chance = chance_by(net, asked, 10.0)
        assert chance.shape == (160,) and (chance >= 0).all() and (chance <= 1).all()
        worth[pairs] = harrells_c(chance, asked.days, asked.kind == 1)
    best = harrells_c(risk[1::2], asked.days, asked.kind == 1)
    assert worth[True] > worth[False] + 0.03 and best - worth[True] < 0.05


def test_the_same_seed_learns_the_same_and_columns_stand_beside():
    features, stays, _ = simulated(30)
    known = lines_of(features, stays, stays.prior >= 0, pairs=True, columns={"age": stays.age})
    assert known.columns.shape == (30, 1) and abs(known.columns.mean()) < 1e-6
    nets = [learn(known, {"head": "long stay"}, Lessons(5, 16), seed=3) for _ in range(2)]
    first, second = (ask(net, known) for net in nets)
    assert np.array_equal(first, second) and first.shape == (30,)
    with pytest.raises(UsageError, match="knows no days"):
        chance_by(nets[0], known, 7.0)


def test_whole_scans_go_through_a_trunk():
    rng = np.random.default_rng(0)
    _, stays, _ = simulated(2)
    films = rng.normal(size=(4, 1, 4, 32, 32)).astype(np.float32)
    known = lines_of(films, stays, stays.prior >= 0, pairs=True)
    net = learn(known, {"width": 0.125}, Lessons(1, 2))
    assert ask(net, known).shape == (2, 14, 2)


def test_only_an_i3d_gives_its_trunk():
    with pytest.raises(UsageError, match="begins with an i3d"):
        trunk_of("diagnosis-hu")


def test_what_does_not_fit_is_refused():
    features, stays, _ = simulated(3)
    with pytest.raises(UsageError, match="without a scan before"):
        lines_of(features, stays, np.ones(6, bool), pairs=True)
    with pytest.raises(ShapeError, match="6 stays"):
        lines_of(features[:2], stays, np.ones(6, bool), pairs=False)
    with pytest.raises(UsageError, match="1 or more"):
        Lessons(0)
