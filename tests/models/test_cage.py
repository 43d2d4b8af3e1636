"""CAGE: its size, the released faults as switches, its posterior and prior against a walk written out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import build, cage
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import count_parameters
from glasslung.nn.borrow import evaluating
from glasslung.nn.ladder import merge
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")
GROUPS = torch.tensor([0, 1, 2, 3])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(groups: torch.Tensor = GROUPS, seed: int = 0) -> SliceBatch:
    image = torch.from_numpy(np.random.default_rng(seed).random((len(groups), 1, 64, 64), np.float32))
    image[..., :20] = 0
    return SliceBatch(image, groups, groups.float(), groups)


@pytest.fixture(scope="module")
def model() -> cage.CAGE:
    """An untrained A3; the tests only look at it."""
    return build("cage")


@contextmanager
def configured(model: cage.CAGE, **changes) -> Iterator[cage.CAGE]:
    """The same weights under other settings, for a while."""
    before = model.config
    model.config = model.ages.config = dataclasses.replace(before, **changes)
    try:
        yield model
    finally:
        model.config = model.ages.config = before


def test_the_literal_configuration_has_38_948_902_parameters():
    literal = cage.CAGE(cage.LITERAL, generator())
    ladder = 6_450_864 + 2_402_458 + 2_457_552 + 672_224
    assert {name: count_parameters(part) for name, part in literal.named_children()} == {
        "still": ladder,
        "ages": ladder + 11_380_864,
        "decoder": 3_593_904,
        "head": 7_938,
    }
    assert count_parameters(literal.ages.time) == 11_380_864
    assert count_parameters(literal) == 38_948_902


@pytest.mark.parametrize(
    ("name", "group", "expected"),
    [(v, g, [0, 1, 2]) for v in ("A0", "A2") for g in range(4)]
    + [(v, g, [g % 4, (g + 1) % 4, (g + 2) % 4]) for v in ("A1", "A3") for g in range(4)],
)
def test_the_transitions_of_the_posterior_are_the_fact_sheets(name, group, expected):
    config = cage.Config(**cage.VARIANTS[name])
    assert [config.transition(group, carry) for carry in range(config.carries)] == expected


def test_only_the_released_index_leaves_the_way_back_untrained():
    assert cage.Config(**cage.VARIANTS["A0"]).transitions == {0, 1, 2}
    assert cage.Config(**cage.VARIANTS["A2"]).transitions == {0, 1, 2}
    assert cage.Config(**cage.VARIANTS["A1"]).transitions == {0, 1, 2, 3}
    assert cage.Config().transitions == {0, 1, 2, 3}
    literal = cage.LITERAL
    assert (literal.absolute_index, literal.target_upper, literal.decode_all, literal.kl) == (
        False,
        False,
        True,
        "sampled",
    )


def walk(model: cage.CAGE, image: torch.Tensor, group: int) -> dict[int, list[torch.Tensor]]:
    """The posterior's features of one slice at every age, one step at a time, from the definition."""
    config, net = model.config, model.ages
    features = net.backbone(encoder_scale(image))
    found = {group: features}
    for carry in range(3):
        index = (group + carry) % 4 if config.absolute_index else carry
        moved: list = [None] * 5
        for level in (4, 3, 2, 1, 0):
            step = net.time[level].steps[index]
            if level == 4:
                moved[4] = step(features[4])
                continue
            upper = moved[level + 1] if config.target_upper else features[level + 1]
            moved[level] = step(torch.cat([net.ladder.infer[level](upper), features[level]], 1))
        features = moved
        found[(group + carry + 1) % 4] = features
    return found


@pytest.mark.parametrize("name", ["A0", "A1", "A2", "A3"])
def test_the_posterior_goes_round_the_ages_as_the_variant_says(name, model):
    data = batch()
    with evaluating(model), configured(model, **cage.VARIANTS[name]):
        opinions = model.ages.evidence(data.image, data.group)
        for row, group in enumerate(GROUPS.tolist()):
            slow = walk(model, data.image[row : row + 1], group)
            for age in range(4):
                for level in (0, 4):
                    expected = model.ages.ladder.opinion(level, slow[age][level])
                    got = opinions[age][level].mean[row : row + 1]
                    assert torch.allclose(got, expected.mean, atol=1e-4), (name, group, age, level)


def test_the_age_that_was_seen_is_the_slices_own_features(model):
    data = batch()
    with evaluating(model):
        own = model.ages.ladder.evidence(model.ages.backbone(encoder_scale(data.image)))
        opinions = model.ages.evidence(data.image, data.group)
    for row, group in enumerate(GROUPS.tolist()):
        assert torch.allclose(opinions[group][2].mean[row], own[2].mean[row], atol=1e-5)


def test_the_prior_of_a_later_age_equals_the_definition(model):
    net = model.ages
    with evaluating(model):
        course = model.imagine(2, generator(1), temperature=1.0)
        before, after = course.ages[1], course.ages[2]
        for level in (4, 3, 0):
            step = net.time[level].steps[1]
            if level == 4:
                features = step(before.e[4])
            else:
                features = step(torch.cat([net.ladder.infer[level](after.e[level + 1]), before.e[level]], 1))
            expected = net.ladder.opinion(level, features)
            assert torch.allclose(after.p[level].mean, expected.mean, atol=1e-5)
        first = course.ages[0].p[4]
    assert torch.equal(first.mean, torch.zeros_like(first.mean))
    assert torch.equal(first.logvar, torch.zeros_like(first.logvar))


