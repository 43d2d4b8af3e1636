"""Scores of slices: every sum against the model's own densities, every figure against a plain mean."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from glasslung.data.slices import SliceSet
from glasslung.models import build, usvae
from glasslung.nn.borrow import evaluating
from glasslung.studies.progression.heldout import AS_TRAINED, BATCH, GREY, SINGLE, figures, score_slices


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slices(count: int = 10) -> SliceSet:
    """Discs of noise; two groups, one patient with two slices."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    images = np.zeros((count, 64, 64), np.float32)
    for image in images:
        inside = (rows - 32) ** 2 + (columns - 32) ** 2 < rng.uniform(300, 800)
        image[inside] = rng.integers(1, 200, inside.sum()) / np.float32(255)
    patient = np.array([0, 0, *range(1, count - 1)])
    group = np.array([0, 0, *[index % 2 for index in range(count - 2)]])
    names = tuple(map(str, range(count)))
    return SliceSet(images, group, np.zeros(count, np.float32), patient, names, names)


@pytest.fixture(scope="module")
def model() -> usvae.USVAE:
    return build("usvae")


@pytest.fixture(scope="module")
def scores(model):
    return score_slices(model, slices(), generator())


def test_every_sum_is_the_models_own(model, scores):
    chosen = slices()
    image = chosen.batches(32)[0].image
    with evaluating(model):
        reading = model(image, generator())
        expected = reading.pixels.paper_log_density(image)
    black = image == 0
    assert scores.nats[AS_TRAINED][:, 0] == pytest.approx((expected * black).flatten(1).sum(1).numpy())
    assert scores.nats[AS_TRAINED][:, 1] == pytest.approx((expected * ~black).flatten(1).sum(1).numpy())
    assert scores.kl == pytest.approx(reading.descent.kl().numpy())
    assert scores.pixels.sum(1).tolist() == [4096] * len(chosen)
    assert [use["units"] for use in scores.use] == [4096, 1024, 512, 128, 32]


def test_a_sharper_spike_earns_more_on_black_and_whole_grey_values_never_above_nought(scores):
    black = {name: nats[:, 0].sum() for name, nats in scores.nats.items()}
    assert black["spike 1"] < black["spike 1000"] < black["spike 10000"]
    assert black[AS_TRAINED] <= black["spike 10000"] * (1 + 1e-9)
    assert scores.nats[GREY].max() < 0
    assert np.isfinite(scores.nats[SINGLE]).all()


def test_figures_count_each_group_alike_and_survive_json(scores):
    chosen = slices()
    table = json.loads(json.dumps(figures(scores, chosen, np.random.default_rng(0))))
    row = table["readings"][AS_TRAINED]
    each = [
        (scores.kl.sum(1) - scores.nats[AS_TRAINED].sum(1))[chosen.group == group].mean() / 4096
        for group in (0, 1)
    ]
    value, low, high = row["nll"]
    assert value == pytest.approx(np.mean(each), abs=1e-4)
    assert low <= value <= high
    assert row["nll"][0] == pytest.approx(row["rec"][0] + row["kl"][0], abs=2e-4)
    assert [row["by group"][name]["nll"][0] for name in ("t0", "t1")] == pytest.approx(each, abs=1e-4)
    assert (table["slices"], table["patients"]) == (10, 9)
    bits = table["readings"][GREY]
    nats = [
        (scores.kl.sum(1) - scores.nats[GREY].sum(1))[chosen.group == group].mean() / 4096 for group in (0, 1)
    ]
    assert bits["nll"][0] == pytest.approx(np.mean(nats) / math.log(2), abs=1e-4)


def test_slices_without_a_finite_score_are_left_out_and_counted(scores):
    """One infinite reading and one NaN divergence: the figures are those of the other eight, to the digit."""
    chosen = slices()
    nats = {name: sums.copy() for name, sums in scores.nats.items()}
    kl = scores.kl.copy()
    nats[SINGLE][3, 1], kl[7, 2] = -np.inf, np.nan
    found = figures(dataclasses.replace(scores, nats=nats, kl=kl), chosen, np.random.default_rng(0))
    rest = np.delete(np.arange(len(chosen)), [3, 7])
    fewer = dataclasses.replace(
        scores,
        nats={name: sums[rest] for name, sums in scores.nats.items()},
        pixels=scores.pixels[rest],
        kl=scores.kl[rest],
    )
    expected = figures(fewer, chosen.take(rest), np.random.default_rng(0))
    assert found == expected | {"not finite": 2}
    assert expected["not finite"] == 0
    assert found["slices"] == 8
    json.dumps(found, allow_nan=False)


def test_scoring_tells_how_far_it_is(model):
    told = []
    chosen = slices(2 * BATCH + 3)
    score_slices(
        model, chosen, generator(), single=False, progress=lambda words, done: told.append((words, done))
    )
    assert told == [(f"scoring {len(chosen)} slices", n * BATCH / len(chosen)) for n in range(3)]


def test_several_draws_are_their_mean(model):
    chosen = slices(4)
    twice = score_slices(model, chosen, generator(), single=False, draws=2)
    rng = generator()
    one, other = (score_slices(model, chosen, rng, single=False) for _ in range(2))
    assert twice.kl == pytest.approx((one.kl + other.kl) / 2)
    assert twice.nats[GREY] == pytest.approx((one.nats[GREY] + other.nats[GREY]) / 2)


@pytest.mark.parametrize("likelihood", ["beta", "logistic mixture"])
def test_other_likelihoods_have_the_readings_they_allow(likelihood):
    config = dataclasses.replace(usvae.STEADIED, net="slim", likelihood=likelihood)
    got = score_slices(usvae.make(config, generator()), slices(4), generator())
    assert list(got.nats) == ([AS_TRAINED, GREY] if likelihood == "beta" else [GREY])
