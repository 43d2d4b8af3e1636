"""The ladder of latents: the merge, the way down, what a level is worth."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.ladder import (
    Descent,
    Gaussian,
    Ladder,
    LevelUse,
    divergence,
    interpolate,
    latent_shapes,
    level_use,
    merge,
    name_collapsed,
)
from glasslung.nn.pixels import BetaHead, BetaPixels, MixtureHead
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine, paper_kl_weight, warm_up

WIDTHS = (8, 16)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(seed: int, *shape: int) -> Gaussian:
    rng = generator(seed)
    return Gaussian(torch.randn(shape, generator=rng), torch.randn(shape, generator=rng))


def test_the_merge_equals_the_precision_weighted_product():
    one, other = gaussian(1, 5, 3), gaussian(2, 5, 3)
    merged = merge(one, other)
    for row in range(5):
        for column in range(3):
            a, b = math.exp(one.logvar[row, column]), math.exp(other.logvar[row, column])
            variance = 1 / (1 / a + 1 / b)
            mean = variance * (one.mean[row, column] / a + other.mean[row, column] / b)
            assert merged.mean[row, column].item() == pytest.approx(mean.item(), abs=1e-5)
            assert merged.logvar[row, column].item() == pytest.approx(math.log(variance), abs=1e-5)


def test_a_sure_opinion_wins_and_extremes_stay_finite():
    sure = Gaussian(torch.tensor([2.0]), torch.tensor([-80.0]))
    vague = Gaussian(torch.tensor([-5.0]), torch.tensor([80.0]))
    merged = merge(sure, vague)
    assert merged.mean.item() == pytest.approx(2)
    assert torch.isfinite(merged.logvar).all()


def test_drawing_has_the_right_mean_and_spread():
    q = Gaussian(torch.full((20000,), 3.0), torch.full((20000,), math.log(4.0)))
    z = q.draw(generator())
    assert z.mean().item() == pytest.approx(3, abs=0.05)
    assert z.std().item() == pytest.approx(2, abs=0.05)
    assert torch.equal(q.draw(generator(), temperature=0), q.mean)
    assert torch.equal(q.draw(generator(7)), q.draw(generator(7)))


def small_ladder() -> Ladder:
    torch.manual_seed(0)
    return Ladder(WIDTHS)


SHAPES = [(3, 1, 8, 8), (3, 1, 4, 4)]


def features() -> list[torch.Tensor]:
    rng = generator(4)
    return [torch.randn(3, 8, 8, 8, generator=rng), torch.randn(3, 16, 4, 4, generator=rng)]


def test_the_way_down_equals_a_walk_written_out():
    ladder = small_ladder()
    with evaluating(ladder):
        evidence = ladder.evidence(features())
        got = ladder.descend(generator(), SHAPES, evidence, temperature=0)
        standard = Gaussian(torch.zeros(SHAPES[1]), torch.zeros(SHAPES[1]))
        top = merge(evidence[1], standard)
        e_top = ladder.expand[1](top.mean)
        mean, logvar = ladder.crush[0](ladder.infer[0](e_top))
        prior = Gaussian(mean, 10 * torch.tanh(logvar / 10))
        low = merge(evidence[0], prior)
    assert torch.equal(got.z[1], top.mean)
    assert torch.equal(got.z[0], low.mean)
    assert torch.allclose(got.p[0].mean, mean)
    assert torch.allclose(got.kl()[:, 0], divergence(low, prior))
    assert torch.allclose(got.kl()[:, 1], divergence(top, standard))


def test_without_evidence_the_prior_is_drawn_and_nothing_is_spent():
    ladder = small_ladder()
    with evaluating(ladder):
        descent = ladder.descend(generator(), SHAPES)
    assert torch.equal(descent.kl(), torch.zeros(3, 2))
    assert torch.equal(descent.sampled_kl(), torch.zeros(3, 2))
    assert [tuple(z.shape) for z in descent.z] == SHAPES


def test_the_sampled_divergence_has_the_closed_forms_mean():
    q, p = gaussian(1, 1, 6), gaussian(2, 1, 6)
    draws = []
    for seed in range(4000):
        z = q.draw(generator(seed))
        draws.append(Descent([z], [], [q], [p]).sampled_kl().item())
    mean, error = torch.tensor(draws).mean().item(), torch.tensor(draws).std().item() / 4000**0.5
    assert abs(mean - divergence(q, p).item()) < 4 * error


def test_given_latents_are_walked_through():
    ladder = small_ladder()
    fixed = torch.ones(SHAPES[1])
    with evaluating(ladder):
        descent = ladder.descend(generator(), SHAPES, given=[None, fixed])
    assert torch.equal(descent.z[1], fixed)
    assert not torch.equal(descent.z[0], torch.ones(SHAPES[0]))


def test_log_variances_stay_within_their_bound():
    ladder = small_ladder()
    with evaluating(ladder):
        wild = ladder.opinion(0, 1e6 * features()[0])
        ladder.bound = None
        free = ladder.opinion(0, 1e6 * features()[0])
    assert wild.logvar.abs().max() <= 10
    assert free.logvar.abs().max() > 10


def test_shapes_of_the_papers_latents():
    shapes = latent_shapes(16, 64, 5)
    assert [shape[-1] for shape in shapes] == [32, 16, 8, 4, 2]
    assert sum(h * w for _, _, h, w in shapes) == 1364


def test_interpolation_begins_and_ends_where_it_should():
    start, end = (
        [torch.randn(2, 1, 4, 4), torch.randn(2, 1, 2, 2)],
        [torch.randn(2, 1, 4, 4), torch.randn(2, 1, 2, 2)],
    )
    for spherical in (False, True):
        for fraction, target in ((0.0, start), (1.0, end)):
            for got, wanted in zip(interpolate(start, end, fraction, spherical), target, strict=True):
                assert torch.allclose(got, wanted, atol=1e-5)
    half = interpolate(start, end, 0.5)
    assert torch.allclose(half[0], (start[0] + end[0]) / 2)


def test_the_spherical_way_keeps_its_length_and_parallel_vectors_go_straight():
    a = torch.zeros(1, 1, 1, 2)
    b = torch.zeros(1, 1, 1, 2)
    a[..., 0], b[..., 1] = 3.0, 3.0
    (middle,) = interpolate([a], [b], 0.5, spherical=True)
    assert middle.norm().item() == pytest.approx(3)
    (middle,) = interpolate([a], [2 * a], 0.5, spherical=True)
    assert torch.allclose(middle, 1.5 * a)


def use_of(spread: float, nats: float) -> LevelUse:
    """Two levels; the second follows its prior, the first has means of this spread."""
    means = torch.linspace(-1, 1, 8).reshape(8, 1, 1, 1).expand(8, 1, 2, 2) * spread
    zero = torch.zeros(8, 1, 2, 2)
    logvar_p = zero
    q = Gaussian(means, zero)
    p = Gaussian(means - math.sqrt(2 * nats / 4), logvar_p)
    return level_use([Descent([], [], [q, Gaussian(zero, zero)], [p, Gaussian(zero, zero)])])[0]


def test_a_level_in_use_and_three_kinds_of_collapse():
    assert not use_of(spread=1.0, nats=3.0).collapsed
    assert use_of(spread=1.0, nats=3.0).nats == pytest.approx(3, rel=1e-5)
    assert use_of(spread=1.0, nats=0.0).collapsed  # varies, but exactly as its prior says
    assert use_of(spread=0.0, nats=3.0).collapsed  # costs, but says the same of every image
    uses = [use_of(1.0, 3.0), LevelUse("z2", 0.0, 0, 4)]
    assert name_collapsed(uses) == ["z2"]
    assert "COLLAPSED" in uses[1].text
    assert "4 of 4 units active" in uses[0].text


def test_use_needs_two_images():
    ladder = small_ladder()
    with evaluating(ladder):
        one = ladder.descend(generator(), [(1, 1, 8, 8), (1, 1, 4, 4)])
    with pytest.raises(UsageError, match="two at least"):
        level_use([one])


@pytest.mark.parametrize(
    ("epoch", "usvae", "cage"),
    [
        (0, 0.001, 1e-7),
        (50, 0.051, 0.05),
        (100, 0.109, 0.1),
        (199, 1.0, 0.991),
        (300, 2.515, 1.0),
        (398, 3.985, 1.0),
    ],
)
def test_the_released_weights_of_the_divergence(epoch, usvae, cage):
    """U-SVAE's first epoch is number 1, CAGE's number 0."""
    assert paper_kl_weight(epoch * 100 + 99, 3.985, first_epoch=1) == pytest.approx(usvae)
    assert paper_kl_weight(epoch * 100, 1.0, first_epoch=0) == pytest.approx(cage)


def test_schedules_begin_and_end_where_they_should():
    assert [warm_up(step, 4, 2.0) for step in range(6)] == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]
    assert warm_up(0, 0) == 1
    assert [cosine(step, 10, 1.0, 0.1, climb=2) for step in (0, 1, 2, 6, 10, 99)] == pytest.approx(
        [0.5, 1, 1, 0.55, 0.1, 0.1]
    )


def test_heads_give_positive_parameters_and_gradients_where_a_relu_is_dead():
    features = torch.randn(2, 16, 8, 8)
    for positive, smallest in (("softplus", 1e-4), ("relu", 1e-7)):
        head = BetaHead(16, positive)
        with torch.no_grad():
            head.a[-1].bias.fill_(-50.0)
        pixels = head(features)
        assert pixels.a.min().item() == pytest.approx(smallest, rel=1e-2)
        (gradient,) = torch.autograd.grad(pixels.a.log().sum(), [head.a[-1].bias])
        assert (gradient.abs().item() > 0) == (positive == "softplus")


def test_the_floor_of_the_released_loss_is_the_papers_evaluator():
    x = torch.rand(2, 1, 4, 4)
    x[0] = 0
    a, b = torch.rand(2, 1, 4, 4) * 3 + 0.1, torch.rand(2, 1, 4, 4) * 50 + 0.1
    floored = BetaPixels(a, b, floor=1e-7)
    assert torch.allclose(floored.log_density(x).double(), floored.paper_log_density(x), atol=2e-3)
    assert torch.equal(BetaPixels(a, b).mean(), a / (a + b))


def test_the_mixture_head_is_a_distribution_over_grey_levels():
    pixels = MixtureHead(16, components=3)(torch.randn(1, 16, 2, 2))
    total = sum(torch.exp(pixels.log_density(torch.full((1, 1, 2, 2), level / 255))) for level in range(256))
    assert torch.allclose(total, torch.ones(1, 1, 2, 2), atol=1e-4)
    assert 0 <= pixels.mean().min() <= pixels.mean().max() <= 1


def test_a_batch_refuses_to_be_wrong_and_moves_as_a_whole():
    label = torch.zeros(3, dtype=torch.long)
    batch = SliceBatch(torch.zeros(3, 1, 4, 4), label, label.float(), label)
    assert len(batch.to(torch.device("cpu"), channels_last=True)) == 3
    with pytest.raises(ShapeError, match=r"must be \(B, 1, H, W\)"):
        SliceBatch(torch.zeros(3, 4, 4), label, label.float(), label)
    with pytest.raises(ShapeError, match="need day"):
        SliceBatch(torch.zeros(3, 1, 4, 4), label, torch.zeros(2), label)


def test_a_player_without_parameters_or_turns_is_refused():
    weight = [torch.nn.Parameter(torch.ones(1))]
    with pytest.raises(UsageError, match="no parameters"):
        Player("x", [], lambda batch, step, rng: {})
    with pytest.raises(UsageError, match="1 or more"):
        Player("x", weight, lambda batch, step, rng: {}, turns=0)
    assert Player("x", weight, lambda batch, step, rng: {}, lr=lambda step: 1 / (1 + step)).lr_at(3) == 0.25
