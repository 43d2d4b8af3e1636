"""Grad-CAM in three dimensions: its formula by hand, on the scan's grid, one scale for all days."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from glasslung.data.exambatches import shown_slices, whole
from glasslung.data.exams import BODY
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.explain.gradients import class_activation
from glasslung.explain.volumecam import VolumeCam, common_scale, exam_cam, share_inside, volume_cam
from glasslung.models import build
from glasslung.models.i3d import I3D, Config
from glasslung.nn.ensemble import Ensemble
from glasslung.predict.exams import make_exam
from made_classifiers import lesion_classifier
from made_exams import made_exam
from made_volumes import chest, volume_of

pytestmark = pytest.mark.filterwarnings("ignore:.*required_grads has been set automatically")


@pytest.fixture(scope="module")
def film():
    made = I3D(Config(size=64, depth=8, width=0.25), torch.Generator().manual_seed(0)).eval()
    made.exact = True  # the same 32 bits with gradients and without
    return made


def test_of_an_i3d_it_is_its_formula(film):
    exam = made_exam(12, 32, sick=True)
    batch, shown = whole(exam), shown_slices(exam)
    maps = film.maps(batch.image, batch.scan)
    score = film.head(maps.mean((2, 3, 4)))[0, 0]
    (grads,) = torch.autograd.grad(score, maps)
    cam = (grads.mean((2, 3, 4), keepdim=True) * maps).sum(1, keepdim=True)
    cam = functional.interpolate(cam, (len(shown), 32, 32), mode="trilinear")[0, 0].detach().numpy()
    heat, said = exam_cam(film, exam)
    assert said == pytest.approx(float(score.detach()), rel=1e-4)
    cam = np.where(exam.lungs[shown] > 0, cam, 0)
    most = np.quantile(np.abs(cam[cam != 0]), 0.995)
    np.testing.assert_allclose(heat[shown], np.clip(cam / most, -1, 1), atol=2e-4)
    assert np.abs(heat).max() == pytest.approx(1)
    assert not heat[0].any()  # the first slice shows no lung: the network has not seen it


def test_where_a_scan_is_not_blacked_out_the_map_covers_all_of_it(film):
    exam = made_exam(12, 32, sick=True)
    assert not exam_cam(film, exam)[0][exam.lungs == 0].any()
    bare = replace(exam, image=np.maximum(exam.image, 9), frame=BODY)
    assert exam_cam(film, bare)[0][shown_slices(bare)][:, 0, 0].any()


def test_an_i3ds_weighed_maps_add_up_to_its_log_odds(film):
    """Mean over all places, then a linear layer: the maps are the answer's parts, but for the bias."""
    batch = whole(made_exam(12, 32, sick=True))
    maps = film.maps(batch.image, batch.scan)
    cam = class_activation(film, batch.image, batch.lesion, film.trunk)
    plain = torch.einsum("c,bcdhw->bdhw", film.head.weight[0], maps)[0]
    total = float(plain.mean().detach()) + float(film.head.bias.detach())
    assert total == pytest.approx(
        float(film.scores(batch.image, batch.lesion, batch.scan)[0].detach()), rel=1e-4
    )
    coarse = functional.interpolate(plain[None, None], cam.shape, mode="trilinear")[0, 0].detach().numpy()
    scale = float((cam * coarse).sum() / (coarse * coarse).sum())
    np.testing.assert_allclose(cam, scale * coarse, atol=1e-3 * np.abs(cam).max())
    assert scale == pytest.approx(1 / plain.numel(), rel=1e-3)


