"""Explanations as measurements: figures where the answer is known, and beside a map that knows nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from drawn_exams import made_exam
from torch import nn

from glasslung.errors import DataError, ShapeError
from glasslung.explain import ledger as book
from glasslung.explain.perturbing import Curve, asking, curves, likeness, shuffled
from glasslung.models import build


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    """A classifier that has learned the drawn lesion."""
    from glasslung.data.exambatches import batch_of

    model = build("slicewise", 1, size=32, width=4, stages=3, side=False)
    exams = [made_exam(n, n % 2 == 0) for n in range(6)]
    batch = batch_of(exams, [1, 0] * 3, [np.arange(6)] * 6)
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(batch.image, batch.lesion, batch.scan), batch.label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


class Sum(nn.Module):
    """Log-odds that are the sum of bright lesion voxels: what is relevant is known."""

    def scores(self, image, lesion, scan):
        return (image * lesion).sum()[None]


def test_shares_by_region_add_up():
    exam = made_exam()
    relevance = np.where(exam.lesions == 1, 2.0, np.where(exam.lungs == 2, -5.0, 0.0))
    relevance[:, 0, 0] = 1.0  # outside
    told = {one.region: one for one in book.shares(relevance, exam)}
    lesion, outside = 2.0 * (exam.lesions == 1).sum(), 6.0
    assert told["outside the lungs"].relevance == pytest.approx(outside / (outside + lesion))
    assert told["outside the lungs"].volume is None
    assert told["ground glass"].relevance == told["lesions"].relevance == told["right lung"].relevance
    assert told["consolidation"].relevance == told["left lung"].relevance == 0
    assert told["lesions"].volume == pytest.approx((exam.lesions > 0).sum() / (exam.lungs > 0).sum())
    thirds = [told[f"right {level} third"] for level in ("upper", "middle", "lower")]
    assert sum(one.relevance for one in thirds) == pytest.approx(told["right lung"].relevance)
    assert sum(one.volume for one in thirds) == pytest.approx(told["right lung"].volume)
    assert told["lungs"].relevance + told["outside the lungs"].relevance == pytest.approx(1)


def test_a_perfect_map_and_one_that_avoids_lesions(rng):
    exam = made_exam()
    truth = exam.lesions > 0
    perfect = book.localise(truth.astype(float), exam, truth, rng)
    assert (perfect.share, perfect.hit) == (1.0, True)
    assert (perfect.net, perfect.against) == (1.0, 0.0)
    assert perfect.auc > 0.97  # its rim is smoothed
    assert perfect.ratio == pytest.approx(1 / perfect.volume)
    averse = book.localise((~truth).astype(float), exam, truth, rng)
    assert (averse.share, averse.hit) == (0.0, False)
    assert averse.auc < 0.1
    torn = book.localise(np.where(truth & (np.arange(32) % 2 == 0), 1.0, -1.0 * truth), exam, truth, rng)
    assert torn.share == torn.against == 1.0
    assert abs(torn.net) < 0.2  # for and against in the same place
    assert perfect.random_auc == pytest.approx(0.5, abs=0.05)
    assert perfect.random_ratio == pytest.approx(1, abs=0.5)


def test_noise_scores_as_chance(rng):
    exam = made_exam()
    noise = rng.random(exam.image.shape)
    found = book.localise(noise, exam, exam.lesions > 0, rng)
    assert found.ratio == pytest.approx(1, abs=0.2)


def test_without_lesions_or_relevance_nothing_is_localised(rng):
    well = made_exam(ill=False)
    assert book.localise(np.ones(well.image.shape), well, well.lesions > 0, rng) is None
    ill = made_exam()
    assert book.localise(-np.ones(ill.image.shape), ill, ill.lesions > 0, rng) is None


def test_deletion_falls_and_insertion_rises_sooner_than_by_chance(rng):
    exam = made_exam()
    right = exam.image * (exam.lesions > 0) / 255
    deletion, insertion = curves(asking(Sum()), exam, right, rng)
    whole = float(right.sum())
    assert deletion.log_odds[0] == insertion.log_odds[-1] == pytest.approx(whole, rel=1e-4)
    assert deletion.log_odds[-1] == insertion.log_odds[0] == 0
    assert deletion.area < deletion.random_area / 2
    assert insertion.area > 1.3 * insertion.random_area
    assert list(deletion.log_odds) == sorted(deletion.log_odds, reverse=True)


def test_what_is_taken_away_is_the_lungs_median(rng):
    exam, seen = made_exam(), []

    def ask(image, lesion):
        seen.append((image[:, 0].numpy(), lesion[:, 0].numpy()))
        return 0.0

    curves(ask, exam, exam.lesions.astype(float), rng, (0.0, 1.0))
    image, lesion = seen[1]
    middle = np.median(exam.image[(exam.lungs > 0) & (exam.lesions == 0)])
    np.testing.assert_allclose(image[exam.lungs > 0] * 255, middle, rtol=1e-6)
    assert not image[exam.lungs == 0].any()
    assert not lesion.any()


def test_areas_are_means_over_the_steps():
    curve = Curve((0.0, 0.5, 1.0), (2.0, 1.0, 0.0), (2.0, 2.0, 0.0))
    assert (curve.area, curve.random_area) == (1.0, 1.5)


def test_shuffling_keeps_the_weights_but_not_their_places(rng):
    model = build("netvlad", 0, size=32, width=8, clusters=2)
    whole, last = shuffled(model, rng), shuffled(model, rng, 1)
    for (name, own), other, one in zip(
        model.named_parameters(), whole.parameters(), last.parameters(), strict=True
    ):
        assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)
        assert own.numel() < 20 or not torch.equal(own, other)
        assert name.startswith("head") or torch.equal(own, one)
    assert not torch.equal(model.head.weight, last.head.weight)


def test_likeness_of_maps(rng):
    exam = made_exam()
    first = rng.random(exam.image.shape)
    assert likeness(first, -3 * first, exam) == pytest.approx(1)
    assert abs(likeness(first, rng.random(first.shape), exam)) < 0.3
    assert likeness(first, np.zeros(first.shape), exam) == 0
    with pytest.raises(DataError, match="no slice"):
        empty = made_exam()
        empty.lungs[:] = 0
        likeness(first, first, empty)


def test_a_ledger_of_a_classifier_that_learned_the_lesion(model, rng):
    exam = made_exam(20)
    kept = book.keep_ledger(model, exam, rng, "scan-01", steps=(0.0, 0.1, 1.0))
    assert kept.error < 1e-4
    assert kept.localisation.ratio > 1.5
    assert kept.lesion_input == 0  # this one does not read the mask
    assert kept.deletion.area < kept.deletion.random_area
    assert kept.sanity.layers == (1, -1)
    assert kept.sanity.likeness[1] < 0.9
    assert kept.localisation.net > 0.3
    assert kept.sanity.net < kept.localisation.net
    assert json.loads(json.dumps(kept.as_json()))["localisation"]["hit"] in (True, False)
    short = book.keep_ledger(model, made_exam(21, ill=False), rng, steps=None, cascade=None)
    assert short.localisation is short.deletion is short.sanity is None


def test_figures_have_intervals_over_patients(model, rng):
    exams = [made_exam(n, n % 3 > 0) for n in range(6)]
    ledgers = [book.keep_ledger(model, exam, rng, steps=None, cascade=(-1,)) for exam in exams]
    told = {one.name: one for one in book.figures(ledgers, ["a", "a", "b", "c", "d", "e"], rng, 200)}
    inside = told["in lesions"]
    assert inside.value.low <= inside.value.value <= inside.value.high
    assert inside.value.value > inside.random.value
    assert (inside.scans, inside.value.patients) == (6, 5)
    assert told["lesions, share over volume"].scans == 4
    assert told["conservation error"].random is None
    table = book.share_table(ledgers)
    assert table["in lesions".removeprefix("in ")][0] == pytest.approx(inside.value.value)
    with pytest.raises(DataError, match="two patients"):
        book.figures(ledgers[:1], ["a"], rng)
    with pytest.raises(ShapeError, match="as many patients"):
        book.figures(ledgers, ["a"], rng)


def test_maps_of_another_grid_are_refused(rng):
    exam = made_exam()
    with pytest.raises(ShapeError, match="one for each slice"):
        book.shares(np.zeros((1, 2, 3)), exam)
    with pytest.raises(ShapeError, match="must lie on the exam"):
        book.localise(np.zeros((1, 2, 3)), exam, exam.lesions > 0, rng)
