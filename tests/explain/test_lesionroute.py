"""Relevance through the classifier on a segmenter's encoder: nothing is lost, and black lungs get little."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_exams import made_exam
from torch import nn

from glasslung.explain import lesionroute
from glasslung.explain.ledger import keep_ledger
from glasslung.explain.lrp import explain
from glasslung.models import build

SETTINGS = [{}, {"mirrored": False}, {"strongest": False}, {"scales": (1.0,)}, {"scales": (2.0, 1.5)}]


def classifier(**settings):
    """Small, with batch norms that have seen something."""
    model = build("lesionnet", 0, size=64, width=2, **{"scales": (1.0, 0.75), **settings}).eval()
    rng = torch.Generator().manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.2, generator=rng)
            norm.running_var.uniform_(0.5, 2, generator=rng)
    nn.init.normal_(model.head.weight, std=0.5, generator=rng)
    return model


def slices(count=3, sick=True):
    """Two lungs in black, and a lesion in one of them."""
    rng = torch.Generator().manual_seed(1)
    lungs = torch.zeros(count, 1, 64, 64)
    lungs[..., 8:-8, 4:28] = lungs[..., 8:-8, 36:60] = 1
    lesion = torch.zeros_like(lungs)
    lesion[..., 16:40, 6:26] = float(sick)
    image = (0.15 + 0.1 * torch.rand(lungs.shape, generator=rng) + 0.5 * lesion) * lungs
    return image, lesion


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("composite", ["conserving", "gradient"])
@pytest.mark.parametrize("sick", [True, False])
def test_relevance_and_biases_add_up_to_the_log_odds(settings, composite, sick):
    model, (image, lesion) = classifier(**settings), slices(sick=sick)
    found = explain(model, image, lesion, None, composite)
    with torch.no_grad():
        said = model.scores(image, lesion, torch.zeros(3, dtype=torch.int64)).item()
    assert found.log_odds == pytest.approx(said, rel=1e-3, abs=1e-5)
    assert found.error < 1e-4
    assert found.image.shape == (3, 64, 64)
    assert np.abs(found.image).sum() > 0 or not sick  # dark lungs may leave all maps of a random encoder at 0
    assert not found.lesion.any()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("composite", ["conserving", "gradient"])
def test_slices_may_go_through_in_parts(settings, composite):
    """One at a time, two (and one left over) and all at once: the same relevance, biases booked once."""
    model, (image, lesion) = classifier(**settings), slices(5)
    lesion[1] = 0  # the regions of its slices differ
    whole = explain(model, image, lesion, None, composite, at_once=5)
    for at_once in (1, 2, None):
        part = explain(model, image, lesion, None, composite, at_once)
        np.testing.assert_allclose(part.image, whole.image, rtol=1e-3, atol=1e-5 * np.abs(whole.image).max())
        assert part.log_odds == pytest.approx(whole.log_odds, rel=1e-5)
        assert part.biases == pytest.approx(whole.biases, rel=1e-4, abs=1e-5)
        assert part.error < 1e-4 and part.shown.tolist() == [0, 1, 2, 3, 4]
        for one, other in zip(part.lines, whole.lines, strict=True):
            assert one.layer == other.layer and one.rule == other.rule
            assert one.absorbed == pytest.approx(other.absorbed, rel=1e-3, abs=1e-4)


def test_no_more_pixels_at_once_than_a_cache_holds(monkeypatch):
    """The network sees slices at twice their size: so of 128 x 128 pixels one goes through at a time."""
    model, seen = build("lesionnet", 0, size=128, width=2, scales=(2.0, 1.5)).eval(), []
    run = lesionroute.Eyes.run
    monkeypatch.setattr(lesionroute.Eyes, "run", lambda self, x: (seen.append(len(x[0])), run(self, x))[1])
    image, lesion = slices()
    explain(model, *(nn.functional.interpolate(one, (128, 128)) for one in (image, lesion)))
    assert seen == [1] * 6  # each forward, then each forward and back


def test_a_region_too_small_to_speak_is_booked():
    """Lesions of a few pixels: their features stand at the mean of training, which takes their relevance."""
    model, (image, lesion) = classifier(), slices(sick=False)
    lesion[:, :, 20:22, 10:12] = 1
    found = explain(model, image, lesion, at_once=1)
    with torch.no_grad():
        said = model.scores(image, lesion, torch.zeros(3, dtype=torch.int64)).item()
    assert found.log_odds == pytest.approx(said, rel=1e-3, abs=1e-5)
    assert found.error < 1e-4


def test_what_an_empty_slice_adds_is_nothing():
    """A slice without lung has no part in any mean, so it gets no relevance; the others get what they had."""
    model, (image, lesion) = classifier(), slices()
    alone = explain(model, image, lesion, at_once=1)
    black = torch.zeros_like(image[:1])
    beside = explain(model, torch.cat([black, image]), torch.cat([black, lesion]), at_once=1)
    assert not beside.image[0].any()
    np.testing.assert_allclose(
        beside.image[1:], alone.image, rtol=1e-4, atol=1e-6 * np.abs(alone.image).max()
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_gradient_relevance_is_gradient_times_input_of_the_encoder_s_picture(mirrored):
    """With LRP-0 everywhere, relevance is (2 x - 1) times the gradient by it, handed back by place."""
    model, (image, lesion) = classifier(mirrored=mirrored, scales=(1.0,)), slices()
    found = explain(model, image, lesion, None, "gradient", at_once=2)
    shown = (2 * image - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(
        model.scores((shown + 1) / 2, lesion, torch.zeros(3, dtype=torch.int64)).sum(), shown
    )
    expected = (shown * gradient)[:, 0].detach().numpy()
    np.testing.assert_allclose(found.image, expected, atol=2e-3 * np.abs(expected).max())


def test_a_ledger_by_region():
    """Regions of the exam hold their shares; the mask as an input has none, for pooling only reads by it."""
    exam = made_exam(size=64)
    ledger = keep_ledger(classifier(), exam, np.random.default_rng(0), steps=(0.0, 0.5))
    assert ledger.error < 1e-4 and ledger.lesion_input == 0
    share = {one.region: one.relevance for one in ledger.positive}
    assert share["lungs"] + share["outside the lungs"] == pytest.approx(1, abs=1e-5)
    assert share["right lung"] + share["left lung"] == pytest.approx(share["lungs"], abs=1e-5)
    assert 0 < share["lesions"] < share["right lung"]
    assert ledger.localisation is not None and ledger.deletion is not None and ledger.sanity is not None
    head, all_layers = ledger.sanity.likeness
    assert all_layers < 0.9 and all_layers < head < 1
