"""A critic's losses from their formulas, and distortions that are drawn, then applied."""

from __future__ import annotations

import pytest
import torch

from glasslung.nn.critics import (
    Critic,
    critic_loss,
    distort,
    draw_distortion,
    look,
    lung_outline,
    outline_moved,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 64, 64, generator=generator(seed))


def test_distortions_are_what_was_drawn_pixel_by_pixel():
    x, how = images(), draw_distortion(3, 64, generator(5), torch.device("cpu"))
    found = distort(x, how)
    for b in range(3):
        down, right = how.shift[b].tolist()
        top, left = how.cut[b].tolist()
        for row, column in ((0, 0), (20, 31), (40, 12), (63, 63), (top, left), (top + 15, left + 15)):
            r, c = row - down, column - right
            blank = top <= row < top + 16 and left <= column < left + 16
            inside = 0 <= r < 64 and 0 <= c < 64 and not blank
            expected = float(x[b, 0, r, c] * how.scale[b]) if inside else 0.0
            assert float(found[b, 0, row, column]) == pytest.approx(expected, abs=1e-6)


def test_a_gradient_passes_through_a_distortion():
    x = images().requires_grad_()
    (slope,) = torch.autograd.grad(distort(x, draw_distortion(3, 64, generator(), x.device)).sum(), x)
    assert (slope > 0).float().mean() > 0.5


def test_the_critics_loss_is_hinge_and_slope():
    critic, real, made = Critic(4, 4, generator()), images(), images(seed=1)
    age = torch.tensor([0, 1, 3])
    terms = critic_loss(critic, real, age, made, age, generator(7), r1=2.0)
    rng = generator(7)
    x = real.clone().requires_grad_()
    on_real, on_made = look(critic, x, age, rng), look(critic, made, age, rng)
    real_looks, made_looks = on_real.tolist(), on_made.tolist()
    hinge = (sum(max(0.0, 1 - v) for v in real_looks) + sum(max(0.0, 1 + v) for v in made_looks)) / 3
    (slope,) = torch.autograd.grad(on_real.sum(), x)
    steep = float(slope.square().sum()) / 3
    assert terms["total"].item() == pytest.approx(hinge + steep, rel=1e-4)
    assert critic_loss(critic, real, age, made, age, generator(7), r1=0.0)["total"].item() == pytest.approx(
        hinge, rel=1e-5
    )


def test_a_critic_may_look_at_slices_as_they_are():
    """Undistorted, nothing is drawn: a look is the critic's own word, and its loss is made of such looks."""
    critic, real, made = Critic(4, 4, generator()), images(), images(seed=1)
    age, rng = torch.tensor([0, 1, 3]), generator(7)
    state = rng.get_state()
    assert torch.equal(look(critic, real, age, rng, distorted=False), critic(real, age))
    terms = critic_loss(critic, real, age, made, age, rng, r1=0.0, distorted=False)
    assert torch.equal(rng.get_state(), state)
    on_real, on_made = critic(real, age).tolist(), critic(made, age).tolist()
    hinge = (sum(max(0.0, 1 - v) for v in on_real) + sum(max(0.0, 1 + v) for v in on_made)) / 3
    assert terms["total"].item() == pytest.approx(hinge, rel=1e-5)
    assert not torch.allclose(look(critic, real, age, rng), critic(real, age), atol=1e-5)


def test_a_critic_learns_the_age_it_is_told():
    """Bright slices are real at age 0, dark ones at age 1; only the age tells which is which."""
    critic = Critic(2, 4, generator())
    optimiser = torch.optim.Adam(critic.parameters(), 3e-3)
    bright, dark = 0.5 + 0.5 * images(4), 0.3 * images(4, 1)
    both, age = torch.cat([bright, dark]), torch.tensor([0] * 4 + [1] * 4)
    rng = generator(1)
    for _ in range(50):
        terms = critic_loss(critic, both, age, both, 1 - age, rng, r1=0.1)
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
    with torch.no_grad():
        true, false = (float(look(critic, both, told, rng).mean()) for told in (age, 1 - age))
    assert true > false + 0.5


def test_the_outline_sees_the_lung_and_not_the_lesion():
    lung = torch.zeros(1, 1, 64, 64)
    lung[..., 16:48, 16:48] = 0.3
    ill, moved = lung.clone(), torch.roll(lung, 4, 3)
    ill[..., 20:30, 20:30] = 0.9
    assert float(outline_moved(ill, lung)) < 1e-6
    assert float(outline_moved(moved, lung)) == pytest.approx(2 * 4 * 32 / 64**2, rel=0.05)
    assert float(lung_outline(lung)[0, 0, 0, 0]) < 0.01
