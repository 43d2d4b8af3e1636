"""Figures: planes of a scan as pictures with outline, overlay, side marks and scale bar.

One plane is one SVG: the grey picture once per display window, lesions and opacities as clear layers of
which one is shown, the lungs' outline as a crisp line. What is shown is set by the page through inherited CSS
variables, so the same layers serve screen, print and the enlarged view.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import Image

from glasslung.data.heatsheet import heat_rgba
from glasslung.data.montage import LESION_RGB, windowed
from glasslung.data.preview import Plane, Preview, View, Window
from glasslung.measure.followup import Tissue
from glasslung.report.markup import Html, joined, tag
from glasslung.report.wording import SPACE, number
from glasslung.types import Lesion, Lung

# Okabe and Ito's vermillion and sky blue, which every kind of colour blindness tells apart, and grey.
TISSUE_RGB = {Tissue.STAYED: (215, 215, 215), Tissue.APPEARED: (213, 94, 0), Tissue.CLEARED: (86, 180, 233)}
LESION_NAMES = {lesion: lesion.words for lesion in LESION_RGB}
_WEBP_QUALITY = 82  # no visible loss in the lung window at the size shown
_OUTLINE_TOLERANCE_PX = 0.35  # how far a simplified outline may stray
_SCALE_BARS_MM = (100, 50, 20, 10, 5)
_MARKS = {
    Plane.AXIAL: ("R", "L"),
    Plane.CORONAL: ("R", "L"),
    Plane.SAGITTAL: ("A", "P"),
}
_image = partial(tag, "image")


def window_key(window: Window) -> str:
    """The window's name as a CSS word."""
    return window.name.replace(" ", "-")


def caption(view: View) -> tuple[str, str]:
    """What a plane is, and where: ('Slice 231 of 300', 'upper third, z -42 mm')."""
    axis = {Plane.AXIAL: "z", Plane.CORONAL: "y", Plane.SAGITTAL: "x"}[view.plane]
    where = [] if view.position_mm is None else [f"{axis}\u00a0{number(view.position_mm)}{SPACE}mm"]
    if view.plane is Plane.AXIAL:
        third = [f"{view.where} third"] if view.where else []
        return f"Slice {view.number} of {view.count}", ", ".join(third + where)
    name = view.plane.value.capitalize() + (f", {view.where}" if view.where else "")
    return name, ", ".join(where)


def picture(view: View, windows: Sequence[Window], key: str) -> Html:
    """One plane as an SVG element; `key` is its id, so that it can be shown again without a second copy."""
    height, width = view.grey.shape
    layers: list[Html | None] = [
        _image(
            href=_webp(windowed(view.grey, window)),
            width=width,
            height=height,
            class_=f"w-{window_key(window)}",
        )
        for window in windows
    ]
    both = view.lesions is not None and view.opacities is not None
    layers += [
        _overlay(view.lesions, "opacity first" if both else "opacity"),
        _overlay(view.opacities, "opacity second" if both else "opacity"),
        *_outlines(view),
        *_marks(view),
        _scale_bar(view),
    ]
    what, where = caption(view)
    label = f"{what}{f', {where}' if where else ''}; lungs outlined"
    shown = view.opacities if view.lesions is None else view.lesions
    if shown is not None:
        thing = "opacit" if view.lesions is None else "lesion"
        many, one = ("ies", "y") if view.lesions is None else ("s", "")
        label += f", {thing}{many} coloured" if shown.any() else f", no {thing}{one} found in this plane"
    return tag(
        "svg",
        tag("g", *layers, id=key),
        viewBox=f"0 0 {width} {height}",
        class_="plane",
        role="img",
        aria_label=label,
    )


