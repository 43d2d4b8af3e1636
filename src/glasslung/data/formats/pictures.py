"""Plain pictures (PNG, JPEG, TIFF, ...) as 8-bit slices: one picture, one file of many pages, or a stack.

How a picture becomes one grey number a pixel
    1, L          kept (1 becomes 0 and 255)
    P             the palette is expanded first
    LA, RGBA, PA  laid over black: what is transparent is outside the picture
    RGB, ...      equal channels are collapsed; coloured ones become luma (ITU-R 601) and are remarked on
    I;16, I, F    stretched from the lowest to the highest value of the whole stack, and remarked on
Pictures have no geometry. By convention they are upright, 1 mm, and the first is nearest the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats.damage import LIMITS, check_promise, told_plainly
from glasslung.data.formats.geometry import assumed_affine
from glasslung.data.formats.identity import combined_digest, file_digest
from glasslung.data.formats.intensities import eight_bit_remarks, stretch_to_display8
from glasslung.errors import DataError, ShapeError
from glasslung.files import whole_folder
from glasslung.types import Geometry, Intensity, Remark, Severity, Source, Volume

PICTURE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "JPEG2000", "PPM")
COLOUR_SPREAD = 20  # largest minus smallest channel; JPEG chroma noise and tinted scans stay below
# Share of pixels with that spread. Of 224 colour figures cut from COVID papers the most is .12 (a scan with
# coloured arrows and contours); photographs have .3 and more.
COLOURED_SHARE = 0.25
MARKED_SHARE = 0.0005  # a small arrow
EXIF_ORIENTATION = 0x0112
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


@dataclass(frozen=True)
class PictureSource(Source):
    """A source of pictures, with the place of each picture in its padded slice.

    boxes  (top, left, height, width) for each slice, pixels
    """

    boxes: tuple[tuple[int, int, int, int], ...] = ()


@dataclass(frozen=True)
class _Page:
    """One slice before padding: grey values, and what was seen on the way."""

    grey: np.ndarray
    coloured: float
    note: str


def read_pictures(files: Sequence[Path], where: str, feet_first: bool = False) -> Volume:
    """Read a stack of pictures, in the order given, as an 8-bit volume.

    Pictures of different sizes are padded with 0, centred, to the largest height and width.
    Geometry is assumed (see the head of this file); `feet_first` says that the first picture is nearest the
    feet. Raises DataError for damaged, oversized or rotated (EXIF) pictures and for names that repeat.
    """
    _check_names(files, where)
    pages = [page for file in files for page in _pages(file, alone=len(files) == 1)]
    shape = (len(pages), max(p.grey.shape[0] for p in pages), max(p.grey.shape[1] for p in pages))
    check_promise(files[0], int(np.prod(shape)))
    remarks = _colour_remarks(pages)
    greys, deep = _to_eight_bits([page.grey for page in pages])
    voxels, boxes = _padded(greys, shape)
    remarks += deep + _size_remarks(boxes, shape) + eight_bit_remarks(voxels) + (_assumed(feet_first),)
    source = PictureSource(
        kind="pictures", files=tuple(files), sha256=_digest(files), remarks=remarks, boxes=tuple(boxes)
    )
    return Volume(voxels, assumed_affine(feet_first), Intensity.DISPLAY8, source, Geometry.ASSUMED)


def read_grey(path: Path) -> np.ndarray:
    """One picture as grey values of the file's own depth: (H, W) uint8, or uint16, int32, float32 if deep.

    Palette, alpha and colour as in the head of this file; nothing is stretched. DataError for what is no
    picture, is damaged, oversized or rotated (EXIF), or has several pages.
    """
    return _pages(path, alone=False)[0].grey


def _check_names(files: Sequence[Path], where: str) -> None:
    seen: dict[str, str] = {}
    for file in files:
        if file.stem in seen:
            raise DataError(
                f"{where}: {seen[file.stem]} and {file.name} may be one slice twice, or picture and mask; "
                "keep one kind of file in the folder"
            )
        seen[file.stem] = file.name


def _digest(files: Sequence[Path]) -> str:
    return combined_digest(file_digest(file) for file in files)


def _opened(path: Path) -> Any:
    """The picture, not yet decoded, when it is of one of our formats and Pillow was built with it."""
    from PIL import Image

    Image.init()  # the less common formats register themselves only then
    return Image.open(path, formats=[name for name in PICTURE_FORMATS if name in Image.OPEN])


def _pages(path: Path, alone: bool) -> list[_Page]:
    """The page of an ordinary picture; all pages of a TIFF or GIF that is the whole stack."""
    from PIL import ImageSequence

    with (
        told_plainly(path, "the picture is damaged or cut short"),
        _opened(path) as image,
    ):
        count = getattr(image, "n_frames", 1)
        if count > 1 and image.format == "MPO":
            count = 1  # a photograph with its preview
        if count > 1 and not alone:
            raise DataError(f"{path.name}: has {count} pages, and lies among other pictures; pass it alone")
        check_promise(path, image.size[0] * image.size[1] * count)
        return [_page(path, page) for page in islice(ImageSequence.Iterator(image), count)]


def _page(path: Path, image: Any) -> _Page:
    width, height = image.size
    if not 0 < width * height <= LIMITS.slice_pixels:
        raise DataError(f"{path.name}: a picture of {width} x {height} pixels, no CT slice; shrink it first")
    if image.getexif().get(EXIF_ORIENTATION, 1) not in (0, 1):
        raise DataError(
            f"{path.name}: carries an EXIF note to turn it, so up and left are unclear; save it "
            "upright without the note"
        )
    if image.mode in DEEP_MODES:
        values = np.asarray(image)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"{path.name}: holds pixels that are no numbers; save it as 8-bit grey")
        return _Page(values, 0.0, "")
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return _Page(np.array(image.convert("L")), 0.0, "")
    return _from_colour(path, image)


def _from_colour(path: Path, image: Any) -> _Page:
    """Palette, alpha and colour to one grey channel, and how coloured the picture was."""
    from PIL import Image

    note = ""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        lowest = image.getchannel("A").getextrema()[0]
        note = "alpha" if lowest < 255 else ""
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    rgb = np.asarray(image.convert("RGB"))
    spread = rgb.max(axis=2).astype(np.int16) - rgb.min(axis=2)
    share = float(np.mean(spread > COLOUR_SPREAD))
    if not spread.any():
        return _Page(rgb[..., 0].copy(), 0.0, note)
    return _Page(np.array(image.convert("RGB").convert("L")), share, note)


def _colour_remarks(pages: list[_Page]) -> tuple[Remark, ...]:
    worst = max(page.coloured for page in pages)
    remarks: tuple[Remark, ...] = ()
    if worst > COLOURED_SHARE:
        text = (
            f"The picture is coloured ({100 * worst:.0f} % of its pixels): a photograph or a "
            "colour map, not a CT slice."
        )
        remarks += (
            Remark("coloured-picture", Severity.REFUSE, text, "Pass a grey CT slice without overlay."),
        )
    elif worst > MARKED_SHARE:
        text = (
            f"Coloured marks or a tint ({100 * worst:.1f} % of the pixels of one slice) were "
            "turned into grey."
        )
        remarks += (
            Remark("coloured-marks", Severity.NOTE, text, "Use the picture without arrows and contours."),
        )
    if any(page.note == "alpha" for page in pages):
        remarks += (Remark("alpha", Severity.NOTE, "Transparent parts were laid over black."),)
    return remarks


def _to_eight_bits(greys: list[np.ndarray]) -> tuple[list[np.ndarray], tuple[Remark, ...]]:
    """Deep pictures are stretched together, so that slices stay comparable."""
    deep = [grey.dtype != np.uint8 for grey in greys]
    if not any(deep):
        return greys, ()
    if not all(deep):
        raise DataError("the stack mixes 8-bit and 16-bit pictures; save all of them alike")
    low, high = min(float(g.min()) for g in greys), max(float(g.max()) for g in greys)
    text = f"The pictures have more than 8 bits; {low:g} to {high:g} were mapped to 0 to 255."
    remark = Remark("scaled-to-8-bit", Severity.WARN, text, "Pass DICOM or NIfTI where densities matter.")
    return [stretch_to_display8(grey, low, high) for grey in greys], (remark,)


def _padded(
    greys: list[np.ndarray], shape: tuple[int, int, int]
) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Slices of any size -> (D, H, W) with each centred on black, and where each one lies."""
    voxels = np.zeros(shape, dtype=np.uint8)
    boxes = []
    for d, grey in enumerate(greys):
        height, width = grey.shape
        top, left = (shape[1] - height) // 2, (shape[2] - width) // 2
        voxels[d, top : top + height, left : left + width] = grey
        boxes.append((top, left, height, width))
    return voxels, boxes


