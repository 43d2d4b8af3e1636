"""Streams of boxes from scans whose lungs and lesions are known: phantoms, or anybody's cohort.

Scans are brought to the network's own grid once (`volumecohort` reads them) and kept in memory (some 10 MB
each). A box is drawn around a voxel of a class that is drawn first, so consolidation is seen as often as
healthy lung. What of a scan nobody looked at is told as unknown; which classes a network tells apart, and
what it is told of each voxel, its `Reading` says.

Two kinds of grey values come from the same scans: HU, cut and scaled, and 8-bit pictures (`display8`), whose
window nobody knows: one is drawn for each box, and the distance of the slices too. A network cannot tell
ground glass in a wide window from healthy lung in a narrow one as surely as it can in HU, so one network for
both would give away what HU are worth: two networks are trained, the second starting from the first.
Of scans that are 8-bit pictures already, the second network sees the window drawn a little wider or narrower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.boxgrid import box_around, grid_over, labels_to_grid, to_grid
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.data.phantom import draw_patient, render
from glasslung.data.phantom.chest import Chest
from glasslung.data.phantom.scanner import Site, site_named
from glasslung.errors import DataError, UsageError
from glasslung.types import Intensity

if TYPE_CHECKING:
    from glasslung.nn.batches import LabelledBatch, PatchBatch

CLASSES = ("outside", "lung", "ground glass", "consolidation", "crazy paving")
"""Labels of a scan: what is not lung, healthy lung (vessels and small bronchi count), and the lesions."""
UNKNOWN, NO_LESION, IN_LUNG = -1, -2, -3
"""Further labels: nobody looked; no lesion, yet lung or not; in the lung, yet with a lesion or not."""
DISEASES = ("covid", "covid", "bacterial", "covid", "healthy")  # dealt in turn: three ill with covid of five
LATEST_DAY = 28.0
KEPT_VOXELS = 4000  # of each class and scan that boxes are drawn around


@dataclass(frozen=True)
class Reading:
    """What a network is told of a scan: its classes, and which of them each label is.

    classes  names; the first is the background
    of       the class of the labels IN_LUNG, NO_LESION, UNKNOWN and of each of CLASSES; -1 is not told
    """

    classes: tuple[str, ...]
    of: tuple[int, int, int, int, int, int, int, int]

    def __call__(self, label: np.ndarray) -> np.ndarray:
        """Labels of any shape -> the classes that the network is told, int8, -1 where it is told nothing."""
        return np.asarray(np.array(self.of, np.int8)[label.astype(np.int16) - IN_LUNG])


READINGS = {
    "lungs and lesions": Reading(CLASSES, (-1, -1, -1, 0, 1, 2, 3, 4)),
    "lesions": Reading(
        ("none", "ground glass", "consolidation", "crazy paving", "combined"), (-1, 0, -1, 0, 0, 1, 2, 3)
    ),
    "lesion": Reading(("none", "lesion"), (-1, 0, -1, 0, 0, 1, 1, 1)),
    "lungs": Reading(("outside", "lung"), (1, -1, -1, 0, 1, 1, 1, 1)),
}
"""By name. 'combined' is the paper's class of mixed lesions, which no mask of ours has."""


