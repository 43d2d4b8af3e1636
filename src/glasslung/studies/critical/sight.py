"""What a model may read off one slice of lungs: greys, lesions, zones, texture, and a segmenter's own eyes.

All of it lies inside the lungs. The families:

    grey     what a plain look gives: percentiles and histogram of the lung pixels
    lesions  ground glass and consolidation as `lesions-8bit` finds them: how much of the lung, how sure, and
             at the back or at the front, where gravity and the virus put them
    zones    how grey the back, the front, the rim, the middle and each side are, smoothed
    texture  grain at four scales, noise and edges
    eyes     the segmenter's encoder at an eighth (fine) and a sixteenth (coarse) of the size: means,
             strongest answers and spread of its maps over the core, the front, the back and the outer lung

`tissue` is `grey` without the rim of 4 pixels, which holds chest wall as far as the cropping left it there.
`rim` is that rim alone and `size` the picture's: no model reads them; they show what the cropping tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.slices import pad_square
from glasslung.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from glasslung.predict.opening import Segmenter

SEGMENTER = "lesions-8bit"
SEEN_GREY = 10  # above what JPEG leaves of black
SIDES = (
    160,
    192,
    224,
)  # of the squares that the segmenter sees: its own size, and one step to each side; answers
# are averaged, because lungs that were cut out fill more of a square than those it learned from
CLOSE_PX, LEAST_PIECE = 5, 0.05  # the cut-out lungs: gaps closed, specks below a twentieth of a lung dropped
CORE_PX, RIM_PX = 5.0, 4.0  # inside this depth, chest wall that the cropping left does not count as lesion
LEAST_LUNG = 2000  # pixels of lung in a slice of 250 x 340, or the slice is refused
PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99)
BINS = 16
GREY = (
    *(f"grey, {p} %" for p in PERCENTS),
    "grey, mean",
    "grey, spread",
    *(f"grey, bin {b + 1}" for b in range(BINS)),
)
SURE = 0.5  # a pixel is called lesion
LESIONS = (
    *(
        f"{kind}, {what}"
        for kind in ("ground glass", "consolidation")
        for what in ("mean", "area", "back", "front", "with rim")
    ),
    *("lesion, mean", "lesion, area", "lesion, 95 %"),
)
ZONES = ("rim", "middle", "front", "centre", "back", "right", "left")
RIM_DEPTH_PX = 20.0
ZONE_PX = 3.0  # Gaussian scale of the smoothing behind zones
BANDS_PX = (0.7, 1.4, 2.8, 5.6, 11.0)
STAGES = (2, 3)  # of the encoder's five: an eighth and a sixteenth of the size, where textures are told
EYES_SIDE = 192  # of the square that the encoder sees: that of its training
TOUCH = 0.3  # of a map's cell: what less of a place lies in is not asked for its strongest answer


@dataclass(frozen=True, eq=False)
class Lung:
    """A cut-out slice and its lungs: grey (H, W) uint8; lung, core (H, W) bool, depth (H, W) pixels."""

    grey: np.ndarray
    lung: np.ndarray
    depth: np.ndarray

    @property
    def core(self) -> np.ndarray:
        """Lung deeper than the rim; all of it where a lung is that thin."""
        deep = self.depth > CORE_PX
        return deep if deep.sum() >= LEAST_LUNG / 4 else self.depth > 0


def find_lung(picture: np.ndarray) -> Lung:
    """The lungs of a slice outside which all is black; DataError where there is none to speak of."""
    from scipy import ndimage

    seen = np.pad(picture > SEEN_GREY, CLOSE_PX + 1)
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(seen, np.ones((CLOSE_PX, CLOSE_PX))))
    labels, _ = ndimage.label(closed)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = np.isin(labels, np.flatnonzero(sizes >= max(1.0, LEAST_PIECE * sizes.max())))
    depth = ndimage.distance_transform_edt(kept)
    inside = slice(CLOSE_PX + 1, -CLOSE_PX - 1)
    lung, depth = kept[inside, inside], depth[inside, inside]
    if lung.sum() < LEAST_LUNG:
        raise DataError(f"only {int(lung.sum())} pixels of lung; a slice with its lungs cut out is asked for")
    if lung.mean() > 0.97:
        raise DataError("nothing outside the lungs is black; cut the lungs out (`glasslung prepare`)")
    return Lung(picture, lung, depth)


def see(picture: np.ndarray, segmenter: Segmenter) -> dict[str, np.ndarray]:
    """Everything of one slice (H, W) uint8, family by family: name -> (F,) float64."""
    lung = find_lung(picture)
    fine, coarse = look_through(lung, segmenter)
    return {
        "grey": grey_features(picture[picture > SEEN_GREY]),
        "tissue": grey_features(picture[lung.depth > RIM_PX]),
        "lesions": np.mean([lesion_features(lung, ask(lung, segmenter, side)) for side in SIDES], axis=0),
        "zones": zone_features(lung),
        "texture": texture_features(lung),
        "fine eyes": fine,
        "coarse eyes": coarse,
        "rim": grey_features(picture[(lung.depth > 0) & (lung.depth <= RIM_PX)]),
        "size": np.array(picture.shape, np.float64),
    }


def stacked(seen: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """N slices' families as tables (N, F)."""
    return {name: np.stack([one[name] for one in seen]) for name in seen[0]} if seen else {}


