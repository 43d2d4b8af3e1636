"""Thumbnails on few large pictures, which a graphics chip draws thousands of at once."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from glasslung.web.explorer.pictures import THUMB

SIDE = 64  # thumbnails in a row: 4096 pixels, the largest texture that all chips with WebGL2 in use can hold


@dataclass(frozen=True)
class Atlases:
    """PNGs of thumbnails, row by row; the n-th lies in atlas n // per, cell n % per.

    columns  thumbnails in a row; rows of each PNG
    """

    pngs: tuple[bytes, ...]
    columns: int
    rows: tuple[int, ...]
    cell: int

    @property
    def per(self) -> int:
        """Thumbnails in a full one."""
        return self.columns * self.columns


def make_atlases(thumbs: np.ndarray, columns: int | None = None) -> Atlases:
    """thumbs (N, T, T) uint8 -> PNGs of at most 64 x 64 thumbnails."""
    count = len(thumbs)
    columns = columns or min(SIDE, int(np.ceil(np.sqrt(count))))
    per = columns * columns
    pngs, rows = [], []
    for start in range(0, count, per):
        part = thumbs[start : start + per]
        lines = int(np.ceil(len(part) / columns))
        sheet = np.zeros((lines * columns, THUMB, THUMB), np.uint8)
        sheet[: len(part)] = part
        whole = sheet.reshape(lines, columns, THUMB, THUMB).transpose(0, 2, 1, 3)
        pngs.append(png(whole.reshape(lines * THUMB, columns * THUMB)))
        rows.append(lines)
    return Atlases(tuple(pngs), columns, tuple(rows), THUMB)


def png(grey: np.ndarray) -> bytes:
    """(H, W) uint8 -> the bytes of a PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", optimize=False)
    return file.getvalue()
