"""AgeFlow: two stages that leave each other alone, ageing that leads back, ages told as days."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import ageflow, build
from glasslung.models.ageflow import condition_of, draw_noise
from glasslung.nn.batches import SliceBatch
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")
NAN = float("nan")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(each: int = 2, seed: int = 0) -> SliceBatch:
    group = torch.arange(4).repeat_interleave(each)
    image = torch.from_numpy(np.random.default_rng(seed).random((len(group), 1, 64, 64), np.float32))
    image[..., :20] = 0
    return SliceBatch(image, group, torch.where(group > 0, 4.0 * group, NAN), group)


class Same:
    """The same batch for ever."""

    def __next__(self) -> SliceBatch:
        return batch()

    def state(self) -> dict:
        return {}

    def restore(self, state: dict) -> None:
        pass


@pytest.fixture(scope="module")
def trained() -> ageflow.AgeFlow:
    """Both stages, some steps each: the flow is no longer the identity."""
    model = build("ageflow", width=32, depth=2)
    for player in ageflow.players(model):
        fit(Game({"ageflow": model}, [player], Same(), 0, CPU), range(12))
    return model


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_each_stage_moves_only_its_own_weights():
    for index in (0, 1):
        model = build("ageflow", width=16, depth=1)
        before = weights(model)
        fit(Game({"ageflow": model}, [ageflow.players(model)[index]], Same(), 0, CPU), range(1))
        moved = {name.split(".")[0] for name, p in weights(model).items() if not torch.equal(p, before[name])}
        assert moved == ({"backbone", "ladder", "decoder", "head"}, {"flow", "fine"})[index]


def test_a_slice_carried_to_its_own_age_is_its_reconstruction(trained):
    data = batch()
    condition = condition_of(data.group, data.day)
    shown = trained.reconstruct(data.image, generator()).mean()
    same = trained.carry(data.image, condition, condition, generator()).mean()
    other = trained.carry(data.image, condition, condition.roll(2, 0), generator()).mean()
    assert float((same - shown).abs().max()) < 1e-3
    assert float((other - shown).abs().max()) > 10 * float((same - shown).abs().max())


def test_a_forgotten_lung_depends_on_the_age_alone(trained):
    data = batch()
    condition = condition_of(data.group, data.day)
    there = condition[:1].expand(8, 2)
    one = trained.carry(data.image, condition, there, generator(3), fresh=1.0).mean()
    two = trained.carry(data.image.flip(0), condition.flip(0), there, generator(3), fresh=1.0).mean()
    assert torch.allclose(one, two, atol=1e-6)
    with pytest.raises(UsageError, match="share"):
        trained.carry(data.image, condition, there, generator(), fresh=2.0)


def test_lungs_are_made_at_any_day(trained):
    condition = condition_of(torch.tensor([0, 1, 2, 3]), torch.tensor([NAN, 1.5, 6.0, 13.0]))
    first, second = (trained.imagine(condition, generator(1)).mean() for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (4, 1, 64, 64)
    assert not trained.imagine(condition, generator(2)).mean().equal(first)


def test_ages_are_told_as_illness_and_day():
    found = condition_of(torch.tensor([0, 1, 2, 3]), torch.tensor([NAN, NAN, 5.0, 14.0]))
    assert found.tolist() == [pytest.approx(row) for row in ([0, 0], [1, 0.2], [1, 0.5], [1, 1.4])]
    assert condition_of(torch.tensor([0]), torch.tensor([9.0])).tolist() == [[0, 0]]


def test_transport_gives_all_groups_the_same_noise():
    group = torch.tensor([0, 1, 0, 1, 0, 1])
    u = torch.randn(6, 4, generator=generator())
    noise = draw_noise("transport", u, group, generator(1))
    clouds = [sorted(noise[group == g][:, 0].tolist()) for g in (0, 1)]
    assert clouds[0] == clouds[1]
    free = draw_noise("independent", u, group, generator(1))
    for g in (0, 1):
        cloud = free[:3]
        assert (noise[group == g] - u[group == g]).square().sum() <= (
            cloud - u[group == g]
        ).square().sum() + 1e-4


def test_the_settings_and_slices_that_cannot_be_are_refused(trained):
    with pytest.raises(UsageError, match="pairing"):
        build("ageflow", pairing="fate")
    with pytest.raises(UsageError, match="coarse"):
        build("ageflow", coarse=0)
    with pytest.raises(ShapeError, match="64, 64"):
        trained.reconstruct(torch.zeros(1, 1, 32, 32), generator())
    assert dataclasses.replace(trained.config, pairing="independent").pairing == "independent"
