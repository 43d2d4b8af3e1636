"""Lungs without learned weights: find the air, tell the sides, give dense parts back, draw the edge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs import pictures
from glasslung.data.lungs.airways import find_airways
from glasslung.data.lungs.coarse import Coarse, coarsen
from glasslung.data.lungs.dense import TUBE_HU, Recovered, recover
from glasslung.data.lungs.fine import CoarseAnswer, refine
from glasslung.data.lungs.morphology import Spacing
from glasslung.data.lungs.pockets import fill_pockets
from glasslung.data.lungs.quality import Evidence, judge
from glasslung.data.lungs.settings import DEFAULT, Settings
from glasslung.data.lungs.sides import choose_lungs, middle_of, tell_sides
from glasslung.data.lungs.thorax import edge_hu, find_thorax, interior_air
from glasslung.data.orientation import from_upright, orientation_of, to_upright, upright_spacing_mm
from glasslung.types import Geometry, Intensity, Lungs, Volume


@dataclass(frozen=True, eq=False)
class Found:
    """A mask (z, y, x) uint8 on the upright grid, and what is doubtful about it.

    inferred     share of the mask that was inferred from position, 0 to 1
    unexplained  dense tissue left out where the other lung says lung should be, as a share of the mask
    hazy         likewise grey between lung and tissue that was left out of pictures
    """

    mask: np.ndarray
    inferred: float = 0.0
    unexplained: float = 0.0
    hazy: float = 0.0


def segment_lungs(volume: Volume, settings: Settings = DEFAULT) -> Lungs:
    """Both lungs of a chest CT, right and left apart, with a verdict on how far to trust them.

    Returns a mask (D, H, W) uint8 on the volume's own grid with the labels of `Lung`: 1 right, 2 left, 3
    where sides cannot be told. Vessels, small bronchi, consolidation and tumour inside a lung count as
    lung; windpipe, main bronchi, bowel gas and the room do not. Where no lung is found the mask is zero
    and the verdict says so: no scan makes this raise. Tilted stacks are treated as upright ones.
    """
    orientation = orientation_of(volume)
    upright = to_upright(volume.voxels, orientation)
    spacing = upright_spacing_mm(volume, orientation)
    hounsfield = volume.intensity is Intensity.HU
    found = find_in_scan(upright, spacing, settings) if hounsfield else find_in_pictures(upright, settings)
    measured = volume.geometry is Geometry.MEASURED
    evidence = Evidence(
        found.mask, spacing, measured, hounsfield, found.inferred, found.unexplained, found.hazy
    )
    return Lungs(np.ascontiguousarray(from_upright(found.mask, orientation)), judge(evidence))


def find_in_scan(hu: np.ndarray, spacing_mm: Spacing, settings: Settings) -> Found:
    """Lungs of an upright scan (z, y, x) in HU, or on the scale of `pictures.stretch`."""
    coarse = coarsen(hu, spacing_mm, settings.coarse_mm)
    answer, recovered = reason(coarse, settings)
    lung_ml = max(np.count_nonzero(answer.sides) * coarse.voxel_ml, 1e-9)
    inferred_ml = np.count_nonzero(recovered.added) * coarse.voxel_ml
    mask = refine(hu, answer, coarse, settings)
    return Found(mask, inferred_ml / lung_ml, recovered.unexplained_ml / lung_ml)


def reason(coarse: Coarse, settings: Settings) -> tuple[CoarseAnswer, Recovered]:
    """The global reasoning on the coarse grid: the answer, and the dense parts in it."""
    thorax = find_thorax(coarse)
    edge = edge_hu(thorax, coarse, settings)
    air = interior_air(thorax, coarse, edge)
    middle = middle_of(thorax.body)
    airways = find_airways(air, coarse, middle)
    aerated = choose_lungs(air & ~airways, coarse, settings)
    sides = fill(tell_sides(aerated, coarse, middle), coarse.spacing_mm, settings)
    recovered = recover(sides, interior_air(thorax, coarse, TUBE_HU) & ~airways, airways, coarse, settings)
    whole = np.where(recovered.added > 0, recovered.added, sides)
    whole = fill(whole, coarse.spacing_mm, settings)
    return answer_of(whole, airways, coarse, edge), recovered


def answer_of(sides: np.ndarray, airways: np.ndarray, coarse: Coarse, edge: float) -> CoarseAnswer:
    """What the fine step needs: lung is sure inside, and where it is dense and was filled or recovered."""
    lung = sides > 0
    inside = ndimage.binary_erosion(lung, border_value=1)
    return CoarseAnswer(sides, lung & ((coarse.hu >= edge) | inside), airways & ~lung, edge)


def fill(sides: np.ndarray, spacing_mm: Spacing, settings: Settings) -> np.ndarray:
    """Vessels, bronchi and holes inside each lung, lung by lung, so that nothing bridges the two."""
    out = sides.copy()
    for side in np.unique(sides[sides > 0]):
        closed = mm.close(sides == side, settings.fill_mm, spacing_mm)
        out[(out == 0) & mm.fill_slices(closed)] = side
    return out


def find_in_pictures(grey: np.ndarray, settings: Settings) -> Found:
    """Lungs of upright pictures (z, y, x) uint8: cut-out lungs, a whole stack, or slice by slice."""
    spacing = pictures.assumed_spacing_mm(grey, settings)
    given = pictures.cut_out(grey)
    if given is not None:
        return Found(pictures.label_sections(given, Coarse(grey, spacing, (1, 1, 1))))
    hu = pictures.stretch(grey)
    sections = pictures.find_sections(hu, grey, spacing, settings)
    if sections.is_scan:
        return find_in_scan(hu, spacing, settings)
    coarse = sections.coarse
    whole = fill_pockets(sections.lung)
    sides = fill(pictures.label_sections(whole, coarse), mm.flat(coarse.spacing_mm), settings)
    answer = answer_of(sides, np.zeros(sides.shape, bool), coarse, sections.edge_hu)
    inferred = np.count_nonzero(whole & ~sections.lung) / max(int(np.count_nonzero(sides)), 1)
    mask = refine(hu, answer, coarse, settings, stacked=False)
    return Found(mask, inferred, hazy=sections.hazy)
