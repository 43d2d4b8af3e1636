"""The stitching rule against slow twins, pixel by pixel and label by label."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.nn import stitch

SIDE = 3


@pytest.fixture
def pieces() -> tuple[torch.Tensor, torch.Tensor]:
    """log p(y) and log p(x | y) of two tiny slices, float64."""
    rng = torch.Generator().manual_seed(3)
    log_y = torch.log_softmax(torch.randn(2, 4, SIDE, SIDE, generator=rng, dtype=torch.float64), 1)
    log_x = torch.randn(2, 4, SIDE, SIDE, generator=rng, dtype=torch.float64)
    return log_y, log_x


def knowledge() -> tuple[torch.Tensor, torch.Tensor]:
    """Every pair of lesion and lung that can be met, as maps (1, 1, 15) each."""
    pairs = list(product((-1, 0, 1, 2, 3), (-1, 0, 1)))
    lesion, lung = (torch.tensor(part)[None, None] for part in zip(*pairs, strict=True))
    return lesion, lung


def still_possible(lesion: int, lung: int) -> set[int]:
    """The labels that remain, told case by case."""
    if lesion > 0:
        return {2} if lesion == 2 else {1}
    if lesion == 0:
        return {-1: {0, 3}, 0: {0}, 1: {3}}[lung]
    return {-1: {0, 1, 2, 3}, 0: {0}, 1: {1, 2, 3}}[lung]


def test_what_remains_possible_case_by_case() -> None:
    lesion, lung = knowledge()
    allowed = stitch.possible_labels(lesion, lung)
    for column in range(lesion.shape[2]):
        found = set(allowed[0, :, 0, column].nonzero()[:, 0].tolist())
        assert found == still_possible(int(lesion[0, 0, column]), int(lung[0, 0, column]))


def test_labels_are_stitched_as_the_paper_multiplies_them() -> None:
    rng = torch.Generator().manual_seed(0)
    fb, inner = torch.randn(1, 2, 2, 2, generator=rng), torch.randn(1, 3, 2, 2, generator=rng)
    p = stitch.stitch_labels(fb, inner).exp()
    lung, kinds = torch.softmax(fb, 1)[:, 1], torch.softmax(inner, 1)
    assert torch.allclose(p.sum(1), torch.ones(1, 2, 2))
    assert torch.allclose(p[:, 0], 1 - lung)
    for index in range(3):
        assert torch.allclose(p[:, 1 + index], lung * kinds[:, index])


def test_marginal_is_the_sum_over_all_labellings_of_the_slice(pieces) -> None:
    log_y, log_x = pieces[0][:1, :, :1, :], pieces[1][:1, :, :1, :]  # 3 pixels, 64 labellings
    allowed = torch.ones_like(log_y, dtype=torch.bool)
    allowed[0, 2, 0, 1] = False
    total = 0.0
    for labelling in product(range(4), repeat=SIDE):
        p = 1.0
        for pixel, label in enumerate(labelling):
            p *= float(allowed[0, label, 0, pixel])
            p *= math.exp(float(log_y[0, label, 0, pixel] + log_x[0, label, 0, pixel]))
        total += p
    assert float(stitch.log_marginal(log_y, log_x, allowed).sum()) == pytest.approx(math.log(total))


def test_expectation_and_recognition_never_exceed_the_marginal(pieces) -> None:
    log_y, log_x = pieces
    allowed = torch.rand(log_y.shape, generator=torch.Generator().manual_seed(1)) < 0.6
    allowed[:, 1] = True
    exact = stitch.log_marginal(log_y, log_x, allowed)
    assert (stitch.log_expected(log_y, log_x, allowed) <= exact + 1e-12).all()
    guess = torch.log_softmax(torch.randn(log_y.shape, dtype=torch.float64), 1)
    assert (stitch.log_recognised(guess, log_y, log_x, allowed) <= exact + 1e-12).all()
    posterior = stitch.label_posterior(log_y, log_x)
    assert torch.allclose(stitch.log_recognised(posterior, log_y, log_x, allowed), exact)


def test_all_agree_where_the_label_is_known(pieces) -> None:
    log_y, log_x = pieces
    allowed = torch.zeros_like(log_y, dtype=torch.bool)
    allowed[:, 2] = True
    wanted = log_y[:, 2] + log_x[:, 2]
    assert torch.allclose(stitch.log_marginal(log_y, log_x, allowed), wanted)
    assert torch.allclose(stitch.log_expected(log_y, log_x, allowed), wanted)
    assert torch.allclose(stitch.log_recognised(log_y, log_y, log_x, allowed), wanted)
    assert torch.allclose(stitch.log_possible(log_y, allowed), log_y[:, 2])


def test_nothing_known_costs_nothing_and_has_a_gradient(pieces) -> None:
    log_y = pieces[0].clone().requires_grad_()
    allowed = torch.ones_like(log_y, dtype=torch.bool)
    told = stitch.log_possible(log_y, allowed)
    assert (told == 0).all()
    stitch.log_recognised(
        log_y, log_y, pieces[1], allowed & (torch.arange(4) != 2).view(4, 1, 1)
    ).sum().backward()
    assert log_y.grad is not None and torch.isfinite(log_y.grad).all()


def test_focal_loss_by_hand() -> None:
    p = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    wanted = [-((1 - q) ** 2) * math.log(q) for q in p.tolist()]
    assert torch.allclose(stitch.focal_loss(p.log(), 2.0), torch.tensor(wanted, dtype=torch.float64))
    assert torch.allclose(stitch.focal_loss(p.log(), 0.0), -p.log())


def test_focal_loss_of_a_certain_answer_has_a_finite_gradient() -> None:
    log_p = torch.zeros(1, requires_grad=True)
    stitch.focal_loss(log_p, 0.5).sum().backward()
    assert torch.isfinite(log_p.grad).all()


def test_lungs_of_cut_out_controls_only() -> None:
    image = torch.zeros(3, 1, 2, 2)
    image[:, :, 0] = 0.5
    lesion, lung = torch.zeros(3, 2, 2, dtype=torch.int64), torch.full((3, 2, 2), -1)
    lesion[1, 0, 0] = 1  # ill: its lung is not guessed
    lung[2] = 0  # drawn by somebody: kept
    found = stitch.infer_lung(image, lesion, lung)
    assert found[0].tolist() == [[1, 1], [0, 0]]
    assert (found[1] == -1).all() and (found[2] == 0).all()


def test_hinge_rests_once_the_styles_stand_apart() -> None:
    styles = torch.zeros(1, 4, 2, 2)
    styles[:, stitch.GROUND_GLASS], styles[:, stitch.CONSOLIDATION] = 0.3, 0.6
    inside = torch.ones(1, 2, 2)
    assert float(stitch.style_hinge(styles, inside, 0.2)) == 0
    assert float(stitch.style_hinge(torch.zeros(1, 4, 2, 2), inside, 0.2)) == pytest.approx(0.4)
    assert float(stitch.style_hinge(torch.zeros(1, 4, 2, 2), 0 * inside, 0.2)) == 0


def test_proportions_diverge_when_lesions_are_missed() -> None:
    share = torch.tensor([0.8, 0.15, 0.05])
    as_expected = share.view(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert float(stitch.proportion_divergence(as_expected, share)) == pytest.approx(0, abs=1e-6)
    none = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    assert float(stitch.proportion_divergence(none, share)) == pytest.approx(-math.log(0.8), rel=1e-3)


@pytest.mark.parametrize("likelihood", stitch.LIKELIHOODS)
def test_styles_say_how_likely_a_slice_is_and_show_a_picture(likelihood: str) -> None:
    rng = torch.Generator().manual_seed(5)
    numbers = stitch.numbers_per_pixel(likelihood, components=2)
    pixels = stitch.StylePixels(likelihood, torch.randn(2, 4, numbers, 3, 3, generator=rng))
    image = torch.rand(2, 1, 3, 3, generator=rng)
    together = pixels.log_density(image)
    assert together.shape == (2, 4, 3, 3)
    assert pixels.mean().shape == (2, 4, 3, 3)
    assert pixels.mean().min() >= 0 and pixels.mean().max() <= 1
    for style in range(4):  # each style alone gives what it gave beside the others
        alone = stitch.StylePixels(likelihood, pixels.raw[:, style : style + 1])
        assert torch.allclose(alone.log_density(image)[:, 0], together[:, style], atol=1e-5)


def test_logistic_styles_share_one_unit_of_probability_over_256_greys() -> None:
    pixels = stitch.StylePixels("logistic", torch.zeros(1, 4, 3, 1, 1))
    greys = [pixels.log_density(torch.full((1, 1, 1, 1), k / 255)).exp() for k in range(256)]
    assert torch.allclose(torch.stack(greys).sum(0), torch.ones(1, 4, 1, 1), atol=1e-4)


def test_unknown_likelihood_is_refused() -> None:
    with pytest.raises(UsageError, match="poisson"):
        stitch.numbers_per_pixel("poisson")


def test_stitching_takes_each_style_where_its_label_lies() -> None:
    labels = torch.tensor([[0, 1], [2, 3]])
    log_y = torch.full((1, 4, 2, 2), float("-inf"))
    log_y[0].scatter_(0, labels[None], 0.0)
    styles = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 4, 1, 1).expand(1, 4, 2, 2)
    assert torch.allclose(stitch.stitch(log_y, styles)[0, 0], torch.tensor([[0.1, 0.2], [0.3, 0.4]]))
    assert stitch.lesion_probabilities(log_y)[0].argmax(0).tolist() == [[0, 1], [2, 0]]
