"""CAGE's remedies: off, they change nothing; on, each does what it says, and the critic keeps to itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import build, cage
from glasslung.nn.batches import SliceBatch
from glasslung.nn.tourists import strangers
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(each: int = 2, seed: int = 0) -> SliceBatch:
    group = torch.arange(4).repeat_interleave(each)
    image = torch.from_numpy(np.random.default_rng(seed).random((len(group), 1, 64, 64), np.float32))
    image[..., :20] = 0
    return SliceBatch(image, group, group.float(), group)


class Same:
    """The same batch for ever."""

    def __next__(self) -> SliceBatch:
        return batch()

    def state(self) -> dict:
        return {}

    def restore(self, state: dict) -> None:
        pass


def slow_loss(model: cage.CAGE, data: SliceBatch, weight: float) -> float:
    """The paper's objective written out: every k_j of every slice in full, the age seen decoded."""
    course = model(data.image, data.group, generator(1))
    spent, earned = 0.0, 0.0
    for row, group in enumerate(data.group.tolist()):
        spent += sum(float(d.kl()[row].sum()) for d in [course.still, *course.ages])
        earned += float(model.render(course, group).log_density(data.image)[row].mean())
    return (-earned + weight * spent / 64**2) / len(data.group)


def test_without_a_remedy_the_loss_is_the_papers():
    model, data = build("cage", net="slim"), batch()
    with torch.no_grad():
        terms = cage.loss(model, data, generator(1), 0.3)
        assert float(terms["total"]) == pytest.approx(slow_loss(model, data, 0.3), rel=1e-4)
    assert "remedies" not in terms
    assert [player.name for player in cage.players(model)] == ["cage"]


def test_remedies_leave_the_common_weights_as_they_start():
    plain = build("cage", net="slim").state_dict()
    cured = build("cage", net="slim", **cage.REMEDIES["R1+R2+R3b"]).state_dict()
    assert all(torch.equal(cured[name], tensor) for name, tensor in plain.items())
    assert {name.split(".")[0] for name in cured.keys() - plain.keys()} == {"owners", "clouds", "critic"}


def test_the_future_of_a_slice_is_drawn_and_costs_nothing():
    model, data = build("cage", net="slim", owner_gate=True), batch()
    with torch.no_grad():
        course = model(data.image, data.group, generator())
        kl = cage.divergences(model, course, data.group)
    for age in range(4):
        future = data.group < age
        assert (kl[1 + age, future] == 0).all()
        assert (kl[1 + age, ~future] > 0).all()
        for q, p in zip(course.ages[age].q, course.ages[age].p, strict=True):
            assert torch.equal(q.mean[future], p.mean[future])


def slopes_of_divergence(model: cage.CAGE, data: SliceBatch, slices: torch.Tensor, age: int) -> list:
    """What the divergences of some slices at one age do to the time steps of the prior's way to that age."""
    course = model(data.image, data.group, generator())
    paid = cage.divergences(model, course, data.group)[1 + age, slices].sum()
    way = [p for level in model.ages.time for p in level.steps[age - 1].parameters()]
    return torch.autograd.grad(paid, way, allow_unused=True)


def test_tourists_do_not_move_the_law_of_an_age():
    """Transition 0 -> 1 of the prior: owners of age 1 train it; for slices of age 2 it stands still."""
    data = batch()
    tourists = data.group == 2
    free = slopes_of_divergence(build("cage", net="slim"), data, tourists, 1)
    assert any(slope is not None and bool((slope != 0).any()) for slope in free)
    gated = build("cage", net="slim", owner_gate=True)
    # posterior of age 1 seen at age 2: 2 -> 3 -> 0 -> 1 ends with the same step, so close that way
    found = slopes_of_divergence_without_evidence(gated, data, tourists)
    assert all(slope is None or bool((slope == 0).all()) for slope in found)
    owned = slopes_of_divergence_without_evidence(gated, data, data.group == 1)
    assert any(slope is not None and bool((slope != 0).any()) for slope in owned)


def slopes_of_divergence_without_evidence(model: cage.CAGE, data: SliceBatch, slices: torch.Tensor) -> list:
    """As above for age 1, with the evidence held fixed, so that only the prior's way is left."""
    with torch.no_grad():
        evidence = model.ages.evidence(data.image, data.group)
    ages = model.ages.descend(generator(), model.shapes(len(data)), evidence, 1.0, data.group)
    with torch.no_grad():
        still = model(data.image, data.group, generator()).still
    paid = cage.divergences(model, cage.Course(still, ages, evidence), data.group)[2, slices].sum()
    way = [p for level in model.ages.time for p in level.steps[0].parameters()]
    return torch.autograd.grad(paid, way, allow_unused=True)


def test_matching_counts_tourists_and_prior_draws():
    model, data = build("cage", net="slim", match=50.0, match_prior=20.0), batch(4)
    with torch.no_grad():
        terms = cage.loss(model, data, generator(), 1.0)
    nats = 50 * terms["apart_tourists"] + 20 * terms["apart_prior"]
    assert float(terms["remedies"]) == pytest.approx(float(nats) / 64**2, rel=1e-5)
    plain = terms["distortion"] + terms["rate"]
    assert float(terms["total"]) == pytest.approx(float(plain + terms["remedies"]), rel=1e-5)


def test_strangers_are_never_at_home():
    model, data = build("cage", net="slim", critic=0.1), batch()
    with torch.no_grad():
        course = model(data.image, data.group, generator())
        dream = model.dream(4, generator())
        for seed in range(5):
            made, age = strangers(model.show, course, dream, data.group, generator(seed))
            assert made.shape == (12, 1, 64, 64)
            assert (age[:8] != data.group).all()


def test_the_critic_and_the_model_move_only_their_own_weights():
    model = build("cage", net="slim", **cage.REMEDIES["R1+R2+R3b"])
    critic, player = cage.players(model)
    assert [critic.name, player.name] == ["critic", "cage"]
    for one, own in ((critic, True), (player, False)):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        fit(Game({"cage": model}, [one], Same(), 0, CPU), range(1))
        moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved
        assert all(name.startswith("critic.") == own for name in moved)


def test_a_remedied_game_goes_on_exactly():
    """Two halves equal one whole: queues and critic are part of what a checkpoint holds."""

    def game() -> Game:
        model = build("cage", net="slim", **cage.REMEDIES["R1+R2+R3b"])
        return Game({"cage": model}, cage.players(model), Same(), 0, CPU)

    whole, half = game(), game()
    fit(whole, range(2))
    fit(half, range(1))
    fit(half, range(1, 2))
    assert all(torch.equal(half.state()[name], tensor) for name, tensor in whole.state().items())


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(UsageError, match="single_age"):
        cage.Config(single_age=1, match=1.0)
    with pytest.raises(UsageError, match="negative"):
        cage.Config(critic=-1.0)
    with pytest.raises(UsageError, match="exemplars"):
        cage.Config(exemplars=1)
    for settings in cage.REMEDIES.values():
        dataclasses.replace(cage.Config(), **settings)
