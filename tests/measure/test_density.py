"""HU bands: every voxel in exactly one, edges as written, nothing invented for 8 bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import ShapeError
from glasslung.measure.density import BANDS, band_counts, band_of
from glasslung.types import Intensity, Volume


def slow_band(hu: int) -> int:
    """The band whose written limits hold the value."""
    return next(
        n
        for n, band in enumerate(BANDS)
        if (band.over_hu is None or hu > band.over_hu) and (band.to_hu is None or hu <= band.to_hu)
    )


def test_every_int16_is_in_exactly_one_band():
    every = np.arange(-32768, 32768).astype(np.int16)
    found = band_of(every)
    assert found.tolist() == [slow_band(int(hu)) for hu in every]
    assert set(found.tolist()) == set(range(len(BANDS)))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_counts_partition_the_regions(seed):
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-1100, 500, (4, 5, 6)).astype(np.int16)
    labels = rng.integers(0, 4, voxels.shape).astype(np.uint8)
    counts = band_counts(Volume(voxels, np.eye(4), Intensity.HU), labels, most=4)
    slow = np.zeros((5, len(BANDS)), int)
    for hu, label in zip(voxels.ravel(), labels.ravel(), strict=True):
        if label:
            slow[label, slow_band(int(hu))] += 1
    assert np.array_equal(counts, slow)
    assert counts.sum() == (labels > 0).sum()


def test_eight_bits_have_no_bands():
    volume = Volume(np.full((2, 3, 4), 40, np.uint8), np.eye(4), Intensity.DISPLAY8)
    assert band_counts(volume, np.ones((2, 3, 4), np.uint8), most=1) is None
    with pytest.raises(ShapeError, match="one grid"):
        band_counts(volume, np.ones((1, 3, 4), np.uint8), most=1)
