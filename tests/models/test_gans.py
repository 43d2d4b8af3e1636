"""Every generative model plays: steps, stopping and going on to the same bits, and what each one promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_discs import discs, stream_of

from glasslung.data.pairs import PairBatches, Pairs
from glasslung.errors import ShapeError, UsageError
from glasslung.models import build, dcgan, entry_for
from glasslung.nn.blocks import count_parameters
from glasslung.nn.making import make_pictures, sample_pictures
from glasslung.train.checkpoint import load_checkpoint, save_checkpoint
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

SMALL = {
    "dcgan": {"size": 16, "width": 8, "codes": 8},
    "wgangp": {"size": 16, "width": 8, "codes": 8, "critic_turns": 2},
    "veegan": {"size": 16, "width": 8, "codes": 8},
    "leangan": {"size": 16, "width": 8, "codes": 8, "spectral": True, "adaptive": True},
    "conditionalgan": {"size": 16, "width": 8, "codes": 8, "condition": "class"},
}
CPU = Machine(device="cpu", precision="32-true")


def game_of(name: str, seed: int = 0, **settings) -> Game:
    model = build(name, seed, **(SMALL[name] | settings))
    slices = discs(24, groups=getattr(model, "groups", 1))
    return Game({name: model}, entry_for(name).players(model), stream_of(slices, 8), seed, CPU)


@pytest.mark.parametrize("name", SMALL)
def test_a_stopped_run_goes_on_to_the_same_bits(name, tmp_path):
    whole, records = game_of(name), []
    fit(whole, range(0, 6), records.append)
    assert {record["player"] for record in records} == {"discriminator", "generator"}
    assert all(np.isfinite(record["total"]) for record in records)
    half = game_of(name)
    fit(half, range(0, 3))
    save_checkpoint(half, tmp_path)
    other = game_of(name)
    assert load_checkpoint(other, tmp_path) == 3
    fit(other, range(3, 6))
    for key, tensor in whole.state().items():
        assert torch.equal(tensor, other.state()[key]), key


@pytest.mark.parametrize("name", SMALL)
def test_pictures_are_made_from_codes(name):
    model = build(name, 1, **SMALL[name])
    codes, group, images = sample_pictures(model, 5, seed=3)
    assert images.shape == (5, 16, 16) and images.dtype == np.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert np.array_equal(images, make_pictures(model, codes, group))
    assert np.array_equal(codes, sample_pictures(model, 5, seed=3)[0])
    with pytest.raises(ShapeError, match="8 numbers"):
        make_pictures(model, codes[:, :3])
    with pytest.raises(UsageError, match="groups 0 to"):
        make_pictures(model, codes, np.full(5, 7))
    with torch.no_grad():
        assert model.judge(torch.from_numpy(images[:, None]), torch.from_numpy(group)).shape == (5,)


def test_the_literal_settings_see_black_and_the_corrected_ones_do_not():
    image = torch.linspace(0, 1, 256).view(1, 1, 16, 16)
    right = build("dcgan", **SMALL["dcgan"])
    wrong = build("dcgan", **SMALL["dcgan"], literal_scaling=True)
    assert right.seen(image).min() == -1 and right.seen(image).max() == 1
    assert wrong.seen(image).max() < -0.992


def test_the_literal_discriminator_learns_from_real_and_made_pictures_in_turn():
    game = game_of("dcgan", separate=True)
    assert game.players[0].turns == 2
    records = []
    fit(game, range(0, 2), records.append)
    model = game.modules["dcgan"]
    assert int(model.turn) == 4  # two steps of two turns; the checkpoint holds where it stands
    assert dcgan.literal()["separate"]


def test_two_to_one_training_gives_the_generator_two_turns():
    assert [one.turns for one in game_of("dcgan", generator_turns=2).players] == [1, 2]


def test_the_paper_s_model_has_287_and_18_million_parameters():
    with torch.device("meta"):
        model = dcgan.DCGAN(dcgan.Config(dense_last=True), torch.Generator("cpu"))
    assert count_parameters(model.generator) / 1e6 == pytest.approx(287.5, abs=0.05)
    assert count_parameters(model.discriminator) / 1e6 == pytest.approx(18.5, abs=0.05)


def test_veegan_sends_its_own_pictures_back_to_their_codes():
    game = game_of("veegan", lr=2e-3, width=16, codes=2)
    before = code_error(game)
    fit(game, range(0, 150))
    assert code_error(game) < 0.6 * before
    model = game.modules["veegan"]
    with torch.no_grad():
        real = model.code_of(torch.from_numpy(discs(4).images[:, None]))
    assert real.shape == (4, 2) and torch.isfinite(real).all()


def code_error(game: Game) -> float:
    model = game.modules["veegan"].eval()
    codes = torch.randn(64, 2, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        return float((model.code_of(model.make(codes)) - codes).square().mean())


def test_leangan_learns_discs():
    """Made pictures come as near to real discs as a trained eye asks: bright centre, black corners."""
    game = game_of("leangan", width=16, adaptive=False, spectral=False)
    model = game.modules["leangan"]
    fit(game, range(0, 120))
    images = sample_pictures(model, 32, 0)[2]
    assert images[:, 7:9, 7:9].mean() > 0.4
    assert images[:, :2, :2].mean() < 0.1


def test_a_condition_is_obeyed():
    """Group 1's discs are bigger, and so are the made ones."""
    game = game_of("conditionalgan", width=12)
    model = game.modules["conditionalgan"]
    fit(game, range(0, 120))
    area = [(sample_pictures(model, 48, 0, group)[2] > 0.3).mean() for group in (0, 1)]
    assert area[1] > 1.1 * area[0]


def pairs_of_discs(count: int = 24) -> Pairs:
    """Target: the source with its left half brighter."""
    source = discs(count, 32).images
    target = source.copy()
    target[:, :, :16] = np.minimum(target[:, :, :16] * 1.3, 1)
    mask = source > 0
    return Pairs(source, target, mask, mask, np.full(count, 5.0, np.float32), np.arange(count))


def test_pix2pix_learns_what_changes_and_leaves_the_rest():
    model = build("pix2pix", size=32, width=8)
    pairs = pairs_of_discs()
    stream = PairBatches(pairs, 8, np.random.default_rng(0))
    game = Game({"pix2pix": model}, entry_for("pix2pix").players(model), stream, 0, CPU)
    batch = pairs.batch(np.arange(24))
    model.eval()
    with torch.no_grad():
        assert torch.allclose(model(batch.source, batch.day), batch.source)  # it begins with no change
    fit(game, range(0, 80))
    model.eval()
    with torch.no_grad():
        made = model(batch.source, batch.day)
    assert (made - batch.target).abs().mean() < 0.5 * (batch.source - batch.target).abs().mean()
    assert made[batch.source == 0].abs().max() == 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("dcgan", {"size": 100}),
        ("dcgan", {"dropout": 1.0}),
        ("wgangp", {"critic_turns": 0}),
        ("veegan", {"reconstruction": -1.0}),
        ("leangan", {"loss": "square"}),
        ("leangan", {"augment": 2.0}),
        ("conditionalgan", {"condition": "mood"}),
        ("pix2pix", {"size": 16}),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, wrong):
    with pytest.raises(UsageError):
        build(name, 0, **wrong)
