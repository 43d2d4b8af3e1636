"""Registration: a chest that breathed out and moved is laid back on itself; what fails says so."""

import numpy as np
import pytest
from scipy import ndimage

from glasslung.data.phantom import draw_patient, render
from glasslung.data.registration import bring, register
from glasslung.errors import DataError, ShapeError
from glasslung.types import Geometry, Intensity, Volume

SHAPE = (48, 96, 96)


@pytest.fixture(scope="module")
def later():
    return render(draw_patient(4, severity=0.6), 9, shape=SHAPE)


def labels(mask):
    return np.asarray(getattr(mask, "mask", mask))


def moved(array, order, outside):
    """Breathed out by 20 mm at the base, and lying some voxels off."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in array.shape), indexing="ij")
    at = np.stack([z - 3.0 * (1 - z / array.shape[0]) + 1, y + 1.5, x - 1.0])
    return ndimage.map_coordinates(array, at, order=order, cval=outside)


@pytest.fixture(scope="module")
def earlier(later):
    volume = later.volume
    voxels = moved(volume.voxels.astype(np.float32), 1, -1000).astype(np.int16)
    lungs = moved((labels(later.lungs) > 0).astype(np.uint8), 0, 0)
    lesions = moved((labels(later.lesions) > 0).astype(np.uint8), 0, 0)
    return Volume(voxels, volume.affine, Intensity.HU), lungs, lesions


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.slow
def test_a_breath_and_a_shift_are_taken_back(later, earlier):
    volume, lungs, lesions = earlier
    told = []
    found = register(later.volume, labels(later.lungs), volume, lungs, lambda what, share: told.append(share))
    assert found.trusted
    assert found.dice_after > 0.94 > 0.88 > found.dice_before
    assert told == sorted(told)
    truth = labels(later.lesions) > 0
    back = bring(found, lesions, volume, later.volume) > 0
    assert dice(back, truth) > dice(lesions > 0, truth) + 0.2


def test_lungs_that_are_none_are_not_trusted(later):
    """Slabs a hand apart, laid on a block: no transform makes one of the other."""
    block = np.zeros(SHAPE, np.uint8)
    block[18:30, 40:56, 40:56] = 1
    slabs = block.copy()
    slabs[21:27] = 0
    found = register(later.volume, block, later.volume, slabs)
    assert not found.trusted
    assert any("Dice" in reason or "folds" in reason for reason in found.reasons)


def test_what_cannot_be_registered_is_refused(later):
    lungs = labels(later.lungs)
    with pytest.raises(DataError, match="empty"):
        register(later.volume, np.zeros_like(lungs), later.volume, lungs)
    with pytest.raises(ShapeError):
        register(later.volume, lungs[1:], later.volume, lungs)
    flat = Volume(later.volume.voxels, later.volume.affine, Intensity.HU, geometry=Geometry.ASSUMED)
    with pytest.raises(DataError, match="spacing is not known"):
        register(flat, lungs, later.volume, lungs)
