"""The bound of a CAGE is the sum that the formula says, at the age of each slice alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.data.slices import SliceSet
from glasslung.errors import UsageError
from glasslung.models import build
from glasslung.nn.borrow import evaluating
from glasslung.nn.density import paper_units_log_density
from glasslung.studies.progression.cagebound import owned, score_owners
from glasslung.studies.progression.heldout import AS_TRAINED, figures
from glasslung.studies.progression.papertable import bounds_of


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64)).astype(np.float32) / 255
    images[:, :20] = 0
    names = tuple(f"p{n}" for n in range(8))
    days = np.full(8, np.nan, np.float32)
    return SliceSet(images, np.repeat(np.arange(4), 2), days, np.arange(8), names, names)


def test_sums_are_those_of_the_formula(slices):
    model = build("cage", 0, net="slim")
    scores = score_owners(model, slices, torch.Generator().manual_seed(1))
    batch = slices.batch(np.arange(8))
    with evaluating(model):
        course = model(batch.image, batch.group, torch.Generator().manual_seed(1))
        for row in range(8):
            pixels = model.render(course, int(batch.group[row]))
            nats = paper_units_log_density(batch.image, pixels.a, pixels.b)[row, 0]
            black = batch.image[row, 0] == 0
            assert scores.nats[AS_TRAINED][row] == pytest.approx(
                [float(nats[black].sum()), float(nats[~black].sum())], rel=1e-4
            )
        paid = sum(one.kl().sum(1) for one in (course.still, *course.ages))
    assert scores.kl.sum(1) == pytest.approx(paid.numpy(), rel=1e-4)
    assert scores.kl.shape == (8, 25)
    assert [use["level"] for use in scores.use][:6] == [*(f"still z{n}" for n in range(1, 6)), "k0 z1"]


def test_scoring_tells_how_far_it_is(slices, monkeypatch):
    monkeypatch.setattr("glasslung.studies.progression.heldout.BATCH", 3)
    told = []
    model = build("cage", 0, net="slim")
    score_owners(model, slices, torch.Generator(), lambda words, done: told.append((words, done)))
    assert told == [("scoring 8 slices", done) for done in (0, 3 / 8, 6 / 8)]


def test_the_score_closes_and_groups_count_alike(slices):
    model = build("cage", 0, net="slim")
    scores = score_owners(model, slices, torch.Generator().manual_seed(1))
    row = figures(scores, slices, np.random.default_rng(0))["readings"][AS_TRAINED]
    assert row["nll"][0] == pytest.approx(row["rec"][0] + row["kl"][0], abs=2e-4)
    assert row["rec"][0] == pytest.approx(-scores.nats[AS_TRAINED].sum() / (8 * 64**2), abs=1e-3)


def test_a_cage_of_one_age_is_scored_on_its_own_slices(slices):
    model = build("cage", 0, net="slim", single_age=2)
    assert owned(model, slices).group.tolist() == [2, 2]
    assert bounds_of(model, {"unseen": slices}, seed=0)["unseen"]["slices"] == 2
    with pytest.raises(UsageError, match="age 2"):
        owned(model, slices.of_group(1))