@dataclass(frozen=True)
class Settings:
    """How boxes are drawn and what is done to their grey values."""

    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)  # the network's grid; thin enough for septa
    window_hu: tuple[float, float] = (-1000.0, 400.0)  # what 0 and 1 stand for; the diagnosis paper's
    box: tuple[int, int, int] = (64, 96, 96)  # 13 x 19 x 19 cm: a lung's whole width
    boxes: int = 2  # in a batch
    intensity: Intensity = Intensity.HU
    margin_mm: float = 40.0  # of the body around the lungs that is kept: ribs, liver, shoulder
    shift_hu: float = 20.0  # standard deviation: calibration and contrast phase differ that much
    scale: float = 0.04  # likewise, as a share
    noise_hu: float = 25.0  # standard deviation at most, added to what the scanner's own noise is
    low_hu: tuple[float, float] = (-1400.0, -950.0)  # what black may stand for in a picture
    high_hu: tuple[float, float] = (100.0, 450.0)  # what white may stand for
    rewindow: float = 0.1  # how far black and white of 8-bit pictures move, as a share of their range
    noise_grey: float = 0.02  # as noise_hu, of 8-bit pictures: 25 HU in a window of 1250
    stretch: float = 2.0  # slices of a picture stack lie up to this many times closer or farther than assumed

    def __post_init__(self) -> None:
        if min(self.box) < 1 or self.boxes < 1 or not min(self.spacing_mm) > 0:
            raise UsageError("box, boxes and spacing_mm must be positive")
        if self.margin_mm < 0 or not 0 <= self.rewindow < 0.5:
            raise UsageError("margin_mm must not be negative, and rewindow lie from 0 to below 0.5")
        if not self.window_hu[0] < self.window_hu[1] or self.stretch < 1:
            raise UsageError("window_hu must rise, and stretch be 1 or more")


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan on the network's grid, upright.

    hu         (Z, Y, X) int16; the grey values 0 to 255 of a scan of 8-bit pictures
    label      (Z, Y, X) int8: index into CLASSES; or UNKNOWN, NO_LESION, IN_LUNG
    intensity  hu or display8
    """

    hu: np.ndarray
    label: np.ndarray
    spacing_mm: tuple[float, float, float]
    intensity: Intensity = Intensity.HU


def draw_scan(number: int, sites: Sequence[str], settings: Settings, first_seed: int = 500_000) -> Scan:
    """The phantom scan of that number: person, disease, day, depth of breath and protocol are drawn from it.

    sites       names, dealt in turn; each scan varies its site's protocol a little, as hospitals do
    first_seed  number 0 is the person of this seed: keep test patients elsewhere
    """
    rng = np.random.default_rng([first_seed, number])
    disease = DISEASES[number % len(DISEASES)]
    site = vary(site_named(sites[number % len(sites)]), rng)
    severity = None if disease == "healthy" else float(rng.uniform(0.15, 1.0))
    patient = draw_patient(first_seed + number, disease, site, severity)
    day = float(rng.uniform(1.0, LATEST_DAY if disease == "covid" else LATEST_DAY / 2))
    return on_grid(render(patient, day, shape=None, breath=float(rng.uniform(0, 0.7))), settings)


def vary(site: Site, rng: np.random.Generator) -> Site:
    """The same scanner with another field of view, dose, sharpness, contrast medium and slice distance."""
    slice_mm = site.slice_mm * float(rng.uniform(0.8, 1.4))
    return replace(
        site,
        fov_mm=site.fov_mm * float(rng.uniform(0.92, 1.1)),
        slice_mm=slice_mm,
        thickness_mm=slice_mm * float(rng.uniform(0.8, 1.2)),
        margin_mm=float(rng.uniform(0, 30)),
        noise_hu=site.noise_hu * float(rng.uniform(0.5, 1.3)),
        blur=site.blur * float(rng.uniform(0.9, 1.2)),
        blood_hu=float(rng.uniform(35, 180)),
        table=str(rng.choice(["flat", "curved", "double"])),
    )


def on_grid(chest: Chest, settings: Settings) -> Scan:
    """A rendered scan and its truth on the network's grid, in a box around the lungs."""
    orientation = orientation_of(chest.volume)
    spacing = upright_spacing_mm(chest.volume, orientation)
    lungs = to_upright(chest.lungs, orientation) > 0
    lesions = to_upright(chest.lesions, orientation)
    box = box_around(lungs, spacing, settings.margin_mm)
    if box is None:
        raise DataError("this phantom's scan holds no lung; give its grid more room")
    grid = grid_over(box, spacing, settings.spacing_mm)
    hu = to_grid(to_upright(chest.volume.voxels, orientation), grid)
    label = labels_to_grid(np.where(lesions > 0, lesions + 1, lungs).astype(np.int8), grid)
    return Scan(np.rint(hu).astype(np.int16), label, settings.spacing_mm)


class VolumeBatches:
    """Endless batches of boxes, every class as often as any other.

    A class is drawn, then one of the scans that have it, then a voxel, near which the box lies. Stops and
    goes on exactly: `state` holds the generator. Boxes that stick out of a scan are filled with its edge.

    scans    on the settings' grid
    rng      numpy generator; it is owned by this stream from now on
    reading  the classes that are told, and balanced
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        settings: Settings,
        rng: np.random.Generator,
        reading: Reading = READINGS["lungs and lesions"],
    ) -> None:
        if not scans:
            raise DataError("boxes are drawn from scans; give one at least")
        if any(scan.spacing_mm != settings.spacing_mm for scan in scans):
            raise DataError("the scans lie on another grid than the settings'; draw them with these settings")
        if settings.intensity is Intensity.HU and any(scan.intensity is not Intensity.HU for scan in scans):
            raise DataError(
                "a network for Hounsfield units cannot learn from 8-bit pictures; train one for display8"
            )
        self.scans, self.settings, self.rng, self.reading = list(scans), settings, rng, reading
        self.places = [places_of(scan, reading) for scan in scans]
        found = {kind for place in self.places for kind in place}
        if not any(found):
            raise DataError(
                f"no scan has {' or '.join(reading.classes[1:])} in its masks; add some that have"
            )
        self.holders = {kind: [n for n, p in enumerate(self.places) if kind in p] for kind in sorted(found)}

    def __iter__(self) -> VolumeBatches:
        return self

    def __next__(self) -> PatchBatch:
        """The next batch."""
        import torch

        from glasslung.nn.batches import PatchBatch

        image, label = self._draw_all()
        told = self.reading(label).astype(np.int64)
        return PatchBatch(torch.from_numpy(image[:, None]), torch.from_numpy(told))

    def _draw_all(self) -> tuple[np.ndarray, np.ndarray]:
        """Grey values and labels of all boxes of a batch, (B, d, h, w)."""
        drawn = [self._draw() for _ in range(self.settings.boxes)]
        return np.stack([image for image, _ in drawn]), np.stack([label for _, label in drawn])

    def _draw(self) -> tuple[np.ndarray, np.ndarray]:
        kind = int(self.rng.choice(list(self.holders)))
        number = int(self.rng.choice(self.holders[kind]))
        scan, among = self.scans[number], self.places[number][kind]
        hu, label = cut(scan, among[int(self.rng.integers(len(among)))], self.settings, self.rng)
        if self.rng.random() < 0.5:  # right and left are nearly mirrors; what differs is the heart
            hu, label = hu[..., ::-1], label[..., ::-1]
        see = grey_of if scan.intensity is Intensity.HU else grey_of_pictures
        return see(hu, self.settings, self.rng), np.ascontiguousarray(label)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        return {"rng": self.rng.bit_generator.state, "scans": len(self.scans)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of the same scans."""
        if state["scans"] != len(self.scans):
            raise UsageError(f"the run was fed {state['scans']} scans, now {len(self.scans)}; give the same")
        self.rng.bit_generator.state = state["rng"]


