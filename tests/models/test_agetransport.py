"""AgeTransport: only lungs change, draws follow the law of the partners, like is paired with like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from glasslung.errors import ShapeError, UsageError
from glasslung.models import agetransport, build
from glasslung.models.agetransport import AgeTransport, energy_score, find_partners
from glasslung.nn.batches import SliceBatch
from glasslung.nn.conditions import condition_of
from glasslung.nn.movers import LUNG_GREY
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")
SMALL = {"width": 8, "critic_width": 8, "cloud": 8, "dreams": 2, "dream_every": 2}
NAN = float("nan")
HEALTHY, DENSE = 0.3, 0.8  # grey values of the made lungs


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lungs(side: str) -> Tensor:
    """One slice (64, 64): two squares of lung, one of them with a dense patch, or none ill."""
    image = torch.zeros(64, 64)
    image[16:48, 6:28] = image[16:48, 36:58] = HEALTHY
    if side != "neither":
        left = {"left": 10, "right": 40}[side]
        image[24:40, left : left + 14] = DENSE
    return image


def batch() -> SliceBatch:
    """Two slices of every age: of the ages 1 to 3 the first ill on the left, the second on the right."""
    group = torch.arange(4).repeat_interleave(2)
    sides = ["neither", "neither", *["left", "right"] * 3]
    image = torch.stack([lungs(side) for side in sides])[:, None]
    day = torch.tensor([NAN, NAN, 1.0, 3.0, 6.0, 8.0, 11.0, 13.0])
    return SliceBatch(image, group, day, torch.arange(8))


class Same:
    """The same batch for ever."""

    def __next__(self) -> SliceBatch:
        return batch()

    def state(self) -> dict:
        return {}

    def restore(self, state: dict) -> None:
        pass


def play(model: AgeTransport, steps: int) -> list[dict]:
    """All players together for some steps; what they logged."""
    records: list[dict] = []
    game = Game({"agetransport": model}, agetransport.players(model), Same(), 0, CPU)
    fit(game, range(steps), records.append)
    return records


@pytest.fixture(scope="module")
def untrained() -> AgeTransport:
    return build("agetransport", seed=1, **SMALL)


@pytest.fixture(scope="module")
def trained() -> AgeTransport:
    model = build("agetransport", seed=1, **SMALL)
    play(model, 8)
    return model


def ages(data: SliceBatch) -> tuple[Tensor, Tensor]:
    """Where the slices are, and an age later by two groups, with its middle day."""
    later = (data.group + 2) % 4
    return condition_of(data.group, data.day), condition_of(later, torch.full((8,), NAN))


def test_an_untrained_mover_changes_nothing(untrained):
    data = batch()
    here, there = ages(data)
    assert torch.equal(untrained.carry(data.image, here, there, generator()), data.image)
    assert torch.equal(untrained.expect(data.image, here, there), data.image)
    assert torch.equal(untrained.heal(data.image, here, generator()), data.image)


def test_pictures_have_the_shape_and_range_of_slices_and_only_lungs_change(trained):
    data = batch()
    here, there = ages(data)
    for found in (
        trained.carry(data.image, here, there, generator()),
        trained.expect(data.image, here, there),
    ):
        assert found.shape == data.image.shape
        assert 0 <= float(found.min()) <= float(found.max()) <= 1
        lung = data.image > LUNG_GREY
        assert torch.equal(found[~lung], data.image[~lung])
        assert float((found - data.image)[lung].abs().mean()) > 1e-4
    made = trained.imagine(there, generator())
    assert made.shape == (8, 1, 64, 64)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_one_seed_one_answer_and_draws_differ(trained):
    data = batch()
    here, there = ages(data)

    def draw(seed: int) -> Tensor:
        return trained.carry(data.image, here, there, generator(seed))

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
    assert torch.equal(trained.expect(data.image, here, there), trained.expect(data.image, here, there))
    assert torch.equal(trained.imagine(there, generator(5)), trained.imagine(there, generator(5)))
    assert not torch.equal(trained.imagine(there, generator(5)), trained.imagine(there, generator(6)))


def test_where_draws_differ_does_not_follow_the_networks_blocks():
    """One lung all over: rows as far from its edges differ as much wherever they lie among the blocks."""
    model = build("agetransport", seed=1, **SMALL)
    with torch.no_grad():
        model.mover.leave.weight.normal_(std=0.02, generator=generator(2))
    image = torch.full((400, 1, 64, 64), 0.5)
    here = condition_of(torch.ones(400, dtype=torch.int64), torch.full((400,), 2.0))
    drawn = model.carry(image, here, here, generator(3))[:, 0]
    for along in (1, 2):  # down, across
        spread = drawn.std(0)[16:48, 16:48].mean(2 - along)
        phases = spread.reshape(4, 8).mean(0)
        assert float(phases.min()) > 0.001
        assert float(phases.max() / phases.min()) < 1.1


def test_asking_leaves_the_model_as_it_was(trained):
    data = batch()
    here, there = ages(data)
    trained.train()
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    trained.carry(data.image, here, there, generator())
    trained.imagine(there, generator())
    assert trained.training
    after = trained.state_dict()
    assert all(torch.allclose(t, before[n], 0, 0, equal_nan=True) for n, t in after.items())


@pytest.mark.parametrize("dreamer", ["painter", "ladder"])
def test_whoever_dreams_the_dreams_are_slices_that_the_mover_takes_on(dreamer):
    model = build("agetransport", seed=1, dreamer=dreamer, **SMALL)
    records = play(model, 6)
    totals = [record["total"] for record in records if record["player"] == "dreamer"]
    assert totals[-1] < totals[0]
    made = model.imagine(condition_of(torch.tensor([0, 2]), torch.tensor([NAN, 7.0])), generator())
    assert made.shape == (2, 1, 64, 64)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert float(made.max()) > LUNG_GREY


def test_a_painter_counts_the_never_ill_alone():
    model, data = build("agetransport", seed=1, **SMALL), batch()
    agetransport.dream_loss(model, data, generator(), 1.0)
    assert int(model.dreamer.law.count) == 2
    healthy = agetransport.anatomy_of(agetransport.larger_left(data.image[:2]))
    assert torch.allclose(model.dreamer.law.mean, healthy.mean(0), atol=1e-6)


def test_the_never_ill_need_no_healing(trained):
    data = batch()
    here, _ = ages(data)
    healed = trained.heal(data.image, here, generator())
    assert torch.equal(healed[:2], data.image[:2])
    assert not torch.equal(healed[2:], data.image[2:])


# --------------------------------------------------------------------------------------- energy score


def slow_blur(x: np.ndarray) -> np.ndarray:
    """Mean over 5 x 5 places around every other one, 0 beyond the edge."""
    high, wide = x.shape
    out = np.zeros(((high + 1) // 2, (wide + 1) // 2))
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            total = 0.0
            for i in range(2 * r - 2, 2 * r + 3):
                for j in range(2 * c - 2, 2 * c + 3):
                    total += x[i, j] if 0 <= i < high and 0 <= j < wide else 0.0
            out[r, c] = total / 25
    return out


def slow_energy(first: np.ndarray, second: np.ndarray, target: np.ndarray, shared: np.ndarray) -> float:
    weight = max(1.0, slow_blur(shared).sum())

    def apart(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.sqrt((slow_blur((x - y) * shared) ** 2).sum() / weight + agetransport.TINY))

    return (apart(first, target) + apart(second, target)) / 2 - apart(first, second) / 2


def test_the_energy_score_is_its_formula():
    first, second, target = (torch.rand(3, 1, 12, 12, generator=generator(n)) for n in range(3))
    shared = (torch.rand(3, 1, 12, 12, generator=generator(9)) > 0.4).float()
    shared[2] = 0  # no lung in common: nothing to tell apart, and no division by zero
    found = energy_score(first, second, target, shared)
    parts = [part[:, 0].double().numpy() for part in (first, second, target, shared)]
    expected = [slow_energy(*rows) for rows in zip(*parts, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_draws_of_the_law_of_the_target_score_best_on_average():
    """The grey of a whole lung has spread 0.1; draws narrower or wider, or elsewhere, score worse."""
    count, shared = 4000, torch.ones(4000, 1, 8, 8)
    z = torch.randn(3, count, 1, 1, 1, generator=generator(2)).expand(3, count, 1, 8, 8)

    def score(spread: float, middle: float = 0.4) -> float:
        target = 0.4 + 0.1 * z[2]
        return float(energy_score(middle + spread * z[0], middle + spread * z[1], target, shared).mean())

    right = score(0.1)
    assert right < min(score(0.03), score(0.3), score(0.1, middle=0.5)) - 0.002


# ------------------------------------------------------------------------------------------- partners


def test_like_is_paired_with_like(monkeypatch):
    """With the healthy lung known, those ill on the left become those ill on the left of another age."""
    model = build("agetransport", seed=1, **SMALL)
    data = batch()
    monkeypatch.setattr(model, "heal", lambda image, seen, rng: HEALTHY * (image > LUNG_GREY))
    ways = set()
    for seed in range(12):
        wanted = find_partners(model, data, generator(seed))
        for row in range(2, 8):
            here, there = int(data.group[row]), int(wanted.age[row])
            if there == 0:  # becomes one of the never ill
                assert torch.equal(wanted.target[row, 0], lungs("neither"))
                continue
            ways.add((here, there))
            expected = lungs("left" if row % 2 == 0 else "right")
            assert torch.allclose(wanted.target[row, 0], expected)
            partner = data.day[2 * there + row % 2]
            assert wanted.condition[row].tolist() == pytest.approx([1, float(partner) / 10])
        assert torch.equal(wanted.shared, (data.image > LUNG_GREY).float())
    assert len(ways) == 9  # every age to every other was asked


def test_partners_are_the_same_for_the_same_seed_and_an_age_is_shared():
    def asked() -> agetransport.Wanted:
        return find_partners(build("agetransport", seed=1, **SMALL), batch(), generator(4))

    one, other = asked(), asked()
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert one.age[::2].equal(one.age[1::2])


def test_an_age_nobody_has_is_told():
    data = batch()
    rows = data.group < 2
    few = SliceBatch(data.image[rows], data.group[rows], data.day[rows], data.patient[rows])
    with pytest.raises(UsageError, match="no slice of age"):
        for seed in range(20):
            find_partners(build("agetransport", **SMALL), few, generator(seed))
    ill = SliceBatch(data.image[2:], data.group[2:], data.day[2:], data.patient[2:])
    with pytest.raises(UsageError, match="never ill"):
        agetransport.dream_loss(build("agetransport", **SMALL), ill, generator(), 1.0)


# ------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("critic", [0.0, 0.5])
def test_training_lowers_the_losses_with_and_without_a_critic(critic):
    """The mover aims at its own idea of the healthy, which moves: what it learns is to heal."""
    model, data = build("agetransport", seed=1, critic=critic, **(SMALL | {"width": 16})), batch()
    records = play(model, 40)
    names = {record["player"] for record in records}
    assert names == ({"dreamer", "mover"} if critic == 0 else {"dreamer", "critic", "mover"})

    def mean(player: str, term: str, part: slice) -> float:
        return float(np.mean([record[term] for record in records if record["player"] == player][part]))

    assert mean("dreamer", "total", slice(-10, None)) < 0.9 * mean("dreamer", "total", slice(0, 10))
    here, _ = ages(data)
    healed = model.expect(data.image, here, torch.zeros(8, 2))
    apart = [float((x - data.image[:1])[2:].square().mean()) for x in (healed, data.image)]
    assert apart[0] < 0.7 * apart[1]


def test_a_critic_alone_learns_at_which_age_a_slice_was_seen():
    """An untrained mover shows it real slices at wrong ages, which only the age tells apart."""
    model = build("agetransport", seed=1, critic=0.5, **SMALL)
    records: list[dict] = []
    critic = next(player for player in agetransport.players(model) if player.name == "critic")
    fit(Game({"agetransport": model}, [critic], Same(), 0, CPU), range(160), records.append)
    last = records[-20:]
    assert np.mean([r["hinge"] for r in last]) < 0.95 * np.mean([r["hinge"] for r in records[:20]])
    assert np.mean([r["on_real"] - r["on_made"] for r in last]) > 0.1


@pytest.mark.parametrize("critic", [0.0, 0.5])
def test_every_player_moves_its_own_part_alone(critic):
    for index, part in enumerate(("dreamer", "critic", "mover") if critic else ("dreamer", "mover")):
        model = build("agetransport", critic=critic, **SMALL)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        player = agetransport.players(model)[index]
        fit(Game({"agetransport": model}, [player], Same(), 0, CPU), range(2))
        moved = {n.split(".")[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert moved == {part}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dreamer", "cage"),
        ("expected", -1.0),
        ("r1", -0.1),
        ("cloud", 1),
        ("dreams", 0),
        ("dream_every", 0),
        ("width", 0),
    ],
)
def test_settings_that_cannot_be_are_refused(name, value):
    with pytest.raises(UsageError, match=name):
        build("agetransport", **{name: value})
    with pytest.raises(UsageError, match="no setting"):
        build("agetransport", fate=1)


def test_slices_of_another_size_are_refused(untrained):
    with pytest.raises(ShapeError, match="64, 64"):
        untrained.carry(torch.zeros(1, 1, 32, 32), torch.zeros(1, 2), torch.zeros(1, 2), generator())
    with pytest.raises(ShapeError, match="64, 64"):
        untrained.expect(torch.zeros(1, 2, 64, 64), torch.zeros(1, 2), torch.zeros(1, 2))
