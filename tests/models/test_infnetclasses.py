"""The second stage of Semi-Inf-Net: it reads the prior, learns two slices, and is silent without labels."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import infnetclasses
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.blocks import count_parameters

SMALL = infnetclasses.Config(width=4, steps=60, lr=1e-2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_slices(size: int = 64) -> LabelledBatch:
    """Two slices with a grey and a white patch, and a third that nobody labelled."""
    y, x = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    image, lesion = [], []
    for shift in (0.0, 0.1, 0.05):
        glass = (x - 0.35 - shift) ** 2 + (y - 0.4) ** 2 < 0.02
        dense = (x - 0.65) ** 2 + (y - 0.7 + shift) ** 2 < 0.015
        lesion.append(torch.where(dense, 2, glass.long()))
        image.append(0.2 + 0.3 * glass + 0.6 * dense + 0.02 * torch.randn(size, size, generator=generator(7)))
    lesion[2] = torch.full_like(lesion[2], -1)
    labels = torch.stack(lesion)
    return LabelledBatch(torch.stack(image)[:, None].clamp(0, 1), labels, torch.full_like(labels, -1))


def test_as_many_weights_as_counted_by_hand():
    """Ten double convolutions of the released widths; biases before a normalisation are left out."""
    plan = [(2, 64, 64), (64, 128, 128), (128, 256, 256), (256, 512, 512), (512, 512, 512)]
    plan += [(1024, 512, 256), (512, 256, 128), (256, 128, 64), (128, 64, 64)]
    total = sum(9 * a * b + 2 * b + 9 * b * c + 2 * c for a, b, c in plan) + 64 * 3 + 3
    model = infnetclasses.InfNetClasses(infnetclasses.Config(), generator())
    assert count_parameters(model) == total


def test_it_learns_two_slices_and_both_stages_are_one():
    model = infnetclasses.InfNetClasses(replace(SMALL, width=16), generator())
    (player,) = infnetclasses.players(model)
    optimiser = torch.optim.Adam(player.parameters)
    batch, totals = drawn_slices(), []
    for step in range(SMALL.steps):
        optimiser.param_groups[0]["lr"] = player.lr_at(step)
        optimiser.zero_grad()
        total = player.loss(batch, step, generator())["total"]
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < 0.5 * totals[0]
    ask = infnetclasses.staged(model, lambda image: (image[:, 0] > 0.35).float())
    found = ask(batch.image)[:2].argmax(1)
    for label in (0, 1, 2):
        mine, true = found == label, batch.lesion[:2] == label
        assert 2 * (mine & true).sum() / (mine.sum() + true.sum()) > 0.85


def test_probabilities_sum_to_one_and_depend_on_the_prior():
    model = infnetclasses.InfNetClasses(replace(SMALL, classes=4), generator()).train()
    image = drawn_slices().image
    none, all_ = (model.probabilities(image, torch.full((3, 64, 64), value)) for value in (0.0, 1.0))
    for p in (none, all_):
        assert p.shape == (3, 4, 64, 64) and torch.allclose(p.sum(1), torch.ones(3, 64, 64))
    assert not torch.allclose(none, all_) and model.training
    with torch.no_grad():
        logits = model.eval()(image, torch.ones(3, 64, 64))
    assert torch.equal(all_.argmax(1), logits.argmax(1))


def test_every_parameter_is_reached_and_the_loss_is_the_mean_of_sigmoids():
    model = infnetclasses.InfNetClasses(SMALL, generator())
    batch = drawn_slices()
    total = infnetclasses.loss(model, batch)["total"]
    for gradient in torch.autograd.grad(total, list(model.parameters()), retain_graph=True):
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
    p = model(batch.image[:2], (batch.lesion[:2] > 0).float()).sigmoid()
    terms = [-torch.where(batch.lesion[:2] == c, p[:, c], 1 - p[:, c]).log().mean() for c in range(3)]
    assert total.item() == pytest.approx(sum(term.item() for term in terms) / 3, rel=1e-4)


def test_unlabelled_slices_give_no_loss():
    model = infnetclasses.InfNetClasses(SMALL, generator())
    batch = drawn_slices()
    unknown = LabelledBatch(batch.image, torch.full_like(batch.lesion, -1), batch.lung)
    nothing = infnetclasses.loss(model, unknown)["total"]
    gradients = torch.autograd.grad(nothing, list(model.parameters()))
    assert nothing.item() == 0 and all((gradient == 0).all() for gradient in gradients)


def test_settings_and_shapes_are_checked():
    settings = json.loads(json.dumps(asdict(SMALL)))
    model = infnetclasses.InfNetClasses(infnetclasses.Config(**settings), generator())
    assert model.config == SMALL
    for wrong in ({"classes": 1}, {"width": 0}, {"lr": 0.0}, {"steps": 0}):
        with pytest.raises(UsageError):
            infnetclasses.Config(**wrong)
    with pytest.raises(ShapeError, match="prior"):
        model(torch.rand(2, 1, 64, 64), torch.rand(2, 1, 64, 64))
    with pytest.raises(ShapeError, match="multiples of 32"):
        model(torch.rand(2, 1, 40, 64), torch.rand(2, 40, 64))
