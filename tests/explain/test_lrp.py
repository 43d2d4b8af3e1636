"""Relevance of whole classifiers: it adds up to the log-odds, layer by layer, and lies where reasons are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import zennit_networks
from torch import nn

from glasslung.errors import UsageError
from glasslung.explain.composites import CONSERVING, GRADIENT, PAPER, Composite, composite_named
from glasslung.explain.lrp import explain, explain_network
from glasslung.models import build
from glasslung.nn.batches import ExamBatch

SMALL = {
    "netvlad": {"size": 32, "width": 24, "clusters": 4},
    "slicewise": {"size": 32, "width": 4, "stages": 3},
    "densenet3d": {"box": (16, 32, 32), "first": 4, "growth": 3, "blocks": (2, 2)},
}
CLASSIFIERS = [(name, side) for name in SMALL for side in (True, False)]


def classifier(name, side=True, seed=0):
    """A small classifier whose batch norms have seen something."""
    model = build(name, seed, **SMALL[name], side=side).eval()
    rng = torch.Generator().manual_seed(seed)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.2, generator=rng)
            norm.running_var.uniform_(0.5, 2, generator=rng)
            nn.init.uniform_(norm.weight, 0.5, 1.5, generator=rng)
            nn.init.normal_(norm.bias, std=0.2, generator=rng)
    return model


def slices(count=5, seed=0, sick=True, size=32):
    """Slices with a bright disc in dark lungs, and the disc as lesion; (S, 1, H, W) twice."""
    rng = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    lung = ((y - size / 2) ** 2 + (x - size / 2) ** 2) < (0.45 * size) ** 2
    image = (0.2 + 0.1 * torch.rand(count, 1, size, size, generator=rng)) * lung
    disc = (((y - 12) ** 2 + (x - 18) ** 2) < 16).expand(count, 1, size, size)
    if sick:
        image = torch.where(disc, 0.8, image)
    return image, (disc & torch.tensor(sick)).float()


@pytest.fixture(scope="module")
def trained():
    """Classifiers that have learned to see the disc."""
    models = {}
    for name in SMALL:
        model = build(name, 1, **SMALL[name])
        sick, well = slices(3, 1), slices(3, 2, sick=False)
        scan = torch.tensor([0] * 3 + [1] * 3)
        batch = ExamBatch(
            *(torch.cat(pair) for pair in zip(sick, well, strict=True)), scan, torch.tensor([1, 0])
        )
        optimiser = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(25):
            logits = model(batch.image, batch.lesion, batch.scan)
            loss = nn.functional.cross_entropy(logits, batch.label)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert loss.item() < 0.3, name
        models[name] = model.eval()
    return models


@pytest.mark.parametrize(("name", "side"), CLASSIFIERS)
@pytest.mark.parametrize("composite", ["conserving", "gradient"])
def test_random_weights_lose_nothing(name, side, composite):
    model = classifier(name, side)
    image, lesion = slices()
    found = explain(model, image, lesion, torch.zeros(5, dtype=torch.long), composite)
    expected = model.scores(image, lesion, torch.zeros(5, dtype=torch.long)).item()
    assert found.log_odds == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert found.error < 1e-4
    assert found.image.shape == found.lesion.shape == (5, 32, 32)
    assert all(abs(line.lost) < 1e-4 * abs(found.log_odds) for line in found.lines)
    assert side == bool(np.abs(found.lesion).sum())


@pytest.mark.parametrize("name", SMALL)
def test_trained_weights_lose_nothing(trained, name):
    sick, well = (explain(trained[name], *slices(4, 7, ill)) for ill in (True, False))
    assert sick.error < 1e-4
    assert well.error < 1e-4
    assert sick.log_odds > well.log_odds + 1


@pytest.mark.parametrize("name", ["netvlad", "slicewise"])
def test_relevance_lies_where_the_reason_is(trained, name):
    image, lesion = slices(4, 7)
    found = explain(trained[name], image, lesion)
    inside = lesion[:, 0].numpy() > 0
    near = np.maximum(found.map, 0)
    assert near[inside].sum() / near.sum() > 5 * inside.mean()


def test_the_papers_gate_doubles():
    model = classifier("netvlad")
    paper = explain(model, *slices(), composite=PAPER)
    ours = explain(model, *slices(), composite=CONSERVING)
    gate = {line.layer: line for line in paper.lines}["branches.gate"]
    assert gate.passed == pytest.approx(2 * gate.arrived)
    assert paper.error > 0.1
    assert {line.layer for line in paper.lines} == {line.layer for line in ours.lines}


def test_nothing_lies_on_black_where_only_what_is_visible_counts():
    image, lesion = slices()
    found = explain(classifier("netvlad"), image, lesion, composite="visible")
    assert not found.image[image[:, 0].numpy() == 0].any()
    assert not found.lesion[lesion[:, 0].numpy() == 0].any()
    assert found.error < 1e-4


def test_parts_do_not_change_the_answer():
    model = classifier("netvlad")
    image, lesion = slices(7)
    whole, parts = (explain(model, image, lesion, at_once=n) for n in (7, 2))
    np.testing.assert_allclose(whole.map, parts.map, rtol=1e-3, atol=1e-6 * np.abs(whole.map).max())
    assert [line.layer for line in whole.lines] == [line.layer for line in parts.lines]
    assert parts.error < 1e-4


def test_gradient_composite_is_gradient_times_input():
    """Without a gate and with NetVLAD's shares held still there is nothing else that LRP-0 could be."""
    model = classifier("slicewise")
    image, lesion = (one.requires_grad_() for one in slices())
    score = model.scores(image, lesion, torch.zeros(5, dtype=torch.long))
    grads = torch.autograd.grad(score.sum(), (image, lesion))
    found = explain(model, image.detach(), lesion.detach(), composite=GRADIENT)
    for got, x, grad in zip((found.image, found.lesion), (image, lesion), grads, strict=True):
        expected = (x * grad)[:, 0].detach().numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_scan_without_lesions_and_a_single_black_slice():
    model = classifier("netvlad")
    for image, lesion in (slices(3, sick=False), (torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32))):
        found = explain(model, image, lesion)
        assert np.isfinite(found.map).all()
        assert found.error < 1e-4


