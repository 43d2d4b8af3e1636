"""A plain picture written anew as PNG: its pixels, and no text, EXIF, profile or thumbnail."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from glasslung.data.formats.damage import told_plainly
from glasslung.data.formats.pictures import read_grey
from glasslung.errors import DataError

REMOVED_FROM_PICTURES = EXIF, TEXT = "picture exif", "picture text or profile"
BARE_INFO = frozenset(
    {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "compression", "gamma", "srgb"}
)


def clean_picture(source: Path) -> tuple[bytes, list[str]]:
    """A picture as a grey PNG of its own depth (8 or 16 bits), with nothing but pixels.

    Returns its bytes and the names of what was taken away. Raises DataError for what is no picture.
    """
    from PIL import Image

    grey = read_grey(source)
    if grey.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{source.name}: has pixels that no PNG holds; save it as 8 or 16 bits")
    content = io.BytesIO()
    Image.fromarray(grey).save(content, format="PNG")
    return content.getvalue(), sorted(picture_texts(source)[0])


def picture_texts(source: Path) -> tuple[set[str], list[str]]:
    """Sorts of data beside a picture's pixels, and the texts in them."""
    from PIL import ExifTags, Image

    with told_plainly(source, "the picture is damaged or cut short"), Image.open(source) as image:
        sorts = {EXIF if key == "exif" else TEXT for key in image.info if key not in BARE_INFO}
        texts = [str(value) for key, value in image.info.items() if isinstance(value, str)]
        exif = image.getexif()
        for tags in (exif, *(exif.get_ifd(ifd) for ifd in ExifTags.IFD)):
            texts += [_plain(value) for value in tags.values() if isinstance(value, str | bytes)]
        for value in image.info.values():
            if isinstance(value, bytes):
                texts.append(_plain(value))
    return sorts, texts


def _plain(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
