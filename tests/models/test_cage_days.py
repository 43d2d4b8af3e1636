"""CAGE with a day within the age: untrained or undated it changes nothing, and training makes it count."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import build, cage
from glasslung.nn.ages import Dating
from glasslung.nn.batches import SliceBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.parts import SLIM
from glasslung.nn.player import Player
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")
UNKNOWN = float("nan")
GROUP = torch.arange(4).repeat_interleave(2)
DAY = torch.tensor([UNKNOWN, UNKNOWN, 0.0, 4.0, 5.0, UNKNOWN, 10.0, 14.0])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(day: torch.Tensor = DAY) -> SliceBatch:
    image = torch.from_numpy(np.random.default_rng(0).random((len(GROUP), 1, 64, 64), np.float32))
    return SliceBatch(image, GROUP, day, GROUP)


def dated(seed: int = 0, **settings) -> cage.CAGE:
    """A CAGE whose days count, as if it were trained."""
    model = build("cage", seed, net="slim", day=True, **settings)
    with torch.no_grad():
        for slope in model.dating.slopes:
            slope.normal_(generator=generator(seed))
    return model


@pytest.mark.parametrize("decode_all", [False, True])
def test_at_the_start_the_days_change_nothing(decode_all):
    plain = build("cage", net="slim", decode_all=decode_all)
    new = build("cage", net="slim", decode_all=decode_all, day=True)
    with torch.no_grad():
        expected = cage.loss(plain, batch(), generator(1), 0.5)
        got = cage.loss(new, batch(), generator(1), 0.5)
    assert {name: float(term) for name, term in got.items()} == {n: float(t) for n, t in expected.items()}


def test_the_days_of_an_age_move_its_expansions_by_the_formula():
    dating = Dating(SLIM)
    with torch.no_grad():
        for slope in dating.slopes:
            slope.normal_(generator=generator(2))
    expansions = [torch.randn(8, f, 2, 2, generator=generator(3)) for f in SLIM.widths]
    moved = dating(expansions, GROUP, DAY)
    for level, (before, after) in enumerate(zip(expansions, moved, strict=True)):
        for row, (age, day) in enumerate(zip(GROUP.tolist(), DAY.tolist(), strict=True)):
            if age == 0 or np.isnan(day):
                assert torch.equal(after[row], before[row])
                continue
            t = (day - {1: 2, 2: 7, 3: 12}[age]) / 5
            scale, shift = dating.slopes[level][age - 1].detach().chunk(2)
            expected = before[row] * (1 + t * scale[:, None, None]) + t * shift[:, None, None]
            assert torch.allclose(after[row], expected, atol=1e-5)


def test_unknown_days_and_middles_of_ages_give_the_undated_picture():
    model = dated()
    course = model.infer(batch().image, GROUP, generator())
    with evaluating(model):
        for age, middle in enumerate((3.0, 2.0, 7.0, 12.0)):
            undated = model.render(course, age).mean()
            for day in (UNKNOWN, middle):
                assert torch.equal(model.render(course, age, torch.full((8,), day)).mean(), undated)
        healthy = model.render(course, 0, torch.full((8,), 9.0)).mean()
        assert torch.equal(healthy, model.render(course, 0).mean())


def test_every_slice_is_shown_on_its_own_day():
    model = dated()
    data = batch()
    course = model.infer(data.image, GROUP, generator())
    with evaluating(model):
        seen = model.render_seen(course, GROUP, data.day).mean()
        for row, age in enumerate(GROUP.tolist()):
            alone = model.render(course, age, torch.full((8,), float(data.day[row]))).mean()[row]
            assert torch.allclose(seen[row], alone, atol=1e-6)
        owners = cage.seen_log_density(model, course, data)
    assert not torch.allclose(owners, model.render_seen(course, GROUP).log_density(data.image))
    early, late = (
        model.carry(data.image, GROUP, 2, generator(1), day=torch.full((8,), day)).mean()
        for day in (5.0, 9.0)
    )
    assert not torch.equal(early, late)
    one, other = (model.log_likelihood(data.image, GROUP, generator(1), day=day) for day in (data.day, None))
    changed = (one != other).tolist()
    assert changed == [False, False, True, True, True, False, True, True]


@pytest.mark.parametrize("settings", [{}, {"single_age": 2}, {"decode_all": True}])
def test_training_reaches_the_days_even_where_none_is_known(settings):
    model = build("cage", net="slim", day=True, **settings)
    rows = GROUP == 2 if "single_age" in settings else GROUP >= 0
    for day in (DAY, torch.full((8,), UNKNOWN)):
        data = batch(day)
        part = SliceBatch(data.image[rows], GROUP[rows], day[rows], GROUP[rows])
        (player,) = cage.players(model)
        total = player.loss(part, 0, generator())["total"]
        torch.autograd.grad(total, player.parameters, retain_graph=True)  # refuses what is not reached
        slopes = torch.autograd.grad(total, list(model.dating.parameters()))
        assert all(bool(slope.isfinite().all()) for slope in slopes)
        assert any(bool((slope != 0).any()) for slope in slopes) == bool(day.isfinite().any())


class Brightening:
    """Lungs that read alike on all days of an age; what they look like is in `target`."""

    def __next__(self) -> SliceBatch:
        day = torch.tensor([UNKNOWN, 0.0, 5.0, 10.0])[GROUP] + torch.tensor([0.0, 4.0] * 4)
        image = torch.full((8, 1, 64, 64), 0.3)
        return SliceBatch(image, GROUP, day, GROUP)

    def state(self) -> dict:
        return {}

    def restore(self, state: dict) -> None:
        pass


def target(data: SliceBatch) -> torch.Tensor:
    """Dark on the first day of an age, bright on the last."""
    late = torch.tensor([0.0, 1.0] * 4) * (data.group > 0)
    return (0.2 + 0.6 * late)[:, None, None, None].expand_as(data.image)


def test_training_makes_the_day_count():
    model = build("cage", 1, net="slim", day=True)
    parts = [model.dating, model.ages.ladder.expand, model.decoder, model.head]
    shown = [parameter for part in parts for parameter in part.parameters()]

    def miss(data: SliceBatch, step: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        pixels = model.render_seen(model(data.image, data.group, rng), data.group, data.day)
        return {"total": -pixels.log_density(target(data)).mean()}

    fit(Game({"cage": model}, [Player("shown", shown, miss, lr=1e-2)], Brightening(), 0, CPU), range(40))
    data = next(Brightening())
    for age, days in ((1, (0.0, 4.0)), (2, (5.0, 9.0)), (3, (10.0, 14.0))):
        early, late = (
            float(model.carry(data.image, GROUP, age, generator(2), day=torch.full((8,), day)).mean().mean())
            for day in days
        )
        assert late - early > 0.2, (age, early, late)


def test_days_that_cannot_be_are_refused():
    plain = build("cage", net="slim")
    data = batch()
    with pytest.raises(UsageError, match="knows no days"):
        plain.carry(data.image, GROUP, 1, generator(), day=data.day)
    with pytest.raises(ShapeError, match="as many days"):
        dated().carry(data.image, GROUP, 1, generator(), day=torch.zeros(1))
    with pytest.raises(UsageError, match="no day of disease"):
        cage.Config(day=True, single_age=0)
