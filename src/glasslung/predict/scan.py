"""A trained network and a scan -> labels and probability maps on the scan's own grid.

A window slides over a box of the scan on the network's grid (`nn.sliding`). Labels are chosen there, and only
they go back to the scan's grid where only labels are wanted; what goes back goes slab by slab.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from glasslung.data import boxgrid
from glasslung.data.boxgrid import Box, BoxGrid, Triple
from glasslung.data.lungs.pictures import assumed_spacing_mm
from glasslung.data.lungs.settings import DEFAULT
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import ShapeError, UsageError
from glasslung.types import Geometry, Intensity, Progress, Volume

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from glasslung.nn.sliding import See, Slide

EDGES = ("nearest", "linear")


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network and what it reads.

    model       has `probabilities(image (B, 1, ...) in [0, 1]) -> (B, C, ...)`, summing to 1 over classes
    classes     a name for each label; the first is the background
    intensity   what it was trained on: hu, or pictures of any window (display8)
    spacing_mm  (z, y, x) of its grid, upright
    window_hu   the HU that are 0 and 1 to it; not used for display8, where 0 and 255 are
    multiple    edges of its boxes must be multiples of this
    flat        True: it reads slices (B, 1, H, W) one by one, not boxes
    """

    model: nn.Module
    classes: tuple[str, ...]
    intensity: Intensity
    spacing_mm: Triple
    window_hu: tuple[float, float] = (-1000.0, 400.0)
    multiple: int = 16
    flat: bool = False

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise UsageError(f"a network tells two or more classes of different names, got {self.classes}")
        if min(self.spacing_mm) <= 0 or self.multiple < 1 or not self.window_hu[0] < self.window_hu[1]:
            raise UsageError("spacing_mm and multiple must be positive, and window_hu must rise")


@dataclass(frozen=True)
class Settings:
    """How a scan is cut into windows, and how much memory our own arrays may take."""

    window: tuple[int, int, int] = (96, 128, 128)  # voxels of the network's grid; a smaller box gets less
    overlap: float = 0.25  # of neighbouring windows; MONAI's default
    memory_mb: int = 1000  # for arrays beside the scan and the answer; the network's own layers come on top
    edges: str = "nearest"  # argmax, then the nearest voxel; "linear" interpolates first: smoother, slower
    margin_mm: float = 20.0  # around what is looked at: the surroundings that a network sees
    bf16: bool = True  # convolutions in 16 bit: three times as fast on CPUs that have it; sums stay in 32

    def __post_init__(self) -> None:
        if min(self.window) < 1 or not 0 <= self.overlap < 1 or self.memory_mb < 1 or self.margin_mm < 0:
            raise UsageError("window and memory_mb must be positive, overlap from 0 to below 1")
        if self.edges not in EDGES:
            raise UsageError(f"edges is one of {', '.join(EDGES)}, not {self.edges!r}")


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network says of a scan, on the scan's own grid.

    labels   (D, H, W) uint8: index into the network's classes; 0 outside the region that was asked for
    maps     by the name of each class that was wanted: (D, H, W) float16, 0 to 1; 0 outside the region
    windows  how many windows were computed, and `skipped` how many held nothing that was asked for
    slabs    in how many pieces the answer was brought back to the scan's grid
    """

    labels: np.ndarray
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    windows: int = 0
    skipped: int = 0
    slabs: int = 0


@dataclass(frozen=True, eq=False)
class _Task:
    """One scan made upright: voxels, where answers are asked for, the box and the network's grid over it."""

    network: Network
    settings: Settings
    voxels: np.ndarray
    region: np.ndarray | None
    grid: BoxGrid
    wanted: tuple[str, ...]

    @property
    def maps_needed(self) -> bool:
        """Whether probabilities must be kept, not labels alone."""
        return bool(self.wanted) or self.settings.edges == "linear"


