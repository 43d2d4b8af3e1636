"""The CVAE: its parts have the paper's sizes, its loss is the bound, and its priors know what they should."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import build, cvae
from glasslung.nn.batches import SideBatch
from glasslung.nn.blocks import count_parameters


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slices(count: int = 6, side: int = 32, seed: int = 0) -> SideBatch:
    """Two dark lungs on black; those with the disease have a bright patch, marked as lesion."""
    rng = generator(seed)
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side),) * 2, indexing="ij")
    label = torch.arange(count) % 2
    image, lesion = torch.zeros(count, 1, side, side), torch.zeros(count, 1, side, side)
    for row in range(count):
        wide = 0.1 + 0.1 * torch.rand(1, generator=rng)
        lung = (((x - 0.3).abs() < wide) | ((x - 0.7).abs() < wide)) & ((y - 0.5).abs() < 0.4)
        low = 0.6 * torch.rand(1, generator=rng) + 0.2
        patch = lung & ((y - low).abs() < 0.12) & (label[row] == 1)
        image[row, 0] = 0.3 * lung + 0.4 * patch
        lesion[row, 0] = patch.float()
    return SideBatch(image, lesion, label)


def made(**settings) -> cvae.CVAE:
    return build("cvae", 1, **({"size": 32} | settings))


def test_sizes_are_those_of_the_paper():
    model = made(size=64)
    assert count_parameters(model.branches) == 47_104
    assert count_parameters(model.read) == 64 * 8 * 8 * 64 + 64
    assert count_parameters(model.embed) == 2 * 64 + 64
    assert count_parameters(model.merge) == 128 * 64 + 64
    assert count_parameters(model.context) == 64 * 64 + 64
    assert count_parameters(model.posterior) == count_parameters(model.prior) == 64 * 32 + 32
    assert count_parameters(model.decode) == (64 * 32 + 32 * 16) * 9 + 48 + 16 * 4 + 1
    found = model(*(getattr(slices(4, 64), name) for name in ("image", "lesion", "label")), generator())
    assert found.mean.shape == (4, 1, 64, 64) and found.posterior.mean.shape == (4, 16)


@pytest.mark.parametrize("prior", cvae.PRIORS)
def test_the_loss_is_the_bound_by_pixel(prior):
    model, batch = made(prior=prior, kl_climb=0), slices()
    terms = cvae.loss(model, batch, 0, generator())
    found = model(batch.image, batch.lesion, batch.label, generator())
    p = torch.distributions.Normal(found.mean, 0.1)
    q, r = (
        torch.distributions.Normal(g.mean, (0.5 * g.logvar).exp()) for g in (found.posterior, found.prior)
    )
    bound = p.log_prob(batch.image).sum((1, 2, 3)) - torch.distributions.kl_divergence(q, r).sum(1)
    assert terms["total"].item() == pytest.approx(-bound.mean().item() / 1024, rel=1e-4)
    told = sum(terms[f"kl_{place:02d}"].item() for place in range(16))
    assert told == pytest.approx(terms["divergence"].item(), rel=1e-5)


def test_what_each_prior_knows():
    batch = slices()
    other = slices(seed=4)
    for prior, of_slice, of_label in (("standard", 0, 0), ("label", 0, 1), ("literal", 1, 1)):
        model = made(prior=prior)
        here = model.encode(batch.image, batch.lesion, batch.label)[1].mean
        there = model.encode(other.image, other.lesion, batch.label)[1].mean
        turned = model.encode(batch.image, batch.lesion, 1 - batch.label)[1].mean
        assert torch.equal(here, there) != bool(of_slice)
        assert torch.equal(here, turned) != bool(of_label)


@pytest.mark.parametrize("settings", [{}, {"side": False}, {"prior": "literal", "learn_sigma": True}])
def test_gradient_reaches_every_parameter(settings):
    model = made(**settings)
    terms = cvae.loss(model, slices(), 3, generator())
    gradients = torch.autograd.grad(terms["total"], list(model.parameters()))
    assert all(torch.isfinite(one).all() for one in gradients)


def test_the_weight_of_the_divergence_climbs():
    model, batch = made(kl_climb=10, kl=2e4), slices()
    totals = [cvae.loss(model, batch, step, generator()) for step in (0, 9, 99)]
    shares = [(t["total"] - t["reconstruction"]).item() / t["divergence"].item() * 1024 for t in totals]
    assert shares == pytest.approx([2e3, 2e4, 2e4], rel=1e-2)


def test_learns_to_show_slices_again_and_uses_its_latents():
    model = made(kl_climb=50, latents=8)
    (player,) = cvae.players(model)
    adam = torch.optim.Adam(player.parameters, lr=player.lr)
    for step in range(150):
        adam.zero_grad()
        player.loss(slices(16, seed=step), step, generator(step))["total"].backward()
        torch.nn.utils.clip_grad_norm_(player.parameters, player.clip_total_norm)
        adam.step()
    fresh = slices(16, seed=999)
    terms = cvae.loss(model, fresh, 999, generator())
    spread = (fresh.image - fresh.image.mean(0)).square().mean().sqrt().item()
    assert terms["error"].item() < 0.85 * spread
    assert terms["active"].item() >= 1


def test_unknown_labels_and_empty_lesions_are_read():
    model, batch = made(), slices()
    unknown = SideBatch(batch.image, torch.zeros_like(batch.lesion), torch.full_like(batch.label, -1))
    terms = cvae.loss(model, unknown, 0, generator())
    assert all(math.isfinite(term.item()) for term in terms.values())


def test_wrong_settings_and_sizes_are_refused():
    for wrong in ({"size": 30}, {"prior": "flat"}, {"sigma": 0}, {"latents": 0}):
        with pytest.raises(UsageError):
            made(**wrong)
    with pytest.raises(ShapeError, match="32, 32"):
        cvae.loss(made(), slices(side=40), 0, generator())


def test_the_literal_output_does_not_go_far_below_black():
    model, literal = made(), made(literal_output=True)
    z = torch.randn(20, 16, generator=generator()) * 5
    assert literal.draw(z)[0].min() > 0.05 * model.draw(z)[0].min()
