"""Dents in a lung's outer side, in one slice: what a consolidation on the ribs leaves of a threshold's lung.

For pictures that do not fit on one another, where nothing can be learned from the slices above and below.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

LEAST_CONTACT = 0.8  # of a pocket's size (root of its area): costal dents lie broadside on the chest wall
LUNG_SHARE = 0.2  # of the section: two such pieces are the two lungs, one may be both of them joined
RIM = 2  # pixels
_FULL = np.ones((3, 3), bool)


def fill_pockets(lungs: np.ndarray) -> np.ndarray:
    """Sections with their costal dents filled, slice by slice: (z, y, x) bool -> bool.

    A dent is what the convex hull of one lung adds to it. It is costal, and filled, where it lies broadside
    on the hull of both lungs together; the heart's dent lies between the lungs and touches that hull at
    its ends at most. Sections that do not show two separate lungs are left as they are.
    """
    return np.stack([_fill_section(section) for section in lungs])


def _fill_section(section: np.ndarray) -> np.ndarray:
    from skimage.morphology import convex_hull_image

    if not section.any():
        return section
    both = convex_hull_image(section)
    rim = both & ~ndimage.binary_erosion(both, _FULL, iterations=RIM)
    filled = section.copy()
    labels, count = ndimage.label(section, _FULL)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    lungs = [n for n in range(1, count + 1) if sizes[n] >= LUNG_SHARE * sizes[1:].sum()]
    if len(lungs) != 2:
        return section
    for lung in (labels == n for n in lungs):
        dents, found = ndimage.label(convex_hull_image(lung) & ~section)
        areas = np.bincount(dents.ravel(), minlength=found + 1)
        contact = np.bincount(dents[rim], minlength=found + 1) / RIM
        costal = contact >= LEAST_CONTACT * np.sqrt(np.maximum(areas, 1))
        costal[0] = False
        filled |= costal[dents]
    return filled