def grey_features(grey: np.ndarray) -> np.ndarray:
    """Percentiles, mean, spread and histogram of pixels (P,) of 0 to 255; `GREY` names them."""
    grey = np.asarray(grey, np.float64)
    shares = np.histogram(grey, bins=BINS, range=(SEEN_GREY, 256))[0] / max(len(grey), 1)
    return np.concatenate([np.percentile(grey, PERCENTS), [grey.mean(), grey.std()], shares])


def ask(lung: Lung, segmenter: Segmenter, side: int) -> np.ndarray:
    """The segmenter's maps (3, S, S) of none, ground glass, consolidation: mean of both mirror images."""
    import torch

    with torch.no_grad():
        kinds = segmenter.ask(_both_ways(lung.grey, side)).kinds
    maps: np.ndarray = ((kinds[0] + kinds[1].flip(-1)) / 2).numpy().astype(np.float64)
    return maps


def look_through(lung: Lung, segmenter: Segmenter) -> tuple[np.ndarray, ...]:
    """What each of `STAGES` of the segmenter's encoder answers in the core, front, back and rim of the lungs.

    Per place the mean of every map, its strongest answer and its spread; mean over both mirror images.
    """
    import torch
    from torch.nn import functional as F

    from glasslung.nn.unet import present

    core = _shown(lung.core, EYES_SIDE)
    front, back = _thirds(core)
    rim = _shown(lung.core & (lung.depth <= RIM_DEPTH_PX), EYES_SIDE)
    places = torch.from_numpy(np.stack([core, front, back, rim]).astype(np.float32))[:, None]
    model: Any = segmenter.model
    with torch.no_grad():
        pyramid = model.unet.encode(present(_both_ways(lung.grey, EYES_SIDE), model.config.greys))
        told = []
        for stage in STAGES:
            each = pyramid[stage]  # (2, C, h, w): as it is, and turned left to right
            share = F.interpolate(places, each.shape[-2:], mode="area")[:, 0]
            shares = torch.stack([share, share.flip(-1)])[:, :, None]  # (2, P, 1, h, w)
            area = shares.sum((3, 4)).clamp_min(1e-3)
            mean = (each[:, None] * shares).sum((3, 4)) / area
            off = each[:, None] - mean[..., None, None]
            spread = ((off**2 * shares).sum((3, 4)) / area).sqrt()
            most = (each[:, None] * (shares > TOUCH)).amax((3, 4))
            told.append(torch.stack([mean, most, spread], 2).mean(0).flatten().numpy().astype(np.float64))
    return tuple(told)


def _both_ways(grey: np.ndarray, side: int) -> Tensor:
    """A slice and its mirror image, (2, 1, S, S) float32 in [0, 1]."""
    import torch

    image = torch.from_numpy(square(grey, side).astype(np.float32) / np.float32(255))[None, None]
    return torch.cat([image, image.flip(-1)])


