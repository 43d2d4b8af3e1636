"""U-SVAE: its size, its loss against the formula, and everything it is asked for."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from torch import distributions

from glasslung.data.batches import GroupBalancedBatches
from glasslung.data.slices import SliceSet
from glasslung.errors import ShapeError, UsageError
from glasslung.models import TABLE, build, entry_for, usvae
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import count_parameters
from glasslung.nn.borrow import evaluating
from glasslung.nn.ladder import interpolate, level_use
from glasslung.train.checkpoint import load_checkpoint, save_checkpoint
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

CPU = Machine(device="cpu", precision="32-true")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lungs(count: int = 4, seed: int = 0) -> np.ndarray:
    """Two bright discs on black: enough of a chest for a network that has not learned anything."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64]
    images = np.zeros((count, 64, 64), np.float32)
    for image in images:
        for centre in (18, 46):
            inside = (rows - 32) ** 2 / 1.5 + (columns - centre) ** 2 < rng.uniform(80, 160)
            image[inside] = np.clip(rng.normal(0.35, 0.1, inside.sum()), 0.01, 1)
    return np.rint(images * 255).astype(np.float32) / np.float32(255)


def batch(count: int = 4, seed: int = 0) -> SliceBatch:
    label = torch.arange(count) % 4
    return SliceBatch(torch.from_numpy(lungs(count, seed))[:, None], label, label.float(), label)


@pytest.fixture(scope="module")
def model() -> usvae.USVAE:
    """An untrained one; the tests only look at it."""
    return build("usvae")


@pytest.fixture(scope="module")
def literal() -> usvae.USVAE:
    return usvae.make(usvae.LITERAL, generator())


def test_the_literal_configuration_has_15_391_404_parameters(literal):
    parts = {name: count_parameters(part) for name, part in literal.named_children()}
    assert parts == {
        "backbone": 6_450_864,
        "ladder": 2_402_458 + 2_457_552 + 672_224,
        "decoder": 3_400_368,
        "head": 7_938,
    }
    assert count_parameters(literal) == 15_391_404
    ladder = {name: count_parameters(part) for name, part in literal.ladder.named_children()}
    assert ladder == {"crush": 2_402_458, "expand": 2_457_552, "infer": 672_224}


def test_the_recommended_configuration_has_a_tenth_of_that(model):
    assert count_parameters(model) == 1_582_937
    assert isinstance(model, usvae.ResidualUSVAE)


def test_the_literal_configuration_keeps_the_released_momenta(literal):
    steadied = usvae.make(dataclasses.replace(usvae.STEADIED, net="slim", backbone_momentum=0.5), generator())
    assert isinstance(steadied, usvae.PaperUSVAE)
    momenta = {m.momentum for s in literal.backbone.stages for m in s.modules() if hasattr(m, "momentum")}
    assert momenta == {0.001}
    assert literal.ladder.crush[0].trunk[0][1].momentum == 0.01


def test_the_literal_loss_equals_the_formula(literal):
    """XENT = -mean log(Beta(clip(x)) + 1e-7); KL = one sample, summed over latents, divided by 4096."""
    x = batch()
    with evaluating(literal, batch_statistics=True):
        got = usvae.loss(literal, x, generator(3), kl_weight=0.7)
        reading = literal(x.image, generator(3))
    clipped = x.image.double().clamp(1e-7, 1 - 1e-7)
    density = distributions.Beta(reading.pixels.a.double(), reading.pixels.b.double()).log_prob(clipped).exp()
    xent = -(density + 1e-7).log().mean()
    kl = 0.0
    for z, q, p in zip(reading.descent.z, reading.descent.q, reading.descent.p, strict=True):
        for sign, g in ((1, q), (-1, p)):
            kl = kl + sign * distributions.Normal(g.mean, torch.exp(g.logvar / 2)).log_prob(z).sum() / len(z)
    assert got["distortion"].item() == pytest.approx(xent.item(), rel=1e-3, abs=2e-3)
    assert got["rate"].item() == pytest.approx(float(kl) / 4096, rel=1e-3, abs=1e-4)
    assert got["total"].item() == pytest.approx(xent.item() + 0.7 * float(kl) / 4096, rel=1e-3, abs=2e-3)


