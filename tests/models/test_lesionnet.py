"""The classifier on a segmenter's encoder: what it pools, over what, and that a scan is one mean."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.models import build, lesionnet
from glasslung.nn.batches import ExamBatch

SMALL = {"size": 64, "width": 2, "scales": (1.0, 0.75)}


def exams(counts=(3, 1, 2), labels=(1, 0, 1), side=64) -> ExamBatch:
    """Two lungs a slice, with a lesion in the left half of one."""
    rng = torch.Generator().manual_seed(0)
    scan = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    lungs = torch.zeros(len(scan), 1, side, side)
    lungs[..., 8:-8, 4:28] = lungs[..., 8:-8, 36:60] = 1
    image = (0.2 + 0.6 * torch.rand(lungs.shape, generator=rng)) * lungs
    lesion = torch.zeros_like(lungs)
    lesion[..., 16:40, 6:26] = 1
    return ExamBatch(image, lesion, scan, torch.tensor(labels))


def made(**settings) -> lesionnet.LesionNet:
    model = build("lesionnet", 1, **(SMALL | settings))
    model.norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
    return model.eval()


def test_means_over_regions_are_those_of_the_definition():
    model, batch = made(scales=(1.0,), strongest=False, mirrored=False), exams(counts=(2,), labels=(1,))
    with torch.no_grad():
        pooled = model.pooled(batch.image, batch.lesion, batch.scan)
        maps = model.encoder(2 * batch.image - 1)[3]
    lungs = torch.nn.functional.max_pool2d((batch.image > 0).float(), 3, 1, 1)
    small = [torch.nn.functional.avg_pool2d(one, 16) for one in (lungs, batch.lesion * lungs)]
    regions = [small[0], small[1], small[0] - small[1]]
    slow = []
    for region in regions:
        for channel in range(maps.shape[1]):
            over = sum(
                float(maps[s, channel, y, x] * region[s, 0, y, x])
                for s in range(2)
                for y in range(4)
                for x in range(4)
            )
            slow.append(over / float(region.sum()))
    slow.append(float((batch.lesion * lungs).sum() / lungs.sum()))
    torch.testing.assert_close(pooled.values[0], torch.tensor(slow), atol=1e-4, rtol=1e-4)
    assert pooled.known.all()


def test_the_strongest_answer_is_the_largest_of_the_map_in_the_region():
    model, batch = made(scales=(1.0,), mirrored=False), exams(counts=(1,), labels=(1,))
    values = model.pooled(batch.image, batch.lesion, batch.scan).values[0]
    maps = model.encoder(2 * batch.image - 1)[3][0]
    lungs = torch.nn.functional.max_pool2d((batch.image > 0).float(), 3, 1, 1)
    inside = torch.nn.functional.avg_pool2d(lungs, 16)[0, 0] > lesionnet.TOUCH
    channels = maps.shape[0]
    torch.testing.assert_close(values[channels : 2 * channels], maps[:, inside].amax(1))


def test_a_scan_is_its_slices_whatever_their_number_and_company():
    model, batch = made(), exams()
    together = model.scores(batch.image, batch.lesion, batch.scan)
    for scan in range(3):
        rows = batch.scan == scan
        alone = model.scores(
            batch.image[rows], batch.lesion[rows], torch.zeros(int(rows.sum()), dtype=torch.int64)
        )
        torch.testing.assert_close(alone[0], together[scan])
    twice = model.scores(
        torch.cat([batch.image[:3]] * 2), torch.cat([batch.lesion[:3]] * 2), torch.zeros(6, dtype=torch.int64)
    )
    torch.testing.assert_close(twice[0], together[0], atol=1e-5, rtol=1e-4)


def test_a_scan_without_lesions_says_nothing_of_them():
    model, batch = made(), exams(counts=(2,), labels=(0,))
    none = torch.zeros_like(batch.lesion)
    pooled = model.pooled(batch.image, none, batch.scan)
    channels = 2 * 16
    per_scale = 3 * channels
    for scale in range(2):
        lesion = slice(scale * per_scale + channels, scale * per_scale + 2 * channels)
        assert not pooled.known[0, lesion].any()
        assert (model.features(batch.image, none, batch.scan)[0, lesion] == 0).all()
    assert pooled.values[0, -1] == 0 and pooled.known[0, -1]
    assert torch.isfinite(model.scores(batch.image, none, batch.scan)).all()


def test_both_mirror_images_give_the_same_answer():
    batch = exams()
    for mirrored in (True, False):
        model = made(mirrored=mirrored)
        one, other = (
            model.scores(image, lesion, batch.scan)
            for image, lesion in ((batch.image, batch.lesion), (batch.image.flip(-1), batch.lesion.flip(-1)))
        )
        assert torch.allclose(one, other, atol=1e-5) == mirrored


def test_features_stand_before_the_last_layer_and_carry_gradients_to_the_picture():
    model, batch = made(), exams()
    image = batch.image.clone().requires_grad_()
    features = model.features(image, batch.lesion, batch.scan)
    assert torch.equal(model.head(features), model(batch.image, batch.lesion, batch.scan))
    (gradient,) = torch.autograd.grad(model.scores(image, batch.lesion, batch.scan).sum(), image)
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0


def test_it_begins_with_a_segmenter_s_encoder_and_refuses_another():
    segmenter = build("unet", 3, width=2)
    model = made()
    model.start_from(segmenter.unet.encoder)
    for name, part in model.encoder.state_dict().items():
        assert torch.equal(part, segmenter.unet.encoder.state_dict()[name])
    with pytest.raises(UsageError, match="light encoder of width 2"):
        model.start_from(build("unet", 3, width=4).unet.encoder)


def test_a_frozen_encoder_stays_as_it_is():
    learned = {id(one) for player in lesionnet.players(made(frozen=True)) for one in player.parameters}
    model = made(frozen=True)
    assert {id(one) for player in lesionnet.players(model) for one in player.parameters} == {
        id(model.head.weight),
        id(model.head.bias),
    }
    assert len(learned) == 2
    total = lesionnet.loss(made().train(), exams())["total"]
    assert torch.isfinite(total)


def test_settings_survive_json_and_are_checked():
    config = lesionnet.Config(scales=(1.0, 0.5))
    assert lesionnet.Config(**json.loads(json.dumps(asdict(config)))) == config
    for wrong in ({"size": 32}, {"scales": ()}, {"scales": (3.0,)}, {"lr": 0.0}):
        with pytest.raises(UsageError):
            lesionnet.Config(**wrong)
    with pytest.raises(ShapeError):
        made().scores(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(1, dtype=torch.int64))
