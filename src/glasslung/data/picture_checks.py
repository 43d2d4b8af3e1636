"""Gate checks on pictures, 8-bit grey of an unknown window: is it a CT slice at all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from glasslung.types import Remark, Severity

WHITE = 230  # of 255
PAGE_WHITE_SHARE = (
    0.75  # a page of text, a diagram; narrow windows show fat and muscle white too, hence the lungs
)
ALONG_BORDER_SHARE = 0.2  # of the picture's border: tightly cropped lungs touch it, backgrounds follow it


def picture_remarks(sample: np.ndarray) -> Iterator[Remark]:
    """What can be said about 8-bit grey values of an unknown window: little, so only a page is refused.

    sample  (Z, Y, X) uint8, upright slices
    """
    lung_like = any(_has_lung_like(picture) for picture in sample)
    white = float((sample > WHITE).mean())
    if white > PAGE_WHITE_SHARE and not lung_like:
        yield Remark(
            "page",
            Severity.REFUSE,
            f"{100 * white:.0f} % of the picture is white and no lung is in it: a page, a drawing or a "
            "table, no CT slice.",
            "Give CT slices.",
        )
        return
    if not lung_like and not _is_cut_out(sample):
        yield Remark(
            "no-lung-like",
            Severity.WARN,
            "No dark area of the size of a lung lies inside a brighter body: is it a CT slice of the chest?",
            "Look at the picture; give a CT slice in a lung window.",
        )
    yield Remark(
        "eight-bit",
        Severity.NOTE,
        "These are 8-bit grey values of a window that nobody wrote down: no Hounsfield figures, no affected "
        "tissue and no severity score can be given.",
        "Give the original scan (DICOM, or NIfTI in Hounsfield units).",
    )


def _is_cut_out(sample: np.ndarray) -> bool:
    """Whether everything around the lungs was painted black, as some collections do."""
    border = np.concatenate([sample[:, [0, -1], :].reshape(-1), sample[:, :, [0, -1]].reshape(-1)])
    return float((border <= 5).mean()) > 0.5


def _has_lung_like(picture: np.ndarray) -> bool:
    """A dark region of 1 to 60 per cent of the picture that hardly runs along its border."""
    middle = (float(picture.min()) + float(np.percentile(picture, 99))) / 2.0
    labels, count = ndimage.label(ndimage.uniform_filter(picture.astype(np.float32), 3) < middle)
    sizes = np.bincount(labels.ravel(), minlength=count + 1).astype(float)
    border = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])
    along = np.bincount(border, minlength=count + 1) / len(border)
    fits = (sizes > 0.01 * picture.size) & (sizes < 0.6 * picture.size) & (along < ALONG_BORDER_SHARE)
    return bool(fits[1:].any())
