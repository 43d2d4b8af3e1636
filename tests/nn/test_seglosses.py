"""Losses of segmenters against slow twins written from their formulas, and silence on the unlabelled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from glasslung.errors import UsageError
from glasslung.nn import seglosses
from glasslung.nn.seglosses import LOSSES, lesion_loss


@pytest.fixture
def drawn():
    """Logits (2, 3, 5, 4) and labels with some pixels unknown; every class is there."""
    rng = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 3, 5, 4, generator=rng, dtype=torch.float64)
    label = torch.randint(-1, 3, (2, 5, 4), generator=rng)
    return logits, label


def known_pixels(logits, label):
    """(probabilities of the classes, label) of each known pixel, by hand."""
    for b, h, w in np.ndindex(*label.shape):
        if label[b, h, w] != -1:
            raised = [math.exp(v) for v in logits[b, :, h, w].tolist()]
            yield [v / sum(raised) for v in raised], int(label[b, h, w])


def slow_focal(logits, label, gamma, alpha):
    terms = []
    for p, y in known_pixels(logits, label):
        scale = 1 if alpha is None else (1 - alpha if y == 0 else alpha)
        terms.append(-scale * (1 - p[y]) ** gamma * math.log(p[y]))
    return np.mean(terms)


def slow_dice(logits, label):
    found = []
    for c in range(1, logits.shape[1]):
        pixels = [(p[c], y == c) for p, y in known_pixels(logits, label)]
        if any(y for _, y in pixels):
            both = sum(p * y for p, y in pixels)
            found.append(1 - (2 * both + 1e-5) / (sum(p + y for p, y in pixels) + 1e-5))
    return np.mean(found)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [None, 0.25])
def test_focal(drawn, gamma, alpha):
    found = seglosses.focal_loss(*drawn, gamma, alpha).item()
    assert found == pytest.approx(slow_focal(*drawn, gamma, alpha), rel=1e-5)


def test_cross_entropy_is_focal_without_focus(drawn):
    assert seglosses.cross_entropy(*drawn).item() == pytest.approx(slow_focal(*drawn, 0, None))


def test_dice(drawn):
    logits, label = drawn
    found = seglosses.dice_loss(logits.softmax(1), label).item()
    assert found == pytest.approx(slow_dice(logits, label), rel=1e-5)
    label = label.where(label != 2, 0)  # nobody drew class 2
    found = seglosses.dice_loss(logits.softmax(1), label).item()
    assert found == pytest.approx(slow_dice(logits, label), rel=1e-5)


def test_sums_of_two(drawn):
    logits, label = drawn
    for how, gamma in (("ce+dice", 0), ("focal+dice", 2)):
        slow = slow_focal(logits, label, gamma, None) + slow_dice(logits, label)
        assert lesion_loss(logits, label, how).item() == pytest.approx(slow, rel=1e-5)


def test_binary(drawn):
    logit, label = drawn[0][:, :1], drawn[1].clamp_max(1)
    pair = torch.cat([0 * logit, logit], 1)
    slow = slow_focal(pair, label, 0, None) + slow_dice(pair, label)
    assert seglosses.binary_loss(logit, label).item() == pytest.approx(slow, rel=1e-5)


def slow_weight(mask):
    """The pixel weight of one mask (H, W): a mean over 31 x 31 with no lesion beyond the border."""
    height, width = mask.shape
    out = np.zeros((height, width))
    for h, w in np.ndindex(height, width):
        around = mask[max(0, h - 15) : h + 16, max(0, w - 15) : w + 16].sum() / 31**2
        out[h, w] = 1 + 5 * abs(around - mask[h, w])
    return out


def slow_structure(logits, label, legacy):
    """Weighted IoU and cross-entropy of one map (B, H, W), slice by slice; unknown pixels are left out."""
    ious, weighted, plain = [], [], []
    for z, y in zip(logits, label, strict=True):
        known = y != -1
        if not known.any():
            continue
        mask = (y > 0).astype(float)
        weight, mask, p = slow_weight(mask)[known], mask[known], 1 / (1 + np.exp(-z[known]))
        bce = -(mask * np.log(p) + (1 - mask) * np.log(1 - p))
        both = (p * mask * weight).sum()
        ious.append(1 - (both + 1) / (((p + mask) * weight).sum() - both + 1))
        weighted.append((bce * weight).sum() / weight.sum())
        plain.extend(bce)
    return np.mean(ious) + np.mean(plain if legacy else weighted)


@pytest.mark.parametrize("legacy", [True, False])
def test_structure(legacy):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 2, 40, 36))
    label = (rng.random((3, 40, 36)) < 0.3).astype(np.int64)
    label[0, 5:9] = -1
    label[1] = -1
    found = seglosses.structure_loss(torch.from_numpy(logits), torch.from_numpy(label), legacy).item()
    slow = sum(slow_structure(logits[:, k], label, legacy) for k in range(2))
    assert found == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("how", [*LOSSES, "binary", "structure"])
def test_the_unlabelled_neither_count_nor_pull(drawn, how):
    logits, label = drawn
    logits = logits.clone().requires_grad_()
    compute = {
        "binary": lambda z, y: seglosses.binary_loss(z[:, :1], y),
        "structure": lambda z, y: seglosses.structure_loss(z[:, :1], y),
    }.get(how, lambda z, y: lesion_loss(z, y, how))
    alone = compute(logits, label)
    beside = compute(torch.cat([logits, logits + 3]), torch.cat([label, torch.full_like(label, -1)]))
    assert beside.item() == pytest.approx(alone.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(beside, logits, retain_graph=True)
    assert (gradient[:, 0][label == -1] == 0).all() and gradient.abs().max() > 0
    nothing = compute(logits, torch.full_like(label, -1))
    (gradient,) = torch.autograd.grad(nothing, logits)
    assert nothing.item() == 0 and (gradient == 0).all()


@pytest.mark.parametrize("how", LOSSES)
def test_logits_of_sixteen_bit_are_summed_in_thirty_two(how):
    logits = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)).bfloat16()
    label = torch.randint(0, 3, (1, 256, 256), generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        found = lesion_loss(logits, label, how)
    assert found.item() == pytest.approx(lesion_loss(logits.double(), label, how).item(), rel=1e-4)


def test_labels_are_folded_to_fewer_classes():
    lesion = torch.tensor([-1, 0, 1, 2, 3])
    assert seglosses.fold(lesion, 2).tolist() == [-1, 0, 1, 1, 1]
    assert seglosses.fold(lesion, 3).tolist() == [-1, 0, 1, 2, 1]
    assert seglosses.fold(lesion, 4).tolist() == [-1, 0, 1, 2, 3]
    with pytest.raises(UsageError):
        seglosses.fold(lesion, 1)


def test_silence_hangs_on_every_parameter():
    parameters = [torch.ones(2, requires_grad=True), torch.ones(3, 3, requires_grad=True)]
    nothing = seglosses.silence(parameters)
    assert nothing.item() == 0
    assert all((gradient == 0).all() for gradient in torch.autograd.grad(nothing, parameters))


def test_an_unknown_loss_is_refused(drawn):
    with pytest.raises(UsageError, match=r"ce\+dice"):
        lesion_loss(*drawn, "hinge")


def slow_slice_dice(probability: np.ndarray, label: np.ndarray) -> float:
    """Slice by slice, class by class, infection last, from the formula."""
    losses = []
    for p, y in zip(probability, label, strict=True):
        known = y >= 0
        if not known.any():
            continue
        each = []
        for wanted in (1, 2, None):
            truth = ((y == wanted) if wanted else (y > 0)) & known
            found = (p[wanted] if wanted else p[1] + p[2]) * known
            each.append(1 - (2 * (found * truth).sum() + 30) / (found.sum() + truth.sum() + 30))
        losses.append(np.mean(each))
    return float(np.mean(losses)) if losses else 0.0


def test_slice_dice_is_its_formula_and_deaf_to_what_is_unknown():
    rng = torch.Generator().manual_seed(3)
    p = torch.rand(4, 3, 9, 7, generator=rng).softmax(1)
    label = torch.randint(-1, 3, (4, 9, 7), generator=rng)
    label[1], label[2] = -1, 0
    assert float(seglosses.slice_dice_loss(p, label)) == pytest.approx(
        slow_slice_dice(p.numpy(), label.numpy()), abs=1e-6
    )
    assert seglosses.slice_dice_loss(p, torch.full_like(label, -1)) == 0
