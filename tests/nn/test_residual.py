"""The residual ladder: shapes, a start beside the prior, latents in and out; and the lungs' controller."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.nn.control import FORGETTING, GAIN, LungTarget
from glasslung.nn.residual import LATENTS, ResidualBlock, ResidualLadder
from glasslung.nn.schedules import open_then_hold


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def ladder() -> ResidualLadder:
    return ResidualLadder(64, 9, 10.0, generator())


def picture(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, 64, 64, generator=generator(1)) * (
        torch.rand(count, 1, 64, 64, generator=generator(2)) > 0.5
    )


def test_latents_and_raw_numbers_have_their_shapes(ladder):
    with torch.no_grad():
        descent, raw = ladder.descend(generator(), 2, picture())
    assert raw.shape == (2, 9, 64, 64)
    assert [tuple(z.shape) for z in descent.z] == ladder.shapes(2)
    assert [z.shape[1] for z in descent.z] == list(LATENTS)
    assert [tuple(q.mean.shape) for q in descent.q] == ladder.shapes(2)


def test_an_untrained_posterior_stands_beside_its_prior(ladder):
    """Except at the finest level, which reads the pixels from the start."""
    with torch.no_grad():
        descent, _ = ladder.descend(generator(), 2, picture())
    per_number = descent.kl().mean(0) / torch.tensor([z[0].numel() for z in descent.z])
    assert (per_number[1:] < 0.01).all()
    assert 1e-4 < per_number[0] < 0.1


def test_a_block_starts_as_the_identity():
    x = torch.randn(1, 32, 4, 4, generator=generator())
    block = ResidualBlock(32)
    torch.nn.init.zeros_(block.spread.weight)
    torch.nn.init.zeros_(block.spread.bias)
    assert torch.equal(block(x), x)


def test_given_latents_lead_to_the_same_pixels(ladder):
    with torch.no_grad():
        descent, raw = ladder.descend(generator(3), 2, picture())
        _, again = ladder.descend(generator(9), 2, given=descent.z)
    assert torch.equal(raw, again)


def test_the_size_of_a_batch_changes_no_slice(ladder):
    x = picture(3)
    with torch.no_grad():
        together = ladder.descend(generator(), 3, x, temperature=0.0)[1]
        alone = torch.cat(
            [ladder.descend(generator(), 1, x[i : i + 1], temperature=0.0)[1] for i in range(3)]
        )
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_running_nats_follow_each_group_apart():
    control = LungTarget(2, 1.0, 0.1)
    image = torch.tensor([[[[0.0, 0.5]]], [[[0.25, 0.5]]]])
    nats = torch.tensor([[[[13.0, 2.0]]], [[[3.0, 5.0]]]])
    control.observe(nats, image, torch.tensor([1, 1]))
    assert control.lung.tolist() == pytest.approx([1.0, 1.0 + FORGETTING * ((2.0 + 4.0) / 2 - 1.0)])


def test_the_weight_moves_towards_the_target_and_stays_within_its_bounds():
    control = LungTarget(1, 2.0, 0.5)
    assert control.steer(1.5, 0.1, 1.0) == pytest.approx(0.5 * math.exp(GAIN * 0.5))
    assert control.steer(100.0, 0.4, 1.0) == 0.4
    assert control.steer(-1e4, 0.4, 1.0) == 1.0
    assert control.set(0.3) == float(control.weight) == pytest.approx(0.3)


def test_the_schedule_opens_and_then_leaves_it_to_the_controller():
    told = [open_then_hold(step, 1000, 0.6, 0.1, 0.5) for step in (0, 100, 200, 449, 450, 550, 650, 999)]
    assert [fixed for fixed, _ in told] == [pytest.approx(0.6 / 50), 0.6, 0.1, 0.1, None, None, None, None]
    assert [lowest for _, lowest in told[4:]] == pytest.approx([0.1, 0.3, 0.5, 0.5])
