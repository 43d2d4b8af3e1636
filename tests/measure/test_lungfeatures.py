"""Plain features of lung slices, readers, and the scale they are put on."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.lungfeatures import (
    BRIGHT_GREY,
    PLAIN_FEATURES,
    described,
    plain_features,
    read_features,
    standard_of,
)


def slow_features(image, above):
    """Pixel by pixel."""
    lung = [
        (y, x, image[y][x]) for y in range(len(image)) for x in range(len(image[0])) if image[y][x] > above
    ]
    grey = [value for _, _, value in lung]
    mean = sum(grey) / len(grey)
    rows, columns = [y for y, _, _ in lung], [x for _, x, _ in lung]
    return [
        mean,
        (sum((g - mean) ** 2 for g in grey) / len(grey)) ** 0.5,
        *(np.percentile(grey, p) for p in (5, 25, 50, 75, 95)),
        len(grey) / (len(image) * len(image[0])),
        (max(rows) - min(rows) + 1) / len(image),
        (max(columns) - min(columns) + 1) / len(image[0]),
        sum(g > BRIGHT_GREY for g in grey) / len(grey),
    ]


def test_plain_features_are_what_their_names_say():
    rng = np.random.default_rng(0)
    images = rng.random((4, 12, 16)) * (rng.random((4, 12, 16)) < 0.3)
    images[:, :2] = 0
    found = plain_features(images, 0.1)
    assert found.shape == (4, len(PLAIN_FEATURES)) and found.dtype == np.float64
    for row, image in zip(found, images, strict=True):
        assert row == pytest.approx(slow_features(image.tolist(), 0.1))


def test_a_black_slice_has_plain_features_too():
    assert (plain_features(np.zeros((1, 8, 8))) == 0).all()


def test_the_fringe_is_not_lung():
    image = np.zeros((1, 10, 10), np.float32)
    image[0, 3:7, 2:8] = 0.5
    clean = plain_features(image)
    image[0, 2, 2:8] = 3 / 255
    assert plain_features(image) == pytest.approx(clean)


def test_bad_slices_are_refused():
    with pytest.raises(ShapeError):
        plain_features(np.zeros((8, 8)))
    with pytest.raises(DataError, match="slice 1 holds NaN"):
        plain_features(np.stack([np.zeros((4, 4)), np.full((4, 4), np.nan)]))
    with pytest.raises(DataError, match=r"\[0, 1\]"):
        plain_features(np.full((1, 4, 4), 255.0))


def test_a_reader_sees_every_slice_once_in_order():
    images = np.arange(7, dtype=np.float32)[:, None, None] / 10 * np.ones((7, 4, 4), np.float32)
    seen = []

    def reader(part):
        seen.append((len(part), part.dtype))
        return part.mean((1, 2))[:, None]

    found = read_features(images, reader, batch=3)
    assert found[:, 0] == pytest.approx(np.arange(7) / 10)
    assert seen == [(3, np.float32), (3, np.float32), (1, np.float32)]
    with pytest.raises(ShapeError, match="the reader gave"):
        read_features(images, lambda part: part.mean(0))
    with pytest.raises(DataError, match="slice 0"):
        read_features(images, lambda part: np.full((len(part), 2), np.inf))


def test_the_standard_is_the_training_sets():
    rng = np.random.default_rng(1)
    train = rng.normal(size=(50, 3)) * [1, 5, 0] + [0, 2, 0.1]
    standard = standard_of(train)
    scaled = standard(train)
    assert scaled.mean(0) == pytest.approx([0, 0, 0], abs=1e-12)
    assert scaled[:, :2].std(0) == pytest.approx([1, 1])
    assert standard(np.array([[0.0, 2.0, 1.1]]))[0, 2] == pytest.approx(1.0)
    limited = standard_of(train, soft_limit=2.0)
    far = limited(np.array([[1000.0, -1000.0, 0.1]]))
    assert far[0, :2] == pytest.approx([2.0, -2.0])
    assert limited(train[:1] * 0 + train.mean(0) + 0.01 * train.std(0))[0, 0] == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ShapeError):
        standard(np.zeros((2, 4)))
    with pytest.raises(UsageError):
        standard_of(train, soft_limit=0)


def test_described_slices_keep_their_patients():
    images = np.random.default_rng(2).random((6, 9, 9)).astype(np.float32)
    standard = standard_of(plain_features(images))
    found = described(images, plain_features, standard, np.array([7, 7, 3, 3, 5, 9]))
    assert found.count == 4 and found.features == pytest.approx(standard(plain_features(images)))
    assert described(images, plain_features).features == pytest.approx(plain_features(images))


@pytest.mark.real
def test_plain_features_tell_the_groups_as_the_fact_sheet_has_it(real):
    """Eleven plain features tell healthy from diseased too well: the sets differ in how they were made."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    from glasslung.data.slices import read_slices
    from glasslung.data.sources import cage
    from glasslung.measure.ranking import auc

    slices = read_slices(cage(real / "cage"))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    forest = RandomForestClassifier(60, class_weight="balanced", random_state=0)
    chances = cross_val_predict(
        forest,
        plain_features(slices.images),
        slices.group,
        groups=slices.patient,
        cv=folds,
        method="predict_proba",
    )
    assert auc(slices.group > 0, 1 - chances[:, 0]) > 0.94
    right = [(chances.argmax(1)[slices.group == group] == group).mean() for group in range(4)]
    assert 0.45 < np.mean(right) < 0.65
