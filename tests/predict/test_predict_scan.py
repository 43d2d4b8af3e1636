"""Predictions: windows beside the whole volume and MONAI, empty windows, memory, grids, grey values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.sliding import Slide, place_windows
from glasslung.predict import Network, Settings, predict
from glasslung.types import Geometry, Intensity, Volume

EXACT = {"bf16": False, "window": (16, 16, 16), "margin_mm": 0.0}


class Pointwise(nn.Module):
    """Three classes from each voxel's own grey value."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Parameter(torch.zeros(1))
        self.shapes: list[tuple[int, ...]] = []

    def probabilities(self, image: Tensor) -> Tensor:
        self.shapes.append(tuple(image.shape))
        grey = image.float()
        with torch.no_grad():
            return torch.softmax(12 * torch.cat([0.6 - grey, grey - 0.2, 2.2 * grey - 0.8], 1), 1)


class Blur(Pointwise):
    """Each voxel's answer from its surroundings, so that windows matter."""

    def probabilities(self, image: Tensor) -> Tensor:
        return super().probabilities(nn.functional.avg_pool3d(image, 5, 1, 2))


def network(model: nn.Module | None = None, **settings) -> Network:
    known = {"spacing_mm": (2.0, 2.0, 2.0), "intensity": Intensity.HU, "multiple": 4}
    return Network(model or Pointwise(), ("none", "grey", "bright"), **(known | settings))


def scan(shape=(30, 40, 37), spacing=(2.0, 2.0, 2.0), seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    voxels = rng.integers(-1000, 400, shape).astype(np.int16)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spacing, 1.0
    return Volume(voxels, affine, Intensity.HU)


def region_of(volume: Volume) -> np.ndarray:
    region = np.zeros(volume.shape, bool)
    region[3:9, 5:12, 4:10] = True
    region[22:28, 30:38, 25:35] = True
    return region


def whole_answer(volume: Volume) -> np.ndarray:
    grey = torch.from_numpy((volume.voxels.astype(np.float32) + 1000) / 1400)[None, None]
    return Pointwise().probabilities(grey)[0].numpy()


def test_windows_of_a_pointwise_network_are_the_whole_volume():
    volume = scan()
    found = predict(network(), volume, wanted=["bright"], settings=Settings(**EXACT))
    wanted = whole_answer(volume)
    assert (found.labels == wanted.argmax(0)).all()
    np.testing.assert_allclose(found.maps["bright"], wanted[2], atol=1e-3)
    assert found.windows == 3 * 3 * 3 and found.skipped == 0


def test_the_loop_is_monai_s():
    from monai.inferers import sliding_window_inference

    image = np.random.default_rng(1).random((24, 32, 40)).astype(np.float32)
    model = Blur()
    windows = place_windows((24, 32, 40), (16, 16, 16), 0.5, 4)  # both begin windows every 8 voxels
    slide = Slide(windows, 3)
    parts = slide.run(model.probabilities, image, None, torch.device("cpu"))
    ours = np.concatenate([part for _, part in parts], 1)
    theirs = sliding_window_inference(
        torch.from_numpy(image)[None, None], (16, 16, 16), 4, model.probabilities, 0.5, mode="gaussian"
    )
    assert slide.done == 2 * 3 * 4
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1e-5)


def test_empty_windows_are_skipped_and_nothing_changes():
    volume, settings = scan((64, 64, 64)), Settings(**EXACT)
    region = np.zeros(volume.shape, bool)
    region[2:9, 3:12, 5:14] = region[50:60, 52:60, 44:60] = True
    some, every = network(Blur()), network(Blur())
    short = predict(some, volume, region, wanted=["bright"], settings=settings)
    full = predict(every, volume, within=region, wanted=["bright"], settings=settings)
    assert short.skipped > 0 and short.windows + short.skipped == full.windows
    assert (short.labels == np.where(region, full.labels, 0)).all()
    assert (short.maps["bright"] == np.where(region, full.maps["bright"], 0)).all()
    assert len(some.model.shapes) == short.windows


def test_a_region_thinner_than_the_network_s_voxels_is_not_lost():
    volume = scan((40, 40, 40), spacing=(1.0, 1.0, 1.0))
    region = np.zeros(volume.shape, bool)
    region[:, :, 7] = True
    found = predict(network(spacing_mm=(4.0, 4.0, 4.0)), volume, region, settings=Settings(**EXACT))
    assert found.windows > 0 and found.skipped == 0


@pytest.mark.parametrize("edges", ["nearest", "linear"])
@pytest.mark.parametrize("spacing", [(1.0, 0.8, 0.8), (5.0, 1.5, 3.0)])
def test_other_spacings_come_back_to_the_scan_s_own_grid(edges, spacing):
    """A bright ball: its place and size survive the way to the network's grid and back."""
    shape = tuple(round(60 / s) for s in spacing)
    volume = scan(shape, spacing)
    place = [(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing, strict=True)]
    far = sum(
        np.square(axis - middle)
        for axis, middle in zip(np.meshgrid(*place, indexing="ij"), (25, 30, 35), strict=True)
    )
    ball = far < 15**2
    volume.voxels[:] = np.where(ball, 400, -1000)
    found = predict(network(), volume, settings=Settings(**(EXACT | {"edges": edges})))
    overlap = (
        2
        * np.count_nonzero((found.labels == 2) & ball)
        / (np.count_nonzero(found.labels == 2) + np.count_nonzero(ball))
    )
    assert overlap > 0.93
    centre = [
        np.average(axis, weights=(found.labels == 2).sum(others))
        for axis, others in zip(place, ((1, 2), (0, 2), (0, 1)), strict=True)
    ]
    np.testing.assert_allclose(centre, (25, 30, 35), atol=0.6)


