"""Two outlines of the lungs, by rules of density and shape and by a network: what to make of both.

The rules draw the edge of aerated lung at full resolution; the network knows dense lung from chest wall, and
gas in the bowel from lung. So the edge is the rules', and where the two differ by more than an edge the
network decides, as long as they agree on the whole: consolidation that hangs on the lungs is taken in, gas
elsewhere is taken out. Where they do not agree on the whole, the rules' outline stands, and the scan says so.

Spleen, liver and chest wall look like consolidated lung to a network that saw few of them. So what it adds to
a scan must also lie where lung can be: the vote by position, with which the rules themselves give dense parts
back (`data.lungs.dense`), must speak for it, if less loudly than it must where the rules decide alone. A
whole lobe without air has no aerated lung around it that could speak: it is taken in where the other lung,
seen in the mirror, has lung, and bronchi with air in them run through it. Spleen and liver lack the one, or
the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.boxgrid import Triple
from glasslung.data.lungs.cage import find_cage
from glasslung.data.lungs.dense import TUBE_HU, TUBE_MOST_ML, vote
from glasslung.data.lungs.mirror import mirror_image
from glasslung.data.lungs.settings import DEFAULT
from glasslung.types import Lung

LUNG = 0.5  # probability from which the network says lung
AGREE = 0.85  # Dice from which the two outlines agree on the whole
LOST = 0.03  # of the rules' lungs, edges aside: with less outside the network's, dense lung was missed
MOST_ADDED = 0.6  # of the rules' lungs: one lung all white at the most
EDGE_MM = 4.0  # radius: what is thinner than twice this is a matter of edges
VOTE = 0.3  # of the lines through a place that speak for lung; the rules alone ask for 0.66
VOTE_MM = 4.0  # grid of the vote, as the rules have it
ROUNDS = 2  # what was added votes in the second round
PIECE = 0.5  # share of a piece for which position speaks from which all of it is taken in
MIRRORED = 0.5  # share of a piece that the mirrored other lung covers; a liver's dome reaches 0.7, so ...
TUBES = 0.0005  # ... this share of it is air in tubes: from 0.0015 in lobes without air, 0.0001 in that dome
ISLAND_SHARE = 0.01  # of all the network calls lung: smaller pieces that touch no lung of the rules are noise
FAR_MM = 1e6  # slices of pictures: what lies in the next one is no neighbour


@dataclass(frozen=True, eq=False)
class Weighed:
    """Both outlines on the working grid, weighed.

    dice     how far they agree, 0 to 1
    agree    whether the network has a say
    added    (z, y, x) bool: lung by the network alone, thicker than an edge and hanging on lung
    removed  (z, y, x) bool: lung by the rules alone, thicker than an edge
    refused  (z, y, x) bool: lung by the network alone that does not lie where lung can be
    """

    dice: float
    agree: bool
    added: np.ndarray
    removed: np.ndarray
    refused: np.ndarray


def weigh(
    sides: np.ndarray, chance: np.ndarray, spacing_mm: Triple, stacked: bool, hu: np.ndarray | None = None
) -> Weighed:
    """Compare the rules' lungs with the network's.

    sides    (z, y, x) the rules' lungs, labels of `Lung`; chance (z, y, x) probability of lung, both on the
             working grid
    stacked  False: slices are apart from each other, as in pictures whose spacing nobody knows
    hu       (z, y, x) of a scan: what is added must lie where lung can be; None: position is not asked, nor
             where the lungs have no sides
    """
    rules = sides > 0
    mm: Triple = spacing_mm if stacked else (FAR_MM, *spacing_mm[1:])
    network = _without_islands(chance >= LUNG, rules, stacked)
    both = int(np.count_nonzero(rules & network))
    total = int(np.count_nonzero(rules)) + int(np.count_nonzero(network))
    dice = 2.0 * both / total if total else 1.0
    more = _hanging(_thick(network & ~rules, mm), rules, stacked)
    added = more
    if hu is not None and not (sides == Lung.UNSIDED).any():
        placed = _placed(sides, more, hu, spacing_mm)
        given = placed | _mostly(more, placed, PIECE, stacked)
        given |= _airless(sides, more & ~given, network & ~rules, hu, spacing_mm, stacked)
        added = _hanging(_thick(given, mm), rules, stacked)
    added = _with_rims(added, network & ~rules, mm)
    removed = _thick(rules & ~network, mm)
    grown, lost = (
        int(np.count_nonzero(part)) / max(int(np.count_nonzero(rules)), 1) for part in (added, removed)
    )
    agree = dice >= AGREE or (lost <= LOST and grown <= MOST_ADDED)
    nothing = np.zeros(rules.shape, bool)
    refused = more & ~added
    return Weighed(dice, agree, *((added, removed, refused) if agree else (nothing,) * 3))


def _mostly(more: np.ndarray, spoken: np.ndarray, share: float, stacked: bool) -> np.ndarray:
    """The pieces of which at least that share is spoken for, whole."""
    labels, count = ndimage.label(more, _touch(stacked))
    said = np.bincount(labels[spoken], minlength=count + 1) / np.bincount(labels.ravel(), minlength=count + 1)
    keep = said >= share
    keep[0] = False
    return np.asarray(keep[labels])


def _airless(
    sides: np.ndarray, asked: np.ndarray, network: np.ndarray, hu: np.ndarray, mm: Triple, stacked: bool
) -> np.ndarray:
    """Whole lobes without air: pieces where the mirrored other lung lies, with air in their bronchi."""
    lungs = [sides == side for side in (Lung.RIGHT, Lung.LEFT)]
    if not (asked.any() and all(lung.any() for lung in lungs)):
        return np.zeros(sides.shape, bool)
    ghost = mirror_image(lungs[0], lungs[1], mm) | mirror_image(lungs[1], lungs[0], mm)
    tubes = _tubes(network, sides, hu, float(np.prod(mm)) / 1000)
    return _mostly(asked, asked & ghost, MIRRORED, stacked) & _mostly(asked, asked & tubes, TUBES, stacked)


def _tubes(network: np.ndarray, sides: np.ndarray, hu: np.ndarray, voxel_ml: float) -> np.ndarray:
    """Small pieces of air inside lung by the network alone: neither lung of the rules, nor bowel."""
    labels, count = ndimage.label((hu < TUBE_HU) & (sides == 0))
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
    small = sizes < TUBE_MOST_ML
    small[0] = False
    return np.asarray(small[labels]) & ndimage.binary_erosion(network, iterations=2)


def _placed(sides: np.ndarray, asked: np.ndarray, hu: np.ndarray, mm: Triple) -> np.ndarray:
    """The asked voxels for which position speaks: between aerated lung, or between it and the ribs."""
    if not asked.any():
        return asked
    steps = [max(1, round(VOTE_MM / step)) for step in mm]
    coarse = tuple(slice(None, None, step) for step in steps)
    z, y, x = (step * many for step, many in zip(mm, steps, strict=True))
    at, grey = asked[coarse], hu[coarse]
    lungs = {side: sides[coarse] == side for side in (Lung.RIGHT, Lung.LEFT)}
    both = sides[coarse] > 0
    won = np.zeros(at.shape, bool)
    for _ in range(ROUNDS):
        votes = {}
        for side, lung in lungs.items():
            if lung.any():
                cage = find_cage(lung, both, grey, (z, y, x), DEFAULT)
                votes[side] = vote(lung, cage.wall, at & ~won & cage.inside, (z, y, x), DEFAULT)
        most = np.max(list(votes.values()), axis=0)
        for side, said in votes.items():
            new = (said >= VOTE) & (said == most)
            lungs[side] = lungs[side] | new
            won |= new
    for axis, step in enumerate(steps):
        won = np.repeat(won, step, axis)
    return asked & np.asarray(won[tuple(slice(n) for n in asked.shape)])


def nearest_side(sides: np.ndarray, asked: np.ndarray, spacing_mm: Triple) -> np.ndarray:
    """Lung labels (z, y, x) uint8, and at every voxel of `asked` the label of the nearest lung."""
    if not asked.any() or not sides.any():
        return sides.copy()
    index = ndimage.distance_transform_edt(
        sides == 0, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    nearest: np.ndarray = sides[tuple(index)]
    return np.where(asked & (sides == 0), nearest, sides).astype(np.uint8)


def _without_islands(network: np.ndarray, rules: np.ndarray, stacked: bool) -> np.ndarray:
    labels, count = ndimage.label(network, _touch(stacked))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= ISLAND_SHARE * np.count_nonzero(network)
    keep |= np.isin(np.arange(count + 1), labels[rules & network])
    keep[0] = False
    return np.asarray(keep[labels])


def _thick(mask: np.ndarray, mm: Triple) -> np.ndarray:
    """The parts of a difference that are thicker than an edge, whole."""
    if not mask.any():
        return mask
    core = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=mm)[1:-1, 1:-1, 1:-1] > EDGE_MM
    if not core.any():
        return np.zeros(mask.shape, bool)
    return mask & (ndimage.distance_transform_edt(~core, sampling=mm) <= 1.5 * EDGE_MM)


def _with_rims(added: np.ndarray, more: np.ndarray, mm: Triple) -> np.ndarray:
    """What is added, with the thin remains of the same difference beside it: there the rules saw no edge."""
    if not added.any():
        return added
    return added | (more & (ndimage.distance_transform_edt(~added, sampling=mm) <= 2 * EDGE_MM))


def _hanging(added: np.ndarray, rules: np.ndarray, stacked: bool) -> np.ndarray:
    """The added parts that touch lung of the rules."""
    if not added.any():
        return added
    labels, count = ndimage.label(added, _touch(stacked))
    beside = ndimage.binary_dilation(rules, _touch(stacked))
    keep = np.isin(np.arange(count + 1), labels[beside & added])
    keep[0] = False
    return np.asarray(keep[labels])


def _touch(stacked: bool) -> np.ndarray:
    """Which neighbours touch: by a face, within a slice only where slices are apart."""
    faces: np.ndarray = ndimage.generate_binary_structure(3, 1)
    if not stacked:
        faces[[0, 2]] = False
    return faces
