"""Plain pictures, read for what their files say as well as for what they show."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from glasslung.errors import DataError

SUFFIX_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
PICTURE_FORMATS = tuple(sorted(set(SUFFIX_FORMATS.values())))


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture file.

    grey       (H, W) uint8; colour is turned into grey, more than 8 bits are stretched to them
    labels     (H, W) the stored numbers, palette indices where there is a palette: for masks
    format     by content: 'PNG', 'JPEG', ...;  mode  'L', 'RGB', 'RGBA', 'P', ...
    jpeg_step  mean of the first JPEG quantisation table; 0 for other formats
    name_lies  whether the file name promises another format
    """

    grey: np.ndarray
    labels: np.ndarray
    format: str
    mode: str
    file_bytes: int
    jpeg_step: float
    name_lies: bool


def pictures_in(path: Path) -> list[Path]:
    """The picture, or the pictures of a folder that holds nothing else, in order; [] for other scans."""
    if path.is_file():
        return [path] if is_picture(path) else []
    files = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
    return files if files and all(is_picture(one) for one in files) else []


def is_picture(path: Path) -> bool:
    """Whether the content, not the name, is a picture of a common format."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=PICTURE_FORMATS):
            return True
    except Image.UnidentifiedImageError:
        return False
    except (OSError, ValueError, SyntaxError, EOFError):
        return path.suffix.lower() in SUFFIX_FORMATS
    except Image.DecompressionBombError:
        return True


def read_picture(path: Path) -> Picture:
    """Read one picture; DataError if it is damaged, cut short or absurdly large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning)
            with Image.open(path, formats=PICTURE_FORMATS) as picture:
                picture.load()
                return _picture(path, picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError("the picture claims more pixels than any slice has; look at the file") from None
    except (OSError, ValueError, SyntaxError, EOFError) as problem:
        raise DataError(f"damaged or cut short: {type(problem).__name__}; fetch the file again") from None


def _picture(path: Path, picture: Image.Image) -> Picture:
    labels = np.asarray(picture)
    tables = getattr(picture, "quantization", None) or {}
    return Picture(
        grey=_grey(picture, labels),
        labels=labels if labels.ndim == 2 else labels[..., 0],
        format=picture.format or "",
        mode=picture.mode,
        file_bytes=path.stat().st_size,
        jpeg_step=float(np.mean(tables[0])) if 0 in tables else 0.0,
        name_lies=SUFFIX_FORMATS.get(path.suffix.lower(), picture.format) != picture.format,
    )


def _grey(picture: Image.Image, stored: np.ndarray) -> np.ndarray:
    """(H, W) uint8. Pillow cuts off what is above 255 in 16-bit pictures, so those are stretched by hand."""
    if not picture.mode.startswith(("I", "F")):
        return np.asarray(picture.convert("L"))
    low, high = float(stored.min()), float(stored.max())
    return ((stored - low) * (255.0 / max(high - low, 1e-9))).astype(np.uint8)