def _shown(mask: np.ndarray, side: int) -> np.ndarray:
    """A mask (H, W) on the square that is shown, (S, S) bool."""
    return square(np.where(mask, 255, 0).astype(np.uint8), side) > 127


def square(picture: np.ndarray, side: int) -> np.ndarray:
    """A slice (H, W) uint8 padded to a square and resized to (side, side), as segmenters see it."""
    from PIL import Image

    resized = Image.fromarray(pad_square(picture)).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def lesion_features(lung: Lung, maps: np.ndarray) -> np.ndarray:
    """How much lesion there is, of which kind and where: maps (3, S, S) -> 13 numbers, `LESIONS`."""
    core, whole = (_shown(mask, maps.shape[-1]) for mask in (lung.core, lung.lung))
    front, back = _thirds(core)
    found: list[float] = []
    for kind in (1, 2):
        each = maps[kind]
        found += [
            each[core].mean(),
            (each[core] > SURE).mean(),
            each[back].mean(),
            each[front].mean(),
            each[whole].mean(),
        ]
    lesion = 1.0 - maps[0][core]
    return np.array([*found, lesion.mean(), (lesion > SURE).mean(), np.percentile(lesion, 95)])


def zone_features(lung: Lung) -> np.ndarray:
    """Mean and 90th percentile of the smoothed grey in each of `ZONES`, back less front, rim less middle."""
    core = lung.core
    soft = within(lung.grey, core, ZONE_PX)
    front, back = _thirds(core)
    columns = np.flatnonzero(lung.lung.any(0))
    left = np.arange(core.shape[1])[None, :] >= (columns[0] + columns[-1]) / 2
    places = {
        "rim": core & (lung.depth <= RIM_DEPTH_PX),
        "middle": core & (lung.depth > RIM_DEPTH_PX),
        "front": front,
        "centre": core & ~front & ~back,
        "back": back,
        "right": core & ~left,
        "left": core & left,
    }
    whole = soft[core]
    told: Mapping[str, tuple[float, float]] = {
        name: _mean_and_most(soft[place] if place.any() else whole) for name, place in places.items()
    }
    pairs = [value for name in ZONES for value in told[name]]
    return np.array([*pairs, told["back"][0] - told["front"][0], told["rim"][0] - told["middle"][0]])


def texture_features(lung: Lung) -> np.ndarray:
    """Spread, skewness and kurtosis of the grain in four bands, noise, and edges: (15,)."""
    core = lung.core
    smooth = [within(lung.grey, core, scale) for scale in BANDS_PX]
    found: list[float] = []
    for fine, coarse in pairwise(smooth):
        grain = (fine - coarse)[core]
        grain = grain - grain.mean()
        spread = max(float(grain.std()), 1e-3)
        found += [spread, float((grain**3).mean()) / spread**3, float((grain**4).mean()) / spread**4]
    noise = float(np.median(np.abs(lung.grey.astype(np.float64) - smooth[0])[core]))
    steps = np.hypot(*np.gradient(np.where(core, smooth[1], 0.0)))
    inside = lung.depth > CORE_PX + 3
    edges = steps[inside if inside.any() else core]
    return np.array([*found, noise, *np.percentile(edges, (50, 90))])


def within(grey: np.ndarray, mask: np.ndarray, scale: float) -> np.ndarray:
    """The Gaussian mean of the mask's pixels alone, (H, W); 0 outside."""
    from scipy import ndimage

    weight = ndimage.gaussian_filter(mask.astype(np.float64), scale, mode="constant")
    total = ndimage.gaussian_filter(np.where(mask, grey, 0).astype(np.float64), scale, mode="constant")
    return np.where(mask, total / np.maximum(weight, 1e-6), 0.0)


def _thirds(core: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The front third and the back third of the lung's pixels, (H, W) bool each; the front lies on top."""
    rows = np.arange(core.shape[0])[:, None] * np.ones((1, core.shape[1]))
    low, high = np.percentile(rows[core], (33, 67))
    return core & (rows <= low), core & (rows >= high)


def _mean_and_most(grey: np.ndarray) -> tuple[float, float]:
    return float(grey.mean()), float(np.percentile(grey, 90))
