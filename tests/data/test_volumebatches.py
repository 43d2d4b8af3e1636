"""Boxes from phantom scans: balance, truth beside grey values, exact stop and go, pictures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from glasslung.data import volumebatches as vb
from glasslung.data.phantom import draw_patient, render
from glasslung.errors import DataError, UsageError
from glasslung.types import Intensity

COARSE = vb.Settings(spacing_mm=(6.0, 4.0, 4.0), box=(16, 24, 24))


@pytest.fixture(scope="module")
def scans() -> list[vb.Scan]:
    chests = [
        render(draw_patient(seed, disease, "b", severity), day, shape=(40, 64, 64))
        for seed, disease, severity, day in ((1, "covid", 0.9, 12.0), (2, "healthy", None, 0.0))
    ]
    return [vb.on_grid(chest, COARSE) for chest in chests]


def stream(scans, seed: int = 0, **settings) -> vb.VolumeBatches:
    return vb.VolumeBatches(scans, replace(COARSE, **settings), np.random.default_rng(seed))


def test_a_scan_on_the_grid_keeps_its_amounts():
    chest = render(draw_patient(1, "covid", "b", 0.9), 12.0, shape=(40, 64, 64))
    scan = vb.on_grid(chest, COARSE)
    assert scan.hu.shape == scan.label.shape and scan.hu.dtype == np.int16
    ml = float(np.prod(COARSE.spacing_mm)) / 1000
    lungs = np.count_nonzero(chest.lungs) * chest.volume.voxel_ml
    assert np.count_nonzero(scan.label) * ml == pytest.approx(lungs, rel=0.04)
    assert set(np.unique(scan.label)) == set(range(5))
    assert scan.hu[scan.label == 3].mean() > scan.hu[scan.label == 2].mean() > scan.hu[scan.label == 1].mean()


def test_boxes_hold_grey_values_and_their_labels(scans):
    batch = next(stream(scans, boxes=3))
    assert batch.image.shape == (3, 1, 16, 24, 24) and batch.image.dtype == torch.float32
    assert batch.label.shape == (3, 16, 24, 24) and batch.label.dtype == torch.int64
    assert float(batch.image.min()) >= 0 and float(batch.image.max()) <= 1
    lung = batch.label == 1
    assert batch.image[:, 0][lung].mean() < 0.3 < batch.image[:, 0][batch.label == 0].mean()


def test_every_class_is_met_in_its_turn(scans):
    batches = stream(scans)
    met = np.zeros(5)
    for _ in range(40):
        for label in next(batches).label:
            met[np.unique(label.numpy())] += 1
    assert (met >= 25).all()  # of 80 boxes: consolidation is 1 % of the voxels, if that


def test_image_and_label_are_of_the_same_place(scans):
    """Without noise or changes a grey value is the scan's own, at the voxel whose label is told."""
    plain = replace(COARSE, shift_hu=0.0, scale=0.0, noise_hu=0.0)
    rng = np.random.default_rng(5)
    coded = vb.Scan(
        np.arange(scans[0].label.size).reshape(scans[0].label.shape) % 1400 - 1000,
        (np.arange(scans[0].label.size).reshape(scans[0].label.shape) % 1400 % 5).astype(np.uint8),
        COARSE.spacing_mm,
    )
    hu, label = vb.cut(coded, np.array([3, 3, 3]), plain, rng)
    grey = vb.grey_of(hu, plain, rng)
    assert (np.rint(grey * 1400).astype(int) % 5 == label).all()
    assert (np.diff(hu[:, 0, 0]) != 0).any()


def test_boxes_near_the_edge_stay_inside_where_there_is_room(scans):
    small = scans[0]
    for near in ((0, 0, 0), np.array(small.label.shape) - 1):
        hu, _ = vb.cut(small, np.array(near), COARSE, np.random.default_rng(0))
        assert hu.shape == COARSE.box
        assert all((np.diff(hu, axis=axis) != 0).any() for axis in range(3))


def test_stops_and_goes_on_exactly(scans):
    first = stream(scans)
    next(first)
    state = json.loads(json.dumps(first.state()))
    wanted = [next(first) for _ in range(2)]
    other = stream(scans, seed=9)
    other.restore(state)
    for batch in wanted:
        again = next(other)
        assert torch.equal(again.image, batch.image) and torch.equal(again.label, batch.label)
    with pytest.raises(UsageError, match="give the same"):
        stream(scans[:1]).restore(state)


def test_pictures_have_256_greys_and_many_windows(scans):
    batches = stream(scans, intensity=Intensity.DISPLAY8, noise_hu=0.0, shift_hu=0.0, scale=0.0)
    means = []
    for _ in range(12):
        for image, label in ((b.image, b.label) for b in [next(batches)]):
            steps = image * 255
            assert torch.allclose(steps, steps.round(), atol=1e-3)
            means.append(float(image[:, 0][label == 1].mean()))
    assert max(means) - min(means) > 0.08  # the same healthy lung, in windows of different limits


