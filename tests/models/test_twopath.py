"""TwoPath: any box, parameters by formula, gradients everywhere, a wider view through the low pathway."""

from __future__ import annotations

import itertools

import pytest
import torch

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.models import twopath
from glasslung.nn.batches import PatchBatch
from glasslung.nn.blocks import count_parameters


def made(width: float = 0.1, **settings) -> twopath.TwoPath:
    return twopath.TwoPath(twopath.Config(width=width, **settings), torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(12, 12, 12), (7, 16, 11)])
def test_any_box_gets_an_answer_for_every_voxel(shape):
    found = made().probabilities(torch.rand(1, 1, *shape))
    assert found.shape == (1, 2, *shape)
    torch.testing.assert_close(found.sum(1), torch.ones(1, *shape))


def test_parameters_of_the_formula():
    layers = [1, 30, 30, 40, 40, 40, 40, 50, 50]
    pathway = sum(27 * a * b + 3 * b for a, b in itertools.pairwise(layers))  # norm 2, PReLU 1
    read = 100 * 150 + 150 * 150 + 2 * 3 * 150 + 150 * 2 + 2
    model = twopath.TwoPath(twopath.Config(), torch.Generator().manual_seed(0))
    assert count_parameters(model) == 2 * pathway + read


def test_gradient_reaches_every_parameter_and_unknown_voxels_do_not_count():
    model = made()
    rng = torch.Generator().manual_seed(2)
    label = torch.randint(0, 2, (2, 9, 12, 12), generator=rng)
    label[1] = -1
    one = PatchBatch(torch.rand(2, 1, 9, 12, 12, generator=rng), label)
    terms = twopath.loss(model, one)
    assert 0 <= float(terms["right"]) <= 1
    gradients = torch.autograd.grad(terms["total"], list(model.parameters()), allow_unused=True)
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    blank = PatchBatch(one.image, torch.full_like(label, -1))
    assert float(twopath.loss(model, blank)["total"].detach()) == 0


def test_the_low_pathway_sees_three_times_as_far():
    """What changes at the middle changes nothing beyond 8 voxels without it, and farther with it."""
    model = made().eval()
    image = torch.rand(1, 1, 3, 3, 61, generator=torch.Generator().manual_seed(4))
    other = image.clone()
    other[..., 30] += 1
    with torch.no_grad():
        near = (model.normal(image) - model.normal(other)).abs().amax((0, 1, 2, 3)) > 0
        far = (model(image) - model(other)).abs().amax((0, 1, 2, 3)) > 0
    assert near.nonzero().flatten().tolist() == list(range(22, 39))
    assert far[:20].any() and not far[0]


def test_what_is_wrong_is_refused():
    with pytest.raises(UsageError, match="2 or more classes"):
        twopath.Config(classes=1)
    with pytest.raises(ShapeError, match="boxes"):
        made()(torch.rand(1, 1, 2, 12, 12))
    with pytest.raises(DataError, match="labels that fit"):
        twopath.loss(
            made(), PatchBatch(torch.rand(1, 1, 6, 6, 6), torch.full((1, 6, 6, 6), 3, dtype=torch.int64))
        )
    assert len(twopath.players(made())) == 1
