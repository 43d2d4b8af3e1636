"""Slices of several scans in one tensor: counted, and refused where they do not fit."""

from __future__ import annotations

import pytest
import torch

from glasslung.errors import ShapeError
from glasslung.nn.ragged import check_slices, slices_of_each


def test_slices_of_each_scan_are_counted():
    assert slices_of_each(torch.tensor([0, 0, 0, 1, 2, 2])) == [3, 1, 2]


@pytest.mark.parametrize(
    ("image", "lesion", "scan", "told"),
    [
        ((3, 1, 8, 8), (3, 1, 8, 8), [0, 0, 1], "16 pixels or more"),
        ((0, 1, 16, 16), (0, 1, 16, 16), [], "16 pixels or more"),
        ((3, 2, 16, 16), (3, 2, 16, 16), [0, 0, 1], "16 pixels or more"),
        ((3, 1, 16, 16), (3, 1, 16, 17), [0, 0, 1], "lesions alike"),
        ((3, 1, 16, 16), (3, 1, 16, 16), [0, 1], "need a scan each"),
        ((3, 1, 16, 16), (3, 1, 16, 16), [1, 1, 2], "scan by scan"),
        ((3, 1, 16, 16), (3, 1, 16, 16), [0, 2, 2], "scan by scan"),
        ((3, 1, 16, 16), (3, 1, 16, 16), [0, 1, 0], "scan by scan"),
    ],
)
def test_what_does_not_fit_is_refused(image, lesion, scan, told):
    with pytest.raises(ShapeError, match=told):
        check_slices(torch.zeros(image), torch.zeros(lesion), torch.tensor(scan, dtype=torch.int64), 16)


def test_what_fits_passes():
    slices = torch.zeros(3, 1, 16, 20)
    check_slices(slices, slices, torch.tensor([0, 1, 1]), 16)