def _size_remarks(boxes: list[tuple[int, int, int, int]], shape: tuple[int, int, int]) -> tuple[Remark, ...]:
    sizes = {box[2:] for box in boxes}
    if len(sizes) == 1:
        return ()
    text = (
        f"The pictures have {len(sizes)} sizes; each was centred on black in {shape[1]} x {shape[2]} pixels."
    )
    return (Remark("sizes-differ", Severity.WARN, text, "Slices may not lie exactly above one another."),)


def _assumed(feet_first: bool) -> Remark:
    end = "feet" if feet_first else "head"
    return Remark(
        "geometry-assumed",
        Severity.NOTE,
        f"Pictures carry no geometry: first slice nearest the {end}, front at the top, the patient's "
        "right on the left, "
        "and 1 mm are assumed.",
        "Pass DICOM or NIfTI where sides, sizes or volumes matter.",
    )


def write_pictures(voxels: np.ndarray, source: Source, folder: Path) -> None:
    """Write (D, H, W) uint8 as `001.png`, `002.png`, ... in slice order, each at its own picture's size.

    Label values are kept as they are. Names are numbers only: the originals' names may hold an identity.
    """
    from PIL import Image

    boxes = source.boxes if isinstance(source, PictureSource) else ()
    with (
        whole_folder(folder) as part,
        told_plainly(folder, "cannot be written as pictures", "check the free space"),
    ):
        for d, plane in enumerate(voxels):
            top, left, height, width = boxes[d] if boxes else (0, 0, *plane.shape)
            picture = np.ascontiguousarray(plane[top : top + height, left : left + width])
            Image.fromarray(picture).save(part / f"{d + 1:03d}.png")


