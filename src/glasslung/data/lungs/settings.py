"""The one setting of the lung segmentation: every number that was chosen, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How lungs are found without learned weights; one setting serves all scans.

    Lengths are millimetres in the patient, so they mean the same on every grid. Where the spacing is
    not known the picture is taken to be `picture_width_mm` wide.
    """

    coarse_mm: float = 2.5
    """Grid of the global reasoning: finer is slower and no better, coarser loses windpipe and fissures."""
    vote_mm: float = 4.0
    """Grid of the vote for dense lung: its answers are smooth at the scale of a centimetre."""
    tissue_hu: float = 40.0
    """Muscle and unenhanced blood; the lung's edge lies half-way between this and the scan's own lung."""
    pleura_mm: float = 0.35
    """Visceral pleura and subpleural septa, counted as lung as hand-drawn contours do: moves the edge's
    threshold by this part of a voxel, much on fine grids and hardly on coarse ones."""
    fill_mm: float = 7.0
    """Vessels and bronchi thinner than twice this are lung when lung surrounds them."""
    reach_mm: float = 70.0
    """How far the vote looks for aerated lung: the half-width of an adult lung."""
    vote_share: float = 0.66
    """Dense tissue is lung when it lies between aerated lung (or lung and ribs) along this share of lines.
    A flat face of the heart or a diaphragm gets half at most, an enclosed tumour all."""
    wall_weight: float = 0.6
    """A line from aerated lung to the chest wall says less than one from lung to lung: near the front of
    the diaphragm the liver too lies between lung and wall."""
    mirror_weight: float = 0.8
    """What the other lung adds where the chest's halves mirror each other: with 0.66 above, deep inside
    the mirrored lung nearly nothing else is needed, at its rim nothing is given."""
    mirror_from_mm: float = 8.0
    """Depth in the mirrored lung below which it says nothing: the halves differ by about that."""
    mirror_full_mm: float = 20.0
    """Depth from which it has its full weight."""
    vote_rounds: int = 2
    """What the first vote gave back votes in the second; further rounds add little and creep."""
    rib_hu: float = 180.0
    """Bone: above enhanced blood in most phases, below the cortex of an osteoporotic rib."""
    smallest_piece_ml: float = 1.5
    """Aerated pieces below this are noise or bowel gas rather than lung."""
    picture_width_mm: float = 350.0
    """Assumed width of a plain picture of a chest, used only to scale lengths."""


DEFAULT = Settings()