def reasons(view: View, windows: Sequence[Window], key: str) -> tuple[Html, Html]:
    """A plane as it is, and with its map of relevance and the lesions' outlines; one copy of the grey serves.

    `key` is the id of the plain one; the other's is the same with an m behind it.
    """
    assert view.heat is not None, "only a plane with a map of relevance has reasons to show"
    height, width = view.grey.shape
    grey = [
        _image(
            href=_webp(windowed(view.grey, window)),
            width=width,
            height=height,
            class_=f"w-{window_key(window)}",
        )
        for window in windows
    ]
    what, where = caption(view)
    told = f"{what}{f', {where}' if where else ''}"
    box = f"0 0 {width} {height}"
    plain = tag(
        "svg",
        tag("g", *grey, *_marks(view), _scale_bar(view), id=key),
        viewBox=box,
        class_="plane",
        role="img",
        aria_label=told,
    )
    laid = [tag("use", href=f"#{key}"), _heat(view.heat), _lesion_lines(view)]
    mapped = tag(
        "svg",
        tag("g", *laid, id=f"{key}m"),
        viewBox=box,
        class_="plane",
        role="img",
        aria_label=f"{told}, with the map of relevance",
    )
    return plain, mapped


def _heat(heat: np.ndarray) -> Html:
    height, width = heat.shape
    href = _uri("png", Image.fromarray(heat_rgba(heat), "RGBA"), optimize=True)
    return _image(href=href, width=width, height=height, class_="heat")


def _lesion_lines(view: View) -> Html | None:
    """The edge of all lesions together; None where there are none."""
    if view.lesions is None or not view.lesions.any():
        return None
    return tag("path", d=_contour(view.lesions > 0), class_="lesion-line")


def same_again(view: View, key: str, frame_mm: tuple[float, float]) -> Html:
    """The plane that `picture` drew under this id, shown again in a frame (height, width) of so many mm.

    Planes of different scans in one frame have one scale. The view must have a pixel size.
    """
    assert view.pixel_mm is not None, "a plane without a pixel size has no scale"
    height, width = view.grey.shape
    tall, wide = (side / view.pixel_mm for side in frame_mm)
    what, where = caption(view)
    return tag(
        "svg",
        tag("use", href=f"#{key}"),
        viewBox=f"{(width - wide) / 2:.1f} {(height - tall) / 2:.1f} {wide:.1f} {tall:.1f}",
        class_="plane",
        role="img",
        aria_label=f"{what}{f', {where}' if where else ''}",
    )


class SerialPlane(NamedTuple):
    """One plane of the serial sheet: with its lesions, with what changed, with a map of reasons."""

    plain: Html
    change: Html | None
    heat: Html | None


def serial(
    view: View, windows: Sequence[Window], key: str, frame_mm: tuple[float, float] | None
) -> SerialPlane:
    """A plane in a frame of so many mm, so that planes of all scans have one scale; None: its own size.

    `key` is the grey picture's id; change and reasons lie on the same picture again.
    """
    height, width = view.grey.shape
    box = f"0 0 {width} {height}"
    if frame_mm is not None and view.pixel_mm is not None:
        tall, wide = (side / view.pixel_mm for side in frame_mm)
        box = f"{(width - wide) / 2:.1f} {(height - tall) / 2:.1f} {wide:.1f} {tall:.1f}"
    shown = windowed(view.grey, windows[0])
    grey = _image(href=_webp(shown), width=width, height=height, id=key)
    what, where = caption(view)
    told = f"{what}{f', {where}' if where else ''}"

    def plane(label: str, *layers: Html | None) -> Html:
        return tag("svg", *layers, viewBox=box, class_="plane", role="img", aria_label=f"{told}{label}")

    again = tag("use", href=f"#{key}")
    change = None
    if view.change is not None:
        change = plane(", what changed since the scan before", again, _changed(view.change))
    heat = None
    if view.heat is not None:
        heat = plane(", a classifier's reasons", again, _heat(view.heat), _lesion_lines(view))
    lesions = _overlay(view.lesions, "opacity")
    plain = plane(", lesions coloured", grey, lesions, *_outlines(view), *_marks(view), _scale_bar(view))
    return SerialPlane(plain, change, heat)


def _changed(tissue: np.ndarray) -> Html | None:
    """A change map as a picture that is clear where there is no lesion in either scan."""
    if not tissue.any():
        return None
    palette = np.zeros((256, 3), np.uint8)
    for label, rgb in TISSUE_RGB.items():
        palette[label] = rgb
    image = Image.fromarray(tissue)
    image.putpalette(palette.ravel().tolist())
    height, width = tissue.shape
    href = _uri("png", image, transparency=0, optimize=True)
    return _image(href=href, width=width, height=height, class_="tissue")