@pytest.mark.parametrize("name", ["netvlad", "slicewise", "i3d", "resnet2d"])
def test_it_comes_back_on_the_scans_own_grid(name, tmp_path):
    hu, lungs, lesions = chest(1)
    volume = volume_of(hu)
    settings = {
        "netvlad": {"width": 8, "clusters": 2},
        "slicewise": {"width": 4, "stages": 2},
        "resnet2d": {"width": 0.1},
    }
    model = (
        I3D(Config(size=64, depth=8, width=0.25), torch.Generator().manual_seed(1))
        if name == "i3d"
        else build(name, 1, size=32, **settings[name])
    )
    classifier = lesion_classifier(tmp_path)
    object.__setattr__(classifier, "model", model.eval())
    exam = make_exam(volume, lungs, lesions, 32)
    cam = volume_cam(classifier, exam, volume)
    assert cam.heat.shape == volume.shape
    assert 0.3 < np.abs(cam.heat).max() <= 1
    assert cam.score == pytest.approx(classifier.ask(exam), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(cam.scaled, cam.heat * abs(cam.score), rtol=1e-6)
    assert all(one.grad is None for one in model.parameters())


def test_an_ensembles_map_is_the_mean_of_its_members(film):
    other = I3D(Config(size=64, depth=8, width=0.25), torch.Generator().manual_seed(5)).eval()
    other.exact = True
    exam = made_exam(12, 32, sick=True)
    batch, shown = whole(exam), shown_slices(exam)
    heat, score = exam_cam(Ensemble([film, other]).eval(), exam)
    said = [float(one.scores(batch.image, batch.lesion, batch.scan)[0].detach()) for one in (film, other)]
    assert score == pytest.approx(np.mean(said), rel=1e-3)
    maps = [class_activation(one, batch.image, batch.lesion) for one in (film, other)]
    mean = np.where(exam.lungs[shown] > 0, np.mean(maps, axis=0), 0)
    assert np.corrcoef(heat[shown].ravel(), mean.ravel())[0, 1] > 0.98


def test_maps_of_both_signs_keep_their_meaning_when_the_answer_is_no():
    heat = np.array([[[1.0, -0.5]]], np.float32)
    assert VolumeCam(heat, 3.0).scaled.ravel().tolist() == [3.0, -1.5]
    assert VolumeCam(heat, -2.0).scaled.ravel().tolist() == [2.0, -1.0]
    assert not VolumeCam(heat, 0.0).scaled.any()


def test_one_scale_for_all_days_is_the_strongest_place_of_any():
    heat = np.array([[[0.5, -1.0]]], np.float32)
    cams = [VolumeCam(heat, 1.0), VolumeCam(heat, -4.0), VolumeCam(0.1 * heat, 9.0)]
    assert common_scale(cams) == pytest.approx(4.0)
    assert common_scale([]) == 1.0
    assert common_scale([VolumeCam(0 * heat, 5.0)]) == 1.0


def test_what_speaks_for_the_finding_is_counted_inside_lesions():
    lungs = np.ones((1, 2, 5), np.uint8)
    lungs[0, 1, 4] = 0
    lesions = np.zeros_like(lungs)
    lesions[0, 0, :3] = 1
    heat = np.full(lungs.shape, 0.1, np.float32)
    heat[0, 0, 0], heat[0, 0, 1], heat[0, 1, 4] = 0.9, -0.5, 7.0
    share, volume = share_inside(heat, lesions, lungs)
    assert volume == pytest.approx(3 / 9)
    assert share == pytest.approx(1.0 / 1.6)
    with pytest.raises(DataError, match="no lesion"):
        share_inside(heat, 0 * lesions, lungs)
    with pytest.raises(ShapeError):
        share_inside(heat[0], lesions, lungs)


def test_what_it_cannot_explain_is_refused(tmp_path, film):
    hu, lungs, lesions = chest(1)
    volume = volume_of(hu)
    exam = make_exam(volume, lungs, lesions, 32)
    with pytest.raises(UsageError, match="last maps of LesionShare"):
        volume_cam(lesion_classifier(tmp_path), exam, volume)
    broken = I3D(Config(size=64, depth=8, width=0.25), torch.Generator().manual_seed(0))
    nn.init.constant_(broken.head.bias, float("nan"))
    with pytest.raises(DataError, match="no number"):
        exam_cam(broken, exam)
