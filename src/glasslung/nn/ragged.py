"""Scans of different lengths in one tensor: their slices one after another."""

from __future__ import annotations

import torch
from torch import Tensor

from glasslung.errors import ShapeError


def check_slices(image: Tensor, lesion: Tensor, scan: Tensor, smallest: int) -> None:
    """ShapeError where slices (S, 1, H, W), lesions alike and scan (S,) do not fit, or are too small.

    scan  0, 0, ... 1, ... rising by at most 1, as in `ExamBatch`
    """
    if image.ndim != 4 or image.shape[1] != 1 or not len(image) or min(image.shape[2:]) < smallest:
        raise ShapeError(
            f"a classifier reads slices (S, 1, H, W) of {smallest} pixels or more, got {tuple(image.shape)}"
        )
    if lesion.shape != image.shape:
        raise ShapeError(f"slices {tuple(image.shape)} need lesions alike, got {tuple(lesion.shape)}")
    if tuple(scan.shape) != (len(image),):
        raise ShapeError(f"{len(image)} slices need a scan each, got {tuple(scan.shape)}")
    steps = scan.diff()
    if int(scan[0]) != 0 or bool(((steps != 0) & (steps != 1)).any()):
        raise ShapeError("slices must go scan by scan, from scan 0 on, with at least one slice of each")


def slices_of_each(scan: Tensor) -> list[int]:
    """How many slices each scan has: scan (S,) -> V numbers that add up to S."""
    return [int(count) for count in torch.bincount(scan).tolist()]