def predict(
    network: Network,
    volume: Volume,
    region: np.ndarray | None = None,
    *,
    within: np.ndarray | None = None,
    wanted: Sequence[str] = (),
    spacing_mm: Triple | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Prediction:
    """Labels of every voxel of a scan, and probability maps of the classes that are wanted.

    region      (D, H, W) mask: only there is an answer given; windows without any of it are skipped
    within      (D, H, W) mask: the network looks at the box around it and a margin; default `region`, or the
                whole scan. To find lungs give a rough mask here: the answer may leave it, but not its box
    wanted      names of classes of which maps are wanted; labels alone are faster
    spacing_mm  (D, H, W), for scans whose spacing is only assumed; by default their pictures are taken to
                show a chest's width, 5 mm apart
    Raises UsageError when the network does not read such grey values or `spacing_mm` contradicts the file,
    ShapeError for masks of another grid.
    """
    settings = settings or Settings()
    _check(network, volume, {"region": region, "within": within}, wanted)
    orientation = orientation_of(volume)
    asked, look = (None if mask is None else to_upright(mask, orientation) > 0 for mask in (region, within))
    voxels = to_upright(volume.voxels, orientation)
    spacing = _spacing(volume, spacing_mm)
    look = asked if look is None else look
    box = _whole(voxels) if look is None else boxgrid.box_around(look, spacing, settings.margin_mm)
    labels = np.zeros(volume.shape, np.uint8)
    maps = {name: np.zeros(volume.shape, np.float16) for name in wanted}
    if box is None:
        return Prediction(labels, maps)
    grid = boxgrid.grid_over(box, spacing, network.spacing_mm)
    task = _Task(network, settings, voxels, asked, grid, tuple(wanted))
    slide = _slide(task)
    low = _read(task, slide, progress)
    up_labels = to_upright(labels, orientation)
    up_maps = {name: to_upright(one, orientation) for name, one in maps.items()}
    count = _bring_back(task, low, up_labels, up_maps)
    _tell(progress, "bringing the answer back", 1.0)
    return Prediction(labels, maps, slide.done, slide.skipped, count)


# --------------------------------------------------------------------------------------------- contract


def _check(
    network: Network, volume: Volume, masks: Mapping[str, np.ndarray | None], wanted: Sequence[str]
) -> None:
    """Errors that name the remedy, before any work."""
    if volume.intensity is not network.intensity:
        has, reads = volume.intensity.value, network.intensity.value
        remedy = (
            "use the network for 8-bit pictures, or give the scan in Hounsfield units"
            if volume.intensity is Intensity.DISPLAY8
            else "use the network for Hounsfield units"
        )
        raise UsageError(f"this network reads {reads}, and the scan's grey values are {has}: {remedy}")
    for name, mask in masks.items():
        if mask is not None and mask.shape != volume.shape:
            raise ShapeError(
                f"{name} is {mask.shape} and the scan {volume.shape}: resample the mask to the scan's grid"
            )
    for name in wanted:
        if name not in network.classes:
            raise UsageError(f"there is no class {name!r}; this network tells {', '.join(network.classes)}")


def _spacing(volume: Volume, given: Triple | None) -> Triple:
    """Upright spacing: as measured, as given, or as pictures of a chest are taken to have."""
    orientation = orientation_of(volume)
    if volume.geometry is Geometry.MEASURED:
        if given is not None:
            raise UsageError("the file says its spacing; leave spacing_mm out")
        return upright_spacing_mm(volume, orientation)
    if given is not None:
        if len(given) != 3 or not min(given) > 0:
            raise UsageError(f"spacing_mm is three lengths above 0, along (D, H, W), got {given}")
        z, y, x = (float(given[axis]) for axis in orientation.axes)
        return z, y, x
    if volume.intensity is Intensity.DISPLAY8:
        return assumed_spacing_mm(to_upright(volume.voxels, orientation), DEFAULT)
    raise UsageError("the scan's spacing is only assumed; give spacing_mm=(D, H, W) in mm")


def _whole(voxels: np.ndarray) -> Box:
    z, y, x = voxels.shape
    return slice(0, z), slice(0, y), slice(0, x)


# ---------------------------------------------------------------------------------------- to the labels


def _slide(task: _Task) -> Slide:
    """The passage over the network's grid; UsageError where the memory allowed does not hold it."""
    from glasslung.nn.sliding import Slide, place_windows

    network, grid = task.network, task.grid
    windows = place_windows(grid.shape, task.settings.window, task.settings.overlap, network.multiple)
    slide = Slide(windows, len(network.classes))
    kept = int(np.prod(grid.shape)) * (4 + 1 + (2 * len(network.classes) if task.maps_needed else 0))
    need_mb = -(-(slide.bytes_kept() + kept) // 10**6)
    if need_mb > task.settings.memory_mb:
        raise UsageError(
            f"windows of {windows.size} over {grid.shape} voxels need {need_mb} MB, and memory_mb is "
            f"{task.settings.memory_mb}: raise it, make the window smaller or look at a smaller region"
        )
    return slide


def _read(task: _Task, slide: Slide, progress: Progress | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels (z, y, x) uint8, and probabilities (C, z, y, x) float16 where needed, on the network's grid."""
    grid, network = task.grid, task.network
    image = _grey(task)
    asked = None if task.region is None else boxgrid.to_grid(task.region, grid) > 0  # a touch is enough
    labels = np.zeros(grid.shape, np.uint8)
    maps = np.zeros((len(network.classes), *grid.shape), np.float16) if task.maps_needed else None
    device = next(network.model.parameters()).device
    for run, probabilities in slide.run(_eyes(task, device), image, asked, device):
        labels[run] = probabilities.argmax(0)
        if maps is not None:
            maps[:, run] = probabilities
        _tell(progress, "reading the scan", run.stop / grid.shape[0])
    return labels, maps


def _grey(task: _Task) -> np.ndarray:
    """The box on the network's grid as the network sees it, 0 to 1, float32."""
    low, high = task.network.window_hu if task.network.intensity is Intensity.HU else (0.0, 255.0)
    per_slice = 4 * int(np.prod(task.grid.size[1:]))
    image = boxgrid.to_grid(task.voxels, task.grid, _rows(task.settings, per_slice))
    image -= low
    image /= high - low
    return np.clip(image, 0, 1, out=image)


def _eyes(task: _Task, device: torch.device) -> See:
    """The network as a function of one window, (1, 1, d, h, w) -> (1, C, d, h, w)."""
    import torch

    flat = task.network.flat
    probabilities: See = task.network.model.probabilities  # type: ignore[assignment]

    def see(part: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=task.settings.bf16):
            if not flat:
                return probabilities(part.contiguous(memory_format=torch.channels_last_3d))
            return probabilities(part[0].transpose(0, 1)).transpose(0, 1)[None]

    return see


# --------------------------------------------------------------------------------------- and back again


def _bring_back(
    task: _Task, low: tuple[np.ndarray, np.ndarray | None], labels: np.ndarray, maps: dict[str, np.ndarray]
) -> int:
    """Fills upright labels and maps from the network's grid, in place; how many slabs that took."""
    grid, network, (low_labels, low_maps) = task.grid, task.network, low
    places = list(range(len(network.classes)))
    if task.settings.edges == "nearest":
        places = [network.classes.index(name) for name in task.wanted]
    per_slice = int(np.prod(grid.size[1:])) * (2 + 12 * len(places))  # a map and the steps on its way
    chosen = None if low_maps is None else low_maps[places]
    count = 0
    for run in boxgrid.slabs(grid.size[0], _rows(task.settings, per_slice)):
        at = (slice(grid.box[0].start + run.start, grid.box[0].start + run.stop), *grid.box[1:])
        inside = True if task.region is None else task.region[at]
        fine = np.empty(0) if chosen is None else boxgrid.maps_from_grid(chosen, grid, run)
        linear = task.settings.edges == "linear"
        found = fine.argmax(0) if linear else boxgrid.labels_from_grid(low_labels, grid, run)
        labels[at] = np.where(inside, found, 0)
        for name in task.wanted:
            one = fine[places.index(network.classes.index(name))]
            maps[name][at] = np.where(inside, one, 0)
        count += 1
    return count


def _rows(settings: Settings, bytes_per_slice: int) -> int:
    """How many slices of the scan are in work at a time: half of the memory allowed, one at least."""
    return max(1, int(settings.memory_mb * 1e6 / 2) // bytes_per_slice)


def _tell(progress: Progress | None, what: str, share: float) -> None:
    if progress is not None:
        progress(what, share)