def test_the_default_loss_has_the_closed_form_and_names_its_levels(model):
    with evaluating(model):
        terms = usvae.loss(model, batch(), generator(3), kl_weight=0.25)
        reading = model(batch().image, generator(3))
    kl = 0.0
    for level, (q, p) in enumerate(zip(reading.descent.q, reading.descent.p, strict=True), start=1):
        pair = [distributions.Normal(g.mean, torch.exp(g.logvar / 2)) for g in (q, p)]
        nats = distributions.kl_divergence(*pair).flatten(1).sum(1).mean().item()
        assert terms[f"kl_z{level}"].item() == pytest.approx(nats, rel=1e-4, abs=1e-5)
        kl += nats
    assert terms["rate"].item() == pytest.approx(kl / 4096, rel=1e-4)
    assert terms["nll"].item() == pytest.approx((terms["distortion"] + terms["rate"]).item(), rel=1e-6)
    assert terms["total"].item() == pytest.approx((terms["distortion"] + terms["rate"] / 4).item(), rel=1e-6)


def test_the_bound_with_one_sample_is_the_papers_and_several_are_their_mean_weight(model):
    x = batch(2).image
    rng = generator(5)
    singles = torch.stack([model.log_likelihood(x, rng) for _ in range(3)])
    several = model.log_likelihood(x, generator(5), samples=3)
    expected = [
        math.log(sum(math.exp(v - max(row)) for v in row) / 3) + max(row) for row in singles.T.tolist()
    ]
    assert several.tolist() == pytest.approx(expected, rel=1e-9)
    with evaluating(model):
        reading = model(x, generator(5))
    by_hand = reading.pixels.log_density(x).double().flatten(1).sum(
        1
    ) - reading.descent.sampled_kl().double().sum(1)
    assert torch.allclose(singles[0], by_hand)
    with pytest.raises(UsageError, match="one sample"):
        model.log_likelihood(x, rng, samples=0)


def test_samples_are_pictures_and_repeat_with_their_seed(model):
    one, again, other = (model.sample(2, generator(seed)) for seed in (1, 1, 2))
    picture = one.pixels.mean()
    assert picture.shape == (2, 1, 64, 64)
    assert 0 <= picture.min() <= picture.max() <= 1
    assert torch.equal(picture, again.pixels.mean())
    assert not torch.equal(picture, other.pixels.mean())
    assert [tuple(z.shape[2:]) for z in one.descent.z] == [(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)]


def test_decoding_what_was_encoded_is_the_reconstruction(model):
    x = batch(2).image
    latents = model.encode(x, generator(1))
    assert all(torch.equal(a, b) for a, b in zip(latents, model.encode(x, generator(2)), strict=True))
    decoded, seen = model.decode(latents), model.reconstruct(x, generator(9), temperature=0)
    assert torch.equal(decoded.mean(), seen.pixels.mean())
    noisy = model.encode(x, generator(1), temperature=1)
    assert not torch.equal(noisy[0], latents[0])


def test_the_way_from_one_lung_to_another_can_be_walked(model):
    start, end = (model.encode(batch(1, seed).image, generator()) for seed in (0, 1))
    pictures = [model.decode(interpolate(start, end, f)).mean() for f in (0.0, 0.5, 1.0)]
    assert torch.equal(pictures[0], model.decode(start).mean())
    assert torch.allclose(pictures[2], model.decode(end).mean(), atol=1e-5)
    assert not torch.equal(pictures[1], pictures[0])


def test_asking_leaves_the_model_as_it_was(model):
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.sample(1, generator())
    assert not model.log_likelihood(batch(1).image, generator()).requires_grad
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_levels_are_named_with_what_they_carry(model):
    with evaluating(model):
        uses = level_use([model(batch(4).image, generator()).descent])
    assert [use.name for use in uses] == ["z1", "z2", "z3", "z4", "z5"]
    assert [use.units for use in uses] == [4096, 1024, 512, 128, 32]


def test_the_discrete_likelihood_cannot_be_inflated():
    model = usvae.make(
        dataclasses.replace(usvae.STEADIED, net="slim", likelihood="logistic mixture", components=2),
        generator(),
    )
    with evaluating(model):
        terms = usvae.loss(model, batch(1), generator(), kl_weight=1.0)
        assert model(batch(1).image, generator()).pixels.log_density(batch(1).image).max() <= 0
    assert terms["distortion"].item() > 0


def test_a_larger_slice_is_only_a_setting():
    model = build("usvae", size=96)
    assert model.sample(1, generator()).pixels.mean().shape == (1, 1, 96, 96)


def stream(seed: int = 0) -> GroupBalancedBatches:
    count = 8
    names = tuple(map(str, range(count)))
    group, day, patient = np.arange(count) % 4, np.zeros(count, np.float32), np.arange(count)
    slices = SliceSet(lungs(count), group, day, patient, names, names)
    return GroupBalancedBatches(slices, 1, np.random.default_rng(seed))


