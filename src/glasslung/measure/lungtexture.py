"""How the greys of a lung slice are arranged: what is left to see when every lung has the same greys.

The eleven plain features see a lung's histogram and its outline, nothing between. Whoever makes the
histograms alike has blinded them, not removed a difference. These see sharpness, grain, and where in the
lung it is bright.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from glasslung.measure.lungfeatures import FRINGE_GREY, checked_images

BANDS_PX = (0.7, 1.4, 2.8, 5.6)  # Gaussian scales; between two of them lie vessels, patches, lobes at 64 x 64
RIM_PX = 3  # of the lung, from its outline inwards: ground glass sits there, and so does a crop's blur
TEXTURE_FEATURES = (
    "edge strength, median",
    "edge strength, 90th percentile",
    *(f"grain between {low:g} and {high:g} px" for low, high in pairwise(BANDS_PX)),
    "grain finer than 0.7 px",
    "rim less core",
    "slope from front to back",
    "left less right, absolute",
)


def texture_features(images: np.ndarray, lung_above: float = FRINGE_GREY) -> np.ndarray:
    """Nine features of how grey is spread over the lung of each slice: (N, H, W) in [0, 1] -> (N, 9) float64.

    `TEXTURE_FEATURES` names them in order, in grey of [0, 1]. Lung are the pixels above `lung_above`; air
    outside counts in no average, so the jump at the outline is no edge. A slice without lung has all of them
    0. They change when greys are stretched: compare slices that were treated alike.
    """
    checked_images(images)
    return np.stack([_describe(image, image > lung_above) for image in np.asarray(images, np.float64)])


def _describe(image: np.ndarray, lung: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    if not lung.any():
        return np.zeros(len(TEXTURE_FEATURES))
    smooth = [_within(image, lung, scale) for scale in BANDS_PX]
    bands = [(fine - coarse)[lung].std() for fine, coarse in pairwise(smooth)]
    filled = np.where(lung, image, smooth[-1])
    edges = np.hypot(*np.gradient(filled))[lung]
    depth = ndimage.distance_transform_cdt(np.pad(lung, 1), metric="taxicab")[1:-1, 1:-1]
    rim, core = lung & (depth <= RIM_PX), lung & (depth > RIM_PX)
    rim_less_core = image[rim].mean() - image[core].mean() if core.any() else 0.0
    rows, columns = np.nonzero(lung)
    return np.array(
        [
            *np.percentile(edges, (50, 90)),
            *bands,
            (image - smooth[0])[lung].std(),
            rim_less_core,
            _slope(rows / len(image), image[lung]),
            abs(_step(columns, image[lung])),
        ]
    )


def _within(image: np.ndarray, lung: np.ndarray, scale: float) -> np.ndarray:
    """The Gaussian mean of lung pixels alone, (H, W); 0 where no lung is near."""
    from scipy import ndimage

    grey = ndimage.gaussian_filter(np.where(lung, image, 0.0), scale, mode="constant")
    weight = ndimage.gaussian_filter(lung.astype(np.float64), scale, mode="constant")
    return np.divide(grey, weight, out=np.zeros_like(grey), where=weight > 1e-6)


def _slope(place: np.ndarray, grey: np.ndarray) -> float:
    """Grey per height of the picture, by least squares; 0 for a lung one row high."""
    off = place - place.mean()
    square = float(off @ off)
    return float(off @ grey) / square if square > 0 else 0.0


def _step(columns: np.ndarray, grey: np.ndarray) -> float:
    """Mean grey left of the lung's middle less that right of it; 0 for a lung one column wide."""
    left = columns < (columns.min() + columns.max()) / 2
    return float(grey[left].mean() - grey[~left].mean()) if left.any() else 0.0
