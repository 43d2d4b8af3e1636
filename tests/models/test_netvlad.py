"""The classifier: the paper's weights, any number of slices, empty lesion masks, the start from a CVAE."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import build, cvae, netvlad
from glasslung.nn.batches import ExamBatch
from glasslung.nn.blocks import count_parameters
from glasslung.nn.pyramid import HEAVIER_LEVELS

SMALL = {"size": 32, "width": 16, "clusters": 4}


def exams(counts=(4, 1, 3), labels=(1, 0, 1), side: int = 32, seed: int = 0) -> ExamBatch:
    """Noise, brighter in its lesions, which scans with the disease have more of."""
    rng = torch.Generator().manual_seed(seed)
    scan = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    image = torch.rand(len(scan), 1, side, side, generator=rng) * 0.5
    label = torch.tensor(labels)
    share = torch.where(label[scan] == 1, 0.6, 0.1)[:, None, None, None]
    lesion = (torch.rand(image.shape, generator=rng) < share).float()
    return ExamBatch(image + 0.4 * lesion, lesion, scan, label)


def made(**settings) -> netvlad.NetVLADClassifier:
    return build("netvlad", 1, **(SMALL | settings))


def test_weights_of_the_paper_as_described_and_as_printed():
    whole = build("netvlad")
    assert count_parameters(whole.branches) == 47_104
    assert count_parameters(whole.dense) == 2432 * 512 + 512
    assert count_parameters(whole.vlad) == 2 * 64 * 512 + 64
    assert count_parameters(whole.head) == 2 * 32768 + 2
    assert round(count_parameters(whole) / 1e6, 2) == 1.42
    assert round(count_parameters(build("netvlad", levels=HEAVIER_LEVELS)) / 1e6, 2) == 1.92


def test_scores_and_features_are_those_of_its_logits_and_last_layer():
    model, batch = made(), exams()
    logits = model(batch.image, batch.lesion, batch.scan)
    scores = model.scores(batch.image, batch.lesion, batch.scan)
    assert scores.shape == (3,) and scores.dtype == torch.float32 and scores.requires_grad
    assert torch.equal(scores, logits[:, 1] - logits[:, 0])
    features = model.features(batch.image, batch.lesion, batch.scan)
    assert features.shape == (3, 64) and torch.equal(model.head(features), logits)


def test_a_scan_is_answered_alone_as_in_a_batch_whatever_its_length():
    model = made().eval()
    batch = exams(counts=(4, 1, 9))
    together = model.scores(batch.image, batch.lesion, batch.scan)
    for scan in range(3):
        own = batch.scan == scan
        alone = model.scores(batch.image[own], batch.lesion[own], torch.zeros(int(own.sum()), dtype=int))
        assert alone.item() == pytest.approx(together[scan].item(), abs=1e-5)


def test_slices_of_any_size_are_read():
    model = made()
    for side in (16, 33, 50):
        batch = exams(side=side)
        assert torch.isfinite(model.scores(batch.image, batch.lesion, batch.scan)).all()
    small = exams(side=8)
    with pytest.raises(ShapeError, match="16 pixels"):
        model.scores(small.image, small.lesion, small.scan)


def test_a_scan_without_lesions_still_gets_an_answer_of_its_own():
    model, batch = made(), exams()
    empty = torch.zeros_like(batch.lesion)
    scores = model.scores(batch.image, empty, batch.scan)
    assert torch.isfinite(scores).all() and scores.unique().numel() == 3
    gradient = torch.autograd.grad(netvlad.loss(model, batch)["total"], list(model.parameters()))
    assert all(torch.isfinite(one).all() and one.abs().max() > 0 for one in gradient)


def test_slices_and_scans_that_do_not_fit_are_refused():
    model, batch = made(), exams()
    for scan in (batch.scan[:-1], batch.scan + 1, batch.scan * 2):
        with pytest.raises(ShapeError, match="scan"):
            model.scores(batch.image, batch.lesion, scan)
    with pytest.raises(ShapeError, match="lesions alike"):
        model.scores(batch.image, batch.lesion[:-1], batch.scan)


def test_only_the_branches_come_from_the_cvae():
    model, source = made(), cvae.CVAE(cvae.Config(size=32), torch.Generator().manual_seed(9))
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.start_from(source)
    for name, weight in model.state_dict().items():
        if name.startswith("branches."):
            assert torch.equal(weight, source.state_dict()[name])
        else:
            assert torch.equal(weight, before[name])
    with pytest.raises(UsageError, match="side"):
        made(side=False).start_from(source)


def test_learns_who_has_more_lesions_within_some_steps():
    model = made()
    rows = [exams((2, 3, 2, 1), (0, 1, 0, 1), seed=seed) for seed in range(12)]
    (player,) = netvlad.players(model)
    adam = torch.optim.Adam(player.parameters, lr=player.lr)
    for batch in rows * 3:
        adam.zero_grad()
        player.loss(batch, 0, torch.Generator())["total"].backward()
        adam.step()
    fresh = exams((2, 3, 2, 1), (0, 1, 0, 1), seed=99)
    scores = model.scores(fresh.image, fresh.lesion, fresh.scan)
    assert scores[fresh.label == 1].min() > scores[fresh.label == 0].max()


def test_settings_survive_json_and_are_checked():
    config = netvlad.Config(**json.loads(json.dumps(asdict(made().config))))
    assert config == made().config
    for wrong in ({"size": 8}, {"clusters": 0}, {"levels": ()}, {"gamma": -1}, {"lr": 0}):
        with pytest.raises(UsageError):
            netvlad.Config(**wrong)


def test_starts_from_clusters_of_training_slices():
    model, batch = made(), exams((9, 9, 9), (0, 1, 0))
    with torch.no_grad():
        found = model.descriptors(batch.image, batch.lesion)
    model.vlad.start_from(found, np.random.default_rng(0))
    assert torch.isfinite(model.scores(batch.image, batch.lesion, batch.scan)).all()