def read_picture_mask(folder: Path, like: Volume, files: Sequence[Path]) -> np.ndarray:
    """Read back what `write_pictures` wrote: (D, H, W) uint8 on the volume's own grid, label values kept.

    Raises ShapeError when the number or the sizes of the pictures are not those of the volume.
    """
    boxes = (
        like.source.boxes
        if isinstance(like.source, PictureSource)
        else ((0, 0, *like.shape[1:]),) * like.shape[0]
    )
    if len(files) != len(boxes):
        raise ShapeError(
            f"{folder.name}: has {len(files)} mask slices and the scan {len(boxes)}; use this scan's mask"
        )
    mask = np.zeros(like.shape, dtype=np.uint8)
    for d, file in enumerate(files):
        with (
            told_plainly(file, "the picture is damaged or cut short"),
            _opened(file) as image,
        ):
            if image.mode not in ("1", "L", "P"):
                raise DataError(
                    f"{file.name}: a mask has one channel, this has mode {image.mode}; save it as "
                    "grey or palette"
                )
            plane = np.asarray(image, dtype=np.uint8)
        top, left, height, width = boxes[d]
        if plane.shape != (height, width):
            raise ShapeError(
                f"{file.name}: the mask slice has {plane.shape} pixels and the scan's "
                f"{(height, width)}; use this scan's mask"
            )
        mask[d, top : top + height, left : left + width] = plane
    return mask