def test_posterior_and_prior_are_merged_at_every_age(model):
    data = batch()
    with evaluating(model):
        course = model(data.image, data.group, generator(2))
        opinions = model.ages.evidence(data.image, data.group)
    for age in range(4):
        for level in range(5):
            expected = merge(opinions[age][level], course.ages[age].p[level])
            assert torch.allclose(course.ages[age].q[level].mean, expected.mean, atol=1e-4)


def test_what_is_decoded_is_each_slices_own_age(model):
    data = batch()
    with evaluating(model):
        course = model(data.image, data.group, generator(2))
        seen = model.render_seen(course, data.group).mean()
        for row, group in enumerate(GROUPS.tolist()):
            assert torch.allclose(seen[row], model.render(course, group).mean()[row], atol=1e-5)
        owners = cage.seen_log_density(model, course, data)
        with configured(model, decode_all=True):
            everyone = cage.seen_log_density(model, course, data)
    assert torch.allclose(owners, everyone, atol=1e-3)


def test_the_loss_counts_every_age_and_the_vote_of_tourists_can_be_weighed(model):
    data = batch()
    with evaluating(model):
        terms = cage.loss(model, data, generator(4), kl_weight=0.5)
        course = model(data.image, data.group, generator(4))
        with configured(model, tourist_vote=0.1):
            fewer = cage.loss(model, data, generator(4), kl_weight=0.5)
    still = course.still.kl().sum(1)
    ages = torch.stack([descent.kl().sum(1) for descent in course.ages])
    rate = (still + ages.sum(0)).mean().item() / 4096
    assert terms["rate"].item() == pytest.approx(rate, rel=1e-4)
    assert terms["total"].item() == pytest.approx(terms["distortion"].item() + 0.5 * rate, rel=1e-4)
    assert terms["kl_k2"].item() == pytest.approx(ages[2].mean().item(), rel=1e-4)
    votes = sum(
        (1.0 if age == group else 0.1) * ages[age, row].item()
        for age in range(4)
        for row, group in enumerate(GROUPS.tolist())
    )
    weighed = (still.sum().item() + votes) / 4 / 4096
    assert fewer["rate"].item() == pytest.approx(rate, rel=1e-4)
    assert fewer["total"].item() == pytest.approx(terms["distortion"].item() + 0.5 * weighed, rel=1e-4)


@pytest.mark.parametrize("name", ["A0", "A3"])
def test_training_reaches_what_it_claims_and_nothing_else(name, model):
    names = {id(p): n for n, p in model.named_parameters()}
    with configured(model, **cage.VARIANTS[name]):
        (player,) = cage.players(model)
        total = player.loss(batch(), 0, generator())["total"]
    everything = list(model.parameters())
    found = torch.autograd.grad(total, everything, allow_unused=True)
    reached = {id(p) for p, gradient in zip(everything, found, strict=True) if gradient is not None}
    assert reached == {id(p) for p in player.parameters}
    idle = [names[id(p)] for p in everything if id(p) not in reached]
    assert all(".steps.3." in label for label in idle)
    assert bool(idle) == (name == "A0")


@pytest.mark.parametrize("age", [0, 1])
def test_one_age_alone_has_latents_up_to_it_and_reads_no_other_group(age, model):
    data = batch(torch.full((2,), age))
    with configured(model, single_age=age):
        (player,) = cage.players(model)
        total = player.loss(data, 0, generator())["total"]
        torch.autograd.grad(total, player.parameters)  # refuses what is not reached
        check_single_age(model, data, age)


def check_single_age(model: cage.CAGE, data: SliceBatch, age: int) -> None:
    assert len(model.imagine(1, generator()).ages) == age + 1
    with pytest.raises(UsageError, match="knows slices of groups"):
        model.infer(
            batch(torch.full((2,), (age + 1) % 4)).image, torch.full((2,), (age + 1) % 4), generator()
        )
    with pytest.raises(UsageError, match="has no age"):
        model.carry(data.image, data.group, age + 1, generator())


def test_a_lung_can_be_carried_to_every_age(model):
    data = batch(GROUPS[1:3])
    first, second, again = (
        model.carry(data.image, data.group, age, generator(1)).mean() for age in (0, 2, 2)
    )
    assert first.shape == (2, 1, 64, 64)
    assert not torch.equal(first, second)
    assert torch.equal(second, again)
    assert model.training


def test_the_bound_is_the_loss_of_one_draw_and_several_are_their_mean_weight(model):
    data = batch(GROUPS[1:3])
    rng = generator(6)
    singles = torch.stack([model.log_likelihood(data.image, data.group, rng) for _ in range(2)])
    both = model.log_likelihood(data.image, data.group, generator(6), samples=2)
    assert torch.allclose(both, torch.logsumexp(singles, 0) - np.log(2))
    with evaluating(model), configured(model, kl="sampled"):
        nll = cage.loss(model, data, generator(6), kl_weight=1.0)["nll"]
    assert -singles[0].mean().item() / 4096 == pytest.approx(nll.item(), rel=1e-3, abs=1e-4)


class Same:
    """The same batch for ever."""

    def __next__(self) -> SliceBatch:
        return batch()

    def state(self) -> dict:
        return {}

    def restore(self, state: dict) -> None:
        pass


def test_it_learns():
    model = build("cage", lr=1e-3)
    records = []
    fit(Game({"cage": model}, cage.players(model), Same(), 0, CPU), range(2), records.append)
    assert records[-1]["nll"] < records[0]["nll"]


def test_wrong_settings_are_refused():
    with pytest.raises(UsageError, match="single_age 4 is no age"):
        build("cage", single_age=4)
    with pytest.raises(UsageError, match="tourist_vote"):
        build("cage", tourist_vote=-1.0)