def new_game(machine: Machine = CPU, **settings) -> Game:
    model = build("usvae", seed=1, **settings)
    return Game({"usvae": model}, usvae.players(model), stream(), 7, machine)


SLIM = dataclasses.asdict(dataclasses.replace(usvae.STEADIED, net="slim"))


@pytest.mark.parametrize("settings", [SLIM, {"steps": 20}], ids=["slim", "residual"])
def test_it_learns_and_a_resumed_run_is_the_same_to_the_bit(tmp_path, settings):
    """Every parameter is reached, the loss falls, and six steps are two, a checkpoint, and four."""
    records = []
    whole, resumed = new_game(**settings), new_game(**settings)
    fit(whole, range(2), records.append)
    save_checkpoint(whole, tmp_path)
    fit(whole, range(2, 14), records.append)
    assert records[-1]["nll"] < records[0]["nll"]
    assert load_checkpoint(resumed, tmp_path) == 2
    fit(resumed, range(2, 14))
    expected, got = whole.state(), resumed.state()
    assert [name for name, tensor in expected.items() if not torch.equal(tensor, got[name])] == []


def test_the_weight_of_the_divergence_goes_through_its_phases_and_then_minds_the_lungs():
    model = build("usvae", steps=100, lung_target=1.7)
    weights = []
    for step, nats in ((3, 0.0), (10, 0.0), (30, 0.0), (50, 0.0), (51, 5.0), (99, -50.0)):
        model.control.lung.fill_(nats)
        terms = usvae.lung_minding_loss(model, batch(), step, generator())
        weights.append(float(terms["kl_weight"]))
    climbing, first, opened, poor, rich, floor = weights
    assert climbing == pytest.approx(0.6 * 4 / 5)
    assert (first, opened) == pytest.approx((0.6, 0.1))
    assert poor < rich <= 1.0
    assert floor == pytest.approx(0.5)


def test_looking_at_the_loss_does_not_move_the_weight(model):
    before = model.control.lung.clone()
    with evaluating(model):
        usvae.lung_minding_loss(model, batch(), 50, generator())
    assert torch.equal(model.control.lung, before)


def test_coarse_levels_have_a_few_nats_free(model):
    """A level below its free nats costs as much as one that uses them up."""
    with evaluating(model):
        terms = usvae.lung_minding_loss(model, batch(), 0, generator(2))
    levels = [terms[f"kl_z{level}"].item() for level in range(1, 6)]
    paid = sum(levels[:3]) + sum(max(nats, 6.0) for nats in levels[3:])
    expected = terms["distortion"].item() + float(terms["kl_weight"]) * paid / 4096
    assert terms["total"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_literal_one_trains_also_in_bfloat16(precision):
    records = []
    game = new_game(Machine(device="cpu", precision=precision), **dataclasses.asdict(usvae.LITERAL))
    fit(game, range(1), records.append)
    assert math.isfinite(records[0]["total"])


def test_settings_survive_json_and_unknown_ones_are_refused_by_name():
    settings = json.loads(json.dumps(dataclasses.asdict(usvae.LITERAL)))
    assert usvae.Config(**settings) == usvae.LITERAL
    with pytest.raises(UsageError, match="usvae has no setting 'widht'; it has size, "):
        build("usvae", widht=3)
    with pytest.raises(UsageError, match="there is no model 'gan'; there are usvae, cage"):
        build("gan")
    for wrong in (
        {"net": "paper"},
        {"likelihood": "beta"},
        {"net": "slim", "likelihood": "beta"},
        {"kl_open": 0.9},
        {"spike": 0.5},
    ):
        with pytest.raises(UsageError):
            build("usvae", **wrong)
    for wrong in ({"size": 60}, {"size": 32}, {"likelihood": "gauss"}, {"kl_warm_up": -1}):
        with pytest.raises(UsageError):
            build("usvae", **wrong)


def test_the_table_makes_what_it_names():
    assert {"usvae", "cage"} <= TABLE.keys()
    entry = entry_for("usvae")
    assert (entry.config, entry.batch, entry.players) == (usvae.Config, SliceBatch, usvae.players)
    one, again, other = (build("usvae", seed=seed).ladder.stem.weight for seed in (4, 4, 5))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_slices_of_another_size_are_refused(model):
    with pytest.raises(ShapeError, match=r"reads slices \(B, 1, 64, 64\)"):
        model(torch.zeros(1, 1, 32, 32), generator())
