"""Styles as laws of grey against slow twins; repainting moves tissues to each other's greys."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from glasslung.nn import stitchstyles

BINS = 16


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pieces() -> tuple[Tensor, Tensor]:
    """Two small slices and how much each pixel is of each of four labels."""
    image = torch.rand(2, 1, 6, 5, generator=seeded())
    return image, torch.randn(2, 4, 6, 5, generator=seeded(1)).softmax(1)


def test_greys_fall_into_their_bins() -> None:
    greys = torch.tensor([0.0, 0.49 / BINS, 1.5 / BINS, 0.999, 1.0]).view(1, 1, 1, 5)
    assert stitchstyles.grey_bins(greys, BINS).flatten().tolist() == [0, 0, 1, BINS - 1, BINS - 1]


def test_counts_are_those_of_a_slow_twin(pieces: tuple[Tensor, Tensor]) -> None:
    image, share = pieces
    bins = stitchstyles.grey_bins(image, BINS)
    found = stitchstyles.count_greys(share, bins, BINS)
    plain = torch.zeros(2, 4, BINS)
    for slice_, label in ((0, 1), (1, 3)):
        for row in range(6):
            for column in range(5):
                plain[slice_, label, bins[slice_, row, column]] += share[slice_, label, row, column]
        kernel = [math.exp(-0.5 * (step / stitchstyles.WIDTH) ** 2) for step in range(-4, 5)]
        for k in range(BINS):
            near = [plain[slice_, label, min(max(k + step, 0), BINS - 1)] for step in range(-4, 5)]
            wanted = sum(w * float(n) for w, n in zip(kernel, near, strict=True)) / sum(kernel)
            assert float(found[slice_, label, k]) == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_a_style_is_what_was_seen_and_what_was_known_by_their_pixels() -> None:
    counts = torch.zeros(1, 2, BINS)
    counts[0, 0, 3] = 300.0
    known = torch.full((2, BINS), 1 / BINS)
    styles = stitchstyles.fit_styles(counts, known, 100.0)
    assert torch.allclose(styles.sum(2), torch.ones(1, 2), atol=1e-5)
    assert float(styles[0, 0, 3]) == pytest.approx((300 + 100 / BINS) / 400, rel=1e-2)
    assert torch.allclose(
        styles[0, 1], known[1], rtol=1e-3
    )  # a tissue never seen has the style that is known


def test_density_is_the_style_at_the_pixels_grey(pieces: tuple[Tensor, Tensor]) -> None:
    image, _ = pieces
    bins = stitchstyles.grey_bins(image, BINS)
    styles = torch.rand(2, 4, BINS, generator=seeded(2)).softmax(2)
    found = stitchstyles.log_density(styles, bins)
    for place in ((0, 0, 0, 0), (1, 3, 5, 4), (1, 2, 2, 1)):
        batch, label, row, column = place
        assert float(found[place].exp()) == pytest.approx(
            float(styles[batch, label, bins[batch, row, column]])
        )


def test_fitting_can_be_learned_through(pieces: tuple[Tensor, Tensor]) -> None:
    image, share = pieces
    share = share.detach().requires_grad_()
    bins = stitchstyles.grey_bins(image, BINS)
    styles = stitchstyles.fit_styles(
        stitchstyles.count_greys(share, bins, BINS), torch.full((4, BINS), 1 / BINS), 5.0
    )
    (gradient,) = torch.autograd.grad(stitchstyles.log_density(styles, bins).mean(), share)
    assert gradient.isfinite().all() and float(gradient.abs().sum()) > 0


def two_tissues() -> tuple[Tensor, Tensor, Tensor]:
    """Left half dark (label 3), right half bright (label 2), both with grain; labels and styles are exact."""
    grain = 0.05 * torch.randn(1, 1, 32, 32, generator=seeded(3))
    image = (torch.where(torch.arange(32) < 16, 0.25, 0.75) + grain).clamp(0, 1)
    share = torch.zeros(1, 4, 32, 32)
    share[:, 3, :, :16], share[:, 2, :, 16:] = 1.0, 1.0
    bins = stitchstyles.grey_bins(image, 64)
    counts = stitchstyles.count_greys(share, bins, 64)
    return image, share, stitchstyles.fit_styles(counts, torch.full((4, 64), 1 / 64), 1.0)


def test_a_tissue_repainted_has_the_others_greys_and_keeps_its_order() -> None:
    image, share, styles = two_tissues()
    found = stitchstyles.repaint(image, share, styles)
    dark, bright = image[0, 0, :, :16], image[0, 0, :, 16:]
    made = found[0, 2, :, :16]
    assert float(made.mean()) == pytest.approx(float(bright.mean()), abs=0.03)
    order = dark.flatten().argsort()
    assert (made.flatten()[order].diff() >= -1e-4).all()
    assert torch.equal(found[0, 3, :, :16], dark)  # it has that style already
    assert float(found[0, 3, :, 16:].mean()) == pytest.approx(float(dark.mean()), abs=0.03)


def test_sixteen_bit_surroundings_do_not_blur_counts(pieces: tuple[Tensor, Tensor]) -> None:
    image, share = pieces
    bins = stitchstyles.grey_bins(image, BINS)
    with torch.autocast("cpu", torch.bfloat16):
        found = stitchstyles.count_greys(share, bins, BINS)
    assert torch.equal(found, stitchstyles.count_greys(share, bins, BINS))


def test_greys_are_heard_as_the_formula_says(pieces: tuple[Tensor, Tensor]) -> None:
    image, share = pieces
    how = stitchstyles.Hearing(bins=BINS, prior=0.1, sound=(0, 3))
    styles, log_x = stitchstyles.hear(share.log(), image, how)
    bins = stitchstyles.grey_bins(image, BINS)
    counts = stitchstyles.count_greys(share, bins, BINS)
    whole, pixels = counts.sum(1), bins[0].numel()
    for label in range(4):
        seen = counts[:, 0] + counts[:, 3] if label in (0, 3) else counts[:, label]
        seen = seen + 0.1 * whole  # a tenth of the slice's pixels, with the slice's own greys
        law = seen / seen.sum(1, keepdim=True)
        expected = (law + stitchstyles.FAINT) / (1 + BINS * stitchstyles.FAINT)
        assert torch.allclose(styles[:, label], expected, atol=1e-6)
        for b in range(len(bins)):
            assert torch.allclose(log_x[b, label], expected[b].log()[bins[b]], atol=1e-5)
    assert pixels == image[0, 0].numel()