def test_drawn_scans_differ_and_a_number_names_one():
    small = replace(COARSE, spacing_mm=(8.0, 8.0, 8.0))
    one, again = (vb.draw_scan(3, "ab", small) for _ in range(2))
    assert (one.hu == again.hu).all()
    assert one.hu.shape != vb.draw_scan(4, "ab", small).hu.shape


def test_what_is_wrong_is_refused(scans):
    with pytest.raises(DataError, match="one at least"):
        stream([])
    with pytest.raises(DataError, match="another grid"):
        vb.VolumeBatches(scans, vb.Settings(), np.random.default_rng(0))
    with pytest.raises(UsageError, match="positive"):
        vb.Settings(boxes=0)
    with pytest.raises(UsageError, match="rise"):
        vb.Settings(window_hu=(100.0, -100.0))


def unknown_scan() -> vb.Scan:
    """One voxel of each label, beside healthy lung."""
    label = np.full((4, 6, 6), 1, np.int8)
    label[0, 0, :6] = vb.UNKNOWN, vb.NO_LESION, vb.IN_LUNG, 0, 2, 4
    hu = np.full(label.shape, -850, np.int16)
    return vb.Scan(hu, label, COARSE.spacing_mm)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("lungs and lesions", [-1, -1, -1, 0, 2, 4, 1]),
        ("lesions", [-1, 0, -1, 0, 1, 3, 0]),
        ("lesion", [-1, 0, -1, 0, 1, 1, 0]),
        ("lungs", [-1, -1, 1, 0, 1, 1, 1]),
    ],
)
def test_each_network_is_told_what_is_known(name, told):
    label = unknown_scan().label
    found = vb.READINGS[name](label)
    assert found.dtype == np.int8
    assert [*found[0, 0].tolist(), int(found[1, 1, 1])] == told
    places = vb.places_of(unknown_scan(), vb.READINGS[name])
    assert sorted(places) == sorted(set(told) - {-1})


def test_unknown_voxels_are_unknown_in_the_batch():
    settings = replace(COARSE, box=(4, 6, 6), boxes=1)
    scans = [unknown_scan()]
    batch = next(vb.VolumeBatches(scans, settings, np.random.default_rng(0)))
    assert int((batch.label == -1).sum()) == 3
    lungs = vb.VolumeBatches(scans, settings, np.random.default_rng(0), vb.READINGS["lungs"])
    assert set(np.unique(next(lungs).label)) == {-1, 0, 1}


def test_axial_squares_tell_lesions_and_lungs_apart(scans):
    settings = replace(COARSE, box=(1, 24, 32), boxes=5)
    one = vb.AxialBatches(scans, settings, np.random.default_rng(3), vb.READINGS["lesions"])
    batch = next(one)
    assert batch.image.shape == (5, 1, 24, 32) and batch.lesion.shape == batch.lung.shape == (5, 24, 32)
    assert (batch.lung[batch.lesion > 0] == 1).all() and bool((batch.lesion > 0).any())
    again = vb.AxialBatches(scans, settings, np.random.default_rng(9), vb.READINGS["lesions"])
    again.restore(json.loads(json.dumps(one.state())))
    assert torch.equal(next(again).image, next(one).image)


def test_scans_of_pictures_are_shown_through_windows_of_their_own(scans):
    grey = np.clip((scans[0].hu.astype(np.float32) + 1350) / 1500 * 255, 0, 255).astype(np.int16)
    pictures = replace(scans[0], hu=grey, intensity=Intensity.DISPLAY8)
    stream_of = vb.VolumeBatches(
        [pictures], replace(COARSE, intensity=Intensity.DISPLAY8, noise_grey=0.0), np.random.default_rng(0)
    )
    means = []
    for _ in range(10):
        batch = next(stream_of)
        assert torch.allclose(batch.image * 255, (batch.image * 255).round(), atol=1e-3)
        means.append(float(batch.image[:, 0][batch.label == 1].mean()))
    assert 0.02 < max(means) - min(means) < 0.4
    with pytest.raises(DataError, match="cannot learn from 8-bit"):
        vb.VolumeBatches([pictures], COARSE, np.random.default_rng(0))


def test_a_network_is_not_fed_background_alone(scans):
    healthy = replace(scans[1], label=np.minimum(scans[1].label, 1))
    with pytest.raises(DataError, match="no scan has ground glass"):
        vb.VolumeBatches([healthy], COARSE, np.random.default_rng(0), vb.READINGS["lesions"])
