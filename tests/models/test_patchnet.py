"""2DS: shapes, parameters, patches within the lungs, and a loss that bears unlabelled slices."""

from __future__ import annotations

import itertools

import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import patchnet
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.blocks import count_parameters


def made(**settings) -> patchnet.PatchNet:
    config = patchnet.Config(**({"width": 4, "patch": 32} | settings))
    return patchnet.PatchNet(config, torch.Generator().manual_seed(1))


def batch(side: int = 64) -> LabelledBatch:
    rng = torch.Generator().manual_seed(2)
    lesion = torch.randint(0, 4, (3, side, side), generator=rng)
    lesion[1] = -1
    lung = torch.zeros(3, side, side, dtype=torch.int64)
    lung[:, 20:60, 8:30] = 1
    lung[2] = -1
    return LabelledBatch(torch.rand(3, 1, side, side, generator=rng), lesion, lung)


def test_probabilities_of_every_pixel():
    model = made()
    found = model.probabilities(torch.rand(2, 1, 64, 96))
    assert found.shape == (2, 2, 64, 96) and model.training
    torch.testing.assert_close(found.sum(1), torch.ones(2, 64, 96))


def test_the_paper_s_network_has_the_parameters_of_its_formula():
    model = patchnet.PatchNet(patchnet.Config(), torch.Generator().manual_seed(0))

    def conv(a: int, b: int, k: int = 9) -> int:
        return a * b * k + b

    def two(a: int, b: int) -> int:
        return conv(a, b) + conv(b, b) + 2 * 2 * b

    widths = [16, 32, 64, 128, 256]
    down = two(1, 16) + sum(two(a, b) for a, b in itertools.pairwise(widths))
    up = sum(conv(2 * w, w, 1) + two(2 * w, w) for w in (128, 64, 32))
    top = two(16 + 32, 16)  # MONAI's last level does not halve before it joins
    assert count_parameters(model) == down + up + top + conv(16, 2, 1)


def test_patches_lie_in_the_box_around_the_lungs():
    whole = batch()
    place = torch.arange(64 * 64).view(64, 64).float()
    whole = LabelledBatch(place.expand(3, 1, 64, 64).clone(), whole.lesion, whole.lung)
    tops, lefts = set(), set()
    for seed in range(40):
        part = patchnet.draw_patches(whole, 32, torch.Generator().manual_seed(seed))
        first = part.image[0, 0, 0, 0].long()
        top, left = int(first) // 64, int(first) % 64
        tops.add(top)
        lefts.add(left)
        assert part.image.shape == (3, 1, 32, 32)
        assert torch.equal(part.lesion[0], whole.lesion[0, top : top + 32, left : left + 32])
    assert tops <= set(range(20, 29)) and len(tops) > 4  # rows 20 to 59: a patch of 32 stays inside them
    assert lefts <= set(range(0, 9))  # columns 8 to 29 are fewer than 32: the patch holds them all


def test_a_slice_no_larger_than_the_patch_stays_whole():
    small = batch(32)
    assert patchnet.draw_patches(small, 32, torch.Generator()) is small


def test_gradient_reaches_every_parameter_and_unlabelled_slices_cost_nothing():
    model = made(patch=64)
    rng = torch.Generator().manual_seed(0)
    terms = patchnet.loss(model, batch(), rng)
    gradients = torch.autograd.grad(terms["total"], list(model.parameters()), allow_unused=True)
    assert all(g is not None and torch.isfinite(g).all() for g in gradients)
    one = batch()
    blank = LabelledBatch(one.image, torch.full_like(one.lesion, -1), one.lung)
    assert float(patchnet.loss(model, blank, rng)["total"].detach()) == 0


def test_what_is_wrong_is_refused():
    with pytest.raises(UsageError, match="two classes"):
        patchnet.Config(classes=3)
    with pytest.raises(UsageError, match="multiple of 16"):
        patchnet.Config(patch=100)
    with pytest.raises(ShapeError, match="multiples of 16"):
        made()(torch.rand(1, 1, 40, 64))
    assert len(patchnet.players(made())) == 1