def size_mm(view: View) -> tuple[float, float]:
    """Height and width of a plane, mm; (0, 0) where the pixel size is not known."""
    height, width = view.grey.shape
    pixel = view.pixel_mm or 0.0
    return height * pixel, width * pixel


def lesions_in(preview: Preview) -> list[Lesion]:
    """The kinds of lesion or opacity that any of the planes shows."""
    layers = [layer for view in preview.views for layer in (view.lesions, view.opacities)]
    shown = [layer for layer in layers if layer is not None]
    return [lesion for lesion in LESION_RGB if any((layer == lesion).any() for layer in shown)]


def _uri(kind: str, image: Image.Image, **options: object) -> str:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"


def _webp(grey: np.ndarray) -> str:
    return _uri("webp", Image.fromarray(grey), quality=_WEBP_QUALITY, method=4)


def two_overlays(preview: Preview) -> bool:
    """Whether the planes show lesions beside opacities by density, so that there is a choice."""
    return any(view.lesions is not None and view.opacities is not None for view in preview.views)


def _overlay(labels: np.ndarray | None, style: str) -> Html | None:
    """Lesions as a picture that is clear wherever there are none; None where there are none at all."""
    if labels is None or not labels.any():
        return None
    palette = np.zeros((256, 3), np.uint8)
    for lesion, rgb in LESION_RGB.items():
        palette[lesion] = rgb
    image = Image.fromarray(labels)
    image.putpalette(palette.ravel().tolist())
    height, width = labels.shape
    href = _uri("png", image, transparency=0, optimize=True)
    return _image(href=href, width=width, height=height, class_=style)


def _outlines(view: View) -> list[Html]:
    """The edge of each lung as a line between its pixels and the rest."""
    lines = []
    for lung in (Lung.RIGHT, Lung.LEFT, Lung.UNSIDED):
        if not (view.lungs == lung).any():
            continue
        style = "outline unsided" if lung is Lung.UNSIDED else "outline"
        lines.append(tag("path", d=_contour(view.lungs == lung), class_=style))
    return lines


def _contour(mask: np.ndarray) -> str:
    """The edge of a mask as an SVG path."""
    from skimage.measure import approximate_polygon, find_contours

    steps = []
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        corners = approximate_polygon(contour, _OUTLINE_TOLERANCE_PX) - 0.5
        steps.append("M" + " ".join(f"{x:.1f},{y:.1f}" for y, x in corners) + "z")
    return "".join(steps)


def _marks(view: View) -> list[Html]:
    """The patient's sides at the picture's edges; none where the file does not tell them."""
    if view.pixel_mm is None:
        return []
    height, width = view.grey.shape
    size = max(height, width) / 24
    left, right = _MARKS[view.plane]
    text = partial(tag, "text", y=height / 2, font_size=size, class_="mark")
    return [text(left, x=size * 0.4), text(right, x=width - size * 0.4, text_anchor="end")]


def _scale_bar(view: View) -> Html | None:
    """A bar of a round length, at most two fifths of the picture wide."""
    if view.pixel_mm is None:
        return None
    height, width = view.grey.shape
    fitting = [mm for mm in _SCALE_BARS_MM if mm / view.pixel_mm <= width * 0.4]
    if not fitting:
        return None
    length, size = fitting[0] / view.pixel_mm, max(height, width) / 28
    y, x = height - size * 0.6, width - size * 0.6
    label = f"{fitting[0] // 10}{SPACE}cm" if fitting[0] >= 10 else f"{fitting[0]}{SPACE}mm"
    return joined(
        tag("path", d=f"M{x - length:.1f},{y:.1f}H{x:.1f}", class_="scale"),
        tag(
            "text",
            label,
            x=x,
            y=y - size * 0.45,
            font_size=size,
            text_anchor="end",
            class_="mark scale-label",
        ),
    )
