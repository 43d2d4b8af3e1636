"""SliceNet: it learns to see flaws, and distances on its features see blur."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from glasslung.data.batches import GroupBalancedBatches
from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.discrepancy import kid, kid_interval
from glasslung.measure.lungfeatures import described
from glasslung.models import build, slicenet
from glasslung.nn.batches import SliceBatch
from glasslung.train.game import Game
from glasslung.train.loop import fit
from glasslung.train.machine import Machine

SMALL = slicenet.Config(groups=2, dropout=0.1)
PLAIN_MACHINE = Machine(device="cpu", precision="32-true")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn_lungs(count: int, rng: np.random.Generator, size: int = 32) -> SliceSet:
    """Two ellipses of sharp texture on black; group 1 has bright patches."""
    y, x = np.mgrid[:size, :size] / size
    images, group = [], np.arange(count) % 2
    for kind in group:
        shape = np.zeros((size, size), bool)
        for side in (0.28, 0.72):
            radius_x, radius_y = rng.uniform(0.13, 0.19), rng.uniform(0.3, 0.42)
            shape |= ((x - side) / radius_x) ** 2 + ((y - rng.uniform(0.46, 0.54)) / radius_y) ** 2 < 1
        grey = 0.3 + 0.25 * (rng.random((size, size)) < 0.15) + 0.02 * rng.normal(size=(size, size))
        if kind:
            spot = (x - rng.uniform(0.2, 0.8)) ** 2 + (y - rng.uniform(0.3, 0.7)) ** 2 < 0.02
            grey = np.where(spot, grey + 0.3, grey)
        images.append(np.where(shape, grey.clip(0.05, 1), 0))
    return SliceSet(
        np.stack(images).astype(np.float32),
        group.astype(np.int64),
        np.full(count, np.nan, np.float32),
        np.arange(count),
        tuple(map(str, range(count))),
        tuple(map(str, range(count))),
    )


def trained(slices: SliceSet, steps: int, config: slicenet.Config, each: int):
    model = slicenet.SliceNet(config, generator())
    stream = GroupBalancedBatches(slices, each, np.random.default_rng(0))
    game = Game({"slicenet": model}, slicenet.players(model), stream, 0, PLAIN_MACHINE)
    fit(game, range(steps))
    return model


@pytest.fixture(scope="module")
def critic():
    return trained(drawn_lungs(80, np.random.default_rng(0)), 200, SMALL, each=16)


def blurred(images: np.ndarray, sigma: float, inside: bool = False) -> np.ndarray:
    how = slicenet.blur_inside if inside else slicenet.blur
    image = how(torch.from_numpy(images[:, None]), torch.full((len(images),), sigma))
    return image[:, 0].clamp(0, 1).numpy()


def test_blur_raises_the_kernel_distance_of_its_features_and_the_more_the_more(critic):
    real = drawn_lungs(60, np.random.default_rng(1)).images
    other = drawn_lungs(60, np.random.default_rng(2)).images
    read = slicenet.reader(critic)
    whole = described(real, read)
    sharp = kid_interval(whole, described(other, read), rng=np.random.default_rng(0), draws=200)
    assert not sharp.excludes(0.0)
    for inside in (False, True):
        scores = [kid(whole, described(blurred(other, sigma, inside), read)) for sigma in (0.4, 0.6, 1.0)]
        assert scores == sorted(scores) and scores[-1] > 10 * sharp.high
        worst = kid_interval(
            whole, described(blurred(other, 0.6, inside), read), rng=np.random.default_rng(0), draws=200
        )
        assert worst.low > sharp.high


@pytest.mark.real
def test_blur_raises_the_distance_of_real_slices(real):
    from glasslung.data.slices import read_slices
    from glasslung.data.sources import cage

    slices = read_slices(cage(real / "cage"))
    fresh = np.isin(slices.patient, np.random.default_rng(0).permutation(len(slices.patients))[:250])
    critic = trained(slices.take(~fresh), 60, slicenet.Config(width=8), each=8)
    healthy = slices.take(fresh & (slices.group == 0))
    first = np.isin(healthy.patient, np.unique(healthy.patient)[::2])
    read = slicenet.reader(critic)
    one = described(healthy.images[first], read, units=healthy.patient[first])
    rest, units = healthy.images[~first], healthy.patient[~first]
    sharp = kid_interval(one, described(rest, read, units=units), rng=np.random.default_rng(0), draws=200)
    soft = described(blurred(rest, 1.0), read, units=units)
    assert not sharp.excludes(0.0)
    assert kid_interval(one, soft, rng=np.random.default_rng(0), draws=200).low > sharp.high


def test_it_learns_to_name_the_flaw(critic):
    slices = drawn_lungs(100, np.random.default_rng(3))
    image = torch.from_numpy(slices.images[:, None])
    flaw = torch.arange(100) % len(slicenet.FLAWS)
    with torch.no_grad():
        answer = critic(slicenet.spoil(image, flaw, generator(1), SMALL))
    assert (answer.flaw.argmax(1) == flaw).float().mean() > 0.6


def slow_blur(image, sigma):
    radius = int(np.ceil(3 * sigma))
    weights = {d: np.exp(-0.5 * (d / sigma) ** 2) for d in range(-radius, radius + 1)}
    total = sum(weights.values())
    out = np.zeros_like(image)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for dy, wy in weights.items():
                for dx, wx in weights.items():
                    if 0 <= y + dy < image.shape[0] and 0 <= x + dx < image.shape[1]:
                        out[y, x] += wy * wx / total**2 * image[y + dy, x + dx]
    return out


def test_blur_is_a_gaussian_of_each_slices_own_width():
    image = np.random.default_rng(0).random((2, 9, 11)).astype(np.float32)
    # one kernel size serves the batch, so the narrow one's tail beyond 3 deviations is there but tiny
    found = slicenet.blur(torch.from_numpy(image[:, None]), torch.tensor([0.6, 1.2]))[:, 0].numpy()
    assert found[1] == pytest.approx(slow_blur(image[1], 1.2), abs=1e-5)
    assert found[0] == pytest.approx(slow_blur(image[0], 0.6), abs=2e-3)


def test_blur_inside_keeps_outline_and_flat_grey():
    image = torch.zeros(1, 1, 20, 20)
    image[..., 5:15, 4:16] = 0.4
    assert torch.allclose(slicenet.blur_inside(image, torch.tensor([1.5])), image, atol=1e-6)


def test_spoil_leaves_the_sound_slice_alone_and_stays_in_range():
    image = torch.from_numpy(drawn_lungs(10, np.random.default_rng(4)).images[:, None])
    flaw = torch.arange(10) % 5
    out = slicenet.spoil(image, flaw, generator(), SMALL)
    assert torch.equal(out[flaw == 0], image[flaw == 0])
    assert out.min() >= 0 and out.max() <= 1 + 1e-6
    changed = [(out[k] != image[k]).any().item() for k in range(1, 5)]
    assert all(changed)
    assert (out[3][image[3] == 0] == 0).all()  # noise stays within the lungs


def test_any_size_from_sixteen_and_the_same_answer_each_time(critic):
    read = slicenet.reader(critic)
    for size in (16, 40, 64):
        images = np.random.default_rng(size).random((3, size, size)).astype(np.float32)
        features = read(images)
        assert features.shape == (3, 64) and np.abs(features).max() <= 1
        assert np.array_equal(features, read(images))
        assert features[:1] == pytest.approx(read(images[:1]), abs=1e-5)  # no slice leans on its neighbours
    with pytest.raises(ShapeError, match="16 pixels"):
        read(np.zeros((1, 8, 8), np.float32))


def test_every_parameter_is_reached_and_the_terms_add_up():
    model = slicenet.SliceNet(SMALL, generator())
    batch = drawn_lungs(8, np.random.default_rng(5)).batch(np.arange(8))
    terms = slicenet.loss(model, batch, generator())
    told = {name: term.item() for name, term in terms.items()}
    assert told["total"] == pytest.approx(0.1 * told["group"] + told["flaw"])
    gradients = torch.autograd.grad(terms["total"], list(model.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert slicenet.loss(model, batch, generator())["total"].item() == told["total"]


def test_dropout_keeps_the_mean():
    features = torch.ones(200, 50)
    out = slicenet.drop(features, 0.3, generator())
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert out.mean().item() == pytest.approx(1.0, abs=0.02)


def test_settings_are_checked_and_survive_json():
    settings = json.loads(json.dumps(asdict(SMALL)))
    assert slicenet.SliceNet(slicenet.Config(**settings), generator()).config == SMALL
    for wrong in ({"width": 9}, {"groups": 0}, {"least_blur_px": 2.0}, {"dropout": 1.0}):
        with pytest.raises(UsageError):
            slicenet.Config(**wrong)
    slices = drawn_lungs(4, np.random.default_rng(6))
    slices.group[:] = 3
    with pytest.raises(DataError, match="group 3"):
        slicenet.loss(slicenet.SliceNet(SMALL, generator()), slices.batch(np.arange(4)), generator())


def test_flaws_of_the_whole_are_what_they_are_called():
    config = slicenet.Config(groups=1, whole=True)
    assert config.flaws[:5] == slicenet.FLAWS and slicenet.Config().flaws == slicenet.FLAWS
    rng = torch.Generator().manual_seed(0)
    left, right = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    both = slicenet.join(torch.cat([left, right]), rng)
    assert torch.allclose(both[0] + both[1].flip(0), torch.ones(1, 32, 32), atol=1) and both[0].max() > 0.9
    assert both[0].min() < 0.1  # a part of either, not a mixture
    ramp = torch.linspace(0.2, 0.8, 32).expand(2, 1, 32, 32)
    moved = slicenet.bent(ramp, torch.tensor([1e-6, 0.1]), rng)
    assert torch.allclose(moved[0], ramp[0], atol=1e-3)
    step = (ramp[0, 0, 0, 1] - ramp[0, 0, 0, 0]).item()
    inner = (moved[1] - ramp[1])[0, 6:-6, 6:-6].abs().max().item()
    assert 0.2 * step < inner <= 0.1 * 32 * step + 1e-3  # by a tenth of the side at most
    trace = slicenet.chequer(ramp, torch.tensor([0.02, 0.05]))
    assert torch.allclose((trace - ramp).abs().amax((1, 2, 3)), torch.tensor([0.02, 0.05]), atol=1e-6)
    assert torch.equal(slicenet.chequer(left, torch.tensor([0.05])), left)  # black stays black


def test_a_reader_of_the_whole_learns_from_eight_kinds():
    model = build("slicenet", 0, groups=1, whole=True, width=8)
    batch = SliceBatch(
        torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(1)),
        torch.zeros(6, dtype=torch.int64),
        torch.full((6,), float("nan")),
        torch.arange(6),
    )
    terms = slicenet.loss(model, batch, torch.Generator().manual_seed(0))
    assert model.flaw.out_features == 8 and torch.isfinite(terms["total"])
