"""Inf-Net: as large as published, every part reached, learns two slices, silent without labels."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import infnet
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.blocks import count_parameters

LIGHT = infnet.Config(**{**infnet.VARIANTS["light"], "width": 8, "steps": 60, "lr": 5e-3})


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


def only(batch: LabelledBatch, *rows: int) -> LabelledBatch:
    take = list(rows)
    return LabelledBatch(batch.image[take], batch.lesion[take], batch.lung[take])


def test_as_many_weights_as_published():
    """33.122 million: with three channels, not one, in the stem, and the trunk's idle classifier."""
    mine = count_parameters(infnet.InfNet(infnet.Config(), generator()))
    assert mine + 2 * 32 * 9 + 2048 * 1000 + 1000 == pytest.approx(33.122e6, abs=500)


def test_maps_have_the_size_of_the_slice_and_every_parameter_is_reached():
    model = infnet.InfNet(LIGHT, generator())
    for size in ((64, 64), (96, 160)):
        maps = model(torch.rand(2, 1, *size, generator=generator(1)))
        assert [map_.shape for map_ in maps] == [(2, 1, *size)] * 5
    total = infnet.loss(model, drawn_slices(), 1)["total"]
    for name, parameter in model.named_parameters():
        (gradient,) = torch.autograd.grad(total, parameter, retain_graph=True)
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0, name


def test_it_learns_two_slices_in_a_few_steps():
    model = infnet.InfNet(replace(LIGHT, multiscale=False), generator())
    (player,) = infnet.players(model)
    optimiser = torch.optim.Adam(player.parameters)
    batch, totals = drawn_slices(), []
    for step in range(LIGHT.steps):
        optimiser.param_groups[0]["lr"] = player.lr_at(step)
        optimiser.zero_grad()
        total = player.loss(batch, step, generator())["total"]
        total.backward()
        optimiser.step()
        totals.append(total.item())
    assert totals[-1] < 0.6 * totals[0]
    mine, true = model.probabilities(batch.image)[:2, 1] > 0.5, batch.lesion[:2] > 0
    assert 2 * (mine & true).sum() / (mine.sum() + true.sum()) > 0.8


def test_reverse_attention_looks_where_the_coarser_map_sees_nothing():
    part = infnet.ReverseAttention(8, 4, 4, deep=False).eval()
    features = torch.rand(1, 8, 8, 8, generator=generator(1))
    edge = torch.rand(1, 4, 16, 16, generator=generator(2))
    sure = torch.full((1, 1, 4, 4), 40.0)  # infected everywhere: nothing is left to see
    with torch.no_grad():
        assert torch.allclose(part(features, sure, edge), part(0 * features, sure, edge))
        assert not torch.allclose(part(features, -sure, edge), part(0 * features, -sure, edge))


def test_probabilities_sum_to_one_and_the_grey_map_is_stretched():
    model = infnet.InfNet(LIGHT, generator()).train()
    image = drawn_slices().image
    p = model.probabilities(image)
    assert p.shape == (3, 2, 64, 64) and not p.requires_grad and model.training
    assert torch.allclose(p.sum(1), torch.ones(3, 64, 64))
    with torch.no_grad():
        assert torch.equal(p[:, 1], model.eval()(image).s3[:, 0].sigmoid())
    grey = model.grey_map(image)
    for slice_, infected in zip(grey, p[:, 1], strict=True):
        assert slice_.min() == 0 and slice_.max() == pytest.approx(1, abs=1e-3)
        assert torch.equal(slice_.flatten().argmax(), infected.flatten().argmax())


def test_unlabelled_slices_give_no_loss():
    model = infnet.InfNet(LIGHT, generator())
    batch = drawn_slices()
    nothing = infnet.loss(model, only(batch, 2), 0)["total"]
    gradients = torch.autograd.grad(nothing, list(model.parameters()))
    assert nothing.item() == 0 and all((gradient == 0).all() for gradient in gradients)
    for step in range(3):
        beside, alone = infnet.loss(model, batch, step), infnet.loss(model, only(batch, 0, 1), step)
        assert beside["total"].item() == pytest.approx(alone["total"].item())
        assert beside["total"].item() == pytest.approx(beside["maps"].item() + beside["edge"].item())


def test_the_outline_is_the_mask_less_its_inside():
    rng = np.random.default_rng(0)
    label = (rng.random((2, 12, 10)) < 0.7).astype(np.int64)
    label[0, 0] = -1
    slow = label.copy()
    for b, h, w in np.ndindex(*label.shape):
        around = label[b, max(0, h - 1) : h + 2, max(0, w - 1) : w + 2]
        if label[b, h, w] == 1:
            slow[b, h, w] = int((around < 1).any())
    assert np.array_equal(infnet.outline(torch.from_numpy(label)).numpy(), slow)
    whole = infnet.outline(torch.ones(1, 5, 5, dtype=torch.int64))
    assert (whole == 0).all()  # the border of the picture is no edge


def test_edge_loss_is_the_mean_over_known_pixels():
    logit = torch.randn(2, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    edge = torch.randint(-1, 2, (2, 4, 4), generator=generator(2))
    p = 1 / (1 + np.exp(-logit[:, 0].numpy()))
    known, truth = edge.numpy() >= 0, edge.numpy() == 1
    slow = -np.log(np.where(truth, p, 1 - p))[known].mean()
    assert infnet.edge_loss(logit, edge).item() == pytest.approx(slow)


def test_slices_are_resized_to_multiples_of_32_and_masks_stay_masks():
    batch = drawn_slices()
    for rate, size in ((0.75, 64), (1.0, 64), (1.25, 64), (2.0, 128), (0.1, 32)):
        image, label = infnet.resize_slices(batch.image, batch.lesion, rate)
        assert image.shape == (3, 1, size, size) and label.shape == (3, size, size)
        assert set(label.unique().tolist()) <= {-1, 0, 1, 2} and (label[2] == -1).all()
    large = torch.rand(1, 1, 256, 256), torch.zeros(1, 256, 256)
    sizes = [infnet.resize_slices(*large, rate)[0].shape[2] for rate in infnet.RATES]
    assert sizes == [192, 256, 320]


def test_the_released_rate_stands_and_then_falls_at_every_epoch():
    config = infnet.Config(schedule="released", steps=990)
    rates = [infnet.learning_rate(config, step) for step in range(990)]
    assert rates[: 49 * 10] == [1e-4] * 490
    assert rates[49 * 10] == pytest.approx(1e-5) and rates[50 * 10] == pytest.approx(1e-6)


def test_settings_are_checked_and_survive_json():
    settings = json.loads(json.dumps(asdict(LIGHT)))
    assert infnet.InfNet(infnet.Config(**settings), generator()).config == LIGHT
    for wrong in ({"classes": 3}, {"edge": 0}, {"schedule": "steps"}, {"lr": -1.0}):
        with pytest.raises(UsageError):
            infnet.Config(**wrong)
    for variant in infnet.VARIANTS.values():
        infnet.Config(**variant)
    with pytest.raises(ShapeError, match="multiples of 32"):
        infnet.InfNet(LIGHT, generator())(torch.rand(1, 1, 60, 64))