def test_the_model_is_left_as_it_was():
    model = classifier("slicewise").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain(model, *slices())
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(one.grad is None for one in model.parameters())


PLAIN = {
    2: lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 16, 8),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(8, 3),
    ),
    3: lambda: nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.BatchNorm3d(4),
        nn.ReLU(),
        nn.MaxPool3d(3, 2, 1),
        nn.Sequential(nn.Conv3d(4, 6, 3), nn.ReLU()),
        nn.AdaptiveMaxPool3d(2),
        nn.Flatten(),
        nn.Linear(48, 3),
    ),
}


@pytest.mark.parametrize("dims", PLAIN)
@pytest.mark.parametrize("composite", [CONSERVING, GRADIENT, Composite("z+", alpha=1.0, beta=0.0)])
def test_plain_networks_lose_nothing(dims, composite):
    torch.manual_seed(dims)
    network = PLAIN[dims]().eval()
    x = torch.rand(1, 1, *[16] * dims)
    relevance, book, answer = explain_network(network, x, 1, composite)
    assert relevance.shape == x.shape
    assert answer == pytest.approx(float(network(x)[0, 1].detach()), rel=1e-4)
    assert float(relevance.sum()) + book.absorbed == pytest.approx(answer, rel=1e-4)


def captum_network():
    torch.manual_seed(4)
    layers = [
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
    ]
    return (
        nn.Sequential(*layers, nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 2, 1)).eval().double()
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("epsilon", [1e-9, 0.1])
def test_captum_agrees_on_epsilon(epsilon):
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    network = captum_network()
    x = torch.rand(1, 1, 12, 12, dtype=torch.float64)
    ours, _, _ = explain_network(
        network, x, 1, Composite("epsilon", "epsilon", "epsilon", "epsilon", epsilon=epsilon)
    )
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.rule = EpsilonRule(epsilon=epsilon)
    theirs = LRP(network).attribute(x, target=(1, 0, 0))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)


@pytest.mark.filterwarnings("ignore")
def test_captum_agrees_on_alpha_1_beta_0():
    """With biases that are nowhere negative: captum counts those among z+ too."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule

    network = captum_network()
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.uniform_(layer.bias, 0, 0.2)
    x = torch.rand(1, 1, 12, 12, dtype=torch.float64)
    literal = Composite("z+", "alphabeta", alpha=1.0, beta=0.0, whole=False, shared=False)
    ours, _, _ = explain_network(network, x, 1, literal)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.rule = Alpha1_Beta0_Rule()
    theirs = LRP(network).attribute(x, target=(1, 0, 0))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)


def test_what_cannot_be_explained_is_refused_by_name():
    image, lesion = slices(2)
    with pytest.raises(UsageError, match="of one scan"):
        explain(classifier("netvlad"), image, lesion, torch.tensor([0, 1]))
    with pytest.raises(UsageError, match="lesions alike"):
        explain(classifier("netvlad"), image, lesion[:1])
    with pytest.raises(UsageError, match="not Linear"):
        explain(nn.Linear(1, 1), image, lesion)
    with pytest.raises(UsageError, match=r"no rule for LSTM \(layer '1'\)"):
        explain_network(nn.Sequential(nn.Linear(3, 3), nn.LSTM(3, 3)), torch.zeros(1, 3))
    with pytest.raises(UsageError, match="there are conserving, paper, gradient, visible"):
        composite_named("guess")
    with pytest.raises(UsageError, match="sum to 1"):
        Composite("odd", alpha=2.0, beta=1.0)
    with pytest.raises(UsageError, match="no rule 'magic'"):
        Composite("odd", features="magic")
    with pytest.raises(UsageError, match="low must be below high"):
        Composite("odd", low=1.0)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("pixels", ["zbox", "alphabeta"])
def test_zennit_agrees(dims, pixels):
    """zennit 0.5.1's relevance, kept by `python benchmarks/lrp_beside_zennit.py reference`."""
    with np.load(Path(__file__).parent / "zennit_reference.npz") as kept:
        expected = kept[f"{dims}d {'box' if pixels == 'zbox' else pixels}"]
        answers = kept[f"answer {dims}d"]
    network = zennit_networks.network(dims)
    literal = Composite("as zennit", pixels=pixels, head="epsilon", whole=False, shared=False)
    found, _, answer = explain_network(network, zennit_networks.picture(dims), 1, literal)
    assert answer == pytest.approx(answers[0, 1], rel=1e-9)
    assert np.abs(expected).sum() > 0.1
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
