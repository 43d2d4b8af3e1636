"""Mean teacher and UniMatch: unlabelled slices teach, labelled ones alone do too, teachers follow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.models import meanteacher, unimatch
from glasslung.nn.batches import LabelledBatch

SMALL = {"width": 6, "steps": 60, "climb": 0, "strength": 0.3, "loss": "ce+dice"}
MAKERS = {
    "mean teacher": lambda: meanteacher.MeanTeacher(
        meanteacher.Config(**SMALL, decay=0.9), torch.Generator().manual_seed(0)
    ),
    "unimatch": lambda: unimatch.UniMatch(unimatch.Config(**SMALL), torch.Generator().manual_seed(0)),
}
PLAYERS = {"mean teacher": meanteacher.players, "unimatch": unimatch.players}


def discs(labelled: int, unlabelled: int, seed: int = 0) -> LabelledBatch:
    """Grey slices with a bright disc, which is the lesion."""
    rng = torch.Generator().manual_seed(seed)
    count = labelled + unlabelled
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    centre = torch.randint(10, 22, (count, 2), generator=rng)
    disc = (y - centre[:, :1, None]) ** 2 + (x - centre[:, 1:, None]) ** 2 < 36
    image = 0.2 + 0.6 * disc.float() + 0.05 * torch.randn(count, 32, 32, generator=rng)
    lesion = disc.long()
    lesion[labelled:] = -1
    return LabelledBatch(image.clamp(0, 1)[:, None], lesion, torch.full_like(lesion, -1))


def one_loss(name: str, model: torch.nn.Module, batch: LabelledBatch, step: int = 0) -> dict:
    return PLAYERS[name](model)[0].loss(batch, step, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MAKERS)
def test_probabilities_are_probabilities_and_leave_the_model_alone(name):
    model = MAKERS[name]()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    maps = model.probabilities(torch.rand(2, 1, 64, 64))
    assert maps.shape == (2, 3, 64, 64)
    assert torch.allclose(maps.sum(1), torch.ones(2, 64, 64), atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize("name", MAKERS)
def test_every_parameter_of_the_player_learns(name):
    model = MAKERS[name]()
    one_loss(name, model, discs(2, 2))["total"].backward()
    assert all(p.grad is not None for p in PLAYERS[name](model)[0].parameters)


@pytest.mark.parametrize("name", MAKERS)
def test_labels_alone_are_enough(name):
    model = MAKERS[name]()
    terms = one_loss(name, model, discs(3, 0))
    assert torch.isfinite(terms["total"])
    assert terms["supervised"] > 0


@pytest.mark.parametrize("name", MAKERS)
def test_without_any_label_nothing_is_supervised(name):
    terms = one_loss(name, MAKERS[name](), discs(0, 3))
    assert terms["supervised"] == 0
    assert torch.isfinite(terms["total"])


@pytest.mark.parametrize("name", MAKERS)
def test_it_learns_discs_from_labelled_and_unlabelled_slices(name):
    model = MAKERS[name]()
    player = PLAYERS[name](model)[0]
    optimiser = torch.optim.Adam(player.parameters, lr=5e-3)
    for step in range(120):
        optimiser.zero_grad()
        batch = discs(2, 2, seed=step)
        player.loss(batch, step, torch.Generator().manual_seed(step))["total"].backward()
        optimiser.step()
    new = discs(4, 0, seed=9999)
    found = model.probabilities(new.image).argmax(1) == 1
    truth = new.lesion == 1
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.7


def test_the_teacher_is_the_plain_mean_first_and_then_the_running_one():
    model = MAKERS["mean teacher"]()
    teacher = [p.clone() for p in model.teacher.parameters()]
    with torch.no_grad():
        for p in model.student.parameters():
            p.add_(1.0)
    model.follow(1)
    assert all(
        torch.allclose(p, old + 0.5, atol=1e-5)
        for p, old in zip(model.teacher.parameters(), teacher, strict=True)
    )
    model.config = replace(model.config, decay=0.9)
    model.follow(10_000)
    assert all(
        torch.allclose(p, old + 0.55, atol=1e-5)
        for p, old in zip(model.teacher.parameters(), teacher, strict=True)
    )


def test_what_is_not_sure_does_not_count():
    logits = torch.tensor([[[[2.0, -1.0]], [[0.0, 0.0]]]])
    label = torch.tensor([[[1, 1]]])
    confidence = torch.tensor([[[0.99, 0.5]]])
    by_hand = (torch.logsumexp(torch.tensor([2.0, 0.0]), 0) - 0.0) / 2
    assert torch.isclose(unimatch.sure_loss(logits, label, confidence, 0.95), by_hand)
    assert unimatch.sure_loss(logits, label, confidence, 1.0) == 0


def test_silenced_channels_are_silent_and_the_others_louder():
    level = torch.ones(50, 20, 2, 2)
    (kept,) = unimatch.silence([level], 0.5, torch.Generator().manual_seed(0))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert abs(float(kept.mean()) - 1) < 0.1
    assert torch.equal(kept, kept[:, :, :1, :1].expand_as(kept))


def test_senseless_settings_are_refused():
    with pytest.raises(UsageError, match="decay"):
        meanteacher.Config(decay=1.0)
    with pytest.raises(UsageError, match="sure"):
        unimatch.Config(sure=2.0)
