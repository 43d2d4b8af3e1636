"""Two branches and a gate: sizes, weights, what a slice without lesions does, and the ablation."""

from __future__ import annotations

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.nn.blocks import count_parameters
from glasslung.nn.twobranches import Gate, TwoBranches, copy_branches, initialise_he


def made(seed: int = 0, **how) -> TwoBranches:
    both = TwoBranches(**how)
    initialise_he(both, torch.Generator().manual_seed(seed))
    return both


def slices(side: int = 32, count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    image = torch.rand(count, 1, side, side, generator=rng)
    return image, (torch.rand(image.shape, generator=rng) > 0.8).float()


def test_weights_are_those_of_the_paper():
    one = 16 * 25 + 16 + 32 * 16 * 9 + 32 + 64 * 32 * 9 + 64
    assert count_parameters(made(side=False)) == one
    assert count_parameters(made()) == 2 * one == 47_104


@pytest.mark.parametrize(("pooled", "side"), [(False, 8), (True, 4)])
def test_maps_are_a_quarter_or_an_eighth(pooled, side):
    assert made(pooled=pooled)(*slices()).shape == (3, 64, side, side)


def test_the_gate_is_a_rectified_product():
    gate = Gate()(torch.tensor([1.0, -2.0, 3.0, -1.0]), torch.tensor([2.0, 1.0, 0.0, -3.0]))
    assert gate.tolist() == [2.0, 0.0, 0.0, 3.0]


def test_a_slice_without_lesions_is_scaled_channel_by_channel_and_not_silenced():
    both = made()
    image, lesion = slices(side=64)
    empty = torch.zeros_like(lesion)
    relevance = both.side(empty)
    inner = relevance[..., 4:-4, 4:-4]
    assert torch.allclose(inner, inner[..., :1, :1].expand_as(inner))
    maps = both(image, empty)
    assert torch.equal(maps, torch.relu(both.whole(image) * relevance))
    assert (maps > 0).float().mean() > 0.1


def test_without_side_information_lesions_are_not_looked_at():
    alone = made(side=False)
    image, lesion = slices()
    assert torch.equal(alone(image, lesion), alone(image, torch.zeros_like(lesion)))
    assert torch.equal(alone(image, lesion), alone.whole(image))


def test_branches_are_copied_and_only_between_equals():
    source, target = made(1, pooled=True), made(2)
    copy_branches(source, target)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))
    with pytest.raises(UsageError, match="side branch"):
        copy_branches(source, made(side=False))


def test_same_generator_same_weights():
    assert all(torch.equal(a, b) for a, b in zip(made(3).parameters(), made(3).parameters(), strict=True))
