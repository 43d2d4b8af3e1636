"""The collapse diagnostic: it names what the paper saw, and stays silent where styles and labels live."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glasslung.errors import ShapeError, UsageError
from glasslung.measure.styles import examine_styles, slice_information
from glasslung.nn.ladder import LevelUse

COUNT, SIDE = 6, 8


@pytest.fixture
def separated() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slices of which each has its lesion elsewhere, styles a fifth of the scale apart, painted exactly."""
    rng = np.random.default_rng(1)
    which = rng.choice(4, (COUNT, SIDE, SIDE), p=(0.3, 0.2, 0.1, 0.4))
    greys = np.array([0.9, 0.4, 0.7, 0.2])
    styles = np.broadcast_to(greys[None, :, None, None], (COUNT, 4, SIDE, SIDE))
    labels = np.eye(4)[which].transpose(0, 3, 1, 2)
    return greys[which] + rng.normal(0, 0.02, which.shape), styles, labels


def test_a_model_that_separates_is_not_blamed(separated) -> None:
    report = examine_styles(*separated)
    assert not report.collapsed and not report.coinciding
    assert report.gaps[0].gap == pytest.approx(0.3)  # ground glass and consolidation
    assert "styles differ" in report.verdict and "labels vary" in report.verdict


def test_identical_styles_are_named(separated) -> None:
    images, _, labels = separated
    same = np.repeat(images[:, None] + 0.03, 4, 1)  # each style paints the whole slice
    report = examine_styles(images, same, labels)
    assert report.collapsed and report.styles_coincide and not report.labels_constant
    assert report.verdict.startswith("COLLAPSED: styles coincide")


def test_styles_that_repeat_the_slice_exactly_are_one_style(separated) -> None:
    """Painting without an error: still no difference that an eye could see."""
    images, _, labels = separated
    report = examine_styles(images, np.repeat(images[:, None], 4, 1), labels)
    assert report.error == pytest.approx(0) and report.styles_coincide


def test_two_styles_that_coincide_are_named_as_a_part(separated) -> None:
    images, styles, labels = separated
    styles = styles.copy()
    styles[:, 2] = styles[:, 1]
    report = examine_styles(images, styles, labels)
    assert not report.collapsed
    assert "in part: ground glass and consolidation" in report.verdict


def test_the_same_segmentation_for_every_slice_is_named(separated) -> None:
    images, styles, labels = separated
    report = examine_styles(images, styles, np.repeat(labels[:1], COUNT, 0))
    assert report.collapsed and report.labels_constant and not report.styles_coincide
    assert report.lesion_sd == pytest.approx(0)
    assert "labels constant" in report.verdict


def test_soft_labels_that_never_change_are_constant_too(separated) -> None:
    images, styles, _ = separated
    report = examine_styles(images, styles, np.full((COUNT, 4, SIDE, SIDE), 0.25))
    assert report.labels_constant and report.lesion_share == pytest.approx(0.5)


def test_timid_labels_that_hardly_change_are_constant(separated) -> None:
    images, styles, labels = separated
    timid = 0.9 * np.broadcast_to(labels.mean(0), labels.shape) + 0.1 * labels
    assert examine_styles(images, styles, timid).labels_constant
    bolder = 0.3 * np.broadcast_to(labels.mean(0), labels.shape) + 0.7 * labels
    assert not examine_styles(images, styles, bolder).labels_constant


def test_no_lesion_anywhere_is_constant(separated) -> None:
    images, styles, labels = separated
    none = labels * np.array([1.0, 0, 0, 1]).reshape(1, 4, 1, 1)
    none[:, 3] += labels[:, 1] + labels[:, 2]
    report = examine_styles(images, styles, none)
    assert report.labels_constant and report.lesion_share == pytest.approx(0)


def test_distances_count_only_inside_the_lung(separated) -> None:
    images, styles, labels = separated
    lung = np.zeros(images.shape, bool)
    lung[:, :2] = True
    styles = styles.copy()
    styles[:, 1:, :2] = 0.3  # one picture inside, three outside
    assert examine_styles(images, styles, labels, lung).styles_coincide
    assert not examine_styles(images, styles, labels, ~lung).styles_coincide


def test_information_by_hand() -> None:
    sure = np.zeros((2, 2, 1, 1))
    sure[0, 0], sure[1, 1] = 1, 1
    assert slice_information(sure) == pytest.approx(math.log(2))
    assert slice_information(np.full((2, 2, 1, 1), 0.5)) == pytest.approx(0)


def test_unused_levels_are_told(separated) -> None:
    report = examine_styles(*separated, uses=[LevelUse("z1", 90.0, 5, 64), LevelUse("k2", 0.0, 0, 16)])
    assert report.unused == ("k2",)
    assert "latents without use: k2" in report.verdict


def test_damaged_input_is_refused(separated) -> None:
    images, styles, labels = separated
    with pytest.raises(ShapeError, match="need styles"):
        examine_styles(images, styles[:, :3], labels)
    with pytest.raises(ShapeError, match="need a lung"):
        examine_styles(images, styles, labels, images[0] > 0)
    with pytest.raises(UsageError, match="two at least"):
        examine_styles(images[:1], styles[:1], labels[:1])
    with pytest.raises(UsageError, match="no pixel is lung"):
        examine_styles(images, styles, labels, np.zeros(images.shape, bool))