def test_slices_from_head_to_feet_get_the_same_answer():
    volume = scan(seed=3)
    turned = Volume(
        np.ascontiguousarray(volume.voxels[::-1].transpose(0, 2, 1)),
        volume.affine @ np.array([[-1.0, 0, 0, 29], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]),
        Intensity.HU,
    )
    settings = Settings(**EXACT)
    one = predict(network(Blur()), volume, settings=settings).labels
    other = predict(network(Blur()), turned, settings=settings).labels
    assert (other == one[::-1].transpose(0, 2, 1)).all()


def test_memory_is_kept_to():
    volume = scan((200, 120, 120), spacing=(1.0, 1.0, 1.0))
    small = {"window": (16, 32, 32), "bf16": False, "margin_mm": 0.0, "edges": "linear"}
    counts = {}
    for megabytes in (6, 8, 1000):
        found = predict(network(), volume, settings=Settings(memory_mb=megabytes, **small))
        rows = int(megabytes * 1e6 / 2) // (120 * 120 * (2 + 12 * 3))
        counts[megabytes] = found.slabs
        assert found.slabs == -(-200 // min(rows, 200))
    assert counts[6] > counts[8] > counts[1000] == 1
    with pytest.raises(UsageError, match="memory_mb is 1: raise it"):
        predict(network(), volume, settings=Settings(memory_mb=1, **small))


def test_slabs_do_not_change_the_answer():
    volume = scan((120, 60, 60), spacing=(0.7, 1.1, 0.9))
    small = {"window": (8, 16, 16), "bf16": False, "margin_mm": 0.0, "edges": "linear"}
    many = predict(network(), volume, wanted=["grey"], settings=Settings(memory_mb=1, **small))
    one = predict(network(), volume, wanted=["grey"], settings=Settings(memory_mb=500, **small))
    assert many.slabs > one.slabs == 1
    assert (many.labels == one.labels).all()
    np.testing.assert_allclose(many.maps["grey"], one.maps["grey"], atol=1e-3)


def test_a_flat_network_reads_slice_by_slice():
    volume, model = scan(), Pointwise()
    found = predict(network(model, flat=True), volume, settings=Settings(**EXACT))
    assert (found.labels == whole_answer(volume).argmax(0)).all()
    assert all(shape == (16, 1, 16, 16) for shape in model.shapes)


def test_an_empty_region_needs_no_network():
    model = Pointwise()
    found = predict(network(model), scan(), np.zeros((30, 40, 37), bool), wanted=["grey"])
    assert not found.labels.any() and not found.maps["grey"].any() and not model.shapes


def test_progress_rises_to_one():
    told: list[float] = []
    predict(network(), scan(), settings=Settings(**EXACT), progress=lambda what, share: told.append(share))
    assert told == sorted(told) and told[-1] == 1.0 and len(told) > 2


def test_grey_values_that_the_network_does_not_read_are_refused():
    pictures = Volume(np.zeros((4, 32, 32), np.uint8), np.eye(4), Intensity.DISPLAY8)
    with pytest.raises(UsageError, match="network for 8-bit pictures"):
        predict(network(), pictures)
    with pytest.raises(UsageError, match="network for Hounsfield units"):
        predict(network(intensity=Intensity.DISPLAY8), scan())


def test_masks_of_another_grid_and_unknown_classes_are_refused():
    with pytest.raises(ShapeError, match="resample the mask"):
        predict(network(), scan(), np.ones((3, 4, 5), bool))
    with pytest.raises(UsageError, match="none, grey, bright"):
        predict(network(), scan(), wanted=["blue"])
    with pytest.raises(UsageError, match="multiples of 4"):
        predict(network(), scan(), settings=Settings(window=(10, 16, 16)))
    with pytest.raises(UsageError, match="3 classes"):
        predict(Network(Pointwise(), ("a", "b"), Intensity.HU, (2, 2, 2), multiple=4), scan())


def test_spacing_is_given_where_it_is_only_assumed():
    assumed = Volume(scan().voxels, np.eye(4), Intensity.HU, geometry=Geometry.ASSUMED)
    with pytest.raises(UsageError, match="give spacing_mm"):
        predict(network(), assumed)
    found = predict(network(), assumed, spacing_mm=(2.0, 2.0, 2.0), settings=Settings(**EXACT))
    # an affine of ones runs x along the first axis: the voxels' own classes stay where they are
    assert (found.labels == whole_answer(assumed).argmax(0)).all()
    with pytest.raises(UsageError, match="leave spacing_mm out"):
        predict(network(), scan(), spacing_mm=(2.0, 2.0, 2.0))
    pictures = Volume(
        np.full((4, 64, 64), 128, np.uint8),
        np.eye(4)[[2, 1, 0, 3]],
        Intensity.DISPLAY8,
        geometry=Geometry.ASSUMED,
    )
    model = Pointwise()
    predict(network(model, intensity=Intensity.DISPLAY8, spacing_mm=(5.0, 10.0, 10.0)), pictures)
    assert model.shapes == [(1, 1, 4, 36, 36)]  # 350 mm wide at 10 mm, padded to a multiple of 4; 4 slices
