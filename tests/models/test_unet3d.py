"""3D U-Net: shapes, parameters, the Wasserstein Dice loss beside its formula, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.models import unet3d
from glasslung.nn.batches import PatchBatch
from glasslung.nn.blocks import count_parameters

SMALL = {"width": 4, "levels": 3}


def made(**settings) -> unet3d.UNet3D:
    return unet3d.UNet3D(unet3d.Config(**(SMALL | settings)), torch.Generator().manual_seed(1))


def batch(classes: int = 5, unknown: bool = True, shape=(2, 16, 16, 24)) -> PatchBatch:
    rng = torch.Generator().manual_seed(2)
    label = torch.randint(0, classes, shape, generator=rng)
    if unknown:
        label[0, :4] = -1
    return PatchBatch(torch.rand(shape, generator=rng)[:, None], label)


@pytest.mark.parametrize("settings", [{}, {"fold": 2}, {"norm": "batch", "tree": "lungs"}])
def test_answers_for_every_voxel_and_sums_to_one(settings):
    model = made(**settings)
    image = torch.rand(1, 1, 16, 24, 8)
    found = model.probabilities(image)
    assert found.shape == (1, model.config.classes, 16, 24, 8)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 16, 24, 8))
    assert model.training


def test_the_paper_s_network_has_the_parameters_of_its_formula():
    model = unet3d.UNet3D(unet3d.Config(), torch.Generator().manual_seed(0))

    def conv(a: int, b: int, k: int = 27) -> int:
        return a * b * k + b

    def two(a: int, b: int) -> int:
        return conv(a, b) + conv(b, b) + 2 * 2 * b  # and scale and shift of two norms

    widths = [32, 64, 128, 256]
    down = two(1, 32) + sum(two(a, b) for a, b in itertools.pairwise(widths))
    # going up: 1x1x1 to half the channels, interpolation, two convolutions on what is joined
    up = sum(conv(2 * w, w, 1) + two(2 * w, w) for w in widths[:-1])
    assert count_parameters(model) == down + up + conv(32, 5, 1)


def test_same_generator_same_weights():
    one, other = made(), made()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("fold", [1, 2])
def test_gradient_reaches_every_parameter(fold):
    model = made(fold=fold)
    total = unet3d.loss(model, batch())["total"]
    gradients = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)


def slow_wasserstein_dice(p: np.ndarray, label: np.ndarray, m: np.ndarray) -> float:
    """Fidon et al. 2017, eq. 6 and 7, voxel by voxel, with 1 added above and below."""
    true, error = 0.0, 0.0
    for voxel in range(label.size):
        if label[voxel] < 0:
            continue
        w = sum(m[label[voxel], k] * p[k, voxel] for k in range(len(m)))
        error += w
        if label[voxel] > 0:
            true += m[label[voxel], 0] - w
    return 1 - (2 * true + 1) / (2 * true + error + 1)


@pytest.mark.parametrize("tree", list(unet3d.TREES))
def test_wasserstein_dice_is_its_formula(tree):
    m = unet3d.TREES[tree]
    one = batch(len(m), shape=(2, 4, 5, 6))
    scores = 2 * torch.randn(2, len(m), 4, 5, 6, generator=torch.Generator().manual_seed(3))
    p = torch.softmax(scores, 1).numpy().reshape(2, len(m), -1).astype(float)
    label = one.label.numpy().reshape(2, -1)
    wanted = np.mean([slow_wasserstein_dice(p[k], label[k], np.array(m)) for k in range(2)])
    assert float(unet3d.wasserstein_dice(scores, one.label, m)) == pytest.approx(wanted, abs=1e-5)


def test_a_mixture_is_forgiven_more_than_a_miss():
    label = torch.ones(1, 4, 4, 4, dtype=torch.int64)  # ground glass

    def cost(kind: int) -> float:
        scores = torch.full((1, 5, 4, 4, 4), -20.0)
        scores[:, kind] = 20.0
        return float(unet3d.wasserstein_dice(scores, label, unet3d.TREES["lesions"]))

    assert cost(1) < 0.01 < cost(4) < cost(2) < cost(0)


def test_trees_are_distances():
    for tree in unet3d.TREES.values():
        m = np.array(tree)
        assert (m == m.T).all() and (np.diag(m) == 0).all() and m.max() == 1
        assert (m[:, None, :] <= m[:, :, None] + m[None, :, :].transpose(0, 2, 1) + 1e-12).all()


def test_unknown_voxels_count_in_no_term():
    model = made().eval()
    one = batch()
    other = PatchBatch(one.image, one.label.clone())
    kept = unet3d.loss(model, one)
    for value in range(5):
        scores = model(one.image).detach()
        scores[0, value, :4] += 9.0
        told = unet3d.wasserstein_dice(scores, other.label, unet3d.TREES["lesions"])
        assert float(told) == pytest.approx(float(kept["wasserstein"].detach()), abs=1e-6)


def test_a_lesion_s_voxels_weigh_as_asked():
    one = batch(5, shape=(1, 8, 8, 8))
    model = made(tree="lungs and lesions", lesion_weight=3.0)
    found = float(unet3d.loss(model, one)["cross_entropy"].detach())
    told = torch.log_softmax(model(one.image), 1).detach().numpy()[0]
    label = one.label[0].numpy()
    weights = np.where(label < 0, 0.0, np.where(label > 1, 3.0, 1.0))
    each = -np.take_along_axis(told, np.maximum(label, 0)[None], 0)[0]
    assert found == pytest.approx((weights * each).sum() / weights.sum(), rel=1e-4)


def test_a_batch_without_any_label_costs_nothing():
    blank = batch()
    blank = PatchBatch(blank.image, torch.full_like(blank.label, -1))
    terms = unet3d.loss(made(), blank)
    assert all(float(term.detach()) == 0 for term in terms.values())


def test_one_player_learns_two_classes():
    model = made(tree="lungs")
    player = unet3d.players(model)[0]
    one = batch(2, unknown=False)
    one = PatchBatch(one.label[:, None] * 0.5 + 0.2 * one.image, one.label)
    rng = torch.Generator().manual_seed(0)
    before = float(player.loss(one, 0, rng)["total"].detach())
    optimiser = torch.optim.Adam(player.parameters, lr=5e-3)
    for step in range(25):
        optimiser.zero_grad()
        player.loss(one, step, rng)["total"].backward()
        optimiser.step()
    assert float(player.loss(one, 0, rng)["total"].detach()) < 0.5 * before


def test_what_is_wrong_is_refused_with_the_remedy():
    with pytest.raises(ShapeError, match="multiples of 4"):
        made()(torch.rand(1, 1, 16, 18, 16))
    with pytest.raises(DataError, match="choose the tree"):
        unet3d.loss(made(tree="lungs"), batch(5))
    with pytest.raises(UsageError, match="trees"):
        unet3d.Config(tree="hearts")
    with pytest.raises(UsageError, match="norm"):
        unet3d.Config(norm="layer")
    with pytest.raises(ShapeError, match="label"):
        PatchBatch(torch.rand(1, 1, 4, 4, 4), torch.zeros(1, 4, 4, 5, dtype=torch.int64))
    with pytest.raises(ShapeError, match="patches"):
        PatchBatch(torch.rand(1, 4, 4, 4), torch.zeros(1, 4, 4, 4, dtype=torch.int64))