class AxialBatches(VolumeBatches):
    """The same as batches of axial slices, for networks that see in two dimensions: boxes one slice thick.

    The classes of `reading` are balanced; lesions and lungs are told apart from one another.
    """

    def __next__(self) -> LabelledBatch:  # type: ignore[override]
        """The next batch."""
        import torch

        from glasslung.nn.batches import LabelledBatch

        image, label = self._draw_all()
        lesion, lung = (READINGS[name](label[:, 0]).astype(np.int64) for name in ("lesions", "lungs"))
        return LabelledBatch(torch.from_numpy(image), torch.from_numpy(lesion), torch.from_numpy(lung))


def places_of(scan: Scan, reading: Reading = READINGS["lungs and lesions"]) -> dict[int, np.ndarray]:
    """Some voxels (n, 3) of each class that is there, evenly spread over its voxels."""
    found, told = {}, reading(scan.label).ravel()
    for kind in range(len(reading.classes)):
        at = np.flatnonzero(told == kind)
        if at.size:
            some = at[np.linspace(0, at.size - 1, min(at.size, KEPT_VOXELS)).astype(np.int64)]
            found[kind] = np.stack(np.unravel_index(some, scan.label.shape), 1).astype(np.int16)
    return found


def cut(
    scan: Scan, near: np.ndarray, settings: Settings, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The box in which a voxel lies, anywhere in its middle half; beyond the scan its edge goes on.

    For pictures the slices are taken up to `stretch` times closer or farther apart.
    """
    step = 1.0
    if settings.intensity is Intensity.DISPLAY8:
        step = float(np.exp(rng.uniform(-1, 1) * np.log(settings.stretch)))
    index = []
    for axis, (size, edge) in enumerate(zip(scan.label.shape, settings.box, strict=True)):
        by = step if axis == 0 else 1.0
        first = float(near[axis]) - by * rng.uniform(0.25, 0.75) * edge
        where = np.rint(first + by * np.arange(edge)).astype(np.int64)
        low, high = 0, max(size - int(np.ceil(by * edge)), 0)  # stays inside a scan that is large enough
        index.append(np.clip(where - where[0] + np.clip(where[0], low, high), 0, size - 1))
    z, y, x = index
    at = z[:, None, None], y[:, None], x
    return scan.hu[at], scan.label[at]


def grey_of(hu: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """HU as a network sees them, 0 to 1, with what differs between scanners drawn anew; float32."""
    scale, shift = 1 + settings.scale * rng.standard_normal(), settings.shift_hu * rng.standard_normal()
    noise = rng.standard_normal(hu.shape, np.float32) * np.float32(settings.noise_hu * rng.random())
    seen = (hu.astype(np.float32) + 1000) * np.float32(scale) - 1000 + np.float32(shift) + noise
    if settings.intensity is Intensity.HU:
        return scale_hu(seen, settings.window_hu)
    low, high = rng.uniform(*settings.low_hu), rng.uniform(*settings.high_hu)
    return (np.rint(255 * scale_hu(seen, (low, high))) / 255).astype(np.float32)


def grey_of_pictures(grey: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Grey values 0 to 255 as a network sees them, 0 to 1, through a window drawn anew; float32."""
    low, high = rng.uniform(-1, 1, 2) * settings.rewindow + (0, 1)
    noise = rng.standard_normal(grey.shape, np.float32) * np.float32(settings.noise_grey * rng.random())
    seen = np.clip(grey.astype(np.float32) / 255 + noise, 0, 1)
    return (np.rint(255 * scale_hu(seen, (low, high))) / 255).astype(np.float32)


def scale_hu(hu: np.ndarray, window_hu: tuple[float, float]) -> np.ndarray:
    """HU cut at a window's limits and scaled to 0 to 1, float32."""
    low, high = window_hu
    return np.clip((hu.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
