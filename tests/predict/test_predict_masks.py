"""Lungs and lesions of one scan: on its own grid, whatever its axes, and only inside the lungs."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.formats import read_scan
from glasslung.data.lungs import segment_lungs
from glasslung.data.orientation import orientation_of, to_upright
from glasslung.data.phantom import draw_patient, render
from glasslung.errors import ShapeError, UsageError
from glasslung.measure.overlap import dice
from glasslung.predict.masks import STEPS, segment_scan
from glasslung.types import Geometry, Intensity, Lungs, MaskQuality, Volume
from made_segmenters import GreyNet, grey_segmenter

SMALL = (40, 96, 96)
GOOD = MaskQuality(True, 1.0)


@pytest.fixture(scope="module")
def drawn():
    """A phantom on day 9 with its true masks."""
    return render(draw_patient(4, severity=0.7), 9, shape=SMALL)


def as_pictures(volume: Volume) -> Volume:
    """Through a lung window, first slice at the head, as plain pictures come."""
    upright = to_upright(volume.voxels, orientation_of(volume))[::-1]
    grey = np.clip((upright.astype(float) + 1106) / 1373 * 255, 0, 255).astype(np.uint8)
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])
    return Volume(np.ascontiguousarray(grey), affine, Intensity.DISPLAY8, geometry=Geometry.ASSUMED)


def test_dense_tissue_inside_the_lungs_is_found(drawn):
    lungs = Lungs(drawn.lungs, GOOD)
    found = segment_scan(drawn.volume, grey_segmenter(), lungs, keep_lungs=True)
    assert found.lesions.shape == drawn.volume.shape and found.lesions.dtype == np.uint8
    assert not found.lesions[drawn.lungs == 0].any() and not found.infection[drawn.lungs == 0].any()
    assert found.infection.max() <= STEPS
    assert ((found.lesions > 0) == (found.infection >= STEPS // 2))[found.infection != STEPS // 2].all()
    assert dice(found.lesions > 0, drawn.lesions > 0) > 0.6  # vessels are dense too
    assert found.agreement is None and not found.learned and found.lungs.mask is drawn.lungs


def test_lesions_that_hang_on_the_lungs_tell_of_more_lung(drawn):
    """A network without a lung output: dense parts that the rules missed come back with its lesions."""
    missed = drawn.lungs.copy()
    missed[12:26, 40:70, 20:76] = 0
    dense = (missed == 0) & (drawn.lungs > 0)
    volume = Volume(
        np.where(dense, 30, drawn.volume.voxels).astype(np.int16), drawn.volume.affine, Intensity.HU
    )
    found = segment_scan(volume, grey_segmenter(), Lungs(missed, GOOD))
    assert found.agreement is None and found.learned
    assert dice(found.lungs.mask > 0, drawn.lungs > 0) > dice(missed > 0, drawn.lungs > 0) + 0.02
    assert (found.lesions[dense & (found.lungs.mask > 0)] == 2).mean() > 0.8


def test_slices_from_head_to_feet_get_the_same_answer(drawn):
    volume, flip = drawn.volume, np.diag([-1.0, 1.0, 1.0, 1.0])
    flip[0, 3] = volume.shape[0] - 1
    turned = Volume(np.ascontiguousarray(volume.voxels[::-1]), volume.affine @ flip, volume.intensity)
    one = segment_scan(volume, grey_segmenter(), Lungs(drawn.lungs, GOOD))
    other = segment_scan(turned, grey_segmenter(), Lungs(np.ascontiguousarray(drawn.lungs[::-1]), GOOD))
    assert (other.lesions[::-1] == one.lesions).all() and (other.infection[::-1] == one.infection).all()


def test_only_the_box_of_the_lungs_is_looked_at(drawn):
    part = np.where(np.arange(SMALL[0])[:, None, None] < 12, drawn.lungs, 0).astype(np.uint8)
    model = GreyNet()
    segment_scan(drawn.volume, grey_segmenter(model=model), Lungs(part, GOOD))
    looked_at = sum(shape[0] for shape in model.seen) / 2  # each slice as it is and mirrored
    height_mm = drawn.volume.spacing_mm[0] * np.count_nonzero(part.any(axis=(1, 2)))
    assert (
        looked_at * max(4.0, drawn.volume.spacing_mm[0])
        <= height_mm + 2 * 25 + 2 * drawn.volume.spacing_mm[0]
    )
    assert all(side % 32 == 0 for shape in model.seen for side in shape[2:])


def test_the_network_gives_back_what_the_rules_had_missed(drawn, monkeypatch):
    """A network that knows the truth, beside lungs from which the dense parts were cut."""
    import glasslung.predict.masks as masks
    from glasslung.data.boxgrid import labels_to_grid

    read = masks.read_scan

    def knowing(*words, **more):
        reading = read(*words, **more)
        truth = to_upright(drawn.lungs, orientation_of(drawn.volume)) > 0
        chance = np.where(labels_to_grid(truth, reading.grid), 0.9, 0.1).astype(np.float16)
        return type(reading)(**(vars(reading) | {"lung": chance}))

    missed = np.where((drawn.lesions == 2) | (drawn.volume.voxels > -350), 0, drawn.lungs).astype(np.uint8)
    side = drawn.lungs == 2
    dense = np.zeros(SMALL, bool)
    dense[12:26, 40:62] = True  # a lobe's part with lung above, below and in front of it
    missed[dense & side] = 0
    monkeypatch.setattr(masks, "read_scan", knowing)
    found = segment_scan(drawn.volume, grey_segmenter(finds_lungs=True), Lungs(missed, GOOD))
    before = dice(missed > 0, drawn.lungs > 0)
    after = dice(found.lungs.mask > 0, drawn.lungs > 0)
    assert found.learned and after > before + 0.04 and after > 0.96
    assert (found.lungs.mask[side & (found.lungs.mask > 0)] == 2).mean() > 0.97
    assert any("was taken in by the network" in note for note in found.notes)
    kept = segment_scan(drawn.volume, grey_segmenter(finds_lungs=True), Lungs(missed, GOOD), keep_lungs=True)
    assert (kept.lungs.mask == missed).all() and kept.agreement is None


def test_other_lungs_are_told_and_the_rules_stand(drawn):
    found = segment_scan(
        drawn.volume, grey_segmenter(finds_lungs=True, model=GreyNet(dense=0.05)), Lungs(drawn.lungs, GOOD)
    )
    assert not found.learned and (found.lungs.mask == drawn.lungs).all()
    assert found.lungs.quality.confidence < 1 and "other lungs" in found.lungs.quality.reasons[-1]


def test_pictures_are_read_on_their_own_grid(drawn):
    pictures = as_pictures(drawn.volume)
    lungs = segment_lungs(pictures)
    model = GreyNet(glass=0.28, dense=0.55)
    found = segment_scan(pictures, grey_segmenter(Intensity.DISPLAY8, model), lungs)
    truth = to_upright(drawn.lesions, orientation_of(drawn.volume))[::-1] > 0
    assert found.lesions.shape == pictures.shape
    assert dice(found.lesions > 0, truth & (lungs.mask > 0)) > 0.5
    assert {shape[2:] for shape in model.seen} == {(96, 96)}


class Rows(GreyNet):
    """More lesion the nearer the back: an answer that turns with the patient."""

    def forward(self, image):
        answer = super().forward(image)
        height = image.shape[2]
        slope = 8.0 * (image.new_tensor(range(height)) / height - 0.5)
        answer.lesion = answer.lesion * 0 + answer.lesion.new_tensor([0.0, 1.0, -1.0])[:, None, None]
        answer.lesion[:, 1] += slope[:, None]
        return answer


def test_a_chest_on_its_side_is_read_upright(drawn):
    pictures = as_pictures(drawn.volume)
    some = pictures.voxels[12:26]
    upright = Volume(
        np.ascontiguousarray(some), pictures.affine, Intensity.DISPLAY8, geometry=Geometry.ASSUMED
    )
    lying = Volume(
        np.ascontiguousarray(some.transpose(0, 2, 1)),
        pictures.affine,
        Intensity.DISPLAY8,
        geometry=Geometry.ASSUMED,
    )
    mask = np.ascontiguousarray(to_upright(drawn.lungs, orientation_of(drawn.volume))[::-1][12:26])
    one = segment_scan(upright, grey_segmenter(Intensity.DISPLAY8, Rows()), Lungs(mask, GOOD))
    turned = Lungs(np.ascontiguousarray(mask.transpose(0, 2, 1)), GOOD)
    other = segment_scan(lying, grey_segmenter(Intensity.DISPLAY8, Rows()), turned)
    back = other.infection.transpose(0, 2, 1).astype(int)
    assert np.abs(back - one.infection.astype(int)).max() <= 2 and one.infection.max() > 150


def test_cut_out_lungs_are_foreign_to_a_network_of_whole_slices(drawn):
    pictures = as_pictures(drawn.volume)
    mask = np.ascontiguousarray(to_upright(drawn.lungs, orientation_of(drawn.volume))[::-1])
    painted = Volume(
        np.where(mask > 0, np.maximum(pictures.voxels, 10), 0).astype(np.uint8),
        pictures.affine,
        Intensity.DISPLAY8,
        geometry=Geometry.ASSUMED,
    )
    found = segment_scan(painted, grey_segmenter(Intensity.DISPLAY8, one_window=True), Lungs(mask, GOOD))
    assert any("painted black" in why for why in found.doubts.foreign)


def test_thick_slices_are_foreign_to_a_network_of_thin_ones(drawn):
    segmenter = grey_segmenter(spacing_mm=(1.0, 4.0, 4.0))
    found = segment_scan(drawn.volume, segmenter, Lungs(drawn.lungs, GOOD))
    assert any("mm apart" in why for why in found.doubts.foreign)


def test_no_lungs_no_lesions(drawn):
    nothing = Lungs(np.zeros(SMALL, np.uint8), MaskQuality(False, 0.0, ("no aerated lung was found",)))
    found = segment_scan(drawn.volume, grey_segmenter(), nothing)
    assert not found.lesions.any() and not found.infection.any()


def test_what_a_network_cannot_read_is_refused(drawn):
    lungs = Lungs(drawn.lungs, GOOD)
    with pytest.raises(UsageError, match="choose one for Hounsfield units"):
        segment_scan(drawn.volume, grey_segmenter(Intensity.DISPLAY8), lungs)
    with pytest.raises(UsageError, match="8-bit slices"):
        segment_scan(as_pictures(drawn.volume), grey_segmenter(), lungs)
    with pytest.raises(ShapeError, match="give its own mask"):
        segment_scan(drawn.volume, grey_segmenter(), Lungs(drawn.lungs[1:], GOOD))


@pytest.mark.real
def test_real_pictures_of_a_chest(real):
    pictures = read_scan(real / "covid_volume_8bit")
    found = segment_scan(
        pictures, grey_segmenter(Intensity.DISPLAY8, one_window=True), segment_lungs(pictures)
    )
    assert found.lesions.shape == (50, 512, 512)
    assert not any("window" in why or "black" in why for why in found.doubts.foreign)
