"""Places in space: principal components against their definition, and what cannot be laid out."""

import numpy as np
import pytest

from glasslung.errors import DataError, UsageError
from glasslung.web.explorer.layout import lay_out


def test_pca_keeps_the_three_largest_directions_and_can_place_what_lies_between():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(80, 6)) * np.array([9, 5, 3, 1, 0.5, 0.1])
    found = lay_out(codes)
    centred = codes - codes.mean(0)
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    spread = (found.places**2).sum(0)
    assert np.allclose(spread / spread[0], values[:3] / values[0], rtol=1e-3)
    assert np.percentile(np.linalg.norm(found.places, axis=1), 95) == pytest.approx(1, abs=0.05)
    assert found.matrix is not None and found.offset is not None
    assert np.allclose((codes - found.offset) @ found.matrix, found.places, atol=1e-4)


def test_it_is_the_same_every_time_and_for_mirrored_directions():
    codes = np.random.default_rng(1).normal(size=(30, 4))
    assert np.array_equal(lay_out(codes).places, lay_out(codes).places)
    assert np.array_equal(lay_out(codes, "tsne", 3).places, lay_out(codes, "tsne", 3).places)


@pytest.mark.parametrize("width", [1, 2])
def test_narrow_codes_lie_on_a_line_or_a_plane(width):
    codes = np.random.default_rng(2).normal(size=(20, width))
    for name in ("pca", "codes"):
        places = lay_out(codes, name).places
        assert np.abs(places[:, width:]).max() < 1e-6
        assert places[:, 0].std() > 0.1


def test_tsne_keeps_two_clouds_apart_and_has_no_map():
    codes = np.random.default_rng(3).normal(size=(40, 5))
    codes[20:] += 30
    found = lay_out(codes, "tsne")
    gap = np.linalg.norm(found.places[:20].mean(0) - found.places[20:].mean(0))
    assert gap > np.linalg.norm(found.places[:20] - found.places[:20].mean(0), axis=1).mean()
    assert found.matrix is None


def test_codes_that_are_all_one_are_refused():
    with pytest.raises(DataError, match="same code"):
        lay_out(np.ones((9, 4)))
    with pytest.raises(UsageError, match="pca, tsne, codes"):
        lay_out(np.eye(4), "umap")
