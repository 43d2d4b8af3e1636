"""Lungs without weights: the two lungs of a chest CT found by classical means, and how far to trust them."""

from glasslung.data.lungs.segment import segment_lungs
from glasslung.data.lungs.settings import DEFAULT, Settings

__all__ = ["DEFAULT", "Settings", "segment_lungs"]
